/**
 * One User-Mode Linux process in its jail. UML is no security boundary by itself: a guest's root may become
 * the process that is its kernel. So the jail has nothing but linux.uml, the C library, the initrd, the image and the
 * sockets of its vNICs, all read-only, and one tmpfs with a limit for the guest's memory.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Readable } from 'node:stream'
import { ViolinError } from '#core/errors.ts'
import { commandKernel } from './mconsole.ts'

/** What runs in the jail, and what stands in it. */
export interface JailOptions {
  readonly initrd: string
  /** Tree of the image that its root is made of; null: the initrd is all. */
  readonly image: string | null
  /** Folder of the sockets that UML connects to, seen inside as {@link jailSockets}. */
  readonly sockets: string
  readonly memoryMiB: number
  /** Devices and all else on the kernel's command line. */
  readonly kernelArguments: readonly string[]
}

export interface Jail {
  /** Resolves when all processes in it are gone, with what is to be said about that. */
  readonly ended: Promise<string>
  /** The last lines of the console, joined to one. */
  lastLines(): string
  /** Gives the kernel a command of its management console; false when that cannot be reached. */
  command(text: string): boolean
  /** Ends everything in it at once. */
  kill(): void
}

/** Where UML finds its sockets. */
export const jailSockets = '/s'

const umlPath = '/usr/bin/linux.uml'
const loaderPath = '/lib64/ld-linux-x86-64.so.2'
const libcPath = '/lib/x86_64-linux-gnu/libc.so.6'
const initrdInside = '/initrd'
const modulesPath = '/usr/lib/uml/modules'
/** VMs yield to what forwards and to what people do on the host. */
const niceness = 10
/**
 * What Debian's kernel does at boot and a guest without disks never needs: measuring RAID algorithms takes
 * 0.9 s of a boot of 1.1 s, and the file systems that would use them another tenth.
 */
const skippedInit = 'raid6_select_algo calibrate_xor_blocks init_btrfs_fs init_xfs_fs init_jfs_fs'.split(' ')
/** On top of the guest's memory in the jail's tmpfs: UML's stub pages, its pid file and mconsole. */
const tmpfsSlackMiB = 32
/** Kept of the console, characters: enough for a panic's first line and its trace. */
const keptConsole = 8_192
/** Lines of the console in a reason. */
const reasonLines = 4
const longestLine = 160

/** Starts a machine; it dies with the calling *thread*, which must be the process's main one. */
export function startJail(options: JailOptions): Jail {
  const argv = ['-n', String(niceness), 'setarch', '-R', 'bwrap', ...jailArguments(options)]
  const child = spawn('nice', argv, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/bin:/bin' },
    cwd: '/'
  })
  let console = ''
  // Read to the end whatever happens: a full pipe would stop the guest's kernel at its next word.
  for (const output of [child.stdout, child.stderr] as Readable[])
    output.on('data', (chunk: Buffer) => (console = (console + chunk.toString('latin1')).slice(-keptConsole)))
  return {
    ended: ending(child),
    lastLines: () => lastLines(console),
    command: (text) => child.pid !== undefined && commandKernel(child.pid, text),
    // With its parent the first process of the pid namespace dies, and with that all others.
    kill: () => void child.kill('SIGKILL')
  }
}

/** `close` comes when the last process that held the console is gone, not only bubblewrap's first. */
function ending(child: ChildProcess): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  child.once('error', (error) => resolve(`it could not be started: ${error.message}`))
  child.once('close', (status, signal) =>
    resolve(signal === null ? `it ended with status ${status}` : `it ended by ${signal}`)
  )
  return promise
}

function jailArguments({ initrd, image, sockets, memoryMiB, kernelArguments }: JailOptions): string[] {
  const bind = (source: string, target: string): string[] => ['--ro-bind', source, target]
  return [
    ['--unshare-all', '--cap-drop', 'ALL', '--die-with-parent', '--new-session', '--hostname', 'uml'],
    [umlPath, loaderPath, libcPath].flatMap((path) => bind(realpath(path), path)),
    ['--size', String((memoryMiB + tmpfsSlackMiB) * 2 ** 20), '--tmpfs', '/tmp'],
    [...bind(initrd, initrdInside), ...bind(sockets, jailSockets)],
    // What src/guest/root mounts by hostfs: the image with its manifest, and the kernel's modules.
    image === null ? [] : [...bind(dirname(image), '/image'), ...bind(realpath(modulesPath), '/modules')],
    ['--dev-bind', '/dev/null', '/dev/null', '--dev-bind', '/dev/urandom', '/dev/urandom'],
    // bubblewrap's own root is a tmpfs without a limit.
    ['--remount-ro', '/', '--chdir', '/tmp', '--clearenv', '--setenv', 'TMPDIR', '/tmp'],
    ['--', umlPath, `mem=${memoryMiB}M`, `initrd=${initrdInside}`, 'uml_dir=/tmp', 'umid=vm'],
    ['con=null', 'con0=null,fd:1', 'ssl=null', 'quiet', 'panic=-1'],
    // Each device that appears costs a thread for /sbin/hotplug. 512 terminals of the old kind at once took all
    // that the kernel has, and one boot in ten could not fork its first process.
    ['pty.legacy_count=0', `initcall_blacklist=${skippedInit.join(',')}`],
    // Without a root device the first file system is a tmpfs, which takes half of the memory and then says so;
    // else it is a ramfs, and a large file ends the machine.
    ['root='],
    image === null ? [] : ['rdinit=/lib/violin/root'],
    kernelArguments
  ].flat()
}

function realpath(path: string): string {
  try {
    return realpathSync(path)
  } catch (error: unknown) {
    throw new ViolinError('tool-missing', `${path} is not there`, 'apt-get install user-mode-linux', {
      cause: error
    })
  }
}

/** What a person wants of a console: no register dumps, no control characters. */
function lastLines(console: string): string {
  const lines = console
    .split('\n')
    .map((line) => line.replaceAll(/[^\x20-\x7e]/g, '').trim())
    .filter((line) => line !== '' && !/^(\[?<?[0-9a-f]{8}|Stack:|Call Trace:|CPU: )/.test(line))
  const panic = lines.findIndex((line) => line.includes('Kernel panic'))
  const from = panic === -1 ? Math.max(0, lines.length - reasonLines) : Math.max(0, panic - 1)
  return lines
    .slice(from, from + reasonLines)
    .map((line) => line.slice(0, longestLine))
    .join(' | ')
}
