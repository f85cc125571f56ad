/**
 * A member in a process of its own: `member.ts SEED PORT [ID=ADDRESS…]`. Says its id and addresses as JSON;
 * closes on SIGTERM, and then has nothing left that would keep it.
 */
import { node } from './nodes.ts'
import type { HostId } from '#core/ids.ts'

const [seed = 'x', port = '0', ...known] = process.argv.slice(2)
const remembered = known.map((entry) => {
  const [id = '', address = ''] = entry.split('=')
  return { id: id as HostId, addresses: [address] }
})
const { mesh, id } = await node(seed, {
  listen: [`/ip4/${process.env['LISTEN'] ?? '127.0.0.1'}/tcp/${port}`],
  mdns: process.env['MDNS'] === '1',
  remembered: () => remembered
})
mesh.serve('echo', { maxRequestBytes: 1024 }, async (body) => body)
mesh.on((event) => console.log(JSON.stringify(event)))
process.once('SIGTERM', () => process.stdin.destroy())
console.log(JSON.stringify({ id, addresses: mesh.addresses() }))
// Whoever started it is gone when this ends.
process.stdin.on('close', () => void mesh.close()).resume()
