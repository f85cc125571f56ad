/**
 * A capture of a vNIC or a vLAN, put together from the hosts on which its entities run: each sends blocks of its
 * own, which become one section by renumbering its interfaces.
 */
import { Readable, Writable } from 'node:stream'
import type { Service, Show, WhereaboutsRow } from '#api/contract.ts'
import { errorData, ViolinError } from '#core/errors.ts'
import type { CaptureRequest } from '#core/session.ts'
import {
  type Block,
  blocksOf,
  blockType,
  countsOf,
  interfaceOf,
  renumber,
  sectionBlock
} from '#frame/pcapng.ts'
import { runSession } from './session.ts'
import { version } from './version.ts'

/** Interfaces of one source; it may be hijacked, and have us remember without end. */
const maxInterfaces = 65_536

export interface CaptureEnds {
  /** Takes bytes of the file, each time after the last were taken. */
  readonly write: (bytes: Uint8Array) => Promise<void>
  /** Everything that was asked for is captured from now on. */
  readonly begun: () => void
  /** A host broke off, while others go on, or one more is captured at. */
  readonly warn: (text: string) => void
  /** Ends it in good order: what was captured comes, and the statistics. */
  readonly end: AbortSignal
  /** Ends it at once. */
  readonly stop?: AbortSignal
}

export interface Counts {
  readonly frames: number
  /** Of these, lost on their way here. */
  readonly dropped: number
  /** Hosts that broke off, and why: what their entities sent and got after that is not all there. */
  readonly broken: readonly string[]
}

/** Splits `ENTITY:NIC` from `LAN`, as the VIOLIN has them. Throws ViolinError. */
export function captureTarget(show: Show, part: string): CaptureRequest['capture'] {
  const [name = '', nic, more] = part.split(':')
  const entity = show.entities.find((one) => one.name === name)
  if (nic === undefined && show.lans.some((lan) => lan.name === name)) return { lan: name }
  if (entity === undefined)
    throw new ViolinError(
      'unknown-entity',
      `${show.name} has no ${nic === undefined ? 'vLAN' : 'entity'} ${name}`,
      `see \`violin show ${show.name}\``
    )
  if (nic === undefined || more !== undefined || !entity.nics.some((one) => one.name === nic))
    throw new ViolinError(
      'unknown-entity',
      `${part} is no vNIC of ${show.name}`,
      `name one: ${entity.nics.map((one) => `${show.name}/${name}:${one.name}`).join(', ')}`
    )
  return { entity: name, nic }
}

/**
 * Captures on every host that runs it, wherever that comes to be, until `end` or until the VIOLIN is gone. Throws
 * ViolinError when nothing could be captured, or what `write` throws.
 */
export async function runCapture(
  service: Service,
  { id, name }: Pick<Show, 'id' | 'name'>,
  what: CaptureRequest['capture'],
  ends: CaptureEnds
): Promise<Counts> {
  const merge = new Merge(ends.write)
  merge.begin()
  const rows = service.whereabouts({ violin: id, what })[Symbol.asyncIterator]()
  const sources = new Sources(service, id, what, merge, ends, () => void rows.return?.())
  const enough = AbortSignal.any([ends.end, ...(ends.stop === undefined ? [] : [ends.stop])])
  const leave = (): void => void rows.return?.()
  enough.addEventListener('abort', leave, { once: true })
  try {
    for (let row = await rows.next(); row.done !== true; row = await rows.next()) {
      if (row.value.hosts.length === 0 && sources.isNew)
        throw new ViolinError('not-running-here', 'nothing of it runs', `see \`violin show ${name}\``)
      if (!enough.aborted) sources.follow(row.value.hosts)
    }
    // The VIOLIN is gone, and what captured it ends, or it was enough.
  } finally {
    enough.removeEventListener('abort', leave)
    await rows.return?.()
    await sources.ended()
  }
  await merge.written
  if (sources.whole === 0 && sources.failures.length > 0) throw sources.failures[0]
  return { ...merge.counts, broken: sources.broken }
}

/** The hosts that are captured at, each to the end: what went away may start there anew. */
class Sources {
  readonly #service: Service
  readonly #violin: string
  readonly #what: CaptureRequest['capture']
  readonly #merge: Merge
  readonly #ends: CaptureEnds
  readonly #failed: () => void
  readonly #running = new Map<string, Promise<void>>()
  /** Hosts of the first row that have not said yet whether they capture; null: there was none. */
  #awaited: number | null = null
  #hasBegun = false
  /** Hosts that would not do it, or whose frames are none: nothing is asked of them again. */
  readonly #given = new Set<string>()
  /** Ends in good order. */
  whole = 0
  readonly failures: unknown[] = []
  /** Hosts that broke off, and why. */
  readonly broken: string[] = []

  /** `failed`: nobody is left who could be captured at. */
  constructor(
    service: Service,
    violin: string,
    what: CaptureRequest['capture'],
    merge: Merge,
    ends: CaptureEnds,
    failed: () => void
  ) {
    this.#service = service
    this.#violin = violin
    this.#what = what
    this.#merge = merge
    this.#ends = ends
    this.#failed = failed
  }

  get isNew(): boolean {
    return this.#awaited === null
  }

  /** Begins at those that are new. */
  follow(hosts: WhereaboutsRow['hosts']): void {
    const fresh = hosts.filter(({ id }) => !this.#running.has(id) && !this.#given.has(id))
    const isFirst = this.isNew
    if (isFirst) this.#awaited = fresh.length
    for (const { id, name } of fresh) {
      const ended = this.#capture(id, name, isFirst).finally(() => {
        this.#running.delete(id)
        if (this.#running.size === 0 && this.#given.size > 0) this.#failed()
      })
      this.#running.set(id, ended)
    }
  }

