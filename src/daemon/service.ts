/** What the local API offers, put together from the daemon's parts. */
import type { Duplex } from 'node:stream'
import { ViolinError } from '#core/errors.ts'
import type { HostId } from '#core/ids.ts'
import type { CaptureRequest, SessionRequest } from '#core/session.ts'
import type { About, HostRow, Service, Show } from '#api/contract.ts'
import type { Mesh } from '#mesh/contract.ts'
import type { Admission } from './admission.ts'
import type { Attachments } from './attachments.ts'
import type { Journal } from './events.ts'
import type { EntityChanges } from './entity-changes.ts'
import type { Jetways } from './jetways.ts'
import type { Histories } from './histories.ts'
import { type Host, type HostState, hostBody, placeOf, softwareVersion } from './host.ts'
import type { Departure } from './departure.ts'
import type { Images } from './images.ts'
import type { Loads } from './loads.ts'
import type { Peers } from './peers.ts'
import type { Offers } from './offers.ts'
import type { Records } from './records.ts'
import type { Pointers } from './pointers.ts'
import { letJetways, refuseOwner } from './refusing.ts'
import type { Sessions } from './sessions.ts'
import type { Changes } from './changes.ts'
import type { Moves } from './moves.ts'
import type { Waiting } from './waiting.ts'
import type { Statuses } from './statuses.ts'
import type { Violins } from './violins.ts'
import { whereabouts } from './whereabouts.ts'

export interface ServiceParts {
  readonly pointers: Pointers
  readonly refusing: Parameters<typeof refuseOwner>[0]
  readonly host: Host
  readonly mesh: Mesh
  readonly records: Records
  readonly peers: Peers
  readonly loads: Loads
  readonly admission: Admission
  readonly violins: Violins
  readonly waiting: Waiting
  readonly changes: Changes
  readonly moves: Moves
  readonly sessions: Sessions
  readonly jetways: Jetways
  readonly entityChanges: EntityChanges
  readonly attachments: Attachments
  readonly offers: Offers
  readonly departure: Departure
  readonly journal: Journal
  readonly histories: Histories
  readonly images: Images
  readonly statuses: Statuses
}

export function createService(parts: ServiceParts): Service {
  const { violins, changes, admission, journal } = parts
  return {
    about: () => Promise.resolve(about(parts)),
    hosts: () => hosts(parts),
    invite: (request) => admission.invite(request),
    async cancelInvite({ token }) {
      await admission.cancel(token)
      return {}
    },
    revoke: ({ host, andBelow, dryRun }) => admission.revoke(host, andBelow, dryRun),
    refuse: ({ owner, undo = false, everywhere = false }) =>
      refuseOwner(parts.refusing, { owner, undo, everywhere }),
    plan: ({ topology }) => changes.plan(topology),
    apply: ({ topology, wait, timeoutMs }) => changes.apply(topology, wait, timeoutMs),
    list: () => violins.list(),
    show: ({ name, here = false }) => (here ? violins.show(name) : show(parts, name)),
    config: ({ name }) => Promise.resolve(violins.config(name)),
    wait: (request) => wait(parts, request),
    delete: ({ name, timeoutMs }) => changes.delete(name, timeoutMs),
    migrate: ({ violin, lan, to }) => parts.moves.vswitch(violin, lan, to),
    move: ({ violin, entity, to, timeoutMs }) => parts.moves.entity(violin, entity, to, timeoutMs),
    addNic: ({ violin, entity, lan, ip, timeoutMs }) =>
      parts.entityChanges.nics(violin, entity, { lan, ...(ip === undefined ? {} : { ip }) }, timeoutMs),
    removeNic: ({ violin, entity, nic, timeoutMs }) =>
      parts.entityChanges.nics(violin, entity, nic, timeoutMs),
    images: () => parts.images.rows(),
    pullImage: ({ image, from }) => parts.images.pull(image, from),
    removeImage: ({ image }) => parts.images.remove(image),
    jetway: ({ violin, jetway, open, timeoutMs }) => parts.jetways.set(violin, jetway, open, timeoutMs),
    letJetways: ({ owner, undo = false, bridges = [], reach = [] }) =>
      letJetways(parts.refusing, { owner, undo, bridges, reach }),
    attach: ({ vhost, driver = 'uml', ...request }) =>
      vhost === undefined
        ? parts.attachments.attach(request)
        : parts.attachments.addHost({ ...request, vhost, driver }),
    offer: ({ violin, lan, to, withdraw = false }) => parts.offers.offer(violin, lan, to, withdraw),
    detach: async ({ violin, lan }) => ({ from: await parts.attachments.detach(violin, lan) }),
    link: (request) => parts.entityChanges.link(request),
    power: (request) => parts.entityChanges.power(request),
    drain: ({ off, timeoutMs }) => (off ? parts.departure.undrain() : parts.departure.drain(timeoutMs)),
    events: ({ follow, violin }) =>
      violin === undefined ? journal.read(follow) : parts.histories.read(violins.find(violin, true)),
    leave: ({ stop }) => parts.departure.leave(stop),
    whereabouts: ({ violin, what }) => whereabouts(parts, violin, what),
    session: (request) => ('capture' in request ? capture(parts, request) : session(parts, request))
  }
}

