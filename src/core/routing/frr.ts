/** The configuration of FRR that an entity's words in the topology stand for, and the daemons that one needs. Pure. */
import { addressOf } from '../resolve.ts'
import type { Spec, SpecEntity } from '../spec.ts'
import { bgp } from './bgp.ts'
import { isis } from './isis.ts'
import { type Link, linksOf, type Protocol, protocolOf } from './links.ts'
import { ospf } from './ospf.ts'
import { pim } from './pim.ts'
import { rip } from './rip.ts'
import { bfdProfile, block, type Section } from './section.ts'

/**
 * Milliseconds between signs of life, and how many lost ones are a death: 0.6 s. A vSwitch that is taken over is
 * silent for less, so ways do not change for it.
 */
const bfdMs = 200
const bfdMultiplier = 3

/**
 * Daemons of FRR in the order in which they start, and what in a configuration is theirs: of a user's own, too, where a blank
 * may stand at either end of a line.
 */
const daemons: readonly (readonly [name: string, sign: RegExp])[] = [
  ['bfdd', /^\s*(bfd|(neighbor \S+|ip ospf|ipv6 ospf6|isis|ip pim|ipv6 pim) bfd)(\s|$)/m],
  ['staticd', /^\s*ip(v6)? route\s/m],
  ['ospfd', /^\s*router ospf(\s|$)/m],
  ['ospf6d', /^\s*router ospf6(\s|$)/m],
  ['bgpd', /^\s*router bgp(\s|$)/m],
  ['ripd', /^\s*router rip(\s|$)/m],
  ['ripngd', /^\s*router ripng(\s|$)/m],
  ['isisd', /^\s*router isis\s/m],
  ['pimd', /^\s*ip (pim|igmp|msdp|mroute)(\s|$)/m],
  ['pim6d', /^\s*ipv6 (pim|mld)(\s|$)/m],
  ['eigrpd', /^\s*router eigrp\s/m],
  ['babeld', /^\s*router babel(\s|$)/m],
  ['fabricd', /^\s*router openfabric\s/m],
  ['nhrpd', /^\s*ip(v6)? nhrp\s/m],
  ['pathd', /^segment-routing *$/m],
  ['ldpd', /^\s*mpls ldp(\s|$)/m],
  ['pbrd', /^\s*pbr-map\s/m],
  ['vrrpd', /^\s*vrrp\s/m]
]

/** The configuration that the topology asks of an entity; null: none. */
export function frrConf(spec: Spec, self: SpecEntity): string | null {
  const protocol = protocolOf(spec, self)
  const links = linksOf(spec, self, (other) => protocol !== null && protocolOf(spec, other) === protocol)
  const hasIpv4 = self.nics.some((nic) => addressOf(nic, false) !== undefined)
  const sections = [
    ...(protocol === null ? [] : [protocolSection(protocol, spec, self, links)]),
    ...(self.multicast === undefined || !hasIpv4 ? [] : [pim(spec, self)])
  ]
  if (sections.length === 0) return null
  const names = new Set(sections.flatMap(({ interfaces }) => [...interfaces.keys()]))
  const interfaces = Array.from(names, (name) =>
    block(
      `interface ${name}`,
      sections.flatMap((section) => section.interfaces.get(name) ?? [])
    )
  )
  const blocks = [...interfaces, ...sections.flatMap((section) => section.blocks)]
  const bfd = block('bfd', [
    `profile ${bfdProfile}`,
    ` detect-multiplier ${bfdMultiplier}`,
    ` receive-interval ${bfdMs}`,
    ` transmit-interval ${bfdMs}`,
    'exit'
  ])
  const usesBfd = blocks.some((text) => text.includes(` bfd profile ${bfdProfile}`))
  const head = `frr defaults traditional\nhostname ${self.name}\nservice integrated-vtysh-config\n`
  return [head, ...(usesBfd ? [bfd] : []), ...blocks].join('!\n')
}

function protocolSection(protocol: Protocol, spec: Spec, self: SpecEntity, links: readonly Link[]): Section {
  switch (protocol) {
    case 'ospf':
      return ospf(spec, self, links)
    case 'bgp':
      return bgp(spec, self, links)
    case 'rip':
      return rip(self, links)
    case 'isis':
      return isis(spec, self, links)
  }
}

/** The daemons that a configuration speaks to, zebra first. */
export function frrDaemons(conf: string): string[] {
  return ['zebra', ...daemons.flatMap(([name, sign]) => (sign.test(conf) ? [name] : []))]
}