  async ended(): Promise<void> {
    await Promise.all(this.#running.values())
  }

  async #capture(host: string, name: string, isFirst: boolean): Promise<void> {
    const { warn } = this.#ends
    let isSettled = false
    const settle = (began: boolean): void => {
      if (isSettled) return
      isSettled = true
      if (isFirst) this.#settled()
      else if (began) warn(`${name}: captured there, too, from here on`)
    }
    const request = { violin: this.#violin, host, capture: this.#what }
    try {
      await follow(this.#service, request, this.#merge.source(), this.#ends, () => settle(true))
      this.whole++
    } catch (error: unknown) {
      const { code, message } = errorData(error)
      this.failures.push(error)
      // A host that is lost may come back, or another have what it had.
      if (code !== 'nobody-reachable' && code !== 'not-running-here') this.#given.add(host)
      // Who comes later may not be ready yet.
      const isQuiet = !isFirst && code === 'not-running-here'
      if (!isQuiet) this.broken.push(`${name}: ${message}`)
      if (!isQuiet && (this.#hasBegun || (this.#awaited ?? 0) > 1 || this.#running.size > 1))
        warn(`${name}: ${message}`)
      settle(false)
    }
  }

  /** One of the first has begun or failed. */
  #settled(): void {
    this.#awaited = (this.#awaited ?? 0) - 1
    if (this.#awaited > 0) return
    if (this.#merge.sources === 0) return this.#failed()
    this.#hasBegun = true
    this.#ends.begun()
  }
}

/** One source, until it ends. */
async function follow(
  service: Service,
  request: CaptureRequest,
  take: (bytes: Uint8Array) => Promise<void>,
  ends: CaptureEnds,
  began: () => void
): Promise<void> {
  const broken = new AbortController()
  let failure: unknown = null
  const deliver = async (bytes: Uint8Array): Promise<void> => {
    try {
      await take(bytes)
      began()
    } catch (error: unknown) {
      failure ??= error
      broken.abort()
    }
  }
  const output = new Writable({
    // A frame of the session each, with whole blocks.
    write: (bytes: Buffer, _, taken) => {
      void deliver(bytes).finally(() => taken())
    }
  })
  const input = new Readable({ read: () => undefined })
  const end = (): void => {
    input.push(null)
  }
  if (ends.end.aborted) end()
  ends.end.addEventListener('abort', end, { once: true })
  const signal = AbortSignal.any([broken.signal, ...(ends.stop === undefined ? [] : [ends.stop])])
  try {
    await runSession(service, request, { input, output, errors: process.stderr, signal })
  } catch (error: unknown) {
    throw failure ?? error
  } finally {
    ends.end.removeEventListener('abort', end)
  }
  if (failure !== null) throw failure
}

/** Makes one section of several sources. */
class Merge {
  readonly #write: (bytes: Uint8Array) => Promise<void>
  #interfaces = 0
  #frames = 0
  #dropped = 0
  /** Sources that something came from. */
  sources = 0
  /** All that was to be written is. */
  written: Promise<void> = Promise.resolve()

  constructor(write: (bytes: Uint8Array) => Promise<void>) {
    this.#write = write
  }

  get counts(): Omit<Counts, 'broken'> {
    return { frames: this.#frames, dropped: this.#dropped }
  }

  begin(): void {
    this.#put(sectionBlock(`violin ${version}`)).catch(() => undefined)
  }

  /** What takes the blocks of one more source; it rejects what is none. */
  source(): (bytes: Uint8Array) => Promise<void> {
    const numbers: number[] = []
    return async (bytes) => {
      if (numbers.length === 0) this.sources++
      const blocks = blocksIn(bytes)
      // All of them first: a number that is given out must stand in the file.
      let known = numbers.length
      for (const block of blocks) {
        if (block.type === blockType.interface) known++
        else if (interfaceOf(block) >= known) throw unreadable('an interface that it did not describe')
      }
      if (known > maxInterfaces) throw unreadable('too many interfaces')
      for (const block of blocks) this.#take(block, numbers)
      await this.#put(bytes)
    }
  }

  #take(block: Block, numbers: number[]): void {
    if (block.type === blockType.interface) {
      numbers.push(this.#interfaces++)
      return
    }
    renumber(block, numbers[interfaceOf(block)] as number)
    if (block.type === blockType.frame) this.#frames++
    else {
      const { dropped } = countsOf(block)
      this.#frames += dropped
      this.#dropped += dropped
    }
  }

  #put(bytes: Uint8Array): Promise<void> {
    this.written = this.written.then(() => this.#write(bytes))
    return this.written
  }
}

function blocksIn(bytes: Uint8Array): Block[] {
  try {
    return blocksOf(bytes)
  } catch (error: unknown) {
    throw unreadable((error as Error).message, error)
  }
}

function unreadable(why: string, cause?: unknown): ViolinError {
  return new ViolinError(
    'refused',
    `a host sent what is no capture: ${why}`,
    'bring all hosts to one version of violin',
    { cause }
  )
}

/** In words. */
export function sayCounts({ frames, dropped }: Pick<Counts, 'frames' | 'dropped'>): string {
  return `${frames} ${frames === 1 ? 'frame' : 'frames'}, ${dropped} dropped`
}
