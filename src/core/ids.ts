/**
 * Names of things, branded so that one cannot be handed over for another.
 */

declare const brand: unique symbol
export type Brand<T, Name extends string> = T & { readonly [brand]: Name }

/** A host: its libp2p peer id (base58btc of an Ed25519 identity, `12D3KooW…`). */
export type HostId = Brand<string, 'HostId'>
/** A host inside the trunks of a slice: the first 8 bytes of SHA-256 of its HostId, 16 hex digits. */
export type HostKey = Brand<string, 'HostKey'>
/** An Ed25519 public key, 64 hex digits. */
export type PublicKey = Brand<string, 'PublicKey'>
/** A VIOLIN: SHA-256 of its founding block, 64 hex digits. */
export type ViolinId = Brand<string, 'ViolinId'>
/** A vLAN inside one VIOLIN: the first 4 bytes of SHA-256 of its name, as an unsigned number. */
export type LanKey = Brand<number, 'LanKey'>
/** An Ethernet address, `02:xx:xx:xx:xx:xx`, lower case. */
export type Mac = Brand<string, 'Mac'>
/** Monotonic time in milliseconds (fractions allowed); says nothing between processes. */
export type Instant = Brand<number, 'Instant'>
/** Wall-clock time, milliseconds since 1970, as hosts tell each other. */
export type WallTime = Brand<number, 'WallTime'>

/** Hash and signatures, handed in because the core imports nothing of the platform. */
export interface Crypto {
  sha256(bytes: Uint8Array): Uint8Array
  /** True when `signature` (64 bytes) of `bytes` was made by `key`; false for any malformed input. */
  verify(key: PublicKey, bytes: Uint8Array, signature: Uint8Array): boolean
}

/** One Ed25519 key pair that can sign. */
export interface Signer {
  readonly publicKey: PublicKey
  sign(bytes: Uint8Array): Uint8Array
}

/** For the end of a `switch` over a closed union: a new member does not compile until it is handled. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`)
}
