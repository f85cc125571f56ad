import { beatMs, maxWitnesses, slowBeatMs } from '#core/election/settings.ts'
import type { HostKey, Mac } from '#core/ids.ts'
import { weatherStallMs } from '../befall.ts'
import type { Host } from '../host.ts'
import type { Lan } from '../slice.ts'
import type { World } from '../world.ts'
import type { Invariant } from './invariant.ts'

/** Chance that all that was sent in this time got lost. */
const unlikely = 1e-7

interface Side {
  readonly host: Host
  readonly lan: Lan
  readonly claim: number
  readonly openedAt: number
}

/** No port forwards under a claim that is superseded, once both hosts are in contact through the vLAN's switch. */
export const supersededPorts: Invariant = {
  name: 'superseded-ports',
  why: 'two machines with one address answer for each other: after a partition one port is shut within a beat',
  watch(world) {
    if (world.scenario.violins.every(({ entities }) => entities === undefined)) return {}
    /** When what a host says of its switch changed last, by `host lan`. */
    const changedAt = new Map<string, number>()
    return {
      see(seen) {
        if (seen.kind === 'view') changedAt.set(`${seen.host} ${seen.lan}`, world.clock.now)
      },
      look() {
        for (const index of world.scenario.lans.keys()) {
          const lans = world.hosts.flatMap((host): [Host, Lan][] => {
            const lan = host.running ? host.slice.lans.get(index) : undefined
            return lan === undefined ? [] : [[host, lan]]
          })
          for (const [mac, sides] of openSides(lans)) {
            for (const lower of sides) for (const higher of sides) check(index, lans, mac, lower, higher)
          }
        }
      }
    }

    function check(index: number, lans: readonly [Host, Lan][], mac: Mac, lower: Side, higher: Side): void {
      if (lower.claim >= higher.claim) return
      for (const [at, lan] of lans) {
        if (lan.view.role !== 'active') continue
        const both = [lower, higher].every(({ host, lan: own }) => host === at || follows(own, at.key))
        const know = [lan, lower.lan, higher.lan].every((one) =>
          lists(one, mac, higher.claim, [lower.host.key, higher.host.key])
        )
        if (!both || !know) continue
        const hosts = [...new Set([at, lower.host, higher.host])]
        const since = Math.max(
          lower.openedAt,
          higher.openedAt,
          ...[lan, lower.lan, higher.lan].map(({ ownedAt }) => ownedAt),
          ...hosts.map(({ place, worker }) =>
            Math.max(changedAt.get(`${place} ${index}`) ?? 0, worker.stalled ? Infinity : worker.resumedAt)
          ),
          ...hosts.map((host) => (host === at ? 0 : contactSince(world, host, at)))
        )
        if (world.clock.now - since <= allowedMs(world, lans.length, at, hosts)) continue
        world.violate(
          'superseded-ports',
          `the port of ${mac} on host ${lower.host.place} is open under claim ${lower.claim}, above which ` +
            `${higher.host.place} has ${higher.claim}: both follow ${at.place} for ${Math.round(world.clock.now - since)} ms`
        )
      }
    }
  }
}

/** Open ports of entities that are on more than one host. */
function openSides(lans: readonly [Host, Lan][]): Map<Mac, Side[]> {
  const open = new Map<Mac, Side[]>()
  for (const [host, lan] of lans)
    for (const [mac, { port, claim, openedAt }] of lan.ports) {
      if (port !== 0) open.set(mac, [...(open.get(mac) ?? []), { host, lan, claim, openedAt }])
    }
  for (const [mac, sides] of open) if (sides.length < 2) open.delete(mac)
  return open
}

function follows({ view }: Lan, active: HostKey): boolean {
  return view.role !== 'active' && view.active === active
}

/** Whether a host knows that both are listed for the MAC, and that there can be such a claim. */
function lists({ owners }: Lan, mac: Mac, claim: number, hosts: readonly HostKey[]): boolean {
  return [...owners.values()].some((macs) => {
    const owner = macs.get(mac)
    return owner !== undefined && claim <= owner.maxClaim && hosts.every((host) => owner.hosts.includes(host))
  })
}

function contactSince(world: World, a: Host, b: Host): number {
  const trunk = world.trunk(a, b)
  return trunk === undefined || !world.network.connects(a.place, b.place)
    ? Infinity
    : Math.max(...trunk.upSince, world.changedAt)
}

/** One beat of those that the switch sends there, a round trip and a stall; what is lost comes with a later beat. */
function allowedMs(world: World, size: number, at: Host, hosts: readonly Host[]): number {
  const { loss, jitterMs } = world.scenario.network
  const worst = typeof loss === 'number' ? loss : Math.max(...loss.flat())
  const rttMs = Math.max(
    ...hosts.map((host) => (host === at ? 0 : world.network.rttMs(host.place, at.place)))
  )
  const everyMs = size > maxWitnesses + 1 ? slowBeatMs : beatMs
  const beats = worst === 0 ? 1 : Math.ceil(Math.log(unlikely) / Math.log(1 - (1 - worst) ** 2))
  return beats * everyMs + rttMs + 2 * jitterMs + weatherStallMs
}
