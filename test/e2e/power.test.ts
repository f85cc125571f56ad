/** An entity is stopped and started by its owner, and nothing else notices but its silence. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { argumentsOf } from '#lab/processes.ts'
import { apply, exec, inside, meshOf, refused, show, succeeded, workload } from './world.ts'

const lab = await meshOf('p1', 'p2')
after(() => lab[Symbol.asyncDispose]())
const home = lab.host('p1')
const topology = `
name: net
driver: netns
lans:
  lan1: { subnet: 10.0.0.0/24 }
  lan2: { subnet: 10.0.1.0/24 }
hosts:
  a: { lan: lan1, on: p1 }
  b: { lan: lan2, on: p2 }
  m: { lan: lan1, on: p2, driver: uml }
routers:
  r: { nics: [{ lan: lan1 }, { lan: lan2 }] }
`

async function stateOf(entity: string): Promise<string | undefined> {
  return (await show(home, 'net')).entities.find(({ name }) => name === entity)?.state
}

test('a router that is stopped is gone until it is started, wherever it may run', async () => {
  await apply(home, topology)
  await inside(home, 'net/a', 'ping', '-c', '1', '-W', '10', 'b')
  await inside(home, 'net/a', 'touch', '/tmp/before')
  const before = (await show(home, 'net')).entities.find(({ name }) => name === 'r')
  succeeded(await home.try(['stop', 'net/r']))
  assert.equal(await stateOf('r'), 'stopped')
  assert.equal((await show(home, 'net')).state, 'running', 'what was stopped is not missed')
  assert.notEqual((await exec(home, 'net/a', 'ping', '-c', '1', '-W', '1', 'b')).status, 0)
  assert.equal((await exec(home, 'net/r', 'true')).status, 125)
  succeeded(await home.try(['start', 'net/r']))
  const now = (await show(home, 'net')).entities.find(({ name }) => name === 'r')
  assert.deepEqual(
    now?.nics.map(({ ips }) => ips),
    before?.nics.map(({ ips }) => ips)
  )
  await inside(home, 'net/a', 'ping', '-c', '3', '-W', '10', 'b')
  await inside(home, 'net/a', 'ls', '/tmp/before')
})

test('a restart begins from the image, and apply starts what was stopped', async () => {
  await inside(home, 'net/b', 'touch', '/tmp/gone')
  succeeded(await home.try(['restart', 'net/b']))
  assert.notEqual((await exec(home, 'net/b', 'ls', '/tmp/gone')).status, 0)
  succeeded(await home.try(['stop', 'net/b']))
  const planned = succeeded(await home.try(['plan', '-'], { input: topology })).stdout
  assert.match(planned, /restart.*b.*it was stopped/)
  await apply(home, topology)
  assert.equal(await stateOf('b'), 'running')
  refused(await home.try(['stop', 'net/c']), /net has no entity c; it has a, b, m, r/)
})

test('a virtual machine is off while it is stopped, and boots from its image', async () => {
  const host = lab.host('p2')
  const machines = (): number[] =>
    workload(host).filter((pid) => argumentsOf(pid)[0]?.endsWith('linux.uml') === true)
  await inside(home, 'net/m', 'touch', '/tmp/gone')
  await inside(home, 'net/m', 'ping', '-c', '1', '-W', '10', 'b')
  assert.notDeepEqual(machines(), [])
  succeeded(await home.try(['stop', 'net/m']))
  assert.deepEqual([await stateOf('m'), machines()], ['stopped', []])
  assert.equal((await exec(home, 'net/m', 'true')).status, 125)
  assert.notEqual((await exec(home, 'net/a', 'ping', '-c', '1', '-W', '1', 'm')).status, 0)
  succeeded(await home.try(['start', 'net/m']))
  assert.notEqual((await exec(home, 'net/m', 'ls', '/tmp/gone')).status, 0)
  // The first may wait for the address that was asked for in vain while m was off.
  await inside(home, 'net/a', 'ping', '-c', '3', '-W', '10', 'm')
  await inside(home, 'net/m', 'touch', '/tmp/gone')
  const before = machines()
  succeeded(await home.try(['restart', 'net/m']))
  assert.notEqual((await exec(home, 'net/m', 'ls', '/tmp/gone')).status, 0)
  await inside(home, 'net/m', 'ping', '-c', '1', '-W', '10', 'b')
  assert.deepEqual(
    machines().filter((pid) => before.includes(pid)),
    []
  )
})
