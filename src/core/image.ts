/**
 * An image: a tree of files that is the root of many machines. Its manifest lists the tree in one order; the
 * contents of all its files, one after the other in that order, are cut into pieces of one size, and the hash of
 * each piece stands in the manifest, too. The manifest's own hash is the image's: who knows it can check every byte,
 * whoever it came from.
 */
import type { Brand, Crypto } from './ids.ts'
import { hex } from './derive.ts'
import {
  concat,
  decodeCbor,
  encodeCbor,
  Malformed,
  readBytes,
  readFlag,
  readInteger,
  readList,
  readText
} from './records/cbor.ts'

/** SHA-256 of an image's manifest, 64 hex digits. */
export type ImageHash = Brand<string, 'ImageHash'>

/** What an entity begins with. */
export interface ImageRef {
  readonly name: string
  /** Null: `tiny`, which every host makes of what its own system has. */
  readonly hash: ImageHash | null
}

export const tinyImage: ImageRef = { name: 'tiny', hash: null }

/** Modes and owners are no part of an image: all in it belongs to root and may be read by everyone. */
export type ImageEntry =
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'file'; readonly path: string; readonly executable: boolean; readonly bytes: number }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }

export interface ImageManifest {
  /** In the order of their paths, which are relative to the root: a folder stands before what is in it. */
  readonly entries: readonly ImageEntry[]
  /** SHA-256 of each piece of the contents. */
  readonly pieces: readonly Uint8Array[]
}

/** A piece of the contents; the last one is shorter. Small enough for signs of life to pass in between. */
export const pieceBytes: number = 256 * 1024

export const imageLimits: {
  readonly manifestBytes: number
  readonly entries: number
  readonly path: number
  readonly contentBytes: number
} = {
  /** Of an encoded manifest: it travels in one answer. */
  manifestBytes: 1536 * 1024,
  entries: 100_000,
  /** Characters of a path or of a link's target. */
  path: 1024,
  /** Contents of all files: 8 GiB, whose pieces' hashes fill two thirds of a manifest. */
  contentBytes: 8 * 2 ** 30
}

const format = 1
const hashBytes = 32
const [folder, file, link] = [0, 1, 2] as const

export function imageHashOf(manifest: Uint8Array, crypto: Pick<Crypto, 'sha256'>): ImageHash {
  return hex(crypto.sha256(manifest)) as ImageHash
}

export function isImageHash(text: string): text is ImageHash {
  return /^[0-9a-f]{64}$/.test(text)
}

/** Whether a text may mean a hash by its first digits: as many as people are shown. */
export function isImageHashStart(text: string): boolean {
  return /^[0-9a-f]{12,64}$/.test(text)
}

/** Bytes of all files together. */
export function contentBytesOf(entries: readonly ImageEntry[]): number {
  return entries.reduce((sum, entry) => sum + (entry.kind === 'file' ? entry.bytes : 0), 0)
}

/** Throws RangeError for what is above {@link imageLimits}. */
export function encodeManifest({ entries, pieces }: ImageManifest): Uint8Array {
  const bytes = encodeCbor([format, entries.map(entryToWire), concat(...pieces)])
  if (bytes.length > imageLimits.manifestBytes || contentBytesOf(entries) > imageLimits.contentBytes)
    throw new RangeError(`${entries.length} files and ${pieces.length} pieces are too many for one image`)
  return bytes
}

/** Checks shape, bounds and order. Throws {@link Malformed}. */
export function decodeManifest(bytes: Uint8Array): ImageManifest {
  const wire = readList(decodeCbor(bytes, imageLimits.manifestBytes), 'image', 3, 3)
  readInteger(wire[0], 'format', format, format)
  const entries = readList(wire[1], 'entries', 0, imageLimits.entries).map(entryFromWire)
  checkOrder(entries)
  const contentBytes = contentBytesOf(entries)
  if (contentBytes > imageLimits.contentBytes) throw new Malformed('the files are too large')
  const count = Math.ceil(contentBytes / pieceBytes)
  const hashes = readBytes(wire[2], 'pieces', count * hashBytes, count * hashBytes)
  return {
    entries,
    pieces: Array.from({ length: count }, (_, place) =>
      hashes.subarray(place * hashBytes, (place + 1) * hashBytes)
    )
  }
}

