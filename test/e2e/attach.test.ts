/** A real host on a vLAN, by one command and until that command ends, in whatever way. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import type { LabHost } from '#lab/host.ts'
import { argumentsOf } from '#lab/processes.ts'
import { giveRouterImage } from '../images/router-image.ts'
import { apply, inside, meshOf, refused, remove, show, succeeded, until } from './world.ts'

const lab = await meshOf('h1', 'h2')
after(() => lab[Symbol.asyncDispose]())
const [h1, h2] = [lab.host('h1'), lab.host('h2')]

const topology = (more = ''): string => `
name: net
driver: netns
lans:
  lan1: { subnet: 10.9.0.0/24 }
  lan2: { subnet: 10.9.1.0/24 }
  clash: { subnet: 10.77.0.0/16 }
hosts:
  a: { lan: lan1, on: h2 }
  b: { lan: lan2, on: h1 }
  m: { lan: lan1, ip: 10.9.0.50, on: h2, driver: uml }
${more}
routers:
  r: { nics: [{ lan: lan1 }, { lan: lan2 }], on: h2 }
`

interface Attached {
  readonly kind: 'attached'
  readonly entity: string
  readonly device: string
  readonly ips: readonly string[]
}

/** Runs `violin attach` and waits until the host is on the vLAN. */
async function attach(
  host: LabHost,
  ...args: readonly string[]
): Promise<{ readonly child: ChildProcess; readonly row: Attached; readonly ended: Promise<unknown[]> }> {
  const child = host.spawn(host.command('attach', ...args, '--json'))
  const ended = once(child, 'exit')
  let complaint = ''
  child.stderr?.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    const row = JSON.parse(line) as Attached
    if (row.kind === 'attached') return { child, row, ended }
  }
  return assert.fail(`it was not attached: ${complaint}`)
}

/** Interfaces and routes of a host that are not there before anything is attached. */
async function leftovers(host: LabHost): Promise<string> {
  const { stdout } = succeeded(await host.run(['sh', '-c', 'ip -brief link; ip route; ip rule | wc -l']))
  return stdout.replaceAll(/ <[^>]*>/g, '')
}

const clean = await leftovers(h1)
const isClean = (): Promise<unknown> =>
  until(
    'nothing left',
    () => leftovers(h1),
    (now) => now === clean
  )
const namesOf = async (): Promise<string[]> => (await show(h1, 'net')).entities.map(({ name }) => name)

test('a host is on a vLAN while the command runs, reaches the others and is reached by its name', async () => {
  await apply(h1, topology())
  const { child, row, ended } = await attach(h1, 'net/lan1')
  assert.deepEqual({ entity: row.entity, ips: row.ips }, { entity: 'h1', ips: ['10.9.0.3/24'] })
  succeeded(await h1.run(['ping', '-c', '2', '-W', '5', '10.9.0.1']))
  succeeded(await h1.run(['ping', '-c', '2', '-W', '5', '10.9.1.1']))
  // A virtual machine, too.
  succeeded(await h1.run(['ping', '-c', '2', '-W', '5', '10.9.0.50']))
  await inside(h1, 'net/m', 'ping', '-c', '2', '-W', '5', 'h1')
  await inside(h1, 'net/a', 'ping', '-c', '2', '-W', '5', 'h1')
  await inside(h1, 'net/b', 'ping', '-c', '2', '-W', '5', 'h1')
  const shown = (await show(h1, 'net')).entities.find(({ name }) => name === 'h1')
  assert.deepEqual(
    { driver: shown?.driver, state: shown?.state, host: shown?.host },
    { driver: 'tap', state: 'running', host: 'h1' }
  )
  // The file says nothing of it, and takes it off no vLAN.
  await apply(h1, topology('  c: { lan: lan1, on: h1 }'))
  succeeded(await h1.run(['ping', '-c', '2', '-W', '5', '10.9.0.1']))
  const fresh = (await show(h1, 'net')).entities.find(({ name }) => name === 'c')
  assert.deepEqual(fresh?.nics[0]?.ips, ['10.9.0.4/24'])
  assert.match((await h1.try(['exec', 'net/h1', '--', 'true'])).stderr, /h1 is no machine/)
  process.kill(-(child.pid as number), 'SIGINT')
  assert.deepEqual(await ended, [0, null])
  assert.equal(await leftovers(h1), clean)
  assert.deepEqual((await namesOf()).includes('h1'), false)
})

test('it has the address that it asks for, and `detach` ends it', async () => {
  const { row, ended } = await attach(h1, 'net/lan1', '--ip', '10.9.0.77/24')
  assert.deepEqual(row.ips, ['10.9.0.77/24'])
  refused(await h1.try(['attach', 'net/lan1']), /on net\/lan1 already; .*violin detach net\/lan1/)
  refused(await h1.try(['attach', 'net/lan2', '--ip', '10.9.1.1']), /10\.9\.1\.1 .* taken/)
  refused(await h1.try(['attach', 'net/lan2', '--ip', '10.9.1.9/16']), /\/16 is not/)
  assert.equal(await h1.violin('detach', 'net/lan1'), 'this host is off net/lan1\n')
  assert.deepEqual(await ended, [0, null])
  assert.equal(await leftovers(h1), clean)
  refused(await h1.try(['detach', 'net/lan1']), /not attached/)
})

