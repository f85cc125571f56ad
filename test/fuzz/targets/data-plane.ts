/** What comes in datagrams of trunks, sealed or not: frames in pieces, control items, elections, probes. */
import assert from 'node:assert/strict'
import { type Message, decodeMessage, encodeMessage } from '#core/election/message.ts'
import type { HostId, HostKey, Mac, ViolinId } from '#core/ids.ts'
import type { Tag } from '#core/election/types.ts'
import { finishChecksum } from '#frame/checksum.ts'
import {
  decodeRekey,
  encodeRekey,
  readControlItems,
  writeControlItem,
  type ControlItem
} from '#frame/control.ts'
import { datagramHeaderBytes, datagramType, isDatagram, maxDatagramBytes } from '#frame/datagram.ts'
import { ethernetHeaderBytes, formatMac, maxFrameBytes, parseMac } from '#frame/ethernet.ts'
import { Packer, dataHeaderBytes } from '#frame/packer.ts'
import {
  blocksOf,
  blockType,
  countsOf,
  frameBlockBytes,
  interfaceBlock,
  interfaceOf,
  putFrame,
  renumber,
  statisticsBlock
} from '#frame/pcapng.ts'
import { ReplayWindow, replayWindow } from '#frame/replay.ts'
import { FragmentPool, Unpacker, assemblyBytes } from '#frame/unpacker.ts'
import { deriveTrunkSession, makeTrunkHalf } from '#slice/forwarder/derive.ts'
import { PathSize } from '#slice/forwarder/path-size.ts'
import { Paths } from '#slice/forwarder/paths.ts'
import { Session } from '#slice/forwarder/session.ts'
import { allocate } from '#syscalls/libc.ts'
import { type Target, bytesOf, same, text } from '../target.ts'

const term = { counter: 7, host: '0011223344556677' as HostKey }
const header = { life: 1, stamp: 2, echo: 3, highest: 7, follows: term }
const macs = ['02:00:00:00:00:01', '02:ff:00:00:00:02'] as Mac[]
const messages: readonly Message[] = [
  { kind: 'probe', ...header },
  { kind: 'status', ...header, lost: true, took: term, rival: null, version: 4 },
  {
    kind: 'beat',
    ...header,
    follows: null,
    state: 'active',
    counter: 7,
    tag: 9 as Tag,
    fast: true,
    edges: 2,
    have: 4,
    standby: term.host,
    successor: term,
    witnesses: [term.host, 'ffeeddccbbaa9988' as HostKey]
  },
  {
    kind: 'ports',
    ...header,
    version: 4,
    part: 0,
    parts: 2,
    ports: macs.map((mac, claim) => ({ mac, claim }))
  },
  { kind: 'shut', ...header, ports: macs.map((mac, claim) => ({ mac, claim, by: term.host })) },
  { kind: 'handoff', ...header, counter: 7 }
]

const election: Target = {
  name: 'election message',
  enters: ['core/election/message.ts decodeMessage'],
  form: 'bytes',
  samples: messages.map(encodeMessage),
  maxBytes: maxDatagramBytes,
  weight: 24,
  decode(bytes) {
    const message = decodeMessage(bytes)
    if (message === null) return false
    same(encodeMessage(message), bytes)
    return true
  }
}

const room = new Uint8Array(1 << 17)
const roomView = new DataView(room.buffer)

function itemBytes(items: readonly ControlItem[]): Uint8Array {
  const end = items.reduce((at, item) => writeControlItem(room, roomView, at, item), 0)
  return room.slice(0, end)
}

const items: Target = {
  name: 'control items',
  enters: ['frame/control.ts readControlItems'],
  form: 'bytes',
  samples: [
    itemBytes([{ type: 1, lan: 0xdead_beef, body: encodeMessage(messages[2] as Message) }]),
    itemBytes([
      { type: 2, lan: 0, body: new Uint8Array(8) },
      { type: 5, lan: 1, body: new Uint8Array(0) },
      { type: 0, lan: 0, body: new Uint8Array(300) }
    ])
  ],
  maxBytes: maxDatagramBytes,
  weight: 20,
  decode(bytes) {
    room.set(bytes, 100)
    const read = readControlItems(room, roomView, 100, bytes.length)
    if (read === null) return false
    same(itemBytes(read), bytes)
    return true
  }
}

const rekeys: Target = {
  name: 'rekey',
  enters: ['frame/control.ts decodeRekey'],
  form: 'bytes',
  samples: [encodeRekey({ phase: 1, answer: true, publicKey: new Uint8Array(32).fill(7) })],
  maxBytes: 128,
  weight: 8,
  decode(bytes) {
    const rekey = decodeRekey(bytes)
    if (rekey === null) return false
    same(encodeRekey(rekey), bytes)
    return true
  }
}

const captureStamp = { seconds: 1, nanoseconds: 2 }
const capturedFrame = new Uint8Array(frameBlockBytes(60))
putFrame(capturedFrame, 0, 1, captureStamp, 2, new Uint8Array(60).fill(3))

