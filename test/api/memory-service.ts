/**
 * A daemon in memory, for tests of what speaks to one: it keeps the topologies that it is given, its entities
 * are programs of this machine, and every request that arrived can be looked at.
 */
import { spawn } from 'node:child_process'
import { duplexPair, type Duplex, type Readable } from 'node:stream'
import { ViolinError } from '#core/errors.ts'
import { changeLink, formatLink } from '#core/link.ts'
import {
  encodeSessionFrame,
  maxSessionPayload,
  SessionDecoder,
  sessionFrame,
  type SessionRequest
} from '#core/session.ts'
import type { Topology } from '#core/spec.ts'
import type {
  AttachRow,
  EventRow,
  ListRow,
  Plan,
  Progress,
  Service,
  Show,
  ViolinState
} from '#api/contract.ts'

export interface MemoryService extends Service {
  /** Every request, in order. */
  readonly asked: readonly { readonly method: string; readonly request: unknown }[]
  /** Appends to the journal; followers get it. */
  note(text: string): void
  /** Readers that follow the journal now. */
  readonly followers: number
  /** Resolves when no reader follows the journal any more. */
  unfollowed(): Promise<void>
  /** Sessions whose program runs now. */
  readonly programs: number
}

const id = '12D3KooWPrinceton'

export function createMemoryService(): MemoryService {
  const asked: { method: string; request: unknown }[] = []
  const violins = new Map<string, Topology>()
  const gone = new Set<string>()
  const journal = new Journal()
  let programs = 0

  const find = (name: string): Topology => {
    const topology = violins.get(name) ?? [...violins.values()].find((one) => idOf(one.name) === name)
    if (topology !== undefined) return topology
    throw new ViolinError(
      'unknown-violin',
      `this host knows no VIOLIN ${name}`,
      'make one: violin apply FILE'
    )
  }

  const service: Service = {
    about: () =>
      Promise.resolve({ id, name: 'princeton', mesh: 'ab'.repeat(32), version: '0.1.0', pid: 7, listen: [] }),
    hosts: () =>
      Promise.resolve([
        {
          id,
          name: 'princeton',
          state: 'alive',
          self: true,
          rttMs: 0,
          load: 0.5,
          memoryMiB: 4096,
          entities: 2,
          version: '0.1.0',
          draining: true,
          clockAheadMs: 0,
          membershipEndsAt: '2027-11-25T00:00:00.000Z'
        },
        {
          id: '12D3KooWPurdue',
          name: 'purdue',
          state: 'dead',
          self: false,
          rttMs: null,
          load: null,
          memoryMiB: null,
          entities: null,
          version: null,
          draining: false,
          clockAheadMs: 0,
          membershipEndsAt: null
        }
      ]),
    invite: ({ uses, role }) =>
      Promise.resolve({ token: `token-${uses}-${role}`, expiresAt: '2030-01-01T00:00:00.000Z' }),
    cancelInvite: ({ token }) => {
      if (token.startsWith('token-')) return Promise.resolve({})
      return Promise.reject(new ViolinError('token-malformed', 'that is no token', 'copy all of it'))
    },
    refuse: ({ owner }) => Promise.resolve({ owner, text: `${owner} is refused on this host` }),
    revoke: ({ host }) =>
      host === 'purdue'
        ? Promise.resolve({ id: '12D3KooWpurdue', name: host, isKnown: true, others: [] })
        : Promise.reject(new ViolinError('unknown-host', `no host named ${host}`, 'known hosts: purdue')),
    config: ({ name }) =>
      Promise.resolve(
        find(name).entities.map(({ name: entity }) => ({
          entity,
          files: entity === 'a' ? [{ path: '/etc/frr/frr.conf', text: 'hostname a\n' }] : [],
          start: entity === 'a' ? 'vtysh -b\n' : ''
        }))
      ),
    async *addNic({ entity, lan }) {
      yield { kind: 'done', text: `${entity} has eth9 on ${lan}` }
    },
    async *removeNic({ entity, nic }) {
      yield { kind: 'done', text: `${entity} has no ${nic} any more` }
    },
    images: () =>
      Promise.resolve([
        { hash: 'ab'.repeat(32), names: ['router'], bytes: 1, files: 1, usedBy: ['net'], reason: '' },
        { hash: 'cd'.repeat(32), names: [], bytes: null, files: null, usedBy: [], reason: 'is on its way' }
      ]),
    async *pullImage({ image, from }) {
      yield { kind: 'done', text: `${image} is here, from ${from ?? 'anyone'}` }
    },
    removeImage: ({ image }) => Promise.resolve({ hash: image }),
    plan: ({ topology }) => Promise.resolve(planOf(topology, violins.get(topology.name))),
    async *apply({ topology, wait }) {
      yield { kind: 'plan', plan: planOf(topology, violins.get(topology.name)) }
      violins.set(topology.name, topology)
      yield { kind: 'warning', text: 'purdue was not told' }
      if (topology.entities.some(({ name }) => name === 'unbootable')) {
        throw new ViolinError('boot-failed', 'unbootable did not start', 'change the file and apply again')
      }
      yield { kind: 'done', text: wait ? `${topology.name} runs` : `${topology.name} is being made` }
    },
    list: () =>
      Promise.resolve(
        [...violins.values()].map((topology): ListRow => ({
          name: topology.name,
          id: idOf(topology.name),
          owner: 'princeton',
          state: 'running',
          entities: topology.entities.length,
          running: topology.entities.length,
          mine: true
        }))
      ),
    show: async ({ name }) => showOf(find(name)),
    wait: async ({ name, for: state }): Promise<{ state: ViolinState }> => {
      if (state === 'gone' && gone.has(name)) return { state }
      find(name)
      if (state === 'running') return { state }
      throw new ViolinError('timeout', `${name} is not gone after 1 s`, `see violin show ${name}`)
    },
    async *delete({ name }) {
      find(name)
      violins.delete(name)
      gone.add(name)
      yield { kind: 'step', text: 'its end is signed and stored' } satisfies Progress
      yield { kind: 'done', text: `${name} is gone` } satisfies Progress
    },
    migrate: async ({ violin, lan, to }) => {
      if (find(violin).lans.some(({ name }) => name === lan)) return { active: to ?? 'purdue', term: 3 }
      throw new ViolinError('unknown-lan', `${violin} has no vLAN ${lan}`, 'see violin show')
    },
    async *move({ violin, entity, to }) {
      if (!find(violin).entities.some(({ name }) => name === entity))
        throw new ViolinError('unknown-entity', `no entity ${entity}`, 'see violin show')
      yield { kind: 'done', text: `${entity} runs on ${to}` } satisfies Progress
    },
    async *jetway({ violin, jetway, open }) {
      find(violin)
      yield { kind: 'done', text: `${violin}/${jetway} is ${open ? 'open' : 'shut'}` } satisfies Progress
    },
    async *offer({ violin, lan, to }) {
      yield { kind: 'done', text: `${violin}/${lan} is offered to ${to}` } satisfies Progress
    },
    letJetways: ({ owner }) => Promise.resolve({ owner, text: `${owner} may have jetways on this host` }),
    async *attach({ violin, lan, ip }) {
      const ips = [ip ?? '10.0.0.9/24']
      find(violin)
      yield { kind: 'attached', violin, lan, entity: 'princeton', device: 'violin0', ips } satisfies AttachRow
    },
    detach: ({ violin, lan }) => Promise.resolve({ from: [`${violin}/${lan}`] }),
    power: async ({ violin, entity }) => {
      if (find(violin).entities.some(({ name }) => name === entity)) return { version: 2 }
      throw new ViolinError('unknown-entity', `no entity ${entity}`, 'see violin show')
    },
    link: async ({ violin, entity, nic, reset, set, down }) => {
      const topology = find(violin)
      const one = topology.entities.find(({ name }) => name === entity)
      const port = one?.nics.find(({ name }) => name === nic)
      if (one === undefined || port === undefined)
        throw new ViolinError('unknown-entity', `no vNIC ${entity}:${nic}`, 'see violin show')
      const { down: out, ...words } = changeLink(reset === true ? {} : (port.link ?? {}), set ?? {})
      const link = { ...words, ...((down ?? out) === true ? { down: true as const } : {}) }
      const nics = one.nics.map((each) => (each === port ? { ...each, link } : each))
      const entities = topology.entities.map((each) => (each === one ? { ...one, nics } : each))
      violins.set(topology.name, { ...topology, entities })
      return { version: 2, link: formatLink(link) }
    },
    async *drain({ off }) {
      yield { kind: 'done', text: off ? 'princeton takes part' : 'princeton is drained' } satisfies Progress
    },
    events: ({ follow }) => journal.read(follow),
    async *leave({ stop }) {
      if (violins.size > 0 && !stop) {
        throw new ViolinError(
          'entities-running',
          'entities run on this host',
          'stop them with violin leave --yes'
        )
      }
      yield { kind: 'done', text: 'princeton has left' } satisfies Progress
    },
    async *whereabouts({ violin, what }) {
      const runs = find(violin).entities.some(({ name, nics }) =>
        'lan' in what ? nics.some(({ lan }) => lan === what.lan) : name === what.entity
      )
      yield { hosts: runs ? [{ id, name: 'princeton' }] : [] }
    },
    session: async (request) => {
      if ('capture' in request)
        throw new ViolinError('not-running-here', 'no frames pass here', 'capture on a host of a mesh')
      const entity = find(request.violin).entities.find(({ name }) => name === request.entity)
      if (entity === undefined) {
        throw new ViolinError('unknown-entity', `no entity ${request.entity}`, 'see violin show')
      }
      programs++
      return runHere(request, entity.env, () => programs--)
    }
  }

  const noted = Object.entries(service).map(([method, call]) => [
    method,
    (request: never) => {
      asked.push({ method, request })
      return (call as (request: never) => unknown)(request)
    }
  ])
  return Object.defineProperties(Object.fromEntries(noted) as MemoryService, {
    asked: { value: asked },
    note: { value: (text: string) => journal.note(text) },
    unfollowed: { value: () => journal.unfollowed() },
    followers: { get: () => journal.followers },
    programs: { get: () => programs }
  })
}

