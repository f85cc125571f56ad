/** A vNIC's link, from the record's whole numbers to what the forwarder computes with. */
import type { Link } from '#core/link.ts'
import type { PortLink } from './forwarder/contract.ts'

/** Null for a plain link. */
export function portLink(link: Link | null): PortLink | null {
  if (link === null || Object.keys(link).length === 0) return null
  const { delayUs, jitterUs, lossPpm, duplicatePpm, reorderPpm, rateBps, queueFrames, down } = link
  return {
    delayMs: (delayUs ?? 0) / 1_000,
    jitterMs: (jitterUs ?? 0) / 1_000,
    loss: (lossPpm ?? 0) / 1e6,
    duplicate: (duplicatePpm ?? 0) / 1e6,
    reorder: (reorderPpm ?? 0) / 1e6,
    ...(rateBps === undefined ? {} : { rateBps }),
    ...(queueFrames === undefined ? {} : { queueFrames }),
    down: down === true
  }
}
