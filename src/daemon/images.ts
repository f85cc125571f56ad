/**
 * The guest images of this host: what their names mean here, those that entities wait for and that are fetched
 * from other members, and what people ask about them.
 */
import { ViolinError, errorData } from '#core/errors.ts'
import type { HostId } from '#core/ids.ts'
import { type ImageHash, type ImageRef, isImageHash, isImageHashStart, tinyImage } from '#core/image.ts'
import type { Limits } from '#core/limits.ts'
import type { Spec } from '#core/spec.ts'
import type { ImageRow, Progress } from '#api/contract.ts'
import { endable } from '#api/endable.ts'
import { keptDays, listPartials, type PartialImage, removePartial, sweepPartials } from '#images/partial.ts'
import type { PullProgress } from '#images/pull.ts'
import type { ImageStore } from '#images/store.ts'
import type { Mesh } from '#mesh/contract.ts'
import type { Journal } from './events.ts'
import { ImageExchange } from './image-exchange.ts'
import { ImagePulls } from './image-pulls.ts'
import { memberNamed, type Peers } from './peers.ts'
import type { Records } from './records.ts'

/** What nobody had is asked for again after this, and when a member connects. */
const retryMs = 10_000
/** How far a pull is, is told at most this often. */
const tellEveryMs = 500

/** An image that entities wait for. */
export interface WantedImage {
  readonly name: string
  /** Who is asked first. */
  readonly hosts: readonly HostId[]
}

interface Fetching {
  wanted: WantedImage
  reason: string
  readonly stop: AbortController
  retry: NodeJS.Timeout | null
}

export interface ImagesParts {
  readonly store: ImageStore
  readonly mesh: Mesh
  readonly records: Records
  readonly peers: Peers
  readonly journal: Journal
  readonly limits: () => Pick<Limits, 'imagesMiB'>
}

export class Images {
  readonly #parts: ImagesParts
  readonly #store: ImageStore
  readonly #exchange: ImageExchange
  readonly #pulls: ImagePulls
  readonly #fetching = new Map<ImageHash, Fetching>()
  #closed = false
  #changed: () => void = () => undefined

  constructor(parts: ImagesParts) {
    this.#parts = parts
    this.#store = parts.store
    this.#exchange = new ImageExchange(parts.mesh, parts.store)
    this.#pulls = new ImagePulls({ ...parts, exchange: this.#exchange })
    parts.mesh.on(({ kind }) => {
      if (kind === 'member-connected') this.#again()
    })
  }

  /** Calls back when an image came, or is nearer. */
  onChange(changed: () => void): void {
    this.#changed = changed
  }

