/**
 * Ethernet frames without FCS (IEEE 802.3) as bytes at an offset of a memory. A MAC is two numbers: its
 * upper 16 bits and its lower 32, so that tables of them need no objects.
 */

/** Destination, source, type. */
export const ethernetHeaderBytes = 14

/** Longest frame that is passed on: a jumbo frame of 9,216 bytes. Longer ones are dropped where they enter. */
export const maxFrameBytes = 9216

/** Upper 16 bits of the MAC at `at`: the destination's at 0 of a frame, the source's at 6. */
export function macHigh(memory: Uint8Array, at: number): number {
  return ((memory[at] as number) << 8) | (memory[at + 1] as number)
}

/** Lower 32 bits of the MAC at `at`, unsigned. */
export function macLow(memory: Uint8Array, at: number): number {
  return (
    (((memory[at + 2] as number) << 24) |
      ((memory[at + 3] as number) << 16) |
      ((memory[at + 4] as number) << 8) |
      (memory[at + 5] as number)) >>>
    0
  )
}

/** Group bit: broadcast and every multicast, the reserved ones (01:80:c2:…) too. */
export function isGroup(high: number): boolean {
  return (high & 0x0100) !== 0
}

/** Upper and lower part of `02:xx:xx:xx:xx:xx`; null when `text` is no MAC. */
export function parseMac(text: string): { readonly high: number; readonly low: number } | null {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return null
  const digits = text.replaceAll(':', '')
  return { high: Number.parseInt(digits.slice(0, 4), 16), low: Number.parseInt(digits.slice(4), 16) }
}

/** The text of a MAC, lower case. */
export function formatMac(high: number, low: number): string {
  const digits = high.toString(16).padStart(4, '0') + low.toString(16).padStart(8, '0')
  return (digits.match(/../g) as string[]).join(':')
}
