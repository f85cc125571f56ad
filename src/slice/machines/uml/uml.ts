/**
 * The `uml` driver: an entity is a virtual machine, a kernel of its own as one jailed process. Its vNICs are
 * served by the forwarding worker, its console's ports (control, sessions) by a worker of this driver.
 */
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { errorData, ViolinError } from '#core/errors.ts'
import type { Mac } from '#core/ids.ts'
import { same } from '#core/same.ts'
import type { SessionRequest } from '#core/session.ts'
import { maxNicsPerEntity, type SpecEntity } from '#core/spec.ts'
import type { SliceWish } from '#slice/contract.ts'
import type { ConsoleDevice } from '../../vhost/consoles.ts'
import { nicChanges } from '../change.ts'
import { imageFolder, type Machine, type MachineSetup, type StartMachine } from '../contract.ts'
import { changeScript, hostsFile, quote } from '../netns/setup.ts'
import { Agent, type AgentEvents } from './agent.ts'
import { entityArchive, namingScript } from './archive.ts'
import { holdConsoles, type HeldConsoles } from './consoles.ts'
import { writeInitrd } from './initrd.ts'
import { type Jail, jailSockets, startJail } from './jail.ts'
import { consolePorts, failSession, Sessions } from './sessions.ts'
import { listenAll, listenAnew } from './sockets.ts'

/** Less is not enough for Debian's kernel with vNICs and sessions. */
export const minMemoryMiB = 64
/** A boot takes 1.5 s alone, and many times that where many boot at once. */
const bootMs = 90_000
/** The entity's own `run` script. */
const runMs = 300_000
/** A guest that was asked to halt gets this long. */
const haltMs = 3_000
/** Devices without a vNIC yet: a device cannot be added to a machine that runs. */
const spareNics = 4
/** Between the end of the control port and that of the machine, where both are one event. */
const lostMs = 1_000

/** Virtio device types (virtio 1.2, section 5). */
const netDevice = 1
const consoleDevice = 3

/** Starts an entity of driver `uml`; to be called on the main thread, with which the machine dies. */
export const startUml: StartMachine = (setup) => new UmlMachine(setup)

class UmlMachine implements Machine {
  readonly #setup: MachineSetup
  readonly #started: Promise<void>
  #phase: 'booting' | 'up' | 'running' | 'stopping' | 'failed' = 'booting'
  #jail: Jail | null = null
  #consoles: HeldConsoles | null = null
  #device: ConsoleDevice | null = null
  #agent: Agent | null = null
  #sessions: Sessions | null = null
  #names: SliceWish['names']
  /** As it is by now: vNICs and routes may have changed. */
  #entity: SpecEntity
  /** Device of each vNIC, by their numbers; and those that have none. */
  readonly #devices = new Map<string, number>()
  #free: number[] = []
  #sockets = ''
  /** What the agent is asked one after the other. */
  #turn: Promise<void> = Promise.resolve()
  #deadline: NodeJS.Timeout | undefined

  constructor(setup: MachineSetup) {
    this.#setup = setup
    this.#entity = setup.entity
    this.#names = setup.names
    this.#started = this.#start().catch((error: unknown) => this.#fail(errorData(error).message))
  }

