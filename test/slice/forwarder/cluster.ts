/**
 * Overlay hosts as processes, which can be killed, cut off and started anew, and what their machines notice.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { hostKeyOf, lanKeyOf } from '#core/derive.ts'
import { switchCandidates, trunkPeers } from '#core/reconcile.ts'
import type { HostId, HostKey, LanKey, ViolinId } from '#core/ids.ts'
import type { TrunkHalf } from '#slice/contract.ts'
import type { LanReport } from '#slice/forwarder/contract.ts'
import type { FlowEnd } from './flow.ts'
import type { Answer, Order } from './host-process.ts'
import { inNamespace, type Site, Underlay } from './underlay.ts'

const hash = {
  sha256: (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()
}
const lan: LanKey = lanKeyOf(hash, 'lan1')
const violin = 'cd'.repeat(32) as ViolinId
const program = fileURLToPath(new URL('./host-process.ts', import.meta.url))

export interface ClusterHost {
  readonly id: HostId
  readonly key: HostKey
  readonly site: Site
  process: ChildProcess | null
  /** What it last said of the vLAN. */
  report: LanReport | null
  /** Peers whose trunk has a path. */
  readonly trunks: Set<HostKey>
  /** Ports that are open, by number. */
  readonly ports: Set<number>
}

export interface ClusterOptions {
  /** Whether each MAC is listed for its host, as a VIOLIN's record does; else every host may have any. */
  readonly listed: boolean
}

export class Cluster implements AsyncDisposable {
  readonly hosts: ClusterHost[] = []
  readonly #underlay: Underlay
  readonly #looking = new Set<() => void>()
  readonly #offers = new Map<string, (half: TrunkHalf) => void>()

  readonly #options: ClusterOptions

  private constructor(prefix: string, options: ClusterOptions) {
    this.#underlay = new Underlay(prefix)
    this.#options = options
  }

