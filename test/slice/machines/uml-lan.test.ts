import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HostKey, LanKey } from '#core/ids.ts'
import { startForwarder } from '#slice/forwarder/forwarder.ts'
import { makeWorld, run } from './uml-world.ts'

test(
  'a router between two vLANs is seen by traceroute, and a megabyte crosses it',
  { timeout: 120_000 },
  async () => {
    using world = await makeWorld()
    const self = '0123456789abcdef' as HostKey
    const failures: Error[] = []
    await using forwarder = startForwarder({
      self,
      udpFd: -1,
      onReport: () => undefined,
      onFailed: (error) => failures.push(error)
    })
    for (const lan of [1, 2] as LanKey[])
      forwarder.post({ kind: 'lan', lan, candidates: [self], members: [self] })
    let ports = 0
    const start: (entity: Parameters<typeof world.start>[0]) => ReturnType<typeof world.start> = (entity) =>
      world.start(entity, (nic, mac, source) => {
        const lan = Number(entity.nics?.find(({ name }) => name === nic)?.lan) as LanKey
        forwarder.post({ kind: 'port', port: ++ports, lan, mac, source, link: null })
      })
    // Names that do not follow the devices' order.
    const left = { name: 'lan1', lan: '1', ips: ['10.0.1.1/24'] }
    const right = { name: 'lan2', lan: '2', ips: ['10.0.2.1/24'] }
    await using router = await start({ name: 'router', kind: 'router', nics: [right, left] })
    await using one = await start({
      name: 'one',
      nics: [{ name: 'eth7', lan: '1', ips: ['10.0.1.7/24'] }],
      routes: [{ to: 'default', via: '10.0.1.1' }]
    })
    await using two = await start({
      name: 'two',
      nics: [{ name: 'eth8', lan: '2', ips: ['10.0.2.8/24'] }],
      routes: [{ to: 'default', via: '10.0.2.1' }],
      run: 'start-stop-daemon -S -b -x /bin/nc -- -ll -p 7 -e cat'
    })
    await Promise.all([router, one, two].map((guest) => guest.until('running')))
    const ping = await run(one.machine, ['ping', '-c', '3', '-i', '0.2', '10.0.2.8'])
    assert.match(ping.stdout.toString(), /3 packets received, 0% packet loss/)
    const route = await run(one.machine, ['traceroute', '-n', '10.0.2.8'])
    assert.match(route.stdout.toString(), /^ 1 {2}10\.0\.1\.1 [^]*^ 2 {2}10\.0\.2\.8 /m)
    const script =
      'head -c 1048576 /dev/urandom >a; (cat a; sleep 1) | nc 10.0.2.8 7 | head -c 1048576 | cmp - a && echo same'
    const echo = await run(one.machine, ['sh', '-c', script])
    assert.equal(echo.stdout.toString(), 'same\n')
    assert.deepEqual(failures, [])
  }
)
