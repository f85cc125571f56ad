/** Who is alive, with the member list known to all: deaths of single hosts, and weather in which nobody dies. */
import type { Step } from '../faults.ts'
import { rough } from '../network.ts'
import { scenario } from '../scenario.ts'
import type { Family } from './list.ts'

const alone = { lans: [], traffic: null, records: false, liveness: true } as const
const awayMs = 10_000
/** Time between two deaths, in which all come to see the living as alive. */
const everyMs = 25_000
const hourMs = 3600_000

export const lives: readonly Family[] = [
  {
    name: 'death',
    why: 'one host is killed, one loses its power, one is cut off: when 99 % of hosts hold it dead',
    hosts: 100,
    least: 4,
    make(hosts, random) {
      const [killed, dark, cut] = random.sample([...Array(hosts).keys()], 3) as [number, number, number]
      const steps: Step[] = [
        { atMs: 0, fault: { kind: 'kill', host: killed, forMs: awayMs } },
        { atMs: everyMs, fault: { kind: 'power', host: dark, forMs: awayMs } },
        { atMs: 2 * everyMs, fault: { kind: 'cut', from: [cut], to: null, both: true, forMs: awayMs } }
      ]
      return scenario('death', this.why, hosts, { ...alone, steps, restMs: 20_000 })
    }
  },
  {
    name: 'death-in-weather',
    why: 'the same with five per cent of loss and stalls of 300 ms',
    hosts: 100,
    least: 4,
    make(hosts, random) {
      const death = lives[0] as Family
      return {
        ...death.make(hosts, random),
        name: 'death-in-weather',
        why: this.why,
        network: rough,
        stalls: { everyMs: 5_000, ms: 300 }
      }
    }
  },
  {
    name: 'lives',
    why: 'five per cent of loss and stalls of 300 ms of any process, for an hour: nobody is held dead',
    hosts: 100,
    make: (hosts) =>
      scenario('lives', 'weather kills nobody', hosts, {
        ...alone,
        network: rough,
        stalls: { everyMs: 5_000, ms: 300 },
        restMs: hourMs
      })
  }
]
