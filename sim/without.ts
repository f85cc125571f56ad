/**
 * A scenario without some of what is in it. What is left is numbered anew. A step or an entity that names one that
 * is gone gets a number that nothing has: the check of scenarios finds it.
 */
import type { Fault, HostRef, Step } from './faults.ts'
import type { Scenario } from './scenario.ts'

/** Places in a list of the scenario. */
export type Places = ReadonlySet<number>

/** Where a host, or each of some, is said to be now. */
interface Naming {
  readonly one: <T extends HostRef>(ref: T) => T
  readonly some: <T extends HostRef>(refs: readonly T[]) => readonly T[]
}

/** Hosts go with their ports; a vLAN goes that nobody is left on or may switch, and a VIOLIN with its owner. */
export function withoutHosts(made: Scenario, gone: Places): Scenario {
  const of = numbering(made.hosts + made.newcomers, gone)
  const one = <T extends HostRef>(ref: T): T => (typeof ref === 'number' ? (of(ref) as T) : ref)
  const some = <T extends HostRef>(refs: readonly T[]): T[] =>
    refs.filter((ref) => typeof ref !== 'number' || !gone.has(ref)).map(one)
  const fewer = named(made, { one, some })
  const goneMembers = [...gone].filter((place) => place < made.hosts).length
  const left = {
    ...fewer,
    hosts: made.hosts - goneMembers,
    newcomers: made.newcomers - (gone.size - goneMembers),
    steps: fewer.steps.filter((step, place) => !lostAll(made.steps[place] as Step, step))
  }
  const unswitched = placesWhere(left.lans, ({ candidates }) => candidates.length === 0)
  const unowned = placesWhere(made.violins, ({ owner }) => gone.has(owner))
  return withoutViolins(withoutLans(left, unswitched), unowned)
}

export function withoutLans(made: Scenario, gone: Places): Scenario {
  const of = numbering(made.lans.length, gone)
  return {
    ...made,
    lans: without(made.lans, gone),
    violins: made.violins.map((violin) =>
      violin.entities === undefined
        ? violin
        : { ...violin, entities: { ...violin.entities, lan: of(violin.entities.lan) } }
    )
  }
}

export function withoutViolins(made: Scenario, gone: Places): Scenario {
  const of = numbering(made.violins.length, gone)
  return {
    ...made,
    violins: without(made.violins, gone),
    steps: made.steps.map(({ atMs, fault }) => ({
      atMs,
      fault: 'violin' in fault ? { ...fault, violin: of(fault.violin) } : fault
    }))
  }
}

export function withoutInvites(made: Scenario, gone: Places): Scenario {
  const of = numbering(made.invites.length, gone)
  return {
    ...made,
    invites: without(made.invites, gone),
    steps: made.steps.map(({ atMs, fault }) => ({
      atMs,
      fault: fault.kind === 'join' ? { ...fault, invite: of(fault.invite) } : fault
    }))
  }
}

export function withoutSteps(made: Scenario, gone: Places): Scenario {
  return { ...made, steps: without(made.steps, gone) }
}

/** All VIOLINs are records alone, or each runs no more than `most` entities. */
export function withEntities(made: Scenario, most: number): Scenario {
  const violins = made.violins.map(({ entities, ...violin }) =>
    entities === undefined || most === 0
      ? violin
      : { ...violin, entities: { ...entities, count: Math.min(entities.count, most) } }
  )
  return { ...made, violins }
}

/** Hosts but the founder that no vLAN, VIOLIN or step names. */
export function unnamedHosts(made: Scenario): Places {
  const unnamed = new Set(Array.from({ length: made.hosts + made.newcomers }, (_, place) => place))
  unnamed.delete(0)
  const one = <T extends HostRef>(ref: T): T => {
    if (typeof ref === 'number') unnamed.delete(ref)
    return ref
  }
  named(made, { one, some: (refs) => refs.map(one) })
  return unnamed
}

/** Hosts under other names, wherever they are named. */
function named(made: Scenario, { one, some }: Naming): Scenario {
  return {
    ...made,
    lans: made.lans.map(({ hosts, candidates }) => ({ hosts: some(hosts), candidates: some(candidates) })),
    violins: made.violins.map((violin) => ({
      ...violin,
      owner: one(violin.owner),
      ...(violin.copies === undefined ? {} : { copies: some(violin.copies) }),
      hosts: some(violin.hosts)
    })),
    steps: made.steps.map(({ atMs, fault }) => ({ atMs, fault: namedIn(fault, { one, some }) }))
  }
}

function namedIn(fault: Fault, { one, some }: Naming): Fault {
  switch (fault.kind) {
    case 'kill':
    case 'power':
    case 'suspend':
    case 'stall':
    case 'drain':
      return { ...fault, host: one(fault.host) }
    case 'skew':
    case 'disk-full':
    case 'disk-lost':
    case 'backup':
    case 'publish':
    case 'revoke':
    case 'lie':
      return { ...fault, host: one(fault.host) }
    case 'join':
      return { ...fault, host: one(fault.host), via: one(fault.via) }
    case 'cut':
      return { ...fault, from: some(fault.from), to: fault.to === null ? null : some(fault.to) }
    case 'partition':
    case 'nat':
      return { ...fault, hosts: some(fault.hosts) }
    case 'change': {
      const { by } = fault
      return { ...fault, hosts: some(fault.hosts), ...(by === undefined ? {} : { by: one(by) }) }
    }
    case 'handoff':
      return { ...fault, to: fault.to === null ? null : one(fault.to) }
    case 'migrate':
      return { ...fault, to: one(fault.to) }
    case 'churn':
    case 'no-gossip':
    case 'refuse':
    case 'stop':
      return fault
  }
}

/** A change to nobody would end a VIOLIN, which that step did not. */
function lostAll({ fault: former }: Step, { fault }: Step): boolean {
  return 'hosts' in former && 'hosts' in fault && former.hosts.length > 0 && fault.hosts.length === 0
}

/** New numbers of what is left of `count`; what is gone is numbered behind that, where nothing is. */
function numbering(count: number, gone: Places): (place: number) => number {
  let left = 0
  const numbers = Array.from({ length: count }, (_, place) => (gone.has(place) ? null : left++))
  return (place) => numbers[place] ?? left
}

function without<T>(list: readonly T[], gone: Places): T[] {
  return list.filter((_, place) => !gone.has(place))
}

function placesWhere<T>(list: readonly T[], holds: (one: T) => boolean): Places {
  return new Set([...list.keys()].filter((place) => holds(list[place] as T)))
}
