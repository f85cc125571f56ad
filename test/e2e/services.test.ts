/** What routers do besides routing, as people write it: filters, translation, services of a vLAN, multicast, anycast. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { Outcome } from '#lab/host.ts'
import { giveRouterImage } from '../images/router-image.ts'
import { apply, exec, inside, meshOf, refused, remove, succeeded, until } from './world.ts'

const settledMs = 60_000

const lab = await meshOf('p1', 'p2')
const work = mkdtempSync(join(tmpdir(), 'violin-e2e-'))
after(async () => {
  await lab[Symbol.asyncDispose]()
  rmSync(work, { recursive: true, force: true })
})
const home = lab.host('p1')
for (const host of lab.hosts) await giveRouterImage(host.folder)

const ping = (from: string, to: string): Promise<Outcome> =>
  exec(home, from, 'ping', '-c', '1', '-W', '2', to)

test('a firewall lets through what its file says, from the first frame on', async () => {
  writeFileSync(
    join(work, 'rules.nft'),
    `flush ruleset
table inet filter {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "eth0" icmp type echo-request accept
  }
}
`
  )
  writeFileSync(
    join(work, 'wall.violin.yaml'),
    `name: wall
driver: netns
lans: { inside: { subnet: 10.0.1.0/24 }, outside: { subnet: 10.0.2.0/24 } }
hosts: { x: { lan: inside }, y: { lan: outside } }
routers: { r: { nics: [{ lan: inside }, { lan: outside }], firewall: rules.nft } }
`
  )
  succeeded(await home.try(['apply'], { cwd: work }))
  succeeded(await ping('wall/x', 'y'))
  assert.notEqual((await ping('wall/y', 'x')).status, 0)
  assert.match(
    await home.violin('show', 'wall/r', '--config'),
    /# r: \/etc\/nftables\.conf\n(.*\n)*.*policy drop/
  )
  await remove(home, 'wall')
  // Of several complaints the first, with its line and what stands there.
  writeFileSync(
    join(work, 'rules.nft'),
    `table inet filter {\n  chain one { nonsense }\n}\n${'table inet other { folly }\n'.repeat(5)}`
  )
  refused(
    await home.try(['apply'], { cwd: work }),
    /\/etc\/nftables\.conf:2:\S*: Error: syntax error, unexpected \S+.* \| *chain one \{ nonsense \}/
  )
  await remove(home, 'wall')
})

for (const driver of ['netns', 'uml'] as const)
  test(`a router (${driver}) that translates is all that the vLAN outside sees`, async () => {
    await apply(
      home,
      `name: nat
driver: netns
lans:
  inside: { subnet: 192.168.1.0/24, ipv6: 'fd00:1::/64' }
  outside: { subnet: 10.0.2.0/24, ipv6: 'fd00:2::/64' }
hosts: { x: { lan: inside, image: router }, y: { lan: outside, image: router } }
routers:
  r: { nics: [{ lan: inside }, { lan: outside, ip: 10.0.2.254, ipv6: 'fd00:2::fe' }], nat: outside, driver: ${driver} }
`
    )
    // Without a way back only translated frames are answered.
    await inside(home, 'nat/y', 'sh', '-ec', 'ip route del default; ip -6 route del default')
    const families = [
      ['TCP4', '10.0.2.1', '10.0.2.254'],
      ['TCP6', '[fd00:2::1]', '[fd00:0002:0000:0000:0000:0000:0000:00fe]']
    ] as const
    for (const [tcp, server, seen] of families) {
      const serving = exec(
        home,
        'nat/y',
        'socat',
        `${tcp}-LISTEN:7,reuseaddr,fork`,
        'SYSTEM:echo $SOCAT_PEERADDR'
      )
      await until(
        'who called',
        () => exec(home, 'nat/x', 'socat', '-u', `${tcp}:${server}:7,connect-timeout=2`, '-'),
        ({ stdout }) => stdout === `${seen}\n`,
        settledMs
      )
      await inside(home, 'nat/y', 'killall', 'socat')
      await serving
    }
    await remove(home, 'nat')
  })

for (const driver of ['netns', 'uml'] as const)
  test(`rules of a router (${driver}) lead some over another way, and change while it runs`, async () => {
    const ruled = (rules: string): string => `name: ruled
driver: netns
lans:
  a: { subnet: 10.0.1.0/24, ipv6: 'fd00:1::/64' }
  up: { subnet: 10.0.2.0/24, ipv6: 'fd00:2::/64' }
  down: { subnet: 10.0.3.0/24, ipv6: 'fd00:3::/64' }
  far: { subnet: 10.0.4.0/24, ipv6: 'fd00:4::/64', gateway: s }
hosts:
  x: { lan: a, ip: 10.0.1.8, ipv6: 'fd00:1::8', image: router }
  z: { lan: a, ip: 10.0.1.9, ipv6: 'fd00:1::9', image: router }
  y: { lan: far, ip: 10.0.4.9, ipv6: 'fd00:4::9' }
routers:
  r: { nics: [{ lan: a }, { lan: up }, { lan: down }], driver: ${driver}, rules: [${rules}] }
  s: { nics: [{ lan: up, ip: 10.0.2.9, ipv6: 'fd00:2::9' }, { lan: far }] }
  t: { nics: [{ lan: down, ip: 10.0.3.9, ipv6: 'fd00:3::9' }, { lan: far }] }
`
    const [overS, overT, overS6, overT6] = ['10.0.2.9', '10.0.3.9', 'fd00:2::9', 'fd00:3::9']
    /** The router behind r, by Debian's program: busybox's sends no TCP. */
    const second = async (from: string, ...how: readonly string[]): Promise<string | undefined> => {
      const probing = ['traceroute.db', '-n', '-q', '1', '-w', '3', '-f', '2', '-m', '2', ...how]
      return /^ *2 +(\S+)/m.exec(await inside(home, `ruled/${from}`, ...probing))?.[1]
    }
    const takes = (way: string | undefined, from: string, ...how: readonly string[]): Promise<unknown> =>
      until(
        `${from} ${how.join(' ')} by ${way}`,
        () => second(from, ...how),
        (hop) => hop === way,
        settledMs
      )
    await apply(home, ruled('{ from: 10.0.1.9, via: t }, { to: far, proto: tcp, port: 80, via: t }'))
    await inside(home, 'ruled/r', 'touch', '/tmp/here')
    await takes(overS, 'x', '10.0.4.9')
    await takes(overT, 'z', '10.0.4.9')
    await takes(overT, 'x', '-T', '-p', '80', '10.0.4.9')
    await takes(overS, 'x', '-T', '-p', '81', '10.0.4.9')
    await takes(overS6, 'z', '-6', 'fd00:4::9')
    await takes(overT6, 'z', '-6', '-T', '-p', '80', 'fd00:4::9')
    await apply(home, ruled("{ from: 'fd00:1::9', via: t }"))
    await takes(overS, 'z', '10.0.4.9')
    await takes(overT6, 'z', '-6', 'fd00:4::9')
    await takes(overS, 'x', '-T', '-p', '80', '10.0.4.9')
    await apply(home, ruled('{ from: a, via: t }'))
    await takes(overT, 'x', '10.0.4.9')
    // No rule is for what the router says itself: it answers on the vLAN whose frames it leads elsewhere.
    for (const r of ['10.0.1.1', 'fd00:1::1']) await inside(home, 'ruled/x', 'ping', '-c', '1', '-W', '2', r)
    // It was not started anew.
    await inside(home, 'ruled/r', 'ls', '/tmp/here')
    await remove(home, 'ruled')
  })

