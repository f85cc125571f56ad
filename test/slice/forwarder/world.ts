/**
 * Overlay hosts in network namespaces, joined by a bridge of veth pairs; each has a forwarder in this
 * process and one machine: another namespace, at the other end of a TAP. Needs root.
 */
import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { createHash } from 'node:crypto'
import { hostKeyOf, lanKeyOf } from '#core/derive.ts'
import type { HostId, HostKey, LanKey, Mac, ViolinId } from '#core/ids.ts'
import type { Report } from '#slice/forwarder/contract.ts'
import { deriveTrunkSession, makeTrunkHalf } from '#slice/forwarder/derive.ts'
import { type Forwarder, startForwarder } from '#slice/forwarder/forwarder.ts'
import { close } from '#syscalls/libc.ts'
import { inNetworkNamespace } from '#syscalls/netns.ts'
import { configureLink, openTap } from '#syscalls/tap.ts'
import { openUdp } from '#syscalls/udp.ts'

const hash = {
  sha256: (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()
}
export const lan: LanKey = lanKeyOf(hash, 'lan1')
const violin = 'ab'.repeat(32) as ViolinId

export interface TestHost {
  readonly id: HostId
  readonly key: HostKey
  readonly number: number
  /** Namespace of the overlay host, and of the machine on its port. */
  readonly host: string
  readonly machine: string
  /** Address on the underlay, and the machine's on the vLAN. */
  readonly underlayIp: string
  readonly ip: string
  readonly mac: Mac
  readonly reports: Report[]
  readonly forwarder: Forwarder
  readonly port: number
}

/** Runs a program; gives its standard output. */
export function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

export function inNamespace(namespace: string, ...command: string[]): string {
  return run('ip', 'netns', 'exec', namespace, ...command)
}

export class World implements AsyncDisposable {
  readonly hosts: TestHost[] = []
  readonly prefix: string
  readonly #namespaces: string[] = []
  readonly #descriptors: number[] = []
  readonly #program: URL | undefined
  readonly #waiting = new Set<() => void>()
  /** However the process ends, its namespaces go with it. */
  readonly #atExit = (): void => this.#removeNamespaces()
  readonly #atSignal = (): void => process.exit(1)

  /** `prefix` starts the name of every namespace; `program`: another worker than the real one. */
  constructor(prefix: string, program?: URL) {
    this.prefix = `${prefix}${randomInt(36 ** 3).toString(36)}`
    this.#program = program
    process.once('exit', this.#atExit)
    process.once('SIGTERM', this.#atSignal)
    process.once('SIGINT', this.#atSignal)
    this.#namespace(`${this.prefix}-net`)
    this.#inNet('ip', 'link', 'add', 'br0', 'type', 'bridge')
    this.#inNet('ip', 'link', 'set', 'br0', 'up')
  }

  /** Adds a host with its machine and forwarder. */
  add(): TestHost {
    const number = this.hosts.length + 1
    const host = `${this.prefix}-h${number}`
    const machine = `${this.prefix}-m${number}`
    const underlayIp = `10.99.0.${number}`
    const mac = `02:00:00:00:00:${number.toString(16).padStart(2, '0')}` as Mac
    this.#namespace(host)
    this.#namespace(machine)
    this.#inNet('ip', 'link', 'add', `v${number}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', host)
    this.#inNet('ip', 'link', 'set', `v${number}`, 'master', 'br0', 'up')
    inNamespace(host, 'ip', 'addr', 'add', `${underlayIp}/24`, 'dev', 'eth0')
    inNamespace(host, 'ip', 'link', 'set', 'eth0', 'up')
    const tap = inNetworkNamespace(`/run/netns/${machine}`, () => {
      const fd = openTap('eth0')
      configureLink('eth0', { mac, mtu: 1500, txQueueLength: 500, up: true })
      return fd
    })
    inNamespace(machine, 'ip', 'addr', 'add', `192.168.7.${number}/24`, 'dev', 'eth0')
    const socket = inNetworkNamespace(`/run/netns/${host}`, () => openUdp(4790, 4799))
    this.#descriptors.push(socket.fd)
    const id = `12D3KooWTest${number}` as HostId
    const reports: Report[] = []
    const forwarder = startForwarder({
      self: hostKeyOf(hash, id),
      udpFd: socket.fd,
      onReport: (report) => {
        reports.push(report)
        for (const look of this.#waiting) look()
      },
      onFailed: (error) => {
        throw error
      },
      ...(this.#program === undefined ? {} : { program: this.#program })
    })
    const made: TestHost = {
      id,
      key: hostKeyOf(hash, id),
      number,
      host,
      machine,
      underlayIp,
      ip: `192.168.7.${number}`,
      mac,
      reports,
      forwarder,
      port: socket.port
    }
    this.hosts.push(made)
    this.#taps.set(made, tap)
    return made
  }

  readonly #taps = new Map<TestHost, number>()

  /** Agrees a session between two hosts, as their daemons would. */
  connect(left: TestHost, right: TestHost, authForMs = 3_600_000): void {
    const leftHalf = makeTrunkHalf([{ ip: left.underlayIp, port: left.port }])
    const rightHalf = makeTrunkHalf([{ ip: right.underlayIp, port: right.port }])
    for (const [self, peer, own, other] of [
      [left, right, leftHalf, rightHalf],
      [right, left, rightHalf, leftHalf]
    ] as const) {
      const session = deriveTrunkSession({
        violin,
        self: self.id,
        peer: peer.id,
        peerKey: peer.key,
        own,
        peerHalf: other.half,
        authForMs
      })
      self.forwarder.post({ kind: 'trunk', session })
    }
  }

  /** Gives every host the vLAN, with all hosts as candidates in order, and its machine's port. */
  configure(): void {
    const keys = this.hosts.map((host) => host.key)
    for (const host of this.hosts) {
      host.forwarder.post({ kind: 'lan', lan, candidates: keys, members: keys })
      const fd = this.#taps.get(host)
      if (fd === undefined) continue
      this.#taps.delete(host)
      host.forwarder.post({
        kind: 'port',
        port: host.number,
        lan,
        mac: host.mac,
        source: { kind: 'tap', fd },
        link: null
      })
    }
  }

  /** Resolves when a report makes `done` true; throws after `timeoutMs`. */
  async until(what: string, done: () => boolean, timeoutMs = 15_000): Promise<void> {
    if (done()) return
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const timer = setTimeout(() => reject(new Error(`${what} did not come in ${timeoutMs} ms`)), timeoutMs)
    const look = (): void => {
      if (done()) resolve()
    }
    this.#waiting.add(look)
    try {
      await promise
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(look)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const host of this.hosts) await host.forwarder.stop()
    for (const fd of [...this.#descriptors, ...this.#taps.values()]) close(fd)
    this.#removeNamespaces()
    process.removeListener('exit', this.#atExit)
    process.removeListener('SIGTERM', this.#atSignal)
    process.removeListener('SIGINT', this.#atSignal)
  }

  #removeNamespaces(): void {
    for (const name of this.#namespaces.splice(0)) run('ip', 'netns', 'del', name)
  }

  #namespace(name: string): void {
    run('ip', 'netns', 'add', name)
    this.#namespaces.push(name)
    run('ip', '-n', name, 'link', 'set', 'lo', 'up')
  }

  #inNet(...command: string[]): void {
    inNamespace(`${this.prefix}-net`, ...command)
  }
}
