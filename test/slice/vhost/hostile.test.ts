import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { Mac } from '#core/ids.ts'
import type { Arena } from '#slice/forwarder/port.ts'
import { openVhostPort, queuedFrames, type VhostPort } from '#slice/vhost/net-port.ts'
import { request } from '#slice/vhost/protocol.ts'
import { allocate } from '#syscalls/libc.ts'
import {
  buffersAt,
  descriptors,
  Guest,
  guestBase,
  HandLoop,
  memoryBytes,
  next,
  Place,
  ringAddress,
  ringPlace,
  ringSize,
  userBase,
  words32,
  words64,
  writable
} from './guest.ts'

const mac = '02:00:00:00:00:07' as Mac
const mergeBuffers = 1n << 15n
const receiveRing = 0
const transmitRing = 1
const memory = allocate(512 * 1024)

function emptyArena(): Arena {
  return {
    bytes: memory.bytes,
    address: memory.address,
    end: 0,
    count: 0,
    offset: new Uint32Array(64),
    length: new Uint32Array(64)
  }
}

interface World {
  readonly loop: HandLoop
  readonly guest: Guest
  readonly port: VhostPort
  readonly told: string[]
  /** Takes frames out of the port, as the forwarder's loop does; gives them without the vnet header. */
  readonly frames: () => Buffer[]
}

/** A port and its front end, and their end, which leaves nothing behind. */
function withPort(work: (world: World) => void): void {
  using place = new Place()
  using loop = new HandLoop()
  const { path, listenFd } = place.listen()
  const told: string[] = []
  const port = openVhostPort({ listenFd, mac, mtu: 1500 }, loop, {
    readable: () => told.push('readable'),
    writable: () => told.push('writable'),
    up: () => told.push('up'),
    down: (reason) => told.push(`down: ${reason}`)
  })
  const guest = new Guest(path, loop)
  const frames = (): Buffer[] => {
    const arena = emptyArena()
    port.receive(arena, 64)
    port.flush()
    return Array.from({ length: arena.count }, (_, i) => {
      const at = arena.offset[i] as number
      return Buffer.from(memory.bytes.subarray(at + 12, at + (arena.length[i] as number)))
    })
  }
  try {
    work({ loop, guest, port, told, frames })
  } finally {
    port.close()
    assert.equal(loop.watched, 0)
    guest[Symbol.dispose]()
  }
}

/** Puts a frame into guest memory as virtio_net does: header and data in one buffer. */
function transmit(guest: Guest, head: number, frame: Uint8Array): void {
  const at = buffersAt + head * 2048
  guest.write(at, new Uint8Array(12))
  guest.write(at + 12, frame)
  guest.describe(transmitRing, head, {
    address: guestBase + at,
    length: 12 + frame.length,
    flags: 0,
    next: 0
  })
  guest.offer(transmitRing, head)
}

/** Offers one receive buffer. */
function lend(guest: Guest, head: number, length: number): void {
  const address = guestBase + buffersAt + head * 2048
  guest.describe(receiveRing, head, { address, length, flags: writable, next: 0 })
  guest.offer(receiveRing, head)
}

function send(port: VhostPort, frame: Uint8Array): boolean {
  const arena = emptyArena()
  memory.bytes.fill(0, 0, 12)
  memory.bytes.set(frame, 12)
  return port.send(arena, 0, 12 + frame.length)
}

const frameOf = (seed: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 255)

test('frames cross in order, whole, also where indices wrap', () => {
  withPort(({ guest, port, told, frames }) => {
    // 65,500: the indices pass 65,536 after 36 frames.
    guest.start(2, mergeBuffers, 65_500)
    assert.ok(told.includes('up'))
    for (let round = 0; round < 120; round++) {
      transmit(guest, round % ringSize, frameOf(round, 60 + round))
      guest.kick(transmitRing)
      assert.deepEqual(frames(), [Buffer.from(frameOf(round, 60 + round))])
      assert.deepEqual(guest.used(transmitRing), [{ head: round % ringSize, length: 0 }])
      lend(guest, round % ringSize, 2048)
      guest.kick(receiveRing)
      assert.ok(send(port, frameOf(round, 1514)))
      port.flush()
      assert.deepEqual(guest.used(receiveRing), [{ head: round % ringSize, length: 1526 }])
      const got = guest.read(buffersAt + (round % ringSize) * 2048, 1526)
      assert.deepEqual(got.subarray(12), Buffer.from(frameOf(round, 1514)))
      assert.equal(got.readUInt16LE(10), 1)
    }
    assert.ok(!told.some((event) => event.startsWith('down')))
  })
})

