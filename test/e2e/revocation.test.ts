/** A member is shut out: on every host online its connections, its records and its trunks go within two seconds. */
import assert from 'node:assert/strict'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { EventRow, HostRow } from '#api/contract.ts'
import type { LabHost } from '#lab/host.ts'
import { apply, meshOf, refused, succeeded, until } from './world.ts'

/** From the command on, its own start included. */
const goalMs = 2_000

const lab = await meshOf('founder', 'good', 'other', 'bad')
after(() => lab[Symbol.asyncDispose]())
const [founder, good, other, bad] = [
  lab.host('founder'),
  lab.host('good'),
  lab.host('other'),
  lab.host('bad')
]

const topology = `
name: net
driver: netns
lans:
  lan1: { subnet: 10.0.0.0/24 }
hosts:
  a: { lan: lan1, on: good, ip: 10.0.0.1 }
  b: { lan: lan1, on: bad, ip: 10.0.0.2 }
  c: { lan: lan1, on: other, ip: 10.0.0.3 }
`

/** Pings without end; `last` is when the last answer came, by this machine's clock. */
function pinging(host: LabHost, from: string, to: string): { readonly seen: { last: number }; end(): void } {
  const seen = { last: 0 }
  const child = host.spawn(host.command('exec', from, '--', 'ping', '-i', '0.02', to))
  child.stdin?.end()
  createInterface({ input: child.stdout as Readable }).on('line', (line) => {
    if (/seq=\d+/.test(line)) seen.last = Date.now()
  })
  return { seen, end: () => void child.kill('SIGKILL') }
}

/** When an event of this kind about the revoked host was noted. */
async function noted(host: LabHost, kind: string): Promise<number | null> {
  const events = (await host.violin('events', '--json')).trim().split('\n')
  const row = events.map((line) => JSON.parse(line) as EventRow).findLast((one) => one.kind === kind)
  return row === undefined ? null : Date.parse(row.at)
}

test('a member that is shut out is gone from every host online within two seconds, its trunks with it', async (t) => {
  await apply(founder, topology)
  const toBad = pinging(good, 'net/a', '10.0.0.2')
  const toOther = pinging(good, 'net/a', '10.0.0.3')
  try {
    // Looked at between answers, not instead of them.
    const now = (): Promise<number> => setTimeout(20).then(() => Date.now())
    const answered = (seen: { last: number }) => (at: number) => at - seen.last < 200
    await until('answers of both', now, (at) => answered(toBad.seen)(at) && answered(toOther.seen)(at))
    refused(await other.try(['revoke', 'bad', '--yes']), /did not let bad in/)
    const from = Date.now()
    succeeded(await founder.try(['revoke', 'bad', '--yes']))
    const figures: string[] = []
    for (const host of [founder, good, other]) {
      const lost = await until(
        `${host.name} without a connection to bad`,
        () => noted(host, 'host-revoked'),
        (at) => at !== null && at >= from
      )
      const took = (lost as number) - from
      figures.push(`${host.name} ${took} ms`)
      assert.ok(took <= goalMs, `connection at ${host.name} closed after ${took} ms`)
      const rows = (await host.json('hosts')) as HostRow[]
      assert.ok(!rows.some(({ name }) => name === 'bad'), `${host.name} still has its record`)
    }
    await until('the end of the wait', now, (at) => at > from + goalMs + 1_000)
    const trunk = toBad.seen.last - from
    t.diagnostic(`connections closed: ${figures.join(', ')}; last frame through a trunk: ${trunk} ms`)
    assert.ok(trunk <= goalMs, `its trunk carried frames for ${trunk} ms`)
    assert.ok(answered(toOther.seen)(Date.now()), 'the others go on')
  } finally {
    toBad.end()
    toOther.end()
  }
  // It is not let in again, and takes nobody along.
  await bad.stopDaemon()
  await bad.startDaemon()
  const rows = (await founder.json('hosts')) as HostRow[]
  assert.deepEqual(
    rows.map(({ name }) => name).toSorted((a, b) => (a < b ? -1 : 1)),
    ['founder', 'good', 'other']
  )
})
