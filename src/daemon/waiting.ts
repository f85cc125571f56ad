/** Waiting until hosts have done what a VIOLIN's record says; what keeps them is told. */
import { expectedEntities } from '#core/doors.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostId } from '#core/ids.ts'
import type { ViolinView } from '#core/records/view.ts'
import type { Progress, ViolinState } from '#api/contract.ts'
import type { Peers } from './peers.ts'
import type { Records } from './records.ts'
import { entityState, jetwayRemedy, stateOf, switchOf, type StatusMap } from './show.ts'
import type { Statuses } from './statuses.ts'
import { hostsOf, type Violins } from './violins.ts'

export interface WaitingParts {
  readonly violins: Violins
  readonly records: Records
  readonly peers: Peers
  readonly statuses: Statuses
}

export class Waiting {
  readonly #violins: Violins
  readonly #records: Records
  readonly #peers: Peers
  readonly #statuses: Statuses

  constructor(parts: WaitingParts) {
    this.#violins = parts.violins
    this.#records = parts.records
    this.#peers = parts.peers
    this.#statuses = parts.statuses
  }

  /**
   * Tells what comes up until all of that version runs, but for entities on hosts that are away. Throws ViolinError
   * `boot-failed`, `refused`, `timeout`.
   */
  async *until(
    whole: ViolinView,
    away: ReadonlyMap<string, string>,
    deadline: AbortSignal,
    timeoutMs: number
  ): AsyncGenerator<Progress, void, void> {
    const violin = withoutAway(whole, away)
    const hosts = hostsOf(whole)
    const told = new Set<string>()
    /** Entities that failed once: true once they were started again. */
    const failed = new Map<string, boolean>()
    const nameOf = (host: HostId): string => this.#peers.nameOf(host)
    let missing = missingOf(violin, 'running', new Map(), nameOf)
    for await (const statuses of this.#statuses.follow(hosts, violin.id, deadline)) {
      for (const entity of violin.spec === null ? [] : expectedEntities(violin.spec)) {
        const { state, reason, bootMs, host, again } = entityState(violin, entity, statuses)
        if (state === 'running' && !told.has(entity.name)) {
          told.add(entity.name)
          const where = this.#peers.nameOf(host as HostId)
          yield {
            kind: 'step',
            text: `${entity.name} runs on ${where}${bootMs === null ? '' : ` (${(bootMs / 1000).toFixed(1)} s)`}`
          }
        }
        if (state !== 'failed') {
          if (failed.has(entity.name)) failed.set(entity.name, true)
        } else if (again && failed.get(entity.name) !== true) {
          // Once may be the machine's fault, twice is the file's.
          if (!failed.has(entity.name))
            yield { kind: 'warning', text: `${entity.name} did not start: ${reason}` }
          failed.set(entity.name, false)
        } else
          throw new ViolinError(
            'boot-failed',
            `${entity.name} did not start: ${reason}`,
            `change the file and apply again, or remove it: violin delete ${violin.name}`
          )
        if (state === 'refused')
          throw new ViolinError(
            'refused',
            `${entity.name} was refused by ${this.#peers.nameOf(host as HostId)}: ${reason}`,
            entity.jetway === undefined
              ? 'place it elsewhere with `on:`, or make it smaller'
              : jetwayRemedy(violin, entity.jetway, this.#peers.nameOf(host as HostId))
          )
      }
      if (stateOf(violin, statuses) === 'running') return
      missing = missingOf(violin, 'running', statuses, nameOf)
      const now = this.#records.view.violins.get(violin.id)
      if (now !== undefined && now.record.hash !== violin.record.hash) throw changedMeanwhile(now)
    }
    throw new ViolinError(
      'timeout',
      `${violin.name} does not run after ${seconds(timeoutMs)}: ${missing}`,
      `it goes on starting; see \`violin show ${violin.name}\``
    )
  }

  /** Tells when no host that can be asked runs any of a VIOLIN that ended. Throws ViolinError `timeout`. */
  async *untilGone(
    violin: ViolinView,
    deadline: AbortSignal,
    timeoutMs: number
  ): AsyncGenerator<Progress, void, void> {
    const hosts = hostsOf(violin)
    for await (const statuses of this.#statuses.follow(hosts, violin.id, deadline)) {
      // Who was lost meanwhile is not waited for: the end reaches it when it is back.
      const open = hosts.filter((host) => this.#peers.isConnected(host) && statuses.get(host)?.runs !== null)
      if (open.length > 0) continue
      const away = hosts
        .filter((host) => !this.#peers.isConnected(host) && !this.#peers.isGone(host))
        .map((host) => this.#peers.nameOf(host))
      yield {
        kind: 'done',
        text:
          away.length === 0
            ? `${violin.name} is gone`
            : `${violin.name} is gone but on ${away.join(', ')}, unreachable now`
      }
      return
    }
    throw new ViolinError(
      'timeout',
      `${violin.name} is not gone everywhere after ${seconds(timeoutMs)}`,
      `see \`violin events\` on its hosts, and wait longer with violin wait ${violin.name} --for gone`
    )
  }

  /** Resolves when the VIOLIN is in that state. Throws `timeout`, saying what is missing, and `unknown-violin`. */
  async wait(name: string, state: 'running' | 'gone', timeoutMs: number): Promise<{ state: ViolinState }> {
    const deadline = AbortSignal.timeout(timeoutMs)
    const violin = this.#violins.find(name, state === 'gone')
    const hosts = hostsOf(violin)
    const nameOf = (host: HostId): string => this.#peers.nameOf(host)
    let missing = missingOf(violin, state, new Map(), nameOf)
    for await (const statuses of this.#statuses.follow(hosts, violin.id, deadline)) {
      // The record may have changed since.
      const now = this.#records.view.violins.get(violin.id)
      const reached = now === undefined ? 'gone' : stateOf(now, statuses)
      // Who has not been heard yet may run it.
      if (reached === state && (state === 'running' || statuses.size === hosts.length))
        return { state: reached }
      if (now === undefined || (now.spec === null && state === 'running'))
        throw new ViolinError(
          'unknown-violin',
          `${violin.name} was deleted meanwhile`,
          'see what there is: violin list'
        )
      missing = missingOf(now, state, statuses, nameOf)
    }
    throw new ViolinError(
      'timeout',
      `${violin.name} is not ${state} after ${seconds(timeoutMs)}: ${missing}`,
      `see \`violin show ${violin.name}\``
    )
  }
}

/** Another version counts than the one that was signed here: of this host, or of another with its owner's key. */
export function changedMeanwhile({ name, version, spec }: ViolinView): ViolinError {
  if (spec === null)
    return new ViolinError('refused', `${name} was deleted meanwhile`, 'see what there is: violin list')
  return new ViolinError(
    'refused',
    `${name} was changed again meanwhile (version ${version})`,
    `see \`violin show ${name}\`, and say again what is missing`
  )
}

/** What of a VIOLIN is waited for: neither entities on hosts that are away, nor vLANs that only those have. */
function withoutAway(violin: ViolinView, away: ReadonlyMap<string, string>): ViolinView {
  if (violin.spec === null || away.size === 0) return violin
  const entities = violin.spec.entities.filter(({ name }) => !away.has(name))
  const used = new Set(entities.flatMap(({ nics }) => nics.map(({ lan }) => lan)))
  const lans = violin.spec.lans.filter(({ name }) => used.has(name))
  return { ...violin, spec: { ...violin.spec, entities, lans } }
}

/** What keeps a VIOLIN from that state, in a few words. */
function missingOf(
  violin: ViolinView,
  state: 'running' | 'gone',
  statuses: StatusMap,
  nameOf: (host: HostId) => string
): string {
  const missing = state === 'gone' ? hindersEnd(violin, statuses, nameOf) : hindersStart(violin, statuses)
  return missing.slice(0, 4).join('; ')
}

function hindersStart(violin: ViolinView, statuses: StatusMap): string[] {
  const open = (violin.spec === null ? [] : expectedEntities(violin.spec)).flatMap((entity) => {
    const { state, reason } = entityState(violin, entity, statuses)
    return state === 'running' ? [] : [`${entity.name} is ${state}${reason === '' ? '' : ` (${reason})`}`]
  })
  const unswitched = (violin.spec?.lans ?? []).flatMap((lan) =>
    lan.hosts.length > 0 && switchOf(lan.name, statuses).active === null ? [`${lan.name} has no vSwitch`] : []
  )
  return [...open, ...unswitched]
}

/** Who does not answer is not waited for. */
function hindersEnd(violin: ViolinView, statuses: StatusMap, nameOf: (host: HostId) => string): string[] {
  if (violin.spec !== null) return ['nobody deleted it']
  return hostsOf(violin).flatMap((host) => {
    const status = statuses.get(host)
    if (status === undefined) return [`${nameOf(host)} was not heard yet`]
    return status === null || status.runs === null ? [] : [`${nameOf(host)} has not stopped it`]
  })
}

/** For people. */
export function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`
}
