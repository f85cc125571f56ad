/** Files that something is started for: whoever looks for one in a machine's slice needs no more of routing. */
export const frrPath = '/etc/frr/frr.conf'
export const firewallPath = '/etc/nftables.conf'
export const natPath = '/etc/violin/nat.nft'
export const dnsmasqPath = '/etc/dnsmasq.conf'
export const dhcpHostsPath = '/etc/violin/dhcp-hosts'
export const dhcpOptionsPath = '/etc/violin/dhcp-options'
/** Of whom names are asked. */
export const resolvPath = '/etc/resolv.conf'
export const rulesPath = '/etc/violin/rules'
/** A script that passes IPv6 multicast on. */
export const multicast6Path = '/etc/violin/multicast6'
export const clickPath = '/etc/click.conf'

export const servicePaths: readonly string[] = [
  frrPath,
  firewallPath,
  natPath,
  dnsmasqPath,
  rulesPath,
  multicast6Path,
  clickPath
]

/** Those that are written into a machine that runs; what goes by them is told. The last comes and goes as well. */
export const toldPaths: readonly string[] = [
  frrPath,
  rulesPath,
  multicast6Path,
  dhcpHostsPath,
  dhcpOptionsPath,
  resolvPath
]
