/** The vSwitch's host dies: everything on it, by kill -9, while others ping each other every 10 ms; or some never reach it. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Pinging } from '#lab/gap.ts'
import type { LabHost } from '#lab/host.ts'
import { apply, inside, meshOf, remove, show, succeeded, until } from './world.ts'

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

const apart = `
name: apart
driver: netns
lans:
  lan1: { subnet: 10.0.0.0/24, vswitch: [p1] }
hosts:
  a: { lan: lan1, on: p1, ip: 10.0.0.1 }
  b: { lan: lan1, on: p2, ip: 10.0.0.2 }
  c: { lan: lan1, on: s1, ip: 10.0.0.3 }
`

test('a host that never reaches the one that switches is in the vLAN all the same, by a third', async () => {
  const [user, far] = [lab.host('s1'), lab.host('p2')]
  const ways = [
    [lab.host('p1'), far],
    [far, lab.host('p1')]
  ] as const
  const route = async (act: 'replace' | 'del'): Promise<void> => {
    for (const [from, to] of ways)
      succeeded(await from.run(['ip', 'route', act, 'blackhole', `${to.address}/32`]))
  }
  // Nothing is left of what they agreed before.
  await far.kill9()
  await route('replace')
  try {
    await far.startDaemon()
    await apply(user, apart)
    const switchedBy = async (at: LabHost): Promise<string | null | undefined> =>
      (await show(at, 'apart')).lans[0]?.vswitch.active
    await until(
      'the vSwitch on p1',
      () => switchedBy(user),
      (active) => active === 'p1'
    )
    for (const ip of ['10.0.0.1', '10.0.0.3'])
      await inside(far, 'apart/b', 'sh', '-c', `until ping -c 1 -W 1 -s 1472 ${ip}; do :; done`)
    assert.equal(await switchedBy(user), 'p1')
  } finally {
    await route('del')
  }
  await remove(user, 'apart')
})
