import assert from 'node:assert/strict'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import { failure } from '#images/debian.ts'
import { type Copy, type Own, ownImage } from '#images/own.ts'

const base = { name: 'router', packages: ['frr'] }

function folder(context: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'violin-own-'))
  context.after(() => rmSync(made, { recursive: true, force: true }))
  return made
}

function refusal(own: Partial<Own>): string {
  try {
    ownImage(base, { name: 'lab', packages: [], copies: [], ...own })
  } catch (error: unknown) {
    assert.ok(error instanceof ViolinError)
    return `${error.code}: ${error.message}`
  }
  return 'it was taken'
}

test('it has what its base has, and more', async (t) => {
  const [work, root] = [folder(t), folder(t)]
  mkdirSync(join(work, 'tools/deep'), { recursive: true })
  writeFileSync(join(work, 'tools/deep/run'), 'run', { mode: 0o755 })
  writeFileSync(join(root, 'of-base'), '')
  const copies: Copy[] = [{ from: join(work, 'tools'), to: '/opt/tools' }]
  let added = 0
  const image = ownImage(
    { ...base, add: async () => void added++ },
    { name: 'lab', packages: ['python3', 'libstdc++6'], copies }
  )
  assert.deepEqual([image.name, image.packages], ['lab', ['frr', 'python3', 'libstdc++6']])
  await image.add?.(root)
  assert.equal(added, 1)
  assert.equal(lstatSync(join(root, 'opt/tools/deep/run')).mode & 0o777, 0o755)
})

test('nothing is copied out of the image by its links, which are meant for the machine', async (t) => {
  const [work, root, outside] = [folder(t), folder(t), folder(t)]
  writeFileSync(join(work, 'file'), 'mine')
  symlinkSync(outside, join(root, 'run'))
  writeFileSync(join(outside, 'other'), 'theirs')
  symlinkSync(join(outside, 'other'), join(root, 'link'))
  const copied = (to: string): Promise<void> | undefined =>
    ownImage(base, { name: 'lab', packages: [], copies: [{ from: join(work, 'file'), to }] }).add?.(root)
  await assert.rejects(async () => copied('/run/deep/file'), /a link that means a folder of the machine/)
  assert.ok(!existsSync(join(outside, 'deep')))
  await copied('/link')
  assert.equal(readFileSync(join(outside, 'other'), 'utf8'), 'theirs')
  assert.equal(readFileSync(join(root, 'link'), 'utf8'), 'mine')
})

test('what cannot be is refused before anything is built', () => {
  assert.match(refusal({ name: 'Lab!' }), /^usage: "Lab!" is no name for an image/)
  for (const name of ['?essential', '~i', './x.deb', 'a,b', 'frr/sid', '-x', ''])
    assert.match(refusal({ packages: [name] }), /^usage: .* is no name of a package/, name)
  assert.match(refusal({ copies: [{ from: '/no/such', to: '/a' }] }), /^usage: \/no\/such is not there/)
  for (const to of ['a', '/', '/a/../../b', '/a/'])
    assert.match(refusal({ copies: [{ from: '/etc', to }] }), /^usage: .* is no absolute path/, to)
  assert.equal(refusal({ packages: ['python3'] }), 'it was taken')
})

test('a package that Debian does not have is named, and other trouble is told in the words of the tool', () => {
  const missing = failure(25, ['I: downloading packages', 'E: Unable to locate package no-such', 'E: failed'])
  assert.equal(missing.message, 'Debian has no package no-such')
  assert.equal(
    failure(25, ['I: x...', 'E: no mirror']).message,
    'mmdebstrap ended with status 25: E: no mirror'
  )
})
