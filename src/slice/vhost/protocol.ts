/**
 * Messages of vhost-user as Linux's virtio_uml speaks it (QEMU, docs/interop/vhost-user.rst; the driver is
 * arch/um/drivers/virtio_uml.c): a 12-byte header (request, flags, size) and a payload, little endian. Who
 * writes them may be a hijacked machine, so every field is checked here before it means something.
 */
import { VhostFault } from './fault.ts'

export const headerBytes = 12
/** Longest payload: the specification's configuration space (256) is far below it. */
export const maxPayloadBytes = 4096
/** Ring sizes that are taken; UML's driver makes 256. */
export const maxRingSize = 1024
/** Most of a guest's memory, bytes. */
export const maxMemoryBytes: number = 64 * 2 ** 30

/** Requests of the front end. */
export const request = {
  getFeatures: 1,
  setFeatures: 2,
  setOwner: 3,
  resetOwner: 4,
  setMemoryTable: 5,
  setRingSize: 8,
  setRingAddress: 9,
  setRingBase: 10,
  getRingBase: 11,
  setKick: 12,
  setCall: 13,
  setError: 14,
  getProtocolFeatures: 15,
  setProtocolFeatures: 16,
  enableRing: 18,
  setBackendChannel: 21,
  getConfig: 24,
  setConfig: 25
} as const

/** Requests of ours on the channel that the front end gave. */
const configChanged = 2

/** Header flags: version 1 in two bits, reply, and that an answer is wanted in any case. */
const version = 1
const versionBits = 3
const replyBit = 4
const needReplyBit = 8

/** Device features of every device here: that protocol features are negotiated, and virtio 1. */
export const protocolFeaturesBit: bigint = 1n << 30n
export const version1Bit: bigint = 1n << 32n
/** Features of the protocol. */
const replyAck = 1n << 3n
const backendChannel = 1n << 5n
const configSpace = 1n << 9n
/** Offered: what the driver needs. Without the channel it asks for interrupt 0, which is the timer's. */
export const protocolFeatures: bigint = replyAck | backendChannel | configSpace

export interface Header {
  readonly request: number
  readonly size: number
  readonly needReply: boolean
}

/** A message, understood. */
export type Message =
  | { readonly kind: 'get-features' | 'get-protocol-features' | 'ignored' }
  | { readonly kind: 'set-features' | 'set-protocol-features'; readonly features: bigint }
  | { readonly kind: 'memory'; readonly region: MemoryRegion }
  | { readonly kind: 'ring-size' | 'ring-base'; readonly ring: number; readonly value: number }
  | { readonly kind: 'get-ring-base'; readonly ring: number }
  | { readonly kind: 'ring-address'; readonly ring: number; readonly address: RingAddress }
  | { readonly kind: 'kick' | 'call' | 'error'; readonly ring: number; readonly withDescriptor: boolean }
  | { readonly kind: 'enable'; readonly ring: number; readonly enabled: boolean }
  | { readonly kind: 'channel' }
  | { readonly kind: 'get-config'; readonly offset: number; readonly size: number }

/** The one region of a machine's memory. */
export interface MemoryRegion {
  /** Physical address in the guest, as descriptors have it. */
  readonly guest: number
  readonly size: number
  /** The front end's own address, as ring addresses have it. */
  readonly user: number
  /** Where it starts in the file. */
  readonly offset: number
}

/** Where a ring's three parts lie, as the front end's addresses. */
export interface RingAddress {
  readonly table: number
  readonly used: number
  readonly available: number
}

/** Checks a header. Throws {@link VhostFault}. */
export function parseHeader(bytes: Uint8Array): Header {
  const view = viewOf(bytes)
  const flags = view.getUint32(4, true)
  const size = view.getUint32(8, true)
  if ((flags & versionBits) !== version || (flags & replyBit) !== 0)
    throw new VhostFault(`message with flags ${flags}`)
  if (size > maxPayloadBytes) throw new VhostFault(`message of ${size} bytes`)
  return { request: view.getUint32(0, true), size, needReply: (flags & needReplyBit) !== 0 }
}

