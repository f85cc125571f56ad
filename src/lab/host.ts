/** One overlay host of a lab, as its user: commands in its namespace, its daemon, its death. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { openSync, closeSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { HostPlan, LabPlan } from './plan.ts'
import { territoryOf } from './plan.ts'
import { argumentsOf, identify, kill, killAllIn, type ProcessId, processesIn, waitGone } from './processes.ts'

/** A command that takes longer hangs. */
const commandMs = 120_000
/** A daemon is up in a second; five at once on two busy cores take longer. */
const daemonMs = 60_000
/** Kept of what a command says, bytes each of stdout and stderr. */
const maxOutputBytes = 8 * 2 ** 20

export interface Outcome {
  /** Exit status; 128 and the signal's number when it was killed. */
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  readonly input?: string | Uint8Array
  readonly timeoutMs?: number
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

export class LabHost {
  readonly name: string
  /** Address on the underlay. */
  readonly address: string
  /** VIOLIN_DIR. */
  readonly folder: string
  readonly namespace: string
  readonly #lab: LabPlan
  readonly #plan: HostPlan

  constructor(lab: LabPlan, plan: HostPlan) {
    this.name = plan.name
    this.address = plan.address
    this.folder = plan.folder
    this.namespace = plan.namespace
    this.#lab = lab
    this.#plan = plan
  }

  /** Path of the API's socket. */
  get api(): string {
    return join(this.folder, 'api.sock')
  }

  /** Where the daemon's standard error goes. */
  get log(): string {
    return join(this.folder, '..', `${this.name}.log`)
  }

  /** Starts a program in the host's namespace, first of a process group; it is the caller's to end. */
  spawn(argv: readonly string[], options: CommandOptions = {}): ChildProcess {
    return spawn('/usr/bin/nsenter', [`--net=/run/netns/${this.namespace}`, '--', ...argv], {
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: options.cwd ?? '/',
      env: {
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        HOME: this.folder,
        LANG: 'C.UTF-8',
        VIOLIN_DIR: this.folder,
        ...options.env
      }
    })
  }

  /** Runs a program in the host's namespace to its end; one that hangs is killed. */
  async run(argv: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
    const child = this.spawn(argv, options)
    const timer = setTimeout(() => killGroup(child), options.timeoutMs ?? commandMs)
    try {
      return await outcomeOf(child, options.input ?? '')
    } finally {
      clearTimeout(timer)
    }
  }

  /** The argument vector of a `violin` command. */
  command(...args: readonly string[]): string[] {
    return [process.execPath, violinProgram(), ...args]
  }

  /** Runs `violin ARGS`; any outcome is an answer. */
  try(args: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
    return this.run(this.command(...args), options)
  }

  /** Runs `violin ARGS` and gives its standard output. Throws with its complaint when it fails. */
  async violin(...args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.try(args)
    if (status !== 0)
      throw new Error(
        `violin ${args.join(' ')} at ${this.name}: status ${status}: ${(stderr || stdout).trim()}`
      )
    return stdout
  }

  /** Runs `violin ARGS --json` and gives what it printed. */
  async json(...args: readonly string[]): Promise<unknown> {
    return JSON.parse(await this.violin(...args, '--json'))
  }

  /** Starts `violin daemon`, which outlives this process, and waits until it is up. Throws with its log. */
  async startDaemon(): Promise<void> {
    const log = openSync(this.log, 'a', 0o600)
    const argv = [`--net=/run/netns/${this.namespace}`, '--', ...this.command('daemon', '--dir', this.folder)]
    const child = spawn('/usr/bin/nsenter', argv, {
      detached: true,
      stdio: ['ignore', 'pipe', log],
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? '', HOME: this.folder }
    })
    closeSync(log)
    await serving(child, `daemon of ${this.name} (${this.log})`)
  }

  /** The daemon's processes, without slices and machines. */
  daemonProcesses(): ProcessId[] {
    return this.processes().filter(({ pid }) => {
      const [program, ...args] = argumentsOf(pid)
      return program === process.execPath && args.includes(this.folder)
    })
  }

  /** Everything that runs on this host. */
  processes(): ProcessId[] {
    return processesIn(territoryOf(this.#lab, this.#plan))
  }

  /** Ends the daemon in good order; its slices go on. */
  stopDaemon(): Promise<void> {
    return this.#endDaemon('SIGTERM')
  }

  /** `kill -9` of the daemon alone. */
  killDaemon(): Promise<void> {
    return this.#endDaemon('SIGKILL')
  }

  /** `kill -9` of all that runs on this host: daemon, slices, machines. */
  kill9(): Promise<void> {
    return killAllIn(territoryOf(this.#lab, this.#plan))
  }

  /** Pulls the underlay's cable. */
  cut(): void {
    this.#link('down')
  }

  /** Puts it back. */
  heal(): void {
    this.#link('up')
    this.#ip('route', 'replace', '224.0.0.0/4', 'dev', 'eth0')
  }

  async #endDaemon(signal: NodeJS.Signals): Promise<void> {
    const processes = this.daemonProcesses()
    for (const id of processes) kill(id, signal)
    if (!(await waitGone(processes, daemonMs))) throw new Error(`the daemon of ${this.name} does not end`)
  }

  #link(state: 'up' | 'down'): void {
    this.#ip('link', 'set', 'eth0', state)
  }

  #ip(...args: string[]): void {
    execFileSync('/usr/sbin/ip', ['-n', this.namespace, ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  }
}

/** The command line of the bundle: beside this in it, in dist/ when this runs from the source. */
export function violinProgram(): string {
  const source = import.meta.url.endsWith('.ts')
  return fileURLToPath(new URL(source ? '../../dist/violin.js' : './violin.js', import.meta.url))
}

/** Ends a child and what it started, which may hold its output open. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch (error: unknown) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Collects what a child says until it has ended. */
export async function outcomeOf(child: ChildProcess, input: string | Uint8Array): Promise<Outcome> {
  const [stdout, stderr] = [collect(child.stdout as Readable), collect(child.stderr as Readable)]
  child.stdin?.on('error', () => undefined)
  child.stdin?.end(input)
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  child.once('error', reject)
  child.once('close', (code, signal) => resolve(code ?? (signal === 'SIGKILL' ? 137 : 143)))
  const status = await promise
  return { status, stdout: stdout(), stderr: stderr() }
}

function collect(stream: Readable): () => string {
  const chunks: Buffer[] = []
  let size = 0
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size <= maxOutputBytes) chunks.push(chunk)
  })
  return () => Buffer.concat(chunks).toString()
}

/** Resolves with a child's first line of output; then lets go of it. */
async function serving(child: ChildProcess, what: string): Promise<void> {
  const stdout = child.stdout as Readable
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(() => reject(new Error(`the ${what} is not up after ${daemonMs} ms`)), daemonMs)
  const lines = createInterface({ input: stdout })
  lines.once('line', () => resolve())
  child.once('error', reject)
  child.once('exit', (code, signal) => reject(new Error(`the ${what} ended: ${signal ?? `status ${code}`}`)))
  try {
    await promise
  } catch (error: unknown) {
    const id = child.pid === undefined ? null : identify(child.pid)
    if (id !== null) kill(id, 'SIGKILL')
    throw error
  } finally {
    clearTimeout(timer)
    lines.close()
    stdout.destroy()
    child.removeAllListeners('exit')
    child.unref()
  }
}

/** The `violin` command for people to type, from wherever they are. */
export function violinCommand(): string {
  const source = import.meta.url.endsWith('.ts')
  return fileURLToPath(new URL(source ? '../../bin/violin' : '../bin/violin', import.meta.url))
}
