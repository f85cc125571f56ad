/** What something costs overlay hosts: bytes that they put on the underlay, and processor time by who took it. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import type { Lab } from '#lab/lab.ts'

export interface Cost {
  /** In which it was spent. */
  readonly elapsedS: number
  readonly bytes: number
  /** Seconds of daemons; of slices with all that runs in their entities; of the application. */
  readonly daemonsS: number
  readonly slicesS: number
  readonly applicationS: number
}

/** Gives what was spent since it began. `application`: its processes. */
export function costOf(lab: Lab, application: readonly number[]): () => Cost {
  const own = new Set(application)
  const daemons = new Set(lab.hosts.flatMap((host) => host.daemonProcesses().map(({ pid }) => pid)))
  const all = new Set([...lab.hosts.flatMap((host) => host.processes().map(({ pid }) => pid)), ...own])
  const slices = [...all].filter((pid) => !own.has(pid) && !daemons.has(pid))
  const now = (): Cost => ({
    elapsedS: performance.now() / 1_000,
    bytes: lab.hosts.reduce((sum, { namespace }) => sum + sentBytes(namespace), 0),
    daemonsS: secondsOf([...daemons]),
    slicesS: secondsOf(slices),
    applicationS: secondsOf(application)
  })
  const begin = now()
  return () => {
    const end = now()
    return {
      elapsedS: end.elapsedS - begin.elapsedS,
      bytes: end.bytes - begin.bytes,
      daemonsS: end.daemonsS - begin.daemonsS,
      slicesS: end.slicesS - begin.slicesS,
      applicationS: end.applicationS - begin.applicationS
    }
  }
}

function sentBytes(namespace: string): number {
  const text = execFileSync('/usr/sbin/ip', ['-n', namespace, '-j', '-s', 'link', 'show', 'dev', 'eth0'])
  const [link] = JSON.parse(text.toString()) as [
    { readonly stats64: { readonly tx: { readonly bytes: number } } }
  ]
  return link.stats64.tx.bytes
}

/** Time that all threads of these processes ran, by the scheduler's own count, which has no ticks. */
function secondsOf(pids: readonly number[]): number {
  let nanoseconds = 0
  for (const pid of pids)
    for (const thread of threadsOf(pid)) {
      const text = read(`/proc/${pid}/task/${thread}/schedstat`)
      nanoseconds += Number(text?.split(' ')[0] ?? 0)
    }
  return nanoseconds / 1e9
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch (error: unknown) {
    return gone(error, [])
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error: unknown) {
    return gone(error, null)
  }
}

/** A process that ended meanwhile took nothing that could be read any more. */
function gone<T>(error: unknown, value: T): T {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ESRCH') return value
  throw error
}
