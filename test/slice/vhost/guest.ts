/**
 * A front end and driver in this thread, honest or not: a memory file, rings laid into it by hand, and a
 * connection to the backend. Everything moves only when the test says so.
 */
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  writeSync
} from 'node:fs'
import { join } from 'node:path'
import type { Watcher } from '#slice/forwarder/port.ts'
import { request } from '#slice/vhost/protocol.ts'
import { Epoll, epollEvents } from '#syscalls/epoll.ts'
import { closeEventfd, openEventfd, wake } from '#syscalls/eventfd.ts'
import { close, SyscallError } from '#syscalls/libc.ts'
import { acceptUnix, connectUnix, listenUnix, receiveBytes, sendBytes } from '#syscalls/unix-socket.ts'

/** The guest's physical memory starts here; the front end sees it elsewhere. */
export const guestBase = 0x1c45000
export const userBase = 0x60000000
export const memoryBytes: number = 1024 * 1024
export const ringSize = 256
/** A ring's parts, from the ring's place on. */
const availableAt = 0x2000
const usedAt = 0x3000
const ringBytes = 0x8000
/** Behind the rings of sixteen queues. */
export const buffersAt: number = 16 * ringBytes

/** Descriptor flags. */
export const next = 1
export const writable = 2

export interface Descriptor {
  readonly address: number | bigint
  readonly length: number
  readonly flags: number
  readonly next: number
}

/** The loop of a worker, turned by hand. */
export class HandLoop implements Watcher {
  readonly #epoll = new Epoll()
  readonly #ready = new Map<number, (events: number) => void>()

  watch(fd: number, events: number, ready: (events: number) => void, edge = false): void {
    this.#epoll.add(fd, edge ? (events | epollEvents.edge) >>> 0 : events)
    this.#ready.set(fd, ready)
  }

  change(fd: number, events: number): void {
    this.#epoll.modify(fd, events)
  }

  unwatch(fd: number): void {
    this.#ready.delete(fd)
    this.#epoll.remove(fd)
  }

  /** Hands over what is ready, until nothing is. */
  turn(): void {
    for (let turns = 0; turns < 1000; turns++) {
      const count = this.#epoll.wait(0)
      if (count === 0) return
      for (let i = 0; i < count; i++) this.#ready.get(this.#epoll.fd(i))?.(this.#epoll.events(i))
    }
    throw new Error('the loop does not come to rest')
  }

  get watched(): number {
    return this.#ready.size
  }

  [Symbol.dispose](): void {
    this.#epoll.close()
  }
}

/** A folder in tmpfs, where guests' memory may lie. */
export class Place {
  readonly folder: string = mkdtempSync('/dev/shm/violin-guest-')
  #count = 0