const idOf = (name: string): string => Buffer.from(name).toString('hex').padEnd(64, '0')

function planOf(topology: Topology, before: Topology | undefined): Plan {
  const known = new Set(before?.entities.map(({ name }) => name))
  const now = new Set(topology.entities.map(({ name }) => name))
  return {
    name: topology.name,
    steps: [
      ...topology.entities.map(({ name }) => ({
        kind: known.has(name) ? ('keep' as const) : ('add' as const),
        what: 'entity' as const,
        name,
        hosts: ['princeton'],
        why: 'the least loaded'
      })),
      ...[...known]
        .filter((name) => !now.has(name))
        .map((name) => ({
          kind: 'remove' as const,
          what: 'entity' as const,
          name,
          hosts: ['princeton'],
          why: 'not in the file'
        }))
    ]
  }
}

function showOf(topology: Topology): Show {
  return {
    name: topology.name,
    id: idOf(topology.name),
    owner: 'princeton',
    ownerKey: 'ab'.repeat(32),
    hosts: ['princeton', 'purdue'],
    state: 'running',
    version: 1,
    expiresAt: '2027-11-25T00:00:00.000Z',
    lost: null,
    lans: topology.lans.map(({ name, subnet, ipv6 }) => ({
      name,
      subnet: subnet ?? null,
      ipv6: ipv6 ?? null,
      vswitch: { active: 'princeton', standby: null, term: 1 },
      ports: topology.entities.flatMap((entity) =>
        entity.nics
          .filter((nic) => nic.lan === name)
          .map((nic) => ({ entity: entity.name, nic: nic.name, mac: '02:00:00:00:00:01', host: 'princeton' }))
      )
    })),
    entities: topology.entities.map((entity) => ({
      name: entity.name,
      kind: entity.kind === 'router' ? 'router' : 'host',
      driver: entity.driver,
      image: entity.image,
      host: 'princeton',
      hostId: id,
      hosts: ['princeton'],
      restart: entity.restart ?? 'failover',
      by: null,
      state: 'running',
      reason: '',
      bootMs: 100,
      nics: entity.nics.map((nic) => ({
        name: nic.name,
        lan: nic.lan,
        mac: '02:00:00:00:00:01',
        ips: [`${nic.ip ?? '10.0.0.1'}/24`],
        up: true,
        link: formatLink(nic.link ?? {})
      }))
    })),
    jetways: [],
    offers: [],
    stale: ['purdue']
  }
}

