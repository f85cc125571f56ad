/**
 * Inputs for decoders, out of valid ones: bits flipped, pieces cut, doubled and swapped, lengths lied about, and,
 * where the form is known, trees in which any node became another one. One seed gives one stream of inputs.
 */
import { decode, encode, rfc8949EncodeOptions } from 'cborg'
import type { Random } from '../../sim/random.ts'

/** What the bytes are, so that a change can keep what every reader checks first. */
export type Form = 'bytes' | 'cbor' | 'json' | 'text'

/** Values at which something turns over. */
const edges = [
  0,
  1,
  -1,
  0x17,
  0x18,
  0x7f,
  0x80,
  0xff,
  0x100,
  0x7fff,
  0xffff,
  0x10000,
  0x7fff_ffff,
  2 ** 31,
  0xffff_ffff,
  2 ** 32,
  Number.MAX_SAFE_INTEGER
]
const strangeTexts = [
  '',
  '\0',
  '\u202e',
  '../..',
  '__proto__',
  'constructor',
  'a'.repeat(300),
  '💥',
  '-',
  '\n'
]
/** Heads of CBOR items that claim too much: lists, maps, texts and bytes of 2³² and more, tags, endless ones. */
const greedyHeads = [
  [0x9b, 0, 0, 0, 1, 0, 0, 0, 0],
  [0x9a, 0x7f, 0xff, 0xff, 0xff],
  [0xba, 0xff, 0xff, 0xff, 0xff],
  [0xbb, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0x7a, 0xff, 0xff, 0xff, 0xff],
  [0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0xc2],
  [0xd9, 0xd9, 0xf7],
  [0x9f],
  [0xbf],
  [0xf9, 0x7e, 0],
  [0xff]
].map((bytes) => Uint8Array.from(bytes))
/** Deepest nest that is made: far beyond what any stack of a recursive reader takes. */
const maxDepth = 60_000

/** One input: a sample as it is, changed as a tree, changed as bytes, or noise. */
export function inputFrom(
  samples: readonly Uint8Array[],
  form: Form,
  maxBytes: number,
  random: Random
): Uint8Array {
  const way = random.below(32)
  if (way === 0 || samples.length === 0) return noise(random, random.below(Math.min(maxBytes, 512)))
  let bytes = random.pick(samples)
  if (way === 1) return new Uint8Array(bytes)
  if (form !== 'bytes' && form !== 'text' && way < 20) bytes = changedTree(bytes, form, random)
  if (form === 'bytes' || form === 'text' || way < 2 || way > 17) {
    for (let steps = 1 + random.below(4); steps > 0; steps--)
      bytes = changedBytes(bytes, samples, form, random)
  }
  return bytes.length > maxBytes ? bytes.slice(0, maxBytes) : bytes
}

/** Inputs that ask for the most work or memory for their length; the same for every decoder of a form. */
export function greedy(form: Form, maxBytes: number): Uint8Array[] {
  const depth = Math.min(maxDepth, maxBytes)
  const full = (byte: number): Uint8Array => new Uint8Array(maxBytes).fill(byte)
  if (form === 'cbor') {
    const small = Math.min(maxBytes - 5, 60_000)
    const list = new Uint8Array(small + 3)
    list.set([0x99, small >>> 8, small & 0xff])
    return [new Uint8Array(depth).fill(0x81), full(0xa1), full(0xc1), list, ...greedyHeads]
  }
  if (form === 'json' || form === 'text') {
    const text = (piece: string): Uint8Array =>
      new TextEncoder().encode(piece.repeat(Math.ceil(maxBytes / piece.length))).subarray(0, maxBytes)
    return ['[', '{"a":', '"', '\\u0000', ' ', '\n', '- ', '[a, ', '&a *a ', '?', 'a: ', '1e9', '0'].map(text)
  }
  return [full(0), full(1), full(0x7f), full(0x80), full(0xff)]
}

function noise(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.below(256))
}

function changedBytes(
  bytes: Uint8Array,
  samples: readonly Uint8Array[],
  form: Form,
  random: Random
): Uint8Array {
  const at = random.below(bytes.length + 1)
  const to = Math.min(bytes.length, at + random.below(16))
  switch (random.below(10)) {
    case 0:
      return new Uint8Array(bytes.subarray(0, at))
    case 1:
      return joined(bytes.subarray(0, at), bytes.subarray(to))
    case 2:
      return joined(bytes.subarray(0, to), bytes.subarray(at))
    case 3: {
      const other = random.pick(samples)
      return joined(bytes.subarray(0, at), other.subarray(random.below(other.length + 1)))
    }
    case 4:
      return joined(bytes.subarray(0, at), piece(form, random), bytes.subarray(to))
    case 5:
      return withNumber(bytes, at, random)
    case 6:
      return joined(bytes.subarray(0, at), noise(random, random.below(8)), bytes.subarray(at))
    default: {
      const changed = new Uint8Array(bytes)
      for (let flips = 1 + random.below(3); flips > 0 && changed.length > 0; flips--) {
        const place = random.below(changed.length)
        changed[place] = (changed[place] as number) ^ (1 << random.below(8))
      }
      return changed
    }
  }
}

