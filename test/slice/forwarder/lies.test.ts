import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { Cluster, type ClusterHost, machineOf } from './cluster.ts'
import { Flow, type Noticed } from './flow.ts'

const root = process.getuid?.() === 0 && existsSync('/dev/net/tun')
const options = { skip: root ? false : 'needs root and /dev/net/tun', timeout: 60_000 }

/** A host that is no switch, and two others: the active, or not. */
function parts(cluster: Cluster, withActive: boolean): [ClusterHost, ClusterHost, ClusterHost] {
  const edges = cluster.living.filter(
    (host) => host !== cluster.active && host.key !== cluster.active?.report?.standby
  )
  const [liar, one, other] = withActive
    ? [edges[0], edges[1], cluster.active]
    : [edges[0], edges[1], edges[2]]
  return [liar, one, other] as [ClusterHost, ClusterHost, ClusterHost]
}

/** How many answers the liar's machine gets to what it sends in the name of another. */
async function answered(liar: ClusterHost, towards: ClusterHost): Promise<number> {
  const argv = ['netns', 'exec', liar.site.machine, 'ping', '-q', '-c', '100', '-i', '0.005', '-W', '1']
  const ping = spawn('ip', [...argv, towards.site.ip], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  ping.stdout.on('data', (text: Buffer) => (said += text.toString()))
  await once(ping, 'close')
  const received = /(\d+) received/.exec(said)
  assert.ok(received !== null, said)
  return Number(received[1])
}

/** What two machines notice of their flow while a third host lies about one of their ports, and what that got. */
async function underLies(
  cluster: Cluster,
  [liar, one, other]: readonly [ClusterHost, ClusterHost, ClusterHost]
): Promise<Noticed & { readonly stolen: number }> {
  await using flow = await Flow.start(machineOf(one), machineOf(other))
  await cluster.lie(liar, other, one)
  const stolen = await answered(liar, one)
  return { ...(await flow.stop()), stolen }
}

for (const [what, withActive] of [
  ['another edge', false],
  ['the active', true]
] as const) {
  test(
    `a host that says that the port of ${what} is its own, and sends from its MAC, gets and stops nothing`,
    options,
    async () => {
      await using cluster = await Cluster.start('vl-', 5)
      const [liar, one, other] = parts(cluster, withActive)
      const { active } = cluster
      const { lost, doubled, stolen } = await underLies(cluster, [liar, one, other])
      assert.deepEqual([lost, doubled, stolen], [0, 0, 0])
      assert.ok(other.ports.has(1), 'its port is open still')
      assert.equal(cluster.active, active)
    }
  )
}

test(
  'where the record does not list whose port it is, the same lie takes it: so the lie is told',
  options,
  async () => {
    await using cluster = await Cluster.start('vl-', 5, { listed: false })
    const [liar, one, other] = parts(cluster, false)
    const { lost, stolen } = await underLies(cluster, [liar, one, other])
    assert.ok(lost > 0 && stolen > 0, `${lost} lost, ${stolen} answers`)
    assert.ok(!other.ports.has(1), 'it was told to shut its port')
  }
)
