/**
 * What may befall single hosts and the ways between them, a scenario for each kind: wrong clocks, disks,
 * backups, NATs, continents, sleep, ways that are open on one side only.
 */
import { type Fault, type Lie, type Step, lies } from '../faults.ts'
import { rough, wide } from '../network.ts'
import type { Random } from '../random.ts'
import { type Scenario, scenario } from '../scenario.ts'
import type { Family } from './list.ts'

const hourMs = 3600_000
const recordsAlone = { lans: [], traffic: null } as const
/** Everyone says something new of itself this often while other things happen. */
const publishEveryMs = 1_500

/** `count` faults at random within `withinMs`, while hosts publish. */
function among(
  name: string,
  why: string,
  hosts: number,
  shape: {
    readonly count: number
    readonly withinMs: number
    readonly least?: number
    readonly fault: (random: Random, hosts: number, turn: number) => Fault
    readonly change?: Partial<Scenario>
  }
): Family {
  return {
    name,
    why,
    hosts,
    ...(shape.least === undefined ? {} : { least: shape.least }),
    make(count, random) {
      const steps: Step[] = []
      for (let turn = 0; turn < shape.count; turn++)
        steps.push({ atMs: random.next() * shape.withinMs, fault: shape.fault(random, count, turn) })
      for (let atMs = 0; atMs < shape.withinMs; atMs += publishEveryMs)
        steps.push({ atMs, fault: { kind: 'publish', host: random.below(count) } })
      steps.sort((a, b) => a.atMs - b.atMs)
      return scenario(name, why, count, { ...recordsAlone, steps, restMs: 40_000, ...shape.change })
    }
  }
}

const allLies = Object.keys(lies) as readonly Lie[]
const firstLan = (hosts: number): number[] => Array.from({ length: Math.min(hosts, 10) }, (_, place) => place)

export const faults: readonly Family[] = [
  among('skew', 'clocks are wrong by up to four hours, and are set right again', 30, {
    count: 15,
    withinMs: 60_000,
    fault: (random, hosts) => ({
      kind: 'skew',
      host: random.below(hosts),
      byMs: Math.round(random.between(-4, 4) * hourMs),
      forMs: random.between(5_000, 30_000)
    })
  }),
  among('backups', 'hosts come back from backups, with old records and old versions of their own', 30, {
    count: 15,
    withinMs: 60_000,
    fault: (random, hosts) => ({
      kind: 'backup',
      host: random.below(hosts),
      forMs: random.between(2_000, 30_000)
    })
  }),
  among('disks', 'disks fill up, hosts die before they could write, others lose all records', 30, {
    count: 30,
    withinMs: 60_000,
    fault: (random, hosts, turn) => {
      const host = random.below(hosts)
      const forMs = random.between(2_000, 15_000)
      if (turn % 3 === 0) return { kind: 'disk-lost', host, forMs }
      return turn % 3 === 1 ? { kind: 'disk-full', host, forMs: 2 * forMs } : { kind: 'kill', host, forMs }
    }
  }),
  among('sleepers', 'machines sleep for minutes and wake as if nothing had been', 20, {
    count: 10,
    withinMs: 120_000,
    least: 8,
    fault: (random, hosts) => ({
      kind: 'suspend',
      host: random.below(hosts),
      forMs: random.between(30_000, 300_000)
    }),
    change: {
      lans: [{ hosts: [0, 1, 2, 3, 4, 5, 6, 7], candidates: [0, 1, 2, 3] }],
      traffic: { kind: 'broadcast', everyMs: 500 }
    }
  }),
  among('liars', 'members tell every kind of lie', 20, {
    count: 24,
    withinMs: 30_000,
    least: 8,
    fault: (random, hosts, turn) => {
      const lie = allLies[turn % allLies.length] as Lie
      return { kind: 'lie', host: lie === 'minting' ? 0 : random.below(hosts), lie }
    },
    change: {
      liveness: true,
      lans: [{ hosts: [0, 1, 2, 3, 4, 5, 6, 7], candidates: [0, 1, 2] }],
      violins: [{ owner: 0, hosts: [1, 2], entities: { lan: 0, count: 2, bootMs: [200, 600], failures: 0 } }]
    }
  }),
  among('regions', 'three continents with loss between them, hosts die, the switches stay one each', 24, {
    count: 8,
    withinMs: 60_000,
    least: 16,
    fault: (random, hosts, turn) => ({
      kind: turn % 2 === 0 ? 'kill' : 'power',
      host: turn % 4 === 0 ? 'active' : random.below(hosts),
      forMs: random.between(3_000, 10_000)
    }),
    change: {
      network: wide,
      lans: [
        { hosts: [0, 1, 2, 3, 4, 5, 6, 7, 8], candidates: [0, 1, 2] },
        { hosts: [9, 12, 15, 10], candidates: [9, 12] }
      ]
    }
  }),
  among('nats', 'half of the hosts are behind NATs that come and go: all records reach all', 40, {
    count: 6,
    withinMs: 60_000,
    fault: (random, hosts) => ({
      kind: 'nat',
      hosts: random.sample(
        Array.from({ length: hosts }, (_, place) => place),
        Math.floor(hosts / 2)
      ),
      forMs: random.between(10_000, 30_000)
    }),
    change: { network: rough }
  }),
  among('one-way', 'ways are open in one direction only, between any two', 16, {
    count: 40,
    withinMs: 60_000,
    least: 10,
    fault: (random, hosts) => {
      const [from, to] = random.sample(firstLan(hosts), 2) as [number, number]
      return { kind: 'cut', from: [from], to: [to], both: false, forMs: random.between(1_000, 15_000) }
    },
    change: { lans: [{ hosts: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], candidates: [0, 1, 2, 3] }] }
  }),
  {
    name: 'around-switch',
    why: 'the active is cut off from some, in one direction or both, while it reaches the others',
    hosts: 10,
    make(hosts, random) {
      const steps = Array.from({ length: 20 }, (_, round): Step => {
        const some = random.sample(firstLan(hosts), 1 + random.below(Math.floor(hosts / 2)))
        const forMs = random.between(500, 8_000)
        const both = random.chance(0.3)
        const fault: Fault = random.chance(0.5)
          ? { kind: 'cut', from: ['active'], to: some, both, forMs }
          : { kind: 'cut', from: some, to: ['active'], both, forMs }
        return { atMs: round * 12_000, fault }
      })
      return scenario('around-switch', this.why, hosts, { records: false, steps, restMs: 10_000 })
    }
  },
  {
    name: 'newcomers',
    why: 'hosts join a mesh that is there: how long until they know all, and all know them',
    hosts: 1_000,
    make(hosts) {
      const newcomers = 10
      const steps = Array.from({ length: newcomers }, (_, turn): Step => ({
        atMs: turn * 2_000,
        fault: { kind: 'join', host: hosts + turn, invite: 0, via: (turn * 97) % hosts }
      }))
      return scenario('newcomers', this.why, hosts, {
        ...recordsAlone,
        newcomers,
        invites: [newcomers],
        steps,
        restMs: 30_000
      })
    }
  }
]
