/**
 * A host's name here and in libp2p.
 */
import { peerIdFromString } from '@libp2p/peer-id'
import { ViolinError } from '#core/errors.ts'
import type { HostId } from '#core/ids.ts'
import type { PeerId } from '@libp2p/interface'

export function hostIdOf(peer: PeerId): HostId {
  return peer.toString() as HostId
}

/** Throws ViolinError `unknown-host` when the text is no peer id. */
export function peerIdOf(host: HostId): PeerId {
  try {
    return peerIdFromString(host)
  } catch (error: unknown) {
    throw new ViolinError(
      'unknown-host',
      `${JSON.stringify(host.slice(0, 80))} is no peer id`,
      'name a host by its id',
      {
        cause: error
      }
    )
  }
}

/** What was thrown, as libp2p's `abort` wants it. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