test('a router runs the program that is to forward in its place, again when it dies, and what it says is kept', async () => {
  const program = `#!/bin/sh
echo $$ >/run/click.pid
echo "reads $1: $(cat "$1")"
exec sleep 1000
`
  writeFileSync(join(work, 'click'), program, { mode: 0o755 })
  writeFileSync(join(work, 'r.click'), 'FromDevice(eth0) -> Discard;\n')
  const topology = (path: string): string => `name: click
driver: netns
defaults: { restart: never, files: { /usr/local/bin/click: click } }
lans: { a: { subnet: 10.0.1.0/24 } }
routers:
  r: { lan: a, click: { program: ${path}, config: r.click } }
  s: { lan: a, driver: uml, click: { program: ${path}, config: r.click } }
`
  writeFileSync(join(work, 'click.yaml'), topology('/usr/local/bin/none'))
  const said = await home.try(['apply', 'click.yaml'], { cwd: work })
  assert.match(said.stderr, /there is no program \/usr\/local\/bin\/none/)
  await remove(home, 'click')
  writeFileSync(join(work, 'click.yaml'), topology('/usr/local/bin/click'))
  succeeded(await home.try(['apply', 'click.yaml'], { cwd: work }))
  for (const name of ['r', 's']) {
    const readings = (times: number): Promise<string> =>
      until(
        `${times} starts of ${name}`,
        () => inside(home, `click/${name}`, 'logread'),
        (text) =>
          text.split('click: reads /etc/click.conf: FromDevice(eth0) -> Discard;').length === times + 1,
        settledMs
      )
    await readings(1)
    assert.equal(await inside(home, `click/${name}`, 'cat', '/proc/sys/net/ipv4/ip_forward'), '0')
    await inside(home, `click/${name}`, 'sh', '-c', 'kill -9 $(cat /run/click.pid)')
    assert.match(await readings(2), /click: it ended with status 137, and begins again/)
    await inside(home, `click/${name}`, 'sh', '-c', 'kill -0 $(cat /run/click.pid)')
  }
  await remove(home, 'click')
})

