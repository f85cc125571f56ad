/**
 * The base image `tiny`: a first root file system of busybox, the kernel's modules for virtio and the scripts
 * of src/guest, made from what Debian has on this machine, with no download.
 */
import { createHash } from 'node:crypto'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { ViolinError } from '#core/errors.ts'
import { busyboxCommands, busyboxPath } from './busybox.ts'
import { tinyFolders, tinyLinks } from './layout.ts'
import { type ArchiveEntry, newcArchive } from './newc.ts'

const umlPath = '/usr/bin/linux.uml'
const modulesRoot = '/usr/lib/uml/modules'
/** Modules in the image, and those that each needs; ipv6 would cost a guest 3 MB. */
const modules = [
  { path: 'kernel/drivers/char/virtio_console.ko', needs: [] },
  { path: 'kernel/net/core/failover.ko', needs: [] },
  { path: 'kernel/drivers/net/net_failover.ko', needs: ['kernel/net/core/failover.ko'] },
  {
    path: 'kernel/drivers/net/virtio_net.ko',
    needs: ['kernel/drivers/net/net_failover.ko', 'kernel/net/core/failover.ko']
  }
]
/** Files of src/guest (beside the bundle: guest/), where they stand in the image, and their modes. */
const guestFiles = [
  ...['agent', 'first', 'login', 'root', 'session', 'terminal'].map((name) => {
    return { name, path: `lib/violin/${name}`, mode: 0o755 }
  }),
  ...['fstab', 'inittab'].map((name) => ({ name, path: `etc/${name}`, mode: 0o644 }))
]

/** Where an image's parts lie. */
export interface TinyImage {
  /** Compressed first root file system; archives of an entity are appended to a copy of it. */
  readonly initrd: string
}

/**
 * Makes the image in `folder` unless the very same is there already, at once or not at all; several may do so
 * at a time. Throws ViolinError `tool-missing`, with what to install.
 */
export async function buildTiny(folder: string): Promise<TinyImage> {
  const initrd = join(folder, 'initrd.img')
  const stamp = join(folder, 'initrd.sha256')
  const archive = newcArchive(await tinyEntries())
  const hash = createHash('sha256').update(archive).digest('hex')
  if (existsSync(initrd) && (await readFile(stamp, 'utf8').catch(() => '')) === hash) return { initrd }
  await mkdir(folder, { recursive: true, mode: 0o755 })
  const staging = await mkdtemp(join(folder, '.new-'))
  try {
    await writeFile(join(staging, 'initrd.img'), gzipSync(archive, { level: 9 }), { mode: 0o644 })
    await writeFile(join(staging, 'initrd.sha256'), hash, { mode: 0o644 })
    await rename(join(staging, 'initrd.img'), initrd)
    // Last: whoever dies in between leaves a stamp that does not fit, and the image is made again.
    await rename(join(staging, 'initrd.sha256'), stamp)
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
  return { initrd }
}

/** Everything in the image, in a fixed order and without times: the same inputs give the same archive. */
async function tinyEntries(): Promise<ArchiveEntry[]> {
  const busybox = await required(busyboxPath, 'busybox-static')
  const commands = await busyboxCommands()
  return [
    ...Array.from(tinyFolders, ([path, mode]): ArchiveEntry => ({ kind: 'folder', path, mode })),
    ...Array.from(tinyLinks, ([path, target]): ArchiveEntry => link(path, `/${target}`)),
    { kind: 'character', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    { kind: 'character', path: 'dev/null', mode: 0o666, major: 1, minor: 3 },
    { kind: 'file', path: 'bin/busybox', mode: 0o755, data: busybox },
    ...commands.map((name) => link(`bin/${name}`, 'busybox')),
    link('init', 'bin/busybox'),
    link('etc/mtab', '/proc/mounts'),
    ...plainFiles(),
    ...(await moduleEntries()),
    ...(await guestEntries())
  ]
}

function link(path: string, target: string): ArchiveEntry {
  return { kind: 'link', path, target }
}

async function guestEntries(): Promise<ArchiveEntry[]> {
  const folder = import.meta.url.endsWith('.ts') ? '../guest' : './guest'
  return Promise.all(
    guestFiles.map(async ({ name, path, mode }): Promise<ArchiveEntry> => {
      return { kind: 'file', path, mode, data: await readFile(new URL(`${folder}/${name}`, import.meta.url)) }
    })
  )
}

function plainFiles(): ArchiveEntry[] {
  const texts = {
    'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n',
    'etc/group': 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n',
    'etc/shells': '/bin/sh\n',
    'etc/services': 'ssh\t22/tcp\ndomain\t53/udp\nhttp\t80/tcp\n',
    'etc/nsswitch.conf': 'hosts: files dns\n',
    'etc/profile': "PS1='\\u@\\h:\\w\\$ '\n"
  }
  return Object.entries(texts).map(([path, text]) => {
    return { kind: 'file', path, mode: 0o644, data: Buffer.from(text) }
  })
}

async function moduleEntries(): Promise<ArchiveEntry[]> {
  const version = await umlVersion()
  const root = `lib/modules/${version}`
  const files = await Promise.all(
    modules.map(async ({ path }): Promise<ArchiveEntry> => {
      const data = await required(join(modulesRoot, version, path), 'user-mode-linux')
      return { kind: 'file', path: `${root}/${basename(path)}`, mode: 0o644, data }
    })
  )
  const rows = modules.map(
    ({ path, needs }) => `${basename(path)}: ${needs.map((need) => basename(need)).join(' ')}\n`
  )
  const dependencies = Buffer.from(rows.join(''))
  return [
    { kind: 'folder', path: root, mode: 0o755 },
    ...files,
    { kind: 'file', path: `${root}/modules.dep`, mode: 0o644, data: dependencies }
  ]
}

/** The kernel's version, which its modules' folder is named by. */
async function umlVersion(): Promise<string> {
  const { stdout } = await promisify(execFile)(umlPath, ['--version']).catch((error: unknown) => {
    throw missing(umlPath, 'user-mode-linux', error)
  })
  return stdout.trim()
}

async function required(path: string, debianPackage: string): Promise<Uint8Array> {
  return readFile(path).catch((error: unknown) => {
    throw missing(path, debianPackage, error)
  })
}

function missing(path: string, debianPackage: string, cause?: unknown): ViolinError {
  return new ViolinError('tool-missing', `${path} is not there`, `apt-get install ${debianPackage}`, {
    cause
  })
}
