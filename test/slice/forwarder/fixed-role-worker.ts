/**
 * A forwarding worker whose vLANs have a fixed switch, the first candidate: for tests of the path alone.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { Effect, Input, Message, Tag } from '#core/election/types.ts'
import type { HostKey } from '#core/ids.ts'
import type { Command, ForwarderStart } from '#slice/forwarder/contract.ts'
import type { Elector } from '#slice/forwarder/lans.ts'
import { Loop } from '#slice/forwarder/loop.ts'
import { openTapSource } from '#slice/forwarder/ports.ts'

const port = parentPort
if (port === null) throw new Error('runs in a worker thread')
/** One tag for every pair: there is one vLAN. */
const tag = 2 as Tag

class FixedElection implements Elector {
  readonly deadline = null
  readonly #self: HostKey

  constructor(self: HostKey) {
    this.#self = self
  }

  handle(input: Input<Message>): readonly Effect<Message>[] {
    if (input.kind !== 'configure') return []
    const active = input.candidates[0] as HostKey
    const others = input.members.filter((member) => member !== this.#self)
    const accepted = others.map((from): Effect<Message> => ({ kind: 'accept', from, tag }))
    const downlinks = new Map(others.map((peer) => [peer, tag] as const))
    const own = active === this.#self
    return [
      ...accepted,
      {
        kind: 'role',
        role: own ? { kind: 'active', downlinks } : { kind: 'edge', uplink: { peer: active, tag } }
      },
      { kind: 'view', view: { active, standby: null, term: 1, role: own ? 'active' : 'edge' } }
    ]
  }
}

new Loop(workerData as ForwarderStart, {
  command: () => (receiveMessageOnPort(port)?.message ?? null) as Command | null,
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  report: (report) => port.postMessage(report),
  now: () => performance.now(),
  openPort: openTapSource,
  election: {
    make: (options) => new FixedElection(options.self),
    encode: () => new Uint8Array(0),
    decode: () => null
  }
}).run()
