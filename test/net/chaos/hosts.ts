/** Hosts on which faults are carried out, and what they must agree on once it is calm. */
import { execFileSync } from 'node:child_process'
import type { HostRow, Show } from '#api/contract.ts'
import type { LabHost } from '#lab/host.ts'
import { argumentsOf, kill, type ProcessId } from '#lab/processes.ts'
import type { Fault } from './script.ts'

/** Drops all that a host sends: no packet is as short as what this lets through. */
const muzzle = ['root', 'tbf', 'rate', '8bit', 'burst', '1', 'limit', '1'] as const

/** Whether this kernel can mute a host. */
export function canMute(host: LabHost): boolean {
  try {
    tc(host, 'replace', ...muzzle)
    tc(host, 'del', 'root')
    return true
  } catch {
    return false
  }
}

/** Lets a fault befall, and gives what undoes it. */
export async function befall(fault: Fault, hosts: readonly LabHost[]): Promise<() => Promise<void>> {
  const [host, other] = [hosts[fault.host] as LabHost, hosts[fault.other] as LabHost]
  switch (fault.kind) {
    case 'kill':
      await host.kill9()
      return () => startAgain(host)
    case 'kill-daemon':
      await host.killDaemon()
      return () => startAgain(host)
    case 'restart':
      await host.stopDaemon()
      return () => startAgain(host)
    case 'stall':
      return stalled(host.processes())
    case 'stall-slices':
      return stalled(slicesOf(host))
    case 'cut':
      host.cut()
      return async () => host.heal()
    case 'mute':
      tc(host, 'replace', ...muzzle)
      return async () => tc(host, 'del', 'root')
    case 'one-way':
      ip(host, 'route', 'replace', 'blackhole', `${other.address}/32`)
      return async () => ip(host, 'route', 'del', 'blackhole', `${other.address}/32`)
  }
}

async function startAgain(host: LabHost): Promise<void> {
  if (host.daemonProcesses().length === 0) await host.startDaemon()
}

function stalled(processes: readonly ProcessId[]): () => Promise<void> {
  for (const id of processes) kill(id, 'SIGSTOP')
  return async () => {
    for (const id of processes) kill(id, 'SIGCONT')
  }
}

function slicesOf(host: LabHost): ProcessId[] {
  const daemon = new Set(host.daemonProcesses().map(({ pid }) => pid))
  return host
    .processes()
    .filter(({ pid }) => !daemon.has(pid) && (argumentsOf(pid)[0] ?? '').endsWith('/node'))
}

function tc(host: LabHost, verb: string, ...args: readonly string[]): void {
  const device = ['dev', 'eth0']
  execFileSync(
    '/usr/bin/nsenter',
    [`--net=/run/netns/${host.namespace}`, 'tc', 'qdisc', verb, ...device, ...args],
    {
      stdio: ['ignore', 'ignore', 'pipe']
    }
  )
}

function ip(host: LabHost, ...args: readonly string[]): void {
  execFileSync('/usr/sbin/ip', ['-n', host.namespace, ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
}

/** What is amiss with hosts that nothing befalls any more; empty when all is well. */
export async function amiss(hosts: readonly LabHost[], violins: readonly string[]): Promise<string[]> {
  const found = await Promise.all(hosts.map((host) => amissAt(host, hosts, violins)))
  const views = await Promise.all(violins.map((violin) => viewsOf(violin, hosts)))
  return [...found.flat(), ...views.flat()]
}

async function amissAt(
  host: LabHost,
  hosts: readonly LabHost[],
  violins: readonly string[]
): Promise<string[]> {
  const wrong: string[] = []
  const daemons = host.daemonProcesses().length
  if (daemons !== 1) wrong.push(`${host.name} has ${daemons} daemons`)
  const slices = slicesOf(host).length
  if (slices !== violins.length) wrong.push(`${host.name} has ${slices} slices for ${violins.length} VIOLINs`)
  try {
    const rows = (await host.json('hosts')) as HostRow[]
    const alive = rows.filter(({ state }) => state === 'alive').length
    if (alive !== hosts.length) wrong.push(`${host.name} sees ${alive} of ${hosts.length} hosts alive`)
  } catch (error: unknown) {
    wrong.push(String(error).split('\n')[0] ?? '')
  }
  return wrong
}

/** How hosts see one VIOLIN: one version, one active for each vLAN, everything running. */
async function viewsOf(violin: string, hosts: readonly LabHost[]): Promise<string[]> {
  try {
    const shows = await Promise.all(hosts.map(async (host) => (await host.json('show', violin)) as Show))
    const wrong = shows.flatMap((show, i) => {
      const unwell = show.entities
        .filter(({ state }) => state !== 'running')
        .map(({ name, state }) => `${name} ${state}`)
      const at = hosts[i]?.name ?? ''
      return [
        ...(unwell.length > 0 ? [`${at} sees ${unwell.join(', ')} in ${violin}`] : []),
        ...(show.stale.length > 0 ? [`${at} has no answer from ${show.stale.join(', ')} on ${violin}`] : [])
      ]
    })
    const actives = new Set(
      shows.map(({ lans }) => lans.map(({ vswitch }) => `${vswitch.active} ${vswitch.term}`).join())
    )
    const versions = new Set(shows.map(({ version }) => version))
    if (actives.size !== 1 || [...actives].some((one) => one.includes('null')))
      wrong.push(`${violin} has as actives ${[...actives].join(' and ')}`)
    if (versions.size !== 1) wrong.push(`${violin} has versions ${[...versions].join(' and ')}`)
    return wrong
  } catch (error: unknown) {
    return [String(error).split('\n')[0] ?? '']
  }
}