test('nothing is left where the command or the daemon is killed', async () => {
  const first = await attach(h1, 'net/lan1')
  process.kill(-(first.child.pid as number), 'SIGKILL')
  await isClean()
  await until('the record', namesOf, (names) => !names.includes('h1'))
  const second = await attach(h1, 'net/lan1')
  await h1.killDaemon()
  assert.notEqual((await second.ended)[0], 0)
  await isClean()
  // The vHosts went on; who held the host is gone, and so is what the record says of it.
  await h1.startDaemon()
  await until('the record', namesOf, (names) => !names.includes('h1'))
  assert.equal(await leftovers(h1), clean)
})

test('a vLAN whose addresses the host has otherwise is refused, and so is who does not own it', async () => {
  refused(await h1.try(['attach', 'net/clash']), /overlaps 10\.77\.0\.0\/24 \(eth0\)/)
  refused(await h1.try(['attach', 'net/lan9']), /no vLAN lan9; it has lan1/)
  refused(await h2.try(['attach', 'net/lan1']), /belongs to h1/)
  assert.deepEqual(await namesOf(), ['a', 'b', 'm', 'c', 'r'])
})

/** DHCP clients that run on a host. */
const clients = (): number => h1.processes().filter(({ pid }) => argumentsOf(pid).includes('udhcpc')).length

test('it asks the vLAN’s service for an address, has one of IPv6 too, and is found by its name', async () => {
  await giveRouterImage(h1.folder)
  await giveRouterImage(h2.folder)
  refused(await h1.try(['attach', 'net/lan1', '--ip', 'dhcp']), /nobody on lan1 gives addresses/)
  await apply(
    h1,
    `
name: served
driver: netns
lans:
  lan1: { subnet: 10.10.0.0/24, ipv6: 'fd00:10::/64', dhcp: true, dns: true }
  lan2: { subnet: 10.10.1.0/24, ipv6: 'fd00:11::/64' }
hosts: { a: { lan: lan1, on: h2 }, b: { lan: lan2, on: h2 } }
routers: { r: { nics: [{ lan: lan1, ip: 10.10.0.1 }, { lan: lan2 }], on: h2 } }
`
  )
  const servers = (): Promise<string> => inside(h1, 'served/r', 'pidof', 'dnsmasq')
  const server = await servers()
  const { child, row, ended } = await attach(h1, 'served/lan1', '--ip', 'dhcp')
  const [given = '', ipv6 = ''] = row.ips
  assert.match(given, /^10\.10\.0\.(1[5-9]\d|2\d\d)\/24$/)
  assert.match(ipv6, /^fd00:10::[0-9a-f]+\/64$/)
  const rows = (await show(h1, 'served')).entities.filter(({ name }) => name === row.entity)
  assert.deepEqual(
    rows.map(({ nics }) => nics.map(({ ips }) => ips)),
    [[[given, ipv6]]]
  )
  const { stdout } = succeeded(await h1.run(['ip', '-brief', 'address', 'show', 'dev', row.device]))
  for (const address of row.ips) assert.ok(stdout.includes(address), stdout)
  for (const address of ['10.10.0.2', '10.10.1.1', 'fd00:10::2', 'fd00:11::1'])
    succeeded(await h1.run(['ping', '-c', '1', '-W', '5', address]))
  const [own, own6] = [given, ipv6].map((one) => one.split('/')[0] as string)
  await inside(h1, 'served/b', 'ping', '-6', '-c', '1', '-W', '5', own6 as string)
  await inside(h1, 'served/b', 'ping', '-c', '1', '-W', '5', own as string)
  const found = await h1.try(['exec', 'served/a', '--', 'nslookup', row.entity, '10.10.0.1'])
  assert.match(found.stdout, new RegExp(`Address: *${own}\\n`))
  // An address that the record does not have is nothing new to who serves the vLAN.
  assert.equal(await servers(), server)
  assert.equal(clients(), 1)
  process.kill(-(child.pid as number), 'SIGINT')
  assert.deepEqual(await ended, [0, null])
  assert.equal(await leftovers(h1), clean)
  assert.equal(clients(), 0)
  await attach(h1, 'served/lan1', '--ip', 'dhcp')
  await h1.killDaemon()
  await isClean()
  await until(
    'no client',
    () => Promise.resolve(clients()),
    (n) => n === 0
  )
  await h1.startDaemon()
  // Nobody answers, and the owner has done with all of it meanwhile.
  await h1.violin('stop', 'served/r')
  const waiting = h1.spawn(h1.command('attach', 'served/lan1', '--ip', 'dhcp'))
  const over = once(waiting, 'exit')
  let complaint = ''
  waiting.stderr?.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
  await until(
    'a client',
    () => Promise.resolve(clients()),
    (n) => n === 1
  )
  await remove(h1, 'served')
  assert.deepEqual(
    [(await over)[0], complaint.includes('its owner took this host off')],
    [1, true],
    complaint
  )
  await isClean()
})

test('nobody inside gets through the host to its other networks', async () => {
  const { child, row, ended } = await attach(h1, 'net/lan1')
  succeeded(await h1.run(['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']))
  const address = (row.ips[0] as string).split('/')[0] as string
  succeeded(await h2.run(['ip', 'route', 'add', '10.9.0.0/24', 'via', h1.address]))
  const script = `ip route add ${h2.address} via ${address}; ping -c 2 -W 1 ${h2.address}`
  const outcome = await h1.try(['exec', 'net/a', '--', 'sh', '-c', script])
  assert.equal(outcome.status, 1)
  assert.match(outcome.stdout, / 0 packets received/)
  succeeded(await h2.run(['ip', 'route', 'del', '10.9.0.0/24']))
  process.kill(-(child.pid as number), 'SIGTERM')
  await ended
  await remove(h1, 'net')
  assert.equal(await leftovers(h1), clean)
})
