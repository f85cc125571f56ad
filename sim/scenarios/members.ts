/**
 * What may befall the mesh: partitions while hosts join, silence of gossip, hosts that come and go, liars.
 */
import type { Step } from '../faults.ts'
import { rough } from '../network.ts'
import { type LanPlan, scenario } from '../scenario.ts'
import type { Family } from './list.ts'

const small = { lans: [], traffic: null } as const
/** Hosts of a VIOLIN whose news is timed. */
const violinHosts = 10

function eightOf(first: number, hosts: number): number[] {
  return Array.from({ length: Math.min(8, hosts) }, (_, i) => (first + i) % hosts)
}

function lanOf(hosts: readonly number[]): LanPlan {
  return { hosts, candidates: hosts.slice(0, 3) }
}

export const members: readonly Family[] = [
  {
    name: 'join-storm',
    why: 'more newcomers than slots redeem one invite on both sides of a partition',
    hosts: 20,
    make(hosts, random) {
      const newcomers = 12
      const half = Array.from({ length: hosts + newcomers }, (_, place) => place).filter(
        (place) => place % 2 === 1
      )
      const steps: Step[] = [{ atMs: 0, fault: { kind: 'partition', hosts: half, forMs: 20_000 } }]
      for (let i = 0; i < newcomers; i++) {
        const host = hosts + i
        const via = (host % 2) + 2 * random.below(Math.floor(hosts / 2))
        steps.push({ atMs: 1_000 + random.next() * 200, fault: { kind: 'join', host, invite: 0, via } })
      }
      return scenario('join-storm', this.why, hosts, {
        ...small,
        newcomers,
        invites: [8],
        steps,
        restMs: 60_000
      })
    }
  },
  {
    name: 'silence',
    why: 'gossip delivers nothing: repair alone brings all to the same',
    hosts: 50,
    make(hosts, random) {
      const steps: Step[] = [{ atMs: 0, fault: { kind: 'no-gossip', forMs: 30_000 } }]
      for (let i = 0; i < 20; i++) {
        steps.push({ atMs: random.next() * 5_000, fault: { kind: 'publish', host: random.below(hosts) } })
      }
      return scenario('silence', this.why, hosts, { ...small, network: rough, steps, restMs: 30_000 })
    }
  },
  {
    name: 'churn',
    why: 'hosts die and come back, publish, are cut off: all agree afterwards',
    hosts: 50,
    make(hosts, random) {
      const churn = { kind: 'churn', everyMs: 1_000, awayMs: 10_000, forMs: 60_000 } as const
      const steps: Step[] = [{ atMs: 0, fault: churn }]
      for (let i = 0; i < 60; i++)
        steps.push({ atMs: random.next() * 60_000, fault: { kind: 'publish', host: random.below(hosts) } })
      return scenario('churn', this.why, hosts, { ...small, network: rough, steps, restMs: 40_000 })
    }
  },
  {
    name: 'liar',
    why: 'a member spreads records of hosts that nobody let in, another is put out for ever',
    hosts: 20,
    make: (hosts, random) =>
      scenario('liar', 'nobody believes a forgery', hosts, {
        ...small,
        steps: [
          ...Array.from({ length: 10 }, (_, i): Step => ({
            atMs: i * 100,
            fault: { kind: 'lie', host: random.below(hosts), lie: 'forged-member' }
          })),
          { atMs: 2_000, fault: { kind: 'revoke', host: 1 + random.below(hosts - 1) } }
        ],
        restMs: 20_000
      })
  },
  {
    name: 'calm',
    why: 'a mesh in which nothing befalls anybody: for every hundred hosts a VIOLIN of eight with a vLAN',
    hosts: 100,
    make(hosts) {
      const lans = Array.from({ length: Math.max(1, Math.floor(hosts / 100)) }, (_, turn) =>
        lanOf(eightOf(100 * turn, hosts))
      )
      const violins = lans.map(({ hosts }) => ({ owner: hosts[0] as number, hosts }))
      return scenario('calm', this.why, hosts, {
        lans,
        violins,
        liveness: true,
        traffic: null,
        restMs: 60_000
      })
    }
  },
  {
    name: 'busy',
    why: 'every host is in a vLAN of eight: what elections cost',
    hosts: 100,
    make(hosts) {
      const lans = Array.from({ length: Math.max(1, Math.floor(hosts / 8)) }, (_, turn) =>
        lanOf(eightOf(8 * turn, hosts))
      )
      return scenario('busy', this.why, hosts, { lans, traffic: null, restMs: 20_000 })
    }
  },
  {
    name: 'violin-news',
    why: 'a VIOLIN of ten hosts is created, changed, moved and ended: how long until all its hosts know',
    hosts: 100,
    make(hosts, random) {
      const all = Array.from({ length: hosts }, (_, place) => place)
      const violins = Array.from({ length: 10 }, () => ({ owner: random.below(hosts), hosts: [] }))
      const steps: Step[] = violins.flatMap((_, violin) => {
        const created = random.sample(all, violinHosts)
        const moved = [...created.slice(violinHosts / 2), ...random.sample(all, violinHosts / 2)]
        return [created, created, moved].map((named, turn): Step => ({
          atMs: violin * 4_000 + turn * 1_300,
          fault: { kind: 'change', violin, hosts: [...new Set(named)] }
        }))
      })
      return scenario('violin-news', this.why, hosts, { ...small, violins, steps, restMs: 10_000 })
    }
  },
  {
    name: 'owner-on-two',
    why: 'an owner signs on two hosts that are cut off from each other, each time without the hosts of the other',
    hosts: 10,
    least: 4,
    make(hosts, random) {
      const [owner, copy, ...others] = random.sample([...Array(hosts).keys()], hosts) as [number, number]
      const near = [owner, ...others.slice(0, others.length / 2)]
      const far = [copy, ...others.slice(others.length / 2)]
      const some = (of: readonly number[]): number[] => [of[0] as number, ...random.sample(of.slice(1), 2)]
      const steps = Array.from({ length: 3 }, (_, turn): Step[] => {
        const atMs = 5_000 + 40_000 * turn
        const change = { kind: 'change', violin: 0 } as const
        return [
          { atMs, fault: { ...change, hosts: [...new Set([owner, copy, ...some(others)])] } },
          { atMs: atMs + 3_000, fault: { kind: 'partition', hosts: near, forMs: 15_000 } },
          { atMs: atMs + 8_000, fault: { ...change, hosts: some(near) } },
          { atMs: atMs + 9_000, fault: { ...change, hosts: some(far), by: copy } }
        ]
      }).flat()
      const violins = [{ owner, copies: [copy], hosts: [owner] }]
      return scenario('owner-on-two', this.why, hosts, { ...small, violins, steps, restMs: 40_000 })
    }
  },
  {
    name: 'quiet',
    why: 'records and repair alone, nothing happens: the cost of being there',
    hosts: 1_000,
    make: (hosts) => scenario('quiet', 'the cost of being there', hosts, { ...small, restMs: 60_000 })
  },
  {
    name: 'news',
    why: 'one host publishes again and again: how long until all know',
    hosts: 100,
    make: (hosts) =>
      scenario('news', 'how fast news is', hosts, {
        ...small,
        steps: Array.from({ length: 10 }, (_, i): Step => ({
          atMs: i * 1_000,
          fault: { kind: 'publish', host: (i * 7) % hosts }
        })),
        restMs: 10_000
      })
  }
]
