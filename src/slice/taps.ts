/**
 * TAPs in the namespaces of entities, which only a root daemon can make: the namespace goes to it as an open
 * descriptor, the TAP comes back as one (unix(7), SCM_RIGHTS). Where a door's TAP is to be, the daemon knows.
 */
import { join } from 'node:path'
import { ViolinError } from '#core/errors.ts'
import type { Mac, ViolinId } from '#core/ids.ts'
import { lanMtu } from '#core/spec.ts'
import { bindDescriptorSocket, receiveDescriptor, sendDescriptor } from '#syscalls/descriptors.ts'
import { close } from '#syscalls/libc.ts'
import { type SliceEvent, sliceFiles } from './contract.ts'

/** A daemon that does not answer by then is told so to the entity, which may be started again. */
const tapMs = 60_000

export interface TapsOptions {
  readonly violin: ViolinId
  /** Own folder, and the daemon's (null: there is none). */
  readonly folder: string
  readonly daemon: string | null
  readonly tell: (event: SliceEvent) => void
}

interface Wanted {
  readonly entity: string
  readonly nic: string
  readonly mac: Mac
  readonly namespaceFd: number | null
  readonly resolve: (fd: number) => void
  readonly reject: (error: Error) => void
}

export class Taps {
  readonly #options: TapsOptions
  readonly #socket: number
  readonly #wanted = new Map<string, Wanted>()

  constructor(options: TapsOptions) {
    this.#options = options
    this.#socket = bindDescriptorSocket(join(options.folder, sliceFiles.descriptors))
  }

  /** A TAP named `nic` in an entity's network namespace. Throws ViolinError: what the daemon said, `timeout`, `needs-root`. */
  async want(entity: string, nic: string, mac: Mac, namespaceFd: number | null): Promise<number> {
    if (this.#options.daemon === null)
      throw new ViolinError(
        'needs-root',
        `${entity} needs a TAP, which only a daemon that runs as root can make`,
        'run the daemon as root; `driver: uml` needs none'
      )
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const key = keyOf(entity, nic)
    const timer = setTimeout(() => {
      reject(new ViolinError('timeout', `no daemon made the TAP of ${entity} ${nic}`, 'start the daemon'))
    }, tapMs)
    const wanted: Wanted = { entity, nic, mac, namespaceFd, resolve, reject }
    this.#wanted.set(key, wanted)
    this.#ask(wanted)
    return promise.finally(() => {
      clearTimeout(timer)
      if (this.#wanted.get(key) === wanted) this.#wanted.delete(key)
    })
  }

  /** Asks again for all that is open: a daemon came. */
  repeat(): void {
    for (const wanted of this.#wanted.values()) this.#ask(wanted)
  }

  /** The daemon says that a TAP waits on the socket. */
  ready(entity: string, nic: string): void {
    for (let got = receiveDescriptor(this.#socket); got !== null; got = receiveDescriptor(this.#socket)) {
      const [kind, violin, ...of] = got.text.split(' ')
      const wanted = this.#wanted.get(of.join(' '))
      if (kind === 'tap' && violin === this.#options.violin && wanted !== undefined) {
        this.#wanted.delete(of.join(' '))
        wanted.resolve(got.fd)
      } else close(got.fd)
    }
    this.refuse(entity, nic, new ViolinError('internal', 'no TAP came with the message', 'try again'))
  }

  refuse(entity: string, nic: string, error: Error): void {
    this.#wanted.get(keyOf(entity, nic))?.reject(error)
  }

  /** The entity is stopped: it wants no more. */
  cancel(entity: string): void {
    for (const wanted of this.#wanted.values())
      if (wanted.entity === entity)
        wanted.reject(new ViolinError('refused', `${entity} is stopped`, 'start it again'))
  }

  close(): void {
    close(this.#socket)
  }

  #ask(wanted: Wanted): void {
    const { violin, daemon, tell } = this.#options
    if (daemon === null) return
    const { entity, nic, mac, namespaceFd } = wanted
    try {
      const path = join(daemon, sliceFiles.descriptors)
      if (namespaceFd !== null) sendDescriptor(this.#socket, path, `netns ${violin} ${entity}`, namespaceFd)
    } catch (error: unknown) {
      // No daemon, or one that is starting: it is asked again when it says hello.
      if (error instanceof Error && 'syscall' in error) return
      throw error
    }
    tell({ kind: 'tap-wanted', entity, nic, mac, mtu: lanMtu })
  }
}

function keyOf(entity: string, nic: string): string {
  return `${entity} ${nic}`
}
