/**
 * Images from Debian's packages: these are unpacked, not installed, and no script of theirs runs, here or elsewhere.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { ViolinError } from '#core/errors.ts'
import type { ImageHash } from '#core/image.ts'
import { busyboxCommands } from './busybox.ts'
import { toolsFolder } from './layout.ts'
import type { ImageStore } from './store.ts'

const mmdebstrapPath = '/usr/bin/mmdebstrap'
/** Makes /bin, /lib and /sbin links to what is below /usr, as every Debian of today has them. */
const mergeHook = '/usr/share/mmdebstrap/hooks/merged-usr/setup00.sh'

/** An image that is made of packages, and of what is laid beside them. */
export interface DebianImage {
  readonly name: string
  readonly packages: readonly string[]
  /** Lays more into its tree. */
  readonly add?: (root: string) => Promise<void>
}

/** For people and for scripts that are not run; perl comes along with packages whose scripts are not run. */
const leftOut: readonly string[] = [
  ...['doc', 'man', 'locale', 'info', 'lintian', 'bash-completion', 'perl', 'perl5', 'gcc', 'bug'].map(
    (name) => `usr/share/${name}`
  ),
  ...['dev', 'boot', 'proc', 'sys', 'run', 'tmp', 'media', 'mnt', 'home', 'srv', 'root'],
  ...[
    'etc/hostname',
    'etc/resolv.conf',
    'etc/machine-id',
    'etc/fstab',
    'etc/motd',
    'etc/apt',
    'etc/.pwd.lock'
  ],
  ...['var/cache', 'var/log', 'var/tmp', 'var/run', 'var/lock', 'var/lib/apt', 'var/lib/dpkg']
]

/** Folders that a machine finds empty. */
const emptyFolders: readonly string[] = [
  ...['dev', 'proc', 'sys', 'run', 'tmp', 'mnt', 'home', 'srv', 'root', 'usr/lib/modules'],
  ...['var/cache', 'var/log', 'var/tmp', 'etc/frr', 'var/log/frr']
]

/**
 * Users that daemons of these packages change to. Here they are root by another name: a machine is a world of its
 * own, and where it is a namespace it has but one user.
 */
const users: readonly string[] = ['frr', 'dnsmasq', 'radvd', 'tcpdump']
const groups: readonly string[] = ['frr', 'frrvty', 'radvd', 'tcpdump']

const pam = ['auth', 'account', 'session'].map((what) => `${what} sufficient pam_permit.so\n`).join('')

/** Builds an image, names it, and gives its hash. Throws ViolinError `tool-missing`, `boot-failed`. */
export async function buildDebian(
  { name, packages, add }: DebianImage,
  store: ImageStore,
  tell: (text: string) => void
): Promise<ImageHash> {
  if (!existsSync(mmdebstrapPath))
    throw new ViolinError(
      'tool-missing',
      `${mmdebstrapPath} is not there: it unpacks Debian's packages`,
      'apt-get install mmdebstrap'
    )
  const staging = await store.staging()
  try {
    const root = join(staging, 'root')
    await unpack(root, packages, tell)
    tell('making it an image')
    await settle(root)
    await add?.(root)
    const image = await store.keep(staging)
    await store.name(name, image)
    return image
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
}

async function unpack(
  root: string,
  packages: readonly string[],
  tell: (text: string) => void
): Promise<void> {
  const suite = await suiteHere()
  tell(`unpacking ${packages.length} packages of Debian ${suite}, and what they need`)
  const argv = [
    ...['--variant=extract', '--format=directory', `--include=${packages.join(',')}`],
    ...['doc', 'man', 'locale', 'info'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
    ...(existsSync(mergeHook) ? [`--setup-hook=${mergeHook} "$1"`] : []),
    ...[suite, root]
  ]
  const child = spawn(mmdebstrapPath, argv, { stdio: ['ignore', 'ignore', 'pipe'] })
  const said: string[] = []
  for await (const line of createInterface({ input: child.stderr })) {
    said.push(line)
    if (line.startsWith('I: ') && line.endsWith('...')) tell(line.slice('I: '.length, -'...'.length))
  }
  const status = await new Promise<number | null>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve(child.exitCode)
    child.once('error', () => resolve(null))
    child.once('close', resolve)
  })
  if (status === 0) return
  throw failure(status, said)
}

