/**
 * A hijacked member at work. Arguments: the attack, its seconds, the folder whose identity it holds, the ip of the
 * host that it attacks, and what else the attack wants to be told. One line of JSON: what it did.
 */
import { loadIdentity } from '#daemon/identity.ts'
import { hostOf } from '#daemon/host.ts'
import { attacks, halfOpen } from './attacks.ts'
import { eclipse } from './eclipse.ts'
import { rogueMember } from './member.ts'
import { sit } from './minted.ts'

const [name, seconds, dir, ip, ...words] = process.argv.slice(2) as [string, string, string, string]
const target = { ip, port: 4780 }

// What befalls a stream that was given up is nobody's business here.
process.on('unhandledRejection', () => undefined)
// Time limits of what is awaited do not keep a process: it shall end by them, not before.
setInterval(() => undefined, 1_000)

async function act(): Promise<Record<string, number>> {
  const until = performance.now() + Number(seconds) * 1000
  if (name === 'half-open') return halfOpen(ip, target.port, until)
  const self = await hostOf(dir, await loadIdentity(dir))
  if (name === 'sit') return sit({ self, target, until, words })
  if (name === 'eclipse') return eclipse({ self, target, until, words })
  const attack = attacks[name]
  if (attack === undefined) throw new RangeError(`no attack ${name}`)
  await using rogue = await rogueMember({
    seed: self.identity.hostSeed,
    meshId: self.identity.mesh,
    presentation: self.identity.membership,
    address: `/ip4/${ip}/tcp/${target.port}`
  })
  // Awaited here: the connection goes when this function is left. Its time begins with the connection.
  return await attack({ self, rogue, target, words, until: performance.now() + Number(seconds) * 1000 })
}

const did = await act()
process.stdout.write(`${JSON.stringify(did)}\n`)
process.exit()
