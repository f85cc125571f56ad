/**
 * The `tap` driver: an entity without a machine. Its vNIC is a device that the root daemon makes outside of the
 * slice, of the host itself or of a jetway, and is the daemon's to guard; here it is a port like any other.
 */
import type { Duplex } from 'node:stream'
import { errorData, ViolinError } from '#core/errors.ts'
import { encodeSessionFrame, type SessionRequest, sessionFrame } from '#core/session.ts'
import { close } from '#syscalls/libc.ts'
import type { Machine, MachineSetup, StartMachine } from './contract.ts'

/** Starts an entity of driver `tap`; see StartMachine. */
export const startTap: StartMachine = (setup) => new TapMachine(setup)

class TapMachine implements Machine {
  readonly #setup: MachineSetup
  readonly #started: Promise<void>
  #stopping = false

  constructor(setup: MachineSetup) {
    this.#setup = setup
    this.#started = this.#start().catch((error: unknown) => {
      const { message, remedy } = errorData(error)
      if (!this.#stopping) setup.events.state('failed', `${message}; ${remedy}`)
    })
  }

  session(_request: SessionRequest, stream: Duplex): void {
    const error = new ViolinError(
      'refused',
      `${this.#setup.entity.name} is no machine: nothing runs in it`,
      'choose an entity that `violin show` lists with a driver'
    )
    stream.end(encodeSessionFrame(sessionFrame.failed, Buffer.from(JSON.stringify(errorData(error)))))
  }

  rename(): Promise<void> {
    return Promise.resolve()
  }

  /** Its device is another's to set up: it is made anew. */
  change(): Promise<void> {
    return Promise.reject(new Error(`${this.#setup.entity.name} is no machine`))
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#started
  }

  async #start(): Promise<void> {
    const { entity, events } = this.#setup
    events.state('booting', '')
    for (const nic of entity.nics) {
      const fd = await this.#setup.tap(null, nic.name)
      if (this.#stopping) return close(fd)
      this.#setup.attach(nic.name, { kind: 'tap', fd })
    }
    events.up()
    events.state('running', '')
  }
}