/** Why it was not unpacked, by what mmdebstrap said. */
export function failure(status: number | null, said: readonly string[]): ViolinError {
  const missing = said.flatMap((line) => /Unable to locate package (\S+)/.exec(line)?.[1] ?? [])
  if (missing.length > 0)
    return new ViolinError(
      'refused',
      `Debian has no package ${missing.join(', ')}`,
      'look for it: apt-cache search WORD'
    )
  const last = said.filter((line) => !line.startsWith('I: ')).slice(-3)
  return new ViolinError(
    'boot-failed',
    `mmdebstrap ended with status ${status}: ${last.join(' | ')}`,
    'see that this machine reaches its Debian mirror (apt-get update), then try again'
  )
}

/** Debian's release here: what its packages need of a kernel, the kernel of its guests has. */
async function suiteHere(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '')
  return /^ID=debian$/m.test(text) ? (/^VERSION_CODENAME=([a-z]+)$/m.exec(text)?.[1] ?? 'stable') : 'stable'
}

/** What the packages' scripts would have done, as far as a machine needs it. */
async function settle(root: string): Promise<void> {
  for (const path of leftOut) await rm(join(root, path), { recursive: true, force: true })
  for (const path of emptyFolders) await mkdir(join(root, path), { recursive: true })
  const links = { 'var/run': '/run', 'var/lock': '/run/lock', 'etc/mtab': '/proc/mounts' }
  // Debian's UML kernel filters for these, and not for nft but on bridges.
  const filters = ['iptables', 'ip6tables'].flatMap((name) => [name, `${name}-save`, `${name}-restore`])
  for (const name of filters) await symlink('xtables-legacy-multi', join(root, 'usr/sbin', name))
  for (const [path, target] of Object.entries(links)) {
    await rm(join(root, path), { force: true })
    await symlink(target, join(root, path))
  }
  await accounts(root)
  const texts = {
    'etc/shells': '/bin/sh\n',
    'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n',
    // vtysh asks PAM, whose usual modules are set up by scripts of packages.
    'etc/pam.d/frr': pam,
    'etc/pam.d/other': pam,
    'etc/profile': "PS1='\\u@\\h:\\w\\$ '\n"
  }
  for (const [path, text] of Object.entries(texts)) await writeFile(join(root, path), text)
  await addBusybox(root)
}

async function accounts(root: string): Promise<void> {
  const master = (name: string): Promise<string> =>
    readFile(join(root, 'usr/share/base-passwd', `${name}.master`), 'utf8')
  const passwd = (await master('passwd')).replace(/^(root:[^\n]*:)[^:\n]*$/m, '$1/bin/sh')
  const rows = users.map((name) => `${name}:*:0:0:${name}:/root:/bin/sh\n`)
  await writeFile(join(root, 'etc/passwd'), passwd + rows.join(''))
  await writeFile(
    join(root, 'etc/group'),
    // A group of its name is what dnsmasq changes to, where there is one.
    (await master('group')).replace(/^dip:.*\n/m, '') + groups.map((name) => `${name}:*:0:\n`).join('')
  )
}

/** Its commands: all of them for the machine's own scripts, and for people those that no package has. */
async function addBusybox(root: string): Promise<void> {
  const commands = await busyboxCommands()
  const there = new Set<string>()
  for (const folder of ['usr/bin', 'usr/sbin'])
    for (const name of await readdir(join(root, folder))) there.add(name)
  // Debian's package has it in /bin, which is /usr/bin by now.
  const own = join(root, 'usr/bin/busybox')
  if (!existsSync(own)) await copyFile('/usr/bin/busybox', own)
  const tools = join(root, toolsFolder)
  await mkdir(tools, { recursive: true })
  for (const name of commands) {
    await symlink('/usr/bin/busybox', join(tools, name))
    if (!there.has(name)) await symlink('busybox', join(root, 'usr/bin', name))
  }
}
