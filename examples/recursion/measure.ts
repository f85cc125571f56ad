/** What a network is like from inside: the way, the largest packet, delay and rate between two of its hosts. */
import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { type LabHost, outcomeOf } from '#lab/host.ts'

/** Bytes of the headers before an echo request's data: IPv4 and ICMP. */
const echoHeaders = 28
const pings = 20
const seconds = 5

/** A place that commands are run in: on an overlay host, or in a machine of some level. */
export interface Place {
  readonly name: string
  /** Starts a command in it. */
  spawn(argv: readonly string[]): ChildProcess
}

export interface Measured {
  readonly level: string
  /** Addresses that answered a traceroute. */
  readonly hops: readonly string[]
  /** Largest IPv4 packet that went through whole, bytes. */
  readonly mtu: number
  readonly pingMs: number
  /** TCP, one stream, as received. */
  readonly rateMbps: number
}

export function onHost(host: LabHost, prefix: readonly string[]): Place {
  return { name: host.name, spawn: (argv) => host.spawn([...prefix, ...argv]) }
}

/** What is used of iperf3's account. */
interface Told {
  readonly error?: string
  readonly end: { readonly sum_received?: { readonly bits_per_second: number } }
}

/** Runs a command to its end and gives what it printed. Throws with its complaint when it fails. */
export async function run(place: Place, argv: readonly string[], input = ''): Promise<string> {
  const { status, stdout, stderr } = await outcomeOf(place.spawn(argv), input)
  if (status !== 0)
    throw new Error(`${argv.join(' ')} in ${place.name}: status ${status}: ${(stderr || stdout).trim()}`)
  return stdout
}

/** Measures the way between two places of one network. `mtu` is that of their interfaces. */
export async function measure(
  level: string,
  from: Place,
  to: Place,
  address: string,
  mtu: number
): Promise<Measured> {
  const way = await run(from, ['traceroute', '-n', '-w', '5', address])
  const hops = way.split('\n').flatMap((line) => /^ *\d+ +([\d.]+)/.exec(line)?.[1] ?? [])
  await run(from, echo(address, mtu, 3))
  const larger = await outcomeOf(from.spawn(echo(address, mtu + 1, 1)), '')
  if (larger.status === 0) throw new Error(`${mtu + 1} bytes went through in one piece`)
  const replies = await run(from, ['ping', '-n', '-c', String(pings), '-i', '0.2', address])
  const pingMs = median([...replies.matchAll(/time=([\d.]+)/g)].map(([, time]) => Number(time)))
  return { level, hops, mtu, pingMs, rateMbps: await rate(from, to, address) }
}

function echo(address: string, bytes: number, count: number): string[] {
  return ['ping', '-M', 'do', '-c', String(count), '-W', '10', '-s', String(bytes - echoHeaders), address]
}

async function rate(from: Place, to: Place, address: string): Promise<number> {
  const server = to.spawn(['iperf3', '-s', '-1', '--forceflush'])
  const served = outcomeOf(server, '')
  const lines = createInterface({ input: server.stdout as Readable })
  const listening = new Promise<void>((resolve) => {
    lines.on('line', (line) => line.startsWith('Server listening') && resolve())
  })
  await Promise.race([
    listening,
    served.then(({ stderr }) => {
      throw new Error(`iperf3 -s in ${to.name}: ${stderr.trim()}`)
    })
  ])
  const told = JSON.parse(await run(from, ['iperf3', '-J', '-t', String(seconds), '-c', address])) as Told
  await served
  // It tells some errors with an exit status of 0.
  const received = told.end.sum_received?.bits_per_second
  if (received === undefined)
    throw new Error(`iperf3 from ${from.name}: ${told.error ?? JSON.stringify(told)}`)
  return received / 1e6
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted[Math.floor(sorted.length / 2)]
  if (middle === undefined) throw new Error('no ping was answered')
  return middle
}
