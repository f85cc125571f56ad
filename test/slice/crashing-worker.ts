/**
 * The forwarding worker, but it throws when a vLAN is taken away: for tests of what happens then.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { Election } from '#core/election/election.ts'
import { decodeMessage, encodeMessage } from '#core/election/message.ts'
import type { Command, ForwarderStart } from '#slice/forwarder/contract.ts'
import { Loop } from '#slice/forwarder/loop.ts'
import { openTapSource } from '#slice/forwarder/ports.ts'

const port = parentPort
if (port === null) throw new Error('runs in a worker thread')

function nextCommand(): Command | null {
  const command = (receiveMessageOnPort(port as NonNullable<typeof port>)?.message ?? null) as Command | null
  if (command?.kind === 'lan-remove') throw new Error('a defect')
  return command
}

new Loop(workerData as ForwarderStart, {
  command: nextCommand,
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  report: (report) => port.postMessage(report),
  now: () => performance.now(),
  openPort: openTapSource,
  election: { make: (options) => new Election(options), encode: encodeMessage, decode: decodeMessage }
}).run()
