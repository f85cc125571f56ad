import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, chown, cp, mkdtemp, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { ClassicLevel } from 'classic-level'
import fc from 'fast-check'
import { ViolinError } from '#core/errors.ts'
import type { Store } from '#store/contract.ts'
import { openMended, openStore } from '#store/level.ts'

/** The user who owns nothing. */
const nobody = 65_534

type Values = Map<string, Uint8Array>

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'violin-damage-'))
  try {
    await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Rubbish, or words that come again and again, which a table holds shorter than they are. */
function valueOf(n: number): Uint8Array {
  if (n % 2 === 0) return Uint8Array.from({ length: 300 }, (_, i) => (n * 31 + i * i * 7 + i) & 0xff)
  return new TextEncoder().encode(`${n}: ${'/ip4/10.0.0.1/tcp/4711 '.repeat((n % 40) + 1)}`)
}

/** Fills a store in four lives: three tables and a log. */
async function lived(folder: string): Promise<Values> {
  const values: Values = new Map()
  for (let life = 0; life < 4; life++) {
    const store = await openStore(folder)
    for (let n = life * 40; n < life * 40 + 40; n++) {
      await store.write([{ section: 'records', key: `k${n}`, value: valueOf(n) }])
      values.set(`k${n}`, valueOf(n))
    }
    await store.close()
  }
  return values
}

async function filesOf(folder: string, kind: RegExp): Promise<string[]> {
  const names = await readdir(join(folder, 'db'))
  return names.filter((name) => kind.test(name)).map((name) => join(folder, 'db', name))
}

/** Turns bits of a byte, that of a place between 0 (first) and 1 (last). */
async function flip(path: string, place: number, bits: number): Promise<void> {
  const bytes = await readFile(path)
  const at = Math.min(bytes.length - 1, Math.floor(place * bytes.length))
  if (at < 0) return
  bytes[at] = (bytes[at] as number) ^ bits
  await writeFile(path, bytes)
}

/** How many values are there; each that is must be as it was written. */
function countWhole(store: Store, values: Values): number {
  const held = store.entries('records')
  for (const { key, value } of held) assert.deepEqual(value, values.get(key), `${key} is another`)
  return held.length
}

test('keys that no violin wrote are dropped and told once, whatever their bytes', () =>
  inFolder(async (folder) => {
    const store = await openStore(folder)
    await store.write([{ section: 'peers', key: 'k', value: new Uint8Array([7]) }])
    await store.close()
    const db = new ClassicLevel<Buffer, Buffer>(join(folder, 'db'), {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer'
    })
    const strange = ['peer\xf3!k', 'peers!k\xff', 'peers!', 'Peers!k', '!k', 'peers', '\x00', '']
    for (const key of strange.slice(0, -1)) await db.put(Buffer.from(key, 'latin1'), Buffer.from('x'))
    await db.close()
    const first = await openMended(folder)
    assert.equal(first.mended, '7 values that no violin wrote were dropped from the store')
    assert.deepEqual(first.store.entries('peers'), [{ key: 'k', value: new Uint8Array([7]) }])
    await first.store.close()
    const second = await openMended(folder)
    assert.equal(second.mended, null)
    await second.store.close()
  }))

test('a store at which LevelDB ends the process is made anew of what is whole', () =>
  inFolder(async (folder) => {
    for (const n of [0, 1, 2]) {
      const store = await openStore(folder)
      if (n !== 1) await store.write([{ section: 'records', key: `k${n}`, value: valueOf(2 * n) }])
      await store.close()
    }
    // The one key of a table ends in no word that LevelDB knows: its repair then asserts that there is a first key.
    const [table] = (await filesOf(folder, /\.ldb$/)) as [string]
    const bytes = await readFile(table)
    const end = bytes.indexOf('records!k0') + 'records!k0'.length
    assert.equal(bytes[end], 1)
    bytes[end] = 0x5b
    await writeFile(table, bytes)
    for (const manifest of await filesOf(folder, /^MANIFEST/)) await truncate(manifest, 3)
    const { store, mended } = await openMended(folder)
    assert.match(mended ?? '', /made anew of what was whole; .*db\.damaged-1$/)
    assert.deepEqual(store.entries('records'), [{ key: 'k2', value: valueOf(4) }])
    await store.close()
  }))

test('a flipped byte of a value or a key in a table is told, and no other value is given back for it', () =>
  inFolder(async (base) => {
    const whole = join(base, 'whole')
    const values = await lived(whole)
    const names = await filesOf(whole, /\.ldb$/)
    assert.equal(names.length, 3)
    for (let place = 0.02; place < 0.9; place += 0.11) {
      const folder = join(base, 'flipped')
      await rm(folder, { recursive: true, force: true })
      await cp(whole, folder, { recursive: true })
      const [table] = (await filesOf(folder, /\.ldb$/)) as [string]
      await flip(table, place, 0x20)
      const { store, mended } = await openMended(folder)
      assert.match(mended ?? '', /ldb is damaged/)
      const count = countWhole(store, values)
      assert.ok(count >= 120 && count < 160, `${count} values at ${place}`)
      await store.close()
    }
  }))

test('a store that another process has is not mended, however it looks', () =>
  inFolder(async (folder) => {
    await lived(folder)
    const held = await openStore(folder)
    for (const path of await filesOf(folder, /^MANIFEST/)) await flip(path, 0.5, 0xff)
    await assert.rejects(
      openMended(folder),
      (error) => error instanceof ViolinError && error.code === 'already-running'
    )
    await held.close()
    assert.deepEqual((await readdir(folder)).toSorted(), ['db', 'db.made'])
  }))

test('whatever bytes are flipped in whatever files, the store opens, gives no other value, tells of a loss, and goes on', () =>
  inFolder(async (base) => {
    const whole = join(base, 'whole')
    const values = await lived(whole)
    const paths = await filesOf(whole, /^(CURRENT|MANIFEST.*|.*\.log|.*\.ldb)$/)
    // Unbiased: most places are in the midst of values, keys and indexes.
    const place = fc.noBias(fc.integer({ min: 0, max: 99_999 }).map((part) => part / 100_000))
    const flips = fc.array(fc.tuple(fc.constantFrom(...paths), place, fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 40
    })
    const folder = join(base, 'flipped')
    const flipped = async (all: (readonly [string, number, number])[]): Promise<void> => {
      await rm(folder, { recursive: true, force: true })
      await cp(whole, folder, { recursive: true })
      for (const [path, where, bits] of all) await flip(path.replace(whole, folder), where, bits)
      const { store, mended } = await openMended(folder)
      const count = countWhole(store, values)
      // The end of a log may look as if power had gone.
      if (mended === null) assert.ok(count >= 120, `${count} values, and nothing is told`)
      await store.close()
      for (let life = 0; life < 4; life++) {
        const again = await openMended(folder)
        assert.equal(again.mended, null)
        assert.equal(countWhole(again.store, values), count)
        await again.store.write([{ section: 'after', key: 'k', value: Uint8Array.of(life) }], { sync: true })
        await again.store.close()
      }
    }
    await fc.assert(fc.asyncProperty(flips, flipped), { numRuns: 25 })
  }))

test('a store that is not this user’s to read is refused and left as it is', async (context) => {
  if (process.getuid?.() !== 0) return context.skip('only root can become another user')
  await inFolder(async (folder) => {
    await lived(folder)
    const before = await readdir(folder)
    for (const name of ['', 'db', 'db/LOCK', 'db/LOG']) await chown(join(folder, name), nobody, nobody)
    for (const name of await readdir(join(folder, 'db')))
      if (name.endsWith('.ldb')) await chmod(join(folder, 'db', name), 0o600)
    const script = `
      const { openMended } = await import(${JSON.stringify(new URL('../../src/store/level.ts', import.meta.url).href)})
      process.setuid(${nobody})
      await openMended(process.argv[1]).catch(({ code, message }) => console.log(code, message))`
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--input-type=module',
      '-e',
      script,
      folder
    ])
    assert.match(stdout, /^refused the store in .* is not read: EACCES/)
    assert.deepEqual(await readdir(folder), before)
  })
})
