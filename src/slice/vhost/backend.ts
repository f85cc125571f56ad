/**
 * The life of one virtio device behind a listening socket: a front end connects, negotiates, hands its memory
 * and its rings over, and goes. What the device does with its rings is the device's own (net-port.ts,
 * console-device.ts).
 *
 * Invariant: a ring runs only while it has memory, a place, a size, a kick and a call descriptor and is enabled.
 */
import { unreachable } from '#core/ids.ts'
import { epollEvents } from '#syscalls/epoll.ts'
import { close, SyscallError } from '#syscalls/libc.ts'
import type { Copies } from '#syscalls/memory.ts'
import { acceptUnix, receiveBytes, ringBell, sendBytes } from '#syscalls/unix-socket.ts'
import type { Watcher } from '../forwarder/port.ts'
import { VhostFault } from './fault.ts'
import { GuestMemory } from './guest-memory.ts'
import {
  encodeConfigChanged,
  encodeNumber,
  encodeReply,
  encodeRingState,
  type Header,
  headerBytes,
  type Message,
  parseHeader,
  parseMessage,
  protocolFeatures,
  protocolFeaturesBit,
  type RingAddress,
  version1Bit
} from './protocol.ts'
import { Ring } from './ring.ts'

/** Messages of one turn, so that a front end that talks without end lets others have theirs. */
const maxMessages = 32
/** Descriptors that came and belong to no message yet. */
const maxPendingDescriptors = 8

/** What a device tells its backend and is told by it. No call of these may throw but {@link VhostFault}. */
export interface VhostDevice {
  /** Beside those that every device has. */
  readonly features: bigint
  readonly rings: number
  /** The configuration space, as it is now. */
  readonly config: Uint8Array
  started(index: number, ring: Ring): void
  stopped(index: number): void
  kicked(index: number): void
  /** The end, by the front end or by its fault: once, and all rings were stopped before. */
  gone(reason: string): void
}

interface RingState {
  size: number
  base: number
  address: RingAddress | null
  enabled: boolean
  kickFd: number
  callFd: number
  ring: Ring | null
}

export class Backend {
  readonly #device: VhostDevice
  readonly #watcher: Watcher
  readonly #copies: Copies
  readonly #rings: RingState[]
  readonly #offered: bigint
  #listenFd: number
  #fd = -1
  #channelFd = -1
  #memory: GuestMemory | null = null
  #features = 0n
  #header: Header | null = null
  #bytes: Uint8Array = new Uint8Array(0)
  #descriptors: number[] = []
  #ended = false