test('a frame in several buffers, or into several, is one frame', () => {
  const cuts = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(cuts, fc.integer({ min: 14, max: 1514 }), (sizes, length) => {
      withPort(({ guest, port, frames }) => {
        guest.start(2, mergeBuffers)
        const frame = frameOf(3, length)
        const whole = new Uint8Array(12 + length)
        whole.set(frame, 12)
        guest.write(buffersAt, whole)
        const pieces = cut(12 + length, sizes)
        for (const [i, piece] of pieces.entries()) {
          const last = i === pieces.length - 1
          const flags = last ? 0 : next
          guest.describe(transmitRing, i, {
            address: guestBase + buffersAt + piece.at,
            length: piece.length,
            flags,
            next: i + 1
          })
          guest.describe(receiveRing, i, {
            address: guestBase + buffersAt + 8192 + piece.at,
            length: piece.length,
            flags: writable,
            next: 0
          })
          guest.offer(receiveRing, i)
        }
        guest.offer(transmitRing, 0)
        guest.kick(transmitRing)
        assert.deepEqual(frames(), [Buffer.from(frame)])
        assert.ok(send(port, frame))
        port.flush()
        const used = guest.used(receiveRing)
        assert.deepEqual(
          used,
          pieces.map((piece, head) => ({ head, length: piece.length }))
        )
        const got = guest.read(buffersAt + 8192, 12 + length)
        assert.equal(got.readUInt16LE(10), pieces.length)
        assert.deepEqual(got.subarray(12), Buffer.from(frame))
      })
    }),
    { numRuns: 40 }
  )
})

/** Cuts a length into at most 60 pieces by the sizes, again and again; no piece is shorter than the header. */
function cut(length: number, sizes: readonly number[]): { at: number; length: number }[] {
  const pieces: { at: number; length: number }[] = []
  for (let at = 0, i = 0; at < length; i++) {
    const size = Math.max(30, sizes[i % sizes.length] as number)
    pieces.push({ at, length: Math.min(size, length - at) })
    at += size
  }
  return pieces
}

test('frames wait for a guest without buffers, in order, up to a bound', () => {
  withPort(({ guest, port }) => {
    guest.start(2, mergeBuffers)
    for (let i = 0; i < queuedFrames; i++) assert.ok(send(port, frameOf(i, 100)))
    port.flush()
    assert.ok(!send(port, frameOf(0, 100)))
    assert.deepEqual(guest.used(receiveRing), [])
    for (let i = 0; i < 100; i++) lend(guest, i, 2048)
    guest.kick(receiveRing)
    assert.equal(guest.used(receiveRing).length, 100)
    for (let i = 0; i < 100; i++)
      assert.deepEqual(guest.read(buffersAt + i * 2048 + 12, 100), Buffer.from(frameOf(i, 100)))
    assert.ok(send(port, frameOf(0, 100)))
  })
})

test('a frame that is too short or too long is dropped and the next one passes', () => {
  withPort(({ guest, told, frames }) => {
    guest.start(2, mergeBuffers)
    transmit(guest, 0, frameOf(0, 5))
    transmit(guest, 1, frameOf(0, 1900))
    transmit(guest, 2, frameOf(0, 64))
    guest.kick(transmitRing)
    assert.deepEqual(frames(), [Buffer.from(frameOf(0, 64))])
    assert.equal(guest.used(transmitRing).length, 3)
    assert.ok(!told.some((event) => event.startsWith('down')))
  })
})

