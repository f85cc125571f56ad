/**
 * Processes that outlive who started them: known by process id and start time, so that a number that the
 * kernel gave to another is never taken for them.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'

/** Between two looks whether a killed process is gone; nothing tells of the end of what is no child. */
const lookMs = 10
/** A killed process that is not gone by then waits in the kernel. */
const killMs = 10_000

export interface ProcessId {
  readonly pid: number
  /** Clock ticks from boot to its start (proc_pid_stat(5), field 22). */
  readonly startTicks: number
}

/** The process that has this number now; null when there is none. */
export function identify(pid: number): ProcessId | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name, in brackets, may hold anything; a zombie is as good as gone.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? null : { pid, startTicks: Number(fields[19]) }
  } catch (error: unknown) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH') return null
    throw error
  }
}

export function isAlive(id: ProcessId): boolean {
  return identify(id.pid)?.startTicks === id.startTicks
}

/** Resolves with true when it is gone, with false after `timeoutMs`. */
export async function waitGone(id: ProcessId, timeoutMs: number): Promise<boolean> {
  const end = performance.now() + timeoutMs
  while (isAlive(id)) {
    if (performance.now() > end) return false
    await new Promise((resolve) => setTimeout(resolve, lookMs))
  }
  return true
}

/** Kills it, and all in the process namespace that it is the first of; false when it does not go. */
export async function killProcess(id: ProcessId): Promise<boolean> {
  if (!isAlive(id)) return true
  try {
    process.kill(id.pid, 'SIGKILL')
  } catch (error: unknown) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
  return waitGone(id, killMs)
}

/** User ids that processes here have now. */
export function usersInUse(): Set<number> {
  const users = new Set<number>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const uid = statSync(`/proc/${name}`, { throwIfNoEntry: false })?.uid
    if (uid !== undefined) users.add(uid)
  }
  return users
}
