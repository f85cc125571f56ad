/** A session whose far end is hijacked: whatever it says, the command line ends in words. */
import assert from 'node:assert/strict'
import { Duplex, Writable } from 'node:stream'
import { test } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import { encodeSessionFrame, sessionFrame } from '#core/session.ts'
import { drain } from '../../src/cli/session.ts'

function ending(...chunks: readonly Uint8Array[]): Promise<number> {
  const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  for (const chunk of chunks) stream.push(chunk)
  stream.push(null)
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  return drain(stream, { output: nowhere, errors: nowhere })
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

const broken: Record<string, readonly Uint8Array[]> = {
  'a frame of no known type': [Uint8Array.of(11, 0, 0, 0)],
  'a frame that is too long': [Uint8Array.of(sessionFrame.stdout, 0xff, 0xff, 0xff)],
  'an end without a status': [encodeSessionFrame(sessionFrame.exit, Uint8Array.of(0, 0))],
  'a failure that is no JSON': [encodeSessionFrame(sessionFrame.failed, bytes('{"code":'))],
  'a failure without its lines': [
    encodeSessionFrame(sessionFrame.failed, bytes('{"code":"refused","message":1}'))
  ],
  'nothing at all': []
}

for (const [what, chunks] of Object.entries(broken)) {
  test(`a session that ends with ${what} has broken off`, async () => {
    await assert.rejects(
      ending(...chunks),
      (error: unknown) => error instanceof ViolinError && error.code === 'nobody-reachable'
    )
  })
}

test('the status of a session is the one that was sent', async () => {
  assert.equal(await ending(encodeSessionFrame(sessionFrame.exit, Uint8Array.of(0, 0, 0, 7))), 7)
})