  close(): void {
    this.#closed = true
    this.#pulls.close()
    for (const { retry } of this.#fetching.values()) if (retry !== null) clearTimeout(retry)
  }

  /** Those images of these names that this host has. */
  async named(wanted: readonly string[]): Promise<ReadonlyMap<string, ImageHash>> {
    const names = new Set(wanted)
    names.delete(tinyImage.name)
    const found = await Promise.all(
      Array.from(names, async (name) => [name, await this.#store.find(name)] as const)
    )
    return new Map(found.flatMap(([name, hash]) => (hash === null ? [] : [[name, hash]])))
  }

  /** Fetches what is wanted and not here, and nothing else; gives why each of these is not here yet. */
  want(wanted: ReadonlyMap<ImageHash, WantedImage>): ReadonlyMap<ImageHash, string> {
    for (const [image, { stop, retry }] of this.#fetching) {
      if (wanted.has(image)) continue
      stop.abort(new Error('nobody wants it any more'))
      if (retry !== null) clearTimeout(retry)
      this.#fetching.delete(image)
    }
    const missing = new Map<ImageHash, string>()
    for (const [image, one] of wanted) {
      if (this.#store.has(image)) continue
      const known = this.#fetching.get(image)
      if (known === undefined) this.#begin(image, one)
      else known.wanted = one
      missing.set(image, this.#fetching.get(image)?.reason ?? '')
    }
    return missing
  }

  async rows(): Promise<ImageRow[]> {
    const stored = await this.#store.list()
    const rows = stored.map((image): ImageRow => ({
      ...image,
      usedBy: this.#usersOf(image.hash),
      reason: ''
    }))
    const partials = new Map((await listPartials(this.#store)).map((partial) => [partial.hash, partial]))
    const hashes = new Set([...this.#fetching.keys(), ...this.#pulls.images(), ...partials.keys()])
    for (const { hash } of stored) hashes.delete(hash)
    const coming = Array.from(hashes, (hash): ImageRow => ({
      hash,
      names: this.#namesOf(hash),
      bytes: null,
      files: null,
      usedBy: this.#usersOf(hash),
      reason: this.#fetching.get(hash)?.reason ?? this.#whyNotHere(hash, partials.get(hash) ?? null)
    }))
    return [...rows, ...coming]
  }

  /** What those who wait for an image call it. */
  #namesOf(image: ImageHash): string[] {
    const fetched = this.#fetching.get(image)
    const own = fetched === undefined ? [] : [fetched.wanted.name]
    return [...new Set([...own, ...this.#pulls.namesOf(image)])]
  }

  #whyNotHere(image: ImageHash, partial: PartialImage | null): string {
    const progress = this.#pulls.progressOf(image)
    if (this.#pulls.has(image)) return progress === null ? 'is pulled' : `is pulled: ${parted(progress)}`
    const { bytes = 0, totalBytes = null } = partial ?? {}
    const where = totalBytes === null ? 'at its beginning' : `at ${parted({ bytes, totalBytes })}`
    return `its pull broke off ${where}: violin image pull ${short(image)} goes on with it`
  }

  /**
   * Fetches an image that members have, by its name there or its hash, and gives it the name here; ends when the
   * reader returns.
   */
  pull(what: string, from: string | undefined): AsyncIterableIterator<Progress> {
    return endable(({ signal }) => this.#pulled(what, from, signal))
  }

  async *#pulled(
    what: string,
    from: string | undefined,
    signal: AbortSignal
  ): AsyncGenerator<Progress, void, void> {
    const { image, name, host } = await this.#look(what, from)
    const hosts = host === null ? [] : [host]
    const told = new Told()
    const waiter = { name, told: (progress: PullProgress) => told.tell(progress), signal }
    const done = this.#pulls.wait(image, hosts, waiter).finally(() => told.end())
    // A reader that goes meanwhile never comes to where it is awaited.
    done.catch(() => undefined)
    for await (const progress of told) yield { kind: 'step', text: progressText(image, progress) }
    await done
    if (name !== null) await this.#store.name(name, image)
    yield { kind: 'done', text: `${name ?? 'the image'} (${short(image)}) is here` }
    this.#changed()
  }

  /**
   * Removes an image that no VIOLIN which this host has to do with begins with, or what a pull that broke off left of
   * one. Throws ViolinError.
   */
  async remove(what: string): Promise<{ readonly hash: string }> {
    const image = await this.#here(what)
    const users = this.#usersOf(image)
    if (users.length > 0)
      throw new ViolinError(
        'refused',
        `${what} is in use: entities of ${users.join(', ')} begin with it`,
        'delete them first, or apply them with another image'
      )
    if (this.#pulls.has(image))
      throw new ViolinError('refused', `${what} is pulled at present`, 'break that off first: Ctrl-C')
    if (this.#store.has(image)) await this.#store.remove(image)
    await removePartial(this.#store, image)
    return { hash: image }
  }

  /** Removes what pulls that broke off left, where nobody went on with them for days. */
  async sweep(nowMs: number): Promise<void> {
    const { journal } = this.#parts
    const isUsed = (image: ImageHash): boolean => this.#pulls.has(image) || this.#fetching.has(image)
    try {
      for (const image of await sweepPartials(this.#store, nowMs, isUsed))
        journal.note(
          'image-dropped',
          null,
          `what was here of the image ${short(image)} is removed: its pull broke off ${keptDays} days ago`
        )
    } catch (error: unknown) {
      journal.note('image-not-dropped', null, errorData(error).message)
    }
  }

  #begin(image: ImageHash, wanted: WantedImage): void {
    const fetching: Fetching = {
      wanted,
      reason: `fetches the image ${wanted.name} (${short(image)})`,
      stop: new AbortController(),
      retry: null
    }
    this.#fetching.set(image, fetching)
    void this.#fetch(image, fetching)
  }

  async #fetch(image: ImageHash, fetching: Fetching): Promise<void> {
    const { name } = fetching.wanted
    let toldAt = -Infinity
    try {
      const told = (progress: PullProgress): void => {
        fetching.reason = `fetches the image ${name} (${short(image)}): ${parted(progress)}`
        if (performance.now() - toldAt < tellEveryMs) return
        toldAt = performance.now()
        this.#changed()
      }
      await this.#pulls.wait(
        image,
        fetching.wanted.hosts,
        { name, told, signal: fetching.stop.signal },
        (totalBytes) => this.#accept(image, totalBytes)
      )
      this.#parts.journal.note('image-fetched', null, `the image ${name} (${short(image)}) is here`)
      this.#fetching.delete(image)
    } catch (error: unknown) {
      if (fetching.stop.signal.aborted || this.#closed) return
      fetching.reason = `waits for the image ${name} (${short(image)}): ${errorData(error).message}`
      fetching.retry = setTimeout(() => this.#retry(image, fetching), retryMs)
    }
    this.#changed()
  }

  #again(): void {
    for (const [image, fetching] of this.#fetching) if (fetching.retry !== null) this.#retry(image, fetching)
  }

  #retry(image: ImageHash, fetching: Fetching): void {
    if (fetching.retry !== null) clearTimeout(fetching.retry)
    fetching.retry = null
    // Meanwhile somebody may have built it here.
    if (this.#store.has(image)) this.#fetching.delete(image)
    else void this.#fetch(image, fetching)
    this.#changed()
  }

  /** What others begin with fills no disk beyond what the operator gives. */
  async #accept(image: ImageHash, totalBytes: number): Promise<void> {
    const partials = (await listPartials(this.#store)).filter(({ hash }) => hash !== image)
    const all = [...(await this.#store.list()), ...partials].reduce(
      (sum, { bytes }) => sum + bytes,
      totalBytes
    )
    const { imagesMiB } = this.#parts.limits()
    if (mib(all) <= imagesMiB) return
    throw new ViolinError(
      'too-large',
      `with its ${mib(totalBytes)} MiB the images here were ${mib(all)}, and ${imagesMiB} are allowed`,
      'remove some (violin image list), or raise imagesMiB in settings.json'
    )
  }

  /** What a member has by that name, or the hash itself. Throws `image-missing`, `ambiguous-name`. */
  async #look(
    what: string,
    from: string | undefined
  ): Promise<{ readonly image: ImageHash; readonly name: string | null; readonly host: HostId | null }> {
    const host = from === undefined ? null : memberNamed(from, this.#parts.records).id
    if (isImageHash(what)) return { image: what, name: null, host }
    const asked = host === null ? this.#parts.mesh.members() : [host]
    const answers = await Promise.all(
      asked.map(async (one) => {
        const meant = await this.#exchange.meantAt(one, what).catch(() => [])
        return meant.map((meaning) => ({ one, ...meaning }))
      })
    )
    const found = answers.flat()
    const hashes = new Set(found.map(({ hash }) => hash))
    const first = found[0]
    if (first === undefined)
      throw new ViolinError(
        'image-missing',
        `no member in reach has an image ${what}`,
        what === 'router' ? 'make it: violin image build router' : 'look at `violin image list` there'
      )
    if (hashes.size > 1) {
      const ways = found.map(({ one, hash }) => `${this.#parts.peers.nameOf(one)} (${short(hash)})`)
      throw new ViolinError(
        'ambiguous-name',
        `members mean ${hashes.size} images by ${what}`,
        `choose one with --from HOST: ${ways.join(', ')}`
      )
    }
    return { image: first.hash, name: first.name, host: first.one }
  }

  /** An image of this host, whole or not, by its name or the start of its hash. Throws `image-missing`, `ambiguous-name`. */
  async #here(what: string): Promise<ImageHash> {
    const meant = await this.#store.meant(what)
    const partials = isImageHashStart(what) ? await listPartials(this.#store) : []
    const found = new Set([
      ...meant.map(({ hash }) => hash),
      ...partials.map(({ hash }) => hash).filter((hash) => hash.startsWith(what))
    ])
    const [image] = found
    if (image === undefined)
      throw new ViolinError('image-missing', `this host has no image ${what}`, 'see violin image list')
    if (found.size === 1) return image
    throw new ViolinError(
      'ambiguous-name',
      `${what} means ${found.size} images`,
      `choose one: ${[...found].join(', ')}`
    )
  }

  /** Names of the VIOLINs whose entities begin with an image. */
  #usersOf(image: ImageHash): string[] {
    const uses = (spec: Spec | null): boolean =>
      spec?.entities.some((entity: { readonly image: ImageRef }) => entity.image.hash === image) === true
    return [...this.#parts.records.view.violins.values()]
      .filter(({ spec }) => uses(spec))
      .map(({ name }) => name)
  }
}

/** The last progress that was told, for who reads slower. */
class Told {
  #last: PullProgress | null = null
  #ended = false
  #wake: () => void = () => undefined

  tell(progress: PullProgress): void {
    this.#last = progress
    this.#wake()
  }

  end(): void {
    this.#ended = true
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<PullProgress> {
    let toldAt = -Infinity
    while (!this.#ended) {
      const last = this.#last
      if (last !== null && performance.now() - toldAt >= tellEveryMs) {
        this.#last = null
        toldAt = performance.now()
        yield last
      } else await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }
}

function progressText(image: ImageHash, progress: PullProgress): string {
  return `${short(image)}: ${parted(progress)}`
}

/** What is here and all of it. */
function parted({ bytes, totalBytes }: PullProgress): string {
  return `${mib(bytes)} of ${mib(totalBytes)} MiB`
}

function mib(bytes: number): number {
  return Math.ceil(bytes / 2 ** 20)
}

function short(image: ImageHash): string {
  return image.slice(0, 12)
}
