/** Real nodes on 127.0.0.1 with a toy membership: a badge that names its bearer and the mesh. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { createMesh } from '#mesh/mesh.ts'
import type { HostId } from '#core/ids.ts'
import type { Mesh, MeshEvent, MeshOptions } from '#mesh/contract.ts'

export const meshId: string = createHash('sha256').update('a mesh').digest('hex')

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
export const text = (data: Uint8Array): string => new TextDecoder().decode(data)
/** A bound on every wait of a test; only a failing one comes near it. */
export const soon = (): AbortSignal => AbortSignal.timeout(20_000)

export interface Node extends AsyncDisposable {
  readonly mesh: Mesh
  readonly id: HostId
  /** Set or cleared by a test: what it shows. */
  member: boolean
  readonly logged: string[]
  /** Resolves with the first event, past or to come, that fits. */
  event(kind: MeshEvent['kind'], peer: HostId): Promise<MeshEvent>
  /** Resolves once a line with this text is logged. */
  logs(part: string): Promise<string>
  /** Every loss of a member so far. */
  lost(): readonly HostId[]
  /** Forgets the events so far. */
  forget(): void
}

export async function node(
  seed: string,
  options: Partial<MeshOptions> & { member?: boolean } = {}
): Promise<Node> {
  const events: MeshEvent[] = []
  const waiting = new Set<() => void>()
  const made: { member: boolean; id: HostId | null; logged: string[] } = {
    member: options.member ?? true,
    id: null,
    logged: []
  }
  const mesh = await createMesh({
    hostSeed: createHash('sha256').update(seed).digest(),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    meshId,
    presentation: () => (made.member && made.id !== null ? badge(made.id) : null),
    admit: (peer, presented) => text(presented) === text(badge(peer)),
    remembered: () => [],
    mdns: false,
    log: (message, fields) => {
      made.logged.push(`${message} ${JSON.stringify(fields)}`)
      for (const look of waiting) look()
    },
    ...options
  })
  made.id = mesh.self
  mesh.on((event) => {
    events.push(event)
    for (const look of waiting) look()
  })
  const subscribe = (look: () => void): (() => void) => {
    waiting.add(look)
    return () => waiting.delete(look)
  }
  return {
    mesh,
    id: mesh.self,
    logged: made.logged,
    get member() {
      return made.member
    },
    set member(value) {
      made.member = value
    },
    event: (kind, peer) =>
      until(
        () => events.find((event) => event.kind === kind && event.peer === peer),
        subscribe,
        `${kind} ${peer}`
      ),
    logs: (part) => until(() => made.logged.find((line) => line.includes(part)), subscribe, part),
    lost: () => events.filter(({ kind }) => kind === 'member-disconnected').map(({ peer }) => peer),
    forget: () => void events.splice(0),
    [Symbol.asyncDispose]: () => mesh.close()
  }
}

export const badge = (peer: HostId): Uint8Array => bytes(`badge of ${peer}`)

/** Dials and waits until both sides hold the other for a member. */
export async function join(from: Node, to: Node): Promise<void> {
  assert.equal(await from.mesh.dial(to.mesh.addresses(), soon()), to.id)
  await Promise.all([from.event('member-connected', to.id), to.event('member-connected', from.id)])
}

async function until<T>(
  look: () => T | undefined,
  subscribe: (look: () => void) => () => void,
  what: string
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const end = subscribe(() => {
    const found = look()
    if (found !== undefined) resolve(found)
  })
  const late = setTimeout(() => reject(new Error(`never came: ${what}`)), 30_000)
  const found = look()
  if (found !== undefined) resolve(found)
  try {
    return await promise
  } finally {
    clearTimeout(late)
    end()
  }
}

/** Gets until a value is found: the DHT takes a member for one after a ping of its own. */
export async function found(at: Node, key: string, wanted: string): Promise<void> {
  for (const signal = soon(); ; await delay(10, undefined, { signal })) {
    const value = await at.mesh.get(key, signal)
    if (value !== null && text(value) === wanted) return
  }
}
