/** Labs of others run here: imported, applied, and heard to answer through their routers. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import assert from 'node:assert/strict'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { containerlab, containerlabFiles, kathara } from '../topology/import/samples.ts'
import { giveRouterImage } from '../images/router-image.ts'
import { exec, inside, meshOf, succeeded, until } from './world.ts'

const work = mkdtempSync(join(tmpdir(), 'violin-import-'))
const lab = await meshOf('p1', 'p2')
after(async () => {
  await lab[Symbol.asyncDispose]()
  rmSync(work, { recursive: true, force: true })
})
const home = lab.host('p1')
for (const host of lab.hosts) await giveRouterImage(host.folder)

function lay(folder: string, files: Readonly<Record<string, string>>): string {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(work, folder, path)), { recursive: true })
    writeFileSync(join(work, folder, path), text)
  }
  return join(work, folder)
}

async function run(source: string, name: string): Promise<void> {
  const file = join(work, `${name}.violin.yaml`)
  succeeded(await home.try(['import', source, '-o', file, '--driver', 'netns']))
  succeeded(await home.try(['apply', file]))
}

test('a Kathará lab is imported and runs: routes, files, scripts and variables', async () => {
  await run(lay('shop', kathara), 'shop')
  await inside(home, 'shop/pc1', 'ping', '-c', '1', '-W', '10', '200.1.1.7')
  assert.equal(await inside(home, 'shop/pc1', 'cat', '/etc/motd'), 'welcome')
  assert.equal(await inside(home, 'shop/pc1', 'sh', '-c', 'echo $GREETING'), 'hello there')
  assert.equal(await inside(home, 'shop/pc2', 'cat', '/started', '/ready'), 'started\nready')
  assert.match(await inside(home, 'shop/r1', 'ip', 'addr', 'show', 'lo'), /10\.255\.0\.1\/32/)
  assert.match(await inside(home, 'shop/pc2', 'ip', 'addr', 'show', 'eth0'), /200\.1\.1\.8\/24/)
})

test('a Kathará lab with a switch is imported, and its hosts hear each other through that', async () => {
  const files = {
    'lab.conf': 'pc1[0]=A\npc2[0]=B\nsw[0]=A\nsw[1]=B\n',
    'pc1.startup': 'ip addr add 10.0.0.1/24 dev eth0\n',
    'pc2.startup': 'ip addr add 10.0.0.2/24 dev eth0\n',
    'sw.startup': `ip link add name mainbridge type bridge
ip link set dev eth0 master mainbridge
ip link set dev eth1 master mainbridge
ip link set up dev mainbridge
`
  }
  await run(lay('stp', files), 'stp')
  // Its ports learn before they forward.
  await until(
    'pc1 reaches pc2',
    () => exec(home, 'stp/pc1', 'ping', '-c', '1', '-W', '1', '10.0.0.2'),
    ({ status }) => status === 0
  )
})

test('a Kathará lab of IPv6 is imported and runs, through its router', async () => {
  const files = {
    'lab.conf': 'pc1[0]=A\nr1[0]=A\nr1[1]=B\npc2[0]=B\n',
    'pc1.startup': `ip address add 2001:db8:1::1/64 dev eth0
ip route add default via 2001:db8:1::ff
`,
    'r1.startup': `ip address add 2001:db8:1::ff/64 dev eth0
ip address add 2001:db8:2::ff/64 dev eth1
`,
    'pc2.startup': `ip address add 2001:db8:2::1/64 dev eth0
ip -6 route add default via 2001:db8:2::ff dev eth0
`
  }
  await run(lay('v6', files), 'v6')
  await until(
    'pc1 reaches pc2',
    () => exec(home, 'v6/pc1', 'ping', '-c', '1', '-W', '1', '2001:db8:2::1'),
    ({ status }) => status === 0
  )
})

test('a containerlab file is imported and runs, through two routers', async () => {
  const folder = lay('frr', { 'frr01.clab.yml': containerlab, ...containerlabFiles })
  await run(join(folder, 'frr01.clab.yml'), 'frr01')
  // Nothing but their own configuration tells the routers of each other's networks.
  await until(
    'pc1 reaches pc2 by OSPF',
    () => exec(home, 'frr01/pc1', 'ping', '-c', '1', '-W', '1', 'pc2'),
    ({ status }) => status === 0
  )
  assert.match(
    await inside(home, 'frr01/router1', 'ip', 'route'),
    /192\.168\.12\.0\/24.*via 192\.168\.1\.2.*proto ospf/
  )
  assert.equal(await inside(home, 'frr01/pc1', 'cat', '/hello'), 'hello')
})
