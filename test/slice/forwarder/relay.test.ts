/** Hosts that cannot reach each other have a trunk along a third one, which passes on what it cannot open. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { hostKeyOf } from '#core/derive.ts'
import type { HostId, HostKey, ViolinId } from '#core/ids.ts'
import { datagramType, maxPlaintextBytes } from '#frame/datagram.ts'
import type { TrunkSession } from '#slice/forwarder/contract.ts'
import { deriveTrunkSession, makeTrunkHalf } from '#slice/forwarder/derive.ts'
import { layOut, type Layout } from '#slice/forwarder/memory.ts'
import { Session } from '#slice/forwarder/session.ts'
import { Trunks } from '#slice/forwarder/trunks.ts'
import { plaintextAt, Wire } from '#slice/forwarder/wire.ts'
import { close } from '#syscalls/libc.ts'
import { SendBatch } from '#syscalls/mmsg.ts'
import { openUdp, type UdpSocket } from '#syscalls/udp.ts'

const violin = 'ab'.repeat(32) as ViolinId
const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()
const loopback = 0x7f00_0001

/** One host's trunks over a socket on loopback. */
class Node {
  readonly id: HostId
  readonly key: HostKey
  readonly layout: Layout = layOut()
  readonly socket: UdpSocket
  readonly trunks: Trunks
  /** What came, as text: the frame's bytes, and from whom. */
  readonly frames: { readonly from: HostKey; readonly bytes: Buffer }[] = []

  constructor(name: string) {
    this.id = `12D3KooW${name}` as HostId
    this.key = hostKeyOf({ sha256 }, this.id)
    this.socket = openUdp(0, 0, loopback)
    this.trunks = new Trunks(this.key, this.layout, new Wire(this.socket.fd, this.layout), Math.random, {
      frame: (trunk, _tag, at, length) =>
        this.frames.push({
          from: trunk.peer,
          bytes: Buffer.from(this.layout.memory.bytes.slice(at, at + length))
        }),
      message: () => undefined,
      alive: () => undefined,
      refused: () => undefined,
      changed: () => undefined,
      wanted: () => undefined
    })
  }

  send(to: Node, frame: Uint8Array): void {
    const { arenaAt, memory } = this.layout
    memory.bytes.set(frame, arenaAt)
    this.trunks.of(to.key).send(7, arenaAt, frame.length)
  }
}

class Nodes implements Disposable {
  readonly all: Node[] = []
  #now = 0

  add(name: string): Node {
    const node = new Node(name)
    this.all.push(node)
    return node
  }

  /** Two hosts, the first and the last, that reach each other by the one between alone, once they found that out. */
  apart(): [Node, Node, Node] {
    const [left, relay, right] = [this.add('Left'), this.add('Relay'), this.add('Right')]
    this.connect(left, relay, true)
    this.connect(right, relay, true)
    this.connect(left, right, false)
    this.run(1_000)
    return [left, relay, right]
  }

