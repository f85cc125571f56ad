/** Images between daemons: whoever pulls one, and whoever stops waiting for it. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { HostId } from '#core/ids.ts'
import { type ImageHash, pieceBytes } from '#core/image.ts'
import { Journal } from '#daemon/events.ts'
import { Images } from '#daemon/images.ts'
import type { Peers } from '#daemon/peers.ts'
import type { Records } from '#daemon/records.ts'
import { ImageStore } from '#images/store.ts'
import { PlayedNetwork } from './played-mesh.ts'

const pieces = 7
const [here, there] = ['here' as HostId, 'there' as HostId]

interface World {
  readonly image: ImageHash
  readonly images: Images
  readonly store: ImageStore
  /** Of the host that has the image. */
  readonly source: ImageStore
  readonly asked: (number | null)[]
  /** From this piece on the source gives nothing until it is told to. */
  readonly holdFrom: (piece: number) => Held
}

interface Held {
  /** Resolves when a piece is asked for that is held. */
  readonly asked: Promise<void>
  /** Resolves when nobody waits for it any more. */
  readonly dropped: Promise<void>
  readonly letGo: () => void
  readonly fail: () => void
}

/** Two hosts, of which `there` has an image of seven pieces, by the name `lab`. */
async function world(context: TestContext): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'violin-images-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  const network = new PlayedNetwork()
  const [store, source] = [here, there].map((host) => new ImageStore(join(folder, host))) as [
    ImageStore,
    ImageStore
  ]
  const imagesOf = (host: HostId, own: ImageStore): Images => {
    const images = new Images({
      store: own,
      mesh: network.join(host).asMesh,
      records: { view: { violins: new Map(), members: new Map() } } as unknown as Records,
      peers: { reach: () => Promise.resolve(), nameOf: (one: HostId) => one } as unknown as Peers,
      journal: new Journal(),
      limits: () => ({ imagesMiB: 100 })
    })
    context.after(() => images.close())
    return images
  }
  const images = imagesOf(here, store)
  imagesOf(there, source)
  const staging = await source.staging()
  mkdirSync(join(staging, 'root'))
  writeFileSync(join(staging, 'root/large'), randomBytes(pieces * pieceBytes - 100))
  const image = await source.keep(staging)
  await source.name('lab', image)
  const asked: (number | null)[] = []
  let hold: (piece: number | null, signal: AbortSignal) => Promise<void> = () => Promise.resolve()
  const { served } = network.nodes.get(there) as { served: Map<string, Answer> }
  const answer = served.get('image') as Answer
  served.set('image', async (body, from, signal) => {
    const { piece } = JSON.parse(new TextDecoder().decode(body)) as { piece: number | null }
    asked.push(piece)
    await hold(piece, signal)
    return answer(body, from, signal)
  })
  const holdFrom = (first: number): Held => {
    const [isAsked, dropped, end] = [
      Promise.withResolvers<void>(),
      Promise.withResolvers<void>(),
      Promise.withResolvers<void>()
    ]
    end.promise.catch(() => undefined)
    hold = async (piece, signal) => {
      if (piece === null || piece < first) return
      isAsked.resolve()
      signal.addEventListener('abort', () => {
        dropped.resolve()
        end.reject(new Error('dropped'))
      })
      await end.promise
    }
    return {
      asked: isAsked.promise,
      dropped: dropped.promise,
      letGo: () => {
        hold = () => Promise.resolve()
        end.resolve()
      },
      fail: () => {
        hold = () => Promise.reject(new Error('it is gone'))
        end.reject(new Error('it is gone'))
      }
    }
  }
  return { image, images, store, source, asked, holdFrom }
}

type Answer = (body: Uint8Array, from: HostId, signal: AbortSignal) => Promise<Uint8Array>

const wanted = (image: ImageHash): ReadonlyMap<ImageHash, { name: string; hosts: readonly HostId[] }> =>
  new Map([[image, { name: 'lab', hosts: [there] }]])

const options = { timeout: 20_000 }

test('a pull whose reader goes ends, and what came is there for the next one', options, async (t) => {
  const { image, images, store, asked, holdFrom } = await world(t)
  const held = holdFrom(3)
  const rows = images.pull('lab', undefined)
  assert.equal((await rows.next()).done, false)
  await held.asked
  await rows.return?.()
  await held.dropped
  // Its source goes away, too: nobody is there to hear of it, and nobody dies of it.
  held.fail()
  assert.deepEqual(asked.slice(0, 4), [null, 0, 1, 2])
  asked.length = 0
  held.letGo()
  for await (const { kind } of images.pull('lab', undefined)) assert.notEqual(kind, 'warning')
  assert.deepEqual([asked.includes(null), asked[0], await store.find('lab')], [false, 3, image])
})