test('a router runs its own configuration of FRR, with the daemons of which that speaks', async () => {
  writeFileSync(join(work, 'r.conf'), 'ip route 10.0.3.0/24 10.0.2.2\n')
  writeFileSync(
    join(work, 'own.yaml'),
    `name: own
driver: netns
lans: { a: { subnet: 10.0.1.0/24 }, b: { subnet: 10.0.2.0/24, gateway: r }, c: { subnet: 10.0.3.0/24 } }
hosts: { x: { lan: a }, y: { lan: c } }
routers:
  r: { nics: [{ lan: a }, { lan: b, ip: 10.0.2.1 }], frr: r.conf }
  s: { nics: [{ lan: c }, { lan: b, ip: 10.0.2.2 }] }
`
  )
  succeeded(await home.try(['apply', 'own.yaml'], { cwd: work }))
  await until(
    'the way',
    () => ping('own/x', 'y'),
    ({ status }) => status === 0,
    settledMs
  )
  assert.match(await inside(home, 'own/r', 'vtysh', '-c', 'show daemons'), /staticd/)
  assert.match(await home.violin('show', 'own/r', '--config'), /ip route 10\.0\.3\.0\/24 10\.0\.2\.2/)
  await remove(home, 'own')
})

test('what FRR does not understand of a router’s own configuration is told', async () => {
  writeFileSync(join(work, 'r.conf'), 'router bgp 65000\n neighbour 10.0.1.1 remote-as 1\n')
  writeFileSync(
    join(work, 'own.yaml'),
    `name: wrong
driver: netns
lans: { a: { subnet: 10.0.1.0/24 } }
routers: { r: { lan: a, frr: r.conf, restart: never } }
`
  )
  const said = await home.try(['apply', 'own.yaml'], { cwd: work })
  assert.equal(said.status, 1)
  assert.match(said.stderr, /r did not start: .*neighbour 10\.0\.1\.1/)
  await remove(home, 'wrong')
})

