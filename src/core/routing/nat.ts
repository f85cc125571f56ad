/**
 * Address translation: what is inside is hidden behind the router's address on the vLAN outside. The kernel of a
 * namespace has nftables, that of a virtual machine iptables alone. Pure.
 */
import type { SpecEntity } from '../spec.ts'

function outsideNics(self: SpecEntity): string[] {
  return self.nics.flatMap(({ lan, name }) => (lan === self.nat ? [name] : []))
}

/** Commands of a virtual machine's start. */
export function natCommands(self: SpecEntity): string[] {
  if (self.driver !== 'uml') return []
  return outsideNics(self).map((nic) => `iptables -t nat -A POSTROUTING -o ${nic} -j MASQUERADE`)
}

/** Rules of a namespace; null: it translates nothing. */
export function natRules(self: SpecEntity): string | null {
  const outside = outsideNics(self).map((name) => `"${name}"`)
  if (outside.length === 0 || self.driver === 'uml') return null
  return `table ip violin_nat {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname { ${outside.join(', ')} } masquerade
  }
}
`
}
