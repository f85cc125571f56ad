/** Moving to another host: an entity, or the vSwitch of a vLAN. */
import { entityOf, withMove } from '#core/edits.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostId } from '#core/ids.ts'
import { findHost, objectionTo, type PlacementHost } from '#core/placement.ts'
import { lanMembers, namedHosts, switchCandidates } from '#core/reconcile.ts'
import type { ViolinView } from '#core/records/view.ts'
import type { Spec, SpecEntity } from '#core/spec.ts'
import type { Progress } from '#api/contract.ts'
import type { Changes } from './changes.ts'
import type { Handoffs } from './handoff.ts'
import type { Loads } from './loads.ts'
import { memberNamed, type Peers } from './peers.ts'
import type { Records } from './records.ts'
import { type StatusMap, switchOf } from './show.ts'
import type { Statuses } from './statuses.ts'
import type { Violins } from './violins.ts'
import { changedMeanwhile, seconds } from './waiting.ts'

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
    let former: readonly HostId[] = []
    const violin = await changes.change(name, (spec) => {
      const entity = entityOf(spec, what)
      this.#check(entity, target)
      former = entity.hosts
      return withMove(spec, what, target.id)
    })
    yield { kind: 'step', text: `version ${violin.version} is signed and stored` }
    yield* changes.tell(violin)
    const where = peers.nameOf(target.id)
    const moved = entityOf(violin.spec as Spec, what)
    if (moved.stopped === true) {
      yield {
        kind: 'done',
        text: `${what} is stopped: it starts on ${where} (violin start ${violin.name}/${what})`
      }
      return
    }
    const mayRun = [...new Set([...moved.hosts, ...former])].filter((host) => host !== target.id)
    const hosts = [...new Set([target.id, ...mayRun, ...namedHosts(violin.spec as Spec)])]
    let said: StatusMap = new Map()
    for await (said of statuses.follow(hosts, violin.id, deadline)) {
      this.#mustStand(violin, what, target.id)
      const own = said.get(target.id)?.entities.find((one) => one.name === what)
      if (own?.state === 'failed' && !own.again)
        throw new ViolinError(
          'boot-failed',
          `${what} did not start on ${where}: ${own.reason}`,
          `it stays where it was: violin show ${violin.name}`
        )
      if (said.size < hosts.length || runnersOf(what, said).join() !== target.id) continue
      const silent = this.#named(mayRun.filter((host) => said.get(host) === null && !peers.isGone(host)))
      const only = silent === '' ? 'and nowhere else' : `and on no other that answers (${silent} may run it)`
      yield { kind: 'done', text: `${what} runs on ${where} (${took(startedAt)}), ${only}` }
      return
    }
    const runners = runnersOf(what, said)
    const copies = this.#named(runners.filter((host) => host !== target.id))
    const unheard = this.#named(hosts.filter((host) => !said.has(host)))
    const after = `after ${seconds(timeoutMs)}`
    const open = runners.includes(target.id)
      ? `${what} runs on ${where}, and ${after} ${copies === '' ? `nothing is heard of ${unheard}` : `still on ${copies}`}`
      : said.get(target.id)
        ? `${what} does not run on ${where} ${after}`
        : `${where} does not answer ${after}: whether ${what} runs there is not known`
    throw new ViolinError('timeout', open, `it goes on moving; see \`violin show ${violin.name}\``)
  }

  /** Throws ViolinError `refused` where a later version moves that entity elsewhere, stops it, or has it no more. */
  #mustStand(violin: ViolinView, what: string, target: HostId): void {
    this.#parts.changes.mustCount(violin)
    const now = this.#parts.records.view.violins.get(violin.id)
    const entity = now?.spec?.entities.find((one) => one.name === what)
    if (now !== undefined && (entity?.hosts[0] !== target || entity.stopped === true))
      throw changedMeanwhile(now)
  }

  #named(hosts: readonly HostId[]): string {
    return hosts.map((host) => this.#parts.peers.nameOf(host)).join(', ')
  }

  #check(entity: SpecEntity, target: PlacementHost): void {
    const { name, pinned, hosts } = entity
    const objection = pinned ? null : objectionTo(entity, target)
    if (!pinned && objection === null) return
    const why = pinned
      ? `: the file pins it to ${this.#parts.peers.nameOf(hosts[0] as HostId)}`
      : `, which ${objection}`
    throw new ViolinError(
      'no-placement',
      `${name} cannot move to ${target.name}${why}`,
      pinned ? 'change `on:` in the file and apply it' : 'choose another host'
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

function runnersOf(what: string, said: StatusMap): HostId[] {
  return [...said].flatMap(([host, status]) =>
    status?.entities.some(({ name, state }) => name === what && state === 'running') === true ? [host] : []
  )
}

function took(startedAt: number): string {
  return `${((performance.now() - startedAt) / 1000).toFixed(1)} s`
}
