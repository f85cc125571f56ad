/**
 * The processor time and the memory of all slices of a host together. Root holds them to it by control groups of the
 * kernel (cgroup v2, or v1's controllers); elsewhere they are bound to so many processors, rounded up.
 */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { HostId } from '#core/ids.ts'

/** What all slices may take together; null: as much as there is. */
export interface Share {
  readonly cpus: number | null
  readonly memoryMiB: number | null
}

/** The kernel counts time in periods of so many µs. */
const periodUs = 100_000
const root = '/sys/fs/cgroup'
/** Enters the groups before `--` and becomes what is behind: nothing of it runs outside. */
const enter = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit; shift; done; shift; exec "$@"'

/** What is put before the command of a slice; the groups hold those that run already, too. Empty: no limit. */
export function shareOf(host: HostId, { cpus, memoryMiB }: Share): readonly string[] {
  const isRoot = process.getuid?.() === 0
  const timed = isRoot ? limitedGroup(host, timeFiles(cpus), cpus !== null) : null
  const sized = isRoot ? limitedGroup(host, memoryFiles(memoryMiB), memoryMiB !== null) : null
  const groups = [cpus === null ? null : timed, memoryMiB === null ? null : sized].filter(
    (one) => one !== null
  )
  const tasks = [...new Set(groups)].map((group) => join(group, 'cgroup.procs'))
  const entered = tasks.length === 0 ? [] : ['/bin/sh', '-c', enter, 'sh', ...tasks, '--']
  if (cpus === null || timed !== null) return entered
  const last = Math.min(Math.ceil(cpus), availableParallelism()) - 1
  return [...entered, '/usr/bin/taskset', '-c', `0-${last}`]
}

/** Makes the host's group and sets its limit; null where the kernel or its set-up has none that can be written. */
function limitedGroup(
  host: HostId,
  files: readonly (readonly [string, string, string])[],
  isLimited: boolean
): string | null {
  const name = `violin-${host.slice(-12)}`
  for (const [parent, file, value] of files) {
    const group = join(root, parent, name)
    // Without a limit a group that was made before is set free, and none is made.
    if (!isLimited && !existsSync(group)) continue
    const isNew = !existsSync(group)
    try {
      if (isNew) mkdirSync(group)
      // The kernel fills a group; without the file it is in no hierarchy with this controller.
      if (existsSync(join(group, file))) {
        writeFileSync(join(group, file), value)
        return group
      }
      if (isNew) rmdirSync(group)
    } catch (error: unknown) {
      // What is there takes more than the new limit: the former one holds until it is gone.
      if ((error as NodeJS.ErrnoException).code === 'EBUSY') return group
      // Read-only, or this hierarchy has no such controller: the next one.
    }
  }
  return null
}

function timeFiles(cpus: number | null): readonly (readonly [string, string, string])[] {
  const quotaUs = cpus === null ? null : Math.round(cpus * periodUs)
  return [
    ['', 'cpu.max', `${quotaUs ?? 'max'} ${periodUs}`],
    ['cpu', 'cpu.cfs_quota_us', String(quotaUs ?? -1)]
  ]
}

function memoryFiles(memoryMiB: number | null): readonly (readonly [string, string, string])[] {
  const bytes = memoryMiB === null ? null : String(memoryMiB * 1024 * 1024)
  return [
    ['', 'memory.max', bytes ?? 'max'],
    ['memory', 'memory.limit_in_bytes', bytes ?? '-1']
  ]
}
