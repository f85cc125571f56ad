/**
 * The simulator's gossip beside the real one: a hundred libp2p nodes in this process, with the options of
 * src/mesh/gossip.ts, joined as the virtual hosts are, each buffer delayed as the virtual network delays it.
 * Records are published one after another; when each node has each is compared.
 *
 * Run: `bin/run test/bench/gossip.ts`, or as a part of `npm run sim:report`.
 */
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { memory } from '@libp2p/memory'
import { noise } from '@libp2p/noise'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { Gossip, gossipService } from '#mesh/gossip.ts'
import { lineOf, machine, quantile, table, type Row } from '../../sim/program/rows.ts'
import { cdf, type Result } from '../../sim/program/sections/section.ts'
import { runScenario } from '../../sim/run.ts'
import { scenario, type Scenario } from '../../sim/scenario.ts'
import { World } from '../../sim/world.ts'
import { asked, flag, json } from './usage.ts'
import type { GossipSub } from '@chainsafe/libp2p-gossipsub'
import type { MultiaddrConnection, Transport, Upgrader } from '@libp2p/interface'
import type { Libp2p } from 'libp2p'

const hosts = 100
/** One way. Much above what a message costs this processor, which a hundred nodes share. */
const delayMs = 250
const topic = 'mesh'
/** Bytes of a host's record. */
const recordBytes = 900
const seed = 1
/** A record that has not come to all by then is counted as it is. */
const patienceMs = 5_000
/** A mesh is there after some heartbeats, once all streams are; a node with few connections may stay short of it. */
const meshMs = 60_000
const leastNeighbours = 3
const goalShare = 0.25

/** Of each record the times at which hosts had it. */
type Deliveries = readonly (readonly number[])[]

type Node = Libp2p<{ readonly gossip: GossipSub }>

/** Connections are made without delay: what is compared comes after. */
const way = { isSlow: false }

/** Lets each buffer arrive so much later, those of one connection side by side: libp2p's own delay is one by one. */
function delayed(transport: ReturnType<typeof memory>): ReturnType<typeof memory> {
  const slow = (connection: MultiaddrConnection): MultiaddrConnection => {
    const target = connection as MultiaddrConnection & { onData(data: unknown): void }
    const onData = target.onData.bind(target)
    target.onData = (data) => void (way.isSlow ? setTimeout(() => onData(data), delayMs) : onData(data))
    return connection
  }
  const slowed = (upgrader: Upgrader): Upgrader =>
    new Proxy(upgrader, {
      get(of, name) {
        const value: unknown = Reflect.get(of, name)
        if (typeof value !== 'function') return value
        const isUpgrade = name === 'upgradeInbound' || name === 'upgradeOutbound'
        return (first: MultiaddrConnection, ...rest: unknown[]): unknown =>
          Reflect.apply(value, of, [isUpgrade ? slow(first) : first, ...rest])
      }
    })
  return (components) => {
    const made: Transport = transport(components)
    const dial = made.dial.bind(made)
    const createListener = made.createListener.bind(made)
    made.dial = (address, options) => dial(address, { ...options, upgrader: slowed(options.upgrader) })
    made.createListener = (options) => createListener({ ...options, upgrader: slowed(options.upgrader) })
    return made
  }
}

async function nodeAt(place: number): Promise<Node> {
  return createLibp2p({
    privateKey: await generateKeyPair('Ed25519'),
    addresses: { listen: [`/memory/gossip-${place}`] },
    transports: [delayed(memory())],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    connectionMonitor: { enabled: false },
    connectionManager: {
      inboundConnectionThreshold: Infinity,
      maxIncomingPendingConnections: hosts,
      // A hundred nodes shake hands on one processor.
      dialTimeout: meshMs,
      inboundUpgradeTimeout: meshMs
    },
    services: {
      identify: identify(),
      gossip: gossipService({ registrar: (all) => all, connectionManager: (all) => all })
    }
  })
}

/** The virtual mesh: from a host to the next it takes what it took between real ones. */
function virtualMesh(records: number, measuredMs: readonly number[]): Scenario {
  return scenario('gossip', 'the model of gossip beside the real one', hosts, {
    network: { delayMs: [[0]], jitterMs: 0, measuredMs, loss: 0 },
    lans: [],
    traffic: null,
    steps: Array.from({ length: records }, (_, i) => ({
      atMs: i * 1_000,
      fault: { kind: 'publish', host: (i * 7) % hosts } as const
    })),
    restMs: 5_000
  })
}

/** Of each record: when each host but the publisher had it, ms after it was published. */
function virtualDeliveries(plan: Scenario): Deliveries {
  const heard = new Map<string, number[]>()
  const published = new Map<string, number>()
  runScenario(plan, {
    seed,
    prepare: (world) =>
      world.watch((seen) => {
        if (seen.kind !== 'record' || world.clock.now === 0) return
        const { hash } = seen.record
        const at = published.get(hash)
        if (at === undefined) published.set(hash, world.clock.now)
        else heard.set(hash, [...(heard.get(hash) ?? []), world.clock.now - at])
      })
  })
  return [...heard.values()]
}

/** Real nodes, connected as `edges` say. */
class RealMesh implements AsyncDisposable {
  readonly #nodes: readonly Node[]
  readonly #gossips: readonly Gossip[]
  /** When the record under way came to each node but its publisher. */
  #times = new Map<string, number>()
  /** Time from each node that had it to the next, of all records. */
  readonly hops: number[] = []
  #publishedAt = 0
  #complete: () => void = () => {}