test('a vLAN’s router gives addresses, names and a prefix to who asks', async () => {
  const serve = `name: serve
driver: netns
lans: { a: { subnet: 10.0.1.0/24, ipv6: 'fd00:1::/64', dhcp: true, dns: true, ra: true }, b: { subnet: 10.0.2.0/24 } }
hosts: { x: { lan: a }, y: { lan: b } }
routers: { r: { nics: [{ lan: a, ip: 10.0.1.1 }, { lan: b }] } }
`
  await apply(home, serve)
  // Its own address again, as the router has it from the file.
  const script = 'for v in ip router; do eval "echo $v=\\$$v"; done'
  await inside(
    home,
    'serve/x',
    'sh',
    '-c',
    `printf '#!/bin/sh\\n%s\\n' '${script}' >/tmp/told && chmod 755 /tmp/told`
  )
  const told = await inside(home, 'serve/x', 'udhcpc', '-i', 'eth0', '-n', '-q', '-f', '-s', '/tmp/told')
  assert.match(told, /ip=10\.0\.1\.2\nrouter=10\.0\.1\.1/)
  // A stranger's MAC gets a free one.
  const mac = 'ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:99; ip link set eth0 up'
  const stranger = await inside(
    home,
    'serve/x',
    'sh',
    '-c',
    `${mac}; udhcpc -i eth0 -n -q -f -s /tmp/told; ip link set eth0 down; ip link set eth0 up`
  )
  assert.match(stranger, /ip=10\.0\.1\.(1[5-9]\d|2\d\d)\n/)
  const found = await exec(home, 'serve/x', 'nslookup', 'y', '10.0.1.1')
  assert.match(found.stdout, /Address: *10\.0\.2\.1/)
  // Names that come later are known, too: who serves them goes on.
  await apply(home, serve.replace('y: { lan: b }', 'y: { lan: b }, z: { lan: b }'))
  await until(
    'the name of z',
    () => exec(home, 'serve/x', 'nslookup', 'z', '10.0.1.1'),
    ({ stdout }) => /Address: *10\.0\.2\.3/.test(stdout),
    settledMs
  )
  await until(
    'an address of its own making',
    () => inside(home, 'serve/x', 'ip', '-6', 'addr', 'show', 'dev', 'eth0'),
    (text) =>
      (text.match(/inet6 fd00:1:/g)?.length ?? 0) >= 1 && /dynamic|fd00:1::[0-9a-f:]*ff:fe/.test(text),
    settledMs
  )
  await remove(home, 'serve')
})

