/** Programs that set up interfaces and packet filters: iproute2, nftables, conntrack. */
import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process'
import { constants, existsSync, writeFileSync } from 'node:fs'
import { access } from 'node:fs/promises'
import type { Readable, Writable } from 'node:stream'
import { promisify } from 'node:util'
import { ViolinError } from '#core/errors.ts'
import type { Door } from './door.ts'
import { inNetworkNamespaceOf } from '#syscalls/netns.ts'

const ipPath = '/usr/sbin/ip'
const nftPath = '/usr/sbin/nft'
const conntrackPath = '/usr/sbin/conntrack'
/** None of them waits for anything. */
const commandMs = 10_000
const maxBytes: number = 8 * 1024 * 1024

/** An open network namespace of this process, as other programs name it. */
export function namespacePath(namespace: number): string {
  return `/proc/${process.pid}/fd/${namespace}`
}

/** Runs `ip` with one command a line, in a namespace or in this host's. Throws ViolinError. */
export async function ip(commands: readonly string[], namespace: number | null = null): Promise<void> {
  await feed([ipPath, '-batch', '-'], commands, namespace)
}

/** What `ip -json` answers. Throws ViolinError. */
export async function ipJson(...args: readonly string[]): Promise<unknown> {
  const text = await run([ipPath, '-json', ...args])
  return text.trim() === '' ? [] : (JSON.parse(text) as unknown)
}

/** Loads rules that stay with their namespace. Throws ViolinError. */
export async function nft(commands: readonly string[], namespace: number): Promise<void> {
  await feed([nftPath, '-f', '-'], commands, namespace)
}

/** Sets a switch of a network stack, such as `ipv4/ip_forward`. Throws what open(2) says, but of a stack that is not there. */
export function setSwitch(name: string, value: string, namespace: number | null = null): void {
  // What a process finds there is of its own network namespace.
  const write = (): void => {
    if (existsSync(`/proc/sys/net/${name.split('/')[0]}`)) writeFileSync(`/proc/sys/net/${name}`, value)
  }
  if (namespace === null) write()
  else inNetworkNamespaceOf(namespace, write)
}

async function feed(
  argv: readonly string[],
  lines: readonly string[],
  namespace: number | null
): Promise<void> {
  const enter = namespace === null ? [] : ['/usr/bin/nsenter', `--net=${namespacePath(namespace)}`, '--']
  await run([...enter, ...argv], `${lines.join('\n')}\n`)
}

/** Runs a program to its end; gives what it printed. Throws ViolinError `internal`, `tool-missing`. */
async function run(argv: readonly string[], input = ''): Promise<string> {
  const [program, ...args] = argv as [string, ...string[]]
  const running = promisify(execFile)(program, args, { timeout: commandMs, maxBuffer: maxBytes })
  running.child.stdin?.on('error', () => undefined)
  running.child.stdin?.end(input)
  try {
    return (await running).stdout
  } catch (error: unknown) {
    throw failure(argv, error as NodeJS.ErrnoException & { readonly stderr?: string })
  }
}

function failure(
  argv: readonly string[],
  error: NodeJS.ErrnoException & { readonly stderr?: string }
): ViolinError {
  if (error.code === 'ENOENT') return toolMissing(argv[0] as string)
  const said = (error.stderr ?? '').trim().split('\n')[0] ?? ''
  return new ViolinError(
    'internal',
    `${argv.join(' ')}: ${said === '' ? error.message : said}`,
    'run `violin doctor`'
  )
}

function toolMissing(path: string): ViolinError {
  return new ViolinError('tool-missing', `${path} is missing`, 'apt-get install iproute2 nftables conntrack')
}

/**
 * What sweeps up behind a table's keeper, whoever ended first: the link goes, and what the host remembers of flows
 * through it. Its arguments: the interface, and the addresses whose flows are meant.
 */
const sweeping = `trap '' HUP INT TERM
${nftPath} -i 2>&1
exec >/dev/null 2>&1
${ipPath} link del "$1"
shift
for source; do ${conntrackPath} -D -s "$source"; done`

type Keeper = ChildProcessByStdio<Writable, Readable, null>

