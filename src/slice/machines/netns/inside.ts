/**
 * Programs inside a running jail: they join its namespaces and have pipes or a terminal of their own as standard
 * streams. (Not by busybox's nsenter: it would run its own commands in place of an image's.)
 */
import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { ViolinError } from '#core/errors.ts'
import type { Jail } from './jail.ts'

const nsenterPath = '/usr/bin/nsenter'
/** Bytes kept of what a program says, for a reason or an error. */
const outputBytes = 4_000

/** Starts a program inside; the caller owns it. Its group is its own: see {@link hangUp}. */
export function spawnInside(
  jail: Jail,
  argv: readonly string[],
  env: Record<string, string>,
  stdio: StdioOptions
): ChildProcess {
  const join = [
    ...['--target', String(jail.pid), '--user', '--mount', '--uts', '--ipc', '--net', '--pid'],
    ...['--preserve-credentials', '--']
  ]
  const child = spawn(nsenterPath, [...join, ...argv], { stdio, env, detached: true, cwd: '/' })
  if (child.pid !== undefined) endFirst(child.pid)
  return child
}

/** Where memory runs out, what an owner runs ends before the slice and its virtual machines (proc(5), oom_score_adj). */
function endFirst(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, '800')
  } catch {
    // It ended already, or this process's own is as high.
  }
}

/** Ends a program that {@link spawnInside} started, with all of its group. */
export function hangUp(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  try {
    process.kill(-child.pid, signal)
  } catch (error: unknown) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

export interface RunOptions {
  readonly env: Record<string, string>
  readonly input?: Uint8Array
  readonly timeoutMs: number
}

/**
 * Runs a program inside to its end. Throws ViolinError `boot-failed` with its last words when it does not
 * exit with 0, or not in time.
 */
export async function runInside(jail: Jail, argv: readonly string[], options: RunOptions): Promise<void> {
  const child = spawnInside(jail, argv, options.env, ['pipe', 'pipe', 'pipe'])
  let said = ''
  const keep = (chunk: Buffer): void => {
    said = (said + chunk.toString()).slice(-outputBytes)
  }
  child.stdout?.on('data', keep)
  child.stderr?.on('data', keep)
  child.stdin?.on('error', () => undefined)
  child.stdin?.end(options.input ?? '')
  const { promise, resolve, reject } = Promise.withResolvers<string | null>()
  const timer = setTimeout(() => resolve(`did not end in ${options.timeoutMs} ms`), options.timeoutMs)
  child.once('error', reject)
  // Not `close`: what it leaves running in the background may hold its pipes.
  child.once('exit', (status, signal) => {
    // What it said last is read after its exit is heard.
    setImmediate(() => resolve(status === 0 ? null : `ended with ${signal ?? `status ${status}`}`))
  })
  void jail.ended.then(() => resolve('its namespaces ended'))
  try {
    const failure = await promise
    if (failure === null) return
    hangUp(child, 'SIGKILL')
    const name = argv.slice(0, 2).join(' ')
    throw new ViolinError(
      'boot-failed',
      `${name} ${failure}: ${lastLines(said)}`,
      'mend the topology file and apply it again'
    )
  } finally {
    clearTimeout(timer)
    child.stdout?.destroy()
    child.stderr?.destroy()
  }
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-3).join(' | ')
}
