/** Moving to another host: an entity, or the vSwitch of a vLAN. */
import { entityOf, withMove } from '#core/edits.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostId } from '#core/ids.ts'
import { findHost, objectionTo, type PlacementHost } from '#core/placement.ts'
import { lanMembers, namedHosts, switchCandidates } from '#core/reconcile.ts'
import type { Spec, SpecEntity } from '#core/spec.ts'
import type { Progress } from '#api/contract.ts'
import type { Changes } from './changes.ts'
import type { Handoffs } from './handoff.ts'
import type { Loads } from './loads.ts'
import { memberNamed, type Peers } from './peers.ts'
import type { Records } from './records.ts'
import { seconds } from './waiting.ts'
import { switchOf } from './show.ts'
import type { Statuses } from './statuses.ts'
import type { Violins } from './violins.ts'

export interface MovesParts {
  readonly records: Records
  readonly peers: Peers
  readonly violins: Violins
  readonly changes: Changes
  readonly statuses: Statuses
  readonly loads: Loads
  readonly handoffs: Handoffs
}

export class Moves {
  readonly #parts: MovesParts

  constructor(parts: MovesParts) {
    this.#parts = parts
  }

  /** Moves an entity, and tells when it runs there and nowhere else. Throws ViolinError. */
  async *entity(
    name: string,
    what: string,
    to: string,
    timeoutMs: number
  ): AsyncGenerator<Progress, void, void> {
    const { peers, violins, changes, statuses, loads } = this.#parts
    const startedAt = performance.now()
    const deadline = AbortSignal.timeout(timeoutMs)
    entityOf(violins.findOwned(name).spec as Spec, what)
    const target = findHost(to, await loads.placementHosts())
    const violin = await changes.change(name, (spec) => {
      this.#check(entityOf(spec, what), target)
      return withMove(spec, what, target.id)
    })
    yield { kind: 'step', text: `version ${violin.version} is signed and stored` }
    const hosts = namedHosts(violin.spec as Spec)
    yield* changes.tell(violin)
    const where = peers.nameOf(target.id)
    if (entityOf(violin.spec as Spec, what).stopped === true) {
      yield {
        kind: 'done',
        text: `${what} is stopped: it starts on ${where} (violin start ${violin.name}/${what})`
      }
      return
    }
    for await (const said of statuses.follow(hosts, violin.id, deadline)) {
      changes.mustCount(violin)
      const runsOn = (host: HostId): boolean =>
        said.get(host)?.entities.some((one) => one.name === what && one.state === 'running') === true
      const own = said.get(target.id)?.entities.find((one) => one.name === what)
      if (own?.state === 'failed' && !own.again)
        throw new ViolinError(
          'boot-failed',
          `${what} did not start on ${where}: ${own.reason}`,
          `it stays where it was: violin show ${violin.name}`
        )
      const elsewhere = hosts.some((host) => host !== target.id && runsOn(host))
      if (said.size < hosts.length || !runsOn(target.id) || elsewhere) continue
      yield { kind: 'done', text: `${what} runs on ${where} (${took(startedAt)}), and nowhere else` }
      return
    }
    throw new ViolinError(
      'timeout',
      `${what} does not run on ${where} after ${seconds(timeoutMs)}`,
      `it goes on moving; see \`violin show ${violin.name}\``
    )
  }

  #check(entity: SpecEntity, target: PlacementHost): void {
    const objection = entity.pinned
      ? `the file pins it to ${this.#parts.peers.nameOf(entity.hosts[0] as HostId)}`
      : objectionTo(entity, target)
    if (objection === null) return
    throw new ViolinError(
      'no-placement',
      `${entity.name} cannot move to ${target.name}: ${objection}`,
      entity.pinned ? 'change `on:` in the file and apply it' : 'choose another host'
    )
  }

  /** Moves a vLAN's vSwitch by planned handoff. Throws ViolinError. */
  async vswitch(
    name: string,
    lan: string,
    to: string | undefined
  ): Promise<{ active: string; term: number }> {
    const { peers, violins, records, handoffs } = this.#parts
    const violin = violins.findOwned(name)
    const { lans } = violin.spec as Spec
    const wanted = lans.find((one) => one.name === lan)
    if (wanted === undefined) {
      throw new ViolinError(
        'unknown-lan',
        `${violin.name} has no vLAN ${lan}`,
        `it has ${lans.map((one) => one.name).join(', ')}`
      )
    }
    const target = to === undefined ? null : memberNamed(to, records).id
    const candidates = switchCandidates(wanted.hosts, lanMembers(violin.spec as Spec, lan))
    if (target !== null && !candidates.includes(target)) {
      throw new ViolinError(
        'no-placement',
        `${to} is no candidate for the vSwitch of ${lan}`,
        `candidates: ${candidates.map((host) => peers.nameOf(host)).join(', ')}; name others with \`vswitch:\` in the file`
      )
    }
    const { active } = switchOf(lan, await violins.statusesOf(violin))
    if (active === null)
      throw new ViolinError(
        'refused',
        `${lan} has no vSwitch at present`,
        'try again when it has one (`violin show`)'
      )
    const done = await handoffs.at(active, violin.id, lan, target)
    return { active: peers.nameOf(done.active), term: done.term }
  }
}

function took(startedAt: number): string {
  return `${((performance.now() - startedAt) / 1000).toFixed(1)} s`
}
