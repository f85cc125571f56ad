/**
 * A capture of a vNIC or a vLAN, put together from the hosts on which its entities run: each sends blocks of its
 * own, which become one section by renumbering its interfaces.
 */
import { Readable, Writable } from 'node:stream'
import type { Service, Show } from '#api/contract.ts'
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
  /** A host broke off, while others go on. */
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

/** Captures until all sources have ended. Throws ViolinError when there was none, or what `write` throws. */
export async function runCapture(
  service: Service,
  show: Show,
  what: CaptureRequest['capture'],
  ends: CaptureEnds
): Promise<Counts> {
  const hosts = hostsOf(show, what)
  if (hosts.size === 0)
    throw new ViolinError('not-running-here', 'nothing of it runs', `see \`violin show ${show.name}\``)
  const merge = new Merge(ends.write)
  merge.begin()
  let awaited = hosts.size
  const settled = (): void => {
    if (--awaited === 0 && merge.sources > 0) ends.begun()
  }
  const failures: unknown[] = []
  await Promise.all(
    Array.from(hosts, async ([host, name]) => {
      const source = merge.source()
      const once = { settled: false }
      const settle = (): void => {
        if (!once.settled) settled()
        once.settled = true
      }
      try {
        await follow(service, { violin: show.id, host, capture: what }, source, ends, settle)
      } catch (error: unknown) {
        failures.push(error)
        if (hosts.size > 1) ends.warn(`${name}: ${errorData(error).message}`)
        settle()
      }
    })
  )
  await merge.written
  if (failures.length === hosts.size) throw failures[0]
  return merge.counts
}

/** The hosts that run what is captured, with their names. */
function hostsOf(show: Show, what: CaptureRequest['capture']): Map<string, string> {
  const running = show.entities.filter(({ name, nics }) =>
    'lan' in what ? nics.some(({ lan }) => lan === what.lan) : name === what.entity
  )
  return new Map(
    running.flatMap(({ hostId, host }) => (hostId === null ? [] : [[hostId, host ?? hostId] as const]))
  )
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

  get counts(): Counts {
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
export function sayCounts({ frames, dropped }: Counts): string {
  return `${frames} ${frames === 1 ? 'frame' : 'frames'}, ${dropped} dropped`
}
