/** Where what is captured runs: told at once, and again whenever that may have changed, as long as the VIOLIN stands. */
import type { HostId, ViolinId } from '#core/ids.ts'
import type { Captured } from '#core/session.ts'
import type { WhereaboutsRow } from '#api/contract.ts'
import { endable } from '#api/endable.ts'
import type { Peers } from './peers.ts'
import type { Records } from './records.ts'
import type { StatusMap } from './show.ts'
import type { Statuses } from './statuses.ts'
import type { Violins } from './violins.ts'

export interface WhereaboutsParts {
  readonly records: Records
  readonly violins: Violins
  readonly statuses: Statuses
  readonly peers: Peers
}

/** Until the reader returns. Throws `unknown-violin`. */
export function whereabouts(
  parts: WhereaboutsParts,
  name: string,
  what: Captured
): AsyncIterableIterator<WhereaboutsRow> {
  const { id } = parts.violins.find(name)
  return endable(({ signal }) => follow(parts, id, what, signal))
}

async function* follow(
  { records, statuses, peers }: WhereaboutsParts,
  id: ViolinId,
  what: Captured,
  over: AbortSignal
): AsyncGenerator<WhereaboutsRow, void, void> {
  // Where it ran it runs on until it is up elsewhere, whatever the record says by now.
  const asked = new Set<HostId>()
  while (!over.aborted) {
    const violin = records.view.violins.get(id)
    const entities = violin?.spec?.entities.filter(({ name, nics }) =>
      'lan' in what ? nics.some(({ lan }) => lan === what.lan) : name === what.entity
    )
    if (violin === undefined || entities === undefined) return
    const names = new Set(entities.map((entity) => entity.name))
    for (const host of entities.flatMap(({ hosts }) => hosts)) asked.add(host)
    const changed = new AbortController()
    const unlisten = records.onChange(() => {
      if (records.view.violins.get(id)?.version !== violin.version) changed.abort()
    })
    try {
      for await (const said of statuses.follow([...asked], id, AbortSignal.any([over, changed.signal])))
        if (said.size === asked.size)
          yield { hosts: hostsOf(said, names).map((host) => ({ id: host, name: peers.nameOf(host) })) }
    } finally {
      unlisten()
    }
  }
}

function hostsOf(said: StatusMap, names: ReadonlySet<string>): HostId[] {
  return [...said].flatMap(([host, status]) =>
    status?.entities.some(({ name, state }) => names.has(name) && state !== 'stopped') === true ? [host] : []
  )
}
