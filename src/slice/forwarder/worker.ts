/**
 * The forwarding worker: the loop with the real election and all kinds of ports.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { Election } from '#core/election/election.ts'
import { decodeMessage, encodeMessage } from '#core/election/message.ts'
import type { Command, ForwarderStart } from './contract.ts'
import { openMachinePort } from '../vhost/open-port.ts'
import { Loop } from './loop.ts'

const port = parentPort
if (port === null) throw new Error('the forwarding worker runs in a worker thread')

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
