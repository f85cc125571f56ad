/**
 * Starting the process of a slice: its folders, its jail, and the record by which it is found again.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, chown, mkdir, open, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import * as z from 'zod'
import { ViolinError } from '#core/errors.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import { type SliceEvent, sliceFiles, type SliceStart } from '#slice/contract.ts'
import { bwrapPath, inside, sliceJail, type SliceProgram } from './jail.ts'
import { identify, killProcess, type ProcessId } from './process.ts'

/** A slice serves within a second; on a machine that is busy with others' boots it takes longer. */
const startMs = 30_000
/** What is shown of the log of one that did not start. */
const logTailBytes = 1_200
/** Longest path of a socket (unix(7)), without its NUL. */
const maxSocketPath = 107
const recordName = 'jail.json'

/** What is kept of a running slice. */
export interface JailRecord extends ProcessId {
  readonly violin: string
  /** The slice's own user id; null: that of the daemon which started it. */
  readonly user: number | null
}

const jailRecord = z.strictObject({
  violin: z.string().regex(/^[0-9a-f]{64}$/),
  pid: z.int().positive(),
  startTicks: z.int().nonnegative(),
  user: z.int().positive().nullable()
})

export interface SliceOptions {
  readonly violin: ViolinId
  /** Folder of all slices. */
  readonly folder: string
  readonly self: HostId
  readonly ports: SliceStart['ports']
  readonly images: string
  readonly generation: number
  readonly share: readonly string[]
  /** The TAP of a door of this host that its slice asks for; null: what it asks for is no door. */
  readonly door: (wanted: Extract<SliceEvent, { kind: 'tap-wanted' }>) => Promise<number> | null
  readonly program: SliceProgram
  readonly log: (message: string, fields: Record<string, unknown>) => void
}

/** Paths of a slice on the host; the name is short, since a socket's path is. */
export function pathsOf(options: Pick<SliceOptions, 'folder' | 'violin'>): {
  readonly home: string
  readonly run: string
  readonly control: string
  readonly record: string
} {
  const home = join(options.folder, options.violin.slice(0, 16))
  const run = join(home, 'run')
  return { home, run, control: join(run, sliceFiles.control), record: join(home, recordName) }
}

/** Makes the empty folders of a slice; its own belongs to `user`. Throws ViolinError `too-large`. */
export async function makeFolders(options: SliceOptions, user: number | null): Promise<void> {
  const { home, run, control } = pathsOf(options)
  if (Buffer.byteLength(control) > maxSocketPath)
    throw new ViolinError(
      'too-large',
      `${control} is too long for a socket`,
      'use a folder with a shorter path (--dir)'
    )
  await mkdir(home, { recursive: true, mode: 0o700 })
  await mkdir(join(home, 'daemon'))
  await chmod(join(home, 'daemon'), 0o755)
  await mkdir(run, { mode: 0o700 })
  if (user !== null) await chown(run, user, user)
}

/** Starts a slice's jail in its folders and waits until it serves. Throws ViolinError `boot-failed`. */
export async function spawnJail(options: SliceOptions, user: number | null): Promise<JailRecord> {
  const { home, run, record } = pathsOf(options)
  const { violin, self, ports, images, program } = options
  const start: SliceStart = {
    violin,
    self,
    folder: inside.folder,
    ports,
    images: inside.images,
    ...(user === null ? {} : { daemon: inside.daemon })
  }
  if (user !== null) await checkReadable(join(program.root, program.main))
  const logPath = join(home, sliceFiles.log)
  const log = await open(logPath, 'a', 0o600)
  try {
    const daemon = join(home, 'daemon')
    const args = sliceJail({ folder: run, daemon, images, start, user, program })
    // Detached: it outlives this daemon, and its terminal's signals are not for it.
    const [command, ...rest] = [...options.share, bwrapPath, ...args] as [string, ...string[]]
    const child = spawn(command, rest, {
      detached: true,
      stdio: ['ignore', 'pipe', log.fd, 'pipe'],
      cwd: '/'
    })
    const jail = { violin, user, ...(await serving(child, logPath)) }
    await writeFile(`${record}.new`, JSON.stringify(jail), { mode: 0o600 })
    await rename(`${record}.new`, record)
    return jail
  } finally {
    await log.close()
  }
}

/** The folders above do not matter: root shows the file itself to the jail. */
async function checkReadable(path: string): Promise<void> {
  const { mode } = await stat(path)
  if ((mode & 0o004) !== 0) return
  const folder = dirname(path)
  throw new ViolinError(
    'boot-failed',
    `${path} is not readable by the user of a slice`,
    `chmod -R go+rX ${folder}`
  )
}

/** Waits until the slice says that it serves; gives its jail's first process. */
async function serving(child: ChildProcess, logPath: string): Promise<ProcessId> {
  const stdout = child.stdout as Readable
  const told = child.stdio[3] as Readable
  const { promise, resolve, reject } = Promise.withResolvers<ProcessId>()
  const fail = async (why: string): Promise<void> => {
    const text = await readFile(logPath, 'utf8').catch(() => '')
    reject(
      new ViolinError(
        'boot-failed',
        `a slice did not start: ${why} ${text.slice(-logTailBytes).trim()}`,
        'run `violin doctor`'
      )
    )
  }
  const timer = setTimeout(() => void fail(`not ready in ${startMs} ms`), startMs)
  child.once('error', (error) => void fail(error.message))
  child.once('exit', (status, signal) => void fail(`it ended (${signal ?? status})`))
  // The word and the number come by different pipes, in either order.
  let info = ''
  let up = false
  const look = (): void => {
    const pid = /"child-pid": (\d+)/.exec(info)?.[1]
    if (!up || pid === undefined) return
    const id = identify(Number(pid))
    if (id !== null) resolve(id)
  }
  told.on('data', (chunk: Buffer) => {
    info += chunk.toString()
    look()
  })
  stdout.once('data', () => {
    up = true
    look()
  })
  try {
    return await promise
  } catch (error: unknown) {
    child.kill('SIGKILL')
    const id = identify(Number(/"child-pid": (\d+)/.exec(info)?.[1] ?? 0))
    if (id !== null) await killProcess(id)
    throw error
  } finally {
    clearTimeout(timer)
    stdout.destroy()
    told.destroy()
    child.unref()
  }
}

/** The record in a slice's folder; null when there is none, or half of one. */
export async function readJail(home: string): Promise<JailRecord | null> {
  const text = await readFile(join(home, recordName), 'utf8').catch(() => null)
  if (text === null) return null
  try {
    return jailRecord.safeParse(JSON.parse(text)).data ?? null
  } catch (error: unknown) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}
