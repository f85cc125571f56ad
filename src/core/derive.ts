/**
 * Names that every host computes alike without asking: short keys, MACs, the id of a VIOLIN.
 */
import type { Crypto, HostId, HostKey, LanKey, Mac, ViolinId } from './ids.ts'

type Hash = Pick<Crypto, 'sha256'>

/** UTF-8 without a platform: host ids and names are ASCII, checked at the edge. */
export function ascii(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i) & 0x7f
  return bytes
}

const hexOfByte: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  byte.toString(16).padStart(2, '0')
)

/** Lower-case hex digits of `bytes`. */
export function hex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += hexOfByte[byte]
  return text
}

/** Bytes of lower-case hex; null when `text` is not such. */
export function unhex(text: string): Uint8Array | null {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text)) return null
  const bytes = new Uint8Array(text.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16)
  return bytes
}

/** The key by which trunks and elections call a host. */
export function hostKeyOf(hash: Hash, host: HostId): HostKey {
  return hex(hash.sha256(ascii(`violin host ${host}`)).subarray(0, 8)) as HostKey
}

/** The key by which trunks and elections call a vLAN of one VIOLIN. */
export function lanKeyOf(hash: Hash, lan: string): LanKey {
  const digest = hash.sha256(ascii(`violin lan ${lan}`))
  return new DataView(digest.buffer, digest.byteOffset).getUint32(0) as LanKey
}

/** The MAC of a vNIC: unicast, locally administered (IEEE 802), 40 bits of hash. */
export function macOf(hash: Hash, violin: ViolinId, entity: string, nic: string): Mac {
  // A copy: the slice of a Node Buffer would still be the hash's own bytes.
  const bytes = Uint8Array.from(hash.sha256(ascii(`violin mac ${violin} ${entity} ${nic}`)).subarray(0, 6))
  bytes[0] = 0x02
  return Array.from(bytes, (byte) => hexOfByte[byte]).join(':') as Mac
}
