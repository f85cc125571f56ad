/**
 * User-Mode Linux machines for tests: Debian's kernel, an initrd of busybox with modules and one script, and
 * devices that connect to sockets in a folder of the test's own.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ArchiveEntry, newcArchive, parentFolders } from '#images/newc.ts'

const modulesRoot = '/usr/lib/uml/modules'
/** A machine boots in 1.5 s; a busy host takes longer. */
const bootMs = 60_000

/** Loads what vNICs and consoles need; `script` runs after, as /init. */
const prelude = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in failover net_failover virtio_net virtio_console; do insmod /$module.ko; done
`

export interface MachineOptions {
  readonly script: string
  /** virtio_uml.device= of each device: path and number of the kind. */
  readonly devices: readonly string[]
  readonly memoryMiB?: number
  /** More for the initrd. */
  readonly files?: readonly ArchiveEntry[]
}

/** Everything that one test boots; ends all of it. */
export class Machines implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'violin-vhost-'))
  readonly #children: { child: ChildProcess; ended: Promise<void> }[] = []
  /** However the process ends, its machines go with it. */
  readonly #atExit = (): void => this.#remove()
  readonly #atSignal = (): void => process.exit(1)

  constructor() {
    process.once('exit', this.#atExit)
    process.once('SIGTERM', this.#atSignal)
    process.once('SIGINT', this.#atSignal)
  }

  /** Boots a machine. Its console's lines are waited for by {@link Machine.line}. */
  boot(options: MachineOptions): Machine {
    const number = this.#children.length
    const initrd = join(this.folder, `initrd${number}`)
    writeFileSync(initrd, initialFiles(options))
    const jail = ['--dev-bind', '/', '/', '--proc', '/proc', '--unshare-pid', '--die-with-parent', '--']
    const kernel = [
      `mem=${options.memoryMiB ?? 64}M`,
      `initrd=${initrd}`,
      'con=null',
      'con0=null,fd:1',
      'quiet'
    ]
    const names = ['panic=-1', `uml_dir=${this.folder}`, `umid=m${number}`]
    const devices = options.devices.map((device) => `virtio_uml.device=${device}`)
    const argv = [...jail, 'setarch', '-R', 'linux.uml', ...kernel, ...names, ...devices]
    const child = spawn('bwrap', argv, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: '/usr/bin:/bin', TMPDIR: '/dev/shm' }
    })
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
    this.#children.push({ child, ended })
    return new Machine(child, ended)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#kill()
    await Promise.all(this.#children.map(({ ended }) => ended))
    process.removeListener('exit', this.#atExit)
    process.removeListener('SIGTERM', this.#atSignal)
    process.removeListener('SIGINT', this.#atSignal)
    this.#remove()
  }

  #remove(): void {
    this.#kill()
    rmSync(this.folder, { recursive: true, force: true })
  }

  #kill(): void {
    for (const { child } of this.#children) child.kill('SIGKILL')
  }
}

export class Machine {
  readonly ended: Promise<void>
  readonly #child: ChildProcess
  #console = ''
  readonly #looks = new Set<() => void>()

  constructor(child: ChildProcess, ended: Promise<void>) {
    this.#child = child
    this.ended = ended
    // Else a test that waits for its bytes would never say why they do not come.
    child.once('exit', (status, signal) => {
      if (signal !== 'SIGKILL' && status !== 0 && !child.killed)
        process.stderr.write(`machine ended by itself (${signal ?? status}); console:\n${this.#console}\n`)
    })
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        this.#console += chunk.toString('latin1')
        for (const look of this.#looks) look()
      })
  }

  /** The console so far. */
  get console(): string {
    return this.#console
  }

  /** Ends it as a power cut does. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** Resolves with the first match in the console; throws when the machine ends without, or in a minute. */
  async line(pattern: RegExp): Promise<RegExpExecArray> {
    const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>()
    const look = (): void => {
      const match = pattern.exec(this.#console)
      if (match !== null) resolve(match)
    }
    const fail = (why: string): void =>
      reject(new Error(`${why} without ${pattern}; console:\n${this.#console}`))
    const timer = setTimeout(() => fail(`${bootMs} ms`), bootMs)
    void this.ended.then(() => fail('ended'))
    this.#looks.add(look)
    look()
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#looks.delete(look)
    }
  }
}

function initialFiles({ script, files = [] }: MachineOptions): Uint8Array {
  const version = readdirSync(modulesRoot)[0] ?? ''
  const kernel = join(modulesRoot, version, 'kernel')
  const modules = [
    'net/core/failover',
    'drivers/net/net_failover',
    'drivers/net/virtio_net',
    'drivers/char/virtio_console'
  ]
  return newcArchive([
    ...['bin', 'dev', 'proc', 'sys', 'tmp'].map((path): ArchiveEntry => ({
      kind: 'folder',
      path,
      mode: 0o755
    })),
    { kind: 'character', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    file('bin/busybox', readFileSync('/usr/bin/busybox')),
    ...modules.map((path) => file(`${path.split('/').at(-1)}.ko`, readFileSync(join(kernel, `${path}.ko`)))),
    file('init', Buffer.from(prelude + script)),
    ...files
  ])
}

/** A file for an initrd, executable. */
export function file(path: string, data: Uint8Array): ArchiveEntry {
  return { kind: 'file', path, mode: 0o755, data }
}

/** A program of this host and its libraries, with the folders above them. */
export function programFiles(paths: readonly string[]): ArchiveEntry[] {
  const folders = new Set(paths.flatMap((path) => parentFolders(path.slice(1))))
  folders.delete('bin')
  return [
    ...Array.from(folders, (path): ArchiveEntry => ({ kind: 'folder', path, mode: 0o755 })),
    ...paths.map((path) => file(path.slice(1), readFileSync(path)))
  ]
}
