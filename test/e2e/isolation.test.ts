/** Two VIOLINs on the same hosts with the same addresses: nothing of one is heard in the other, or below. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { apply, exec, inside, meshOf, remove, show } from './world.ts'

const lab = await meshOf('h1', 'h2')
after(() => lab[Symbol.asyncDispose]())
const [h1, h2] = [lab.host('h1'), lab.host('h2')]

const topology = (name: string): string => `
name: ${name}
lans:
  lan1: { subnet: 10.0.0.0/24 }
hosts:
  a: { lan: lan1, on: h1, ip: 10.0.0.1 }
  b: { lan: lan1, on: h2, ip: 10.0.0.2 }
`

const received = async (target: string): Promise<number> =>
  Number(await inside(h1, target, 'cat', '/sys/class/net/eth0/statistics/rx_packets'))

test('two VIOLINs with the same addresses on the same hosts hear nothing of each other', async () => {
  await apply(h1, topology('red'))
  await apply(h2, topology('blue'))
  // Both have learned what they need for pinging; from now on the blue one is quiet.
  await inside(h1, 'red/a', 'ping', '-c', '2', '-W', '5', '10.0.0.2')
  await inside(h2, 'blue/a', 'ping', '-c', '2', '-W', '5', '10.0.0.2')
  for (const [host, name] of [
    [h1, 'red'],
    [h2, 'blue']
  ] as const) {
    const mac = (await show(host, name)).entities.find((entity) => entity.name === 'b')?.nics[0]?.mac
    assert.match(await inside(host, `${name}/a`, 'ip', 'neigh'), new RegExp(`10\\.0\\.0\\.2 .*${mac}`))
  }
  const before = await inside(h2, 'blue/b', 'cat', '/sys/class/net/eth0/statistics/rx_packets')
  const flooded = await received('red/b')
  await inside(
    h1,
    'red/a',
    'sh',
    '-c',
    'ping -c 200 -i 0.005 -W 1 10.0.0.2; ping -c 200 -i 0.005 -W 1 10.0.0.255; arping -c 3 -I eth0 10.0.0.77; :'
  )
  assert.ok((await received('red/b')) - flooded >= 400, 'the red one hears its own pings and broadcasts')
  const heard =
    Number(await inside(h2, 'blue/b', 'cat', '/sys/class/net/eth0/statistics/rx_packets')) - Number(before)
  // Neighbour entries are confirmed some seconds after their use; that is one request and one answer of blue/a.
  assert.ok(heard <= 4, `blue/b received ${heard} packets of others`)
})

test('nobody inside reaches the underlay, and nobody on the underlay reaches inside', async () => {
  for (const address of ['10.77.0.1', '10.77.0.2'])
    assert.notEqual((await exec(h1, 'red/a', 'sh', '-c', `ping -c 1 -W 1 ${address}`)).status, 0, address)
  for (const port of ['4780', '4790', '4791'])
    assert.notEqual((await exec(h1, 'red/a', 'nc', '-z', '-w', '1', '127.0.0.1', port)).status, 0, port)
  for (const host of [h1, h2])
    assert.notEqual((await host.run(['ping', '-c', '1', '-W', '1', '10.0.0.1'])).status, 0)
  // Even with a route that its root gives itself there is nothing at the other end.
  const script = 'ip route add default via 10.0.0.2; ping -c 1 -W 1 10.77.0.2'
  assert.notEqual((await exec(h1, 'red/a', 'sh', '-c', script)).status, 0)
})

test('one VIOLIN goes, the other goes on', async () => {
  await remove(h1, 'red')
  await inside(h2, 'blue/a', 'ping', '-c', '2', '-W', '5', '10.0.0.2')
  await remove(h2, 'blue')
})
