import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { Cluster, type ClusterHost, pinged } from './cluster.ts'

const root = process.getuid?.() === 0 && existsSync('/dev/net/tun')
const options = { skip: root ? false : 'needs root and /dev/net/tun', timeout: 100_000 }

/** The active, and two machines' hosts that are not it. */
function parts(cluster: Cluster): [ClusterHost, ClusterHost, ClusterHost] {
  const { active } = cluster
  assert.ok(active !== null)
  const [from, to] = cluster.living.filter((host) => host !== active)
  return [active, from as ClusterHost, to as ClusterHost]
}

test(
  'when the process of the active is killed, machines reach each other within 500 ms',
  options,
  async () => {
    await using cluster = await Cluster.start('vf-', 3)
    const gaps: number[] = []
    for (let round = 0; round < 5; round++) {
      const [active, from, to] = parts(cluster)
      const { gapMs } = await pinged(from, to, 700, () => cluster.kill(active))
      gaps.push(gapMs)
      assert.ok(gapMs <= 500, `${gapMs} ms`)
      await cluster.revive(active)
      await cluster.until('all following one', () => cluster.whole)
    }
  }
)

test(
  'when the active is cut off in silence, it takes a second at most, and one again when it is back',
  options,
  async () => {
    await using cluster = await Cluster.start('vf-', 3)
    const [active, from, to] = parts(cluster)
    const { gapMs } = await pinged(from, to, 1_500, () => cluster.cut(active))
    assert.ok(gapMs <= 1_000, `${gapMs} ms`)
    assert.ok(active.report?.role === 'active', 'it goes on for its own side')
    cluster.mend(active)
    await cluster.until('one active', () => cluster.whole)
    const healed = await pinged(active, to, 300, () => undefined)
    assert.equal(healed.lost, 0)
  }
)

test('a planned handoff loses no ping', options, async () => {
  await using cluster = await Cluster.start('vf-', 3)
  for (let round = 0; round < 3; round++) {
    const [, from, to] = parts(cluster)
    const { lost } = await pinged(from, to, 700, async () => {
      cluster.handoff(to)
      await cluster.until('the new active', () => cluster.active === to)
    })
    assert.equal(lost, 0)
  }
})