/** Events with the readers that follow them. */
class Journal {
  readonly #rows: EventRow[] = []
  readonly #followers = new Set<() => void>()
  #idle: (() => void)[] = []

  get followers(): number {
    return this.#followers.size
  }

  note(text: string): void {
    this.#rows.push({ at: '2030-01-01T00:00:00.000Z', kind: 'note', violin: null, text })
    for (const wake of this.#followers) wake()
  }

  unfollowed(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle.push(resolve)
      this.#tellIdle()
    })
  }

  #tellIdle(): void {
    if (this.#followers.size > 0) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  read(follow: boolean): AsyncIterableIterator<EventRow> {
    let at = 0
    let ended = false
    let wake = (): void => {}
    const follower = (): void => wake()
    if (follow) this.#followers.add(follower)
    const rows = this.#rows
    const end = (): IteratorResult<EventRow> => {
      ended = true
      this.#followers.delete(follower)
      wake()
      this.#tellIdle()
      return { done: true, value: undefined }
    }
    return {
      [Symbol.asyncIterator]() {
        return this
      },
      async next() {
        for (;;) {
          const row = ended ? undefined : rows[at++]
          if (row !== undefined) return { done: false, value: row }
          at = rows.length
          if (ended || !follow) return end()
          await new Promise<void>((resolve) => (wake = resolve))
        }
      },
      return: () => Promise.resolve(end())
    }
  }
}