  /** Agrees a session; without `reachable` neither learns where the other is. */
  connect(left: Node, right: Node, reachable: boolean): void {
    const sessions = agreed(left, right, reachable)
    for (const [turn, { trunks }] of [left, right].entries()) {
      trunks.begin(this.#now, 0)
      trunks.join(sessions[turn] as TrunkSession)
    }
  }

  /** Lets so much time pass for all of them. */
  run(ms: number): void {
    for (const until = this.#now + ms; this.#now < until; this.#now += 10) {
      for (const { trunks } of this.all) {
        trunks.begin(this.#now, 0)
        trunks.receive()
        trunks.tick()
        trunks.send()
      }
    }
  }

  relayOf(left: Node, right: Node): HostKey | null | undefined {
    const report = left.trunks.reports().find(({ peer }) => peer === right.key)
    return report?.up === true ? report.relay : undefined
  }

  [Symbol.dispose](): void {
    for (const { trunks, socket } of this.all) {
      trunks.closeAll()
      close(socket.fd)
    }
  }
}

/** Both ends of a session. */
function agreed(left: Node, right: Node, reachable: boolean): TrunkSession[] {
  const at = (node: Node): { ip: string; port: number }[] =>
    reachable ? [{ ip: '127.0.0.1', port: node.socket.port }] : []
  const [ours, theirs] = [makeTrunkHalf(at(left)), makeTrunkHalf(at(right))]
  const ends = [
    { self: left, peer: right, own: ours, other: theirs },
    { self: right, peer: left, own: theirs, other: ours }
  ]
  return ends.map(({ self, peer, own, other }) => {
    const parties = { violin, self: self.id, peer: peer.id, peerKey: peer.key, authForMs: 3_600_000 }
    return deriveTrunkSession({ ...parties, own, peerHalf: other.half })
  })
}

test('frames of every size go by a third host, both ways, and by nobody once the hosts reach each other', () => {
  using nodes = new Nodes()
  const [edge, relay, active] = nodes.apart()
  assert.equal(nodes.relayOf(edge, active), relay.key)
  assert.equal(nodes.relayOf(active, edge), relay.key)
  for (const bytes of [60, 1_100, 1_200, 1_514]) {
    const frame = Buffer.alloc(bytes, bytes % 251)
    edge.send(active, frame)
    active.send(edge, frame)
    nodes.run(40)
    assert.deepEqual(active.frames.splice(0), [{ from: edge.key, bytes: frame }])
    assert.deepEqual(edge.frames.splice(0), [{ from: active.key, bytes: frame }])
  }
  assert.deepEqual(relay.frames, [])
  nodes.connect(edge, active, true)
  nodes.run(1_000)
  assert.equal(nodes.relayOf(edge, active), null)
  assert.equal(nodes.relayOf(active, edge), null)
})

test('a trunk by a third host ends for both when one ends it, and a new session finds the way again', () => {
  using nodes = new Nodes()
  const [edge, relay, active] = nodes.apart()
  edge.trunks.remove(active.key)
  nodes.run(40)
  assert.equal(nodes.relayOf(edge, active), undefined)
  assert.equal(nodes.relayOf(active, edge), undefined)
  nodes.connect(edge, active, false)
  nodes.run(1_000)
  assert.equal(nodes.relayOf(edge, active), relay.key)
  assert.equal(nodes.relayOf(active, edge), relay.key)
})

test('more frames in a turn than there are slots all come', () => {
  using nodes = new Nodes()
  const [edge, , active] = nodes.apart()
  for (let turn = 0; turn < 300; turn++) edge.send(active, Buffer.alloc(1_000, turn % 251))
  nodes.run(100)
  assert.deepEqual(
    active.frames.map(({ bytes }) => bytes[0]),
    Array.from({ length: 300 }, (_, turn) => turn % 251)
  )
})

test('nothing is passed on twice: a trunk that needs a relay is none', () => {
  using nodes = new Nodes()
  const [first, second, third, fourth] = ['One', 'Two', 'Three', 'Four'].map((name) => nodes.add(name)) as [
    Node,
    Node,
    Node,
    Node
  ]
  nodes.connect(first, second, true)
  nodes.connect(second, third, true)
  nodes.connect(third, fourth, true)
  for (const [left, right] of [
    [first, third],
    [second, fourth],
    [first, fourth]
  ] as const)
    nodes.connect(left, right, false)
  nodes.run(5_000)
  assert.equal(nodes.relayOf(first, third), second.key)
  assert.equal(nodes.relayOf(second, fourth), third.key)
  assert.equal(nodes.relayOf(first, fourth), undefined)
})

test('whatever a host has passed on, nothing comes of it but what its receiver can open', () => {
  using nodes = new Nodes()
  const [hostile, relay, victim] = nodes.apart()
  const { memory, arenaAt } = hostile.layout
  const unknown = hostKeyOf({ sha256 }, '12D3KooWNobody' as HostId)
  const types = Object.values(datagramType)
  const relayed = (): number =>
    relay.trunks.reports().reduce((sum, { rejected, rxFrames }) => sum + rejected + rxFrames, 0)
  const before = [relayed(), hostile.trunks.strangers]
  for (let turn = 0; turn < 4_000; turn++) {
    const length = turn % 10 === 0 ? turn % 40 : Math.floor(Math.random() * (maxPlaintextBytes - 16))
    memory.bytes.set(globalThis.crypto.getRandomValues(new Uint8Array(length)), arenaAt)
    const type = types[turn % types.length] as number
    if (turn % 3 > 0) memory.bytes.set([type, 0, 0, 0], arenaAt)
    const to = [victim.key, hostile.key, relay.key, unknown][turn % 7] ?? victim.key
    hostile.trunks.of(relay.key).pass(to, arenaAt, length)
    if (turn % 20 === 0) nodes.run(40)
  }
  nodes.run(100)
  assert.deepEqual(victim.frames, [])
  assert.deepEqual(relay.frames, [])
  assert.deepEqual([relayed(), hostile.trunks.strangers], before, 'nothing comes back')
  assert.ok(victim.trunks.strangers > 1_000, 'and most of it came to where it was for')
  assert.equal(nodes.relayOf(hostile, victim), relay.key)
  hostile.send(victim, Buffer.alloc(60, 1))
  nodes.run(40)
  assert.equal(victim.frames.length, 1)
})

test('what is longer than a datagram is not passed on, nor does it touch what lies behind', () => {
  using nodes = new Nodes()
  const [hostile, relay, victim] = [nodes.add('Hostile'), nodes.add('Relay'), nodes.add('Victim')]
  nodes.connect(victim, relay, true)
  nodes.run(1_000)
  const [ours, theirs] = agreed(hostile, relay, true) as [TrunkSession, TrunkSession]
  relay.trunks.join(theirs)
  const { memory, arenaAt } = hostile.layout
  const session = new Session(memory, ours, 0)
  const batch = new SendBatch(memory, arenaAt, 1, 65_507)
  const send = (innerBytes: number): number => {
    const { strangers } = victim.trunks
    const slot = batch.acquire()
    const start = plaintextAt(batch.at(slot))
    memory.bytes.fill(0, start, start + 65_000)
    memory.bytes.set(Buffer.from(victim.key, 'hex'), start)
    memory.bytes[start + 8] = datagramType.data
    const length = session.seal(datagramType.relay, batch.at(slot), 8 + innerBytes)
    batch.commit(slot, length, loopback, relay.socket.port)
    batch.flush(hostile.socket.fd)
    nodes.run(40)
    return victim.trunks.strangers - strangers
  }
  assert.equal(send(1_000), 1)
  assert.equal(send(maxPlaintextBytes), 1)
  const { relayAt } = relay.layout
  const behind = relay.layout.memory.bytes.slice(relayAt + 2_048, relayAt + 65_000)
  for (const innerBytes of [maxPlaintextBytes + 1, 2_048, 9_000, 64_000]) assert.equal(send(innerBytes), 0)
  assert.deepEqual(relay.layout.memory.bytes.slice(relayAt + 2_048, relayAt + 65_000), behind)
  assert.equal(send(1_000), 1)
  session.close()
})
