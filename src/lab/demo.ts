/** The paper's Figure 2 on this machine, from nothing: every step is checked, and nothing stays. */
import { readFileSync } from 'node:fs'
import { join as joinPath } from 'node:path'
import { readdir } from 'node:fs/promises'
import { Pinging } from './gap.ts'
import { type LabHost, violinCommand } from './host.ts'
import { join, Lab } from './lab.ts'
import { sites } from './plan.ts'
import { StepFailed, Steps } from './steps.ts'

/** A vLAN that is silent for longer has not been taken over, but repaired. */
const maxFailoverMs = 1_000
/** Pings of 10 ms while a vSwitch dies, and how many are answered before it does. */
const pings = 300
const pingsBefore = 50
/** The host of the vSwitch that dies. */
const victim = 'seattle'
/** What the way from vHost1 to vHost3 is: the router's near side, and the host. */
const expectedHops = ['192.168.1.1', '192.168.2.3']

export interface DemoOptions {
  readonly keep: boolean
  readonly json: boolean
}

/** What the command line uses of `violin show --json`. */
interface Shown {
  readonly state: string
  readonly lans: readonly {
    readonly name: string
    readonly vswitch: { readonly active: string | null; readonly term: number | null }
  }[]
  readonly entities: readonly {
    readonly name: string
    readonly state: string
    readonly host: string
    readonly bootMs: number | null
  }[]
}

interface Findings {
  hops: readonly string[]
  failoverMs: number | null
}

/** Plays the demo; gives the exit status: 0 only if every step held, 130 when it was interrupted. */
export async function demo({ keep, json }: DemoOptions): Promise<number> {
  const steps = new Steps(json ? process.stderr : process.stdout)
  const findings: Findings = { hops: [], failoverMs: null }
  const { promise: interrupted, resolve: interrupt } = Promise.withResolvers<'interrupted'>()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => interrupt('interrupted'))
  const making = Lab.create(sites)
  try {
    const ended = await Promise.race([perform(making, steps, findings, keep), interrupted])
    if (ended === 'interrupted') {
      steps.stop('interrupted: taking it down')
      return 130
    }
  } finally {
    const lab = await making.catch(() => null)
    await lab?.[Symbol.asyncDispose]()
  }
  summary(steps, findings, json)
  return steps.ok ? 0 : 1
}

/** All steps, up to the first that does not hold. */
async function perform(making: Promise<Lab>, steps: Steps, findings: Findings, keep: boolean): Promise<void> {
  try {
    await steps.step(`${sites.length} overlay hosts, each in a network namespace`, async () => {
      const { plan, hosts } = await making
      return `lab ${plan.name}: ${hosts.map(({ name, address }) => `${name} ${address}`).join(', ')}`
    })
    const lab = await making
    await play(lab, steps, findings)
    if (keep) stay(lab, steps)
    else await remove(lab, steps)
  } catch (error: unknown) {
    if (!(error instanceof StepFailed)) throw error
  }
}

async function play(lab: Lab, steps: Steps, findings: Findings): Promise<void> {
  const [first, ...others] = lab.hosts as [LabHost, ...LabHost[]]
  const user = lab.host('chicago')
  await steps.step(`a mesh is founded at ${first.name}`, async () => {
    await first.violin('init', '--name', first.name)
    await first.startDaemon()
  })
  await steps.step(`${others.map(({ name }) => name).join(', ')} join by its token`, async () => {
    const token = await lab.invite(others.length)
    await Promise.all(others.map((host) => join(host, token)))
    await lab.settled([user])
  })
  await steps.step(`figure2.yaml is applied at ${user.name}, which runs none of it`, async () => {
    const { status, stderr } = await user.try(['apply', '-'], { input: figure2() })
    if (status !== 0) throw new Error(stderr.trim())
  })
  await steps.step('five User-Mode Linux machines run', () => machines(user))
  await steps.step('vhost1 pings vhost3 through vrouter1', async () => {
    const out = await user.violin('exec', 'figure2/vhost1', '--', 'ping', '-c', '3', '-W', '2', 'vhost3')
    return out.split('\n').find((line) => line.includes('received'))
  })
  await steps.step('traceroute from vhost1 to vhost3 takes two hops', async () => {
    const out = await user.violin('exec', 'figure2/vhost1', '--', 'traceroute', '-n', 'vhost3')
    findings.hops = out.split('\n').flatMap((line) => /^ *\d+ +([\d.]+)/.exec(line)?.[1] ?? [])
    if (findings.hops.join() !== expectedHops.join()) throw new Error(out)
    return out
  })
  await steps.step('no underlay address is reached from inside', () => unreachable(lab, user))
  await steps.step('the host of vLAN 1’s vSwitch dies (kill -9 of all on it), and the vLAN goes on', () =>
    failover(lab, user, findings)
  )
  await steps.step('a vHost is added while it runs', () => addHost(user))
}

function figure2(): string {
  return readFileSync(new URL('../examples/figure2.yaml', programFolder()), 'utf8')
}

/** The bundle's folder, or the one beside it where this runs from the source. */
function programFolder(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? '../' : './', import.meta.url)
}

