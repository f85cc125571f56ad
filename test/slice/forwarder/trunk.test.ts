import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { inNamespace } from './underlay.ts'
import { World } from './world.ts'

const root = process.getuid?.() === 0 && existsSync('/dev/net/tun')
const options = { skip: root ? false : 'needs root and /dev/net/tun', timeout: 60_000 }
const fixedRole = new URL('./fixed-role-worker.ts', import.meta.url)

test(
  'machines on three hosts reach one another through the vSwitch, at full MTU, unfragmented',
  options,
  async () => {
    await using world = new World('vb-', fixedRole)
    const [first, second, third] = [world.add(), world.add(), world.add()]
    world.connect(first, second)
    world.connect(first, third)
    world.configure()
    const ups = (): number =>
      world.hosts.flatMap((host) => host.reports).filter((report) => report.kind === 'trunk' && report.up)
        .length
    await world.until('the trunks', () => ups() === 4)
    const size = ['-M', 'do', '-s', '1472']
    // Between two edges, so through the switch, and from the switch itself.
    inNamespace(second.machine, 'ping', '-c', '3', '-i', '0.1', '-W', '2', ...size, third.ip)
    inNamespace(first.machine, 'ping', '-c', '3', '-i', '0.1', '-W', '2', ...size, second.ip)
    const fragments = inNamespace(second.host, 'sh', '-c', 'grep ^Ip: /proc/net/snmp | tail -1').split(' ')
    assert.equal(fragments[18], '0')
    assert.equal(fragments[16], '0')
  }
)

test('a path that carries less than 1,500 bytes and says nothing of it is found out', options, async () => {
  await using world = new World('vb-', fixedRole)
  const [first, second] = [world.add(), world.add()]
  inNamespace(world.underlay.net, 'ip', 'link', 'set', 'v2', 'mtu', '1400')
  world.connect(first, second)
  world.configure()
  await world.until('the trunk', () => first.reports.some((report) => report.kind === 'trunk' && report.up))
  inNamespace(first.machine, 'ping', '-c', '5', '-i', '0.1', '-W', '2', '-M', 'do', '-s', '1472', second.ip)
})

test('a trunk whose peer is gone is reported down, refused at once, and wanted anew', options, async () => {
  await using world = new World('vb-', fixedRole)
  const [first, second] = [world.add(), world.add()]
  world.connect(first, second)
  world.configure()
  await world.until('the trunk', () => first.reports.some((report) => report.kind === 'trunk' && report.up))
  inNamespace(second.host, 'ip', 'link', 'set', 'eth0', 'down')
  await world.until('its loss', () => first.reports.some((report) => report.kind === 'trunk' && !report.up))
  await world.until('the wish', () => first.reports.some((report) => report.kind === 'trunk-wanted'))
  inNamespace(second.host, 'ip', 'link', 'set', 'eth0', 'up')
  const healed = (): boolean => {
    const last = first.reports.findLast((report) => report.kind === 'trunk')
    return last?.kind === 'trunk' && last.up
  }
  await world.until('its return', healed)
})

test('a session ends by itself when nobody vouches for the peer any more', options, async () => {
  await using world = new World('vb-', fixedRole)
  const [first, second] = [world.add(), world.add()]
  world.configure()
  world.connect(first, second, 1500)
  await world.until('the trunk', () => first.reports.some((report) => report.kind === 'trunk' && report.up))
  await world.until('its end', () => first.reports.some((report) => report.kind === 'trunk-wanted'))
  const last = first.reports.findLast((report) => report.kind === 'trunk')
  assert.ok(last?.kind === 'trunk' && !last.up)
  // A new session replaces it.
  world.connect(first, second)
  const again = (): boolean =>
    first.reports.filter((report) => report.kind === 'trunk' && report.up).length === 2
  await world.until('a new trunk', again)
})

test('a new session takes over from a living one without the loss of a single ping', options, async () => {
  await using world = new World('vb-', fixedRole)
  const [first, second] = [world.add(), world.add()]
  world.connect(first, second)
  world.configure()
  await world.until('the trunk', () => first.reports.some((report) => report.kind === 'trunk' && report.up))
  inNamespace(first.machine, 'ping', '-c', '1', '-W', '2', second.ip)
  const ping = inNamespaceLater(first.machine, 'ping', '-c', '60', '-i', '0.02', '-W', '2', '-q', second.ip)
  world.connect(first, second)
  assert.match(await ping, / 0% packet loss/)
})

async function inNamespaceLater(namespace: string, ...command: string[]): Promise<string> {
  return (await promisify(execFile)('ip', ['netns', 'exec', namespace, ...command])).stdout
}
