/** Comparing what is wanted with what runs. */
import type { SpecNic } from './spec.ts'

/** Compares by value. Both sides came out of {@link resolveTopology} or a decoder, so key order is fixed by sorting. */
export function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a, canonical) === JSON.stringify(b, canonical)
}

function canonical(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return Array.from(value)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

/** vNICs as a machine sees them: what happens to frames on their links is the forwarder's. */
export function withoutLinks(nics: readonly SpecNic[]): readonly SpecNic[] {
  return nics.map(({ name, lan, ips }) => ({ name, lan, ips }))
}
