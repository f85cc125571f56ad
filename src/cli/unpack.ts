/**
 * Unpacks a tar archive that an entity sent. The entity may be hijacked, so the archive is hostile: only files,
 * folders and links are made, all below one fresh folder, symbolic links after everything else, so that no path
 * leads through one. POSIX.1-1988 (ustar) with GNU long names and pax paths.
 */
import { chmod, link, mkdir, open, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { ViolinError } from '#core/errors.ts'

const blockBytes = 512
/** Longest name or pax header, bytes: paths are at most 4 KiB on Linux. */
const maxExtraBytes: number = 64 * 1024
/** Links and folders that wait for the end, in memory. */
const maxDelayed = 100_000

interface Entry {
  readonly path: string
  readonly type: string
  readonly mode: number
  readonly bytes: number
  readonly target: string
}

/** Unpacks into `folder`, which is empty. Gives how many entries were left out (devices, pipes). Throws ViolinError. */
export async function unpack(archive: Readable, folder: string): Promise<number> {
  const bytes = new Bytes(archive)
  const folders: { readonly path: string; readonly mode: number }[] = []
  const links: { readonly path: string; readonly target: string }[] = []
  let left = 0
  for (let entry = await nextEntry(bytes); entry !== null; entry = await nextEntry(bytes)) {
    if (folders.length + links.length > maxDelayed) throw damaged('it has too many folders and links')
    const path = below(folder, entry.path)
    switch (entry.type) {
      case '0':
        await mkdir(dirname(path), { recursive: true })
        await writeEntry(bytes, path, entry)
        continue
      case '1':
        await mkdir(dirname(path), { recursive: true })
        await link(below(folder, entry.target), path)
        break
      case '2':
        links.push({ path, target: entry.target })
        break
      case '5':
        await mkdir(path, { recursive: true })
        folders.push({ path, mode: entry.mode })
        break
      default:
        left++
    }
    await bytes.skip(padded(entry.bytes))
  }
  const made = new Set<string>()
  for (const { path, target } of links) {
    for (let up = dirname(path); up.length > folder.length; up = dirname(up)) {
      if (made.has(up)) throw damaged('a path in it leads through a link')
    }
    await mkdir(dirname(path), { recursive: true })
    await symlink(target, path)
    made.add(path)
  }
  // Deepest first: a folder may forbid its owner to write.
  for (const { path, mode } of folders.toReversed()) await chmod(path, mode)
  return left
}

async function writeEntry(bytes: Bytes, path: string, entry: Entry): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  for (let rest = entry.bytes; rest > 0;) {
    const chunk = await bytes.some(rest)
    await file.writeFile(chunk)
    rest -= chunk.length
  }
  await file.chmod(entry.mode)
  await bytes.skip(padded(entry.bytes) - entry.bytes)
}

/** A path of the archive below the folder. Throws for one that would leave it. */
function below(folder: string, path: string): string {
  const steps = path.split('/').filter((step) => step !== '' && step !== '.')
  if (steps.includes('..') || path.includes('\0')) throw damaged(`it names ${JSON.stringify(path)}`)
  return join(folder, ...steps)
}

/** The next entry, names put together; null at the end of the archive. */
async function nextEntry(bytes: Bytes): Promise<Entry | null> {
  let path: string | undefined
  let target: string | undefined
  for (;;) {
    const header = await bytes.block()
    if (header === null || header.every((byte) => byte === 0)) return null
    const entry = readHeader(header)
    if (!'LKxg'.includes(entry.type)) {
      return { ...entry, path: path ?? entry.path, target: target ?? entry.target }
    }
    if (entry.bytes > maxExtraBytes) throw damaged('a name in it is too long')
    const extra = (await bytes.exactly(padded(entry.bytes))).subarray(0, entry.bytes)
    if (entry.type === 'L') path = textOf(extra)
    if (entry.type === 'K') target = textOf(extra)
    if (entry.type !== 'x') continue
    const words = paxWords(extra.toString('utf8'))
    if (words.has('size')) throw damaged('a file in it is too large')
    path = words.get('path') ?? path
    target = words.get('linkpath') ?? target
  }
}

function readHeader(header: Buffer): Entry {
  const sum = header.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0)
  if (sum !== octal(header, 148, 8)) throw damaged('a checksum is wrong')
  const name = textOf(header.subarray(0, 100))
  const prefix = header.toString('latin1', 257, 263) === 'ustar\0' ? textOf(header.subarray(345, 500)) : ''
  const type = String.fromCharCode(header[156] as number)
  return {
    path: prefix === '' ? name : `${prefix}/${name}`,
    type: type === '\0' || type === '7' ? '0' : type,
    // No set-user-id: what runs there has no say here.
    mode: octal(header, 100, 8) & 0o777,
    bytes: octal(header, 124, 12),
    target: textOf(header.subarray(157, 257))
  }
}

function octal(header: Buffer, at: number, length: number): number {
  const text = textOf(header.subarray(at, at + length)).trim()
  if (!/^[0-7]*$/.test(text)) throw damaged('a number is wrong')
  return Number.parseInt(text === '' ? '0' : text, 8)
}

/** Words of a pax header: `LENGTH KEY=VALUE\n` each. */
function paxWords(text: string): Map<string, string> {
  const lines = text.split('\n').map((line) => /^\d+ ([^=]+)=(.*)$/.exec(line))
  return new Map(lines.flatMap((match) => (match === null ? [] : [[match[1] as string, match[2] as string]])))
}

function textOf(bytes: Buffer): string {
  const end = bytes.indexOf(0)
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end)
}

function padded(bytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes
}

function damaged(why: string): ViolinError {
  return new ViolinError('refused', `the entity sent a bad archive: ${why}`, 'copy single files instead')
}

/** Reads a stream in pieces of the reader's choice. */
class Bytes {
  readonly #chunks: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)

  constructor(stream: Readable) {
    this.#chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  }

  /** At least one byte and at most `limit`. Throws at the end of the stream. */
  async some(limit: number): Promise<Buffer> {
    if (!(await this.#fill())) throw damaged('it breaks off')
    const piece = this.#rest.subarray(0, limit)
    this.#rest = this.#rest.subarray(piece.length)
    return piece
  }

  async exactly(length: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    for (let rest = length; rest > 0;) {
      const piece = await this.some(rest)
      pieces.push(piece)
      rest -= piece.length
    }
    return Buffer.concat(pieces)
  }

  /** One header; null at the end of the stream. */
  async block(): Promise<Buffer | null> {
    return (await this.#fill()) ? this.exactly(blockBytes) : null
  }

  async skip(length: number): Promise<void> {
    for (let rest = length; rest > 0;) rest -= (await this.some(rest)).length
  }

  /** False at the end of the stream. */
  async #fill(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#chunks.next()
      if (done === true) return false
      this.#rest = value
    }
    return true
  }
}
