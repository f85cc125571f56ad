/**
 * What a host puts to claims.ts of the entities of one VIOLIN: what hosts say in their records, what it has
 * itself, and what it saw since its start. The daemon and the simulator ask alike.
 */
import { generationOf, lostMs, type Own, type Question, type Sight, type Told } from './claims.ts'
import type { HostId } from './ids.ts'
import type { RunsRecord } from './records/record.ts'
import type { SpecEntity } from './spec.ts'

/** What a host has of an entity. */
export interface Held extends Own {
  /** By whom its ports were shut here for a higher claim, and when, ms; null: they were not. */
  readonly shut: { readonly by: HostId; readonly at: number } | null
}

/** What a host saw since its start. Times are those of its monotonic clock, ms. */
export interface Seen {
  readonly now: number
  readonly startedAt: number
  /** When the last exchange of records with a host began that came to its end; null: none did. */
  answeredAt(host: HostId): number | null
  isConnected(host: HostId): boolean
}

type ByEntity = ReadonlyMap<string, ReadonlyMap<HostId, Told>>

/** What hosts say, by entity. */
export function toldOf(runs: ReadonlyMap<HostId, RunsRecord>): Map<string, Map<HostId, Told>> {
  const rows = new Map<string, Map<HostId, Told>>()
  for (const [host, { body }] of runs)
    for (const { name, claim, state } of body.entities) row(rows, name).set(host, { claim, state })
  return rows
}

/**
 * What a former life ran and starts only here again, by its claim, counts as this host's own word as long as it
 * may start it. Drops from `former` what it may not, or has again.
 */
export function remind(
  rows: Map<string, Map<HostId, Told>>,
  former: Map<string, number>,
  listed: readonly SpecEntity[],
  held: ReadonlyMap<string, Own>,
  self: HostId
): void {
  for (const [name, claim] of former) {
    const entity = listed.find((one) => one.name === name)
    const mayStart = entity?.restart === 'on-failure' && entity.generation === generationOf(claim)
    if (!mayStart || held.has(name)) former.delete(name)
    else row(rows, name).set(self, { claim, state: 'stopped' })
  }
}

/**
 * The questions of the entities for which a host is listed, in their order. What failed, or was refused, in an
 * earlier generation is nothing that it has.
 */
export function questionsOf(
  listed: readonly SpecEntity[],
  told: ByEntity,
  held: ReadonlyMap<string, Held>,
  holders: Iterable<HostId>,
  sight: Sight,
  seen: Seen
): Question[] {
  const settled = isSettled(holders, sight, seen)
  return listed.map(({ name, hosts, generation, restart }) => {
    const own = held.get(name) ?? null
    const isOver = own !== null && !isWanted(own) && generationOf(own.claim) < generation
    const shut = own?.shut ?? null
    return {
      name,
      hosts,
      generation,
      restart,
      told: told.get(name) ?? new Map<HostId, Told>(),
      own: isOver ? null : own,
      settled,
      heardSince: shut !== null && (seen.answeredAt(shut.by) ?? -Infinity) > shut.at,
      shutForMs: shut === null ? 0 : seen.now - shut.at
    }
  })
}

/** Whether it is to run here, as opposed to what this host refused or could not start. */
export function isWanted({ state }: Own): boolean {
  return state !== 'refused' && state !== 'failed'
}

function isSettled(holders: Iterable<HostId>, sight: Sight, seen: Seen): boolean {
  const others = [...holders].filter((host) => host !== sight.self && !sight.isGone(host))
  if (others.length === 0 || others.some((host) => seen.answeredAt(host) !== null)) return true
  const alone = others.every((host) => !seen.isConnected(host))
  return alone && seen.now - seen.startedAt >= lostMs
}

function row(rows: Map<string, Map<HostId, Told>>, name: string): Map<HostId, Told> {
  const known = rows.get(name) ?? new Map<HostId, Told>()
  rows.set(name, known)
  return known
}