/** Understands a message whose payload is whole. Throws {@link VhostFault}. */
export function parseMessage(header: Header, payload: Uint8Array): Message {
  const view = viewOf(payload)
  const need = (bytes: number): void => {
    if (payload.length < bytes) throw new VhostFault(`request ${header.request} of ${payload.length} bytes`)
  }
  switch (header.request) {
    case request.getFeatures:
      return { kind: 'get-features' }
    case request.getProtocolFeatures:
      return { kind: 'get-protocol-features' }
    case request.setOwner:
    case request.resetOwner:
    case request.setConfig:
      return { kind: 'ignored' }
    case request.setBackendChannel:
      return { kind: 'channel' }
    case request.setFeatures:
    case request.setProtocolFeatures: {
      need(8)
      const kind = header.request === request.setFeatures ? 'set-features' : 'set-protocol-features'
      return { kind, features: view.getBigUint64(0, true) }
    }
    case request.setMemoryTable:
      need(40)
      return { kind: 'memory', region: parseRegion(view) }
    case request.getConfig:
      need(12)
      return { kind: 'get-config', ...parseConfigRange(view, payload.length) }
    default:
      need(8)
      return parseRingMessage(header, view, need)
  }
}

function parseRingMessage(header: Header, view: DataView, need: (bytes: number) => void): Message {
  const ring = view.getUint32(0, true)
  const value = view.getUint32(4, true)
  switch (header.request) {
    case request.setRingSize:
      if (value < 1 || value > maxRingSize || (value & (value - 1)) !== 0)
        throw new VhostFault(`ring of ${value} entries`)
      return { kind: 'ring-size', ring, value }
    case request.setRingBase:
      if (value > 0xffff) throw new VhostFault(`ring base ${value}`)
      return { kind: 'ring-base', ring, value }
    case request.getRingBase:
      return { kind: 'get-ring-base', ring }
    case request.enableRing:
      return { kind: 'enable', ring, enabled: value !== 0 }
    case request.setRingAddress:
      need(40)
      return { kind: 'ring-address', ring, address: parseRingAddress(view) }
    case request.setKick:
      return { kind: 'kick', ...parseDescriptorRing(ring) }
    case request.setCall:
      return { kind: 'call', ...parseDescriptorRing(ring) }
    case request.setError:
      return { kind: 'error', ...parseDescriptorRing(ring) }
    default:
      throw new VhostFault(`request ${header.request}`)
  }
}

/** Byte 0 is the ring; bit 8 says that no descriptor comes along. */
function parseDescriptorRing(word: number): { ring: number; withDescriptor: boolean } {
  return { ring: word & 0xff, withDescriptor: (word & 0x100) === 0 }
}

function parseRegion(view: DataView): MemoryRegion {
  const regions = view.getUint32(0, true)
  if (regions !== 1) throw new VhostFault(`${regions} regions of memory`)
  const region = {
    guest: address(view, 8),
    size: address(view, 16),
    user: address(view, 24),
    offset: address(view, 32)
  }
  if (region.size < 1 || region.size > maxMemoryBytes) throw new VhostFault(`memory of ${region.size} bytes`)
  if (region.offset % 4096 !== 0 || region.offset > maxMemoryBytes)
    throw new VhostFault(`memory at ${region.offset} of its file`)
  return region
}

function parseRingAddress(view: DataView): RingAddress {
  const parts = { table: address(view, 8), used: address(view, 16), available: address(view, 24) }
  // Linux aligns them to a cache line; 8 lets the kernel copy an index in one move, never half of it.
  if (parts.table % 16 !== 0 || parts.used % 8 !== 0 || parts.available % 8 !== 0)
    throw new VhostFault('ring that is not aligned')
  return parts
}

function parseConfigRange(view: DataView, length: number): { offset: number; size: number } {
  const offset = view.getUint32(0, true)
  const size = view.getUint32(4, true)
  if (size > length - 12 || offset > maxPayloadBytes) throw new VhostFault(`configuration ${offset}+${size}`)
  return { offset, size }
}

/** A 64-bit address as a number. Throws for one that no process has. */
function address(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true)
  if (high >= 2 ** 20) throw new VhostFault('address beyond all memory')
  return high * 2 ** 32 + view.getUint32(at, true)
}

/** The answer to a request: the driver takes no other flags than version and reply. */
export function encodeReply(to: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  return encode(to, version | replyBit, payload)
}

export function encodeNumber(value: bigint): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8)
  viewOf(bytes).setBigUint64(0, value, true)
  return bytes
}

/** A ring's number and a value, as GET_VRING_BASE answers. */
export function encodeRingState(ring: number, value: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8)
  viewOf(bytes).setUint32(0, ring, true)
  viewOf(bytes).setUint32(4, value, true)
  return bytes
}

/** Tells the guest on the front end's channel to read the configuration again. */
export function encodeConfigChanged(): Uint8Array<ArrayBuffer> {
  return encode(configChanged, version, new Uint8Array(0))
}

function encode(number: number, flags: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(headerBytes + payload.length)
  const view = viewOf(bytes)
  view.setUint32(0, number, true)
  view.setUint32(4, flags, true)
  view.setUint32(8, payload.length, true)
  bytes.set(payload, headerBytes)
  return bytes
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
