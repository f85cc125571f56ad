/**
 * A vNIC of a User-Mode Linux machine as a port of the forwarder: virtio-net over vhost-user (virtio 1.2, 5.1),
 * without offload, so every frame is whole and has its checksum.
 *
 * To the machine: `send` copies a frame into the port's queue; `flush` lays as many as the guest has buffers for
 * into them, all in one system call; the rest waits for the guest's kick. From it: `receive` copies frames into
 * the arena, all in one call too.
 */
import { ethernetHeaderBytes, parseMac } from '#frame/ethernet.ts'
import type { Mac } from '#core/ids.ts'
import { allocate, free, type NativeMemory } from '#syscalls/libc.ts'
import { Copies } from '#syscalls/memory.ts'
import {
  type Arena,
  type Port,
  type PortCaps,
  type PortEvents,
  vnetHeaderBytes,
  type Watcher
} from '../forwarder/port.ts'
import { Backend, type VhostDevice } from './backend.ts'
import { VhostFault } from './fault.ts'
import { readAll } from './guest-memory.ts'
import { maxSegments, type Ring } from './ring.ts'

/** Frames that wait for a guest's buffers: a ring's worth. More is delay (256 are 1.5 ms at 2 Gb/s), less is loss. */
export const queuedFrames = 256
/** Two VLAN tags on top of the MTU. */
const tagBytes = 8

/** Copies that a ring needs for itself when it publishes. */
const spareCopies = 4

const receiveRing = 0
const transmitRing = 1

const features = {
  mtu: 1n << 3n,
  mac: 1n << 5n,
  mergeBuffers: 1n << 15n,
  status: 1n << 16n
} as const
/** struct virtio_net_config: MAC 6, status 2, queue pairs 2, MTU 2. */
const configBytes = 12
const statusAt = 6
const mtuAt = 10
const linkUp = 1
/** num_buffers in struct virtio_net_hdr_v1. */
const bufferCountAt = 10

/** One list of copies for all ports of a thread: none is used across calls. */
const copies = new Copies()

export interface VhostPortOptions {
  /** A listening, non-blocking AF_UNIX stream socket, the port's from now on. */
  readonly listenFd: number
  /** The MAC that the machine is given. */
  readonly mac: Mac
  readonly mtu: number
}

export interface VhostPort extends Port {
  /** Plugs the cable in or pulls it out, as the machine sees it. Plugged in at the start. */
  setLink(up: boolean): void
}

/** Waits for one machine behind `listenFd`; `up` comes when its driver runs. Throws SyscallError. */
export function openVhostPort(options: VhostPortOptions, watcher: Watcher, events: PortEvents): VhostPort {
  return new NetPort(options, watcher, events)
}

class NetPort implements VhostPort, VhostDevice {
  readonly caps: PortCaps
  readonly features: bigint = features.mtu | features.mac | features.mergeBuffers | features.status
  readonly rings = 2
  readonly config: Uint8Array

  readonly #backend: Backend
  readonly #events: PortEvents
  readonly #maxBytes: number
  readonly #slotBytes: number
  /** The frames that wait for the guest: a ring of slots. */
  #queue: NativeMemory | null
  readonly #lengths = new Uint16Array(queuedFrames)
  #first = 0
  #queued = 0
  #receive: Ring | null = null
  #transmit: Ring | null = null
  #merges = false
  /** Since the last flush chains of these were used. */
  #receiveUsed = false
  #transmitUsed = false

  constructor(options: VhostPortOptions, watcher: Watcher, events: PortEvents) {
    this.caps = { checksum: false, tso: false, mtu: options.mtu }
    this.config = configuration(options)
    this.#maxBytes = vnetHeaderBytes + ethernetHeaderBytes + tagBytes + options.mtu
    this.#slotBytes = Math.ceil(this.#maxBytes / 64) * 64
    this.#queue = allocate(this.#slotBytes * queuedFrames)
    this.#events = events
    this.#backend = new Backend(options.listenFd, this, watcher, copies)
  }

  setLink(up: boolean): void {
    this.config[statusAt] = up ? linkUp : 0
    this.#backend.configChanged()
  }

