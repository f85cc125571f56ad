/**
 * Parts of images between hosts, one at a time, compressed: a manifest, or a piece. Who asks checks what comes
 * against hashes that it has from the owner, so it may come from any member.
 */
import { promisify } from 'node:util'
import { zstdCompress, zstdDecompress } from 'node:zlib'
import * as z from 'zod'
import { ViolinError } from '#core/errors.ts'
import type { HostId } from '#core/ids.ts'
import { Extents, type ImageHash, imageLimits, pieceBytes } from '#core/image.ts'
import type { FetchPart } from '#images/pull.ts'
import type { ImageStore, Meaning } from '#images/store.ts'
import { readExtents } from '#images/tree.ts'
import type { Mesh } from '#mesh/contract.ts'
import { answer, ask, decodeJson, encodeJson } from './wire.ts'

/** One part, on a path of 100 kB/s. */
const partMs = 30_000
const meaningMs = 3_000
/** Layouts of images that are asked for, kept between the parts. */
const maxLayouts = 4
/** Images that one word means at a host. */
const maxMeanings = 8

const [compress, decompress] = [promisify(zstdCompress), promisify(zstdDecompress)]
const imageHash = z.string().regex(/^[0-9a-f]{64}$/) as unknown as z.ZodType<ImageHash>
const partQuestion = z.strictObject({ image: imageHash, piece: z.int().min(0).nullable() })
const meaningQuestion = z.strictObject({ word: z.string().max(64) })
const meanings: z.ZodType<readonly Meaning[]> = z
  .array(z.strictObject({ hash: imageHash, name: z.string().max(64).nullable() }))
  .max(maxMeanings)

export class ImageExchange {
  readonly #mesh: Mesh
  readonly #store: ImageStore
  readonly #layouts = new Map<ImageHash, Extents>()

  constructor(mesh: Mesh, store: ImageStore) {
    this.#mesh = mesh
    this.#store = store
    mesh.serve('image', { maxRequestBytes: 1_024 }, async (body, from) => {
      const { image, piece } = decodeJson(body, partQuestion, from)
      return compress(await this.#part(image, piece))
    })
    answer(mesh, 'image-meaning', meaningQuestion, async ({ word }) =>
      (await store.meant(word)).slice(0, maxMeanings)
    )
  }

  /** What a word, a name or the start of a hash, means at a member. Throws ViolinError. */
  async meantAt(host: HostId, word: string): Promise<readonly Meaning[]> {
    const signal = AbortSignal.timeout(meaningMs)
    const told = await ask(this.#mesh, host, 'image-meaning', { word }, meanings, signal)
    return told.filter(({ hash, name }) => (name === null ? hash.startsWith(word) : name === word))
  }

  /** Fetches parts of an image from one of the hosts, as long as it gives what is right, and then from the next. */
  partsOf(image: ImageHash, hosts: () => readonly HostId[]): FetchPart {
    const out = new Set<HostId>()
    return async (piece, isRight, signal) => {
      for (;;) {
        signal.throwIfAborted()
        const host = hosts().find((one) => !out.has(one))
        if (host === undefined)
          throw new ViolinError('image-missing', 'no member in reach has it', 'see that one does')
        const bytes = await this.#ask(host, image, piece, signal).catch(() => null)
        if (bytes !== null && isRight(bytes)) return bytes
        signal.throwIfAborted()
        out.add(host)
      }
    }
  }

  async #ask(host: HostId, image: ImageHash, piece: number | null, signal: AbortSignal): Promise<Uint8Array> {
    const both = AbortSignal.any([signal, AbortSignal.timeout(partMs)])
    const packed = await this.#mesh.request(host, 'image', encodeJson({ image, piece }), both)
    const maxOutputLength = piece === null ? imageLimits.manifestBytes : pieceBytes
    return decompress(packed, { maxOutputLength })
  }

  async #part(image: ImageHash, piece: number | null): Promise<Uint8Array> {
    const known = piece === null ? undefined : this.#layouts.get(image)
    if (known !== undefined && piece !== null) return readExtents(this.#store.rootOf(image), known.of(piece))
    const read = await this.#store.manifest(image)
    if (read === null)
      throw new ViolinError('image-missing', 'this host does not have it', 'ask another member')
    if (piece === null) return read.bytes
    const layout = new Extents(read.manifest.entries)
    const [oldest] = this.#layouts.keys()
    if (this.#layouts.size >= maxLayouts && oldest !== undefined) this.#layouts.delete(oldest)
    this.#layouts.set(image, layout)
    return readExtents(this.#store.rootOf(image), layout.of(piece))
  }
}
