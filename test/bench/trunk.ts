/**
 * The whole path, measured: TCP and ping from a machine's TAP through its host's forwarder, a sealed trunk
 * over veth, and the other host's forwarder, beside Debian's nebula between the same hosts in the same run.
 *
 *     npm run bench:trunk -- --help
 *
 * Needs root, iperf3 and nebula.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { inNamespace } from '../slice/forwarder/underlay.ts'
import { World } from '../slice/forwarder/world.ts'
import { Nebula } from './nebula.ts'
import { compared, printReport, row } from './report.ts'
import { asked, json, needs, whole } from './usage.ts'

const {
  json: asJson,
  runs,
  seconds
} = asked({
  command: 'npm run bench:trunk --',
  measures:
    "A trunk between two namespaces, TAP to TAP, beside Debian's nebula. Needs root, iperf3 and nebula.",
  options: { json, runs: whole('runs of each', 3), seconds: whole('of each stream', 3) },
  check: () => needs('iperf3', 'nebula')
})

interface Measured {
  readonly mbps: number[]
  readonly pingMs: number[]
}

/** One TCP stream, Mb/s received. */
async function tcp(from: string, to: string, ip: string): Promise<number> {
  const server = spawn('ip', ['netns', 'exec', to, 'iperf3', '-s', '-1', '--forceflush'], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const ended = once(server, 'close')
  await once(server.stdout, 'data')
  server.stdout.resume()
  try {
    const { stdout } = await inNamespaceLater(from, 'iperf3', '-J', '-t', String(seconds), '-c', ip)
    return JSON.parse(stdout).end.sum_received.bits_per_second / 1e6
  } finally {
    server.kill()
    await ended
  }
}

/** Average round trip of 100 pings, ms. */
async function ping(from: string, ip: string): Promise<number> {
  const { stdout } = await inNamespaceLater(from, 'ping', '-q', '-c', '100', '-i', '0.02', ip)
  const average = /= [\d.]+\/([\d.]+)\//.exec(stdout)?.[1]
  if (average === undefined) throw new Error(`no answer from ${ip}`)
  return Number(average)
}

function inNamespaceLater(namespace: string, ...command: string[]): Promise<{ stdout: string }> {
  return promisify(execFile)('ip', ['netns', 'exec', namespace, ...command], { maxBuffer: 16e6 })
}

async function measure(into: Measured, from: string, to: string, ip: string): Promise<void> {
  into.mbps.push(await tcp(from, to, ip))
  into.pingMs.push(await ping(from, ip))
}

/** IP fragments made or put together in a namespace. */
function fragments(namespace: string): number {
  const [names = '', numbers = ''] = inNamespace(namespace, 'grep', '^Ip:', '/proc/net/snmp').split('\n')
  const column = names.split(' ')
  const number = numbers.split(' ')
  return Number(number[column.indexOf('FragCreates')]) + Number(number[column.indexOf('ReasmReqds')])
}

await using world = new World('vb-')
await using nebula = new Nebula()
const left = world.add()
const right = world.add()
world.connect(left, right)
world.configure()
await world.until('the switch', () =>
  [left, right].every((host) =>
    host.reports.some((report) => report.kind === 'lan' && report.report.active !== null)
  )
)
await ping(left.machine, right.ip)
const fragmentsBefore = fragments(left.host) + fragments(right.host)
const own: Measured = { mbps: [], pingMs: [] }
const peer: Measured = { mbps: [], pingMs: [] }
for (let i = 0; i < runs; i++) await measure(own, left.machine, right.machine, right.ip)
const fragmented = fragments(left.host) + fragments(right.host) - fragmentsBefore
await nebula.start([left, right])
await ping(left.host, nebula.ip(right))
for (let i = 0; i < runs; i++) await measure(peer, left.host, right.host, nebula.ip(right))

const nebulaTcp = row('nebula, TCP', 'Mb/s', peer.mbps)
const nebulaPing = row('nebula, ping', 'ms', peer.pingMs)
printReport(
  [
    compared(row('trunk, TCP', 'Mb/s', own.mbps, { atLeast: 500 }), [nebulaTcp]),
    compared(row('trunk, ping', 'ms', own.pingMs, { atMost: 0.5 }), [nebulaPing]),
    row('trunk, IP fragments', 'packets', [fragmented], { atMost: 0 }),
    nebulaTcp,
    nebulaPing
  ],
  asJson
)
