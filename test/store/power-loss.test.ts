import assert from 'node:assert/strict'
import { cp, mkdtemp, open, readdir, rm, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openStore } from '#store/level.ts'

/** One unit of writes: a value of its own, and the count in the same batch. */
interface Written {
  readonly key: string
  readonly value: Uint8Array
  /** Length of the log when the write was resolved: what power loss must leave. */
  readonly logBytes: number
}

function valueOf(n: number): Uint8Array {
  // Sizes below, at and above a block of the log (32 KiB), so that records are split.
  const length = [10, 700, 40_000, 32_750, 3][n % 5] as number
  return Uint8Array.from({ length }, (_, i) => (n * 31 + i) & 0xff)
}

async function newestLog(db: string): Promise<string> {
  const logs = (await readdir(db)).filter((name) => name.endsWith('.log')).toSorted()
  return logs.at(-1) as string
}

async function cutAt(folder: string, to: string, bytes: number): Promise<void> {
  await rm(to, { recursive: true, force: true })
  await cp(folder, to, { recursive: true })
  const log = join(to, 'db', await newestLog(join(to, 'db')))
  await truncate(log, bytes)
}

/** What a store holds after a cut is the first writes, whole, and at least those that were resolved by then. */
async function check(folder: string, written: readonly Written[], bytes: number): Promise<void> {
  const store = await openStore(folder)
  try {
    const held = store.entries('values')
    const acknowledged = written.filter(({ logBytes }) => logBytes <= bytes).length
    assert.ok(held.length >= acknowledged, `cut at ${bytes}: ${held.length} of ${acknowledged}`)
    assert.ok(held.length <= acknowledged + 1, `cut at ${bytes}: more than was written`)
    for (const [place, { key, value }] of held.entries()) {
      assert.equal(key, written[place]?.key)
      assert.deepEqual(value, written[place]?.value)
    }
    const count = store.get('count', 'last')
    assert.equal(count === null ? 0 : Number(new TextDecoder().decode(count)), held.length)
  } finally {
    await store.close()
  }
}

test('after power loss at any byte every write that was resolved is there, whole, and nothing else', async () => {
  const base = await mkdtemp(join(tmpdir(), 'violin-power-'))
  try {
    const folder = join(base, 'store')
    const store = await openStore(folder)
    const log = join(folder, 'db', await newestLog(join(folder, 'db')))
    const written: Written[] = []
    for (let n = 0; n < 24; n++) {
      const key = String(n).padStart(4, '0')
      const value = valueOf(n)
      const count = new TextEncoder().encode(String(n + 1))
      const changes = [
        { section: 'values', key, value },
        { section: 'count', key: 'last', value: count }
      ]
      await store.write(changes, { sync: true })
      written.push({ key, value, logBytes: (await stat(log)).size })
    }
    // As the disk is when the power goes: nobody closed it.
    const seen = join(base, 'seen')
    await cp(folder, seen, { recursive: true })
    await store.close()
    const whole = written.at(-1)?.logBytes as number
    const borders = written.flatMap(({ logBytes }) => [logBytes - 1, logBytes, Math.min(whole, logBytes + 1)])
    const between = Array.from({ length: 40 }, (_, i) => Math.floor((whole * (i + 0.5)) / 40))
    for (const bytes of [0, 1, 6, 7, 8, ...borders, ...between]) {
      const cut = join(base, 'cut')
      await cutAt(seen, cut, bytes)
      await check(cut, written, bytes)
    }
  } finally {
    await rm(base, { recursive: true, force: true })
  }
})

test('what is written after power loss stands beside what was there before', async () => {
  const base = await mkdtemp(join(tmpdir(), 'violin-power-'))
  try {
    const folder = join(base, 'store')
    const first = await openStore(folder)
    await first.write([{ section: 's', key: 'before', value: valueOf(1) }], { sync: true })
    await first.write([{ section: 's', key: 'torn', value: valueOf(2) }], { sync: true })
    const cut = join(base, 'cut')
    await cp(folder, cut, { recursive: true })
    await first.close()
    const log = join(cut, 'db', await newestLog(join(cut, 'db')))
    await truncate(log, (await stat(log)).size - 100)
    for (let life = 0; life < 2; life++) {
      const store = await openStore(cut)
      if (life === 0) await store.write([{ section: 's', key: 'after', value: valueOf(3) }], { sync: true })
      assert.deepEqual(
        store.entries('s').map(({ key }) => key),
        ['after', 'before']
      )
      assert.deepEqual(store.get('s', 'before'), valueOf(1))
      await store.close()
    }
  } finally {
    await rm(base, { recursive: true, force: true })
  }
})

test('a log whose end was never written, as zeros or as rubbish, gives what was resolved', async () => {
  const base = await mkdtemp(join(tmpdir(), 'violin-power-'))
  try {
    for (const [place, tail] of [
      new Uint8Array(5000),
      Uint8Array.from({ length: 5000 }, (_, i) => (i * 89) & 0xff)
    ].entries()) {
      const folder = join(base, `store-${place}`)
      const store = await openStore(folder)
      await store.write([{ section: 's', key: 'k', value: valueOf(1) }], { sync: true })
      const cut = join(base, `cut-${place}`)
      await cp(folder, cut, { recursive: true })
      await store.close()
      const file = await open(join(cut, 'db', await newestLog(join(cut, 'db'))), 'a')
      await file.write(tail)
      await file.close()
      const again = await openStore(cut)
      assert.deepEqual(again.entries('s'), [{ key: 'k', value: valueOf(1) }])
      await again.close()
    }
  } finally {
    await rm(base, { recursive: true, force: true })
  }
})
