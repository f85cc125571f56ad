/**
 * Characteristics of a vNIC's link: in words as people write them (`delay: 20ms`), and as the record has them,
 * whole numbers with units. They act on what enters the vLAN at that vNIC and on what leaves it there, alike.
 */

/** What is absent does not happen. */
export interface Link {
  readonly delayUs?: number
  /** A frame takes up to so much more or less; the order stays. */
  readonly jitterUs?: number
  /** Parts of a million of all frames. */
  readonly lossPpm?: number
  readonly duplicatePpm?: number
  /** Go at once, past those that wait for their delay. */
  readonly reorderPpm?: number
  readonly rateBps?: number
  /** Frames that may wait for the rate; the next is lost. */
  readonly queueFrames?: number
  /** The cable is out. */
  readonly down?: true
}

/** Words that have a value. */
export type LinkWord = 'delay' | 'jitter' | 'loss' | 'duplicate' | 'reorder' | 'rate' | 'queue'
export type LinkField = Exclude<keyof Link, 'down'>

interface Unit {
  readonly field: LinkField
  /** Largest value; the least is 0, which is the same as nothing, or {@link least}. */
  readonly max: number
  readonly least: number
  readonly scales: Readonly<Record<string, number>>
  readonly example: string
  readonly brief: string
}

const time = { max: 10_000_000, least: 0, scales: { us: 1, ms: 1_000, s: 1_000_000 } }
const share = { max: 1_000_000, least: 0, scales: { '%': 10_000 } }

/** All words, in the order in which they are shown. */
export const linkWords: Readonly<Record<LinkWord, Unit>> = {
  delay: { ...time, field: 'delayUs', example: '20ms', brief: 'Each way, at most 10s' },
  jitter: {
    ...time,
    field: 'jitterUs',
    example: '2ms',
    brief: 'Up to so much more or less; the order stays'
  },
  loss: { ...share, field: 'lossPpm', example: '1%', brief: 'Share of frames that are lost' },
  duplicate: { ...share, field: 'duplicatePpm', example: '0.1%', brief: 'Share of frames that come twice' },
  reorder: {
    ...share,
    field: 'reorderPpm',
    example: '5%',
    brief: 'Share of frames that overtake the delayed'
  },
  rate: {
    field: 'rateBps',
    max: 100_000_000_000,
    least: 8_000,
    scales: { bit: 1, kbit: 1_000, mbit: 1_000_000, gbit: 1_000_000_000 },
    example: '10mbit',
    brief: 'Bits a second, 8kbit to 100gbit'
  },
  queue: {
    field: 'queueFrames',
    max: 4_096,
    least: 1,
    scales: { '': 1 },
    example: '100',
    brief: 'Frames that wait for the rate (default 100)'
  }
}

/** The number for a word's text; null when it is none. Zero says that nothing of the kind happens. */
export function parseLinkWord(word: LinkWord, text: string): number | null {
  if (text === '0') return 0
  const { scales, max, least } = linkWords[word]
  const parts = /^(\d{1,12}(?:\.\d{1,6})?)([a-z%]*)$/.exec(text)
  const scale =
    parts === null || !Object.hasOwn(scales, parts[2] as string) ? undefined : scales[parts[2] as string]
  if (parts === null || scale === undefined) return null
  const value = Math.round(Number(parts[1]) * scale)
  return value === 0 || (value >= least && value <= max) ? value : null
}

/** `is no time: write 20ms`, for a word whose text is wrong. */
export function sayLinkWord(word: LinkWord): string {
  return `write it as ${linkWords[word].example}, or 0`
}

/** The text for a word's number, in the largest unit that keeps it short. */
export function formatLinkWord(word: LinkWord, value: number): string {
  const scales = Object.entries(linkWords[word].scales).toSorted(([, a], [, b]) => b - a)
  const [unit, scale] = scales.find(([, one]) => value >= one) ?? (scales.at(-1) as [string, number])
  return `${Number((value / scale).toFixed(6))}${unit}`
}

/** A link in words, for people; empty: nothing was said. */
export function formatLink(link: Link): Readonly<Record<string, string>> {
  const words = Object.entries(linkWords).flatMap(([word, { field }]) => {
    const value = link[field]
    return value === undefined ? [] : [[word, formatLinkWord(word as LinkWord, value)] as const]
  })
  return Object.fromEntries(link.down === true ? [...words, ['down', 'true']] : words)
}

/** A link with more said of it: zero takes a word back, what is left out stays. */
export function changeLink(link: Link, change: Partial<Record<LinkField, number>>): Link {
  const fields = Object.values(linkWords).flatMap(({ field }) => {
    const value = change[field] ?? link[field] ?? 0
    return value === 0 ? [] : [[field, value] as const]
  })
  return { ...Object.fromEntries(fields), ...(link.down === true ? { down: true } : {}) }
}

/** Null for a link that nothing is said of. */
export function someLink(link: Link): Link | null {
  return Object.keys(link).length === 0 ? null : link
}