/** A program of this machine behind session frames. */
function runHere(request: SessionRequest, env: Readonly<Record<string, string>>, over: () => void): Duplex {
  const [near, far] = duplexPair()
  const [program, ...args] = request.argv.length === 0 ? ['/bin/sh'] : request.argv
  const child = spawn(program as string, args, { env: { ...process.env, ...env } })
  const decoder = new SessionDecoder()
  const frame = (type: number, payload: Uint8Array): boolean => far.write(encodeSessionFrame(type, payload))
  const end = (status: number): void => {
    const payload = Buffer.alloc(4)
    payload.writeInt32BE(status)
    if (!far.writableEnded) far.end(encodeSessionFrame(sessionFrame.exit, payload))
  }
  const forward = (output: Readable, type: number): void => {
    output.on('data', (chunk: Buffer) => {
      let room = true
      for (let at = 0; at < chunk.length; at += maxSessionPayload)
        room = frame(type, chunk.subarray(at, at + maxSessionPayload))
      if (!room) output.pause()
    })
    far.on('drain', () => output.resume())
  }
  forward(child.stdout, sessionFrame.stdout)
  forward(child.stderr, sessionFrame.stderr)
  child.stdin.on('error', () => {})
  child.stdin.on('drain', () => far.resume())
  far.on('data', (chunk: Buffer) => {
    for (const { type, payload } of decoder.push(chunk)) {
      if (type === sessionFrame.stdin && !child.stdin.write(Buffer.from(payload))) far.pause()
      if (type === sessionFrame.stdinEnd) child.stdin.end()
      if (type === sessionFrame.resize)
        frame(sessionFrame.stderr, Buffer.from(`resized ${payload.join(' ')}\n`))
    }
  })
  const gone = (): void => {
    child.kill('SIGKILL')
  }
  far.once('end', gone).once('close', gone)
  child.once('error', (error: NodeJS.ErrnoException) => {
    over()
    frame(sessionFrame.stderr, Buffer.from(`${program} ${error.code}\n`))
    end(error.code === 'ENOENT' ? 127 : 126)
  })
  child.once('close', (status, signal) => {
    if (child.pid === undefined) return
    over()
    end(status ?? (signal === null ? 1 : 137))
  })
  return near
}
