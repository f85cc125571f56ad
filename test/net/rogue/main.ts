/**
 * A hijacked member at work. Arguments: the attack, its seconds, the folder whose identity it holds, the ip of the
 * host that it attacks, and, for `revoke-below`, whom. One line of JSON: what it did.
 */
import { loadIdentity } from '#daemon/identity.ts'
import { hostOf } from '#daemon/host.ts'
import type { HostId } from '#core/ids.ts'
import { attacks, halfOpen, revokeBelow } from './attacks.ts'
import { rogueMember } from './member.ts'

const [name, seconds, dir, ip, whom] = process.argv.slice(2) as [string, string, string, string, string]
const port = 4780

// What befalls a stream that was given up is nobody's business here.
process.on('unhandledRejection', () => undefined)

async function act(): Promise<Record<string, number>> {
  if (name === 'half-open') return halfOpen(ip, port, performance.now() + Number(seconds) * 1000)
  const self = await hostOf(dir, await loadIdentity(dir))
  await using rogue = await rogueMember({
    seed: self.identity.hostSeed,
    meshId: self.identity.mesh,
    presentation: self.identity.membership,
    address: `/ip4/${ip}/tcp/${port}`
  })
  if (name === 'revoke-below') {
    await revokeBelow(self, rogue, whom as HostId)
    return {}
  }
  const attack = attacks[name]
  if (attack === undefined) throw new RangeError(`no attack ${name}`)
  // Awaited here: the connection goes when this function is left.
  return await attack({
    self,
    rogue,
    target: { ip, port },
    until: performance.now() + Number(seconds) * 1000
  })
}

const did = await act()
process.stdout.write(`${JSON.stringify(did)}\n`)
process.exit()
