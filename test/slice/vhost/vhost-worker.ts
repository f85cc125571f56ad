/**
 * The forwarding worker with the real election and vhost-user ports.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { Election } from '#core/election/election.ts'
import { decodeMessage, encodeMessage } from '#core/election/message.ts'
import type { Command, ForwarderStart } from '#slice/forwarder/contract.ts'
import { Loop } from '#slice/forwarder/loop.ts'
import { openMachinePort } from '#slice/vhost/open-port.ts'

const port = parentPort
if (port === null) throw new Error('runs in a worker thread')

new Loop(workerData as ForwarderStart, {
  command: () => (receiveMessageOnPort(port)?.message ?? null) as Command | null,
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  report: (report) => port.postMessage(report),
  now: () => performance.now(),
  openPort: openMachinePort,
  election: {
    make: (options) => new Election(options),
    encode: encodeMessage,
    decode: decodeMessage
  }
}).run()
