import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { Cluster, type ClusterHost, machineOf } from './cluster.ts'
import { Flow, type Noticed } from './flow.ts'
import { inNamespace } from './underlay.ts'

const root = process.getuid?.() === 0 && existsSync('/dev/net/tun')
const options = { skip: root ? false : 'needs root and /dev/net/tun', timeout: 200_000 }
/** With others on its cores a host that judges doubts itself first, for as long as it did not run. */
const busyMs = 500

/** The active, and two machines' hosts that are not it. */
function parts(cluster: Cluster): [ClusterHost, ClusterHost, ClusterHost] {
  const { active } = cluster
  assert.ok(active !== null)
  const [from, to] = cluster.living.filter((host) => host !== active)
  return [active, from as ClusterHost, to as ClusterHost]
}

/** What two machines notice while `act` runs and until frames come through again. */
async function noticed(
  from: ClusterHost,
  to: ClusterHost,
  act: () => void | Promise<void>
): Promise<Noticed> {
  await using flow = await Flow.start(machineOf(from), machineOf(to))
  await act()
  await flow.through()
  // Awaited here: the flow ends with this block.
  return await flow.stop()
}

for (const [hosts, rounds] of [
  [3, 12],
  [10, 8]
] as const) {
  test(
    `when the active of ${hosts} hosts is killed, again and again, frames flow within 500 ms`,
    options,
    async (t) => {
      await using cluster = await Cluster.start('vf-', hosts)
      for (let round = 0; round < rounds; round++) {
        const [active, from, to] = parts(cluster)
        const { gapMs, doubled } = await noticed(from, to, () => cluster.kill(active))
        t.diagnostic(`${Math.round(gapMs)} ms`)
        assert.ok(gapMs <= busyMs, `${gapMs} ms`)
        assert.equal(doubled, 0)
        await cluster.revive(active)
        await cluster.until('all following one', () => cluster.whole)
      }
    }
  )
}

test(
  'when the active is cut off in silence, it takes a second at most, and one again when it is back',
  options,
  async () => {
    await using cluster = await Cluster.start('vf-', 3)
    const [active, from, to] = parts(cluster)
    const { gapMs, doubled } = await noticed(from, to, () => cluster.cut(active))
    assert.ok(gapMs <= 1_000, `${gapMs} ms`)
    assert.equal(doubled, 0)
    assert.ok(active.report?.role === 'active', 'it goes on for its own side')
    cluster.mend(active)
    await cluster.until('one active', () => cluster.whole)
    const healed = await noticed(active, to, () => undefined)
    assert.equal(healed.lost, 0)
  }
)

test('when only active and standby do not hear each other, nobody takes over', options, async () => {
  await using cluster = await Cluster.start('vf-', 4)
  const [active] = parts(cluster)
  const [standby, from, to] = cluster.living
    .filter((host) => host !== active)
    .toSorted((host) => (host.key === active.report?.standby ? -1 : 1)) as [
    ClusterHost,
    ClusterHost,
    ClusterHost
  ]
  const { lost } = await noticed(from, to, async () => {
    cluster.block(active, standby, true)
    await assert.rejects(
      cluster.until('a takeover', () => cluster.leader !== active, 2_000),
      /a takeover did not come/
    )
  })
  assert.equal(lost, 0)
})

test('a host that cannot reach the active is passed on by others, both ways or one', options, async (t) => {
  await using cluster = await Cluster.start('vf-', 4)
  const [active, from, to] = parts(cluster)
  const ways = [
    [from, active],
    [active, from]
  ] as const
  for (const cut of [ways, ways.slice(0, 1), ways.slice(1)]) {
    const { gapMs, doubled } = await noticed(from, to, () => {
      for (const [one, other] of cut) cluster.block(one, other, true)
    })
    t.diagnostic(`${Math.round(gapMs)} ms`)
    assert.ok(gapMs <= 3_000, `${gapMs} ms`)
    assert.equal(doubled, 0)
    assert.equal(cluster.active, active, 'the switch stays where it is')
    const relayed = await noticed(from, to, () => undefined)
    assert.equal(relayed.lost, 0)
    inNamespace(
      from.site.machine,
      'ping',
      '-c',
      '3',
      '-i',
      '0.1',
      '-W',
      '2',
      '-M',
      'do',
      '-s',
      '1472',
      to.site.ip
    )
    const whole = await noticed(from, to, () => {
      for (const [one, other] of cut) cluster.block(one, other, false)
    })
    assert.equal(whole.lost, 0, 'nothing is lost on the way back to the direct path')
  }
})

test('a planned handoff loses no frame and doubles none', options, async () => {
  await using cluster = await Cluster.start('vf-', 3)
  for (let round = 0; round < 3; round++) {
    const [, from, to] = parts(cluster)
    const { lost, doubled } = await noticed(from, to, async () => {
      cluster.handoff(to)
      await cluster.until('the new active', () => cluster.active === to)
    })
    assert.deepEqual([lost, doubled], [0, 0])
  }
})
