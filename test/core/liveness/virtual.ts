/** Some hosts that hear one another as a test wants it; what they tell and publish arrives at once, or not. */
import { hex } from '#core/derive.ts'
import { hostIdOf } from '#core/admission/host-id.ts'
import type { HostId, Instant } from '#core/ids.ts'
import { type Effect, Liveness, type LifeState, type Way } from '#core/liveness/liveness.ts'
import { decodeTold, encodeTold } from '#core/liveness/message.ts'
import { Ring } from '#core/liveness/ring.ts'
import { signEveryMs, tickMs } from '#core/liveness/settings.ts'
import { crypto, root, signerFor, type TestSigner } from '../admission/keys.ts'

export interface VirtualHost {
  readonly id: HostId
  readonly signer: TestSigner
  readonly heard: Map<HostId, Instant>
  readonly states: { readonly host: HostId; readonly state: LifeState; readonly at: number }[]
  liveness: Liveness
  running: boolean
  /** What came while it stood still; null: it runs. */
  waiting: (() => void)[] | null
  published: number
  told: number
}

export class Virtual {
  now = 0
  readonly hosts: VirtualHost[]
  readonly ring: Ring = new Ring(root.publicKey, crypto)
  readonly #spread = new Set<string>()
  /** Whether what `from` sends comes to `to`. */
  reaches: (from: HostId, to: HostId) => boolean = () => true
  /** Whether somebody passes on what a host publishes. */
  gossips: (from: HostId) => boolean = () => true

  constructor(count: number) {
    const signers = Array.from({ length: count }, (_, place) => signerFor(`life ${place}`))
    for (const { publicKey } of signers) this.ring.add(hostIdOf(publicKey))
    this.hosts = signers.map((signer) => {
      const heard = new Map<HostId, Instant>()
      const id = hostIdOf(signer.publicKey)
      return {
        id,
        signer,
        heard,
        states: [],
        liveness: this.#life(id, signer, heard),
        running: true,
        waiting: null,
        published: 0,
        told: 0
      }
    })
    for (const host of this.hosts) this.carry(host, host.liveness.changed(this.instant))
  }

  get instant(): Instant {
    return this.now as Instant
  }

  at(place: number): VirtualHost {
    return this.hosts[place] as VirtualHost
  }

  byId(id: HostId): VirtualHost {
    return this.hosts.find((host) => host.id === id) as VirtualHost
  }

  /** A new process of a host, which remembers nothing; `silently`: it is heard, and dies before it says a word. */
  restart(host: VirtualHost, { silently } = { silently: false }): void {
    host.running = !silently
    host.heard.clear()
    host.liveness = this.#life(host.id, host.signer, host.heard)
    this.carry(host, host.liveness.changed(this.instant))
    for (const other of this.hosts) {
      if (!other.running || other === host || !this.#meet(host, other)) continue
      other.heard.set(host.id, this.instant)
      this.carry(other, other.liveness.connected(host.id, this.instant))
    }
  }

  /** Lets time pass; a host whose `stalled` says so does nothing meanwhile. */
  run(ms: number, stalled: (host: VirtualHost) => boolean = () => false): void {
    for (const until = this.now + ms; this.now < until;) {
      this.now += tickMs
      const awake = this.hosts.filter((host) => host.running && !stalled(host))
      for (const host of this.hosts) {
        const came = host.waiting ?? []
        host.waiting = awake.includes(host) ? null : came
        if (host.waiting === null) for (const read of came) read()
      }
      if (this.now % signEveryMs === 0) for (const host of awake) this.#sign(host)
      for (const host of awake) this.carry(host, host.liveness.tick(this.instant))
    }
  }

  carry(host: VirtualHost, effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'state') host.states.push({ host: effect.host, state: effect.state, at: this.now })
      else if (effect.kind === 'tell')
        for (const to of effect.to) this.#tell(host, this.byId(to), effect.told)
      else if (effect.kind === 'publish') this.publish(host, effect.bytes)
    }
  }

  publish(from: VirtualHost, bytes: Uint8Array): void {
    from.published++
    if (!this.gossips(from.id)) return
    // As gossipsub: equal bytes are one message, and each hands it on.
    const name = hex(bytes)
    if (this.#spread.has(name)) return
    this.#spread.add(name)
    const had = new Set([from])
    for (const by of had) {
      for (const to of this.hosts) {
        if (had.has(to) || !to.running || !this.reaches(by.id, to.id)) continue
        had.add(to)
        this.#receive(to, bytes, { from: by.id, spread: true })
      }
    }
  }

  #receive(to: VirtualHost, bytes: Uint8Array, way: Way): void {
    const read = (): void => this.carry(to, to.liveness.receive(bytes, way, this.instant).effects)
    if (to.waiting === null) read()
    else to.waiting.push(read)
  }

  #tell(from: VirtualHost, to: VirtualHost, sent: Parameters<typeof encodeTold>[0]): void {
    from.told++
    const told = decodeTold(encodeTold(sent))
    if (told === null) throw new Error('what is told does not open')
    if (!to.running || !this.#meet(from, to)) return
    to.heard.set(from.id, this.instant)
    for (const bytes of told.messages) this.#receive(to, bytes, { from: from.id, spread: told.spread })
  }

  #meet(a: VirtualHost, b: VirtualHost): boolean {
    return this.reaches(a.id, b.id) && this.reaches(b.id, a.id)
  }

  #sign(host: VirtualHost): void {
    for (const id of host.liveness.watched) {
      const other = this.byId(id)
      if (other.running && this.reaches(host.id, id)) other.heard.set(host.id, this.instant)
    }
  }

  #life(self: HostId, signer: TestSigner, heard: ReadonlyMap<HostId, Instant>): Liveness {
    return new Liveness({
      self,
      root: root.publicKey,
      signer,
      crypto,
      ring: this.ring,
      heardAt: (host) => heard.get(host) ?? null,
      now: this.instant
    })
  }
}
