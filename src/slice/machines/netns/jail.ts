/**
 * The jail that is a namespace entity: bubblewrap with every namespace of its own, a root of busybox in a
 * tmpfs, or one of an image: what is below /usr is the image's, the rest a copy in the tmpfs. Two small processes each: bubblewrap's reaper, and a `cat` that ends with this process's pipe.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { closeSync, constants, openSync, readdirSync, readlinkSync } from 'node:fs'
import { mkdir, rename, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { ViolinError } from '#core/errors.ts'
import { busyboxCommands, busyboxPath } from '#images/busybox.ts'
import { toolsFolder } from '#images/layout.ts'

const bwrapPath = '/usr/bin/bwrap'
/** A jail that is not up by then never will be. */
const startMs = 20_000
/** Bytes kept of what bubblewrap says about a failure. */
const complaintBytes = 2_000
/** What an entity may lay into its files at most: all of them are in memory. */
const filesShare = 0.5

/** Where the image is while its own parts are copied. */
const imageInside = '/.image'
/** Folders at an image's top that are not copied. */
const apart: ReadonlySet<string> = new Set(['usr', 'proc', 'sys', 'dev', 'run', 'tmp'])

type Init = ChildProcessByStdio<Writable, Readable, Readable>

export interface Jail {
  /** Its first process, as this process's namespace numbers it. */
  readonly pid: number
  /** Open network namespace, and the root of its devpts; closed when the jail ended. */
  readonly network: number
  readonly terminals: number
  /** Where it has busybox's commands. */
  readonly tools: string
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
  /** Tree of the image; null: busybox alone. */
  readonly image: string | null
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
    const tools = options.image === null ? '/bin' : `/${toolsFolder}`
    return { pid, network, terminals, tools, ended: closed, kill: () => exited || killPid(pid) }
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
  const commands = await busyboxCommands()
  const staging = `${target}.new`
  await rm(staging, { recursive: true, force: true })
  await mkdir(staging, { recursive: true, mode: 0o755 })
  for (const name of [...commands, 'busybox']) await symlink(busyboxPath, join(staging, name))
  await rm(target, { recursive: true, force: true })
  await rename(staging, target)
  return target
}

function jailArguments(options: JailOptions): string[] {
  const bytes = Math.max(1, Math.floor(options.memoryMiB * filesShare)) * 2 ** 20
  return [
    ['--unshare-all', '--unshare-user', '--uid', '0', '--gid', '0', '--cap-add', 'ALL'],
    ['--die-with-parent', '--new-session', '--hostname', options.hostname, '--info-fd', '3'],
    ['--size', String(bytes), '--tmpfs', '/', '--proc', '/proc', '--dev', '/dev', '--dir', '/run'],
    ['--perms', '1777', '--dir', '/tmp', '--chdir', '/'],
    options.image === null ? tinyRoot(options.tools) : imageRoot(options.image)
  ].flat()
}

/** The root of busybox, and the first process in it. */
function tinyRoot(tools: string): string[] {
  return [
    // Parents that bubblewrap makes by itself are closed to others.
    ['--dir', '/usr', '--dir', '/usr/bin', '--ro-bind', busyboxPath, busyboxPath],
    ['--ro-bind', tools, '/bin', '--symlink', 'bin', '/sbin'],
    [
      '--dir',
      '/etc',
      '--dir',
      '/root',
      '--dir',
      '/var',
      '--dir',
      '/var/log',
      '--symlink',
      '/run',
      '/var/run'
    ],
    ['--', '/bin/sh', '-c', 'echo up; exec cat > /dev/null']
  ].flat()
}

/**
 * The root of an image. What is below /usr is shown as it is, but for /usr/local; the rest is copied, so that it
 * is the entity's own. (An overlay would need a user for each owner of the image's files, and there is one.)
 */
function imageRoot(image: string): string[] {
  const [top, usr] = [image, join(image, 'usr')].map((path) => readdirSync(path, { withFileTypes: true }))
  const links = (top ?? []).filter((found) => found.isSymbolicLink())
  const copied = (top ?? []).filter((found) => found.isDirectory() && !apart.has(found.name))
  const shown = (usr ?? []).filter(({ name }) => name !== 'local')
  const script = [
    `umask 022 && ${busyboxPath} cp -dR "$@" /`,
    `${busyboxPath} umount ${imageInside}`,
    `${busyboxPath} rmdir ${imageInside}`,
    'echo up',
    `exec ${busyboxPath} cat > /dev/null`
  ]
  return [
    ['--dir', '/usr', '--dir', '/usr/local'],
    ...shown.map(({ name }) => ['--ro-bind', join(image, 'usr', name), `/usr/${name}`]),
    ...links.map(({ name }) => ['--symlink', readlinkSync(join(image, name)), `/${name}`]),
    ['--dir', imageInside, '--ro-bind', image, imageInside],
    ['--', busyboxPath, 'sh', '-c', script.join(' && '), 'sh'],
    copied.map(({ name }) => `${imageInside}/${name}`)
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
