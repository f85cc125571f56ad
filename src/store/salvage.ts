/** The files of a database that nobody has open, read by their checksums before LevelDB reads them. */
import { existsSync } from 'node:fs'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  batchEntries,
  blockEntries,
  Damage,
  type Entry,
  logRecords,
  tableBlocks,
  tablesOf
} from './format.ts'

/** What cannot be read of a database, or is not as it was written; null: all that counts is whole. */
export async function findDamage(db: string): Promise<Error | null> {
  let name = 'CURRENT'
  try {
    const names = existsSync(db) ? await readdir(db) : []
    // Without one this is a new database, or LevelDB says that there is none.
    if (!names.includes(name)) return null
    name = (await readFile(join(db, name), 'latin1')).trimEnd()
    if (!/^MANIFEST-\d+$/.test(name)) return new Damage('CURRENT is damaged')
    const records = [...logRecords(await readFile(join(db, name)), false)]
    if (records.includes(null)) return new Damage(`${name} is damaged`)
    // Tables that it does not name are what a process that was killed left behind.
    for (const [number, size] of tablesOf(records.filter((record) => record !== null))) {
      name = tableName(names, number)
      const table = await readFile(join(db, name))
      if (table.length !== size || [...tableBlocks(table)].includes(null))
        return new Damage(`${name} is damaged`)
    }
    for (name of names.filter((one) => one.endsWith('.log')))
      if ([...logRecords(await readFile(join(db, name)), true)].includes(null))
        return new Damage(`${name} is damaged`)
    return null
  } catch (error: unknown) {
    // What the system says of a file names it.
    if (error instanceof Error && 'code' in error) return error
    return new Damage(`${name}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** The newest value of each key (latin1) that whole parts of a database hold, whatever became of its other files. */
export async function salvage(db: string): Promise<ReadonlyMap<string, Buffer>> {
  const newest = new Map<string, Entry>()
  for (const name of await readdir(db)) {
    if (!/\.(log|ldb|sst)$/.test(name)) continue
    for (const entry of await wholeEntries(join(db, name))) {
      const key = entry.key.toString('latin1')
      const other = newest.get(key)
      if (other === undefined || other.sequence < entry.sequence) newest.set(key, entry)
    }
  }
  const values = new Map<string, Buffer>()
  for (const [key, { value }] of newest) if (value !== null) values.set(key, value)
  return values
}

/** What can be told of a file; nothing where it cannot be read. */
async function wholeEntries(path: string): Promise<Entry[]> {
  const entries: Entry[] = []
  try {
    const bytes = await readFile(path)
    const isLog = path.endsWith('.log')
    for (const part of isLog ? logRecords(bytes, true) : tableBlocks(bytes))
      if (part !== null)
        for (const entry of isLog ? batchEntries(part) : blockEntries(part)) entries.push(entry)
  } catch {
    // The rest of it is lost, which is why this is done.
  }
  return entries
}

function tableName(names: readonly string[], number: number): string {
  const base = String(number).padStart(6, '0')
  return names.includes(`${base}.sst`) ? `${base}.sst` : `${base}.ldb`
}
