/**
 * What the files of a LevelDB database hold, as far as their checksums vouch for it: pure, from bytes. LevelDB itself
 * reads tables, and repairs logs, without a look at checksums, and aborts the process at some of what it then meets.
 *
 * After doc/log_format.md, doc/table_format.md and db/version_edit.cc of LevelDB, and format_description.txt of Snappy.
 */

/** A block of a log, and the head of a record in it: checksum (4), length (2), type (1). */
const logBlockBytes = 32 * 1024
const logHeadBytes = 7
const fragment = { full: 1, first: 2, last: 4 } as const

const footerBytes = 48
const tableMagic = 0xdb4775248b80fb57n

/** No block is larger, uncompressed: one value, and a value is a record. */
const maxBlockBytes = 64 << 20

/** One version of a value; null: it was deleted. The highest sequence of a key stands. */
export interface Entry {
  readonly key: Buffer
  readonly sequence: bigint
  readonly value: Buffer | null
}

/** What is not as it was written. */
export class Damage extends Error {
  override readonly name = 'Damage'
}

/**
 * The records of a log, whole ones alone; null stands for a place that is damaged. An end that was never written, as
 * kill -9 and power loss leave it, is none where it `mayEnd` so.
 */
export function* logRecords(log: Buffer, mayEnd: boolean): Generator<Buffer | null> {
  let begun: Buffer[] | null = null
  for (let block = 0; block < log.length; block += logBlockBytes) {
    const end = Math.min(block + logBlockBytes, log.length)
    for (let at = block; end - at >= logHeadBytes;) {
      const length = log.readUInt16LE(at + 4)
      const next = at + logHeadBytes + length
      if (!isLogRecord(log, at, end)) {
        if (mayEnd && isUnwritten(log, at, end)) return
        yield null
        begun = null
        break
      }
      const type = log[at + 6] as number
      const part = log.subarray(at + logHeadBytes, next)
      if (type === fragment.full) yield part
      else if (type === fragment.first) begun = [part]
      else begun?.push(part)
      if (type === fragment.last && begun !== null) yield Buffer.concat(begun)
      if (type === fragment.full || type === fragment.last) begun = null
      at = next
    }
  }
}

/** The fragment of a log at a place is there to its end, with the right checksum. */
function isLogRecord(log: Buffer, at: number, end: number): boolean {
  const next = at + logHeadBytes + log.readUInt16LE(at + 4)
  const type = log[at + 6] as number
  if (type < fragment.full || type > fragment.last || next > end) return false
  return log.readUInt32LE(at) === checksum(log.subarray(at + 6, next))
}

/** From here on nothing was written, or (in the last block) the one fragment whose end is missing. */
function isUnwritten(log: Buffer, at: number, end: number): boolean {
  if (log.subarray(at).every((byte) => byte === 0)) return true
  if (end !== log.length || at + logHeadBytes + log.readUInt16LE(at + 4) <= end) return false
  // A length that was damaged has whole fragments behind it.
  for (let later = at + 1; end - later >= logHeadBytes; later++)
    if (isLogRecord(log, later, end)) return false
  return true
}

/** The changes of a record of a log. Throws {@link Damage}. */
export function batchEntries(record: Buffer): Entry[] {
  const cursor = new Cursor(record)
  const first = cursor.take(8).readBigUInt64LE()
  const count = cursor.take(4).readUInt32LE()
  const entries: Entry[] = []
  while (!cursor.isAtEnd) {
    const isPut = cursor.take(1)[0] === 1
    const key = cursor.sized()
    entries.push({ key, sequence: first + BigInt(entries.length), value: isPut ? cursor.sized() : null })
  }
  if (entries.length !== count) throw new Damage('a batch has another length')
  return entries
}

/** The tables that records of a manifest leave, by number, with their sizes. Throws {@link Damage}. */
export function tablesOf(records: Iterable<Buffer>): ReadonlyMap<number, number> {
  const tables = new Map<number, number>()
  for (const record of records) {
    const cursor = new Cursor(record)
    while (!cursor.isAtEnd) {
      const tag = cursor.varint()
      if (tag === 1) cursor.sized() // the comparator's name
      else if (tag === 2 || tag === 3 || tag === 4 || tag === 9) cursor.varint() // numbers of logs, files, sequences
      else if (tag === 5) {
        cursor.varint() // where compaction of a level goes on
        cursor.sized()
      } else if (tag === 6) {
        cursor.varint()
        tables.delete(cursor.varint())
      } else if (tag === 7) {
        cursor.varint()
        tables.set(cursor.varint(), cursor.varint())
        cursor.sized() // the smallest and the largest key
        cursor.sized()
      } else throw new Damage('a manifest has an unknown word')
    }
  }
  return tables
}

