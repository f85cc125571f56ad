/** What befalls hosts, and when: all of it from one seed, so that a run can be had again. */
import type { Random } from '../../../sim/random.ts'

export const faultKinds = [
  /** `kill -9` of all that runs on a host; its daemon starts again. */
  'kill',
  /** `kill -9` of the daemon alone, whose slices go on. */
  'kill-daemon',
  /** The daemon ends in good order and starts again. */
  'restart',
  /** SIGSTOP and SIGCONT of all that runs on a host. */
  'stall',
  /** The same of its slices only. */
  'stall-slices',
  /** The cable pulled and put back. */
  'cut',
  /** It hears, and nobody hears it. */
  'mute',
  /** One way between two hosts is no way any more; the other is. */
  'one-way'
] as const
export type FaultKind = (typeof faultKinds)[number]

export interface Fault {
  readonly kind: FaultKind
  /** From the start of its round, and for how long, ms. */
  readonly atMs: number
  readonly forMs: number
  /** Places of hosts. */
  readonly host: number
  readonly other: number
}

/** Bounds of what is drawn. */
const faultsPerRound = { least: 3, most: 7 }
const everyMs = 2_500
const shortestMs = 200
/** Half of them end within a stall that is no death, the others outlast every patience. */
const longestMs = 6_000

/** One round of faults; calm follows it. */
export function drawRound(random: Random, hosts: number, kinds: readonly FaultKind[]): readonly Fault[] {
  const count = faultsPerRound.least + random.below(faultsPerRound.most - faultsPerRound.least + 1)
  const faults: Fault[] = []
  let atMs = 0
  for (let i = 0; i < count; i++) {
    atMs += random.below(everyMs)
    const host = random.below(hosts)
    const forMs = random.chance(0.5) ? random.between(shortestMs, 400) : random.between(shortestMs, longestMs)
    faults.push({
      kind: random.pick(kinds),
      atMs,
      forMs: Math.round(forMs),
      host,
      other: (host + 1 + random.below(hosts - 1)) % hosts
    })
  }
  return faults
}

export function say(fault: Fault, names: readonly string[]): string {
  const other = fault.kind === 'one-way' ? ` to ${names[fault.other] ?? ''}` : ''
  return `${fault.kind} ${names[fault.host] ?? ''}${other} for ${fault.forMs} ms`
}