async function machines(user: LabHost): Promise<string> {
  const shown = (await user.json('show', 'figure2')) as Shown
  const running = shown.entities.filter(({ state }) => state === 'running')
  if (shown.state !== 'running' || running.length !== 5) throw new Error(JSON.stringify(shown.entities))
  return running
    .map(({ name, host, bootMs }) => `${name} on ${host}${bootMs === null ? '' : `, up in ${bootMs} ms`}`)
    .join('\n')
}

async function unreachable(lab: Lab, user: LabHost): Promise<string> {
  const addresses = lab.hosts.map(({ address }) => address)
  const script = 'for a; do ping -c 1 -W 1 $a > /dev/null 2>&1 && echo $a & done; wait'
  const reached = await user.violin('exec', 'figure2/vhost1', '--', 'sh', '-c', script, 'sh', ...addresses)
  if (reached.trim() !== '') throw new Error(`reached ${reached.trim().split('\n').join(', ')}`)
  return `${addresses.join(', ')}: none answers vhost1`
}

async function failover(lab: Lab, user: LabHost, findings: Findings): Promise<string> {
  const switchOf = async (): Promise<{ active: string | null; term: number | null }> => {
    const shown = (await user.json('show', 'figure2')) as Shown
    const lan = shown.lans.find(({ name }) => name === 'lan1')
    if (lan === undefined) throw new Error('lan1 is not shown')
    return lan.vswitch
  }
  // Any candidate may have been the first to claim it; the one that dies here runs no machine.
  if ((await switchOf()).active !== victim) await user.violin('migrate', 'figure2/lan1', '--to', victim)
  const before = await switchOf()
  if (before.active !== victim) throw new Error(`${before.active} switches lan1, not ${victim}`)
  const pinging = new Pinging(user, 'figure2/vhost1', '192.168.1.3', pings)
  await pinging.answered(pingsBefore)
  await lab.host(victim).kill9()
  const { gapMs, lost, sent } = await pinging.silence(pings)
  const after = await switchOf()
  if (after.active === victim || after.active === null) throw new Error(`${victim} still switches`)
  if (gapMs > maxFailoverMs) throw new Error(`the vLAN was silent for ${gapMs} ms`)
  findings.failoverMs = gapMs
  return (
    `${victim} (term ${before.term}) is dead, ${after.active} switches (term ${after.term});\n` +
    `vhost1 to vhost2 was silent for ${gapMs} ms (${lost} of ${sent} pings lost)`
  )
}

async function addHost(user: LabHost): Promise<string> {
  const grown = figure2().replace(
    /^ {2}vhost4:.*$/m,
    (line) => `${line}\n  vhost5: { lan: lan2, on: princeton }`
  )
  const { status, stderr } = await user.try(['apply', '-'], { input: grown })
  if (status !== 0) throw new Error(stderr.trim())
  const out = await user.violin('exec', 'figure2/vhost5', '--', 'ping', '-c', '3', '-W', '2', 'vhost1')
  return out.split('\n').find((line) => line.includes('received')) ?? ''
}

async function remove(lab: Lab, steps: Steps): Promise<void> {
  await steps.step('figure2 is deleted: no machine and no slice is left on any host', async () => {
    await lab.host('chicago').violin('delete', 'figure2', '--yes')
    for (const host of lab.hosts) await assertIdle(host)
  })
  await steps.step('hosts end: no process, namespace, device, socket or file is left', async () => {
    await lab[Symbol.asyncDispose]()
    const left = lab.leftovers()
    if (left.length > 0) throw new Error(left.join(', '))
  })
}

/** Only the daemon runs on a host, and no slice's folder is there; a dead host runs nothing. */
async function assertIdle(host: LabHost): Promise<void> {
  const daemon = new Set(host.daemonProcesses().map(({ pid }) => pid))
  const others = host.processes().filter(({ pid }) => !daemon.has(pid))
  if (others.length > 0) throw new Error(`${host.name} still runs ${others.map(({ pid }) => pid).join(', ')}`)
  if (daemon.size === 0) return
  const slices = await readdir(joinPath(host.folder, 'slices')).catch(() => [])
  if (slices.length > 0) throw new Error(`${host.name} still has ${slices.join(', ')}`)
}

function stay(lab: Lab, steps: Steps): void {
  lab.linger()
  const { namespace, folder } = lab.host('chicago')
  const violin = `ip netns exec ${namespace} ${violinCommand()} --dir ${folder}`
  steps.say(`\nIt stays. Look around (as root):`)
  steps.show(
    [
      `alias v='${violin}'`,
      'v hosts',
      'v show figure2',
      'v console figure2/vhost1          # Ctrl-] leaves',
      'v exec figure2/vhost4 -- ip route',
      'v delete figure2 --yes',
      `${violinCommand()} lab down ${lab.plan.name}   # takes all of it away`
    ].join('\n')
  )
}

function summary(steps: Steps, { hops, failoverMs }: Findings, json: boolean): void {
  const held = steps.done.filter(({ ok }) => ok).length
  const silent = failoverMs === null ? '' : `, vSwitch replaced in ${failoverMs} ms`
  steps.say(
    `\n${held} of ${steps.done.length} steps held${silent}, in ${(steps.elapsedMs / 1000).toFixed(1)} s`
  )
  if (json) process.stdout.write(`${JSON.stringify({ ok: steps.ok, steps: steps.done, hops, failoverMs })}\n`)
}
