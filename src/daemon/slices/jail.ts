/**
 * The jail of a slice: bubblewrap that shows it its own folder, its program and what machines are made of,
 * and nothing else of the host. It keeps the host's network, for its trunks.
 */
import { lstatSync, readlinkSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SliceStart } from '#slice/contract.ts'

export const bwrapPath = '/usr/bin/bwrap'
/** Programs that a slice and the jails of its machines need. */
const programs = [
  '/usr/bin/bwrap',
  '/usr/bin/busybox',
  '/usr/bin/linux.uml',
  '/usr/bin/nice',
  '/usr/bin/nsenter',
  '/usr/bin/setarch',
  '/usr/bin/setpriv'
] as const
/** Heaps of a slice, MiB: its state is small, and a young generation of the usual size triples its memory. */
const nodeFlags = ['--max-semi-space-size=1', '--max-old-space-size=256'] as const

/** Places inside the jail. */
export const inside = {
  folder: '/slice',
  daemon: '/daemon',
  images: '/images',
  program: '/program',
  node: '/usr/bin/node'
} as const

export interface SliceJailOptions {
  /** Own folder, the folder with the daemon's socket, guest images: on the host. */
  readonly folder: string
  readonly daemon: string
  readonly images: string
  readonly start: SliceStart
  /** A user id of its own (the caller is root), or null: the caller's, in a user namespace. */
  readonly user: number | null
  /** The slice's program on the host. */
  readonly program: SliceProgram
}

/** The files that a slice's program is made of. */
export interface SliceProgram {
  /** Files and folders below one root, shown in the jail as they lie. */
  readonly root: string
  readonly parts: readonly string[]
  /** The program itself, below the root. */
  readonly main: string
}

/** The program beside this one: the source tree, or the bundle's folder. */
export function ownProgram(): SliceProgram {
  const here = dirname(fileURLToPath(import.meta.url))
  if (import.meta.url.endsWith('.ts')) {
    const root = resolve(here, '../../..')
    const parts = ['package.json', 'src', 'node_modules/koffi', 'node_modules/@koromix']
    return { root, parts, main: 'src/slice/main.ts' }
  }
  // The bundle, and the native modules that it finds in a node_modules beside or above it.
  const root = dirname(here)
  const folder = here.slice(root.length + 1)
  const parts = [folder, 'node_modules/koffi', 'node_modules/@koromix', 'package.json']
  return { root, parts, main: join(folder, 'slice.js') }
}

/** Arguments of bubblewrap; it tells about the jail's first process on descriptor 3. */
export function sliceJail(options: SliceJailOptions): string[] {
  const { folder, daemon, images, start, user, program } = options
  const run = [inside.node, ...nodeFlags, join(inside.program, program.main)]
  return [
    user === null ? ['--unshare-user', '--cap-drop', 'ALL'] : [],
    ['--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try', '--new-session'],
    ['--info-fd', '3', '--hostname', 'slice', '--clearenv', '--setenv', 'PATH', '/usr/bin:/bin'],
    ['--setenv', 'VIOLIN_SLICE', JSON.stringify(start)],
    // Parents that bubblewrap makes by itself are closed to others.
    ['/usr', '/usr/bin', ...parentsOf(program)].flatMap((path) => ['--dir', path]),
    ['/usr/lib', '/usr/lib64', '/lib', '/lib64'].flatMap(systemFolder),
    programs.flatMap((path) => ['--ro-bind-try', path, path]),
    ['--ro-bind', process.execPath, inside.node],
    program.parts.flatMap((part) => ['--ro-bind-try', join(program.root, part), join(inside.program, part)]),
    ['--dev', '/dev', '--perms', '1777', '--tmpfs', '/tmp'],
    ['--bind', folder, inside.folder, '--ro-bind', daemon, inside.daemon],
    ['--ro-bind-try', images, inside.images, '--chdir', '/'],
    user === null ? ['--proc', '/proc', '--', ...run] : ['--dir', '/proc', '--', ...asUser(user, run)]
  ].flat()
}

/** Folders between the program's place and its parts. */
function parentsOf(program: SliceProgram): string[] {
  const parents = new Set<string>()
  for (const part of program.parts) {
    const names = part.split('/')
    for (let depth = 0; depth < names.length; depth++)
      parents.add(join(inside.program, ...names.slice(0, depth)))
  }
  return [...parents]
}

/** A folder of libraries as the host has it: a link, or itself. */
function systemFolder(path: string): string[] {
  const link = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true
  return link ? ['--symlink', readlinkSync(path), path] : ['--ro-bind-try', path, path]
}

/**
 * Drops from root to a user without any capability. Root mounts /proc itself: parts of bubblewrap's would be
 * covered, and the kernel then lets no jail inside have a /proc of its own (mount_too_revealing).
 */
function asUser(user: number, run: readonly string[]): string[] {
  const drop = ['--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all', '--no-new-privs']
  const become = [
    '/usr/bin/setpriv',
    '--reuid',
    String(user),
    '--regid',
    String(user),
    '--clear-groups',
    ...drop
  ]
  const script = '/usr/bin/busybox mount -t proc proc /proc && exec "$@"'
  return ['/usr/bin/busybox', 'sh', '-c', script, 'sh', ...become, '--', ...run]
}