/** Something that a reader of this form takes note of. */
function piece(form: Form, random: Random): Uint8Array {
  if (form === 'cbor') {
    if (random.chance(0.02)) return new Uint8Array(1 + random.below(4_000)).fill(0x81)
    return random.pick(greedyHeads)
  }
  if (form === 'bytes') return new Uint8Array(random.below(64)).fill(random.pick([0, 1, 0x7f, 0x80, 0xff]))
  const nest = random.pick(['[', '{"a":', '- ', '&a *a ', '"'])
  const text = random.chance(0.02)
    ? nest.repeat(random.below(2_000))
    : random.pick([...strangeTexts, nest, '1e999', '{}', 'null', ': ', '- '])
  return new TextEncoder().encode(text)
}

/** A number of 1, 2 or 4 bytes, either end first, over what stands there: a length or count that lies. */
function withNumber(bytes: Uint8Array, at: number, random: Random): Uint8Array {
  const changed = new Uint8Array(bytes)
  const size = random.pick([1, 2, 4])
  if (at + size > changed.length) return changed
  const view = new DataView(changed.buffer, changed.byteOffset, changed.length)
  const value = random.pick(edges)
  const little = random.chance(0.5)
  if (size === 1) view.setUint8(at, value)
  else if (size === 2) view.setUint16(at, value, little)
  else view.setUint32(at, value, little)
  return changed
}

/** The tree of a sample with some nodes replaced, as canonical bytes again; as it was where it is no tree. */
function changedTree(bytes: Uint8Array, form: 'cbor' | 'json', random: Random): Uint8Array {
  let tree: unknown
  try {
    tree = form === 'cbor' ? decode(bytes) : JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return bytes
  }
  for (let steps = 1 + random.below(3); steps > 0; steps--) tree = changedNode(tree, form, random)
  try {
    return form === 'cbor'
      ? encode(tree, rfc8949EncodeOptions)
      : new TextEncoder().encode(JSON.stringify(tree) ?? 'null')
  } catch {
    return bytes
  }
}

function changedNode(node: unknown, form: 'cbor' | 'json', random: Random): unknown {
  const isTree = typeof node === 'object' && node !== null && !(node instanceof Uint8Array)
  if (!isTree || random.chance(0.12)) return replacement(node, form, random)
  if (Array.isArray(node)) {
    const list: unknown[] = Array.from(node)
    const at = random.below(list.length + 1)
    if (at === list.length || random.chance(0.15)) {
      if (random.chance(0.5)) list.splice(at, 1)
      else list.splice(at, 0, list.length > 0 ? random.pick(list) : replacement(null, form, random))
    } else list[at] = changedNode(list[at], form, random)
    return list
  }
  const entries = Object.entries(node)
  const at = random.below(entries.length + 1)
  const entry = entries[at]
  if (entry === undefined) return { ...node, [random.pick(strangeTexts)]: replacement(null, form, random) }
  if (random.chance(0.05)) entries.splice(at, 1)
  else entries[at] = [entry[0], changedNode(entry[1], form, random)]
  return Object.fromEntries(entries)
}

function replacement(node: unknown, form: 'cbor' | 'json', random: Random): unknown {
  if (random.chance(0.5)) {
    if (typeof node === 'number') return random.chance(0.5) ? node + random.pick([-1, 1]) : random.pick(edges)
    if (typeof node === 'string') return changedText(node, random)
    if (typeof node === 'boolean') return !node
    if (node instanceof Uint8Array) return changedBytes(node, [node], 'bytes', random)
  }
  const values = [null, true, [], {}, -1, 0.5, random.pick(edges), random.pick(strangeTexts)]
  if (form === 'cbor') values.push(noise(random, random.pick([0, 31, 32, 33, 64])))
  if (random.chance(0.01)) values.push(Array.from({ length: 1 + random.below(3_000) }, () => 0))
  return random.pick(values)
}

function changedText(text: string, random: Random): string {
  const at = random.below(text.length + 1)
  switch (random.below(4)) {
    case 0:
      return random.pick(strangeTexts)
    case 1:
      return text.slice(0, at)
    case 2:
      return text + text
    default:
      return text.slice(0, at) + random.pick([...strangeTexts, '/', '.', ':', '0', '9']) + text.slice(at)
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
