import { buildCommand, buildRouteMap, type Command, type RouteMap } from '@stricli/core'
import { ViolinError } from '#core/errors.ts'
import type { Context } from '../context.ts'
import { askProgram } from '../program.ts'
import { type JsonFlag, jsonFlag, printJson } from './common.ts'

const images = ['tiny', 'router'] as const

interface Built {
  readonly name: string
  readonly hash: string | null
  readonly folder: string
  readonly seconds: number
}

const build: Command<Context> = buildCommand<JsonFlag, [image: (typeof images)[number]], Context>({
  docs: {
    brief: "Build an image from Debian's packages into this host's folder",
    fullDescription:
      'tiny: busybox alone, 2 MB, which every host makes by itself. router: FRR, nftables and measuring tools.'
  },
  parameters: {
    flags: jsonFlag,
    positional: {
      kind: 'tuple',
      parameters: [{ parse: imageNamed, placeholder: 'tiny|router', brief: 'Which one' }]
    }
  },
  async func({ json }, image) {
    const built = (await askProgram('build', this.dir, { image })) as Built
    if (json === true) return printJson(built)
    const hash = built.hash === null ? '' : ` (${built.hash.slice(0, 12)})`
    process.stdout.write(`${built.name}${hash} is in ${built.folder}, built in ${built.seconds} s\n`)
  }
})

export const image: RouteMap<Context> = buildRouteMap({
  routes: { build },
  docs: { brief: 'Guest images: build them' }
})

function imageNamed(text: string): (typeof images)[number] {
  const found = images.find((name) => name === text)
  if (found === undefined)
    throw new ViolinError('usage', `no image ${text}`, `there are ${images.join(' and ')}`)
  return found
}