  session(request: SessionRequest, stream: Duplex): void {
    if (this.#phase === 'running' && this.#sessions !== null) return this.#sessions.serve(request, stream)
    const { name } = this.#setup.entity
    failSession(stream, new ViolinError('not-running-here', `${name} is not up`, 'wait for it: violin wait'))
  }

  rename(names: SliceWish['names']): Promise<void> {
    return this.#inTurn(() => this.#rename(names))
  }

  change(entity: SpecEntity, macs: ReadonlyMap<string, Mac>): Promise<void> {
    return this.#inTurn(() => this.#change(entity, macs))
  }

  async stop(): Promise<void> {
    const halting = this.#phase === 'up' || this.#phase === 'running'
    if (this.#phase !== 'failed') this.#phase = 'stopping'
    clearTimeout(this.#deadline)
    this.#sessions?.end(`${this.#setup.entity.name} is being stopped`)
    if (halting) this.#agent?.halt()
    else this.#jail?.kill()
    // The kernel halts also where nobody in the guest listens any more.
    const asking = setTimeout(() => this.#jail?.command('halt'), haltMs / 2)
    const timer = setTimeout(() => this.#jail?.kill(), haltMs)
    await this.#started
    await this.#jail?.ended
    clearTimeout(asking)
    clearTimeout(timer)
    this.#device?.close()
    await this.#consoles?.release()
  }

  async #start(): Promise<void> {
    const { entity, folder, images, events } = this.#setup
    events.state('booting', '')
    if (entity.memoryMiB < minMemoryMiB)
      throw new ViolinError(
        'boot-failed',
        `${entity.memoryMiB} MiB of memory are too few`,
        `give it ${minMemoryMiB}`
      )
    const initrd = join(folder, 'initrd.img')
    await writeInitrd(images, entityArchive(this.#setup), initrd)
    this.#consoles = holdConsoles()
    if (this.#phase !== 'booting') return
    const sockets = this.#connect(this.#consoles)
    this.#jail = this.#boot(initrd, sockets)
  }

  /** Makes the sockets of the machine's devices, and hands each to who serves it. */
  #connect(consoles: HeldConsoles): string {
    const { entity, folder, attach } = this.#setup
    const names = ['console', ...entity.nics.map((_, index) => `nic${index}`)]
    const { folder: sockets, descriptors } = listenAll(folder, names)
    this.#sockets = sockets
    const [console, ...nics] = descriptors as [number, ...number[]]
    const device = consoles.attach(console, { maxPorts: consolePorts })
    this.#device = device
    device.once('disconnected', (reason) => this.#lost(`its console ended: ${reason}`))
    const agent = new Agent(device.openPort(0), this.#agentEvents())
    this.#agent = agent
    this.#sessions = new Sessions(agent, (port) => device.openPort(port))
    for (const [index, { name }] of entity.nics.entries()) {
      this.#devices.set(name, index)
      attach(name, { kind: 'vhost-user', listenFd: nics[index] as number })
    }
    return sockets
  }

  #boot(initrd: string, sockets: string): Jail {
    const { memoryMiB, nics } = this.#setup.entity
    const count = Math.min(nics.length + spareNics, maxNicsPerEntity)
    this.#free = Array.from({ length: count - nics.length }, (_, place) => nics.length + place)
    const wires = Array.from({ length: count }, (_, index) => `nic${index}:${netDevice}`)
    const devices = [`console:${consoleDevice}`, ...wires]
    const kernelArguments = devices.map((device) => `virtio_uml.device=${jailSockets}/${device}`)
    const image = imageFolder(this.#setup)
    const jail = startJail({ initrd, image, sockets, memoryMiB, kernelArguments })
    void jail.ended.then((how) => this.#fail(`${how}: ${jail.lastLines() || 'its console said nothing'}`))
    this.#within(bootMs, () => `it was not up after ${bootMs} ms: ${jail.lastLines()}`)
    return jail
  }

  #agentEvents(): AgentEvents {
    return {
      up: () => {
        if (this.#phase !== 'booting') return
        this.#phase = 'up'
        this.#setup.events.up()
        this.#within(runMs, () => `its run script was not done after ${runMs} ms`)
      },
      ready: () => {
        if (this.#phase !== 'up') return
        clearTimeout(this.#deadline)
        this.#phase = 'running'
        this.#setup.events.state('running', '')
      },
      failed: (reason) => this.#fail(reason),
      started: (session) => this.#sessions?.started(session),
      exit: (session, status) => this.#sessions?.exited(session, status),
      lost: (reason) => this.#lost(reason)
    }
  }

  #within(timeMs: number, reason: () => string): void {
    clearTimeout(this.#deadline)
    this.#deadline = setTimeout(() => this.#fail(reason()), timeMs)
  }

  /** Without its agent a machine is of no use; when it dies as a whole its console says more. */
  #lost(reason: string): void {
    if (this.#jail === null) return this.#fail(reason)
    this.#within(lostMs, () => reason)
  }

  async #rename(names: SliceWish['names']): Promise<void> {
    if (this.#agent === null || this.#phase !== 'running' || same(names, this.#names)) return
    await this.#agent.hosts(hostsFile(this.#setup.entity.name, names))
    this.#names = names
  }

  /** The driver lets go of a device, or takes one up whose socket is there by now. */
  async #change(entity: SpecEntity, macs: ReadonlyMap<string, Mac>): Promise<void> {
    if (this.#agent === null || this.#phase !== 'running') throw new Error('it does not run')
    const { gone, added } = nicChanges(this.#entity, entity)
    if (added.length > this.#free.length + gone.length)
      throw new ViolinError('refused', 'the machine has no device left for a vNIC', 'restart it')
    const left = gone.map(({ name }) => ({ name, device: this.#devices.get(name) as number }))
    if (left.length > 0) await this.#agent.change(left.map(unplugLines).join(''))
    for (const { name, device } of left) {
      this.#setup.detach(name)
      this.#devices.delete(name)
      this.#free.push(device)
    }
    const before = { ...this.#entity, nics: this.#entity.nics.filter((nic) => !gone.includes(nic)) }
    this.#entity = before
    for (const { name } of added) {
      const device = this.#free.shift() as number
      this.#devices.set(name, device)
      const listenFd = listenAnew(this.#sockets, `nic${device}`)
      this.#setup.attach(name, { kind: 'vhost-user', listenFd })
    }
    const plugged = added.map(({ name }) => bindLine('bind', this.#devices.get(name) as number))
    const naming = namingScript({ entity: { ...entity, nics: added }, macs })
    await this.#agent.change(plugged.join('') + naming + changeScript(before, entity))
    this.#entity = entity
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  #fail(reason: string): void {
    if (this.#phase === 'stopping' || this.#phase === 'failed') return
    this.#phase = 'failed'
    clearTimeout(this.#deadline)
    this.#jail?.kill()
    this.#sessions?.end(reason)
    this.#setup.events.state('failed', reason)
  }
}

/** The console is the machine's first device; the kernel's driver numbers them in the order of its command line. */
function bindLine(verb: 'bind' | 'unbind', device: number): string {
  return `echo virtio-uml.${1 + device} > /sys/bus/platform/drivers/virtio-uml/${verb}\n`
}

function unplugLines({ name, device }: { readonly name: string; readonly device: number }): string {
  return `ip link set ${quote(name)} down\n${bindLine('unbind', device)}`
}
