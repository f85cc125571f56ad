/**
 * The `netns` driver: an entity is a jail with a network namespace of its own, its vNICs are TAPs in it.
 * Cheap enough for hundreds on a host; it shares the host's kernel, where a VM brings its own.
 */
import type { Duplex } from 'node:stream'
import { dirname } from 'node:path'
import { errorData, ViolinError } from '#core/errors.ts'
import type { SessionRequest } from '#core/session.ts'
import type { EntityFile, SpecEntity } from '#core/spec.ts'
import type { SliceWish } from '#slice/contract.ts'
import { nicChanges } from '../change.ts'
import { imageFolder, type Machine, type MachineSetup, type StartMachine } from '../contract.ts'
import { runInside } from './inside.ts'
import { type Jail, makeTools, startJail } from './jail.ts'
import { failSession, serveSession } from './session.ts'
import { changeScript, environmentOf, hostsFile, networkScript } from './setup.ts'

/** One step of setting up inside. */
const stepMs = 20_000
/** The entity's own `run` script. */
const runMs = 300_000

/** Starts an entity of driver `netns`; see StartMachine. */
export const startNetns: StartMachine = (setup) => new NetnsMachine(setup)

class NetnsMachine implements Machine {
  readonly #setup: MachineSetup
  readonly #env: Record<string, string>
  /** As it is by now: vNICs and routes may have changed. */
  #entity: SpecEntity
  readonly #started: Promise<void>
  #jail: Jail | null = null
  #running = false
  #stopping = false
  #failed = false

  constructor(setup: MachineSetup) {
    this.#setup = setup
    this.#entity = setup.entity
    this.#env = environmentOf(setup.entity)
    this.#started = this.#start().catch((error: unknown) => this.#fail(errorData(error).message))
  }

  session(request: SessionRequest, stream: Duplex): void {
    if (this.#jail !== null && this.#running) return serveSession(this.#jail, request, this.#env, stream)
    const { name } = this.#setup.entity
    failSession(stream, new ViolinError('not-running-here', `${name} is not up`, 'wait for it: violin wait'))
  }

  async rename(names: SliceWish['names']): Promise<void> {
    // Before it runs, `#start` itself writes the names that it was given.
    await this.#started
    if (this.#jail !== null && this.#running) await this.#writeNames(this.#jail, names)
  }

  async change(entity: SpecEntity): Promise<void> {
    await this.#started
    const jail = this.#jail
    if (jail === null || !this.#running) throw new Error('it does not run')
    const { gone, added } = nicChanges(this.#entity, entity)
    // The TAP goes with the last descriptor of it.
    for (const { name } of gone) this.#setup.detach(name)
    for (const { name } of added) await this.#addNic(jail, name)
    const before = { ...this.#entity, nics: this.#entity.nics.filter((nic) => !gone.includes(nic)) }
    const script = changeScript(before, entity)
    await runInside(jail, ['/bin/sh', '-ec', script], { env: this.#env, timeoutMs: stepMs })
    this.#entity = entity
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#jail?.kill()
    await this.#started
    await this.#jail?.ended
  }

  async #start(): Promise<void> {
    const { entity, folder, events } = this.#setup
    events.state('booting', '')
    const tools = await sharedTools(dirname(folder))
    if (this.#stopping) return
    const image = imageFolder(this.#setup)
    const jail = await startJail({ hostname: entity.name, memoryMiB: entity.memoryMiB, tools, image })
    this.#jail = jail
    if (this.#stopping) return jail.kill()
    void jail.ended.then(() => this.#fail('its namespaces ended'))
    for (const { name } of entity.nics) await this.#addNic(jail, name)
    await this.#configure(jail)
    if (this.#stopping || this.#failed) return
    this.#running = true
    events.state('running', '')
  }

  async #addNic(jail: Jail, nic: string): Promise<void> {
    const fd = await this.#setup.tap(jail.network, nic)
    this.#setup.attach(nic, { kind: 'tap', fd })
  }

  async #configure(jail: Jail): Promise<void> {
    const { entity, names } = this.#setup
    const step = { env: this.#env, timeoutMs: stepMs }
    await runInside(jail, ['/bin/sh', '-ec', networkScript(entity)], step)
    if (!this.#stopping && !this.#failed) this.#setup.events.up()
    await this.#writeNames(jail, names)
    for (const file of entity.files) await writeFile(jail, file, step)
    for (const [name, text] of [
      ['start', entity.start ?? ''],
      ['run', entity.run]
    ] as const) {
      if (text === '') continue
      const script = { path: `/run/violin/${name}`, mode: 0o755, data: Buffer.from(text) }
      await writeFile(jail, script, step)
      await runInside(jail, ['/bin/sh', script.path], { env: this.#env, timeoutMs: runMs })
    }
  }

  async #writeNames(jail: Jail, names: SliceWish['names']): Promise<void> {
    const { name } = this.#setup.entity
    const data = Buffer.from(hostsFile(name, names))
    const step = { env: this.#env, timeoutMs: stepMs }
    await writeFile(jail, { path: '/etc/hosts', mode: 0o644, data }, step)
    // Who serves names reads them anew when it is told.
    if (this.#running && this.#setup.entity.start !== undefined)
      await runInside(jail, ['/bin/sh', '-c', 'killall -q -HUP dnsmasq; true'], step)
  }

  #fail(reason: string): void {
    if (this.#stopping || this.#failed) return
    this.#failed = true
    this.#running = false
    this.#jail?.kill()
    this.#setup.events.state('failed', reason)
  }
}

async function writeFile(
  jail: Jail,
  file: EntityFile,
  step: { readonly env: Record<string, string>; readonly timeoutMs: number }
): Promise<void> {
  // Whole or not at all: a program that reads it meanwhile sees the former.
  const script = 'mkdir -p "$(dirname "$1")" && cat > "$1.new" && chmod "$2" "$1.new" && mv "$1.new" "$1"'
  const argv = ['/bin/sh', '-c', script, 'sh', file.path, (file.mode & 0o7777).toString(8)]
  await runInside(jail, argv, { ...step, input: file.data })
}

/** One folder of links serves all entities of a slice, made for the first of them. */
const tools = new Map<string, Promise<string>>()

function sharedTools(folder: string): Promise<string> {
  const known = tools.get(folder)
  if (known !== undefined) return known
  const made = makeTools(folder)
  tools.set(folder, made)
  // The next entity tries again.
  made.catch(() => tools.delete(folder))
  return made
}