  /** Starts `count` hosts with trunks between all; resolves when they have one active. */
  static async start(
    prefix: string,
    count: number,
    options: ClusterOptions = { listed: true }
  ): Promise<Cluster> {
    const cluster = new Cluster(prefix, options)
    try {
      for (let number = 1; number <= count; number++) {
        const id = `12D3KooWCluster${number}` as HostId
        const site = cluster.#underlay.site(number)
        cluster.hosts.push({
          id,
          key: hostKeyOf(hash, id),
          site,
          process: null,
          report: null,
          trunks: new Set(),
          ports: new Set()
        })
      }
      await Promise.all(cluster.hosts.map((host) => cluster.#begin(host)))
      for (const [place, host] of cluster.hosts.entries()) {
        for (const other of cluster.hosts.slice(place + 1)) await cluster.#connect(host, other)
      }
      await cluster.until('one active', () => cluster.whole, 60_000)
      return cluster
    } catch (error: unknown) {
      await cluster[Symbol.asyncDispose]()
      throw error
    }
  }

  get living(): ClusterHost[] {
    return this.hosts.filter((host) => host.process !== null)
  }

  /** The host that switches now in the highest term, whoever agrees; null: none. */
  get leader(): ClusterHost | null {
    const actives = this.living.filter((host) => host.report?.role === 'active')
    return actives.toSorted((a, b) => (b.report?.term ?? 0) - (a.report?.term ?? 0))[0] ?? null
  }

  /** The active, if all living hosts agree on one that has a standby; null otherwise. */
  get active(): ClusterHost | null {
    const active = this.living.find((host) => host.report?.role === 'active') ?? null
    const agreed = this.living.every(
      (host) =>
        host.report?.active === active?.key &&
        host.report?.term === active?.report?.term &&
        (this.living.length === 1 || host.report?.standby !== null)
    )
    return agreed ? active : null
  }

  /** One active, the same for all, and every trunk has a path. */
  get whole(): boolean {
    const { living } = this
    return (
      this.active !== null &&
      living.every((host) =>
        living.every((other) => !this.#haveTrunk(host, other) || host.trunks.has(other.key))
      )
    )
  }

  /** Starts the process of a host and agrees sessions with all that live. */
  async revive(host: ClusterHost): Promise<void> {
    const others = this.living
    await this.#begin(host)
    for (const other of others) await this.#connect(host, other)
  }

  async #begin(host: ClusterHost): Promise<void> {
    const child = fork(program, [host.id, violin, JSON.stringify(host.site)], { stdio: 'inherit' })
    const ready = Promise.withResolvers<void>()
    child.on('message', (answer: Answer) => {
      if (answer.kind === 'offered') this.#offers.get(`${host.id} ${answer.peer}`)?.(answer.half)
      else if (answer.report.kind === 'lan') host.report = answer.report.report
      else if (answer.report.kind === 'ready') ready.resolve()
      else if (answer.report.kind === 'port' && answer.report.up) host.ports.add(answer.report.port)
      else if (answer.report.kind === 'superseded') host.ports.delete(answer.report.port)
      else if (answer.report.kind === 'trunk') {
        if (answer.report.up) host.trunks.add(answer.report.peer)
        else host.trunks.delete(answer.report.peer)
      }
      for (const look of this.#looking) look()
    })
    child.once('exit', () => ready.reject(new Error(`host ${host.site.number} ended`)))
    host.process = child
    await ready.promise
    inNamespace(host.site.machine, 'ip', 'addr', 'replace', `${host.site.ip}/24`, 'dev', 'eth0')
    const keys = this.hosts.map((other) => other.key)
    const candidates = switchCandidates(keys, keys)
    const owners = this.#options.listed
      ? {
          owners: this.hosts.map(({ site, key }) => [site.mac, { hosts: [key], maxClaim: Infinity }] as const)
        }
      : {}
    send(host, { kind: 'command', command: { kind: 'lan', lan, candidates, members: keys, ...owners } })
    send(host, { kind: 'port', lan })
  }

  /** Kills the process of a host; its kernel stays. */
  async kill(host: ClusterHost): Promise<void> {
    const { process: child } = host
    if (child === null) return
    host.process = null
    host.report = null
    host.trunks.clear()
    host.ports.clear()
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  /** Stops the process of a host, or lets it go on. */
  freeze(host: ClusterHost, frozen: boolean): void {
    host.process?.kill(frozen ? 'SIGSTOP' : 'SIGCONT')
  }

  cut(host: ClusterHost): void {
    this.#underlay.link(host.site, 'down')
  }

  mend(host: ClusterHost): void {
    this.#underlay.link(host.site, 'up')
  }

  /** Parts hosts from all others, or joins them again. */
  part(hosts: readonly ClusterHost[], apart: boolean): void {
    for (const host of hosts) this.#underlay.side(host.site, apart ? 1 : 0)
  }

  /** What `from` sends to `to` gets lost, or does so no more; the other way is as it was. */
  block(from: ClusterHost, to: ClusterHost, blocked: boolean): void {
    this.#underlay.way(from.site, to.site, !blocked)
  }

  /**
   * Makes a host say that another's port is here, under the highest claim, and gives its machine that one's MAC and
   * address on `eth1`, with a way to the machine of `towards`. Resolves when the port is open there.
   */
  async lie(liar: ClusterHost, of: ClusterHost, towards: ClusterHost): Promise<void> {
    send(liar, { kind: 'lie', lan, mac: of.site.mac })
    await this.until('the second port', () => liar.ports.has(2))
    const ip = (...args: string[]): string => inNamespace(liar.site.machine, 'ip', ...args)
    ip('addr', 'add', `${of.site.ip}/32`, 'dev', 'eth1')
    ip('route', 'add', `${towards.site.ip}/32`, 'dev', 'eth1', 'src', of.site.ip)
    ip('neigh', 'replace', towards.site.ip, 'lladdr', towards.site.mac, 'dev', 'eth1')
  }

  handoff(to: ClusterHost): void {
    for (const host of this.living) {
      send(host, { kind: 'command', command: { kind: 'handoff', lan, to: to.key } })
    }
  }

  async until(what: string, done: () => boolean, timeoutMs = 10_000): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const look = (): void => {
      if (done()) resolve()
    }
    const timer = setTimeout(() => {
      reject(
        new Error(
          `${what} did not come in ${timeoutMs} ms: ${JSON.stringify(this.hosts.map((host) => host.report))}`
        )
      )
    }, timeoutMs)
    this.#looking.add(look)
    look()
    try {
      await promise
    } finally {
      clearTimeout(timer)
      this.#looking.delete(look)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.hosts.map((host) => this.kill(host)))
    this.#underlay[Symbol.dispose]()
  }

  #haveTrunk(left: ClusterHost, right: ClusterHost): boolean {
    const ids = this.hosts.map((host) => host.id)
    return trunkPeers(left.id, ids, ids).includes(right.id)
  }

  async #connect(left: ClusterHost, right: ClusterHost): Promise<void> {
    if (!this.#haveTrunk(left, right)) return
    const [leftHalf, rightHalf] = await Promise.all([this.#offer(left, right), this.#offer(right, left)])
    send(left, { kind: 'join', peer: right.id, half: rightHalf })
    send(right, { kind: 'join', peer: left.id, half: leftHalf })
  }

  #offer(host: ClusterHost, peer: ClusterHost): Promise<TrunkHalf> {
    return new Promise((resolve) => {
      this.#offers.set(`${host.id} ${peer.id}`, resolve)
      send(host, { kind: 'offer', peer: peer.id })
    })
  }
}

/** Where a flow of frames meets the machine of a host. */
export function machineOf(host: ClusterHost): FlowEnd {
  return { namespace: `/run/netns/${host.site.machine}`, ip: host.site.ip }
}

function send(host: ClusterHost, order: Order): void {
  host.process?.send(order)
}
