/**
 * What doors let pass, as commands for nft(8), one a line. Of a jetway by translation two places keep rules: its own
 * network namespace, where the vLAN's addresses end, and the overlay host, which knows of it one address only.
 */

/** Never outside, whatever routes say: this network, loopback, link-local (and clouds' metadata), multicast, reserved. */
const neverOutside = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4'] as const
/** Routes of a VPN that takes all: they stand for the default route. */
const halves: ReadonlySet<string> = new Set(['0.0.0.0/1', '128.0.0.0/1'])

/** Names of the two interfaces in a jetway's namespace: the vLAN's, and the one towards the host. */
export const insideNames = { lan: 'lan', out: 'out' } as const

/** Both ends of the link between a host and a jetway's namespace. */
export interface Transit {
  readonly host: string
  readonly inner: string
}

/** Networks of two hosts from which transits are taken; the lower half of link-local addresses. */
export const transits = 8_192
export const transitPrefix = 30

/** The n-th of {@link transits}. */
export function transitOf(n: number): Transit {
  const base = (n % transits) * 4
  const address = (host: number): string => `169.254.${(base + host) >> 8}.${(base + host) & 0xff}`
  return { host: address(1), inner: address(2) }
}

/** The host's side of a jetway. */
export interface HostSide {
  /** Name of the table. */
  readonly table: string
  /** The host's end of the link. */
  readonly device: string
  readonly transit: Transit
  /** What may be reached of the host's own networks, as CIDR; `host`: the host itself. */
  readonly reach: readonly string[]
}

/** Rules of the host: only to the outside, and back; the table goes with the process that holds it. */
export function hostRules({ table, device, transit, reach }: HostSide): string[] {
  const networks = reach.filter((one) => one !== 'host')
  const isHostOpen = reach.includes('host')
  return [
    `add table inet ${table} { flags owner; }`,
    `add set inet ${table} own { type ipv4_addr; flags interval; auto-merge; }`,
    `add chain inet ${table} forward { type filter hook forward priority -10; policy accept; }`,
    `add rule inet ${table} forward iifname "${device}" ip saddr != ${transit.inner} drop`,
    `add rule inet ${table} forward iifname "${device}" meta nfproto != ipv4 drop`,
    ...networks.map((one) => `add rule inet ${table} forward iifname "${device}" ip daddr ${one} accept`),
    `add rule inet ${table} forward iifname "${device}" ip daddr @own drop`,
    `add rule inet ${table} forward oifname "${device}" ct state established,related accept`,
    `add rule inet ${table} forward oifname "${device}" drop`,
    `add chain inet ${table} input { type filter hook input priority -10; policy accept; }`,
    `add rule inet ${table} input iifname "${device}" ${isHostOpen ? `ip saddr != ${transit.inner} ` : ''}drop`,
    `add chain inet ${table} postrouting { type nat hook postrouting priority 100; policy accept; }`,
    `add rule inet ${table} postrouting ip saddr ${transit.inner} oifname != "${device}" masquerade`
  ]
}

/** One command that says anew what the host's own networks are. */
export function ownRules(table: string, routes: readonly string[]): string {
  const own = new Set([...neverOutside, ...routes.filter((to) => to !== 'default' && !halves.has(to))])
  return `flush set inet ${table} own; add element inet ${table} own { ${[...own].join(', ')} }`
}

/** Rules of the jetway's own namespace: what leaves the vLAN leaves as one address, only answers come back. */
export function insideRules(): string[] {
  const { lan, out } = insideNames
  return [
    'add table inet jetway',
    'add chain inet jetway forward { type filter hook forward priority 0; policy drop; }',
    `add rule inet jetway forward iifname "${lan}" oifname "${out}" meta nfproto ipv4 accept`,
    `add rule inet jetway forward iifname "${out}" oifname "${lan}" ct state established,related accept`,
    'add chain inet jetway input { type filter hook input priority 0; policy drop; }',
    `add rule inet jetway input iifname "${lan}" icmp type echo-request accept`,
    'add rule inet jetway input ct state established,related accept',
    'add chain inet jetway postrouting { type nat hook postrouting priority 100; policy accept; }',
    `add rule inet jetway postrouting oifname "${out}" masquerade`
  ]
}

/** Rules for a host's own interface on a vLAN: it is the host's alone, and no way to its other networks. */
export function attachedRules({ table, device }: Pick<HostSide, 'table' | 'device'>): string[] {
  return [
    `add table inet ${table} { flags owner; }`,
    `add chain inet ${table} forward { type filter hook forward priority -10; policy accept; }`,
    `add rule inet ${table} forward iifname "${device}" drop`,
    `add rule inet ${table} forward oifname "${device}" drop`
  ]
}

/** Rules for a port of a host's bridge: all frames but to and from the host itself. */
export function bridgeRules({
  table,
  device,
  reach
}: Pick<HostSide, 'table' | 'device' | 'reach'>): string[] {
  const drops = [
    `add rule bridge ${table} input iifname "${device}" drop`,
    `add rule bridge ${table} output oifname "${device}" drop`
  ]
  return [
    `add table bridge ${table} { flags owner; }`,
    `add chain bridge ${table} input { type filter hook input priority 0; policy accept; }`,
    `add chain bridge ${table} output { type filter hook output priority 0; policy accept; }`,
    ...(reach.includes('host') ? [] : drops)
  ]
}
