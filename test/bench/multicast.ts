/**
 * Multicast by the network and by the application: the same messages from one source to all receivers, by IP multicast
 * in a VIOLIN (PIM between routers, a vLAN of receivers on each overlay host) and by gossipsub between processes on the
 * same hosts, in turns.
 *
 *     npm run bench:multicast -- --help
 *
 * Each round measures the hosts at rest, too: what a VIOLIN takes with nothing to carry is a part of its cost, and no part
 * of the other's. `--nice=-10` keeps others on this machine from being measured too. Needs root, the image's packages
 * (`bin/setup tests`) and the bundle (`npm run build`).
 */
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { loadavg, setPriority } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { LabHost } from '#lab/host.ts'
import { Lab } from '#lab/lab.ts'
import { sites } from '#lab/plan.ts'
import { svgFileOf } from '#plot/file.ts'
import { giveRouterImage } from '../images/router-image.ts'
import { lineOf, machine, table } from '../../sim/program/rows.ts'
import { groupOf } from '../../examples/pubsub/topics.ts'
import { costOf } from './multicast/cost.ts'
import { Peer, Program } from './multicast/peers.ts'
import { type Figures, plotsOf, type Rest, rowsOf, type System, systems } from './multicast/report.ts'
import { asked, json, nice, path, whole, wholes } from './usage.ts'

const values = asked({
  command: 'npm run bench:multicast --',
  measures: 'Messages to many by IP multicast in a VIOLIN, and by gossipsub between processes. Needs root.',
  options: {
    json,
    receivers: wholes('how many, one measurement each', [4, 16, 64]),
    rounds: whole('times that both are measured', 3),
    seconds: whole('of messages in each', 10),
    slower: whole('so many times fewer messages a second', 1),
    plots: path('where plots are written', 'FOLDER'),
    nice
  },
  check: ({ plots }) => void (plots === null ? null : mkdirSync(plots, { recursive: true }))
})
// What is started from here has the same.
if (values.nice !== 0) setPriority(values.nice)
const { rounds, seconds, receivers: sizes } = values

/** What is sent: video in packets that fill a frame, and short messages. */
const loads = [
  { topic: 'video', bytes: 1_200, rate: 10 / values.slower },
  { topic: 'messages', bytes: 200, rate: 5 / values.slower }
] as const
type Load = (typeof loads)[number]
const topics = loads.map(({ topic }) => topic)

/** Sent before anything is counted, so that ways are found. */
const warmUpS = 2
/** What has not come so long after the last was sent is lost. */
const graceMs = 2_000
/** Others that a process dials, as a daemon watches eight. */
const dials = 8
const gossipPort = 4_900
const startsAtOnce = 4
const joinedMs = 60_000
/** Four places of the lab's, with their delays. */
const places = sites.slice(0, 4)

/** A vLAN of receivers on each host, and one between their routers. */
function topology(receivers: number): string {
  const hosts = Array.from(
    { length: receivers },
    (_, i) => `  ${receiver(i)}: { lan: lan${i % places.length}, ip: ${addressOf(i)}, on: ${placeOf(i)} }`
  )
  return [
    'name: multicast',
    'driver: netns',
    'defaults: { routing: ospf, multicast: pim, restart: never }',
    'lans:',
    '  core: { subnet: 10.20.255.0/24 }',
    ...places.map((_, i) => `  lan${i}: { subnet: 10.20.${i}.0/24 }`),
    'hosts:',
    `  source: { lan: lan0, ip: ${sourceAddress}, on: ${placeOf(0)} }`,
    ...hosts,
    'routers:',
    ...places.map(
      ({ name }, i) =>
        `  router${i}: { nics: [{ lan: lan${i}, ip: 10.20.${i}.254 }, { lan: core }], on: ${name} }`
    ),
    ''
  ].join('\n')
}

const sourceAddress = '10.20.0.200'

function receiver(place: number): string {
  return `receiver${place}`
}

function placeOf(place: number): string {
  return (places[place % places.length] as (typeof places)[number]).name
}

function addressOf(place: number): string {
  return `10.20.${place % places.length}.${1 + Math.floor(place / places.length)}`
}

