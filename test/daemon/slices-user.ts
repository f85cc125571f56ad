/**
 * What an ordinary user's daemon does with slices: prints what it found, as JSON. Argument: an empty folder of
 * that user.
 */
import { join } from 'node:path'
import type { HostId, ViolinId } from '#core/ids.ts'
import { Slices } from '#daemon/slices/slices.ts'
import type { EntityStatus } from '#slice/contract.ts'
import { specEntity } from '../core/topologies.ts'

const folder = process.argv[2] as string
const self = '12D3KooWSelf' as HostId
const violin = 'c3'.repeat(32) as ViolinId
const failed = Promise.withResolvers<EntityStatus>()
const slices = new Slices({
  folder: join(folder, 'slices'),
  self,
  ports: { first: 24_790, last: 24_889 },
  images: folder,
  generation: 1,
  log: () => undefined,
  onEvent: (told) => {
    if (told.kind !== 'slice' || told.event.kind !== 'entity') return
    if (told.event.entity.state === 'failed') failed.resolve(told.event.entity)
  }
})
const slice = await slices.ensure(violin)
try {
  const nics = [{ name: 'eth0', lan: 'lan1', ips: ['192.168.5.1/24'] }]
  const entity = { ...specEntity('a', { memoryMiB: 16, nics, hosts: [self] }), claim: 1 }
  const lans = [{ name: 'lan1', subnet: '192.168.5.0/24', hosts: [self] }]
  await slice.call('configure', { name: 'demo', version: 1, lans, entities: [entity], names: [], peers: [] })
  const { reason } = await failed.promise
  const { port } = await slice.call('status', {})
  process.stdout.write(JSON.stringify({ user: slice.user, port, reason }))
} finally {
  await slices.remove(violin)
}
