/** Which start of the daemon this is: slices obey the highest that they heard, and no lower one. */
import type { Store } from '#store/contract.ts'

/**
 * Counts one more start. Of a store that was mended the count may be an old one, and of a lost one there is none: then
 * seconds of the clock count, which are above all counts.
 */
export async function nextGeneration(store: Store, wasMended: boolean): Promise<number> {
  const stored = store.get('daemon', 'generation')
  const former = stored === null ? NaN : Number(new TextDecoder().decode(stored))
  const counted = Number.isSafeInteger(former) ? former + 1 : 0
  const generation = counted === 0 || wasMended ? Math.max(counted, Math.floor(Date.now() / 1000)) : counted
  await store.write(
    [{ section: 'daemon', key: 'generation', value: new TextEncoder().encode(String(generation)) }],
    { sync: true }
  )
  return generation
}