test('the guest reads its MAC, MTU and the state of the cable, and is told when that changes', () => {
  withPort(({ guest, port }) => {
    guest.start(2, mergeBuffers)
    const config = (): number[] => [
      ...(guest.ask(request.getConfig, words32(0, 12, 0, 0, 0, 0)) as Uint8Array).subarray(12)
    ]
    assert.deepEqual(config(), [2, 0, 0, 0, 0, 7, 1, 0, 0, 0, 0xdc, 5])
    assert.deepEqual(guest.channel(), [])
    port.setLink(false)
    assert.deepEqual(guest.channel(), [2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    assert.equal(config()[6], 0)
  })
})

const faults: Record<string, (guest: Guest) => void> = {
  'an index further ahead than the ring is long': (guest) => {
    guest.describe(transmitRing, 0, { address: guestBase, length: 64, flags: 0, next: 0 })
    guest.setAvailable(transmitRing, ringSize + 1)
  },
  'a head outside of the table': (guest) => guest.offer(transmitRing, ringSize),
  'a loop of descriptors': (guest) => {
    guest.describe(transmitRing, 0, { address: guestBase, length: 1, flags: next, next: 0 })
    guest.offer(transmitRing, 0)
  },
  'a chain that leaves the table': (guest) => {
    guest.describe(transmitRing, 0, { address: guestBase, length: 1, flags: next, next: 9999 })
    guest.offer(transmitRing, 0)
  },
  'an address before the memory': (guest) => offerOne(guest, guestBase - 1, 64, 0),
  'an address behind the memory': (guest) => offerOne(guest, guestBase + memoryBytes, 1, 0),
  'a buffer that reaches over the end': (guest) => offerOne(guest, guestBase + memoryBytes - 10, 11, 0),
  'an address of 64 bits': (guest) => offerOne(guest, 0xffff_ffff_ffff_fff0n, 64, 0),
  'a length of 4 GB': (guest) => offerOne(guest, guestBase, 0xffff_ffff, 0),
  'a buffer of no bytes': (guest) => offerOne(guest, guestBase, 0, 0),
  'a buffer for the other direction': (guest) => offerOne(guest, guestBase, 64, writable),
  'an indirect table, which was not offered': (guest) => offerOne(guest, guestBase, 64, 4),
  'a memory file that was cut short': (guest) => {
    transmit(guest, 0, frameOf(0, 64))
    guest.truncate(4096)
  }
}

function offerOne(guest: Guest, address: number | bigint, length: number, flags: number): void {
  guest.describe(transmitRing, 0, { address, length, flags, next: 0 })
  guest.offer(transmitRing, 0)
}

for (const [what, spoil] of Object.entries(faults)) {
  test(`${what} ends the port and nothing else`, () => {
    withPort(({ guest, told, frames }) => {
      guest.start(2, mergeBuffers)
      assert.ok(told.includes('up'))
      spoil(guest)
      guest.kick(transmitRing)
      assert.deepEqual(frames(), [])
      assert.equal(told.filter((event) => event.startsWith('down')).length, 1)
    })
  })
}

const badRequests: Record<string, (guest: Guest) => void> = {
  'features that were not offered': (guest) => guest.ask(request.setFeatures, words64(1n << 60n)),
  'a ring that does not exist': (guest) => guest.ask(request.setRingSize, words32(2, 256)),
  'a ring outside of the memory': (guest) => {
    guest.start(1, 0n)
    guest.ask(request.setRingSize, words32(1, ringSize))
    guest.ask(request.setCall, words32(1, 0), [guest.memoryFd])
    const outside = BigInt(userBase + memoryBytes - 4096)
    guest.ask(request.setRingAddress, words64(1n, outside, outside + 4096n, outside, 0n))
    guest.startLast(1)
  },
  'memory without a file': (guest) =>
    guest.ask(request.setMemoryTable, words64(1n, BigInt(guestBase), 8192n, BigInt(userBase), 0n)),
  'memory longer than its file': (guest) =>
    guest.ask(
      request.setMemoryTable,
      words64(1n, BigInt(guestBase), BigInt(memoryBytes + 4096), BigInt(userBase), 0n),
      [guest.memoryFd]
    ),
  'new memory under running rings': (guest) => {
    guest.start(2, 0n)
    const region = words64(1n, BigInt(guestBase), 8192n, BigInt(userBase), 0n)
    guest.ask(request.setMemoryTable, region, [guest.memoryFd])
  },
  'a ring that moves while it runs': (guest) => {
    guest.start(2, 0n)
    guest.ask(request.setRingAddress, ringAddress(0))
  },
  'a kick that no one can wait for': (guest) => guest.ask(request.setKick, words32(0, 0), [guest.memoryFd]),
  'a kick without a descriptor': (guest) => guest.ask(request.setKick, words32(0, 0)),
  'a request that is none': (guest) => guest.ask(99, new Uint8Array(8)),
  'more descriptors than any request has': (guest) =>
    guest.ask(
      request.setOwner,
      new Uint8Array(0),
      Array.from({ length: 8 }, () => guest.memoryFd)
    ) ?? guest.ask(request.setKick, words32(0, 0), [])
}

for (const [what, ask] of Object.entries(badRequests)) {
  test(`${what} ends the port`, () => {
    withPort(({ guest, told }) => {
      ask(guest)
      assert.equal(told.filter((event) => event.startsWith('down')).length, 1)
    })
  })
}

/** Spoils one place of a ring that was good: most of what is left stays valid, so that the walk goes deep. */
const mutation = fc.record({
  ring: fc.constantFrom(receiveRing, transmitRing),
  part: fc.constantFrom('table', 'table', 'available', 'used'),
  at: fc.nat(600),
  bytes: fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 8 }),
    fc.constantFrom(Uint8Array.of(0), Uint8Array.of(255, 255), Uint8Array.of(1, 0), Uint8Array.of(3, 0))
  )
})