const captures: Target = {
  name: 'capture blocks',
  enters: ['frame/pcapng.ts blocksOf'],
  form: 'bytes',
  samples: [
    Buffer.concat([
      interfaceBlock('a:eth0', { high: 0x0200, low: 7 }),
      capturedFrame,
      statisticsBlock(0, captureStamp, { received: 3, dropped: 1 })
    ])
  ],
  maxBytes: 4096,
  weight: 8,
  decode(bytes) {
    try {
      const blocks = blocksOf(Uint8Array.from(bytes))
      for (const block of blocks) {
        if (block.type === blockType.interface) continue
        renumber(block, interfaceOf(block))
        const { received, dropped } = countsOf(block)
        assert.ok(block.type === blockType.statistics ? received >= 0 && dropped >= 0 : true)
      }
      same(Buffer.concat(blocks.map((block) => block.bytes)), bytes)
      return true
    } catch (error: unknown) {
      if (!(error instanceof RangeError)) throw error
      return false
    }
  }
}

/** Where unpacked datagrams lie, the pool behind them, and the assembly at the end; all else stays untouched. */
const plain = { datagrams: 4096, pool: 16_384, slots: 32, slotBytes: 1400 }
const assemblyAt = plain.pool + plain.slots * plain.slotBytes
const unpackMemory = new Uint8Array(assemblyAt + assemblyBytes + 64)
const unpackView = new DataView(unpackMemory.buffer)
const pool = new FragmentPool(plain.pool, plain.slots, plain.slotBytes)
let unpacked = 0
let unpackedBytes = 0
const unpacker = new Unpacker(unpackMemory, unpackView, pool, assemblyAt, {
  frame(_tag, at, length) {
    assert.ok(length >= ethernetHeaderBytes && length <= maxFrameBytes, `a frame of ${length} bytes`)
    assert.ok(at >= plain.datagrams && at + length <= unpackMemory.length - 64, `a frame at ${at}+${length}`)
    unpackMemory.fill(0xee, at - 12, at)
    unpacked++
    unpackedBytes += length
  }
})

/** Datagrams of frames of several sizes: whole, in two pieces, and in many. */
function packed(): Uint8Array[] {
  const datagrams: Uint8Array[] = []
  const sink = {
    begin: () => 60_000,
    end: (at: number, length: number) => void datagrams.push(room.slice(at, at + length))
  }
  const packer = new Packer(room, roomView, sink, 700)
  for (const length of [60, 60, 1000, 100, 3000, 14, 650]) packer.append(5, 0, length)
  packer.finish()
  return datagrams
}

const frames: Target = {
  name: 'frames of a trunk',
  enters: ['frame/unpacker.ts Unpacker'],
  form: 'bytes',
  samples: packed(),
  maxBytes: plain.slotBytes + dataHeaderBytes + 64,
  weight: 36,
  decode(bytes) {
    unpacked = unpackedBytes = 0
    unpackMemory.set(bytes, plain.datagrams)
    unpacker.accept(plain.datagrams, bytes.length)
    // Its own frames, and at most one more put together of what waited before it and one of what waits behind.
    assert.ok(
      unpacked <= bytes.length / (6 + ethernetHeaderBytes) + 2,
      `${unpacked} frames of ${bytes.length} bytes`
    )
    assert.ok(unpackedBytes <= bytes.length + 2 * maxFrameBytes)
    assert.ok(unpackMemory.subarray(-64).every((byte) => byte === 0))
    return unpacked > 0
  }
}

const replays: Target = {
  name: 'replay window',
  enters: ['frame/replay.ts ReplayWindow'],
  form: 'bytes',
  samples: [
    new Uint8Array(new Uint32Array([0, 1, 2, 5, 4, 3, 5, 70_000, 69_999, 4, 4_464, 4_465]).buffer),
    new Uint8Array(new Uint32Array([replayWindow, 0, 1, replayWindow * 2, 0xffff_ffff, 0xffff_fffe]).buffer)
  ],
  maxBytes: 512,
  weight: 12,
  decode(bytes) {
    const window = new ReplayWindow()
    const counters = new Uint32Array(bytes.slice(0, bytes.length & ~3).buffer)
    const taken = new Set<number>()
    let highest = -1
    for (const counter of counters) {
      const expected = !taken.has(counter) && counter > highest - replayWindow
      assert.equal(window.accept(counter), expected)
      if (expected) taken.add(counter)
      highest = Math.max(highest, counter)
    }
    return taken.size > 1
  }
}

const memory = allocate(1 << 16)
const trunkViolin = 'aa'.repeat(32) as ViolinId
const [alice, bob] = ['12D3KooWAlice' as HostId, '12D3KooWBob' as HostId]

function session(self: HostId, peer: HostId, own: Half, other: Half): Session {
  const keys = deriveTrunkSession({
    violin: trunkViolin,
    self,
    peer,
    peerKey: `key of ${peer}` as HostKey,
    own,
    peerHalf: other.half,
    authForMs: 1e9
  })
  return new Session(memory, keys, 0)
}

