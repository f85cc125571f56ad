/** What an `apply` would do: two specs compared, in words. */
import type { HostId, Mac } from './ids.ts'
import type { Placement } from './resolve.ts'
import { resolvPath, toldPaths } from './routing/paths.ts'
import { servicesOf } from './routing/services.ts'
import { same, withoutLinks } from './same.ts'
import type { Spec, SpecEntity, SpecLan } from './spec.ts'

export interface Change {
  readonly kind: 'add' | 'change' | 'restart' | 'remove' | 'keep'
  readonly what: 'violin' | 'lan' | 'entity'
  readonly name: string
  readonly hosts: readonly HostId[]
  readonly why: string
}

/** The changes from `before` (null: nothing yet) to `after`, in the file's order, removals last. */
export function planChanges(before: Spec | null, after: Spec, placement: Placement): Change[] {
  const changes: Change[] = []
  if (before === null)
    changes.push({
      kind: 'add',
      what: 'violin',
      name: after.name,
      hosts: [],
      why: 'there is none of this name yet'
    })
  for (const lan of after.lans)
    changes.push(
      lanChange(
        before?.lans.find(({ name }) => name === lan.name),
        lan,
        placement
      )
    )
  for (const entity of after.entities) {
    const former = before?.entities.find(({ name }) => name === entity.name)
    const change = entityChange(former, entity, placement)
    const goesOn = former !== undefined && (change.kind === 'keep' || change.kind === 'change')
    changes.push(
      goesOn ? serviceChange(change, runningOf(before as Spec, former), runningOf(after, entity)) : change
    )
  }
  for (const lan of before?.lans ?? [])
    if (!after.lans.some(({ name }) => name === lan.name))
      changes.push({
        kind: 'remove',
        what: 'lan',
        name: lan.name,
        hosts: lan.hosts,
        why: 'no longer in the file'
      })
  for (const entity of before?.entities ?? [])
    if (!after.entities.some(({ name }) => name === entity.name))
      changes.push({
        kind: 'remove',
        what: 'entity',
        name: entity.name,
        hosts: entity.hosts,
        why: 'no longer in the file'
      })
  return changes
}

/** What an entity runs, with what that is told apart, which is taken on as it runs. */
function runningOf(spec: Spec, entity: SpecEntity): { readonly rest: unknown; readonly told: unknown } {
  const { files, start } = servicesOf(spec, entity, noMac)
  const told = files.filter(({ path }) => toldPaths.includes(path))
  const firm = told.filter(({ path }) => path !== resolvPath)
  return { rest: [start, firm.length, files.filter((file) => !told.includes(file))], told }
}

function serviceChange(
  change: Change,
  before: ReturnType<typeof runningOf>,
  after: ReturnType<typeof runningOf>
): Change {
  if (!same(before.rest, after.rest))
    return { ...change, kind: 'restart', why: 'what it runs is configured anew' }
  if (change.kind !== 'keep' || same(before.told, after.told)) return change
  return { ...change, kind: 'change', why: 'what it runs is told of others' }
}

/** MACs come from names, which the comparison has otherwise. */
function noMac(): Mac {
  return '' as Mac
}

function lanChange(before: SpecLan | undefined, after: SpecLan, placement: Placement): Change {
  const why = placement.lans.get(after.name)?.why ?? ''
  const base = { what: 'lan' as const, name: after.name, hosts: after.hosts }
  if (before === undefined) return { ...base, kind: 'add', why }
  if (same(before, after)) return { ...base, kind: 'keep', why: 'unchanged' }
  return {
    ...base,
    kind: 'change',
    why:
      before.subnet === after.subnet && before.ipv6 === after.ipv6
        ? `candidates of its vSwitch: ${why}`
        : 'its subnet changed'
  }
}

function entityChange(before: SpecEntity | undefined, after: SpecEntity, placement: Placement): Change {
  const { why = '', away = false } = placement.entities.get(after.name) ?? {}
  const base = { what: 'entity' as const, name: after.name, hosts: after.hosts }
  if (before === undefined) return { ...base, kind: 'add', why }
  if (same(before, after)) return { ...base, kind: 'keep', why: away ? `unchanged, ${why}` : 'unchanged' }
  const moves = before.generation !== after.generation || !after.hosts.includes(before.hosts[0] as HostId)
  if (moves) return { ...base, kind: 'restart', why: `moves: ${why}` }
  if (before.stopped === true && after.stopped !== true)
    return { ...base, kind: 'restart', why: 'it was stopped' }
  const words = (Object.keys(after) as (keyof SpecEntity)[]).filter(
    (word) => !same(before[word], after[word])
  )
  const relinked = same(withoutLinks(before.nics), withoutLinks(after.nics))
  // Where else it may run is no part of the machine, nor are its links; vNICs and routes it takes on as it runs.
  const running = words.every((word) =>
    ['pinned', 'hosts', 'restart', 'nics', 'routes', 'rules', 'jetway'].includes(word)
  )
  const told = words.map((word) => (word === 'nics' && relinked ? 'links' : word))
  return { ...base, kind: running ? 'change' : 'restart', why: `changed: ${told.join(', ')}` }
}
