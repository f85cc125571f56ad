/** IPv6 multicast between routers, as programs that know nothing of VIOLIN use it. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { giveRouterImage } from '../images/router-image.ts'
import { apply, exec, inside, meshOf, refused, remove, succeeded, until } from './world.ts'

const lab = await meshOf('p1', 'p2', 'p3')
after(() => lab[Symbol.asyncDispose]())
const home = lab.host('p1')
for (const host of lab.hosts) await giveRouterImage(host.folder)

const group = 'ff05::5eed'
/** As nft prints it. */
const groupBits = `0x${'ff05'.padEnd(28, '0')}5eed`
const port = 5000
/** Another: the former is taken in both families. */
const port4 = 5004
const count = 50

/**
 * Three routers in a ring, each with a vLAN of its own; x, y and z, a virtual machine, listen there. On `deaf` nobody does, and `out` is behind a
 * router that forwards no multicast, where w listens nevertheless.
 */
const topology = `
name: ring
driver: netns
defaults: { image: router, routing: ospf }
lans:
  a: { ipv6: 'fd00:a::/64', gateway: r }
  b: { ipv6: 'fd00:b::/64', subnet: 10.0.2.0/24 }
  c: { ipv6: 'fd00:c::/64', subnet: 10.0.3.0/24 }
  deaf: { ipv6: 'fd00:d::/64' }
  out: { ipv6: 'fd00:e::/64' }
  ab: { ipv6: 'fd00:ab::/64', subnet: 10.0.4.0/24 }
  bc: { ipv6: 'fd00:bc::/64', subnet: 10.0.5.0/24 }
  ca: { ipv6: 'fd00:ca::/64' }
hosts:
  x: { lan: a, on: p1 }
  y: { lan: b, on: p2 }
  z: { lan: c, on: p3, driver: uml }
  d: { lan: deaf, on: p1 }
  w: { lan: out, on: p2 }
routers:
  r: { nics: [{ lan: a }, { lan: ab }, { lan: ca }], multicast: pim, on: p1 }
  s: { nics: [{ lan: b }, { lan: ab }, { lan: bc }], multicast: pim, on: p2 }
  t: { nics: [{ lan: c }, { lan: deaf }, { lan: bc }, { lan: ca }], multicast: pim, on: p3 }
  u: { nics: [{ lan: a }, { lan: out }], on: p2 }
`
/** The kernel of a virtual machine has no nftables to count with. */
const counting = ['x', 'y', 'd', 'w']
const listeners = ['x', 'y', 'z', 'w']

before(async () => {
  await apply(home, topology)
  for (const name of counting) await inside(home, `ring/${name}`, 'sh', '-c', counter)
  for (const name of listeners) await inside(home, `ring/${name}`, 'sh', '-c', listening)
})

/** Counts what the vNIC is given, whether anybody listens or not. */
const counter = `nft -f - <<'end'
table ip6 seen {
  chain seen { type filter hook prerouting priority raw; ip6 daddr ${group} udp dport ${port} counter; }
}
end`
const listening = `socat -u UDP6-RECV:${port},ipv6-join-group=[${group}]:eth0 OPEN:/tmp/heard,creat,append </dev/null >/dev/null 2>&1 &`

/** Resolves once those routers pass on by these vNICs and know of listeners on vLANs of theirs. */
async function ready(routers: Readonly<Record<string, number>>): Promise<void> {
  for (const [name, known] of Object.entries(routers)) {
    await until(
      `${name} forwards`,
      () => exec(home, `ring/${name}`, 'smcroutectl', '-i', 'multicast6', 'show'),
      ({ status }) => status === 0
    )
    await until(
      `${name} knows of listeners on ${known} vLANs`,
      () => inside(home, `ring/${name}`, 'nft', 'list', 'table', 'ip6', 'violin_multicast'),
      (text) => text.split(groupBits).length - 1 === known
    )
  }
}

/**
 * Sends numbers from `first` on, each in a line of its own, all but the first once that has opened the ways: no more than four
 * packets are kept until then. Each listener hears each number once.
 */
async function send(from: string, first: number, to: readonly string[]): Promise<void> {
  const hops = 'setsockopt=41:18:x10000000'
  const last = first + count - 1
  for (const [begin, end] of [
    [first, first],
    [first + 1, last]
  ] as const) {
    const lines = `seq ${begin} ${end} | while read n; do echo $n; usleep 10000; done`
    await inside(
      home,
      `ring/${from}`,
      'sh',
      '-c',
      `${lines} | socat -u - UDP6-SENDTO:[${group}]:${port},${hops}`
    )
    for (const name of to)
      await until(
        `${end} came to ${name}`,
        () => heard(name),
        (all) => all.includes(end)
      )
  }
  const numbers = Array.from({ length: count }, (_, at) => first + at)
  for (const name of to)
    assert.deepEqual(
      (await heard(name)).filter((one) => one >= first),
      numbers,
      name
    )
}

