import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Report } from '#slice/forwarder/contract.ts'
import { Machines } from './machines.ts'
import { macOf, Network } from './network.ts'

type PortReport = Extract<Report, { kind: 'port' }>

const setUp = (number: number): string =>
  `cat /sys/class/net/eth0/address
ip link set eth0 up
ip addr add 192.168.7.${number}/24 dev eth0
`

test(
  'two User-Mode Linux machines reach each other through the forwarder',
  { timeout: 120_000 },
  async () => {
    await using network = new Network()
    await using machines = new Machines()
    const [first, second] = [1, 2].map((number) => network.port(machines.folder, number)) as [string, string]
    const left = machines.boot({ script: `${setUp(1)}echo is up\nsleep 1000\n`, devices: [first] })
    await left.line(/is up/)
    const right = machines.boot({
      script: `${setUp(2)}ping -c 20 -i 0.05 -W 5 192.168.7.1
ping -c 3 -s 1472 -W 5 192.168.7.1 | sed s/^/large:/
poweroff -f\n`,
      devices: [second]
    })
    await right.line(/20 packets transmitted, (19|20) packets received/)
    await right.line(/large:3 packets transmitted, 3 packets received/)
    assert.match(left.console, new RegExp(macOf(1)))
    assert.match(right.console, new RegExp(macOf(2)))
    await right.ended
    const gone = await network.report((report): report is PortReport => {
      return report.kind === 'port' && report.port === 2 && !report.up
    })
    assert.match(gone.reason, /closed the device/)
    assert.ok(network.reports.some((report) => report.kind === 'port' && report.port === 1 && report.up))
    assert.ok(!network.reports.some((report) => report.kind === 'port' && report.port === 1 && !report.up))
  }
)
