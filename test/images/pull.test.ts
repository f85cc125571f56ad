/** Images that come from elsewhere: whole and right, or not at all, and not twice. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { Extents, type ImageHash, pieceBytes } from '#core/image.ts'
import { type FetchPart, pullImage, type PullProgress } from '#images/pull.ts'
import { ImageStore } from '#images/store.ts'
import { readExtents } from '#images/tree.ts'

const pieces = 7
const never = new AbortController().signal

interface World {
  readonly image: ImageHash
  readonly source: ImageStore
  readonly target: ImageStore
}

/** A store with an image of seven pieces, and an empty one. */
async function world(context: TestContext): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'violin-pull-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  const [source, target] = [new ImageStore(join(folder, 'source')), new ImageStore(join(folder, 'target'))]
  const staging = await source.staging()
  const root = join(staging, 'root')
  mkdirSync(join(root, 'usr/bin'), { recursive: true })
  writeFileSync(join(root, 'usr/bin/large'), randomBytes(3 * pieceBytes + 5), { mode: 0o755 })
  writeFileSync(join(root, 'usr/empty'), '')
  writeFileSync(join(root, 'usr/rest'), randomBytes((pieces - 3) * pieceBytes - 100))
  symlinkSync('usr/bin', join(root, 'bin'))
  return { image: await source.keep(staging), source, target }
}

/** What the source has, as it is. */
function honest({ image, source }: World): (piece: number | null) => Promise<Uint8Array> {
  return async (piece) => {
    const read = await source.manifest(image)
    assert.ok(read !== null)
    if (piece === null) return read.bytes
    return readExtents(source.rootOf(image), new Extents(read.manifest.entries).of(piece))
  }
}

/** Takes what is right, of those who answer in turn. Counts what was asked. */
function fetching(
  sources: readonly ((piece: number | null) => Promise<Uint8Array>)[],
  asked: (number | null)[] = []
): FetchPart {
  return async (piece, isRight) => {
    asked.push(piece)
    for (const source of sources) {
      const bytes = await source(piece)
      if (isRight(bytes)) return bytes
    }
    throw new Error('nobody has it')
  }
}

function same(world: World): void {
  const [from, to] = [world.source.rootOf(world.image), world.target.rootOf(world.image)]
  for (const path of ['usr/bin/large', 'usr/empty', 'usr/rest']) {
    assert.ok(readFileSync(join(from, path)).equals(readFileSync(join(to, path))), path)
    assert.equal(statSync(join(from, path)).mode, statSync(join(to, path)).mode, path)
  }
  assert.equal(readlinkSync(join(to, 'bin')), 'usr/bin')
}

test('an image comes whole, as it was, and is told on its way', async (t) => {
  const here = await world(t)
  const told: PullProgress[] = []
  await pullImage(here.target, here.image, {
    fetch: fetching([honest(here)]),
    told: (one) => told.push(one),
    signal: never
  })
  same(here)
  assert.equal(told.length, pieces)
  assert.equal(told.at(-1)?.bytes, told.at(-1)?.totalBytes)
  assert.equal(existsSync(join(here.target.folder, `.pull-${here.image}`)), false)
  assert.equal((await here.target.list()).length, 1)
})

test('what is not right is asked of another, and is nowhere when nobody has it', async (t) => {
  const here = await world(t)
  const liar = async (piece: number | null): Promise<Uint8Array> => {
    const bytes = Uint8Array.from(await honest(here)(piece))
    bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1
    return bytes
  }
  const asked: (number | null)[] = []
  await assert.rejects(pullImage(here.target, here.image, { fetch: fetching([liar], asked), signal: never }))
  assert.deepEqual(asked, [null])
  assert.deepEqual(await here.target.list(), [])
  await pullImage(here.target, here.image, { fetch: fetching([liar, honest(here)]), signal: never })
  same(here)
})

test('what came before a break is not asked for again, unless it was damaged since', async (t) => {
  const here = await world(t)
  const broken = async (piece: number | null): Promise<Uint8Array> => {
    if (piece !== null && piece >= 5) throw new Error('broken off')
    return honest(here)(piece)
  }
  await assert.rejects(pullImage(here.target, here.image, { fetch: fetching([broken]), signal: never }))
  const content = join(here.target.folder, `.pull-${here.image}`, 'content')
  assert.equal(statSync(content).size, 5 * pieceBytes)
  // A half piece at its end, and a wrong byte in the fourth.
  truncateSync(content, 4 * pieceBytes + 100)
  const bytes = readFileSync(content)
  bytes[3 * pieceBytes + 7] = (bytes[3 * pieceBytes + 7] as number) ^ 1
  writeFileSync(content, bytes)
  const asked: (number | null)[] = []
  await pullImage(here.target, here.image, { fetch: fetching([honest(here)], asked), signal: never })
  assert.deepEqual(asked, [3, 4, 5, 6])
  same(here)
})

test('only so many pieces are under way, and none is asked for after a stop', async (t) => {
  const here = await world(t)
  const stop = new AbortController()
  let underWay = 0
  let most = 0
  const slow: FetchPart = async (piece, _isRight, signal) => {
    most = Math.max(most, ++underWay)
    if (piece === 2) stop.abort(new Error('stopped'))
    signal.throwIfAborted()
    const bytes = await honest(here)(piece)
    underWay--
    return bytes
  }
  await assert.rejects(pullImage(here.target, here.image, { fetch: slow, signal: stop.signal }), /stopped/)
  assert.ok(most > 1 && most <= 4, `${most} pieces`)
  assert.deepEqual(await here.target.list(), [])
})

test('one that is too large is told before its contents come', async (t) => {
  const here = await world(t)
  const asked: (number | null)[] = []
  const accept = (): Promise<void> => Promise.reject(new Error('too large'))
  const pulling = pullImage(here.target, here.image, {
    fetch: fetching([honest(here)], asked),
    accept,
    signal: never
  })
  await assert.rejects(pulling, /too large/)
  assert.deepEqual(asked, [null])
})