/** A VIOLIN that this host holds, or one that its owner's pointers lead to. */
async function show({ violins, pointers }: ServiceParts, name: string): Promise<Show> {
  try {
    return await violins.show(name)
  } catch (error: unknown) {
    if (!(error instanceof ViolinError) || error.code !== 'unknown-violin') throw error
    const found = await pointers.look(name)
    if (found !== null) return found
    // A plain name is only looked for here.
    if (!/^[^@]+@.+$|^[\da-f]{64}$/.test(name)) throw error
    throw new ViolinError(
      'unknown-violin',
      `neither this host nor any that it can ask knows ${name}`,
      'see that its owner’s host is alive: violin hosts; what this host knows: violin list'
    )
  }
}

/** Of a VIOLIN that this host does not hold no more is to be known here than that it is gone. */
async function wait(
  { waiting, pointers }: ServiceParts,
  { name, for: state, timeoutMs }: Parameters<Service['wait']>[0]
): ReturnType<Service['wait']> {
  try {
    return await waiting.wait(name, state, timeoutMs)
  } catch (error: unknown) {
    const isUnknown = error instanceof ViolinError && error.code === 'unknown-violin'
    const end = isUnknown && state === 'gone' ? await pointers.endOf(name) : null
    if (end === 'gone') return { state: end }
    if (end === null) throw error
    throw new ViolinError(
      'refused',
      `${name} was deleted, and is not gone everywhere: only its hosts can wait for that`,
      'run this on one of them, or try again'
    )
  }
}

function about({ host, mesh }: ServiceParts): About {
  const { identity } = host
  return {
    id: identity.id,
    name: identity.name,
    mesh: identity.mesh,
    version: softwareVersion,
    pid: process.pid,
    listen: mesh.addresses()
  }
}

/** The members as this host sees them, and itself, also where it is none in its own eyes. */
export async function hosts({
  host,
  mesh,
  records,
  peers,
  loads
}: Pick<ServiceParts, 'host' | 'mesh' | 'records' | 'peers' | 'loads'>): Promise<HostRow[]> {
  const self = host.identity.id
  const place = placeOf(host, records)
  const members = [...records.view.members.values()]
  const listed = members.map((member) => ({
    id: member.host,
    body: member.body,
    endsAt: member.membershipEndsAt
  }))
  if (!records.view.members.has(self))
    listed.push({ id: self, body: hostBody(host, records, ownNow), endsAt: host.chain.endsAt })
  const live = await loads.ofAll(listed.map(({ id }) => id).filter((id) => peers.isConnected(id)))
  const stateSeen = (id: HostId): HostRow['state'] => {
    if (id === self && place !== 'member') return place
    // Whoever is out is told nothing: that it hears nobody says nothing of them.
    return place === 'member' || peers.isConnected(id) ? peers.stateOf(id) : 'unknown'
  }
  const rows = listed.map(({ id, body, endsAt }): HostRow => {
    const isSelf = id === self
    const load = live.get(id) ?? null
    return {
      id,
      name: body.name,
      state: stateSeen(id),
      self: isSelf,
      rttMs: isSelf ? 0 : mesh.rttMs(id),
      load: load?.load ?? null,
      memoryMiB: body.capacity.memoryMiB,
      entities: load?.entities ?? null,
      version: body.software,
      draining: body.draining && !body.left,
      clockAheadMs: isSelf ? (records.clockAheadMs ?? 0) : body.clockAheadMs,
      membershipEndsAt: new Date(endsAt).toISOString()
    }
  })
  return rows.toSorted(
    (a, b) => Number(b.self) - Number(a.self) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  )
}

/** What is shown of a host that has no record says nothing of where and how it runs. */
const ownNow: HostState = { addresses: [], draining: false, left: false }

async function session(
  { violins, sessions, peers, host }: ServiceParts,
  request: SessionRequest
): Promise<Duplex> {
  const violin = violins.find(request.violin)
  const entity = violin.spec?.entities.find(({ name }) => name === request.entity)
  if (entity === undefined) {
    const known = violin.spec?.entities.map(({ name }) => name).join(', ') ?? ''
    throw new ViolinError(
      'unknown-entity',
      `${violin.name} has no entity ${request.entity}`,
      `it has ${known}`
    )
  }
  const where = await violins.whereRuns(violin, entity)
  if (where !== host.identity.id && !violin.founding.owners.includes(host.identity.owner.publicKey)) {
    throw new ViolinError(
      'not-owner',
      `${violin.name} belongs to ${peers.nameOf(violin.ownerHost)}, and ${entity.name} runs on ${peers.nameOf(where)}`,
      `run this on ${[...new Set([violin.ownerHost, where])].map((one) => peers.nameOf(one)).join(' or on ')}`
    )
  }
  await peers.reach(where)
  return sessions.open(violin.id, where, request)
}

/** What passes in a VIOLIN is its owner's business alone, on its own hosts too. */
async function capture(
  { violins, sessions, peers, records, host }: ServiceParts,
  request: CaptureRequest
): Promise<Duplex> {
  const violin = violins.find(request.violin)
  if (!violin.founding.owners.includes(host.identity.owner.publicKey))
    throw new ViolinError(
      'not-owner',
      `${violin.name} belongs to ${peers.nameOf(violin.ownerHost)}`,
      'run this there'
    )
  const where = request.host as HostId
  if (!records.view.members.has(where))
    throw new ViolinError('unknown-host', `no member has the id ${request.host}`, 'see `violin hosts`')
  if (where !== host.identity.id) await peers.reach(where)
  return sessions.open(violin.id, where, request)
}
