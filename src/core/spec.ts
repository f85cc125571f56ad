/**
 * What a VIOLIN should be, twice: as a person writes it ({@link Topology}: hosts by name, addresses left
 * out where any will do) and as the owner's host settled it ({@link Spec}: what the signed record carries).
 */
import type { HostId } from './ids.ts'
import type { ImageRef } from './image.ts'
import type { Link } from './link.ts'

export type EntityKind = 'host' | 'router' | 'jetway'
/** What runs an entity. `tap`: no machine, but a device of the overlay host itself, or of its jetway. */
export type DriverName = 'uml' | 'netns' | 'tap'
export const drivers: readonly DriverName[] = ['uml', 'netns', 'tap']
/** What becomes of an entity whose machine or host dies: elsewhere, again where it was, or not at all. */
export const restarts = ['failover', 'on-failure', 'never'] as const
export type Restart = (typeof restarts)[number]
/** How a vRouter knows the ways: not at all, told once, or by a protocol that it speaks with its neighbours. */
export const routings = ['none', 'static', 'ospf', 'bgp', 'rip', 'isis'] as const
export type Routing = (typeof routings)[number]
/** What one entity on a vLAN does for the others there: addresses, names, router advertisements. */
export const lanServices = ['dhcp', 'dns', 'ra'] as const
export type LanService = (typeof lanServices)[number]

/** In place of an IPv4 address: a real host is to ask on the vLAN for one. Its record has none, then. */
export const byDhcp = 'dhcp'

/** By address translation, or as one more member of a bridge of the host's. */
export const jetwayModes = ['nat', 'bridge'] as const

/** A door between a vLAN and the real network of the overlay host that it is on. */
export interface Jetway {
  readonly mode: (typeof jetwayModes)[number]
  /** The host's bridge that it joins; empty for `nat`. */
  readonly bridge: string
  /** Its owner wants it open. */
  readonly enabled: boolean
}

/** Protocols that a {@link RoutingRule} tells apart. */
export const ruleProtocols = ['tcp', 'udp', 'icmp'] as const

/** Where a router sends some of what it forwards, whatever else it knows. All that is said of a packet holds for it. */
export interface RoutingRule {
  /** CIDR, or a vLAN, whose networks are meant; absent: anywhere. */
  readonly from?: string
  readonly to?: string
  readonly proto?: (typeof ruleProtocols)[number]
  /** Destination, of tcp or udp. */
  readonly port?: number
  /** The next hop: an address, or an entity beside the router. */
  readonly via: string
}

/** A vLAN on which another owner, known by its host, may put entities of its own. */
export interface Offer {
  readonly lan: string
  readonly to: HostId
}

/** A file laid into an entity before it starts. */
export interface EntityFile {
  /** Absolute path inside the entity. */
  readonly path: string
  /** Permission bits, such as 0o644. */
  readonly mode: number
  readonly data: Uint8Array
}

export interface TopologyNic {
  /** eth0, eth1… in the file's order when it is not given. */
  readonly name: string
  readonly lan: string
  /** A bare IPv4 address inside the vLAN's subnet, or {@link byDhcp}; absent: the next free one. */
  readonly ip?: string
  /** A bare IPv6 address inside the vLAN's prefix; absent: the next free one. */
  readonly ipv6?: string
  /** Absent: nothing happens to its frames. */
  readonly link?: Link
}

export interface TopologyEntity {
  readonly name: string
  readonly kind: EntityKind
  readonly driver: DriverName
  /** Name of the image that it begins with. */
  readonly image: string
  readonly memoryMiB: number
  /** Name (or id) of the overlay host it is pinned to. */
  readonly on?: string
  /** Absent: failover, or on-failure where it is pinned. */
  readonly restart?: Restart
  readonly nics: readonly TopologyNic[]
  readonly env: Readonly<Record<string, string>>
  readonly files: readonly EntityFile[]
  /** A script's text, run once inside when the entity is up. */
  readonly run?: string
  /** Of a router; absent: static. */
  readonly routing?: Routing
  /** Of a router: forwards multicast by PIM sparse mode. */
  readonly multicast?: 'pim'
  /** Of a router: the vLAN that sees all others behind this router's address there. */
  readonly nat?: string
  /** Of a router: the first that fits a packet counts. */
  readonly rules?: readonly RoutingRule[]
  /** Of a router: the program inside it that forwards in the kernel's place, by the file /etc/click.conf. */
  readonly click?: string
  /** Of a vHost: addresses that others may have, too, and that routers lead to the nearest. */
  readonly anycast?: readonly string[]
  /** Of a jetway only; `enabled` absent: as it is, shut at first. */
  readonly jetway?: Omit<Jetway, 'enabled'> & { readonly enabled?: boolean }
  /** The host of another owner, whose it is by an offer. */
  readonly by?: HostId
}

