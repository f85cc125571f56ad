/** What may befall the host that runs an entity: when it runs elsewhere, and that it stays there. */
import { switchCandidates } from '#core/reconcile.ts'
import type { Fault } from '../faults.ts'
import { scenario } from '../scenario.ts'
import type { Family } from './list.ts'

const rounds = 5
/** Time between two faults, in which what befell is over and every entity runs again. */
const everyMs = 60_000
const awayMs = 30_000
/** Hosts of the VIOLIN, on whose vLAN all have a port; and its entities. */
const most = 8
const count = 3
/** A User-Mode Linux machine boots in about so long. */
const bootMs = [700, 2_500] as const

function again(name: string, why: string, faults: readonly Fault[]): Family {
  return {
    name,
    why,
    hosts: 10,
    make(hosts, random) {
      const all = [...Array(hosts).keys()]
      const members = random.sample(all, Math.min(most, hosts))
      const steps = Array.from({ length: rounds }, (_, round) => {
        const atMs = 10_000 + round * everyMs + Math.round(random.next() * 500)
        return faults.map((fault) => ({ atMs, fault }))
      }).flat()
      return scenario(name, why, hosts, {
        lans: [{ hosts: members, candidates: switchCandidates(members, members) }],
        violins: [
          { owner: random.below(hosts), hosts: members, entities: { lan: 0, count, bootMs, failures: 0 } }
        ],
        traffic: null,
        liveness: true,
        steps,
        restMs: 45_000
      })
    }
  }
}

const kill: Fault = { kind: 'kill', host: 'runner', forMs: awayMs }
const power: Fault = { kind: 'power', host: 'runner', forMs: awayMs }
const suspend: Fault = { kind: 'suspend', host: 'runner', forMs: awayMs }
const cut: Fault = { kind: 'cut', from: ['runner'], to: null, both: true, forMs: awayMs }
/** Longer than the cut: when frames come through again no record does. */
const numb: Fault = { kind: 'stall', host: 'runner', part: 'daemon', forMs: awayMs + 5_000 }

export const entities: readonly Family[] = [
  again('kill-runner', 'the host that runs an entity dies, its kernel answers', [kill]),
  again('power-runner', 'the host that runs an entity loses its power', [power]),
  again('suspend-runner', 'the host that runs an entity sleeps for a while, then goes on', [suspend]),
  again('cut-runner', 'the host that runs an entity is cut off, goes on alone, and comes back', [cut]),
  again('numb-runner', 'the same while its daemon does not run: its port is shut by the workers alone', [
    cut,
    numb
  ])
]
