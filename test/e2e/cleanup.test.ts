/** What is over leaves nothing: processes, namespaces, sockets, files. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { apply, meshOf, refused, remove, succeeded, until, workload } from './world.ts'

const lab = await meshOf('h1', 'h2', 'h3')
after(() => lab[Symbol.asyncDispose]())
const [h1, h2, h3] = [lab.host('h1'), lab.host('h2'), lab.host('h3')]

const topology = `
name: net
lans:
  lan1: { subnet: 10.0.0.0/24 }
hosts:
  a: { lan: lan1, on: h1 }
  b: { lan: lan1, on: h2, driver: netns }
`

const slices = (folder: string): string[] => {
  const path = join(folder, 'slices')
  return existsSync(path) ? readdirSync(path) : []
}

test('delete leaves no process and no file of a VIOLIN on any host', async () => {
  await apply(h3, topology)
  for (const host of [h1, h2]) assert.ok(workload(host).length > 0)
  await remove(h3, 'net')
  for (const host of [h1, h2, h3]) {
    assert.deepEqual(workload(host), [])
    assert.deepEqual(slices(host.folder), [])
  }
  refused(await h3.try(['show', 'net']), /net/)
  assert.deepEqual(await h1.json('list'), [])
  // The name is free again.
  await apply(h3, topology)
  await remove(h3, 'net')
})

test('a VIOLIN can be deleted while a host of it is dead, which forgets it when it returns', async () => {
  await apply(h3, topology)
  await h2.kill9()
  const outcome = succeeded(await h3.try(['delete', 'net', '--yes', '--timeout', '20s']))
  assert.match(outcome.stderr, /h2/, 'the unreachable is named')
  assert.deepEqual(workload(h1), [])
  await h2.startDaemon()
  await until(
    'nothing on h2',
    async () => [...workload(h2), ...slices(h2.folder)],
    (left) => left.length === 0
  )
})

test('leave refuses while machines run, then goes with them and leaves but the owner’s key', async () => {
  await apply(h3, topology)
  refused(await h2.try(['leave']), /run/)
  succeeded(await h2.try(['leave', '--yes']))
  await until(
    'h2 is empty',
    async () => h2.processes(),
    (left) => left.length === 0
  )
  const left = readdirSync(h2.folder)
  assert.equal(left.length, 1, left.join(' '))
  assert.match(left[0] as string, /^owner.*\.key$/)
  const rows = (await h1.json('hosts')) as { name: string; state: string }[]
  assert.ok(
    rows.every(({ name, state }) => name !== 'h2' || state === 'left'),
    JSON.stringify(rows)
  )
  await remove(h3, 'net')
})