test('a pull that a VIOLIN wants goes on when a person stops waiting for it', options, async (t) => {
  const { image, images, store, holdFrom } = await world(t)
  const held = holdFrom(3)
  const rows = images.pull('lab', undefined)
  await rows.next()
  await held.asked
  const came = new Promise<void>((resolve) => images.onChange(() => store.has(image) && resolve()))
  images.want(wanted(image))
  await rows.return?.()
  held.letGo()
  await came
  assert.deepEqual(await images.rows(), [{ ...(await store.list())[0], usedBy: [], reason: '' }])
})

test('a pull that a person waits for goes on when no VIOLIN wants it any more', options, async (t) => {
  const { image, images, store, asked, holdFrom } = await world(t)
  const held = holdFrom(3)
  images.want(wanted(image))
  await held.asked
  const rows = images.pull('lab', undefined)
  assert.equal((await rows.next()).done, false)
  images.want(new Map())
  // Whoever stops waiting has done so.
  await setImmediate()
  held.letGo()
  while ((await rows.next()).done !== true);
  assert.equal(await store.find('lab'), image)
  // One pull for both.
  assert.deepEqual(asked, [null, 0, 1, 2, 3, 4, 5, 6])
})

test('a source that goes away is told to who waits', options, async (t) => {
  const { images, holdFrom } = await world(t)
  const held = holdFrom(3)
  const rows = images.pull('lab', undefined)
  await rows.next()
  await held.asked
  held.fail()
  await assert.rejects(async () => {
    while ((await rows.next()).done !== true);
  }, /no member in reach has it/)
})

/** A pull that broke off after three of its pieces. */
async function brokenOff({ images, holdFrom }: World, { signal }: TestContext): Promise<void> {
  const held = holdFrom(3)
  const rows = images.pull('lab', undefined)
  await rows.next()
  await held.asked
  await rows.return?.()
  held.letGo()
  while (!/broke off/.test((await images.rows())[0]?.reason ?? '')) signal.throwIfAborted()
}

test('an image is pulled by as much of its hash as people are shown', options, async (t) => {
  const { image, images, store, source } = await world(t)
  rmSync(join(source.folder, 'names'), { recursive: true })
  await assert.rejects(async () => {
    for await (const _ of images.pull(image.slice(0, 11), undefined));
  }, /no member in reach has an image/)
  for await (const _ of images.pull(image.slice(0, 12), undefined));
  assert.deepEqual([store.has(image), await store.list().then((rows) => rows[0]?.names)], [true, []])
})

test('a pull under way is listed by its name, and is not removed', options, async (t) => {
  const { image, images, holdFrom } = await world(t)
  const held = holdFrom(3)
  const rows = images.pull('lab', undefined)
  await rows.next()
  await held.asked
  const listed = { hash: image, names: ['lab'], bytes: null, files: null, usedBy: [] }
  assert.deepEqual(await images.rows(), [{ ...listed, reason: 'is pulled: 1 of 2 MiB' }])
  await assert.rejects(images.remove(image), /is pulled at present/)
  await rows.return?.()
})

test('what a broken pull left is listed and removed', options, async (t) => {
  const one = await world(t)
  const { image, images, store } = one
  await brokenOff(one, t)
  const short = image.slice(0, 12)
  assert.deepEqual(await images.rows(), [
    {
      hash: image,
      names: [],
      bytes: null,
      files: null,
      usedBy: [],
      reason: `its pull broke off at 1 of 2 MiB: violin image pull ${short} goes on with it`
    }
  ])
  assert.deepEqual(await images.remove(short), { hash: image })
  assert.deepEqual([await images.rows(), existsSync(join(store.folder, `.pull-${image}`))], [[], false])
  await assert.rejects(images.remove(short), /this host has no image/)
})

test('what a broken pull left goes by itself after days, unless it is wanted', options, async (t) => {
  const one = await world(t)
  const { image, images, store, holdFrom } = one
  await brokenOff(one, t)
  const folder = join(store.folder, `.pull-${image}`)
  const dayMs = 24 * 60 * 60 * 1_000
  const at = (days: number): number => statSync(join(folder, 'content')).mtimeMs + days * dayMs
  await images.sweep(at(6.9))
  assert.ok(existsSync(folder))
  const held = holdFrom(3)
  images.want(wanted(image))
  await held.asked
  await images.sweep(at(7.1))
  assert.ok(existsSync(folder))
  images.want(new Map())
  while (!/broke off/.test((await images.rows())[0]?.reason ?? '')) t.signal.throwIfAborted()
  await images.sweep(at(7.1))
  assert.deepEqual([await images.rows(), existsSync(folder)], [[], false])
})

test('what broken pulls left counts among the images that a host allows', options, async (t) => {
  const { image, images, store } = await world(t)
  const other = join(store.folder, `.pull-${'0'.repeat(64)}`)
  mkdirSync(other, { recursive: true })
  writeFileSync(join(other, 'content'), '')
  truncateSync(join(other, 'content'), 99 * 2 ** 20)
  const refused = /with its 2 MiB the images here were 101, and 100 are allowed/
  images.want(wanted(image))
  while (!refused.test(images.want(wanted(image)).get(image) ?? '')) {
    t.signal.throwIfAborted()
    await setImmediate()
  }
})
