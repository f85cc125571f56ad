/**
 * One slice as the daemon holds it: its jail's process, its connection, its folder.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { errorData, ViolinError } from '#core/errors.ts'
import type { ViolinId } from '#core/ids.ts'
import type { CaptureRequest, SessionRequest } from '#core/session.ts'
import { contractVersion, type SliceEvent, type SliceMethods, type SliceStatus } from '#slice/contract.ts'
import { openSession, SliceConnection, type SliceTold } from './connection.ts'
import { isAlive, killProcess, type ProcessId, waitGone } from './process.ts'
import { type JailRecord, makeFolders, pathsOf, readJail, type SliceOptions, spawnJail } from './start.ts'
import { TapMaker } from './taps.ts'
import { freeUser } from './user.ts'

/** In good order it takes as long as its slowest machine. */
const stopMs = 30_000
/** A connection that broke is tried again this often, this long after one another, while the process lives. */
const reconnects = 5
const reconnectMs = 500

export interface SliceListener {
  event(told: SliceTold): void
  died(reason: string): void
}

export class Slice {
  readonly violin: ViolinId
  /** Its user id as the host sees it; null: the daemon's own. */
  readonly user: number | null
  readonly #options: SliceOptions
  readonly #process: ProcessId
  readonly #taps: TapMaker | null
  #connection: SliceConnection | null = null
  #listener: SliceListener | null = null
  /** Events that came before anybody listened. */
  #early: SliceEvent[] = []
  #hello: SliceStatus | null = null
  #ending = false

  constructor(options: SliceOptions, jail: JailRecord) {
    this.violin = options.violin
    this.user = jail.user
    this.#options = options
    this.#process = { pid: jail.pid, startTicks: jail.startTicks }
    const { home, run } = pathsOf(options)
    this.#taps =
      jail.user === null
        ? null
        : new TapMaker({
            violin: options.violin,
            user: jail.user,
            folder: join(home, 'daemon'),
            sliceFolder: run
          })
  }

  /** Process id of its jail's first process: all of the slice ends with it. */
  get pid(): number {
    return this.#process.pid
  }