/** A part of a file, as a part of a piece. */
export interface Extent {
  readonly path: string
  /** Where it begins in the file. */
  readonly at: number
  readonly bytes: number
}

interface Placed {
  readonly path: string
  readonly start: number
  readonly end: number
}

/** Where the pieces of an image lie in its files. */
export class Extents {
  readonly #files: readonly Placed[]
  readonly #contentBytes: number

  constructor(entries: readonly ImageEntry[]) {
    let start = 0
    this.#files = entries.flatMap((entry) => {
      if (entry.kind !== 'file' || entry.bytes === 0) return []
      const end = start + entry.bytes
      const place = { path: entry.path, start, end }
      start = end
      return [place]
    })
    this.#contentBytes = start
  }

  /** What a piece is made of, in order. Throws RangeError for one that there is not. */
  of(piece: number): Extent[] {
    const from = piece * pieceBytes
    const to = Math.min(from + pieceBytes, this.#contentBytes)
    if (!Number.isSafeInteger(piece) || piece < 0 || from >= to) throw new RangeError(`no piece ${piece}`)
    const extents: Extent[] = []
    for (let place = this.#firstAt(from); place < this.#files.length; place++) {
      const { path, start, end } = this.#files[place] as Placed
      if (start >= to) break
      const begin = Math.max(start, from)
      extents.push({ path, at: begin - start, bytes: Math.min(end, to) - begin })
    }
    return extents
  }

  /** Place of the file that has the byte `at` of the contents. */
  #firstAt(at: number): number {
    let [low, high] = [0, this.#files.length - 1]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#files[middle]?.end ?? 0) > at) high = middle
      else low = middle + 1
    }
    return low
  }
}

function entryToWire(entry: ImageEntry): unknown {
  switch (entry.kind) {
    case 'folder':
      return [folder, entry.path]
    case 'file':
      return [file, entry.path, entry.executable, entry.bytes]
    case 'link':
      return [link, entry.path, entry.target]
  }
}

function entryFromWire(value: unknown): ImageEntry {
  const wire = readList(value, 'entry', 2, 4)
  const path = readPath(wire[1])
  switch (`${String(wire[0])} ${wire.length}`) {
    case `${folder} 2`:
      return { kind: 'folder', path }
    case `${file} 4`: {
      const bytes = readInteger(wire[3], 'length of a file', 0, imageLimits.contentBytes)
      return { kind: 'file', path, executable: readFlag(wire[2], 'executable'), bytes }
    }
    case `${link} 3`:
      return { kind: 'link', path, target: readPlain(wire[2], 'target of a link') }
    default:
      throw new Malformed('an entry is of no kind')
  }
}

/** A path below the root without detours. */
function readPath(value: unknown): string {
  const path = readPlain(value, 'path')
  if (path.split('/').some((name) => name === '' || name === '.' || name === '..'))
    throw new Malformed('a path leads out of the image')
  return path
}

function readPlain(value: unknown, what: string): string {
  const text = readText(value, what, imageLimits.path)
  if (text === '') throw new Malformed(`${what} is empty`)
  for (const character of text)
    if (character < ' ' || character === '\x7f') throw new Malformed(`${what} has a control character`)
  return text
}

/** Each path once, in order, and in a folder of the image: so none leads through a link. */
function checkOrder(entries: readonly ImageEntry[]): void {
  const folders = new Set([''])
  let before = ''
  for (const { kind, path } of entries) {
    if (path <= before) throw new Malformed('the paths are not in order')
    if (!folders.has(path.slice(0, Math.max(0, path.lastIndexOf('/')))))
      throw new Malformed('a path is in no folder')
    if (kind === 'folder') folders.add(path)
    before = path
  }
}
