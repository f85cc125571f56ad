/** Address translation of a router, as nftables has it. Pure. */
import type { SpecEntity } from '../spec.ts'

/** Hides what is inside behind the router's address on the vLAN outside; null: it does not. */
export function natRules(self: SpecEntity): string | null {
  const outside = self.nics.filter(({ lan }) => lan === self.nat).map(({ name }) => `"${name}"`)
  if (outside.length === 0) return null
  return `table ip violin_nat {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname { ${outside.join(', ')} } masquerade
  }
}
`
}
