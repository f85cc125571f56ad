/**
 * One virtual host: a slice's worker, its main thread and the daemon, each of which may stall apart, and die
 * together. What is on disk (records, membership) outlives them.
 */
import { hostKeyOf } from '#core/derive.ts'
import { hostIdOf } from '#core/admission/host-id.ts'
import type { HostId, HostKey, WallTime } from '#core/ids.ts'
import { Claims } from './claims.ts'
import { Daemon } from './daemon.ts'
import { Watching } from './liveness.ts'
import { type VirtualSigner, signerFor, virtualCrypto } from './keys.ts'
import type { Presence } from './network.ts'
import { Slice } from './slice.ts'
import { Thread } from './thread.ts'
import type { World } from './world.ts'

/** What a host sent, for the cost per host. */
export interface Traffic {
  /** As those tell that went through the codec. */
  trunkBytes: number
  messages: number
  gossipBytes: number
  syncBytes: number
  livenessBytes: number
}

interface Identity {
  readonly signer: VirtualSigner
  readonly id: HostId
  readonly key: HostKey
}

/** Those of the hosts of every world, by place: deriving them costs a small world a twentieth of its time. */
const identities: Identity[] = []

export class Host {
  readonly place: number
  readonly signer: VirtualSigner
  readonly id: HostId
  readonly key: HostKey
  readonly worker: Thread
  readonly main: Thread
  readonly daemon: Thread
  readonly records: Daemon
  readonly sent: Traffic = { trunkBytes: 0, messages: 0, gossipBytes: 0, syncBytes: 0, livenessBytes: 0 }
  /** How far its wall clock is ahead of the right time. */
  clockAheadMs = 0
  /** Grows with every start. */
  life = 0
  slice: Slice
  /** Null: hosts of this world do not watch one another. */
  watching: Watching | null = null
  /** Null: this world has no entities. */
  claims: Claims | null = null
  readonly #world: World

  constructor(world: World, place: number) {
    this.#world = world
    this.place = place
    const { signer, id, key } = identityOf(place)
    this.signer = signer
    this.id = id
    this.key = key
    this.worker = new Thread(world.clock)
    this.main = new Thread(world.clock)
    this.daemon = new Thread(world.clock)
    this.records = new Daemon(world, this)
    this.slice = new Slice(world, this)
  }

  get presence(): Presence {
    return this.#world.network.presence(this.place)
  }

  set presence(presence: Presence) {
    this.#world.network.setPresence(this.place, presence)
  }

  /** Its processes are there, though they may be stalled or asleep with the machine. */
  get running(): boolean {
    const { presence } = this
    return presence === 'running' || presence === 'suspended'
  }

  /** What its wall clock says. */
  get wallNow(): WallTime {
    return (this.#world.wallNow + this.clockAheadMs) as WallTime
  }

  /** Any of its threads does not run. */
  get stalled(): boolean {
    return this.worker.stalled || this.main.stalled || this.daemon.stalled
  }

  start(): void {
    this.life++
    this.presence = 'running'
    this.slice = new Slice(this.#world, this)
    this.slice.start()
    this.records.start()
    const { liveness, hosts, violins } = this.#world.scenario
    if (!liveness || this.place >= hosts) return
    this.watching = new Watching(this.#world, this)
    this.watching.start()
    if (violins.every(({ entities }) => entities === undefined)) return
    this.claims = new Claims(this.#world, this)
    this.claims.start()
  }

  /** All processes end; `off`: the machine with them. */
  end(presence: 'dead' | 'off'): void {
    this.presence = presence
    for (const thread of [this.worker, this.main, this.daemon]) thread.kill()
  }
}

function identityOf(place: number): Identity {
  const known = identities[place]
  if (known !== undefined) return known
  const signer = signerFor(`host ${place}`)
  const id = hostIdOf(signer.publicKey)
  const made = { signer, id, key: hostKeyOf(virtualCrypto, id) }
  identities[place] = made
  return made
}
