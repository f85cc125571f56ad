/**
 * Address translation: what is inside is hidden behind the router's address on the vLAN outside, in each family that
 * this vLAN has. The kernel of a namespace has nftables, that of a virtual machine iptables alone. Pure.
 */
import { addressOf } from '../resolve.ts'
import type { SpecEntity, SpecNic } from '../spec.ts'

function outsideNics(self: SpecEntity): readonly SpecNic[] {
  return self.nics.filter(({ lan }) => lan === self.nat)
}

/** Commands of a virtual machine's start. */
export function natCommands(self: SpecEntity): string[] {
  if (self.driver !== 'uml') return []
  return outsideNics(self).flatMap((nic) =>
    [false, true]
      .filter((ipv6) => addressOf(nic, ipv6) !== undefined)
      .map((ipv6) => `${ipv6 ? 'ip6tables' : 'iptables'} -t nat -A POSTROUTING -o ${nic.name} -j MASQUERADE`)
  )
}

/** Rules of a namespace; null: it translates nothing. */
export function natRules(self: SpecEntity): string | null {
  const outside = outsideNics(self).map(({ name }) => `"${name}"`)
  if (outside.length === 0 || self.driver === 'uml') return null
  return `table inet violin_nat {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname { ${outside.join(', ')} } masquerade
  }
}
`
}
