import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { openMended, openStore } from '#store/level.ts'

const run = promisify(execFile)
const asRoot = { skip: process.getuid?.() === 0 ? false : 'only root mounts a file system' }

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'violin-faults-'))
  try {
    await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

test(
  'on a full disk records go on in memory, people are told, and room brings all of it to the disk',
  asRoot,
  () =>
    inFolder(async (folder) => {
      const child = fileURLToPath(new URL('full-disk.ts', import.meta.url))
      const script = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" "$3" "$1"'
      const { stdout } = await run('unshare', [
        '-m',
        'sh',
        '-c',
        script,
        'sh',
        folder,
        process.execPath,
        child
      ])
      const seen = JSON.parse(stdout) as Record<string, unknown> & { told: string[]; published: number }
      assert.deepEqual(seen.told, ['store-failed', 'store-well'])
      assert.ok(seen.published < 100)
      assert.equal(seen['own'], `full-${seen.published - 1}`, 'what it says of itself goes on')
      assert.equal(seen['refused'], 'disk-full', 'an owner is not told that a version is kept')
      assert.equal(seen['listed'], 0, 'and what was refused does not come about')
      assert.equal(seen['readable'], 1, 'what was on the disk is read as ever')
      assert.equal(seen['kept'], seen['own'])
      assert.equal(seen['violins'], 0)
    })
)

/** A database of two tables and a log, as a long life leaves it. */
async function grown(folder: string): Promise<void> {
  for (let life = 0; life < 3; life++) {
    const store = await openStore(folder)
    for (let n = 0; n < 40; n++) {
      const value = Uint8Array.from({ length: 900 }, (_, i) => (n * 7 + i * 13 + life) & 0xff)
      await store.write([{ section: `life-${life}`, key: `k${n}`, value }])
    }
    await store.close()
  }
}

test('whatever file is damaged, and however, the store opens and keeps what is new, and the damaged one stays beside it', () =>
  inFolder(async (base) => {
    const whole = join(base, 'whole')
    await grown(whole)
    const names = (await readdir(join(whole, 'db'))).filter((name) => !/^(LOCK|LOG)/.test(name))
    assert.ok(names.some((name) => name.endsWith('.ldb')) && names.includes('CURRENT'))
    const damages: [string, (bytes: Buffer) => Buffer | null][] = [
      ['gone', () => null],
      ['cut', (bytes) => bytes.subarray(0, bytes.length >> 1)],
      ['zeroed', (bytes) => Buffer.alloc(bytes.length)],
      ['flipped', (bytes) => Buffer.from(bytes.map((byte, i) => (i % 97 === 13 ? byte ^ 0x55 : byte)))]
    ]
    let mendedCount = 0
    for (const name of names)
      for (const [how, damage] of damages) {
        const folder = join(base, `${name}-${how}`)
        await cp(whole, folder, { recursive: true })
        const path = join(folder, 'db', name)
        const bytes = damage(await readFile(path))
        if (bytes === null) await rm(path)
        else await writeFile(path, bytes)
        const { store, mended } = await openMended(folder)
        if (mended !== null) {
          mendedCount++
          assert.ok((await readdir(folder)).includes('db.damaged-1'), mended)
        }
        await store.write([{ section: 'after', key: 'k', value: new Uint8Array([1]) }], { sync: true })
        await store.close()
        const again = await openStore(folder)
        assert.deepEqual(again.get('after', 'k'), new Uint8Array([1]), `${name} ${how}`)
        await again.close()
        await rm(folder, { recursive: true })
      }
    assert.ok(mendedCount >= 6, `${mendedCount} were mended`)
  }))