type Half = ReturnType<typeof makeTrunkHalf>
const halves = [makeTrunkHalf([]), makeTrunkHalf([])] as const
const sender = session(alice, bob, halves[0], halves[1])
let receiver = session(bob, alice, halves[1], halves[0])
const rekey = (alice < bob ? sender : receiver).rekey(1e9)

/** Datagrams that the sender sealed, and what they hold. */
const genuine = new Map<string, number>()
const sealed = [0, 1, 60, 1300, 1400].map((length) => {
  const at = 1024
  memory.bytes.fill(length & 0xff, at + datagramHeaderBytes, at + datagramHeaderBytes + length)
  const whole = sender.seal(length % 2 === 0 ? datagramType.data : datagramType.control, at, length)
  const bytes = memory.bytes.slice(at, at + whole)
  genuine.set(Buffer.from(bytes).toString('latin1'), length)
  return bytes
})
let opened = new Set<string>()

const datagrams: Target = {
  name: 'trunk datagram',
  enters: ['frame/datagram.ts isDatagram', 'slice/forwarder/session.ts Session'],
  form: 'bytes',
  samples: sealed,
  maxBytes: 2048,
  weight: 8,
  decode(bytes) {
    const at = 4096
    memory.bytes.set(bytes, at)
    if (!isDatagram(memory.view, at, bytes.length)) return false
    const name = Buffer.from(bytes).toString('latin1')
    const length = receiver.open(at, bytes.length, 1)
    // Opened is exactly what was sealed and did not come before: no other byte anywhere.
    assert.equal(length, opened.has(name) ? -1 : (genuine.get(name) ?? -1))
    if (length < 0) return false
    opened.add(name)
    if (opened.size < genuine.size) return true
    receiver.close()
    receiver = session(bob, alice, halves[1], halves[0])
    opened = new Set()
    return true
  }
}

const rekeyings: Target = {
  name: 'rekeying of a session',
  enters: ['slice/forwarder/session.ts takeRekey'],
  form: 'bytes',
  samples: [rekey ?? encodeRekey({ phase: 1, answer: false, publicKey: new Uint8Array(32).fill(9) })],
  maxBytes: 64,
  weight: 1,
  decode(bytes) {
    const answers = [sender, receiver].map((side) => side.takeRekey(bytes, 2))
    for (const answer of answers) assert.ok(answer === null || decodeRekey(answer) !== null)
    return answers.some((answer) => answer !== null)
  }
}

let draw = 1
const random = (): number => (draw = (draw * 48_271) % 0x7fff_ffff) / 0x7fff_ffff
const paths = new Paths(random)
paths.announce(
  [
    { ip: 0x0a00_0001, port: 4790 },
    { ip: 0x0a00_0002, port: 4791 }
  ],
  0
)
const probes: Uint8Array[] = []
paths.due(0, (_candidate, body) => void probes.push(body.slice()))
const size = new PathSize(random)
size.reset(0, 'direct')
const sizeProbe = size.due(0)

const answers: Target = {
  name: 'answers to probes',
  enters: ['slice/forwarder/paths.ts answered', 'slice/forwarder/path-size.ts answered'],
  form: 'bytes',
  samples: [...probes, ...(sizeProbe === null ? [] : [sizeProbe])],
  maxBytes: 64,
  weight: 6,
  decode(bytes) {
    const taken = paths.answered(bytes, 5)
    if (taken)
      assert.ok(probes.some((probe) => Buffer.compare(probe.subarray(0, 4), bytes.subarray(0, 4)) === 0))
    assert.ok(paths.candidates.every(({ rttMs }) => rttMs === null || (rttMs >= 0 && rttMs <= 10_000)))
    return size.answered(bytes, 5) || taken
  }
}

const checksums: Target = {
  name: 'offloaded checksum',
  enters: ['frame/checksum.ts finishChecksum'],
  form: 'bytes',
  samples: [
    Uint8Array.from([1, 0, 0, 0, 0, 0, 14, 0, 6, 0, 0, 0, ...new Uint8Array(60)]),
    new Uint8Array(72)
  ],
  maxBytes: 2048,
  weight: 5,
  decode(bytes) {
    const at = 512
    room.fill(0xaa, 0, 4096)
    room.set(bytes, at)
    if (bytes.length < 26) return false
    const done = finishChecksum(room, roomView, at, bytes.length)
    assert.ok(room.subarray(0, at).every((byte) => byte === 0xaa))
    assert.ok(room.subarray(at + bytes.length, 4096).every((byte) => byte === 0xaa))
    return done
  }
}

const addresses: Target = {
  name: 'MAC',
  enters: ['frame/ethernet.ts parseMac'],
  form: 'text',
  samples: macs.map(bytesOf),
  maxBytes: 64,
  weight: 4,
  decode(bytes) {
    const mac = parseMac(text(bytes))
    if (mac === null) return false
    assert.equal(formatMac(mac.high, mac.low), text(bytes).toLowerCase())
    return true
  }
}

export const dataPlane: readonly Target[] = [
  election,
  items,
  rekeys,
  captures,
  frames,
  replays,
  datagrams,
  rekeyings,
  answers,
  checksums,
  addresses
]
