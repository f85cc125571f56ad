/** What a new wish for an entity means for its machine: nothing, a change while it runs, or another machine. Pure. */
import { resolvPath } from '#core/routing/paths.ts'
import { same, withoutLinks } from '#core/same.ts'
import type { SpecEntity, SpecNic } from '#core/spec.ts'
import type { SliceEntity } from '../contract.ts'

/** Words of an entity that are no part of its machine. */
const elsewhere: Partial<SliceEntity> = {
  hosts: [],
  pinned: false,
  restart: 'failover',
  generation: 0,
  claim: 0
}

/** Nothing changed that a machine is made of: where else it may run, and how frames fare outside of it, is not its business. */
export function sameMachine(a: SliceEntity, b: SliceEntity): boolean {
  const made = (entity: SliceEntity): unknown => ({
    ...entity,
    ...elsewhere,
    nics: withoutLinks(entity.nics)
  })
  return same(made(a), made(b))
}

/** What a machine that runs can take on: other vNICs, other ways, and what its services are told of others. */
export function isLiveChange(runs: SliceEntity, want: SliceEntity): boolean {
  const isTold = (path: string): boolean =>
    [runs, want].every(({ retold, files }) => {
      if (retold?.includes(path) === true) return true
      // It comes and goes with the vLANs on which somebody serves names; nothing is started for it.
      return path === resolvPath && !files.some((file) => file.path === path)
    })
  // Rules are what a file is made of.
  const rest = ({ rules: _rules, retold: _retold, ...one }: SliceEntity): SliceEntity => ({
    ...one,
    nics: [],
    routes: [],
    files: one.files.filter(({ path }) => !isTold(path))
  })
  return !sameMachine(runs, want) && sameMachine(rest(runs), rest(want))
}

/** vNICs by what becomes of them: one of the same name on another vLAN is another. */
export function nicChanges(
  before: Pick<SpecEntity, 'nics'>,
  after: Pick<SpecEntity, 'nics'>
): { readonly gone: readonly SpecNic[]; readonly added: readonly SpecNic[] } {
  const isIn = (nics: readonly SpecNic[], nic: SpecNic): boolean =>
    nics.some(({ name, lan }) => name === nic.name && lan === nic.lan)
  return {
    gone: before.nics.filter((nic) => !isIn(after.nics, nic)),
    added: after.nics.filter((nic) => !isIn(before.nics, nic))
  }
}