  listen(): { readonly path: string; readonly listenFd: number } {
    const path = join(this.folder, `socket${this.#count++}`)
    return { path, listenFd: listenUnix(path, 0o600) }
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export class Guest {
  readonly memoryFd: number
  readonly #path: string
  readonly #loop: HandLoop
  readonly #fd: number
  #channel = -1
  readonly #kicks: number[] = []
  readonly #others: number[] = []
  readonly #availableIndex: number[] = []
  readonly #usedSeen: number[] = []

  constructor(path: string, loop: HandLoop) {
    this.#path = `${path}.memory`
    this.#loop = loop
    this.memoryFd = openSync(this.#path, 'w+')
    ftruncateSync(this.memoryFd, memoryBytes)
    this.#fd = connectUnix(path)
  }

  /** Sends a request, lets the backend act; gives the answer's payload, null when there was none. */
  ask(number: number, payload: Uint8Array, descriptors: readonly number[] = []): Uint8Array | null {
    const message = new Uint8Array(12 + payload.length)
    const view = new DataView(message.buffer)
    view.setUint32(0, number, true)
    view.setUint32(4, 1, true)
    view.setUint32(8, payload.length, true)
    message.set(payload, 12)
    return this.send(message, descriptors)
  }

  /** The same for a message as it is. */
  send(message: Uint8Array, descriptors: readonly number[] = []): Uint8Array | null {
    try {
      sendBytes(this.#fd, message, descriptors)
      this.#loop.turn()
      const answer = receiveBytes(this.#fd, 8192)
      return answer === null || answer.bytes.length === 0 ? null : answer.bytes.subarray(12)
    } catch (error: unknown) {
      // The backend has hung up.
      if (error instanceof SyscallError) return null
      throw error
    }
  }

  /** The whole handshake with `rings` rings, whose indices start at `base`. */
  start(rings: number, features: bigint, base = 0): void {
    this.ask(request.setOwner, new Uint8Array(0))
    this.ask(request.setFeatures, words64(features | (1n << 32n) | (1n << 30n)))
    this.#openChannel()
    const region = words64(1n, BigInt(guestBase), BigInt(memoryBytes), BigInt(userBase), 0n)
    this.ask(request.setMemoryTable, region, [this.memoryFd])
    for (let ring = 0; ring < rings; ring++) {
      const call = openEventfd()
      this.#others.push(call)
      this.#availableIndex[ring] = this.#usedSeen[ring] = base
      this.writeWords16(ring * ringBytes + availableAt + 2, base)
      this.writeWords16(ring * ringBytes + usedAt + 2, base)
      this.ask(request.setCall, words32(ring, 0), [call])
      this.ask(request.setRingSize, words32(ring, ringSize))
      this.ask(request.setRingBase, words32(ring, base))
      this.ask(request.setRingAddress, ringAddress(ring))
      this.startLast(ring)
    }
  }

  /** What the backend said on its channel since the last time. */
  channel(): number[] {
    return [...(receiveBytes(this.#channel, 100)?.bytes ?? [])]
  }

  #openChannel(): void {
    const path = `${this.#path}.channel`
    const listening = listenUnix(path, 0o600)
    this.#channel = connectUnix(path)
    const given = acceptUnix(listening)
    this.ask(request.setBackendChannel, new Uint8Array(0), [given])
    close(given)
    close(listening)
  }

  /** The last two requests for a ring. */
  startLast(ring: number): void {
    const kick = (this.#kicks[ring] ??= openEventfd())
    this.ask(request.setKick, words32(ring, 0), [kick])
    this.ask(request.enableRing, words32(ring, 1))
  }

  write(offset: number, bytes: Uint8Array): void {
    writeSync(this.memoryFd, bytes, 0, bytes.length, offset)
  }

  read(offset: number, length: number): Buffer {
    const bytes = Buffer.alloc(length)
    readSync(this.memoryFd, bytes, 0, length, offset)
    return bytes
  }

  /** Writes a descriptor of a ring's table. */
  describe(ring: number, index: number, descriptor: Descriptor): void {
    const bytes = Buffer.alloc(16)
    bytes.writeBigUInt64LE(BigInt(descriptor.address))
    bytes.writeUInt32LE(descriptor.length, 8)
    bytes.writeUInt16LE(descriptor.flags, 12)
    bytes.writeUInt16LE(descriptor.next, 14)
    this.write(ring * ringBytes + index * 16, bytes)
  }

  /** Makes the chain that starts at `head` available; {@link kick} tells. */
  offer(ring: number, head: number): void {
    const index = this.#availableIndex[ring] as number
    this.writeWords16(ring * ringBytes + availableAt + 4 + (index % ringSize) * 2, head)
    this.setAvailable(ring, index + 1)
  }

  /** Sets the available index, whatever it is. */
  setAvailable(ring: number, index: number): void {
    this.#availableIndex[ring] = index & 0xffff
    this.writeWords16(ring * ringBytes + availableAt + 2, index & 0xffff)
  }

  kick(ring: number): void {
    wake(this.#kicks[ring] as number)
    this.#loop.turn()
  }

  /** Chains that the device used since the last call. */
  used(ring: number): { head: number; length: number }[] {
    const index = this.read(ring * ringBytes + usedAt + 2, 2).readUInt16LE()
    const list: { head: number; length: number }[] = []
    for (let seen = this.#usedSeen[ring] as number; seen !== index; seen = (seen + 1) & 0xffff) {
      const entry = this.read(ring * ringBytes + usedAt + 4 + (seen % ringSize) * 8, 8)
      list.push({ head: entry.readUInt32LE(), length: entry.readUInt32LE(4) })
    }
    this.#usedSeen[ring] = index
    return list
  }

  writeWords16(offset: number, word: number): void {
    this.write(offset, Uint8Array.of(word & 255, word >> 8))
  }

  /** Cuts the memory file, as a hijacked machine may. */
  truncate(bytes: number): void {
    ftruncateSync(this.memoryFd, bytes)
  }

  [Symbol.dispose](): void {
    for (const fd of [...this.#kicks, ...this.#others]) closeEventfd(fd)
    close(this.#fd)
    close(this.#channel)
    closeSync(this.memoryFd)
    rmSync(this.#path, { force: true })
    this.#loop.turn()
  }
}

export function words32(...words: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(words).buffer)
}

export function words64(...words: readonly bigint[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(words).buffer)
}

/** Payload of SET_VRING_ADDR for a ring in its place. */
export function ringAddress(ring: number): Uint8Array {
  const base = userBase + ring * ringBytes
  const parts = [base, base + usedAt, base + availableAt, 0].map((part) => BigInt(part))
  return words64(BigInt(ring), ...parts)
}

/** Places of a ring's parts in the memory file, for spoiling. */
export function ringPlace(ring: number): { table: number; available: number; used: number } {
  const base = ring * ringBytes
  return { table: base, available: base + availableAt, used: base + usedAt }
}

/** Open descriptors of this process. */
export function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}
