/**
 * What stands in the root of the image `tiny` besides its files: an entity's archive is laid over it, and must
 * neither replace its links by folders nor change the modes of its folders.
 */

/** Where images other than `tiny` have all commands of busybox, for the machine's own scripts. */
export const toolsFolder = 'usr/lib/violin/bin'

/** Folders, outermost first, with their modes. */
export const tinyFolders: ReadonlyMap<string, number> = new Map([
  ...[
    'bin',
    'dev',
    'etc',
    'home',
    'lib',
    'lib/modules',
    'lib/violin',
    'mnt',
    'proc',
    'run',
    'srv',
    'sys',
    'usr'
  ]
    .concat('usr/share', 'var', 'var/lib', 'var/log', 'violin')
    .map((path): [string, number] => [path, 0o755]),
  ['root', 0o700],
  ['tmp', 0o1777],
  ['var/tmp', 0o1777]
])

/** Links to folders, with what they stand for. */
export const tinyLinks: ReadonlyMap<string, string> = new Map([
  ['sbin', 'bin'],
  ['usr/bin', 'bin'],
  ['usr/sbin', 'bin'],
  ['var/run', 'run']
])
