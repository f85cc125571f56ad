/** Opening and shutting jetways: an owner's change of the record, waited for until the host has done it. */
import { ViolinError } from '#core/errors.ts'
import type { HostId } from '#core/ids.ts'
import { withDoor } from '#core/nics.ts'
import { namedHosts } from '#core/reconcile.ts'
import type { ViolinView } from '#core/records/view.ts'
import type { Spec, SpecEntity } from '#core/spec.ts'
import type { Progress } from '#api/contract.ts'
import { againMark } from '#slice/contract.ts'
import type { Changes } from './changes.ts'
import type { Peers } from './peers.ts'
import { entityState, jetwayRemedy } from './show.ts'
import type { HostStatus, Statuses } from './statuses.ts'

export interface JetwaysParts {
  readonly changes: Changes
  readonly statuses: Statuses
  readonly peers: Peers
}

export class Jetways {
  readonly #parts: JetwaysParts

  constructor(parts: JetwaysParts) {
    this.#parts = parts
  }

  /** Opens or shuts one, and waits until its host has. One that is refused is shut again. Throws ViolinError. */
  async *set(
    name: string,
    jetway: string,
    open: boolean,
    timeoutMs: number
  ): AsyncGenerator<Progress, void, void> {
    const { changes } = this.#parts
    const deadline = AbortSignal.timeout(timeoutMs)
    const violin = await changes.change(name, (spec) => withJetway(spec, name, jetway, open))
    yield { kind: 'step', text: `version ${violin.version} is signed and stored` }
    yield* changes.tell(violin)
    try {
      yield await this.#done(violin, jetway, open, deadline)
    } catch (error: unknown) {
      if (!open || !(error instanceof ViolinError) || error.code === 'timeout') throw error
      const again = await changes.change(name, (spec) => withJetway(spec, name, jetway, false))
      yield* changes.tell(again)
      throw error
    }
  }

  async #done(violin: ViolinView, jetway: string, open: boolean, deadline: AbortSignal): Promise<Progress> {
    const { statuses, peers } = this.#parts
    const entity = jetwayOf(violin.spec as Spec, violin.name, jetway)
    const host = entity.hosts[0] as HostId
    const where = peers.nameOf(host)
    const hosts = namedHosts(violin.spec as Spec)
    let answers = false
    let behind: readonly HostId[] = []
    for await (const said of statuses.follow(hosts, violin.id, deadline)) {
      const status = said.get(host) ?? null
      answers = status !== null
      behind = [...said.keys()].filter((one) => !hasTakenOn(violin.version, said.get(one) ?? null))
      if (status === null || status.holds < violin.version) continue
      // Everybody's ways lead to it, or elsewhere.
      const isTold = behind.length === 0 && said.size === hosts.length
      if (!open && isTold && isShut(status, jetway, violin.version))
        return { kind: 'done', text: `${violin.name}/${jetway} is shut on ${where}` }
      const { state, reason } = entityState(violin, entity, said)
      if (!open) continue
      if (state === 'running' && isTold)
        return { kind: 'done', text: `${violin.name}/${jetway} is open on ${where}` }
      if (state === 'refused')
        throw new ViolinError(
          'refused',
          `${jetway} is refused on ${where}: ${reason}`,
          jetwayRemedy(violin, entity.jetway ?? { bridge: '' }, where)
        )
      if (state === 'failed')
        throw new ViolinError(
          'boot-failed',
          `${jetway} did not open on ${where}: ${reason.replace(againMark, '')}`,
          'see `violin doctor` there'
        )
    }
    throw new ViolinError(
      'timeout',
      answers
        ? `not done yet on ${[...new Set(behind.map((one) => peers.nameOf(one)))].join(', ') || where}`
        : `${where} does not answer`,
      `it is done there when that hears of it: violin show ${violin.name}`
    )
  }
}

/** A host goes by that version or a later one; one that does not answer is not waited for. */
function hasTakenOn(version: number, status: HostStatus | null): boolean {
  return status === null || (status.holds >= version && (status.runs ?? version) >= version)
}

/** Its host goes by the version, in which the jetway is shut. */
function isShut(status: HostStatus, jetway: string, version: number): boolean {
  const own = status.entities.find(({ name }) => name === jetway)
  const isCurrent = status.runs === null || status.runs >= version
  return isCurrent && own?.state !== 'running'
}

function jetwayOf(spec: Spec, violin: string, name: string): SpecEntity {
  const entity = spec.entities.find((one) => one.name === name && one.jetway !== undefined)
  if (entity !== undefined) return entity
  const known = spec.entities.filter(({ jetway }) => jetway !== undefined).map((one) => one.name)
  throw new ViolinError(
    'unknown-entity',
    `${violin} has no jetway ${name}`,
    known.length === 0 ? 'add one under `jetways:` and apply the file' : `it has ${known.join(', ')}`
  )
}

/** The spec with a jetway open or shut. Throws ViolinError where another bridge makes a loop of it. */
function withJetway(spec: Spec, violin: string, name: string, open: boolean): Spec {
  const entity = jetwayOf(spec, violin, name)
  const lan = entity.nics[0]?.lan
  const other = spec.entities.find(
    (one) =>
      one.name !== name && one.jetway?.mode === 'bridge' && one.jetway.enabled && one.nics[0]?.lan === lan
  )
  if (open && entity.jetway?.mode === 'bridge' && other !== undefined)
    throw new ViolinError(
      'refused',
      `${lan} has a live bridge already, ${other.name}: two would make a loop`,
      `shut that one first: violin jetway off ${violin}/${other.name}`
    )
  return withDoor(spec, name, open)
}
