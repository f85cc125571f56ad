/** A VIOLIN belongs to who made it: another member can neither change nor end it, nor get into its machines. */
import assert from 'node:assert/strict'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Show } from '#api/contract.ts'
import { apply, exec, inside, meshOf, refused, remove, show, succeeded, until } from './world.ts'

const lab = await meshOf('owner', 'runner', 'other')
after(() => lab[Symbol.asyncDispose]())
const [owner, runner, other] = [lab.host('owner'), lab.host('runner'), lab.host('other')]

const topology = `
name: net
driver: netns
lans:
  lan1: { subnet: 10.0.0.0/24 }
hosts:
  a: { lan: lan1, on: runner }
  b: { lan: lan1, on: other }
`

test('another member’s delete is refused, by its own daemon and for good', async () => {
  await apply(owner, topology)
  for (const host of [runner, other]) refused(await host.try(['delete', 'net', '--yes']), /owner|belongs/)
  await until(
    'running',
    () => show(owner, 'net'),
    ({ state }) => state === 'running'
  )
})

test('another member’s apply of the same name does not change it', async () => {
  const { version } = await show(owner, 'net')
  const changed = topology.replace('  b: { lan: lan1, on: other }\n', '')
  refused(await other.try(['apply', '-'], { input: changed }), /owner|belongs|name/)
  const after = await show(owner, 'net')
  assert.equal(after.version, version)
  assert.equal(after.entities.length, 2)
})

test('another member gets into no machine but those that run on its own host', async () => {
  assert.equal(await inside(owner, 'net/a', 'hostname'), 'a')
  // The operator of the host where it runs could read its memory anyway.
  assert.equal(await inside(other, 'net/b', 'hostname'), 'b')
  const outcome = await exec(other, 'net/a', 'hostname')
  assert.equal(outcome.status, 125)
  assert.match(outcome.stderr, /owner|belongs/)
})

test('other hosts refuse a member whose own daemon was changed to ask for what is not its own', async () => {
  const { id } = await show(owner, 'net')
  await other.stopDaemon()
  const program = fileURLToPath(new URL('hostile-member.ts', import.meta.url))
  for (const host of [runner, owner]) {
    const address = `/ip4/${host.address}/tcp/4780`
    const { stdout } = succeeded(await other.run([process.execPath, program, other.folder, address, id]))
    assert.deepEqual(JSON.parse(stdout), { handoff: 'not-owner', session: 'not-owner' })
  }
  await other.startDaemon()
  assert.equal((await show(owner, 'net')).entities.length, 2)
})

test('who is no host of a VIOLIN is told where it is, whatever it wants of its parts, and when it is gone', async () => {
  const [far] = topology.replace('name: net', 'name: far').split('  b:')
  await apply(owner, far as string)
  const elsewhere = /far@owner runs elsewhere.* run this on .*runner/
  for (const args of [
    ['link', 'show', 'far@owner'],
    ['capture', 'far@owner/lan1'],
    ['migrate', 'far@owner/a', '--to', 'owner'],
    ['wait', 'far@owner', '--for', 'gone']
  ])
    refused(await other.try(args), elsewhere)
  await remove(owner, 'far')
  succeeded(await other.try(['wait', 'far@owner', '--for', 'gone']))
  refused(
    await other.try(['wait', 'never@owner', '--for', 'gone']),
    /knows no VIOLIN never@owner; it knows net$/
  )
})

test('a change that the owner’s other machine passed over while they were apart is told where it was made', async () => {
  await other.stopDaemon()
  copyFileSync(join(owner.folder, 'identity', 'owner.key'), join(other.folder, 'identity', 'owner.key'))
  await other.startDaemon()
  const isOwned = ({ owner: names }: Show): boolean => names === 'owner, other' || names === 'other, owner'
  for (const host of [owner, other]) await until('owned on both', () => show(host, 'net'), isOwned)
  const { version } = await show(owner, 'net')
  other.cut()
  for (const delay of ['1ms', '2ms']) await other.violin('link', 'set', 'net/b:eth0', '--delay', delay)
  await owner.violin('link', 'set', 'net/a:eth0', '--delay', '33ms')
  assert.equal((await show(owner, 'net')).version, version + 1)
  other.heal()
  const { lost } = await until(
    'the later one stands',
    () => show(owner, 'net'),
    (shown) => shown.version === version + 2
  )
  const says = `version ${version + 1}, signed here at .*, does not count: version ${version + 2}, signed by other at .*, stands`
  assert.match(lost ?? '', new RegExp(`^${says}`))
  assert.match(await owner.violin('show', 'net'), new RegExp(`^${says}`, 'm'))
  const told = (await other.violin('events', 'net')).split('\n').filter((line) => new RegExp(says).test(line))
  assert.equal(told.length, 1)
  assert.match(told[0] as string, /owner: version/)
  await owner.violin('link', 'set', 'net/a:eth0', '--delay', '33ms')
  const repeated = await show(owner, 'net')
  assert.deepEqual([repeated.version, repeated.lost], [version + 3, null])
})

test('the owner ends it', async () => {
  await remove(owner, 'net')
})
