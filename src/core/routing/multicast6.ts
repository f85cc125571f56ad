/**
 * IPv6 multicast through a router, by programs of Debian 12, whose FRR has no pim6d: smcroute passes on along the tree of
 * multicast-tree.ts, and to a vLAN that no other router is behind only groups of which listeners there told (MLD). A
 * script that may run again whenever the tree changed. Pure.
 */
import { addressOf } from '../resolve.ts'
import type { Spec, SpecEntity, SpecNic } from '../spec.ts'
import { multicastTree, passesMulticast6, transitLans } from './multicast-tree.ts'

/** Seconds between two questions who listens. */
const querySeconds = 10
/** Seconds that a listener counts after its last answer: two may be lost. */
const listenerSeconds = 35
/** Groups of one vLAN that are known at a time: more are not passed on. */
const maxGroups = 4096
/** Groups that are read of one report of MLDv2; the next question brings the others. */
const recordsRead = 4
/** Before a program that ended is started again. */
const againSeconds = 1
/** Routes of the kernel for this alone: pimd has the first table of IPv4, and smcroute wants one number in both families. */
const table = 6

/** What it takes of an image, and the package that has it. */
const programs = { smcrouted: 'smcroute', nft: 'nftables', socat: 'socat' }

/** What this started, and smcroute's part. */
const pidsPath = '/run/multicast6.pids'
const confPath = '/run/multicast6.conf'
/** By which `smcroutectl -i` finds it. */
const identity = 'multicast6'

/**
 * General Query of MLDv1 (RFC 2710, 3.1), one second to answer. Listeners that heard it answer in MLDv1: by one message
 * for each group at a fixed place, which is what a packet filter can read.
 */
const query = `\\202\\0\\0\\0\\003\\350${'\\0'.repeat(18)}`
/** IPV6_HOPOPTS of SOL_IPV6: the router alert without which a question is not heard (RFC 2711). */
const routerAlert = 'setsockopt=41:54:x3a00050200000100'

/** The script; null: this router has nothing to pass on, whatever else runs. */
export function multicast6Script(spec: Spec, self: SpecEntity): string | null {
  if (!passesMulticast6(self)) return null
  const tree = multicastTree(spec)
  const branches = tree.get(self.name) ?? []
  const transit = transitLans(tree)
  const leaves = branches.filter(({ lan }) => !transit.has(lan))
  const passing = branches.length > 1
  // With IPv4 it is of use all the same, and was before there was this.
  const hasIpv4 = self.nics.some((nic) => addressOf(nic, false) !== undefined)
  return [
    needs(
      '[ -e /proc/net/ip6_mr_vif ]',
      'the kernel of this host is built without CONFIG_IPV6_MROUTE; name another by on:, or leave ipv6: or multicast: out',
      hasIpv4 ? 0 : 1
    ),
    ...Object.entries(programs).map(([program, of]) =>
      needs(`command -v ${program} >/dev/null`, `its image has no ${program}; build it with ${of}`)
    ),
    `if [ -e ${pidsPath} ]; then`,
    `  while read -r pid; do kill -- -$pid 2>/dev/null || true; done <${pidsPath}`,
    `  rm ${pidsPath}`,
    'fi',
    `nft -f - <<'end'`,
    filter(passing ? leaves : []),
    'end',
    ...(passing ? [...started(branches), ...asked(leaves)] : []),
    ''
  ].join('\n')
}

/** Another `sh -e` says no more than that it ended. */
function needs(test: string, otherwise: string, status = 1): string {
  return `${test} || { echo 'it can forward no IPv6 multicast: ${otherwise}'; exit ${status}; }`
}

/** Forwarding: what comes by one branch goes to all others. Other vNICs are none of its interfaces: what comes by them stays. */
function started(branches: readonly SpecNic[]): string[] {
  const names = branches.map(({ name }) => name)
  return [
    `cat >${confPath} <<'end'`,
    ...names.map((name) => `phyint ${name} enable`),
    ...names.map(
      (name) => `mroute from ${name} group ff00::/8 to ${names.filter((one) => one !== name).join(' ')}`
    ),
    'end',
    // Busybox's knows nothing of these.
    `/sbin/ip -6 mrule del lookup ${table} 2>/dev/null || true`,
    `/sbin/ip -6 mrule add lookup ${table}`,
    ...background(`smcrouted -n -N -t ${table} -i ${identity} -f ${confPath}; sleep ${againSeconds}`)
  ]
}

/** The question, over and over. */
function asked(leaves: readonly SpecNic[]): string[] {
  if (leaves.length === 0) return []
  const each = leaves.map(
    ({ name }) => `printf "${query}" | socat -u - "IP6-SENDTO:[ff02::1%${name}]:58,${routerAlert}"`
  )
  return background(`${each.join('; ')}; sleep ${querySeconds}`)
}

/** In a session of its own, by whose number the next run of the script ends all of it. */
function background(round: string): string[] {
  return [`setsid sh -c 'while :; do ${round}; done' </dev/null >/dev/null 2>&1 &`, `echo $! >>${pidsPath}`]
}

/** Who listens where, and what goes there for it. Messages of link-local senders go nowhere (RFC 4291, 2.5.6). */
function filter(leaves: readonly SpecNic[]): string {
  const name = 'table ip6 violin_multicast'
  const sets = leaves.map(
    (_, at) =>
      `  set on${at} { typeof @nh,192,128; size ${maxGroups}; flags dynamic,timeout; timeout ${listenerSeconds}s; }`
  )
  const heard = leaves.flatMap(({ name: nic }, at) => [
    `    iifname "${nic}" ip6 hoplimit 1 icmpv6 type mld-listener-report update @on${at} { @th,64,128 }`,
    ...Array.from({ length: recordsRead }, (_unused, record) => `    ${reported(nic, at, record)}`)
  ])
  const passed = leaves.map(
    ({ name: nic }, at) => `    oifname "${nic}" ip6 daddr ff00::/8 @nh,192,128 != @on${at} drop`
  )
  return [
    name,
    `delete ${name}`,
    `${name} {`,
    ...sets,
    '  chain heard {',
    '    type filter hook prerouting priority raw; policy accept;',
    ...heard,
    '  }',
    '  chain passed {',
    '    type filter hook forward priority filter; policy accept;',
    '    ip6 saddr fe80::/10 ip6 daddr ff00::/8 drop',
    ...passed,
    '  }',
    '}'
  ].join('\n')
}

/**
 * One record of a report of MLDv2 (RFC 3810, 5.2), which who was never asked sends when it joins: the group of a record
 * that says that somebody listens. It lies at a fixed place as long as those before it name no sources.
 */
function reported(nic: string, at: number, record: number): string {
  const bitsOf = (place: number): number => (8 + place * 20) * 8
  const before = Array.from({ length: record }, (_, place) => `@th,${bitsOf(place) + 16},16 0`)
  const begin = bitsOf(record)
  return [
    `iifname "${nic}" ip6 hoplimit 1 icmpv6 type mld2-listener-report`,
    ...before,
    // Includes, excludes, changes to exclude, allows; a change to include nothing is a leave.
    `@th,${begin},8 { 1, 2, 4, 5 }`,
    `update @on${at} { @th,${begin + 32},128 }`
  ].join(' ')
}
