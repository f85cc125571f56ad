/**
 * A daemon that starts a slice, prints the slice's process id, and is killed. Argument: the folder for slices.
 */
import { writeSync } from 'node:fs'
import type { HostId, ViolinId } from '#core/ids.ts'
import { Slices } from '#daemon/slices/slices.ts'

const slices = new Slices({
  folder: process.argv[2] as string,
  self: '12D3KooWSelf' as HostId,
  ports: { first: 24_790, last: 24_889 },
  images: '',
  generation: 1,
  log: () => undefined,
  onEvent: () => undefined
})
const slice = await slices.ensure('c3'.repeat(32) as ViolinId)
writeSync(1, String(slice.pid))
process.kill(process.pid, 'SIGKILL')