export interface TopologyLan {
  readonly name: string
  /** IPv4 CIDR with the host bits zero; absent: IPv6 only. */
  readonly subnet?: string
  /** IPv6 prefix with the host bits zero; absent: IPv4 only. */
  readonly ipv6?: string
  /** Who does it; empty: the vLAN's router. */
  readonly services?: Readonly<Partial<Record<LanService, string>>>
  /** Names (or ids) of the only hosts that may switch it, in order; empty: those with a port on it. */
  readonly vswitch: readonly string[]
  /** Name of the router that is the default route, where the vLAN has several. */
  readonly gateway?: string
}

/** A checked topology file. Count and defaults are already unrolled. */
export interface Topology {
  readonly name: string
  readonly lans: readonly TopologyLan[]
  readonly entities: readonly TopologyEntity[]
  /** The router at which senders and receivers of a multicast group meet; absent: the first that forwards it. */
  readonly rendezvous?: string
}

export interface SpecNic {
  readonly name: string
  readonly lan: string
  /** Addresses with prefix length, `192.168.1.2/24`; at most one IPv4, and one IPv6 behind it. */
  readonly ips: readonly string[]
  readonly link?: Link
}

export interface SpecRoute {
  /** CIDR, or `default`. */
  readonly to: string
  /** Next hop's address. */
  readonly via: string
}

export interface SpecEntity {
  readonly name: string
  readonly kind: EntityKind
  readonly driver: DriverName
  readonly image: ImageRef
  readonly memoryMiB: number
  readonly nics: readonly SpecNic[]
  readonly routes: readonly SpecRoute[]
  readonly env: Readonly<Record<string, string>>
  readonly files: readonly EntityFile[]
  readonly run: string
  /** The hosts that may run it, in order. */
  readonly hosts: readonly HostId[]
  /** Pinned by the file to its one host. */
  readonly pinned: boolean
  readonly restart: Restart
  /** Its owner stopped it; it keeps its place and its addresses. */
  readonly stopped?: true
  /** Raised to move it, or to try again what failed: claims of a lower generation give way. */
  readonly generation: number
  /** As in {@link TopologyEntity}. */
  readonly routing?: Routing
  readonly multicast?: 'pim'
  readonly nat?: string
  readonly rules?: readonly RoutingRule[]
  readonly click?: string
  readonly anycast?: readonly string[]
  /** Of a jetway only. */
  readonly jetway?: Jetway
  /** The host of another owner, whose it is by an offer; absent: it is the VIOLIN's owner's. */
  readonly by?: HostId
}

export interface SpecLan {
  readonly name: string
  readonly subnet?: string
  readonly ipv6?: string
  /** Who does it. */
  readonly services?: Readonly<Partial<Record<LanService, string>>>
  /** Candidates for its vSwitch, in order. */
  readonly hosts: readonly HostId[]
}

/** The wanted topology as it stands in a VIOLIN's record. */
export interface Spec {
  readonly name: string
  readonly lans: readonly SpecLan[]
  readonly entities: readonly SpecEntity[]
  /** The rendezvous point of its multicast groups; absent where no router forwards any. */
  readonly rendezvous?: string
  /** Absent: none. */
  readonly offers?: readonly Offer[]
}

/** Hosts that may run an entity that is not pinned: the first, and two in case it is lost. */
export const hostsPerEntity = 3
/** An entity's vNIC takes at most this many: bounded by the UML driver's devices. */
export const maxNicsPerEntity = 16
/** MTU of every vLAN, whatever the underlay's. */
export const lanMtu = 1500