test('multicast goes over two routers to who listens, and to nobody else', async (t) => {
  await apply(
    home,
    `name: cast
driver: netns
defaults: { routing: ospf, multicast: pim }
lans: { a: { subnet: 10.0.1.0/24 }, b: { subnet: 10.0.2.0/24, gateway: r }, c: { subnet: 10.0.3.0/24 }, d: { subnet: 10.0.4.0/24 } }
hosts:
  sender: { lan: a, image: router, on: p1 }
  near: { lan: b, image: router, on: p2 }
  far: { lan: c, image: router, on: p2 }
  deaf: { lan: d, image: router, on: p1 }
routers:
  r: { nics: [{ lan: a }, { lan: b }], on: p1 }
  s: { nics: [{ lan: b }, { lan: c }, { lan: d }], on: p2 }
rendezvous: s
`
  )
  const group = '239.1.2.3'
  const listening = ['near', 'far'].map((name) =>
    exec(home, `cast/${name}`, 'timeout', '40', 'iperf', '-s', '-u', '-B', group, '-i', '1', '-t', '30')
  )
  const counted = "cat /proc/net/dev | awk '/eth0/ { print $3 }'"
  const before = Number(await inside(home, 'cast/deaf', 'sh', '-c', counted))
  await until(
    'both listen',
    () => inside(home, 'cast/s', 'vtysh', '-c', 'show ip igmp groups'),
    (text) => text.includes(group),
    settledMs
  )
  await until(
    'routers know one another',
    () => inside(home, 'cast/r', 'vtysh', '-c', 'show ip pim neighbor', '-c', 'show ip pim rp-info'),
    (text) => /10\.0\.2\.\d/.test(text),
    settledMs
  )
  // 100 datagrams a second of 1,000 bytes, for ten seconds.
  await inside(
    home,
    'cast/sender',
    'iperf',
    '-c',
    group,
    '-u',
    '-T',
    '8',
    '-l',
    '1000',
    '-b',
    '800k',
    '-t',
    '10'
  )
  for (const outcome of await Promise.all(listening)) {
    const totals = [...outcome.stdout.matchAll(/(\d+)\/ *(\d+) \(/g)].map(([, lost, sent]) => [
      Number(lost),
      Number(sent)
    ])
    const sent = totals.reduce((sum, [, one]) => sum + (one ?? 0), 0)
    t.diagnostic(`${totals.length} reports, ${sent} datagrams: ${outcome.stdout.trim().split('\n').at(-1)}`)
    assert.ok(sent >= 800, outcome.stdout + outcome.stderr)
  }
  const after = Number(await inside(home, 'cast/deaf', 'sh', '-c', counted))
  assert.ok(after - before < 300, `${after - before} frames reached who did not listen`)
  await remove(home, 'cast')
})

test('an anycast address is the nearest vHost’s, and the next one’s when that dies', async (t) => {
  await apply(
    home,
    `name: any
driver: netns
defaults: { routing: ospf, restart: never }
lans:
  a: { subnet: 10.0.1.0/24, gateway: r }
  b: { subnet: 10.0.2.0/24 }
  c: { subnet: 10.0.3.0/24, gateway: s }
hosts:
  client: { lan: a, on: p1 }
  near: { lan: a, anycast: 10.99.0.1, on: p1 }
  far: { lan: c, anycast: 10.99.0.1, on: p2 }
routers:
  r: { nics: [{ lan: a }, { lan: b }], on: p1 }
  s: { nics: [{ lan: b }, { lan: c }], on: p2 }
`
  )
  for (const name of ['near', 'far'])
    await inside(
      home,
      `any/${name}`,
      'sh',
      '-c',
      'mkdir /srv/www; hostname >/srv/www/index.html; httpd -h /srv/www'
    )
  const ask = (): Promise<Outcome> =>
    exec(home, 'any/client', 'timeout', '2', 'wget', '-q', '-O', '-', 'http://10.99.0.1/')
  const answeredBy = (name: string) => (outcome: Outcome) => outcome.stdout === `${name}\n`
  await until('the nearest answers', ask, answeredBy('near'), settledMs)
  // Its whole machine dies: the second process of a namespace entity is its life.
  const died = performance.now()
  await exec(home, 'any/near', 'kill', '-9', '2')
  await until('the next answers', ask, answeredBy('far'), settledMs)
  t.diagnostic(`moved in ${Math.round(performance.now() - died)} ms, asking included`)
  await remove(home, 'any')
})

for (const routing of ['rip', 'isis'] as const)
  test(`by ${routing} an anycast address of IPv6 is known two routers on, about as soon as one of IPv4`, async (t) => {
    await apply(
      home,
      `name: six
driver: netns
defaults: { routing: ${routing} }
lans:
  a: { subnet: 10.0.1.0/24, ipv6: 'fd00:1::/64' }
  b: { subnet: 10.0.2.0/24, ipv6: 'fd00:2::/64' }
hosts:
  near: { lan: a, anycast: [10.99.0.1, 'fd99::1'], on: p1 }
routers:
  r: { nics: [{ lan: a }, { lan: b }], on: p1 }
  s: { nics: [{ lan: b }], on: p2 }
`
    )
    const began = performance.now()
    const known = (family: string, address: string): Promise<string> =>
      until(
        `a way to ${address}`,
        () => inside(home, 'six/s', 'ip', family, 'route', 'show', address),
        (ways) => ways !== '',
        settledMs
      )
    await known('-4', '10.99.0.1')
    const ofFour = performance.now()
    await known('-6', 'fd99::1')
    const laterMs = Math.round(performance.now() - ofFour)
    t.diagnostic(`IPv4 after ${Math.round(ofFour - began)} ms, IPv6 ${laterMs} ms later`)
    // One interval of FRR's own would be 30 s.
    assert.ok(laterMs < 20_000, `${laterMs} ms`)
    // The way back may be known later.
    const ping = (): Promise<Outcome> => exec(home, 'six/s', 'ping', '-6', '-c', '1', '-W', '5', 'fd99::1')
    await until('an answer', ping, ({ status }) => status === 0, settledMs)
    await remove(home, 'six')
  })
