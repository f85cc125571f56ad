/**
 * The operator's settings of this host, `settings.json` in its folder: what it gives to VIOLINs, and to whose.
 * Read at the start and whenever the file changed; what is not named stays as it is without the file.
 */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import * as z from 'zod'
import { isHostId } from '#core/admission/host-id.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostId, PublicKey } from '#core/ids.ts'
import { parseNetwork } from '#core/networks.ts'
import { type JetwayLeave, type Limits, standardLimits } from '#core/limits.ts'
import { printable } from '#core/printable.ts'
import { isInterface } from '#core/records/spec-body.ts'
import type { Share } from './slices/share.ts'

/** Whom the lists name: an owner key or a host id. */
export type Owner = PublicKey | HostId

const maxListed = 4_096
/** What a slice's own process takes at most, beside its entities, MiB. */
const sliceMiB = 256
/** Characters of what JSON.parse says. */
const maxReason = 200
const owner = z.string().refine(isOwner, 'neither an owner key nor a host id')
const schema = z.strictObject({
  vms: z.int().min(0).max(100_000).optional(),
  memoryMiB: z.int().min(0).optional(),
  ownerMemoryMiB: z.int().min(0).optional(),
  imagesMiB: z.int().min(0).optional(),
  cpus: z.number().min(0.05).max(4_096).optional(),
  allow: z.array(owner).max(maxListed).nullable().optional(),
  refuse: z.array(owner).max(maxListed).optional(),
  /** Who may have doors to the real network here. */
  jetways: z
    .array(
      z.strictObject({
        owner,
        bridges: z.array(z.string().refine(isInterface, 'no name of an interface')).max(64).optional(),
        reach: z
          .array(z.string().refine(isReach, 'neither `host` nor a network as 10.1.0.0/16'))
          .max(256)
          .optional()
      })
    )
    .max(maxListed)
    .optional()
})
type File = z.infer<typeof schema>

function isReach(text: string): boolean {
  return text === 'host' || parseNetwork(text)?.isIpv6 === false
}

/** Whether a text can stand in the lists of settings. */
export function isOwner(text: string): text is Owner {
  return /^[0-9a-f]{64}$/.test(text) || isHostId(text)
}

export class Settings {
  readonly #path: string
  readonly #memoryMiB: number
  #text = ''
  #file: File = {}
  #limits: Limits
  /** What was wrong with the file when it was read last; null: nothing. */
  mistake: ViolinError | null = null

  private constructor(dir: string, memoryMiB: number) {
    this.#path = join(dir, 'settings.json')
    this.#memoryMiB = memoryMiB
    this.#limits = this.#limitsOf({})
  }

  /** Reads the file. Throws ViolinError `usage` that names what is wrong in it. */
  static async of(dir: string, memoryMiB: number): Promise<Settings> {
    const settings = new Settings(dir, memoryMiB)
    await settings.reload()
    return settings
  }

  get limits(): Limits {
    return this.#limits
  }

  /** What all slices may take together, so many that there are; only what the operator named is held to. */
  shareOf(slices: number): Share {
    const { cpus, memoryMiB } = this.#file
    return {
      cpus: cpus === undefined ? null : this.#limits.cpus,
      memoryMiB: memoryMiB === undefined ? null : this.#limits.memoryMiB + slices * sliceMiB
    }
  }

  /** Reads the file again; gives whether anything changed. Throws as {@link of}, and then goes on as before. */
  async reload(): Promise<boolean> {
    const text = await readFile(this.#path, 'utf8').catch((error: unknown) => {
      const { code, message } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') return ''
      throw this.#invalid(code === 'EISDIR' ? 'it is a folder, not a file' : message)
    })
    const file = text === '' ? {} : this.#parse(text)
    this.mistake = null
    if (text === this.#text) return false
    this.#text = text
    this.#file = file
    this.#limits = this.#limitsOf(file)
    return true
  }

  /** Refuses an owner from now on; stored before it counts. */
  async refuse(whose: Owner): Promise<void> {
    await this.#store((file) => {
      const others = (file.refuse ?? []).filter((one) => one !== whose)
      return { ...file, refuse: [...others, whose] }
    })
  }

  /** Refuses none of these any more; gives which were. */
  async take(these: readonly Owner[]): Promise<readonly Owner[]> {
    await this.reload()
    const taken = this.limits.refuse.filter((one) => these.includes(one))
    if (taken.length > 0)
      await this.#store(({ refuse = [], ...file }) => ({
        ...file,
        refuse: refuse.filter((one) => !taken.includes(one))
      }))
    return taken
  }

  /** Lets an owner have jetways from now on, with what it was let before; null: none any more. */
  async letJetways(whose: Owner, leave: Omit<JetwayLeave, 'owner'> | null): Promise<void> {
    await this.#store(({ jetways = [], ...file }) => {
      const others = jetways.filter(({ owner: one }) => one !== whose)
      const before = jetways.filter(({ owner: one }) => one === whose)
      const all = (word: 'bridges' | 'reach'): string[] => [
        ...new Set([...before, ...(leave === null ? [] : [leave])].flatMap((one) => one[word] ?? []))
      ]
      const own = leave === null ? [] : [{ owner: whose, bridges: all('bridges'), reach: all('reach') }]
      return { ...file, jetways: [...others, ...own] }
    })
  }

  /** Writes the file anew and goes by it. Throws as {@link of} where it would not be valid. */
  async #store(edit: (file: File) => File): Promise<void> {
    await this.reload()
    const text = `${JSON.stringify(edit(this.#file), null, 2)}\n`
    this.#parse(text)
    const fresh = `${this.#path}.new`
    await writeFile(fresh, text, { mode: 0o600, flush: true })
    await rename(fresh, this.#path)
    await this.reload()
  }

  #parse(text: string): File {
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch (error: unknown) {
      // It tells the place, or the text around it, which may have several lines.
      throw this.#invalid(`no JSON: ${printable((error as SyntaxError).message, maxReason)}`)
    }
    const parsed = schema.safeParse(json)
    if (parsed.success) return parsed.data
    const [issue] = parsed.error.issues
    const where = issue?.path.join('.') ?? ''
    throw this.#invalid(`${where === '' ? '' : `${where}: `}${issue?.message ?? ''}`)
  }

  #invalid(reason: string): ViolinError {
    this.mistake = new ViolinError(
      'usage',
      `${this.#path} is not valid: ${reason}`,
      'see docs/settings.md for what stands in it'
    )
    return this.mistake
  }

  #limitsOf(file: File): Limits {
    const { vms, memoryMiB, ownerMemoryMiB, imagesMiB, cpus, allow, refuse, jetways } = file
    const standard = standardLimits({ memoryMiB: this.#memoryMiB, cpus: availableParallelism() })
    return {
      vms: vms ?? standard.vms,
      memoryMiB: memoryMiB ?? standard.memoryMiB,
      // A quarter of what is given, where no share is named.
      ownerMemoryMiB: ownerMemoryMiB ?? Math.floor((memoryMiB ?? standard.memoryMiB) / 4),
      cpus: cpus ?? standard.cpus,
      imagesMiB: imagesMiB ?? standard.imagesMiB,
      allow: allow ?? null,
      refuse: refuse ?? [],
      jetways: (jetways ?? []).map((one) => ({
        owner: one.owner,
        bridges: one.bridges ?? [],
        reach: one.reach ?? []
      }))
    }
  }
}
