import type { Host } from '../host.ts'
import type { Invariant } from './invariant.ts'
import { cutIn } from './shut-out.ts'

/** After the time of rest all members hold the same records. */
export const converged: Invariant = {
  name: 'converged',
  why: 'all decisions rest on records: whatever was lost, repair brings every host to the same',
  watch: (world) => ({
    end() {
      if (!world.scenario.records) return
      const isCut = cutIn(world)
      const hosts = world.members.filter((host) => host.running && !isCut(host.records.chain))
      const [first, ...others] = hosts
      if (first === undefined) return
      const wanted = hashes(first)
      for (const host of others) {
        const held = hashes(host)
        if (held === wanted) continue
        const lacks = first.records.set.entries('mesh').filter((one) => !holds(host, one.hash)).length
        const more = host.records.set.entries('mesh').filter((one) => !holds(first, one.hash)).length
        world.violate(
          'converged',
          `host ${host.place} lacks ${lacks} records of ${first.place}, has ${more} more`
        )
        return
      }
      for (const host of hosts) {
        const { published } = host.records
        const held = first.records.set.get('host', host.signer.publicKey, '')
        if (published === null || held?.hash === published.hash) continue
        world.violate('converged', `what host ${host.place} published last is not what all hold`)
        return
      }
    }
  })
}

function hashes(host: Host): string {
  const { set } = host.records
  return `${set.tree('revocations')?.sum ?? 0n} ${set.tree('hosts')?.sum ?? 0n}`
}

function holds(host: Host, hash: string): boolean {
  return host.records.set.entries('mesh').some((record) => record.hash === hash)
}
