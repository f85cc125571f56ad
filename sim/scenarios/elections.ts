/**
 * What may befall the switch of one vLAN, again and again: how long frames between two others stay away.
 */
import type { Fault } from '../faults.ts'
import { rough } from '../network.ts'
import type { Random } from '../random.ts'
import { type Scenario, type Stalls, scenario } from '../scenario.ts'
import type { Family } from './list.ts'

const rounds = 20
/** What befalls one host is told by frames between two others. */
const leastForFrames = 3

/**
 * The plain weather: stalls of a host befall its worker, its main thread, its daemon or all at once, so that each
 * of these processes stalls once a minute.
 */
const plainStalls: Stalls = { everyMs: 30_000, ms: 300, leastMs: 300 }
/** So many times as many come in the dense weather. */
export const denser = 10
/** The active, its standby, and one witness that can object: with more a takeover needs more to be wrong. */
export const lanHosts = 3
/**
 * An election forgets a stall in less: it lasts 300 ms, and an echo counts for 1,250 ms after it (settings.ts). In calm
 * a takeover needs every beat of half a second lost, ten in a row: at 5 % once in 10¹³.
 */
const calmMs = 2_000
/** Stalls of workers in a switch-hour of the plain weather. */
export const stallsPerHour: number = 60 * lanHosts

/** One fault after another, with time between in which all comes right. */
function again(
  name: string,
  why: string,
  hosts: number,
  everyMs: number,
  fault: (random: Random, hosts: number) => readonly Fault[],
  change: Partial<Scenario> = {},
  least = leastForFrames
): Family {
  return {
    name,
    why,
    hosts,
    least,
    make: (count, random) => {
      const steps = Array.from({ length: rounds }, (_, round) => {
        const atMs = round * everyMs + random.next() * 500
        return fault(random, count).map((one) => ({ atMs, fault: one }))
      }).flat()
      const ring = { kind: 'ring', everyMs: 10 } as const
      return scenario(name, why, count, { records: false, traffic: ring, steps, restMs: 4_000, ...change })
    }
  }
}

/** Weather on many vLANs in one world: the most switch-hours for the time that it takes. */
function weathers(name: string, why: string, stalls: Stalls): Family {
  return {
    name,
    why,
    hosts: 100 * lanHosts,
    least: lanHosts,
    make(count) {
      const lans = Array.from({ length: Math.floor(count / lanHosts) }, (_, lan) => {
        const hosts = Array.from({ length: lanHosts }, (_, turn) => lanHosts * lan + turn)
        return { hosts, candidates: hosts }
      })
      const change = { records: false, lans, network: rough, stalls, traffic: null, restMs: 600_000 }
      return scenario(name, why, count, change)
    }
  }
}

export const elections: readonly Family[] = [
  again('kill-active', 'the active dies, its kernel answers', 10, 8_000, () => [
    { kind: 'kill', host: 'active', forMs: 3_000 }
  ]),
  again('freeze-active', 'the active stops for a while, then goes on', 10, 12_000, () => [
    { kind: 'stall', host: 'active', part: 'all', forMs: 5_000 }
  ]),
  again('power-active', 'the active loses its power', 10, 10_000, () => [
    { kind: 'power', host: 'active', forMs: 4_000 }
  ]),
  again('cut-active', 'the active is cut off, both ways', 10, 12_000, () => [
    { kind: 'cut', from: ['active'], to: null, both: true, forMs: 5_000 }
  ]),
  again('mute-active', 'nobody hears the active, which hears all', 10, 12_000, () => [
    { kind: 'cut', from: ['active'], to: null, both: false, forMs: 5_000 }
  ]),
  again('deaf-active', 'the active hears nobody, all hear it', 10, 14_000, (_random, hosts) => [
    {
      kind: 'cut',
      from: Array.from({ length: hosts }, (_, place) => place),
      to: ['active'],
      both: false,
      forMs: 7_000
    }
  ]),
  again('link-active', 'active and standby do not hear each other, all others hear both', 8, 10_000, () => [
    { kind: 'cut', from: ['active'], to: ['standby'], both: true, forMs: 4_000 }
  ]),
  again('one-way-link', 'the standby does not hear the active, which hears it', 8, 10_000, () => [
    { kind: 'cut', from: ['active'], to: ['standby'], both: false, forMs: 4_000 }
  ]),
  again(
    'link-edge',
    'an edge and the active do not hear each other, all others hear both and pass on what they send',
    8,
    16_000,
    (random, hosts) => [
      { kind: 'cut', from: ['active'], to: [random.below(hosts)], both: random.chance(0.5), forMs: 10_000 }
    ],
    { traffic: { kind: 'broadcast', everyMs: 50 } }
  ),
  again(
    'kill-both',
    'active and standby die at once',
    10,
    12_000,
    () => [
      { kind: 'kill', host: 'standby', forMs: 4_000 },
      { kind: 'kill', host: 'active', forMs: 4_000 }
    ],
    {},
    leastForFrames + 1
  ),
  again(
    'partition',
    'a part is cut off and heals',
    8,
    16_000,
    (random, hosts) => {
      const all = Array.from({ length: hosts }, (_, place) => place)
      return [{ kind: 'partition', hosts: random.sample(all, 1 + random.below(hosts - 1)), forMs: 8_000 }]
    },
    { traffic: { kind: 'broadcast', everyMs: 50 } }
  ),
  again('return', 'a switch that was lost comes back to its place', 8, 90_000, () => [
    { kind: 'kill', host: 'active', forMs: 3_000 }
  ]),
  again('handoff', 'the switch moves as planned', 8, 3_000, () => [{ kind: 'handoff', to: null }]),
  weathers('weathers', 'each process stalls for 300 ms once a minute, many vLANs of three', plainStalls),
  weathers('weathers-dense', 'the same with ten times as many stalls', {
    ...plainStalls,
    everyMs: plainStalls.everyMs / denser
  }),
  {
    name: 'weathers-shortened',
    why: 'the plain weather of one vLAN, but for long calm in which nothing can happen',
    hosts: lanHosts,
    least: lanHosts,
    make: (count) =>
      scenario('weathers-shortened', 'stalls of 300 ms, whatever lies between, take nothing over', count, {
        records: false,
        network: rough,
        stalls: { ...plainStalls, calmMs },
        traffic: null,
        restMs: 3_600_000
      })
  },
  {
    name: 'weather',
    why: 'five per cent of loss and stalls of 300 ms of any thread: nobody takes over',
    hosts: 8,
    make: (count) =>
      scenario('weather', 'loss and stalls are no faults', count, {
        records: false,
        network: rough,
        stalls: { everyMs: 5_000, ms: 300 },
        traffic: { kind: 'ring', everyMs: 100 },
        restMs: 600_000
      })
  }
]
