import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ViolinError } from '#core/errors.ts'
import { openMended, openStore, repairStore } from '#store/level.ts'

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'violin-level-'))
  try {
    await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const code = (expected: string) => (error: unknown) => error instanceof ViolinError && error.code === expected

test('a second opener is told that a daemon holds the folder', () =>
  inFolder(async (folder) => {
    const store = await openStore(folder)
    try {
      await assert.rejects(openStore(folder), code('already-running'))
    } finally {
      await store.close()
    }
    await (await openStore(folder)).close()
  }))

test('what was resolved survives kill -9, and no write is there by half', () =>
  inFolder(async (folder) => {
    const child = spawn(process.execPath, [fileURLToPath(new URL('writer.ts', import.meta.url)), folder], {
      stdio: ['ignore', 'pipe', 'inherit']
    })
    let resolved = -1
    for await (const line of createInterface({ input: child.stdout })) {
      resolved = Number(line)
      if (resolved === 200) child.kill('SIGKILL')
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    assert.ok(resolved >= 200)
    const store = await openStore(folder)
    try {
      const last = Number(new TextDecoder().decode(store.get('count', 'last') ?? new Uint8Array()))
      assert.ok(last >= resolved, `${last} < ${resolved}`)
      assert.equal(store.entries('values').length, last + 1)
      for (const { key, value } of store.entries('values')) {
        assert.deepEqual(value, new Uint8Array(200).fill(Number(key) & 0xff))
      }
    } finally {
      await store.close()
    }
  }))

test('a store that lost its CURRENT file is refused, not opened empty, and a copy of it is repaired', () =>
  inFolder(async (folder) => {
    const first = await openStore(folder)
    await first.write([{ section: 's', key: 'k', value: new Uint8Array([7]) }])
    await first.close()
    await rm(join(folder, 'db', 'CURRENT'))
    await assert.rejects(openStore(folder), code('store-damaged'))
    const kept = await repairStore(folder)
    assert.ok(!(await readdir(kept)).includes('CURRENT'), 'the damaged one is as it was')
    const repaired = await openStore(folder)
    assert.deepEqual(repaired.get('s', 'k'), new Uint8Array([7]))
    await repaired.close()
  }))

test('a damaged manifest is refused and repaired', () =>
  inFolder(async (folder) => {
    const first = await openStore(folder)
    await first.write([{ section: 's', key: 'k', value: new Uint8Array([7]) }])
    await first.close()
    const manifest = (await readdir(join(folder, 'db'))).find((name) => name.startsWith('MANIFEST'))
    await truncate(join(folder, 'db', manifest ?? ''), 3)
    await assert.rejects(openStore(folder), code('store-damaged'))
    await repairStore(folder)
    const repaired = await openStore(folder)
    assert.equal(repaired.entries('s').length, 1)
    await repaired.close()
  }))

test('a database that is gone altogether is refused, and cannot be repaired', () =>
  inFolder(async (folder) => {
    await (await openStore(folder)).close()
    await rm(join(folder, 'db'), { recursive: true })
    await assert.rejects(openStore(folder), code('store-damaged'))
    await assert.rejects(repairStore(folder), code('store-damaged'))
  }))

test('for a database that is gone altogether there is an empty one, and nothing is said to be kept', () =>
  inFolder(async (folder) => {
    await (await openStore(folder)).close()
    await rm(join(folder, 'db'), { recursive: true })
    const { store, mended } = await openMended(folder)
    await store.close()
    assert.equal(mended, 'the store was gone and is empty now')
    assert.deepEqual((await readdir(folder)).toSorted(), ['db', 'db.made'])
  }))

test('an aborted opening leaves the folder free', () =>
  inFolder(async (folder) => {
    await assert.rejects(openStore(folder, AbortSignal.abort(new Error('enough'))), /enough/)
    await (await openStore(folder)).close()
  }))

test('a closed store answers with a refusal', () =>
  inFolder(async (folder) => {
    const store = await openStore(folder)
    await store.close()
    assert.throws(() => store.get('s', 'k'), code('internal'))
    await assert.rejects(store.write([{ section: 's', key: 'k', value: null }]), code('internal'))
  }))
