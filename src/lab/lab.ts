/**
 * Overlay hosts on one machine: each in a network namespace of its own, joined by the project's own switch with
 * delays. Needs root. Disposed, or when the process that made it ends in whatever way, it leaves nothing.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { ViolinError } from '#core/errors.ts'
import { LabHost } from './host.ts'
import { takeDown } from './keeper.ts'
import { type LabPlan, type LabState, type Place, planLab, readStates, territoryOf } from './plan.ts'
import { identify, isAlive, kill, type ProcessId, processesIn, waitGone } from './processes.ts'

/** A keeper takes its lab down in seconds. */
const downMs = 60_000
/** Records travel in well under a second. */
const settledMs = 30_000

export class Lab implements AsyncDisposable {
  readonly plan: LabPlan
  readonly hosts: readonly LabHost[]
  readonly #keeper: ChildProcess
  readonly #keeperId: ProcessId
  #lingers = false

  private constructor(plan: LabPlan, keeper: ChildProcess, keeperId: ProcessId) {
    this.plan = plan
    this.hosts = plan.hosts.map((host) => new LabHost(plan, host))
    this.#keeper = keeper
    this.#keeperId = keeperId
  }

  /** Makes a lab. Throws ViolinError `needs-root`, `boot-failed`. */
  static async create(places: readonly Place[]): Promise<Lab> {
    if (process.getuid?.() !== 0)
      throw new ViolinError('needs-root', 'a lab makes network namespaces', 'run it as root, or with sudo')
    const plan = planLab(randomBytes(3).toString('hex'), places)
    const keeper = spawn(process.execPath, [labProgram(), 'keep'], {
      detached: true,
      cwd: '/',
      stdio: ['pipe', 'pipe', 'inherit']
    })
    const input = keeper.stdin
    input.on('error', () => undefined)
    input.write(`${JSON.stringify(plan)}\n`)
    await ready(keeper)
    const id = identify(keeper.pid as number)
    if (id === null) throw new ViolinError('boot-failed', 'the underlay ended', 'try again')
    // It must not keep this process alive; the end of its input still tells it of this one's end.
    keeper.unref()
    ;(input as unknown as { unref(): void }).unref()
    return new Lab(plan, keeper, id)
  }

  /** The host of a name. */
  host(name: string): LabHost {
    const found = this.hosts.find((host) => host.name === name)
    if (found === undefined) throw new RangeError(`no host ${name}`)
    return found
  }

  /** Founds a mesh on the first host and lets all others in, each with its daemon running. */
  async found(): Promise<void> {
    const [first, ...others] = this.hosts as [LabHost, ...LabHost[]]
    await first.violin('init', '--name', first.name)
    await first.startDaemon()
    const token = await this.invite(others.length)
    await Promise.all(others.map((host) => join(host, token)))
    await this.settled()
  }

  /** Resolves when the given hosts know every host. Throws when that does not come. */
  async settled(at: readonly LabHost[] = this.hosts): Promise<void> {
    const end = performance.now() + settledMs
    const waiting = new Set(at)
    while (waiting.size > 0) {
      for (const host of waiting) {
        const rows = (await host.json('hosts')) as { readonly state: string }[]
        if (rows.filter(({ state }) => state === 'alive').length >= this.hosts.length) waiting.delete(host)
        else if (performance.now() > end) throw new Error(`${host.name} knows only ${rows.length} hosts`)
      }
    }
  }

  /** A token of the first host for so many joiners. */
  async invite(uses: number): Promise<string> {
    const [first] = this.hosts as [LabHost]
    const { token } = (await first.json('invite', '--uses', String(Math.max(1, uses)))) as { token: string }
    return token
  }

  /** Leaves the lab in place when this process ends, until `violin lab down`. */
  linger(): void {
    this.#lingers = true
    ;(this.#keeper.stdin as Writable).end('linger\n')
  }

  /** What there is of this lab now: one line each. Empty after it was disposed. */
  leftovers(): string[] {
    return leftoversOf(this.plan)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#lingers) return
    await end({ ...this.plan, keeper: this.#keeperId })
  }
}

/** Starts a host's life in the mesh of a token. */
export async function join(host: LabHost, token: string): Promise<void> {
  const { status, stderr } = await host.try(['join', '-', '--name', host.name], { input: token })
  if (status !== 0) throw new Error(`${host.name} did not join: ${stderr.trim()}`)
  await host.startDaemon()
}

/** Whether a lab lingers for its user, or has lost its keeper. */
export function isLeft(state: LabState): boolean {
  return state.lingers || !isAlive(state.keeper)
}

/** Takes down the labs that are meant. Gives their names. Throws ViolinError `needs-root`. */
export async function sweep(meant: (state: LabState) => boolean): Promise<string[]> {
  const states = readStates().filter(meant)
  if (states.length > 0 && process.getuid?.() !== 0) {
    throw new ViolinError('needs-root', 'a lab belongs to root', 'run it as root, or with sudo')
  }
  for (const state of states) await end(state)
  return states.map(({ name }) => name)
}

/** What a lab has on this machine: processes, namespaces, files. */
export function leftoversOf(plan: LabPlan): string[] {
  const found = plan.hosts.flatMap((host) => [
    ...processesIn(territoryOf(plan, host)).map(({ pid }) => `process ${pid} of ${host.name}`),
    ...(existsSync(`/run/netns/${host.namespace}`) ? [`namespace ${host.namespace}`] : [])
  ])
  return existsSync(plan.folder) ? [...found, `folder ${plan.folder}`] : found
}

/** Ends a lab through its keeper, or without it. */
async function end(state: LabPlan & { readonly keeper: ProcessId }): Promise<void> {
  kill(state.keeper, 'SIGTERM')
  if (!(await waitGone([state.keeper], downMs))) kill(state.keeper, 'SIGKILL')
  if (leftoversOf(state).length > 0) await takeDown(state)
}

async function ready(keeper: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const fail = (why: string): void =>
    reject(new ViolinError('boot-failed', `no lab: ${why}`, 'run `violin doctor`'))
  const lines = createInterface({ input: keeper.stdout as Readable })
  lines.once('line', (line) => (line === 'ready' ? resolve() : fail(line.replace(/^failed /, ''))))
  keeper.once('error', (error) => fail(error.message))
  keeper.once('exit', () => fail('the underlay ended'))
  try {
    await promise
  } finally {
    lines.close()
    ;(keeper.stdout as Readable).destroy()
  }
}

function labProgram(): string {
  return fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './main.ts' : './lab.js', import.meta.url))
}