  receive(arena: Arena, max: number): number {
    const ring = this.#transmit
    if (ring === null) return 0
    const before = arena.count
    this.#backend.guard(() => this.#take(ring, arena, max))
    if (this.#transmit === null) arena.count = before
    return arena.count - before
  }

  send(arena: Arena, offset: number, length: number): boolean {
    if (this.#queue === null || this.#receive === null || length > this.#maxBytes) return false
    if (this.#queued === queuedFrames) this.#backend.guard(() => this.#give())
    if (this.#queued === queuedFrames || this.#queue === null) return false
    const slot = (this.#first + this.#queued) % queuedFrames
    this.#queue.bytes.set(arena.bytes.subarray(offset, offset + length), slot * this.#slotBytes)
    this.#lengths[slot] = length
    this.#queued++
    return true
  }

  flush(): void {
    this.#backend.guard(() => {
      if (this.#queued > 0) this.#give()
      if (this.#receiveUsed && (this.#receive?.wantsInterrupt() ?? false))
        this.#backend.interrupt(receiveRing)
      if (this.#transmitUsed && (this.#transmit?.wantsInterrupt() ?? false))
        this.#backend.interrupt(transmitRing)
      this.#receiveUsed = this.#transmitUsed = false
    })
  }

  close(): void {
    this.#backend.close()
    this.#freeQueue()
  }

  // What the backend tells.

  started(index: number, ring: Ring): void {
    if (index === receiveRing) this.#receive = ring
    else this.#transmit = ring
    if (this.#receive === null || this.#transmit === null) return
    this.#merges = this.#backend.accepted(features.mergeBuffers)
    this.#events.up()
  }

  stopped(index: number): void {
    if (index === receiveRing) this.#receive = null
    else this.#transmit = null
    this.#first = this.#queued = 0
    this.#receiveUsed = this.#transmitUsed = false
  }

  kicked(index: number): void {
    if (index === transmitRing) {
      this.#events.readable()
      return
    }
    if (this.#queued === 0) return
    this.flush()
    if (this.#queued < queuedFrames) this.#events.writable()
  }

  gone(reason: string): void {
    this.#freeQueue()
    this.#events.down(reason)
  }

  /** Copies what the guest sends into the arena. */
  #take(ring: Ring, arena: Arena, max: number): void {
    ring.fetch()
    const first = arena.count
    const end = arena.end
    copies.clear()
    // Frames that are none count as well, or a guest of such would keep us here.
    for (let taken = 0; taken < max; taken++) {
      const fits =
        arena.bytes.length - arena.end >= this.#maxBytes && copies.room >= maxSegments + spareCopies
      if (!fits || !ring.take(false)) break
      if (ring.total <= this.#maxBytes && ring.total >= vnetHeaderBytes + ethernetHeaderBytes)
        this.#addTaken(ring, arena)
      ring.complete(0)
    }
    if (ring.staged === 0) return
    try {
      readAll(copies)
    } catch (error: unknown) {
      arena.count = first
      arena.end = end
      throw error
    }
    // Nothing was offered that the header could ask for; what it says is not to be believed.
    for (let i = first; i < arena.count; i++) {
      const at = arena.offset[i] as number
      arena.bytes.fill(0, at, at + vnetHeaderBytes)
    }
    copies.clear()
    ring.publish()
    this.#transmitUsed = true
    // The edge of the guest's kick is over: what is left comes in the next turn.
    if (ring.waiting > 0) this.#events.readable()
    // The loop flushes a port that gave frames; of one that gave none but bad ones it knows nothing.
    if (arena.count === first) this.flush()
  }

  #addTaken(ring: Ring, arena: Arena): void {
    let own = arena.address + arena.end
    for (let i = 0; i < ring.segments; i++) {
      const length = ring.segmentLength[i] as number
      copies.add(ring.segmentAt[i] as number, own, length)
      own += length
    }
    arena.offset[arena.count] = arena.end
    arena.length[arena.count] = ring.total
    arena.count++
    // The next frame starts on a word, as the checksums like it.
    arena.end = (arena.end + ring.total + 7) & ~7
  }

  /** Lays queued frames into the guest's buffers, as many as there are buffers for. */
  #give(): void {
    const ring = this.#receive
    const queue = this.#queue
    if (ring === null || queue === null) return
    ring.fetch()
    copies.clear()
    while (this.#queued > 0) {
      if (copies.room < 2 * maxSegments) this.#publishReceive(ring)
      if (!this.#giveOne(ring, queue)) break
      this.#first = (this.#first + 1) % queuedFrames
      this.#queued--
    }
    this.#publishReceive(ring)
    // Short queues use few pages again and again.
    if (this.#queued === 0) this.#first = 0
  }

  #publishReceive(ring: Ring): void {
    if (ring.staged > 0) this.#receiveUsed = true
    ring.publish()
  }

  /** False: not enough buffers, and nothing was taken. */
  #giveOne(ring: Ring, queue: NativeMemory): boolean {
    const length = this.#lengths[this.#first] as number
    const at = this.#first * this.#slotBytes
    const mark = copies.count
    let done = 0
    let chains = 0
    while (done < length) {
      if (!ring.take(true)) {
        ring.undo(chains)
        copies.rewind(mark)
        return false
      }
      if (!this.#merges && ring.total < length) {
        // Two VLAN tags, and a driver with room for one: that frame is not for it.
        ring.putBack()
        return true
      }
      const part = Math.min(ring.total, length - done)
      addPart(ring, queue.address + at + done, part)
      ring.complete(part)
      done += part
      chains++
    }
    queue.view.setUint16(at + bufferCountAt, chains, true)
    return true
  }

  #freeQueue(): void {
    if (this.#queue !== null) free(this.#queue)
    this.#queue = null
  }
}

/** Spreads `length` bytes at `own` over the buffers of the chain that was last taken. */
function addPart(ring: Ring, own: number, length: number): void {
  let done = 0
  for (let i = 0; done < length; i++) {
    // Room for a frame in buffers of any honest size was made before.
    if (copies.room < spareCopies) throw new VhostFault('frame in too many buffers')
    const part = Math.min(ring.segmentLength[i] as number, length - done)
    copies.add(ring.segmentAt[i] as number, own + done, part)
    done += part
  }
}

function configuration({ mac, mtu }: VhostPortOptions): Uint8Array {
  const parts = parseMac(mac)
  if (parts === null) throw new RangeError(`"${mac}" is no MAC`)
  const config = new Uint8Array(configBytes)
  const view = new DataView(config.buffer)
  view.setUint16(0, parts.high)
  view.setUint32(2, parts.low)
  view.setUint16(statusAt, linkUp, true)
  view.setUint16(mtuAt, mtu, true)
  return config
}
