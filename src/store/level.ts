/**
 * The {@link Store} on level. A folder holds `db/` (the database) and `db.made` (the marker that it was made
 * once): a database that lost its CURRENT file would otherwise be opened as a new, empty one, and what it
 * held would be beyond repair.
 *
 * LevelDB itself is given no byte whose checksum does not hold: it ends the process at some, at once or much later, and
 * takes others for what was written. So its files are read here first, and repaired without it.
 *
 * After a write that failed level's log may be out of step with itself, so the database is opened anew before
 * the next one; while that fails, reads are answered from a copy in memory.
 */
import { access, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { ViolinError } from '#core/errors.ts'
import { assertSection, flat, parted } from './key.ts'
import type { Store } from './contract.ts'
import { findDamage, salvage } from './salvage.ts'

type Database = ClassicLevel<string, Uint8Array>
type Change = Parameters<Store['write']>[0][number]

interface Group {
  readonly changes: Change[]
  sync: boolean
  readonly done: Promise<void>
}

const encoding = { keyEncoding: 'utf8', valueEncoding: 'view' } as const

/** Values that a repair writes in one go: more wait less often for the disk, and take more memory. */
const filledAtOnce = 1_000

/**
 * Opens the store of a folder, made when it was never there; at most one process holds it.
 * Throws ViolinError `already-running` (another process has it), `disk-full`, `refused` (its files are not this user's to
 * read), `store-damaged` (see {@link openMended}).
 */
export async function openStore(folder: string, signal?: AbortSignal): Promise<Store> {
  return openLevel(folder, signal)
}

async function openLevel(folder: string, signal?: AbortSignal): Promise<LevelStore> {
  signal?.throwIfAborted()
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const made = await exists(marker(folder))
  const location = join(folder, 'db')
  let db: Database | null = null
  try {
    const damage = await findDamage(location)
    if (damage !== null) {
      await assertFree(location)
      throw damage
    }
    db = new ClassicLevel(location, { ...encoding, createIfMissing: !made })
    await db.open()
    if (!made) await writeMarker(folder)
    signal?.throwIfAborted()
    const { keys, strange } = await keysOf(db, signal)
    await db.batch(
      strange.map((key) => ({ type: 'del', key, keyEncoding: 'buffer' }) as const),
      { sync: true }
    )
    return new LevelStore(db, keys, folder, strange.length)
  } catch (error: unknown) {
    await db?.close().catch(() => undefined)
    signal?.throwIfAborted()
    throw refusal(folder, error, ', then start it again')
  }
}

/** Throws where a process has the database, whose files then change while they are read. Reads nothing of them. */
async function assertFree(location: string): Promise<void> {
  const db = new ClassicLevel(location, { createIfMissing: false, errorIfExists: true })
  await db.open().catch((error: unknown) => {
    if (causes(error).some(({ code }) => code === 'LEVEL_LOCKED')) throw error
  })
}

/**
 * As {@link openStore}; what is damaged is repaired, what is beyond repair is set aside for an empty store, and what no
 * violin wrote is dropped. `mended` says what was done and where the damaged one is; null: nothing.
 */
export async function openMended(folder: string): Promise<{ store: Store; mended: string | null }> {
  let damage = ''
  try {
    const store = await openLevel(folder)
    const { strangeCount } = store
    const dropped = `${strangeCount} values that no violin wrote were dropped from the store`
    return { store, mended: strangeCount > 0 ? dropped : null }
  } catch (error: unknown) {
    if (!isDamaged(error)) throw error
    damage = causes(error).at(-1)?.message ?? ''
  }
  try {
    const kept = await repairStore(folder)
    const store = await openStore(folder)
    const how = `damaged (${damage}) and is made anew of what was whole`
    return { store, mended: `the store was ${how}; as it was it is kept in ${kept}` }
  } catch (error: unknown) {
    if (!isDamaged(error)) throw error
    const kept = await keepAside(folder)
    const store = await openStore(folder)
    return {
      store,
      mended:
        kept === null
          ? 'the store was gone and is empty now'
          : `the store was damaged beyond repair and is empty now; it is kept in ${kept}`
    }
  }
}

function isDamaged(error: unknown): boolean {
  return error instanceof ViolinError && error.code === 'store-damaged'
}

/** Puts the database out of the way; gives its new path, null where nothing was in it. */
async function keepAside(folder: string): Promise<string | null> {
  await rm(marker(folder), { force: true })
  // Level makes the folder of a database that it then does not find.
  if (!(await holdsData(join(folder, 'db')))) {
    await rm(join(folder, 'db'), { recursive: true, force: true })
    return null
  }
  const kept = join(folder, `db.damaged-${(await damagedCount(folder)) + 1}`)
  await rename(join(folder, 'db'), kept)
  return kept
}

async function holdsData(db: string): Promise<boolean> {
  const files = await readdir(db).catch((error: unknown) => {
    if (causes(error)[0]?.code === 'ENOENT') return []
    throw error
  })
  return files.some((name) => /\.(log|ldb|sst)$/.test(name))
}

/**
 * Makes the store of a folder anew from what is whole of a damaged one, which is kept beside it and its path returned.
 * Throws ViolinError `disk-full`, and `store-damaged` when nothing in it is whole.
 */
export async function repairStore(folder: string): Promise<string> {
  const fresh = join(folder, 'db.repairing')
  try {
    await rm(fresh, { recursive: true, force: true })
    const values = await salvage(join(folder, 'db'))
    if (values.size === 0) throw new Error('nothing in it is whole')
    const db: Database = new ClassicLevel(fresh, encoding)
    await db.open()
    await fill(db, values).finally(() => db.close())
  } catch (error: unknown) {
    await rm(fresh, { recursive: true, force: true })
    throw refusal(folder, error, ', then start it again')
  }
  const kept = join(folder, `db.damaged-${(await damagedCount(folder)) + 1}`)
  await rename(join(folder, 'db'), kept)
  await rename(fresh, join(folder, 'db'))
  return kept
}

async function fill(db: Database, values: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const puts = [...values].flatMap(([bytes, value]) => {
    const at = parted(Buffer.from(bytes, 'latin1'))
    return at === null ? [] : [{ type: 'put', key: flat(at.section, at.key), value } as const]
  })
  for (let first = 0; first < puts.length; first += filledAtOnce)
    await db.batch(puts.slice(first, first + filledAtOnce), { sync: true })
}

class LevelStore implements Store {
  readonly #db: Database
  readonly #folder: string
  /** Invariant: between two writes, exactly the keys that the database holds. */
  readonly #keys: Map<string, Set<string>>
  /** The write under way; never rejects. */
  #current: Promise<void> = Promise.resolve()
  /** What is written together once it is through. */
  #waiting: Group | null = null
  /** All values by their flat keys, since a write failed and until the database is open again. */
  #aside: ReadonlyMap<string, Uint8Array> | null = null

  /** Keys that no violin wrote, which were in the database when it was opened. */
  readonly strangeCount: number

  constructor(db: Database, keys: Map<string, Set<string>>, folder: string, strangeCount: number) {
    this.#db = db
    this.#keys = keys
    this.#folder = folder
    this.strangeCount = strangeCount
  }

  get(section: string, key: string): Uint8Array | null {
    const name = flat(section, key)
    if (this.#aside !== null) return this.#aside.get(name)?.slice() ?? null
    const value = this.#read(() => this.#db.getSync(name))
    // level hands out a Buffer of its own for each value
    return value === undefined ? null : new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  }

  entries(section: string): readonly { readonly key: string; readonly value: Uint8Array }[] {
    assertSection(section)
    const keys = [...(this.#keys.get(section) ?? [])].toSorted()
    return keys.flatMap((key) => {
      const value = this.get(section, key)
      return value === null ? [] : [{ key, value }]
    })
  }

  /** Every value by its flat key. Throws ViolinError `store-damaged`. */
  #readAll(): ReadonlyMap<string, Uint8Array> {
    const all = new Map<string, Uint8Array>()
    for (const [section, keys] of this.#keys) {
      for (const key of keys) all.set(flat(section, key), this.get(section, key) ?? new Uint8Array())
    }
    return all
  }

  async write(changes: readonly Change[], options?: { readonly sync?: boolean }): Promise<void> {
    for (const { section, key } of changes) flat(section, key)
    this.#waiting ??= { changes: [], sync: false, done: this.#afterCurrent() }
    this.#waiting.changes.push(...changes)
    this.#waiting.sync ||= options?.sync === true
    await this.#waiting.done
  }

  async close(): Promise<void> {
    await this.#waiting?.done.catch(() => undefined)
    await this.#current
    await this.#db.close()
  }

  /** level runs batches side by side, in any order: so one at a time, and what came meanwhile goes together. */
  async #afterCurrent(): Promise<void> {
    await this.#current
    const group = this.#waiting
    this.#waiting = null
    if (group === null) return
    const written = this.#commit(group)
    this.#current = written.catch(() => undefined)
    await written
  }

  async #commit({ changes, sync }: Group): Promise<void> {
    const operations = changes.map(({ section, key, value }) =>
      value === null
        ? ({ type: 'del', key: flat(section, key) } as const)
        : ({ type: 'put', key: flat(section, key), value } as const)
    )
    try {
      if (this.#aside !== null) await this.#openAgain()
      await this.#db.batch(operations, { sync })
    } catch (error: unknown) {
      const told = refusal(this.#folder, error, goesOn)
      if (told.code !== 'internal') this.#aside ??= this.#readAll()
      throw told
    }
    for (const { section, key, value } of changes) {
      const keys = this.#keys.get(section) ?? new Set()
      if (value === null) keys.delete(key)
      else keys.add(key)
      this.#keys.set(section, keys)
    }
  }

  async #openAgain(): Promise<void> {
    await this.#db.close()
    await this.#db.open({ createIfMissing: false })
    this.#aside = null
  }

  #read<T>(read: () => T): T {
    try {
      return read()
    } catch (error: unknown) {
      throw refusal(this.#folder, error, goesOn)
    }
  }
}

async function keysOf(
  db: Database,
  signal?: AbortSignal
): Promise<{ readonly keys: Map<string, Set<string>>; readonly strange: readonly Buffer[] }> {
  const keys = new Map<string, Set<string>>()
  const strange: Buffer[] = []
  for await (const bytes of db.keys<Buffer>({
    keyEncoding: 'buffer',
    ...(signal === undefined ? {} : { signal })
  })) {
    const at = parted(bytes)
    if (at === null) strange.push(bytes)
    else keys.set(at.section, (keys.get(at.section) ?? new Set()).add(at.key))
  }
  return { keys, strange }
}

/** What becomes of what a store that is open could not write. */
const goesOn = '; what others say is kept in memory and written then'

/** `then`: what follows where its disk is full. */
function refusal(folder: string, error: unknown, then: string): ViolinError {
  const codes = causes(error).map(({ code }) => code)
  if (codes.includes('LEVEL_LOCKED')) {
    return new ViolinError(
      'already-running',
      `another daemon holds the folder ${folder}`,
      'stop it first, or start this one with another folder',
      { cause: error }
    )
  }
  if (
    causes(error).some(({ code, message }) => code === 'ENOSPC' || /No space left|Disk quota/.test(message))
  ) {
    return new ViolinError(
      'disk-full',
      `the store in ${folder} cannot be written: no space is left on its disk`,
      `make room there (df -h)${then}`,
      { cause: error }
    )
  }
  if (causes(error).some(isOfUser)) {
    return new ViolinError(
      'refused',
      `the store in ${folder} is not read: ${causes(error).at(-1)?.message ?? ''}`,
      'let its files be those of the user that runs the daemon (chown -R), and let that open enough of them (ulimit -n)',
      { cause: error }
    )
  }
  if (
    codes.some((code) => code === 'LEVEL_DATABASE_NOT_OPEN' || code === 'LEVEL_ITERATOR_NOT_OPEN') &&
    !isOpening(error)
  ) {
    return new ViolinError('internal', `the store in ${folder} is closed`, 'report this', { cause: error })
  }
  return damaged(folder, error)
}

function damaged(folder: string, error: unknown): ViolinError {
  const why = causes(error).at(-1)?.message ?? String(error)
  return new ViolinError(
    'store-damaged',
    `the store in ${folder} cannot be read: ${why.replaceAll(/\s+/g, ' ')}`,
    'start the daemon again: it makes the store anew of what is whole, and keeps the damaged one',
    { cause: error }
  )
}

/** It lies with who reads, not with what is read. */
function isOfUser({ code, message }: { readonly code: string; readonly message: string }): boolean {
  return /^(EACCES|EPERM|EMFILE|ENFILE)$/.test(code) || /Permission denied|Too many open files/.test(message)
}

/** A failed opening carries its reason as the cause; use after close has none. */
function isOpening(error: unknown): boolean {
  return error instanceof Error && error.cause !== undefined
}

function causes(error: unknown): { code: string; message: string }[] {
  const found: { code: string; message: string }[] = []
  for (let at = error; at instanceof Error && found.length < 8; at = at.cause) {
    found.push({ code: 'code' in at ? String(at.code) : '', message: at.message })
  }
  return found
}

function marker(folder: string): string {
  return join(folder, 'db.made')
}

async function writeMarker(folder: string): Promise<void> {
  const file = await open(marker(folder), 'w', 0o600)
  try {
    await file.writeFile('violin store 1\n')
    await file.sync()
  } finally {
    await file.close()
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false
  )
}

async function damagedCount(folder: string): Promise<number> {
  const numbers = (await readdir(folder)).map((name) => Number(/^db\.damaged-(\d+)$/.exec(name)?.[1] ?? 0))
  return Math.max(0, ...numbers)
}