  /** Takes over the listening socket `listenFd`; the first front end that connects is the only one. */
  constructor(listenFd: number, device: VhostDevice, watcher: Watcher, copies: Copies) {
    this.#listenFd = listenFd
    this.#device = device
    this.#watcher = watcher
    this.#copies = copies
    this.#offered = device.features | version1Bit | protocolFeaturesBit
    this.#rings = Array.from({ length: device.rings }, () => ({
      size: 0,
      base: 0,
      address: null,
      enabled: false,
      kickFd: -1,
      callFd: -1,
      ring: null
    }))
    watcher.watch(listenFd, epollEvents.in, () => this.#accept())
  }

  /** True when the driver took the device feature. */
  accepted(wanted: bigint): boolean {
    return (this.#features & wanted) !== 0n
  }

  /** Interrupts the guest for a ring. */
  interrupt(index: number): void {
    const fd = this.#rings[index]?.callFd ?? -1
    if (fd >= 0) ringBell(fd)
  }

  /** Tells the guest to read the configuration again; before it has a driver it reads it anyway. */
  configChanged(): void {
    if (this.#channelFd >= 0) this.guard(() => sendBytes(this.#channelFd, encodeConfigChanged()))
  }

  /** Runs what touches the guest; a fault of the front end ends the device. */
  guard(work: () => void): void {
    try {
      work()
    } catch (error: unknown) {
      // A broken invariant of ours is not the guest's fault.
      if (!(error instanceof VhostFault || error instanceof SyscallError)) throw error
      this.end(error.message)
    }
  }

  /** Ends the device and tells it why. */
  end(reason: string): void {
    if (this.#ended) return
    this.close()
    this.#device.gone(reason)
  }

  /** Ends the device without a word. */
  close(): void {
    if (this.#ended) return
    this.#ended = true
    for (let i = 0; i < this.#rings.length; i++) this.#forget(i)
    this.#memory?.close()
    this.#memory = null
    this.#closeDescriptors()
    for (const fd of [this.#listenFd, this.#fd]) if (fd >= 0) this.#watcher.unwatch(fd)
    for (const fd of [this.#listenFd, this.#fd, this.#channelFd]) if (fd >= 0) close(fd)
    this.#listenFd = this.#fd = this.#channelFd = -1
  }

  #accept(): void {
    const fd = acceptUnix(this.#listenFd)
    if (fd < 0) return
    this.#watcher.unwatch(this.#listenFd)
    close(this.#listenFd)
    this.#listenFd = -1
    this.#fd = fd
    this.#watcher.watch(fd, epollEvents.in, () => this.guard(() => this.#read()))
  }

  #read(): void {
    for (let messages = 0; messages < maxMessages && !this.#ended;) {
      const wanted = this.#header === null ? headerBytes : this.#header.size
      const missing = wanted - this.#bytes.length
      if (missing > 0 && !this.#receive(missing)) return
      if (this.#bytes.length < wanted) continue
      const bytes = this.#bytes
      this.#bytes = new Uint8Array(0)
      if (this.#header === null) {
        this.#header = parseHeader(bytes)
      } else {
        const header = this.#header
        this.#header = null
        messages++
        this.#obey(header, bytes)
        this.#closeDescriptors()
      }
    }
  }

  /** Appends what waits; false when nothing does or the front end is gone. */
  #receive(missing: number): boolean {
    const received = receiveBytes(this.#fd, missing)
    if (received === null) return false
    this.#descriptors.push(...received.descriptors)
    if (received.truncated || this.#descriptors.length > maxPendingDescriptors)
      throw new VhostFault('too many descriptors')
    if (received.bytes.length === 0) {
      this.end('the machine closed the device')
      return false
    }
    this.#bytes = this.#bytes.length === 0 ? received.bytes : Buffer.concat([this.#bytes, received.bytes])
    return true
  }

  #obey(header: Header, payload: Uint8Array): void {
    const message = parseMessage(header, payload)
    const answer = this.#carryOut(message, payload)
    if (answer !== null) this.#reply(header, answer)
    else if (header.needReply) this.#reply(header, encodeNumber(0n))
  }

  #reply(header: Header, payload: Uint8Array): void {
    if (!sendBytes(this.#fd, encodeReply(header.request, payload)))
      throw new VhostFault('the front end does not read')
  }

  /** Gives what is to be answered, if the request has an answer of its own. */
  #carryOut(message: Message, payload: Uint8Array): Uint8Array | null {
    switch (message.kind) {
      case 'get-features':
        return encodeNumber(this.#offered)
      case 'get-protocol-features':
        return encodeNumber(protocolFeatures)
      case 'get-config':
        return this.#answerConfig(message, payload)
      case 'get-ring-base':
        return this.#stopFor(message.ring)
      case 'ignored':
        return null
      case 'set-features':
        this.#features = subset(message.features, this.#offered)
        return null
      case 'set-protocol-features':
        subset(message.features, protocolFeatures)
        return null
      case 'channel':
        if (this.#channelFd >= 0) close(this.#channelFd)
        this.#channelFd = this.#takeDescriptor()
        return null
      case 'memory':
        this.#map(message)
        return null
      case 'ring-size':
      case 'ring-base':
      case 'ring-address':
        this.#place(message)
        return null
      case 'kick':
      case 'call':
      case 'error':
      case 'enable':
        this.#setRing(message)
        return null
      default:
        return unreachable(message)
    }
  }

  #place(message: Extract<Message, { kind: 'ring-size' | 'ring-base' | 'ring-address' }>): void {
    const state = this.#state(message.ring)
    if (state.ring !== null) throw new VhostFault('change of a ring that runs')
    if (message.kind === 'ring-address') state.address = message.address
    else if (message.kind === 'ring-size') state.size = message.value
    else state.base = message.value
  }

  #setRing(message: Extract<Message, { kind: 'kick' | 'call' | 'error' | 'enable' }>): void {
    const state = this.#state(message.ring)
    switch (message.kind) {
      case 'call':
        if (state.callFd >= 0) close(state.callFd)
        state.callFd = message.withDescriptor ? this.#takeDescriptor() : -1
        return
      case 'kick':
        this.#setKick(message.ring, state, message.withDescriptor)
        return
      case 'enable':
        state.enabled = message.enabled
        if (!message.enabled) this.#stop(message.ring)
        this.#start(message.ring)
        return
      case 'error':
        // Nothing is told there: a ring that breaks ends the device.
        return
      default:
        unreachable(message)
    }
  }

  #setKick(index: number, state: RingState, withDescriptor: boolean): void {
    this.#dropKick(state)
    if (!withDescriptor) throw new VhostFault('ring without a kick')
    const fd = this.#takeDescriptor()
    state.kickFd = fd
    // Never read: an edge for each kick is all that is wanted. What epoll refuses is no eventfd.
    this.#watcher.watch(fd, epollEvents.in, () => this.#kicked(index, fd), true)
    this.#start(index)
  }

  #kicked(index: number, fd: number): void {
    const state = this.#rings[index]
    if (state === undefined || state.ring === null || state.kickFd !== fd) return
    this.guard(() => this.#device.kicked(index))
  }

  #start(index: number): void {
    const state = this.#state(index)
    const { address, size } = state
    const whole = state.enabled && state.kickFd >= 0 && state.callFd >= 0 && address !== null && size > 0
    if (state.ring !== null || !whole || this.#memory === null) return
    state.ring = new Ring(this.#memory, this.#copies, size, address, state.base)
    this.#device.started(index, state.ring)
    // A kick may have come before.
    this.#device.kicked(index)
  }

  #stop(index: number): void {
    const state = this.#state(index)
    if (state.ring === null) return
    this.#device.stopped(index)
    state.base = state.ring.base
    state.ring.close()
    state.ring = null
  }

  #stopFor(index: number): Uint8Array {
    this.#stop(index)
    return encodeRingState(index, this.#state(index).base)
  }

  #map(message: Extract<Message, { kind: 'memory' }>): void {
    if (this.#rings.some((state) => state.ring !== null))
      throw new VhostFault('new memory under running rings')
    if (this.#descriptors.length !== 1) throw new VhostFault('memory without its file')
    this.#memory?.close()
    this.#memory = null
    this.#memory = new GuestMemory(this.#descriptors[0] as number, message.region)
  }

  /** The header and size of the request come back, the space is filled in. */
  #answerConfig(range: { readonly offset: number; readonly size: number }, payload: Uint8Array): Uint8Array {
    const answer = payload.slice()
    answer.fill(0, 12)
    answer.set(this.#device.config.subarray(range.offset, range.offset + range.size), 12)
    return answer
  }

  #state(index: number): RingState {
    const state = this.#rings[index]
    if (state === undefined) throw new VhostFault(`no ring ${index}`)
    return state
  }

  #takeDescriptor(): number {
    const fd = this.#descriptors.shift()
    if (fd === undefined) throw new VhostFault('descriptor missing')
    return fd
  }

  #dropKick(state: RingState): void {
    if (state.kickFd < 0) return
    this.#watcher.unwatch(state.kickFd)
    close(state.kickFd)
    state.kickFd = -1
  }

  #forget(index: number): void {
    this.#stop(index)
    const state = this.#state(index)
    this.#dropKick(state)
    if (state.callFd >= 0) close(state.callFd)
    state.callFd = -1
  }

  #closeDescriptors(): void {
    for (const fd of this.#descriptors.splice(0)) close(fd)
  }
}

function subset(features: bigint, offered: bigint): bigint {
  if ((features & ~offered) !== 0n) throw new VhostFault(`features ${features.toString(16)} not offered`)
  return features
}
