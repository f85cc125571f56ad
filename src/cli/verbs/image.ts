import { buildCommand, buildRouteMap, type Command, type RouteMap } from '@stricli/core'
import { ViolinError } from '#core/errors.ts'
import type { Context } from '../context.ts'
import { showProgress } from '../print/progress.ts'
import { table } from '../print/table.ts'
import { askProgram } from '../program.ts'
import { type JsonFlag, jsonFlag, printJson } from './common.ts'

const builders = ['tiny', 'router', 'host'] as const

interface Built {
  readonly name: string
  readonly hash: string | null
  readonly folder: string
  readonly seconds: number
}

/** One of this host or of members; the daemon proposes its own. */
const imageArgument = {
  parse: (text: string): string => text,
  placeholder: 'IMAGE',
  brief: 'Its name or hash',
  async proposeCompletions(this: Context): Promise<readonly string[]> {
    const images = await this.service.images({}).catch(() => [])
    return images.flatMap(({ names, hash }) => (names.length > 0 ? names : [hash.slice(0, 12)]))
  }
} as const

interface BuildFlags extends JsonFlag {
  readonly as?: string
  readonly with?: readonly string[]
  readonly copy?: readonly { readonly from: string; readonly to: string }[]
}

const build: Command<Context> = buildCommand<BuildFlags, [image: (typeof builders)[number]], Context>({
  docs: {
    brief: "Build one from Debian's packages into this host's folder",
    fullDescription:
      'tiny: busybox alone, 2 MB, which every host makes by itself. router: FRR, packet filters and measuring tools. ' +
      'host: a router that can run this program, for a VIOLIN inside of one. ' +
      'An image of your own is a router or host with more in it: violin image build router --as lab --with python3 --copy ./click:/usr/local/bin/click. Packages are unpacked, their scripts do not run.'
  },
  parameters: {
    flags: {
      as: {
        kind: 'parsed',
        parse: String,
        optional: true,
        placeholder: 'NAME',
        brief: 'An image of your own, by this name'
      },
      with: {
        kind: 'parsed',
        parse: String,
        optional: true,
        variadic: true,
        placeholder: 'PACKAGE',
        brief: 'One more of Debian in it'
      },
      copy: {
        kind: 'parsed',
        parse: copyOf,
        optional: true,
        variadic: true,
        placeholder: 'FILE:/PATH',
        brief: 'A file or folder of this machine in it'
      },
      ...jsonFlag
    },
    positional: {
      kind: 'tuple',
      parameters: [{ parse: builderNamed, placeholder: 'tiny|router|host', brief: 'Which one' }]
    }
  },
  async func({ json, as: name, with: packages = [], copy: copies = [] }, image) {
    const more = packages.length + copies.length > 0
    if (more && name === undefined)
      throw new ViolinError('usage', `${image} itself stays as it is`, 'name your own: --as NAME')
    if (name !== undefined && (image === 'tiny' || builders.some((one) => one === name)))
      throw new ViolinError(
        'usage',
        `${image === 'tiny' ? image : name} is the same on all hosts`,
        'make your own of another: violin image build router --as lab'
      )
    const own = name === undefined ? null : { name, packages, copies }
    const built = (await askProgram('build', this.dir, { image, own })) as Built
    if (json === true) return printJson(built)
    const hash = built.hash === null ? '' : ` (${built.hash.slice(0, 12)})`
    process.stdout.write(`${built.name}${hash} is in ${built.folder}, built in ${built.seconds} s\n`)
  }
})

const list: Command<Context> = buildCommand<JsonFlag, [], Context>({
  docs: { brief: 'The images of this host, and what begins with them' },
  parameters: { flags: jsonFlag },
  async func({ json }) {
    const images = await this.service.images({})
    if (json === true) return printJson(images)
    const rows = images.map(({ names, hash, bytes, files, usedBy, reason }) => [
      names.join(', ') || null,
      hash.slice(0, 12),
      bytes === null ? null : `${Math.ceil(bytes / 2 ** 20)} MiB`,
      files === null ? null : String(files),
      usedBy.join(', ') || null,
      reason || null
    ])
    process.stdout.write(table(['image', 'hash', 'size', 'files', 'used by', ''], rows))
  }
})

interface PullFlags extends JsonFlag {
  readonly from?: string
}

const pull: Command<Context> = buildCommand<PullFlags, [image: string], Context>({
  docs: {
    brief: 'Fetch one from members that have it',
    fullDescription:
      'Every byte is checked against its hash, so it may come from anyone; what a name means, that member says.'
  },
  parameters: {
    flags: {
      from: {
        kind: 'parsed',
        parse: String,
        optional: true,
        placeholder: 'HOST',
        brief: 'Whose image is meant by the name'
      },
      ...jsonFlag
    },
    positional: { kind: 'tuple', parameters: [imageArgument] }
  },
  async func({ from, json }, image) {
    const pulling = this.service.pullImage({ image, ...(from === undefined ? {} : { from }) })
    await showProgress(pulling, json === true)
  }
})

const remove: Command<Context> = buildCommand<JsonFlag, [image: string], Context>({
  docs: { brief: 'Remove one that nothing begins with' },
  parameters: { flags: jsonFlag, positional: { kind: 'tuple', parameters: [imageArgument] } },
  async func({ json }, image) {
    const removed = await this.service.removeImage({ image })
    if (json === true) return printJson(removed)
    process.stdout.write(`${image} is removed\n`)
  }
})

export const image: RouteMap<Context> = buildRouteMap({
  routes: { build, list, pull, remove },
  docs: { brief: 'What machines begin with: build it, list, pull, remove' }
})

function builderNamed(text: string): (typeof builders)[number] {
  const found = builders.find((name) => name === text)
  if (found === undefined)
    throw new ViolinError('usage', `no image ${text}`, `there are ${builders.join(', ')}`)
  return found
}

/** The last colon parts them: a path here may have others. */
function copyOf(text: string): { readonly from: string; readonly to: string } {
  const colon = text.lastIndexOf(':')
  if (colon > 0) return { from: text.slice(0, colon), to: text.slice(colon + 1) }
  throw new ViolinError('usage', `${text} says not where it goes`, 'write it as FILE:/PATH')
}
