/**
 * The processor time of all slices of a host together. Root holds them to it exactly by a control group of the
 * kernel (cgroup v2's cpu.max, or v1's quota); elsewhere they are bound to so many processors, rounded up.
 */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { HostId } from '#core/ids.ts'

/** The kernel counts time in periods of so many µs. */
const periodUs = 100_000
const root = '/sys/fs/cgroup'

/** What is put before the command of a slice; the group holds those that run already, too. Empty: no limit. */
export function shareOf(host: HostId, cpus: number | null): readonly string[] {
  const group = process.getuid?.() === 0 ? limitedGroup(host, cpus) : null
  if (cpus === null) return []
  // The shell enters the group and becomes the slice: nothing of it runs outside.
  if (group !== null) return ['/bin/sh', '-c', 'echo $$ > "$0" && exec "$@"', join(group, 'cgroup.procs')]
  const last = Math.min(Math.ceil(cpus), availableParallelism()) - 1
  return ['/usr/bin/taskset', '-c', `0-${last}`]
}

/** Makes the host's group and sets its limit; null where the kernel or its set-up has none that can be written. */
function limitedGroup(host: HostId, cpus: number | null): string | null {
  const name = `violin-${host.slice(-12)}`
  for (const [parent, file, value] of controllers(cpus)) {
    const group = join(root, parent, name)
    // Without a limit a group that was made before is set free, and none is made.
    if (cpus === null && !existsSync(group)) continue
    try {
      if (!existsSync(group)) mkdirSync(group)
      // The kernel fills a group; a folder that stays empty is in no hierarchy with this controller.
      if (existsSync(join(group, file))) {
        writeFileSync(join(group, file), value)
        return group
      }
      rmdirSync(group)
    } catch {
      // Read-only, or this hierarchy has no such controller: the next one.
    }
  }
  return null
}

function controllers(cpus: number | null): readonly (readonly [string, string, string])[] {
  const quotaUs = cpus === null ? null : Math.round(cpus * periodUs)
  return [
    ['', 'cpu.max', `${quotaUs ?? 'max'} ${periodUs}`],
    ['cpu', 'cpu.cfs_quota_us', String(quotaUs ?? -1)]
  ]
}
