import assert from 'node:assert/strict'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openStore } from '#store/level.ts'
import { batchEntries, blockEntries, logRecords, tableBlocks, tablesOf } from '#store/format.ts'

/** The files of a store with a table of many blocks and a log of three, as LevelDB wrote them. */
async function written(): Promise<Map<string, Buffer>> {
  const folder = await mkdtemp(join(tmpdir(), 'violin-format-'))
  try {
    for (let life = 0; life < 2; life++) {
      const store = await openStore(folder)
      for (let n = 0; n < 90; n++)
        await store.write([{ section: `life-${life}`, key: `k${n}`, value: valueOf(n) }])
      if (life === 0) await store.write([{ section: 'life-0', key: 'k7', value: null }])
      await store.close()
    }
    const names = await readdir(join(folder, 'db'))
    const files = names.map(async (name) => [name, await readFile(join(folder, 'db', name))] as const)
    return new Map(await Promise.all(files))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Every third one is short in a table: words that come again, near and far. */
function valueOf(n: number): Buffer {
  if (n % 3 === 0) return Buffer.from(`${n} ${'again and '.repeat(300)}${n}${'far '.repeat(20)}`)
  return Buffer.from(Uint8Array.from({ length: 600 }, (_, i) => (n * 31 + i * i * 7 + (i >> 3) * 13) & 0xff))
}

const files = await written()
const fileOf = (kind: RegExp): Buffer => {
  const found = [...files].find(([name]) => kind.test(name))
  assert.ok(found !== undefined)
  return found[1]
}
const log = fileOf(/\.log$/)
const table = fileOf(/\.ldb$/)

test('a log and a table are read as LevelDB wrote them', () => {
  const records = [...logRecords(log, true)]
  assert.ok(log.length > 2 * 32_768 && records.length === 90)
  for (const [n, record] of records.entries()) {
    const [entry, ...others] = batchEntries(record as Buffer)
    assert.equal(others.length, 0)
    assert.deepEqual([String(entry?.key), entry?.value], [`life-1!k${n}`, valueOf(n)])
  }
  const entries = [...tableBlocks(table)].flatMap((block) => blockEntries(block as Buffer))
  assert.equal(new Set(entries.map(({ key }) => String(key))).size, 90)
  for (const { key, value } of entries) {
    const n = Number(String(key).replace('life-0!k', ''))
    if (value !== null) assert.deepEqual(value, valueOf(n))
    else assert.equal(n, 7)
  }
  const manifest = [...logRecords(fileOf(/^MANIFEST/), false)].filter((record) => record !== null)
  assert.deepEqual([...tablesOf(manifest).values()], [table.length])
})

test('a flipped byte of a log is found, but in the length of its last record', () => {
  let unseen = 0
  for (let at = 0; at < log.length; at += at > log.length - 700 ? 1 : 211) {
    const flipped = Buffer.from(log)
    flipped[at] = (log[at] as number) ^ 0x40
    const records = [...logRecords(flipped, true)]
    assert.ok(records.length <= 91)
    if (records.includes(null)) continue
    unseen++
    assert.equal(records.length, 89, `at ${at}`)
  }
  assert.ok(unseen <= 2, `${unseen} places`)
  const manifest = fileOf(/^MANIFEST/)
  for (let at = 0; at < manifest.length; at++) {
    const flipped = Buffer.from(manifest)
    flipped[at] = (manifest[at] as number) ^ 0x40
    assert.ok([...logRecords(flipped, false)].includes(null), `at ${at} of the manifest`)
  }
})

test('a flipped byte of a table is found, but where nothing stands', () => {
  for (let at = 0; at < table.length; at += at > table.length - 700 ? 1 : 97) {
    const flipped = Buffer.from(table)
    flipped[at] = (table[at] as number) ^ 0x40
    let isFound = false
    try {
      isFound = [...tableBlocks(flipped)].includes(null)
    } catch {
      isFound = true
    }
    const isPadding = table[at] === 0 && at >= table.length - 48
    assert.ok(isFound || isPadding, `at ${at} of ${table.length}`)
  }
})