/** The application, its source first. */
class Application implements AsyncDisposable {
  readonly peers: readonly Peer[]

  constructor(peers: readonly Peer[]) {
    this.peers = peers
  }

  get source(): Peer {
    return this.peers[0] as Peer
  }

  get receivers(): readonly Peer[] {
    return this.peers.slice(1)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.peers.map((peer) => peer[Symbol.asyncDispose]()))
  }
}

/** In the networks of the entities; resolves when routers know that all groups are wanted. */
async function inViolin(lab: Lab, program: Program, receivers: number): Promise<Application> {
  const home = lab.hosts[0] as LabHost
  const namespaces = new Map(lab.hosts.map((host) => [host.name, namespacesOf(host)]))
  const start = (place: string, ip: string): Promise<Peer> => {
    const found = namespaces.get(place)?.find(({ routes }) => routes.includes(`|-- ${ip}\n`))
    if (found === undefined) throw new Error(`no entity with ${ip} on ${place}`)
    const enter = ['/usr/bin/nsenter', `--net=${found.path}`, '--']
    return Peer.start(lab.host(place), [...enter, ...program.argv('ip', topics.join())])
  }
  const peers = await all([
    () => start(placeOf(0), sourceAddress),
    ...Array.from({ length: receivers }, (_, i) => () => start(placeOf(i), addressOf(i)))
  ])
  const application = new Application(peers)
  try {
    for (const i of places.keys())
      await until(`router${i} has joined all groups`, async () => {
        const show = ['vtysh', '-c', 'show ip pim upstream']
        const text = await home.violin('exec', `multicast/router${i}`, '--', ...show)
        // J: OSPF leads to the rendezvous point.
        return topics.every((topic) =>
          text.split('\n').some((line) => line.includes(groupOf(topic)) && / J /.test(line))
        )
      })
    return application
  } catch (error: unknown) {
    await application[Symbol.asyncDispose]()
    throw error
  }
}

/** On the overlay hosts themselves; resolves when each has its neighbours. */
async function inOverlay(lab: Lab, program: Program, receivers: number): Promise<Application> {
  const start = (place: string, number: number): Promise<Peer> => {
    const host = lab.host(place)
    const listen = `/ip4/${host.address}/tcp/${gossipPort + number}`
    return Peer.start(host, program.argv('gossip', topics.join(), listen))
  }
  const peers = await all([
    () => start(placeOf(0), 0),
    ...Array.from({ length: receivers }, (_, i) => () => start(placeOf(i), i + 1))
  ])
  const application = new Application(peers)
  try {
    // Whom each dials is the same in every run; no two dial each other.
    for (const [place, peer] of peers.entries()) {
      const others = Array.from({ length: place }, (_, i) => i)
      const chosen = others.toSorted((a, b) => mixed(place, a) - mixed(place, b)).slice(0, dials)
      await peer.ask({ kind: 'dial', addresses: chosen.map((other) => (peers[other] as Peer).address) })
    }
    await Promise.all(peers.map((peer) => peer.ask({ kind: 'meet' })))
    return application
  } catch (error: unknown) {
    await application[Symbol.asyncDispose]()
    throw error
  }
}

/** Numbers in no order, the same each time (the finaliser of MurmurHash3). */
function mixed(a: number, b: number): number {
  let hash = (a * 0x10001 + b + 1) | 0
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** A few at a time; where one fails none stays. */
async function all(starts: readonly (() => Promise<Peer>)[]): Promise<Peer[]> {
  const peers: Peer[] = []
  try {
    for (let first = 0; first < starts.length; first += startsAtOnce) {
      const begun = await Promise.allSettled(
        starts.slice(first, first + startsAtOnce).map((start) => start())
      )
      peers.push(...begun.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])))
      const failed = begun.find((one) => one.status === 'rejected')
      if (failed !== undefined) throw failed.reason
    }
    return peers
  } catch (error: unknown) {
    await new Application(peers)[Symbol.asyncDispose]()
    throw error
  }
}

