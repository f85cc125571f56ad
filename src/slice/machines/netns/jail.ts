/**
 * The jail that is a namespace entity: bubblewrap with every namespace of its own, a root of busybox in a
 * tmpfs. Two small processes each: bubblewrap's reaper, and a `cat` that ends with this process's pipe.
 */
import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { mkdir, rename, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { promisify } from 'node:util'
import { ViolinError } from '#core/errors.ts'

const bwrapPath = '/usr/bin/bwrap'
export const busyboxPath = '/usr/bin/busybox'
/** A jail that is not up by then never will be. */
const startMs = 20_000
/** Bytes kept of what bubblewrap says about a failure. */
const complaintBytes = 2_000
/** What an entity may lay into its files at most: all of them are in memory. */
const filesShare = 0.5

type Init = ChildProcessByStdio<Writable, Readable, Readable>

export interface Jail {
  /** Its first process, as this process's namespace numbers it. */
  readonly pid: number
  /** Open network namespace, and the root of its devpts; closed when the jail ended. */
  readonly network: number
  readonly terminals: number
  /** Resolves when every process in it is gone. */
  readonly ended: Promise<void>
  /** Ends all in it at once. */
  kill(): void
}

export interface JailOptions {
  readonly hostname: string
  readonly memoryMiB: number
  /** Folder of links for /bin, see {@link makeTools}. */
  readonly tools: string
}

/** Starts a jail and waits until its root stands. Throws ViolinError `boot-failed`, `tool-missing`. */
export async function startJail(options: JailOptions): Promise<Jail> {
  const init = spawn(bwrapPath, jailArguments(options), {
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    env: {},
    cwd: '/'
  }) as unknown as Init
  let exited = false
  const ended = new Promise<void>((resolve) => {
    const end = (): void => {
      exited = true
      resolve()
    }
    init.once('exit', end)
    init.once('error', end)
  })
  init.stdin.on('error', () => undefined)
  try {
    const pid = await firstProcess(init)
    const network = openSync(`/proc/${pid}/ns/net`, 'r')
    const terminals = openSync(`/proc/${pid}/root/dev/pts`, constants.O_RDONLY | constants.O_DIRECTORY)
    const closed = ended.then(() => closeAll(network, terminals))
    return { pid, network, terminals, ended: closed, kill: () => exited || killPid(pid) }
  } catch (error: unknown) {
    init.kill('SIGKILL')
    await ended
    throw error
  }
}

/**
 * Makes a folder of links to busybox, one for each of its commands, which all entities of a slice share as
 * their /bin; gives its path.
 */
export async function makeTools(folder: string): Promise<string> {
  const target = join(folder, '.bin')
  const { stdout } = await promisify(execFile)(busyboxPath, ['--list']).catch((error: unknown) => {
    throw new ViolinError('tool-missing', `${busyboxPath} does not run`, 'apt-get install busybox-static', {
      cause: error
    })
  })
  const staging = `${target}.new`
  await rm(staging, { recursive: true, force: true })
  await mkdir(staging, { recursive: true, mode: 0o755 })
  for (const name of stdout.split('\n'))
    if (/^[\w[.-]+$/.test(name)) await symlink(busyboxPath, join(staging, name))
  await rm(target, { recursive: true, force: true })
  await rename(staging, target)
  return target
}

function jailArguments(options: JailOptions): string[] {
  const bytes = Math.max(1, Math.floor(options.memoryMiB * filesShare)) * 2 ** 20
  return [
    ['--unshare-all', '--unshare-user', '--uid', '0', '--gid', '0', '--cap-add', 'ALL'],
    ['--die-with-parent', '--new-session', '--hostname', options.hostname, '--info-fd', '3'],
    ['--size', String(bytes), '--tmpfs', '/'],
    // Parents that bubblewrap makes by itself are closed to others.
    ['--dir', '/usr', '--dir', '/usr/bin', '--ro-bind', busyboxPath, busyboxPath],
    ['--ro-bind', options.tools, '/bin', '--symlink', 'bin', '/sbin', '--proc', '/proc', '--dev', '/dev'],
    ['--dir', '/etc', '--dir', '/root', '--dir', '/run', '--dir', '/var', '--dir', '/var/log'],
    ['--symlink', '/run', '/var/run', '--perms', '1777', '--dir', '/tmp', '--chdir', '/'],
    ['--', '/bin/sh', '-c', 'echo up; exec cat > /dev/null']
  ].flat()
}

/** Waits for the process id that bubblewrap tells and for the first word from inside. */
async function firstProcess(init: Init): Promise<number> {
  let info = ''
  let complaint = ''
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const fail = (why: string, cause?: unknown): void =>
    reject(new ViolinError('boot-failed', `no namespaces: ${why}`, 'run `violin doctor`', { cause }))
  const timer = setTimeout(() => fail(`bubblewrap did not answer in ${startMs} ms`), startMs)
  // The word and the number come by different pipes, in either order.
  let up = false
  const look = (): void => {
    const pid = /"child-pid": (\d+)/.exec(info)?.[1]
    if (up && pid !== undefined) resolve(Number(pid))
  }
  const told = init.stdio[3] as unknown as Readable
  told.on('data', (chunk: Buffer) => {
    info += chunk.toString()
    look()
  })
  init.stderr.on('data', (chunk: Buffer) => {
    if (complaint.length < complaintBytes) complaint += chunk.toString()
  })
  init.stdout.on('data', () => {
    up = true
    look()
  })
  init.once('error', (error) => fail(`${bwrapPath}: ${error.message}`, error))
  init.once('close', () => fail(complaint.trim().split('\n')[0] ?? 'bubblewrap ended'))
  return promise.finally(() => clearTimeout(timer))
}

function closeAll(...fds: number[]): void {
  for (const fd of fds) closeSync(fd)
}

function killPid(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL')
  } catch (error: unknown) {
    // Gone between its end and our hearing of it.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}
