/** The daemon is not in the way of frames: it dies and comes back while they go on. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Pinging } from '#lab/gap.ts'
import { apply, inside, jails, meshOf, remove, show, until } from './world.ts'

const lab = await meshOf('h1', 'h2')
after(() => lab[Symbol.asyncDispose]())
const [h1, h2] = [lab.host('h1'), lab.host('h2')]
const pings = 400

const topology = `
name: net
lans:
  lan1: { subnet: 10.0.0.0/24, vswitch: [h1, h2] }
hosts:
  a: { lan: lan1, on: h1, ip: 10.0.0.1 }
  b: { lan: lan1, on: h2, ip: 10.0.0.2 }
`

test('kill -9 of the daemon on the vSwitch’s host loses no frame, and the next daemon adopts what runs', async () => {
  await apply(h2, topology)
  await inside(h1, 'net/a', 'sh', '-c', 'echo kept > /tmp/mark')
  const before = await show(h2, 'net')
  const work = jails(h1)
  assert.ok(work.length >= 3, 'a slice and a machine run')
  const pinging = new Pinging(h2, 'net/b', '10.0.0.1', pings)
  await pinging.answered(50)
  await h1.killDaemon()
  assert.deepEqual(jails(h1), work, 'slice and machine go on without their daemon')
  await h1.startDaemon()
  const { lost, gapMs } = await pinging.silence(pings)
  assert.equal(lost, 0, `${lost} pings lost, ${gapMs} ms of silence`)
  assert.deepEqual(jails(h1), work, 'nothing was started anew')
  assert.equal(await inside(h1, 'net/a', 'cat', '/tmp/mark'), 'kept')
  const after = await until(
    'the same state',
    () => show(h2, 'net'),
    ({ state, stale }) => state === 'running' && stale.length === 0
  )
  assert.deepEqual(after.lans, before.lans)
})

test('a daemon that is stopped in good order leaves its machines running too', async () => {
  const work = jails(h1)
  await h1.stopDaemon()
  assert.deepEqual(jails(h1), work)
  await inside(h2, 'net/b', 'ping', '-c', '3', '-W', '2', '10.0.0.1')
  await h1.startDaemon()
  assert.equal(await inside(h1, 'net/a', 'cat', '/tmp/mark'), 'kept')
})

test('a host that lost everything but its disk runs its part again when its daemon starts', async () => {
  await h1.kill9()
  assert.deepEqual(h1.processes(), [])
  await h1.startDaemon()
  await until(
    'all running',
    () => show(h2, 'net'),
    ({ state }) => state === 'running'
  )
  await inside(h2, 'net/b', 'ping', '-c', '3', '-W', '5', '10.0.0.1')
  await remove(h2, 'net')
})
