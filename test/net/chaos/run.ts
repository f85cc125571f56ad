/** Rounds of faults under traffic, with calm after each, in which all must be well again within a bound. */
import { readFileSync } from 'node:fs'
import type { LabHost } from '#lab/host.ts'
import { Lab } from '#lab/lab.ts'
import { Random } from '../../../sim/random.ts'
import { apply, nearMs } from '../../e2e/world.ts'
import { amiss, befall, canMute } from './hosts.ts'
import { drawRound, faultKinds, say } from './script.ts'
import { type Place, Traffic } from './traffic.ts'

export interface ChaosOptions {
  readonly seed: number
  readonly hosts: number
  readonly minutes: number
  readonly log: (line: string) => void
}

export interface ChaosResult {
  readonly rounds: number
  readonly faults: number
  readonly received: number
  /** From the last fault's end until every flow flowed, and until all hosts agreed; the longest, ms. */
  readonly longestFlowMs: number
  readonly longestCalmMs: number
}

/**
 * After the last fault's end every flow has come again. A host that was killed boots its daemon, slices and
 * entities meanwhile, on a machine that runs all the hosts.
 */
const flowMs = 45_000
const calmMs = 60_000
const lookMs = 250
/** Two VIOLINs on the same hosts with the same addresses. */
const violins = ['red', 'blue'] as const

/** Throws with the log's last lines when something did not hold. Leaves nothing behind. */
export async function chaos(options: ChaosOptions): Promise<ChaosResult> {
  const { seed, minutes } = options
  const random = new Random(seed, 'chaos')
  const begun = performance.now()
  const lines: string[] = []
  const log = (line: string): void => {
    const text = `${((performance.now() - begun) / 1000).toFixed(1).padStart(7)} ${line}`
    lines.push(text)
    options.log(text)
  }
  const names = Array.from({ length: options.hosts }, (_, i) => `h${i + 1}`)
  await using lab = await Lab.create(names.map((name) => ({ name, delayMs: nearMs })))
  await lab.found()
  const { hosts } = lab
  const places = violins.flatMap((violin) =>
    hosts.map((host, i): Place => ({ violin, entity: entityOf(violin, i), host, ip: `10.0.0.${i + 1}` }))
  )
  using traffic = new Traffic(places)
  const kinds = canMute(hosts[0] as LabHost) ? faultKinds : faultKinds.filter((kind) => kind !== 'mute')
  const looking = setInterval(() => traffic.look(), lookMs)
  const result = { rounds: 0, faults: 0, longestFlowMs: 0, longestCalmMs: 0 }
  try {
    for (const [i, violin] of violins.entries()) await apply(hosts[i] as LabHost, topology(violin, names))
    log(`seed ${seed}, ${hosts.length} hosts, ${kinds.length} kinds of faults`)
    await flowing(traffic, performance.now())
    const end = performance.now() + minutes * 60_000
    while (performance.now() < end) {
      const faults = drawRound(random, hosts.length, kinds)
      await round(faults)
      result.rounds++
      result.faults += faults.length
      const calm = performance.now()
      result.longestFlowMs = Math.max(result.longestFlowMs, await flowing(traffic, calm))
      result.longestCalmMs = Math.max(result.longestCalmMs, await agreed(calm))
      log(`round ${result.rounds} is well again, ${traffic.received} datagrams so far`)
      unbroken()
    }
    return { ...result, received: traffic.received }
  } catch (error: unknown) {
    const again = `bin/run test/net/chaos.ts --seed ${seed} --hosts ${hosts.length} --minutes ${minutes}`
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(
      `${reason}\nagain: ${again}\n${lines.slice(-30).join('\n')}\n${hosts.map(lastWords).join('\n')}`,
      {
        cause: error
      }
    )
  } finally {
    clearInterval(looking)
  }

  /** Carries faults out at their times, each undone at its end, whatever becomes of the others. */
  async function round(faults: ReturnType<typeof drawRound>): Promise<void> {
    const from = performance.now()
    // One host at a time has one fault: the next one there waits until it is over.
    const busy = new Map<number, Promise<void>>()
    await Promise.all(
      faults.map(async (fault) => {
        await pause(from + fault.atMs - performance.now())
        const before = busy.get(fault.host) ?? Promise.resolve()
        const done = before.then(async () => {
          log(say(fault, names))
          const undo = await befall(fault, hosts)
          await pause(fault.forMs)
          await undo()
        })
        busy.set(fault.host, done)
        await done
      })
    )
    log('calm')
  }

  /** Waits until each flow came after a time; gives how long that took. */
  async function flowing(flows: Traffic, since: number): Promise<number> {
    for (;;) {
      const silent = flows.silentSince(since)
      if (silent.length === 0) return performance.now() - since
      if (performance.now() - since > flowMs)
        throw new Error(`nothing comes by ${silent.slice(0, 8).join(', ')}`)
      await pause(lookMs)
    }
  }

  async function agreed(since: number): Promise<number> {
    let last = ''
    for (;;) {
      const wrong = (await amiss(hosts, violins)).join('; ')
      if (wrong === '') return performance.now() - since
      if (performance.now() - since > calmMs) throw new Error(wrong)
      if (wrong !== last) log(`amiss: ${wrong}`)
      last = wrong
    }
  }

  function unbroken(): void {
    const { breaches } = traffic
    if (breaches.length > 0)
      throw new Error(
        `${breaches.length} breaches: ${breaches
          .slice(0, 5)
          .map(({ at, what }) => `${((at - begun) / 1000).toFixed(2)} ${what}`)
          .join('; ')}`
      )
  }
}

/** The end of a daemon's log. */
function lastWords(host: LabHost): string {
  const said = readFileSync(host.log, 'utf8').trimEnd().split('\n').slice(-12)
  return `${host.name}'s log:\n${said.map((line) => line.slice(0, 400)).join('\n')}`
}

function entityOf(violin: string, host: number): string {
  return `${violin}${host + 1}`
}

function topology(violin: string, names: readonly string[]): string {
  const entities = names.map(
    (name, i) => `  ${entityOf(violin, i)}: { lan: lan1, on: ${name}, ip: 10.0.0.${i + 1} }`
  )
  return `name: ${violin}\ndriver: netns\nlans:\n  lan1: { subnet: 10.0.0.0/24 }\nhosts:\n${entities.join('\n')}\n`
}

async function pause(ms: number): Promise<void> {
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms))
}
