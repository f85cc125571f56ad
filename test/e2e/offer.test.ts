/** A vLAN offered to another owner: its hosts come on by that, see what is theirs, and go when it is taken back. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import { giveRouterImage } from '../images/router-image.ts'
import { apply, inside, meshOf, refused, remove, show, succeeded, until } from './world.ts'

const lab = await meshOf('h1', 'h2', 'h3')
after(() => lab[Symbol.asyncDispose]())
const [h1, h2, h3] = [lab.host('h1'), lab.host('h2'), lab.host('h3')]

const topology = `
name: net
driver: netns
lans:
  lan1: { subnet: 10.6.0.0/24 }
  lan2: { subnet: 10.6.1.0/24 }
hosts:
  a: { lan: lan1, on: h1 }
  hidden: { lan: lan2, on: h1 }
`

/** Attaches h2 itself; resolves when it is on. */
async function attached(): Promise<{ readonly child: ChildProcess; readonly ended: Promise<unknown[]> }> {
  const child = h2.spawn(h2.command('attach', 'net/lan1', '--json'))
  const ended = once(child, 'exit')
  let complaint = ''
  child.stderr?.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream }))
    if ((JSON.parse(line) as { readonly kind: string }).kind === 'attached') return { child, ended }
  return assert.fail(`not attached: ${complaint}`)
}
const links = async (): Promise<string> => succeeded(await h2.run(['ip', '-brief', 'link'])).stdout
const names = async (): Promise<string[]> => (await show(h1, 'net')).entities.map(({ name }) => name)

test('another owner puts its host and a vHost on the vLAN that is offered, and on no other', async () => {
  await apply(h1, topology)
  refused(await h2.try(['attach', 'net/lan1']), /knows no VIOLIN net/)
  await h1.violin('offer', 'net/lan1', '--to', 'h2')
  assert.deepEqual((await show(h1, 'net')).offers, [{ lan: 'lan1', to: 'h2' }])
  refused(await h2.try(['attach', 'net/lan2']), /no vLAN lan2|not offered/)
  refused(await h3.try(['attach', 'net/lan1']), /knows no VIOLIN net/)
  const { child, ended } = await attached()
  succeeded(await h2.run(['ping', '-c', '2', '-W', '5', '10.6.0.1']))
  await inside(h1, 'net/a', 'ping', '-c', '2', '-W', '5', 'h2')
  process.kill(-(child.pid as number), 'SIGINT')
  assert.deepEqual(await ended, [0, null])
  assert.deepEqual(await names(), ['a', 'hidden'])
  // Not the address of before, which others remember for a while.
  await h2.violin('attach', 'net/lan1', '--vhost', 'web', '--driver', 'netns', '--ip', '10.6.0.9')
  await inside(h1, 'net/a', 'ping', '-c', '2', '-W', '5', 'web')
  const web = (await show(h1, 'net')).entities.find(({ name }) => name === 'web')
  assert.deepEqual([web?.by, web?.host, web?.state], ['h2', 'h2', 'running'])
})

test('it sees and administers what is its own', async () => {
  const seen = await show(h2, 'net')
  assert.deepEqual(
    [seen.entities.map(({ name }) => name), seen.lans.map(({ name }) => name)],
    [['web'], ['lan1']]
  )
  assert.deepEqual(
    seen.lans.map(({ ports }) => ports.map(({ entity }) => entity)),
    [['web']]
  )
  assert.equal(await inside(h2, 'net/web', 'hostname'), 'web')
  const own = await show(h1, 'net')
  assert.deepEqual(
    own.lans.map(({ ports }) => ports.map(({ entity }) => entity)),
    [['a', 'web'], ['hidden']]
  )
  assert.match(await h1.violin('events', 'net'), /hidden/)
  const told = await h2.violin('events', 'net')
  assert.match(told, /web/)
  assert.doesNotMatch(told, /hidden|lan2/)
  assert.match(await h2.violin('list'), /^net .* 1\/1/m)
  refused(await h2.try(['delete', 'net', '--yes']), /belongs to h1/)
  refused(await h2.try(['attach', 'net/lan1', '--vhost', 'a', '--driver', 'netns']), /has a a already/)
  assert.notEqual((await h2.try(['exec', 'net/a', '--', 'true'])).status, 0)
  refused(await h2.try(['attach', 'net/lan1', '--vhost', 'Bad_Name']), /"Bad_Name" is no name for a vHost/)
  refused(await h2.try(['offer', 'net/lan1', '--to', 'h3']), /belongs to h1/)
  const named = topology.replace('hidden:', 'web:')
  for (const verb of ['plan', 'apply'])
    refused(await h1.try([verb, '-'], { input: named }), /web is the name of a guest on lan1/)
  // The owner's file says nothing of what came by an offer, and takes nothing of it away.
  await apply(h1, topology)
  assert.deepEqual(await names(), ['a', 'hidden', 'web'])
})

test('a virtual machine by an offer begins with an image that knows what the vLAN has, and keeps it', async () => {
  await apply(h1, topology.replace('{ subnet: 10.6.0.0/24 }', "{ subnet: 10.6.0.0/24, ipv6: 'fd00:6::/64' }"))
  const machine = ['attach', 'net/lan1', '--vhost', 'vm', '--ip', '10.6.0.20']
  refused(await h2.try(machine), /lan1 has IPv6.*--driver netns/)
  await giveRouterImage(h2.folder)
  succeeded(await h2.try(machine))
  await inside(h1, 'net/a', 'ping', '-6', '-c', '2', '-W', '5', 'vm')
  const bootId = (): Promise<string> => inside(h2, 'net/vm', 'cat', '/proc/sys/kernel/random/boot_id')
  const before = await bootId()
  // Its owner has no such image, and need not.
  await apply(h1, topology.replace('{ subnet: 10.6.0.0/24 }', "{ subnet: 10.6.0.0/24, ipv6: 'fd00:6::/64' }"))
  assert.equal(await bootId(), before)
  await h2.violin('detach', 'net/vm')
})

test('what came by an offer goes when that is taken back', async () => {
  const before = await links()
  const { ended } = await attached()
  await h1.violin('offer', 'net/lan1', '--to', 'h2', '--withdraw')
  assert.deepEqual(await ended, [1, null])
  await until('nothing left', links, (now) => now === before)
  assert.deepEqual(await names(), ['a', 'hidden'])
  assert.deepEqual((await show(h1, 'net')).offers, [])
  await until(
    'forgotten',
    () => h2.json('list'),
    (rows) => (rows as unknown[]).length === 0
  )
  refused(await h2.try(['attach', 'net/lan1']), /knows no VIOLIN net/)
  await remove(h1, 'net')
})
