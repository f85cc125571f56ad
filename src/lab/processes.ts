/**
 * Processes of overlay hosts: found by their network namespace or by what of a host's folder they have
 * mounted, never by name; known by number and start time, so that a number used again is not mistaken.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Between two looks whether processes are gone: nothing tells of the end of what is no child. */
const lookMs = 5
/** What SIGKILL has not ended by then waits in the kernel. */
const goneMs = 10_000

export interface ProcessId {
  readonly pid: number
  /** Clock ticks from boot to its start (proc_pid_stat(5), field 22). */
  readonly startTicks: number
}

/** The process that has this number now; null when there is none, or only a zombie. */
export function identify(pid: number): ProcessId | null {
  const stat = readProc(pid, 'stat')
  if (stat === null) return null
  // The name, in brackets, may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' ? null : { pid, startTicks: Number(fields[19]) }
}

export function isAlive({ pid, startTicks }: ProcessId): boolean {
  return identify(pid)?.startTicks === startTicks
}

/** Arguments of a process; empty when it is gone. */
export function argumentsOf(pid: number): string[] {
  return (readProc(pid, 'cmdline') ?? '').split('\0').slice(0, -1)
}

/** What belongs to something: a network namespace (its path), or a part of a path that is mounted. */
export interface Territory {
  readonly namespacePath: string
  /** Part of a folder's path that is nowhere else, with a slash at its end. */
  readonly mounted: string
}

/** All processes in a territory, other than this one. */
export function processesIn({ namespacePath, mounted }: Territory): ProcessId[] {
  const inode = statSync(namespacePath, { throwIfNoEntry: false })?.ino
  const found: ProcessId[] = []
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    if (
      !(inode !== undefined && namespaceOf(pid) === inode) &&
      !(readProc(pid, 'mountinfo') ?? '').includes(mounted)
    )
      continue
    const id = identify(pid)
    if (id !== null) found.push(id)
  }
  return found
}

/** The control groups to which daemons in a territory hold their slices (daemon/slices/share.ts). */
export function shareGroupsIn(territory: Territory): ReadonlySet<string> {
  const groups = new Set<string>()
  for (const { pid } of processesIn(territory)) {
    // A line each: `4:memory:/violin-…`, or `0::/violin-…` in the one hierarchy of version 2.
    for (const line of (readProc(pid, 'cgroup') ?? '').split('\n')) {
      const [, controllers, group] = /^\d+:([^:]*):(\/violin-[^/]+)$/.exec(line) ?? []
      if (controllers !== undefined && group !== undefined)
        groups.add(join('/sys/fs/cgroup', controllers, group))
    }
  }
  return groups
}

/** Ends all in a territory with SIGKILL, what they start meanwhile too. Throws when some stay. */
export async function killAllIn(territory: Territory): Promise<void> {
  const end = performance.now() + goneMs
  for (let left = processesIn(territory); left.length > 0; left = processesIn(territory)) {
    if (performance.now() > end)
      throw new Error(`processes ${left.map(({ pid }) => pid).join(', ')} do not end`)
    for (const id of left) kill(id, 'SIGKILL')
    await pause(lookMs)
  }
}

/** Resolves when they are gone; false after `timeoutMs`. */
export async function waitGone(ids: readonly ProcessId[], timeoutMs: number = goneMs): Promise<boolean> {
  const end = performance.now() + timeoutMs
  while (ids.some(isAlive)) {
    if (performance.now() > end) return false
    await pause(lookMs)
  }
  return true
}

/** Sends a signal to a process if it still is the one that was meant. */
export function kill(id: ProcessId, signal: NodeJS.Signals): void {
  if (!isAlive(id)) return
  try {
    process.kill(id.pid, signal)
  } catch (error: unknown) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function namespaceOf(pid: number): number | null {
  try {
    return statSync(`/proc/${pid}/ns/net`).ino
  } catch (error: unknown) {
    return gone(error)
  }
}

function readProc(pid: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1')
  } catch (error: unknown) {
    return gone(error)
  }
}

/** Of a process that ended between two looks there is nothing to read; some of others is not for us. */
function gone(error: unknown): null {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'EPERM' || code === 'EINVAL')
    return null
  throw error
}