export interface TableOptions {
  /** Family and name, `inet violin_x`. */
  readonly table: string
  readonly rules: readonly string[]
  /** Interface to be removed with it. */
  readonly device: string
  /** Addresses whose flows end with it. */
  readonly sources: readonly string[]
}

/**
 * A table of this host that a process of its own holds (nftables: `flags owner`): when that one ends, or this
 * one, which feeds it, the kernel removes the table, and the shell around it the interface and the flows.
 */
export class OwnedTable {
  readonly #keeper: Keeper
  readonly #table: string
  /** Resolves when it is gone, and swept up behind. */
  readonly ended: Promise<void>
  #said = ''
  #heard: (() => void) | null = null
  #isOver = false
  #isClosed = false

  private constructor({ table, device, sources }: TableOptions) {
    this.#table = table
    // Of no terminal and no process group that is ended together.
    this.#keeper = spawn('/bin/sh', ['-c', `${sweeping}\n`, 'sh', device, ...sources], {
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true,
      cwd: '/',
      env: {}
    })
    this.#keeper.stdin.on('error', () => undefined)
    this.ended = new Promise((resolve) => {
      const end = (): void => {
        this.#isOver = true
        this.#heard?.()
        resolve()
      }
      this.#keeper.once('error', end)
      this.#keeper.once('exit', end)
    })
    this.#keeper.stdout.on('data', (chunk: Buffer) => {
      this.#said = (this.#said + chunk.toString()).slice(-maxBytes)
      this.#heard?.()
    })
  }

  /** Makes a table with its rules. Throws ViolinError `internal`, `tool-missing`. */
  static async open(options: TableOptions): Promise<OwnedTable> {
    for (const path of [nftPath, conntrackPath])
      await access(path, constants.X_OK).catch(() => {
        throw toolMissing(path)
      })
    const table = new OwnedTable(options)
    try {
      await table.load(options.rules)
      return table
    } catch (error: unknown) {
      await table.close()
      throw error
    }
  }

  /** Carries out commands. Throws ViolinError `internal` with what nft said. */
  async load(rules: readonly string[]): Promise<void> {
    this.#said = ''
    // Its answer to the last comes when all was done.
    this.#keeper.stdin.write(`${[...rules, `list table ${this.#table}`].join('\n')}\n`)
    const deadline = AbortSignal.timeout(commandMs)
    while (!this.#isOver && !deadline.aborted && !/^}$|^Error: /m.test(this.#said)) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#heard = resolve
      deadline.addEventListener('abort', () => resolve(), { once: true })
      await promise
    }
    this.#heard = null
    const error = /^Error: .*$/m.exec(this.#said)?.[0]
    if (error !== undefined || this.#isOver || deadline.aborted)
      throw new ViolinError(
        'internal',
        `nft does not take the rules of ${this.#table}: ${error ?? 'no answer'}`,
        'run `violin doctor`'
      )
  }

  /** Ends it; resolves when nothing of it is left. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#keeper.stdin.end()
    await this.ended
  }

  /** A door that is open as long as the table is there. */
  asDoor(): Pick<Door, 'broken' | 'close'> {
    const broken = new Promise<string>((resolve) => {
      void this.ended.then(() => this.#isClosed || resolve('the keeper of its rules ended'))
    })
    return { broken, close: () => this.close() }
  }
}

/** What of this host's network can be watched, as `ip monitor` is told. */
const watched = { routes: ['-4', 'monitor', 'route', 'address'], links: ['monitor', 'link'] } as const

/** Calls back whenever that changes on this host; `broke` when it cannot be told any more. */
export function watch(what: keyof typeof watched, changed: () => void, broke: () => void): { close(): void } {
  const monitor = spawn(ipPath, watched[what], {
    stdio: ['ignore', 'pipe', 'ignore'],
    cwd: '/'
  })
  let isClosed = false
  const end = (): void => {
    if (!isClosed) broke()
  }
  monitor.stdout.on('data', changed)
  monitor.once('error', end)
  monitor.once('exit', end)
  return {
    close() {
      isClosed = true
      monitor.kill('SIGKILL')
    }
  }
}