/**
 * The blocks of a table that hold entries, for {@link blockEntries}; null for each block that is damaged, also of the
 * filters. Throws {@link Damage} where it cannot be told which blocks there are.
 */
export function* tableBlocks(table: Buffer): Generator<Buffer | null> {
  if (table.length < footerBytes) throw new Damage('a table is too short')
  const footer = table.subarray(table.length - footerBytes)
  if (footer.readBigUInt64LE(footerBytes - 8) !== tableMagic) throw new Damage('a table has no end')
  const cursor = new Cursor(footer)
  const filters = blockAt(table, cursor)
  const index = blockAt(table, cursor)
  if (index === null) throw new Damage('the index of a table is damaged')
  for (const { value } of blockItems(index)) yield blockAt(table, new Cursor(value))
  if (filters === null) yield null
  else for (const { value } of blockItems(filters)) if (blockAt(table, new Cursor(value)) === null) yield null
}

/** A block, its compression (1 byte) last, where a pair of offset and length says; null: its checksum (4) is another. */
function blockAt(table: Buffer, handle: Cursor): Buffer | null {
  const offset = handle.varint()
  const end = offset + handle.varint() + 1
  if (end + 4 > table.length - footerBytes) return null
  const block = table.subarray(offset, end)
  return table.readUInt32LE(end) === checksum(block) ? block : null
}

/** The entries of a block of a table. Throws {@link Damage}. */
export function blockEntries(block: Buffer): Entry[] {
  return [...blockItems(block)].flatMap(({ key, value }) => {
    if (key.length < 8) return []
    const tail = key.readBigUInt64LE(key.length - 8)
    const type = tail & 0xffn
    if (type > 1n) return []
    return [{ key: key.subarray(0, -8), sequence: tail >> 8n, value: type === 1n ? value : null }]
  })
}

/** Keys and values in order; a key is told by what it shares with the one before. */
function* blockItems(block: Buffer): Generator<{ readonly key: Buffer; readonly value: Buffer }> {
  const stored = block.subarray(0, -1)
  const type = block.at(-1)
  if (type !== 0 && type !== 1) throw new Damage('a block has an unknown compression')
  const content = type === 1 ? uncompressed(stored) : stored
  const restarts = content.readUInt32LE(content.length - 4)
  const cursor = new Cursor(content.subarray(0, content.length - 4 * (restarts + 1)))
  let key: Buffer = Buffer.alloc(0)
  while (!cursor.isAtEnd) {
    const shared = cursor.varint()
    const own = cursor.varint()
    const length = cursor.varint()
    key = Buffer.concat([key.subarray(0, shared), cursor.take(own)])
    yield { key, value: cursor.take(length) }
  }
}

/** What Snappy made short: literals, and copies of what came before. */
function uncompressed(input: Buffer): Buffer {
  const cursor = new Cursor(input)
  const length = cursor.varint()
  if (length > maxBlockBytes) throw new Damage('a block is too long')
  const output = Buffer.alloc(length)
  let at = 0
  while (!cursor.isAtEnd) {
    const tag = cursor.take(1)[0] as number
    const kind = tag & 3
    if (kind === 0) {
      const short = tag >> 2
      const literal = cursor.take(1 + (short < 60 ? short : cursor.integer(short - 59)))
      at += literal.copy(output, at)
      continue
    }
    const count = kind === 1 ? 4 + ((tag >> 2) & 7) : 1 + (tag >> 2)
    const back = kind === 1 ? ((tag >> 5) << 8) | cursor.integer(1) : cursor.integer(kind === 2 ? 2 : 4)
    // One by one: a copy may reach into itself.
    for (const end = at + count; at < end; at++) output[at] = output[at - back] as number
  }
  return output
}

/** Reads bytes from first to last. Throws {@link Damage} past their end. */
class Cursor {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#bytes.length) throw new Damage('something is cut')
    const taken = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return taken
  }

  integer(length: number): number {
    return this.take(length).readUIntLE(0, length)
  }

  varint(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.take(1)[0] as number
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }

  /** Bytes after their number. */
  sized(): Buffer {
    return this.take(this.varint())
  }
}

const castagnoli = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0x82f63b78 : 0)
  return value
})

/** CRC-32C, turned and shifted as LevelDB stores it. */
function checksum(bytes: Buffer): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = (crc >>> 8) ^ (castagnoli[(crc ^ byte) & 0xff] as number)
  crc = ~crc
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}
