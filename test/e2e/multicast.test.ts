/** Multicast between routers as programs that know nothing of VIOLIN use it. */
import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { after, test } from 'node:test'
import { giveRouterImage } from '../images/router-image.ts'
import { exec, inside, meshOf, remove, until } from './world.ts'

const lab = await meshOf('p1', 'p2')
after(() => lab[Symbol.asyncDispose]())
const home = lab.host('p1')
for (const host of lab.hosts) await giveRouterImage(host.folder)

const groupMs = 60_000

test('a file reaches machines behind two routers at once, whole, by a program of reliable multicast', async () => {
  const path = resolve(import.meta.dirname, '../../examples/multicast/reliable.violin.yaml')
  await home.violin('apply', path)
  // Receivers have joined where the routers know of it.
  await until(
    'both vLANs are joined',
    () => inside(home, 'reliable/s', 'vtysh', '-c', 'show ip igmp groups'),
    (groups) => groups.includes('230.4.4.1'),
    groupMs
  )
  await inside(home, 'reliable/source', 'dd', 'if=/dev/urandom', 'of=/tmp/film', 'bs=64k', 'count=48')
  const sent = await until(
    'the file is sent to all three',
    () => exec(home, 'reliable/source', 'uftp', '-t', '4', '-R', '20000', '-I', 'eth0', '/tmp/film'),
    ({ status, stderr }) => status === 0 && [...stderr.matchAll(/Status: Completed/g)].length === 3,
    groupMs
  )
  assert.match(sent.stderr, /Group complete/)
  const [hash] = (await inside(home, 'reliable/source', 'sha256sum', '/tmp/film')).split(' ')
  for (const receiver of ['near', 'far1', 'far2'])
    assert.match(
      await inside(home, `reliable/${receiver}`, 'sha256sum', '/var/received/film'),
      new RegExp(`^${hash} `)
    )
  await remove(home, 'reliable')
})