/** The network namespaces of a host's entities, and what addresses are in them. */
function namespacesOf(host: LabHost): { readonly path: string; readonly routes: string }[] {
  const seen = new Set([statSync(`/run/netns/${host.namespace}`).ino])
  return host.processes().flatMap(({ pid }) => {
    const path = `/proc/${pid}/ns/net`
    const ino = statSync(path, { throwIfNoEntry: false })?.ino
    if (ino === undefined || seen.has(ino)) return []
    seen.add(ino)
    return [{ path, routes: readFileSync(`/proc/${pid}/net/fib_trie`, 'utf8') }]
  })
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + joinedMs
  while (!(await holds())) if (performance.now() > end) throw new Error(`${what}: not within ${joinedMs} ms`)
}

async function measure(lab: Lab, program: Program, system: System, receivers: number): Promise<Figures[]> {
  await using application = await (system === 'multicast' ? inViolin : inOverlay)(lab, program, receivers)
  const figures: Figures[] = []
  for (const load of loads) figures.push(await measureLoad(lab, application, system, load))
  return figures
}

async function measureLoad(
  lab: Lab,
  application: Application,
  system: System,
  { topic, bytes, rate }: Load
): Promise<Figures> {
  const warmUp = { kind: 'send', topic, bytes, rate, count: Math.ceil(warmUpS * rate) } as const
  const { sent: first } = await application.source.ask(warmUp)
  await setTimeout(graceMs)
  const count = Math.ceil(seconds * rate)
  const spent = costOf(
    lab,
    application.peers.map(({ pid }) => pid)
  )
  await application.source.ask({ kind: 'send', topic, bytes, rate, count })
  await setTimeout(graceMs)
  const cost = spent()
  const answers = await Promise.all(
    application.receivers.map((peer) => peer.ask({ kind: 'tell', topic, first }))
  )
  const delivered = answers.reduce((sum, { came }) => sum + came, 0)
  return {
    system,
    topic,
    receivers: answers.length,
    delivered,
    lost: answers.length * count - delivered,
    twice: answers.reduce((sum, { twice }) => sum + twice, 0),
    delaysMs: answers.flatMap(({ delaysMs }) => delaysMs),
    cost
  }
}

/** The hosts and their VIOLIN for as long as a measurement takes, with nobody who sends or listens. */
async function rest(lab: Lab, receivers: number): Promise<Rest> {
  const spent = costOf(lab, [])
  await setTimeout(seconds * 1_000 + graceMs)
  return { receivers, cost: spent() }
}

const figures: Figures[] = []
const rests: Rest[] = []
{
  await using program = await Program.make()
  await using lab = await Lab.create(places)
  for (const host of lab.hosts) await giveRouterImage(host.folder)
  await lab.found()
  const home = lab.hosts[0] as LabHost
  for (const receivers of sizes) {
    const applied = await home.try(['apply', '-'], { input: topology(receivers), timeoutMs: 600_000 })
    if (applied.status !== 0) throw new Error(applied.stderr)
    await until('routers know one another', async () => {
      const text = await home.violin('exec', 'multicast/router0', '--', 'vtysh', '-c', 'show ip pim neighbor')
      return text.split('\n').filter((line) => /10\.20\.255\./.test(line)).length === places.length - 1
    })
    for (let round = 0; round < rounds; round++) {
      rests.push(await rest(lab, receivers))
      for (const system of round % 2 === 0 ? systems : systems.toReversed()) {
        figures.push(...(await measure(lab, program, system, receivers)))
        process.stderr.write(`${receivers} receivers, round ${round + 1} of ${rounds}: ${system} done\n`)
      }
    }
    await home.violin('delete', 'multicast', '--yes')
  }
}

const measured = { sizes, topics, figures, rests }
if (values.plots !== null) {
  for (const [name, plot] of Object.entries(plotsOf(measured)))
    writeFileSync(join(values.plots, `${name}.svg`), svgFileOf(plot))
}
const lines = rowsOf(measured).map(lineOf)
if (values.json)
  process.stdout.write(`${JSON.stringify({ rows: lines, machine: machine(), load: loadavg() })}\n`)
else process.stdout.write(table(lines))
