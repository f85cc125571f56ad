/**
 * A forwarding worker whose vLANs have a fixed switch, the first candidate: for tests of the path alone.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { Message } from '#core/election/message.ts'
import type { Effect, Input, Tag } from '#core/election/types.ts'
import type { HostKey } from '#core/ids.ts'
import type { Command, ForwarderStart } from '#slice/forwarder/contract.ts'
import type { Elector } from '#slice/forwarder/lans.ts'
import { Loop } from '#slice/forwarder/loop.ts'
import { openTapSource } from '#slice/forwarder/ports.ts'

const port = parentPort
if (port === null) throw new Error('runs in a worker thread')
/** The switch's tag for a host: even where the switch is the lower key, as {@link TagSpace} gives them. */
function tagOf(active: HostKey, other: HostKey): Tag {
  return (active < other ? 2 : 1) as Tag
}

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
    const own = active === this.#self
    const peers = own ? others : [active]
    const tag = (peer: HostKey): Tag => (own ? tagOf(this.#self, peer) : tagOf(peer, this.#self))
    const accepted = peers.map((from): Effect<Message> => ({ kind: 'accept', from, tag: tag(from) }))
    const downlinks = new Map(others.map((peer) => [peer, tagOf(this.#self, peer)] as const))
    return [
      ...accepted,
      {
        kind: 'role',
        role: own
          ? { kind: 'active', downlinks }
          : { kind: 'edge', uplink: { peer: active, tag: tag(active) } }
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