test('rings that are spoiled while they run harm nobody and leave nothing', { timeout: 240_000 }, () => {
  const before = descriptors()
  let downs = 0
  let ups = 0
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 12 }), fc.nat(20), (mutations, cutAfter) => {
      withPort(({ guest, port, told, frames }) => {
        guest.start(2, mergeBuffers)
        for (const [i, { ring, part, at, bytes }] of mutations.entries()) {
          transmit(guest, i, frameOf(i, 100))
          lend(guest, i, 2048)
          guest.write(ringPlace(ring)[part as 'table'] + at, bytes)
          if (i === cutAfter) guest.truncate(memoryBytes / 2)
          send(port, frameOf(i, 200))
          guest.kick(transmitRing)
          guest.kick(receiveRing)
          for (const frame of frames()) assert.ok(frame.length >= 14 && frame.length <= 1522)
        }
        assert.ok(told.filter((event) => event.startsWith('down')).length <= 1)
        if (told.some((event) => event.startsWith('down'))) downs++
        else ups++
      })
    }),
    { numRuns: 1_500 }
  )
  assert.ok(downs > 100 && ups > 100, `${downs} ended, ${ups} went on`)
  assert.equal(descriptors(), before)
  assert.doesNotMatch(readFileSync('/proc/self/maps', 'utf8'), /violin-guest/)
})

test('any bytes on the socket end the port or wait for more', { timeout: 120_000 }, () => {
  const before = descriptors()
  const request32 = fc.record({
    number: fc.nat(30),
    payload: fc.array(fc.nat(300), { maxLength: 12 }),
    fds: fc.nat(2)
  })
  fc.assert(
    fc.property(fc.array(request32, { maxLength: 20 }), fc.uint8Array({ maxLength: 64 }), (asks, rest) => {
      withPort(({ guest, told }) => {
        for (const { number, payload, fds } of asks)
          guest.ask(
            number,
            words32(...payload),
            Array.from({ length: fds }, () => guest.memoryFd)
          )
        guest.send(rest)
        assert.ok(told.filter((event) => event.startsWith('down')).length <= 1)
      })
    }),
    { numRuns: 1_000 }
  )
  assert.equal(descriptors(), before)
})
