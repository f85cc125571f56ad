/** What a guest puts into memory that it shares, and archives that it sends. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { Mac } from '#core/ids.ts'
import { ViolinError } from '#core/errors.ts'
import type { Arena } from '#slice/forwarder/port.ts'
import { ConsoleDevice } from '#slice/vhost/console-device.ts'
import { openVhostPort } from '#slice/vhost/net-port.ts'
import { allocate } from '#syscalls/libc.ts'
import { unpack } from '../../../src/cli/unpack.ts'
import {
  Guest,
  HandLoop,
  Place,
  buffersAt,
  guestBase,
  next,
  ringPlace,
  writable
} from '../../slice/vhost/guest.ts'
import { type Target } from '../target.ts'

/** Descriptors of a ring that an input writes, and what it makes available: `index u16`, then heads. */
const described = 8
const tableBytes = described * 16
const ringInputBytes = tableBytes + 2 + described * 2

function ringInput(
  descriptors: readonly {
    readonly at: number
    readonly length: number
    readonly flags: number
    readonly next: number
  }[],
  heads: readonly number[]
): Uint8Array {
  const bytes = new Uint8Array(ringInputBytes)
  const view = new DataView(bytes.buffer)
  for (const [i, one] of descriptors.entries()) {
    view.setBigUint64(i * 16, BigInt(guestBase + one.at), true)
    view.setUint32(i * 16 + 8, one.length, true)
    view.setUint16(i * 16 + 12, one.flags, true)
    view.setUint16(i * 16 + 14, one.next, true)
  }
  view.setUint16(tableBytes, heads.length, true)
  for (const [i, head] of heads.entries()) view.setUint16(tableBytes + 2 + i * 2, head, true)
  return bytes
}

const buffer = (i: number): number => buffersAt + i * 2048
const ringSamples = [
  ringInput([{ at: buffer(0), length: 72, flags: 0, next: 0 }], [0]),
  ringInput(
    [
      { at: buffer(0), length: 12, flags: next, next: 1 },
      { at: buffer(1), length: 700, flags: next, next: 2 },
      { at: buffer(2), length: 800, flags: 0, next: 0 }
    ],
    [0]
  ),
  ringInput(
    Array.from({ length: described }, (_, i) => ({ at: buffer(i), length: 1526, flags: writable, next: 0 })),
    [0, 1, 2, 3, 4, 5, 6, 7]
  ),
  ringInput([{ at: buffer(0), length: 8, flags: 0, next: 0 }], [0, 0, 0])
]

/** Lays an input into a ring: its table, then its heads from where the device is, then the index. */
function lay(guest: Guest, ring: number, bytes: Uint8Array, base: number): number {
  const input = new Uint8Array(ringInputBytes)
  input.set(bytes.subarray(0, ringInputBytes))
  const view = new DataView(input.buffer)
  const place = ringPlace(ring)
  guest.write(place.table, input.subarray(0, tableBytes))
  for (let i = 0; i < described; i++)
    guest.write(
      place.available + 4 + ((base + i) % 256) * 2,
      input.subarray(tableBytes + 2 + i * 2, tableBytes + 4 + i * 2)
    )
  const index = (base + view.getUint16(tableBytes, true)) & 0xffff
  guest.setAvailable(ring, index)
  return index
}

const mac = '02:00:00:00:00:07' as Mac
const memory = allocate(512 * 1024)
const mostFrames = 64

/** A machine that lives until an input ends it; the next input finds another. */
class Worlds<W extends { readonly down: () => boolean; readonly end: () => void }> {
  readonly #make: () => W
  #world: W | null = null

  constructor(make: () => W) {
    this.#make = make
  }

  get(): W {
    this.#world ??= this.#make()
    return this.#world
  }