function heard(by: string): Promise<number[]> {
  return exec(home, `ring/${by}`, 'cat', '/tmp/heard').then(({ stdout }) =>
    stdout
      .split('\n')
      .filter((line) => line !== '')
      .map(Number)
  )
}

async function framesAt(name: string): Promise<number> {
  const text = await inside(home, `ring/${name}`, 'nft', 'list', 'table', 'ip6', 'seen')
  return Number(/counter packets (\d+)/.exec(text)?.[1])
}

test('what is sent comes to listeners on all vLANs of a ring of routers once, and nowhere else', async () => {
  const config = await home.violin('show', 'ring/t', '--config')
  assert.match(config, /mroute from eth3 group ff00::\/8 to eth0 eth1/)
  // r has a listener on its own vLAN, and nobody else passes on there; t has one on c, and none on deaf and bc.
  await ready({ r: 1, s: 1, t: 1 })
  await send('y', 1, ['x', 'z', 'y'])
  await send('x', 1001, ['x', 'y', 'z'])
  assert.ok((await framesAt('x')) > 0, 'what comes is counted')
  assert.equal(await framesAt('d'), 0, 'nobody listens there')
  assert.equal(await framesAt('w'), 0, 'its router forwards no multicast')
  // Somebody does from now on.
  await inside(home, 'ring/d', 'sh', '-c', listening)
  await ready({ t: 2 })
  await send('z', 2001, ['x', 'y', 'd'])
  // And nobody again.
  await inside(home, 'ring/d', 'killall', 'socat')
  await ready({ t: 1 })
  const before = await framesAt('d')
  await send('z', 2501, ['x', 'y'])
  assert.equal(await framesAt('d'), before)
})

test('they find another tree while a router is stopped, and back', async () => {
  succeeded(await home.try(['stop', 'ring/r']))
  await until(
    't hears from s',
    () => inside(home, 'ring/t', 'smcroutectl', '-i', 'multicast6', 'show'),
    (text) => /\(\*, ff00::\/8\) +eth2 /.test(text)
  )
  await ready({ s: 1, t: 1 })
  await send('y', 3001, ['z'])
  succeeded(await home.try(['start', 'ring/r']))
  await until(
    't hears from r',
    () => inside(home, 'ring/t', 'smcroutectl', '-i', 'multicast6', 'show'),
    (text) => !/\(\*, ff00::\/8\) +eth2 /.test(text)
  )
  await ready({ r: 1, s: 1, t: 1 })
  await send('y', 4001, ['x', 'z'])
})

test('IPv4 multicast goes by PIM beside it', async () => {
  const listen = `socat -u UDP4-RECV:${port4},ip-add-membership=239.1.1.1:eth0 OPEN:/tmp/heard4,creat,append`
  await inside(home, 'ring/z', 'sh', '-c', `${listen} </dev/null >/dev/null 2>&1 &`)
  // What is sent before there is a way is lost: that comes once routers have found one another.
  await until(
    'z hears y',
    async () => {
      const sender = `socat -u - UDP4-SENDTO:239.1.1.1:${port4},ip-multicast-ttl=16`
      await inside(home, 'ring/y', 'sh', '-c', `echo four | ${sender}`)
      return exec(home, 'ring/z', 'cat', '/tmp/heard4')
    },
    ({ stdout }) => stdout.includes('four')
  )
  assert.match(await inside(home, 'ring/s', 'ip', 'mroute', 'show'), /10\.0\.2\.\d+,\s*239\.1\.1\.1/)
})

test('what smcroute does not live through is begun anew', async () => {
  await inside(home, 'ring/s', 'killall', '-KILL', 'smcrouted')
  await ready({ s: 1 })
  await send('x', 5001, ['y', 'z'])
  await remove(home, 'ring')
})

test('virtual machines that are asked for it are named, or refused', async () => {
  const file = (lans: string): string =>
    `name: none\n${lans}\nrouters: { r: { nics: [{ lan: a }, { lan: b }], multicast: pim, driver: uml } }\n`
  const both =
    "lans: { a: { ipv6: 'fd00:a::/64', subnet: 10.0.1.0/24 }, b: { ipv6: 'fd00:b::/64', subnet: 10.0.2.0/24 } }"
  const said = await home.try(['apply', '-', '--no-wait'], { input: file(both) })
  assert.match(succeeded(said).stderr + said.stdout, /r: no IPv6 multicast, .*; say `driver: netns`/)
  await remove(home, 'none')
  const six = "lans: { a: { ipv6: 'fd00:a::/64' }, b: { ipv6: 'fd00:b::/64' } }"
  refused(await home.try(['apply', '-'], { input: file(six) }), /no IPv6 multicast, and r has no IPv4/)
})
