/**
 * Whose port a MAC is. An entity may have a port on two hosts, as after a partition: each is announced with the
 * claim under which its host runs the entity, and the highest stands. The active compares what it hears and
 * tells the others, who shut theirs. A host that the record does not list for an entity announces nothing of it,
 * nor does one that claims more than the record lets anybody.
 */
import type { HostKey, Mac } from '../ids.ts'

/** A port as its host announces it. */
export interface Port {
  readonly mac: Mac
  /** Number of the claim under which the host runs the entity. */
  readonly claim: number
}

/** A port that must be shut: another host has a higher claim. */
export interface Superseded extends Port {
  readonly by: HostKey
}

/** Who may have a MAC, by the record. */
export interface Owner {
  /** The hosts that may run its entity, in order. */
  readonly hosts: readonly HostKey[]
  /** The last claim of the entity's generation: what is above it is made up, or of a record that is not here yet. */
  readonly maxClaim: number
}

/** The owner of each MAC; null: any member may have any. */
export type Owners = ReadonlyMap<Mac, Owner> | null

export class PortTable {
  readonly #self: HostKey
  #owners: Owners = null
  /** What each host announced, this one too. */
  readonly #ports = new Map<HostKey, ReadonlyMap<Mac, number>>()
  readonly #holders = new Map<Mac, Set<HostKey>>()
  /** MACs that more than one host announced. */
  #contested = 0

  constructor(self: HostKey) {
    this.#self = self
  }

  setOwners(owners: Owners): void {
    this.#owners = owners
  }

  /** All ports of a host, in place of what it had; none: it is forgotten. Gives the hosts that this concerns. */
  set(host: HostKey, ports: readonly Port[]): ReadonlySet<HostKey> {
    const concerned = new Set([host])
    for (const mac of this.#ports.get(host)?.keys() ?? []) {
      const holders = this.#holders.get(mac)
      if (holders?.delete(host) === true && holders.size === 1) this.#contested--
      for (const other of holders ?? []) concerned.add(other)
      if (holders?.size === 0) this.#holders.delete(mac)
    }
    const claims = new Map<Mac, number>()
    for (const { mac, claim } of ports) {
      claims.set(mac, claim)
      const holders = this.#holders.get(mac) ?? new Set()
      if (holders.size === 1 && !holders.has(host)) this.#contested++
      this.#holders.set(mac, holders.add(host))
      for (const other of holders) concerned.add(other)
    }
    if (claims.size > 0) this.#ports.set(host, claims)
    else this.#ports.delete(host)
    return concerned
  }

  /** Whether more than one host announced some MAC: else nobody's port is superseded. */
  get isContested(): boolean {
    return this.#contested > 0
  }

  /** The MACs that are behind a host, and not with a higher claim elsewhere. */
  behind(host: HostKey): Mac[] {
    const macs = this.#ports.get(host)?.keys() ?? []
    return Array.from(macs).filter((mac) => this.#holder(mac) === host)
  }

  /** The ports of a host that others have with a higher claim. */
  supersededOf(host: HostKey): Superseded[] {
    const superseded: Superseded[] = []
    for (const mac of this.#ports.get(host)?.keys() ?? []) {
      if ((this.#holders.get(mac)?.size ?? 0) < 2) continue
      const by = this.#holder(mac)
      if (by !== null && by !== host) superseded.push({ mac, by, claim: this.#claim(by, mac) })
    }
    return superseded
  }

  /** Whether what another tells of a higher claim than this host's can be so. */
  isAbove({ mac, claim, by }: Superseded): boolean {
    const own = this.#ports.get(this.#self)?.get(mac)
    if (own === undefined || by === this.#self || !this.#mayHave(by, mac, claim)) return false
    return claim > own || (claim === own && this.#isBefore(by, this.#self, mac))
  }

  /** Of the listed hosts that announce it the one with the highest claim, of equal ones the first in order. */
  #holder(mac: Mac): HostKey | null {
    let best: HostKey | null = null
    for (const host of this.#holders.get(mac) ?? []) {
      const claim = this.#claim(host, mac)
      if (!this.#mayHave(host, mac, claim)) continue
      const lead = best === null ? 1 : claim - this.#claim(best, mac)
      if (lead > 0 || (lead === 0 && this.#isBefore(host, best as HostKey, mac))) best = host
    }
    return best
  }

  #claim(host: HostKey, mac: Mac): number {
    return this.#ports.get(host)?.get(mac) ?? 0
  }

  #mayHave(host: HostKey, mac: Mac, claim: number): boolean {
    if (this.#owners === null) return true
    const owner = this.#owners.get(mac)
    return owner !== undefined && claim <= owner.maxClaim && owner.hosts.includes(host)
  }

  #isBefore(host: HostKey, other: HostKey, mac: Mac): boolean {
    const listed = this.#owners?.get(mac)?.hosts
    // Without a list there is an order that all hosts know, too.
    return listed === undefined ? host < other : listed.indexOf(host) < listed.indexOf(other)
  }
}
