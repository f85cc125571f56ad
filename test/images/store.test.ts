import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import type { ImageHash } from '#core/image.ts'
import { ImageStore } from '#images/store.ts'

function storeIn(context: TestContext): ImageStore {
  const folder = mkdtempSync(join(tmpdir(), 'violin-images-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  return new ImageStore(folder)
}

async function make(store: ImageStore, lay: (root: string) => void): Promise<ImageHash> {
  const staging = await store.staging()
  mkdirSync(join(staging, 'root'))
  lay(join(staging, 'root'))
  return store.keep(staging)
}

const small = (root: string): void => {
  mkdirSync(join(root, 'bin'))
  writeFileSync(join(root, 'bin/sh'), '#!', { mode: 0o711 })
  writeFileSync(join(root, 'motd'), 'hello', { mode: 0o600 })
  symlinkSync('bin', join(root, 'sbin'))
}

test('the same tree is one image, kept once, which nobody writes', async (t) => {
  const store = storeIn(t)
  const [one, two] = [await make(store, small), await make(store, small)]
  assert.equal(one, two)
  const root = store.rootOf(one)
  assert.equal(readFileSync(join(root, 'sbin/sh'), 'utf8'), '#!')
  assert.equal(statSync(join(root, 'bin/sh')).mode & 0o777, 0o555)
  assert.equal(statSync(join(root, 'motd')).mode & 0o777, 0o444)
  assert.deepEqual(await store.list(), [{ hash: one, names: [], bytes: 7, files: 2 }])
  const other = await make(store, (folder) => writeFileSync(join(folder, 'motd'), 'hullo'))
  assert.notEqual(other, one)
})

test('a name means one image until it means another, and none when that is removed', async (t) => {
  const store = storeIn(t)
  const image = await make(store, small)
  assert.equal(await store.find('router'), null)
  await store.name('router', image)
  await store.name('mine', image)
  assert.equal(await store.find('router'), image)
  assert.deepEqual((await store.list())[0]?.names.toSorted(), ['mine', 'router'])
  await store.remove(image)
  assert.equal(await store.find('router'), null)
  assert.equal(existsSync(store.rootOf(image)), false)
  assert.deepEqual(await store.list(), [])
  assert.equal(await store.find('../names'), null)
})

test('a manifest that was changed is told', async (t) => {
  const store = storeIn(t)
  const image = await make(store, small)
  const path = join(store.folder, image, 'manifest')
  rmSync(path)
  writeFileSync(path, 'something else')
  await assert.rejects(
    store.manifest(image),
    (error) => error instanceof ViolinError && error.code === 'store-damaged'
  )
})
