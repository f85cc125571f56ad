/**
 * The process that holds a lab: it makes the namespaces and the underlay, and takes all of it down when its
 * owner is gone (end of its standard input) or when it is told to (SIGTERM). So a lab survives no crash, not
 * even a `kill -9`, of the program that wanted it, unless it was told to linger.
 *
 *     from the owner: the plan, one line of JSON; then `linger`, or nothing
 *     to the owner:   `ready`, or `failed REASON`
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, rmdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { hostKeyOf, lanKeyOf } from '#core/derive.ts'
import type { HostId, Mac } from '#core/ids.ts'
import type { Report } from '#slice/forwarder/contract.ts'
import { type Forwarder, startForwarder } from '#slice/forwarder/forwarder.ts'
import { inNetworkNamespace } from '#syscalls/netns.ts'
import { configureLink, openTap } from '#syscalls/tap.ts'
import { type HostPlan, labsFolder, type LabPlan, territoryOf, writeState } from './plan.ts'
import { identify, killAllIn, shareGroupsIn, type ProcessId } from './processes.ts'

/** A lone switch elects itself within a second. */
const readyMs = 15_000
/** Frames that wait in the kernel for the underlay. */
const txQueueLength = 1_000

const hash = { sha256: (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest() }
const self = hostKeyOf(hash, 'underlay' as HostId)
const lan = lanKeyOf(hash, 'underlay')

/** Runs the keeper until it has taken its lab down. */
export async function keep(): Promise<void> {
  const lines = createInterface({ input: process.stdin })
  const ended = Promise.withResolvers<void>()
  const planned = Promise.withResolvers<LabPlan>()
  let lingers = false
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => ended.resolve())
  lines.on('line', (line) => {
    if (line === 'linger') lingers = true
    else planned.resolve(JSON.parse(line) as LabPlan)
  })
  lines.once('close', () => (lingers ? undefined : ended.resolve()))
  const plan = await Promise.race([planned.promise, ended.promise])
  if (plan === undefined) return
  const keeper = identify(process.pid) as ProcessId
  let underlay: Forwarder | null = null
  try {
    mkdirSync(plan.folder, { recursive: true, mode: 0o755 })
    writeState({ ...plan, keeper, lingers })
    for (const host of plan.hosts) makeHost(host)
    underlay = await startUnderlay(plan, ended.resolve)
    lines.on('line', () => writeState({ ...plan, keeper, lingers }))
    tell('ready')
    await ended.promise
  } catch (error: unknown) {
    tell(`failed ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`)
  } finally {
    await takeDown(plan)
    await underlay?.stop()
  }
}

/** Ends every process of a lab and removes its namespaces and files; what is not there is passed over. */
export async function takeDown(plan: LabPlan): Promise<void> {
  const territories = plan.hosts.map((host) => territoryOf(plan, host))
  const groups = territories.flatMap((territory) => [...shareGroupsIn(territory)])
  await Promise.all(territories.map((territory) => killAllIn(territory)))
  for (const { namespace } of plan.hosts)
    if (existsSync(`/run/netns/${namespace}`)) ip('netns', 'del', namespace)
  await rm(plan.folder, { recursive: true, force: true })
  for (const emptied of [...groups, labsFolder]) removeIfEmpty(emptied)
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder)
  } catch (error: unknown) {
    // Others' are in it, or another has just removed it.
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOTEMPTY' && code !== 'ENOENT' && code !== 'EEXIST' && code !== 'EBUSY') throw error
  }
}

function makeHost({ namespace, folder }: HostPlan): void {
  mkdirSync(folder, { mode: 0o755 })
  ip('netns', 'add', namespace)
  ip('-n', namespace, 'link', 'set', 'lo', 'up')
}

/** The project's own switch, with the hosts' delays at its ports. */
async function startUnderlay(plan: LabPlan, failed: () => void): Promise<Forwarder> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onReport = (report: Report): void => {
    if (report.kind === 'lan' && report.report.role === 'active') resolve()
    else if (report.kind === 'failed') reject(new Error(report.message))
  }
  const onFailed = (error: Error): void => {
    reject(error)
    failed()
  }
  const forwarder = startForwarder({ self, udpFd: -1, onReport, onFailed })
  const timer = setTimeout(() => reject(new Error('the underlay did not come up')), readyMs)
  try {
    forwarder.post({ kind: 'lan', lan, candidates: [self], members: [self] })
    for (const [index, host] of plan.hosts.entries()) connect(forwarder, index + 1, host)
    await promise
    return forwarder
  } catch (error: unknown) {
    await forwarder.stop()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

/** Gives a host its eth0: the other end is a port of the underlay. */
function connect(forwarder: Forwarder, port: number, host: HostPlan): void {
  const mac = `02:77:00:00:00:${port.toString(16).padStart(2, '0')}` as Mac
  const fd = inNetworkNamespace(`/run/netns/${host.namespace}`, () => {
    const tap = openTap('eth0')
    configureLink('eth0', { mac, mtu: 1500, txQueueLength, up: true })
    return tap
  })
  ip('-n', host.namespace, 'addr', 'add', `${host.address}/24`, 'broadcast', '+', 'dev', 'eth0')
  ip('-n', host.namespace, 'route', 'add', '224.0.0.0/4', 'dev', 'eth0')
  const link = host.delayMs > 0 ? { delayMs: host.delayMs } : null
  forwarder.post({ kind: 'port', port, lan, mac, source: { kind: 'tap', fd }, link })
}

function ip(...args: string[]): void {
  execFileSync('/usr/sbin/ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`)
}