  /** What it said to this daemon's hello. */
  get hello(): SliceStatus {
    if (this.#hello === null) throw new Error('a slice that is handed out said hello')
    return this.#hello
  }

  /** Starts a slice in a fresh folder. Throws ViolinError `boot-failed`, `too-large` for a path too long. */
  static async start(options: SliceOptions, takenUsers: ReadonlySet<number>): Promise<Slice> {
    await Slice.removeDead(options)
    const user = process.getuid?.() === 0 ? freeUser(takenUsers) : null
    await makeFolders(options, user)
    const jail = await spawnJail(options, user)
    const slice = new Slice(options, jail)
    try {
      await slice.#connect()
      return slice
    } catch (error: unknown) {
      await slice.remove()
      throw error
    }
  }

  /** Connects to the slice that a former daemon started; null (and its folder removed) when it is dead. */
  static async adopt(options: SliceOptions): Promise<Slice | null> {
    const jail = await readJail(pathsOf(options).home)
    if (jail === null || !isAlive(jail)) {
      await Slice.removeDead(options)
      return null
    }
    const slice = new Slice(options, jail)
    try {
      await slice.#connect()
      return slice
    } catch (error: unknown) {
      slice.close()
      // One that obeys a newer daemon is not ours to end; one that does not answer at all is of no use.
      if (error instanceof ViolinError && error.code === 'refused') throw error
      options.log('slice does not answer', { violin: options.violin, error: errorData(error).message })
      await Slice.removeDead(options)
      return null
    }
  }

  /** Removes what is left of a slice that nobody is connected to; its process too, if there is one. */
  static async removeDead(options: SliceOptions): Promise<void> {
    const jail = await readJail(pathsOf(options).home)
    if (jail !== null && !(await killProcess(jail)))
      throw new ViolinError(
        'internal',
        `process ${jail.pid} of a slice cannot be killed`,
        'restart this machine'
      )
    await rm(pathsOf(options).home, { recursive: true, force: true })
  }

  /** Tells events from now on, and those that came before. */
  listen(listener: SliceListener): void {
    this.#listener = listener
    for (const event of this.#early.splice(0)) listener.event(event)
  }

  /** One request. Throws ViolinError: what the slice refused, `timeout`, or that it ended. */
  call<M extends Exclude<keyof SliceMethods, 'session' | 'hello'>>(
    method: M,
    params: SliceMethods[M][0]
  ): Promise<SliceMethods[M][1]> {
    if (this.#connection === null)
      return Promise.reject(
        new ViolinError('refused', 'the slice ended', 'it is started again: try in a moment')
      )
    return this.#connection.call(method, params)
  }

  /** Opens a session; the stream carries session frames (core/session.ts). Throws ViolinError. */
  session(request: SessionRequest | CaptureRequest): Promise<Duplex> {
    return openSession(pathsOf(this.#options).control, request)
  }

  /** Stops it in good order, by force after a bound, and removes its folder. Throws ViolinError when it does not go. */
  async remove(): Promise<void> {
    this.#ending = true
    // One that cannot answer any more is killed below.
    await this.#connection?.call('stop', {}).catch(() => undefined)
    await waitGone(this.#process, stopMs)
    this.close()
    await Slice.removeDead(this.#options)
  }

  /** Lets go of it; it goes on. */
  close(): void {
    this.#ending = true
    this.#connection?.close()
    this.#connection = null
    this.#taps?.close()
  }

  async #connect(): Promise<void> {
    const { control } = pathsOf(this.#options)
    const connection = await SliceConnection.open(control, {
      event: (event) => this.#take(event),
      closed: () => {
        // A connection that was replaced meanwhile says nothing about the slice.
        if (this.#connection === connection) void this.#closed()
      }
    })
    this.#connection = connection
    const { generation, violin } = this.#options
    try {
      this.#hello = await connection.call('hello', { contract: contractVersion, generation, violin })
    } catch (error: unknown) {
      this.#connection = null
      connection.close()
      throw error
    }
  }

  #take(told: SliceTold): void {
    if (told.kind === 'tap-wanted') return this.#makeTap(told)
    if (this.#listener !== null) this.#listener.event(told)
    // What it said to the first hello is kept apart, for who listens.
    else if (told.kind !== 'status') this.#early.push(told)
  }

  #makeTap(event: Extract<SliceEvent, { kind: 'tap-wanted' }>): void {
    const { entity, nic } = event
    const tell = async (): Promise<unknown> => {
      try {
        if (this.#taps === null)
          throw new ViolinError(
            'needs-root',
            `${entity} needs a TAP, which only root can make`,
            'run the daemon as root, or use `driver: uml`'
          )
        const door = this.#options.door(event)
        if (door === null) this.#taps.make(event)
        else this.#taps.give(entity, nic, await door)
        return await this.call('tapReady', { entity, nic })
      } catch (error: unknown) {
        return this.call('tapRefused', { entity, nic, error: errorData(error) })
      }
    }
    tell().catch((error: unknown) => {
      this.#options.log('tap', { violin: this.violin, entity, nic, error: errorData(error).message })
    })
  }

  /** The connection ended: mostly since the slice did; one that was cut off for not listening comes back. */
  async #closed(): Promise<void> {
    this.#connection = null
    if (this.#ending || this.#hello === null) return
    for (let attempt = 0; attempt < reconnects; attempt++) {
      if ((await waitGone(this.#process, reconnectMs)) || this.#ending) break
      if (await this.#reconnect()) return
    }
    if (this.#ending) return
    this.#ending = true
    this.#taps?.close()
    this.#listener?.died(isAlive(this.#process) ? 'it broke its connection' : 'its process ended')
  }

  async #reconnect(): Promise<boolean> {
    this.#hello = null
    try {
      await this.#connect()
    } catch (error: unknown) {
      this.#options.log('slice not reached', { violin: this.violin, error: errorData(error).message })
      return false
    }
    return true
  }
}
