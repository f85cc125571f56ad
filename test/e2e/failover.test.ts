/** The vSwitch's host dies: everything on it, by kill -9, while others ping each other every 10 ms. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Pinging } from '#lab/gap.ts'
import { apply, meshOf, remove, show, until } from './world.ts'

/** The longest silence that guests may notice. */
const maxGapMs = 500
const kills = 4
const pings = 300

const lab = await meshOf('s1', 's2', 'p1', 'p2')
after(() => lab[Symbol.asyncDispose]())

const topology = `
name: net
lans:
  lan1: { subnet: 10.0.0.0/24, vswitch: [s1, s2] }
hosts:
  a: { lan: lan1, on: p1, ip: 10.0.0.1 }
  b: { lan: lan1, on: p2, ip: 10.0.0.2 }
`

test('a vLAN whose vSwitch is killed again and again is never silent for more than half a second', async (t) => {
  const user = lab.host('p1')
  await apply(user, topology)
  const vswitch = async (): Promise<{ active: string | null; standby: string | null; term: number | null }> =>
    (await show(user, 'net')).lans[0]?.vswitch ?? { active: null, standby: null, term: null }
  let term = 0
  for (let kill = 0; kill < kills; kill++) {
    const before = await until(
      'an active and a standby',
      vswitch,
      ({ active, standby }) => active !== null && standby !== null
    )
    assert.ok((before.term as number) >= term)
    const victim = lab.host(before.active as string)
    const pinging = new Pinging(user, 'net/a', '10.0.0.2', pings)
    await pinging.answered(30)
    await victim.kill9()
    const { gapMs, lost } = await pinging.silence(pings)
    const next = await vswitch()
    t.diagnostic(
      `${victim.name} killed: ${gapMs} ms of silence, ${lost} pings lost, ${next.active} in term ${next.term}`
    )
    assert.ok(gapMs <= maxGapMs, `silent for ${gapMs} ms after ${victim.name} was killed`)
    assert.notEqual(next.active, victim.name)
    assert.ok((next.term as number) > (before.term as number))
    term = next.term as number
    await victim.startDaemon()
  }
  await remove(user, 'net')
})
