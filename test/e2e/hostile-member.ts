/**
 * A member with a changed program: it holds a real membership, and asks another host past every check of its
 * own daemon. Arguments: its folder, the other's address, the VIOLIN's id. One line of JSON: what the other
 * host answered to each request.
 */
import { once } from 'node:events'
import * as z from 'zod'
import { errorData, type ErrorData } from '#core/errors.ts'
import type { ViolinId } from '#core/ids.ts'
import { SessionDecoder, sessionFrame } from '#core/session.ts'
import { loadIdentity } from '#daemon/identity.ts'
import { sealRequest } from '#daemon/owner-request.ts'
import { ask } from '#daemon/wire.ts'
import { createMesh } from '#mesh/mesh.ts'

const [dir, address, violin] = process.argv.slice(2) as [string, string, ViolinId]
const identity = await loadIdentity(dir)
const mesh = await createMesh({
  hostSeed: identity.hostSeed,
  listen: [],
  meshId: identity.mesh,
  presentation: () => identity.membership,
  admit: () => true,
  remembered: () => [],
  mdns: false,
  log: () => {}
})
const target = await mesh.dial([address], AbortSignal.timeout(10_000))
const sealed = (kind: string, request: unknown): ReturnType<typeof sealRequest> =>
  sealRequest(kind, target, violin, request, identity.mesh, identity.owner)

async function handOff(): Promise<string> {
  const wish = sealed('handoff', { lan: 'lan1', to: null })
  return ask(mesh, target, 'handoff', wish, z.unknown(), AbortSignal.timeout(10_000)).then(
    () => 'done',
    (error: unknown) => errorData(error).code
  )
}

async function enter(): Promise<string> {
  const stream = await mesh.open(target, 'session', AbortSignal.timeout(10_000))
  const request = { violin, entity: 'a', argv: ['hostname'] }
  stream.write(`${JSON.stringify(sealed('session', request))}\n`)
  const decoder = new SessionDecoder()
  let answer = 'ended'
  stream.on('data', (chunk: Buffer) => {
    for (const { type, payload } of decoder.push(chunk)) {
      const text = Buffer.from(payload).toString()
      if (type === sessionFrame.failed) answer = (JSON.parse(text) as ErrorData).code
      else if (type === sessionFrame.stdout) answer = `said ${text}`
    }
  })
  await once(stream, 'end')
  return answer
}

const answers = { handoff: await handOff(), session: await enter() }
process.stdout.write(`${JSON.stringify(answers)}\n`)
await mesh.close()
process.exit()