  private constructor(nodes: readonly Node[]) {
    this.#nodes = nodes
    this.#gossips = nodes.map((node) => {
      const gossip = new Gossip(node.services.gossip, () => {})
      gossip.subscribe(topic, (_bytes, from) => {
        const ms = performance.now() - this.#publishedAt
        this.hops.push(ms - (this.#times.get(from) ?? 0))
        this.#times.set(node.peerId.toString(), ms)
        if (this.#times.size === nodes.length - 1) this.#complete()
        return 'accept'
      })
      return gossip
    })
  }

  static async start(count: number, edges: readonly (readonly [number, number])[]): Promise<RealMesh> {
    const nodes = await Promise.all(Array.from({ length: count }, (_, place) => nodeAt(place)))
    const mesh = new RealMesh(nodes)
    for (const [from, to] of edges) await (nodes[from] as Node).dial(multiaddr(`/memory/gossip-${to}`))
    await meshed(nodes)
    way.isSlow = true
    return mesh
  }

  /** Publishes and waits until all have it; gives after how long each had it. */
  async publish(place: number, bytes: Uint8Array): Promise<readonly number[]> {
    this.#times = new Map()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#complete = resolve
    const patience = setTimeout(resolve, patienceMs)
    this.#publishedAt = performance.now()
    await (this.#gossips[place] as Gossip).publish(topic, bytes)
    await promise
    clearTimeout(patience)
    return [...this.#times.values()]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#nodes.map(async (node) => node.stop()))
  }
}

/** Resolves at a heartbeat at which every node has neighbours in its mesh. */
async function meshed(nodes: readonly Node[]): Promise<void> {
  const gossips = nodes.map(
    (node) => node.services.gossip as GossipSub & { getMeshPeers(topic: string): string[] }
  )
  const { promise, resolve } = Promise.withResolvers<void>()
  const look = (): void => {
    if (gossips.every((gossip) => gossip.getMeshPeers(topic).length >= leastNeighbours)) resolve()
  }
  const patience = setTimeout(resolve, meshMs)
  for (const gossip of gossips) gossip.addEventListener('gossipsub:heartbeat', look)
  await promise
  clearTimeout(patience)
  for (const gossip of gossips) gossip.removeEventListener('gossipsub:heartbeat', look)
}

async function realDeliveries(records: number): Promise<{ deliveries: Deliveries; hops: readonly number[] }> {
  const world = new World(virtualMesh(0, [delayMs]), { seed })
  world.begin()
  const edges = world.hosts.flatMap(({ place, records }) =>
    [...records.connections.neighbours]
      .filter((other) => other < place)
      .map((other) => [place, other] as const)
  )
  await using mesh = await RealMesh.start(hosts, edges)
  const deliveries: (readonly number[])[] = []
  for (let i = 0; i < records; i++) deliveries.push(await mesh.publish((i * 7) % hosts, record(i)))
  return { deliveries, hops: mesh.hops }
}

function record(number: number): Uint8Array {
  const bytes = new Uint8Array(recordBytes)
  new DataView(bytes.buffer).setUint32(0, number)
  return bytes
}

async function compare(records: number): Promise<Result> {
  const { deliveries: real, hops } = await realDeliveries(records)
  const virtual = virtualDeliveries(virtualMesh(records, hops))
  const about = { runs: records, seed, command: 'bin/run test/bench/gossip.ts' }
  const rows: Row[] = [
    {
      name: 'one step from a real node to the next',
      unit: 'ms',
      values: hops,
      note: 'what the model draws its delays from',
      ...about
    }
  ]
  for (const { share, who } of [
    { share: 0.5, who: 'half of them have' },
    { share: 0.99, who: '99 % of them have' }
  ]) {
    // Of each record alone: a moment at which this machine did nothing spoils one, not all.
    const [theirs, ours] = [real, virtual].map((all) => all.map((one) => at(one, share))) as [
      number[],
      number[]
    ]
    const off = at(ours, 0.5) / at(theirs, 0.5) - 1
    const [realName, virtualName] = [
      `${hosts} real nodes: ${who} a record after`,
      `${hosts} virtual hosts: ${who} a record after`
    ]
    rows.push(
      { name: realName, unit: 'ms', values: theirs, ...about },
      { name: virtualName, unit: 'ms', values: ours, ratioTo: { [realName]: 1 + off }, ...about },
      {
        name: `the model is off by, where ${who} a record`,
        unit: '%',
        values: [100 * Math.abs(off)],
        goal: { atMost: 100 * goalShare },
        note: `medians; the model is ${off < 0 ? 'faster' : 'slower'}`,
        ...about
      }
    )
  }
  const lost = real.reduce((sum, one) => sum + hosts - 1 - one.length, 0)
  rows.push({
    name: 'real nodes: records that did not arrive',
    unit: '',
    values: [lost],
    goal: { atMost: 0 },
    ...about
  })
  return {
    rows,
    plots: [
      {
        kind: 'cdf',
        title: `A record reaches a host after …, ${delayMs} ms between any two`,
        x: { label: 'time since it was published, ms' },
        y: { label: 'share of hosts' },
        series: [cdf('real libp2p nodes', real.flat()), cdf('virtual hosts', virtual.flat())]
      }
    ]
  }
}

function at(values: readonly number[], share: number): number {
  return quantile(
    values.toSorted((a, b) => a - b),
    share
  )
}

const values = asked({
  command: 'bin/run test/bench/gossip.ts',
  measures: "The simulator's gossip beside a hundred libp2p nodes in this process.",
  options: { json, long: flag('200 records in place of 30') }
})
const result = await compare(values.long ? 200 : 30)
const lines = result.rows.map(lineOf)
if (process.send !== undefined) process.send(result, () => process.disconnect())
else if (values.json) process.stdout.write(`${JSON.stringify({ rows: lines, machine: machine() })}\n`)
else process.stdout.write(table(lines))
