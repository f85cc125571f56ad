/** IS-IS (ISO 10589, RFC 1195, RFC 5308): level 2 alone, one instance for both families. */
import { isIpv6 } from '../addresses.ts'
import type { Spec, SpecEntity } from '../spec.ts'
import { leadsOut, type Link, numberOf } from './links.ts'
import { bfdProfile, block, type Section } from './section.ts'

const instance = 'violin'
/** Seconds between hellos, and how many of them make a silence. */
const helloSeconds = 1
const helloMultiplier = 4

export function isis(spec: Spec, self: SpecEntity, links: readonly Link[]): Section {
  const interfaces = new Map<string, string[]>()
  for (const { name, ipv4, ipv6, neighbours, strangers } of links) {
    const families = [
      ...(ipv4 === undefined ? [] : [`ip router isis ${instance}`]),
      ...(ipv6 === undefined ? [] : [`ipv6 router isis ${instance}`])
    ]
    if (families.length === 0) continue
    if (neighbours.length === 0 && !strangers) {
      interfaces.set(name, [...families, 'isis passive'])
      continue
    }
    interfaces.set(name, [
      ...families,
      'isis circuit-type level-2-only',
      ...(neighbours.length === 1 && !strangers ? ['isis network point-to-point'] : []),
      `isis hello-interval ${helloSeconds}`,
      `isis hello-multiplier ${helloMultiplier}`,
      'isis bfd',
      `isis bfd profile ${bfdProfile}`
    ])
  }
  if (self.anycast !== undefined)
    interfaces.set('lo', [
      ...(self.anycast.every(isIpv6) ? [] : [`ip router isis ${instance}`]),
      ...(self.anycast.some(isIpv6) ? [`ipv6 router isis ${instance}`] : []),
      'isis passive'
    ])
  const number = numberOf(spec, self).toString().padStart(4, '0')
  const lines = [
    // Area 49 is private; the system is the entity's number, in digits that one can read.
    `net 49.0001.0000.0000.${number}.00`,
    'is-type level-2-only',
    'metric-style wide',
    // A vLAN of one family is no hole in the ways of the other.
    'topology ipv6-unicast',
    'spf-delay-ietf init-delay 10 short-delay 50 long-delay 500 holddown 1000 time-to-learn 500',
    ...(leadsOut(self) ? ['default-information originate ipv4 level-2'] : []),
    ...(self.kind === 'host' ? ['set-overload-bit'] : [])
  ]
  // FRR settles all lines up to one such as `hostname` at once, and the address before the interval: what this router first
  // says, which has no IPv6 yet, would stand for FRR's 30 s.
  const early = [block(`router isis ${instance}`, ['lsp-gen-interval 1']), `hostname ${self.name}\n`]
  return { interfaces, blocks: [...early, block(`router isis ${instance}`, lines)] }
}
