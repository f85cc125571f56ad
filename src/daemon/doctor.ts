/** Checks what this machine must have, each failure with the command that mends it. */
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, readdir, statfs } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, resolve } from 'node:path'
import { promisify } from 'node:util'
import { isUserModeLinux } from './host.ts'
import { defaultListen, loadIdentity, openSecrets, rootKeyFile } from './identity.ts'

const run = promisify(execFile)

export interface Check {
  readonly name: string
  readonly ok: boolean
  readonly detail: string
  /** What mends it; empty when it is well. */
  readonly remedy: string
}

const tools: readonly { readonly path: string; readonly package: string; readonly why: string }[] = [
  { path: '/usr/bin/linux.uml', package: 'user-mode-linux', why: 'the kernel of virtual machines' },
  { path: '/usr/bin/busybox', package: 'busybox-static', why: 'the guest image is made of it' },
  { path: '/usr/bin/bwrap', package: 'bubblewrap', why: 'jails machines and slices' },
  { path: '/usr/sbin/ip', package: 'iproute2', why: 'network namespaces and TAPs' },
  { path: '/usr/bin/setpriv', package: 'util-linux', why: 'drops privileges of slices' },
  { path: '/usr/sbin/nft', package: 'nftables', why: 'guards jetways and attached hosts' },
  { path: '/usr/sbin/conntrack', package: 'conntrack', why: 'ends the flows of a jetway that is shut' }
]

/** Runs every check; nothing on the machine is changed. */
export async function doctor(dir: string): Promise<Check[]> {
  const checks: Check[] = []
  const nested = await isUserModeLinux()
  for (const tool of tools) {
    if (nested && tool.path === '/usr/bin/linux.uml') continue
    const there = await readable(tool.path, constants.X_OK)
    checks.push(
      check(
        tool.path.split('/').at(-1) as string,
        there,
        there ? tool.path : `${tool.path} is missing (${tool.why})`,
        `apt-get install ${tool.package}`
      )
    )
  }
  checks.push(await rootKey(dir), await secrets(dir))
  checks.push(await imageBuilder())
  checks.push(
    await jails(),
    nested ? noKernel : await guestModules(),
    await tun(),
    await multicast6(),
    await meshPort(dir),
    await disk(dir),
    clock()
  )
  const root = process.getuid?.() === 0
  checks.push(
    check(
      'privilege',
      true,
      root ? 'root: every driver' : 'ordinary user: the uml driver; netns needs root',
      ''
    )
  )
  return checks
}

function check(name: string, ok: boolean, detail: string, remedy: string): Check {
  return { name, ok, detail, remedy: ok ? '' : remedy }
}

async function readable(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false
  )
}

async function rootKey(dir: string): Promise<Check> {
  const path = rootKeyFile(dir)
  const lies = await readable(path, constants.F_OK)
  const detail = lies ? `it lies in ${path}: put it away (docs/keys.md)` : 'not here'
  return check('root key', true, detail, '')
}

async function secrets(dir: string): Promise<Check> {
  const open = await openSecrets(dir)
  return check('secrets', open === null, open?.what ?? 'for their user alone', open?.remedy ?? '')
}

/** In place of what virtual machines are made of. */
const noKernel: Check = check(
  'virtual machines',
  true,
  'none: this is User-Mode Linux, and none starts inside of one; the netns driver is for here',
  ''
)

/** No failure: a host may fetch from others what it does not build. */
async function imageBuilder(): Promise<Check> {
  const there = await readable('/usr/bin/mmdebstrap', constants.X_OK)
  const detail = there
    ? '/usr/bin/mmdebstrap'
    : 'no mmdebstrap: only `violin image build router` needs it (apt-get install mmdebstrap)'
  return check('image builder', true, detail, '')
}

async function jails(): Promise<Check> {
  try {
    await run('bwrap', [
      '--unshare-all',
      '--ro-bind',
      '/usr',
      '/usr',
      '--symlink',
      'usr/lib',
      '/lib',
      '--symlink',
      'usr/lib64',
      '/lib64',
      '--proc',
      '/proc',
      '--dev',
      '/dev',
      '/usr/bin/true'
    ])
    return check('jail', true, 'bubblewrap can make one', '')
  } catch (error: unknown) {
    const detail = ((error as { stderr?: string }).stderr ?? String(error)).trim().split('\n')[0] as string
    return check('jail', false, detail, 'sysctl -w kernel.unprivileged_userns_clone=1')
  }
}

async function guestModules(): Promise<Check> {
  const versions = await readdir('/usr/lib/uml/modules').catch(() => [])
  return check(
    'guest modules',
    versions.length > 0,
    versions.length > 0 ? `for ${versions.join(', ')}` : '/usr/lib/uml/modules is empty',
    'apt-get install --reinstall user-mode-linux'
  )
}

async function tun(): Promise<Check> {
  if (process.getuid?.() !== 0)
    return check('tun', true, 'not looked at: only root uses it, for the netns driver', '')
  const there = await readable('/dev/net/tun', constants.R_OK)
  return check('tun', there, there ? '/dev/net/tun' : '/dev/net/tun cannot be opened', 'modprobe tun')
}

/** No failure: only routers that are to forward it need it. */
async function multicast6(): Promise<Check> {
  const there = await readable('/proc/net/ip6_mr_vif', constants.F_OK)
  const detail = there
    ? 'netns routers here can forward it'
    : 'none here: the kernel is built without CONFIG_IPV6_MROUTE (docs/routing.md)'
  return check('IPv6 multicast', true, detail, '')
}

async function meshPort(dir: string): Promise<Check> {
  const listen = await loadIdentity(dir).then(
    (identity) => identity.listen,
    () => defaultListen
  )
  const address = listen[0] ?? ''
  const port = Number(/\/tcp\/(\d+)/.exec(address)?.[1] ?? 0)
  const free = await new Promise<boolean>((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, () => probe.close(() => resolve(true)))
  })
  // A port in use is well when it is our own daemon that uses it.
  const running = await readable(`${dir}/api.sock`, constants.F_OK)
  return check(
    'mesh port',
    free || running,
    free
      ? `${address} is free`
      : running
        ? `${address} is in use (a daemon runs here)`
        : `${address} is in use`,
    'choose another: violin init --listen /ip4/0.0.0.0/tcp/PORT'
  )
}

/** A host writes little, but what it signs must be kept. */
const leastFreeMiB = 64

async function disk(dir: string): Promise<Check> {
  let at = resolve(dir)
  while (!(await readable(at, constants.F_OK))) at = dirname(at)
  const { bavail, bsize } = await statfs(at)
  const freeMiB = Math.floor((bavail * bsize) / 2 ** 20)
  return check(
    'disk',
    freeMiB >= leastFreeMiB,
    `${freeMiB} MiB free for ${dir}`,
    `make room there: df -h ${at}`
  )
}

function clock(): Check {
  const year = new Date().getUTCFullYear()
  return check('clock', year >= 2026, new Date().toISOString(), 'set the clock: timedatectl set-ntp true')
}