  /** Looks whether it still lives; gives that. */
  settle(): boolean {
    if (this.#world?.down() !== true) return true
    this.#world.end()
    this.#world = null
    return false
  }
}

function netWorld() {
  const place = new Place()
  const loop = new HandLoop()
  const { path, listenFd } = place.listen()
  let downs = 0
  const port = openVhostPort({ listenFd, mac, mtu: 1500 }, loop, {
    readable: () => {},
    writable: () => {},
    up: () => {},
    down: () => downs++
  })
  const guest = new Guest(path, loop)
  guest.start(2, 1n << 15n)
  return {
    guest,
    port,
    /** Of each ring: what was made available so far. */
    index: [0, 0] as [number, number],
    down: () => downs > 0,
    end: () => {
      assert.equal(downs, 1)
      port.close()
      assert.equal(loop.watched, 0)
      guest[Symbol.dispose]()
      place[Symbol.dispose]()
    }
  }
}

const nets = new Worlds(netWorld)

const netRings: Target = {
  name: 'rings of a network card',
  enters: ['slice/vhost/ring.ts Ring', 'slice/vhost/net-port.ts openVhostPort'],
  form: 'bytes',
  samples: ringSamples,
  maxBytes: ringInputBytes,
  weight: 1,
  decode(bytes) {
    const world = nets.get()
    const ring = ((bytes[12] ?? 0) & writable) === 0 ? 1 : 0
    world.index[ring] = lay(world.guest, ring, bytes, world.index[ring])
    world.guest.kick(ring)
    const arena: Arena = {
      bytes: memory.bytes,
      address: memory.address,
      end: 0,
      count: 0,
      offset: new Uint32Array(mostFrames),
      length: new Uint32Array(mostFrames)
    }
    world.port.receive(arena, mostFrames)
    world.port.flush()
    assert.ok(arena.count <= mostFrames && arena.end <= memory.bytes.length)
    for (let i = 0; i < arena.count; i++)
      assert.ok((arena.offset[i] as number) + (arena.length[i] as number) <= memory.bytes.length)
    return nets.settle() && arena.count > 0
  }
}

const consolePorts = 3
const controlTransmit = 3

function consoleWorld() {
  const place = new Place()
  const loop = new HandLoop()
  const { path, listenFd } = place.listen()
  const told: string[] = []
  const device = new ConsoleDevice(
    { id: 1, listenFd, maxPorts: consolePorts },
    loop,
    ({ kind }) => told.push(kind),
    () => {}
  )
  const guest = new Guest(path, loop)
  guest.start(2 * (consolePorts + 1), 1n << 1n)
  const port = device.port(1)
  port?.open(7)
  if (port !== null) device.touch(port)
  return {
    guest,
    device,
    told,
    index: 0,
    down: () => told.includes('disconnected'),
    end: () => {
      assert.equal(told.filter((kind) => kind === 'disconnected').length, 1)
      device.close()
      assert.equal(loop.watched, 0)
      guest[Symbol.dispose]()
      place[Symbol.dispose]()
    }
  }
}

const consoles = new Worlds(consoleWorld)
const controls = [
  [0, 0, 1],
  [1, 3, 1],
  [1, 6, 1],
  [1, 6, 0],
  [9, 6, 1],
  [0, 0, 0]
].map(([port = 0, event = 0, value = 0]) => Uint8Array.of(port, 0, 0, 0, event, 0, value, 0))

const consoleControls: Target = {
  name: 'control of a console',
  enters: ['slice/vhost/console-device.ts ConsoleDevice'],
  form: 'bytes',
  samples: [...controls, ...ringSamples],
  maxBytes: ringInputBytes,
  weight: 0.5,
  decode(bytes) {
    const world = consoles.get()
    const whole = bytes.length > 32
    world.guest.write(buffersAt, whole ? (controls[0] as Uint8Array) : bytes)
    const input = whole ? bytes : ringInput([{ at: buffersAt, length: bytes.length, flags: 0, next: 0 }], [0])
    world.index = lay(world.guest, controlTransmit, input, world.index)
    const before = world.told.length
    world.guest.kick(controlTransmit)
    for (let turns = 0; world.device.pump(); turns++)
      assert.ok(turns < 2_100, 'the console does not come to rest')
    assert.ok(world.told.length - before <= 2 * described + 2, 'more reports than messages')
    if (!world.down() && world.told.length > 64) world.told.splice(0)
    return consoles.settle()
  }
}

function tarEntry(name: string, type: string, content = '', target = ''): Buffer {
  const header = Buffer.alloc(512)
  header.write(name, 0, 100)
  header.write('0000644\0', 100)
  header.write(`${Buffer.byteLength(content).toString(8).padStart(11, '0')}\0`, 124)
  header.write(' '.repeat(8) + type, 148)
  header.write(target, 157, 100)
  header.write('ustar\x0000', 257)
  const body = Buffer.alloc(Math.ceil(Buffer.byteLength(content) / 512) * 512)
  body.write(content)
  return Buffer.concat([header, body])
}

/** Right checksums in whatever an input made of the headers, so that what is behind them is reached. */
function summed(archive: Uint8Array): Buffer {
  const bytes = Buffer.from(archive)
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    const header = bytes.subarray(at, at + 512)
    if (header.toString('latin1', 257, 262) !== 'ustar') continue
    header.write(' '.repeat(8), 148)
    const sum = header.reduce((total, byte) => total + byte, 0)
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  }
  return bytes
}

const archives: Target = {
  name: 'archive from an entity',
  enters: ['cli/unpack.ts unpack'],
  form: 'bytes',
  samples: [
    Buffer.concat([
      tarEntry('a/b', '0', 'hello'),
      tarEntry('a/c', '2', '', '../../outside'),
      Buffer.alloc(1024)
    ]),
    Buffer.concat([tarEntry('d', '5'), tarEntry('d/e', '1', '', 'd/f'), tarEntry('d/f', '0', 'x')]),
    Buffer.concat([
      tarEntry('x', 'x', '20 path=long/name\n'),
      tarEntry('short', '0', 'x'),
      Buffer.alloc(1024)
    ]),
    Buffer.concat([tarEntry('l', 'L', '../../../outside'), tarEntry('short', '0', 'x'), Buffer.alloc(512)]),
    Buffer.concat([tarEntry('link', '2', '', '/tmp'), tarEntry('link/inside', '0', 'x')])
  ].map((bytes) => new Uint8Array(bytes)),
  maxBytes: 8192,
  weight: 1,
  async decode(bytes) {
    const place = mkdtempSync('/dev/shm/violin-fuzz-')
    try {
      const folder = join(place, 'in', 'target')
      mkdirSync(folder, { recursive: true })
      const even = bytes.length % 2 === 0
      await unpack(Readable.from([even ? summed(bytes) : Buffer.from(bytes)]), folder)
      return true
    } catch (error: unknown) {
      // The file system has its own noes: a name that is too long, a file where a folder should be.
      if (error instanceof ViolinError || typeof (error as NodeJS.ErrnoException).syscall === 'string')
        return false
      throw error
    } finally {
      assert.deepEqual([readdirSync(place), readdirSync(join(place, 'in'))], [['in'], ['target']])
      rmSync(place, { recursive: true, force: true })
    }
  }
}

export const guests: readonly Target[] = [netRings, consoleControls, archives]
