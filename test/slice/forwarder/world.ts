/**
 * Overlay hosts in network namespaces, joined by a bridge of veth pairs; each has a forwarder in this
 * process and one machine: another namespace, at the other end of a TAP. Needs root.
 */
import { createHash } from 'node:crypto'
import { hostKeyOf, lanKeyOf } from '#core/derive.ts'
import type { HostId, HostKey, LanKey, ViolinId } from '#core/ids.ts'
import type { Report } from '#slice/forwarder/contract.ts'
import { deriveTrunkSession, makeTrunkHalf } from '#slice/forwarder/derive.ts'
import { type Forwarder, startForwarder } from '#slice/forwarder/forwarder.ts'
import { close } from '#syscalls/libc.ts'
import { inNetworkNamespace } from '#syscalls/netns.ts'
import { configureLink, openTap } from '#syscalls/tap.ts'
import { openUdp } from '#syscalls/udp.ts'
import { inNamespace, type Site, Underlay } from './underlay.ts'

const hash = {
  sha256: (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()
}
export const lan: LanKey = lanKeyOf(hash, 'lan1')
const violin = 'ab'.repeat(32) as ViolinId

export interface TestHost extends Site {
  readonly id: HostId
  readonly key: HostKey
  readonly reports: Report[]
  readonly forwarder: Forwarder
  readonly port: number
}

export class World implements AsyncDisposable {
  readonly hosts: TestHost[] = []
  readonly underlay: Underlay
  readonly #descriptors: number[] = []
  readonly #program: URL | undefined
  readonly #waiting = new Set<() => void>()

  /** `prefix` starts the name of every namespace; `program`: another worker than the real one. */
  constructor(prefix: string, program?: URL) {
    this.underlay = new Underlay(prefix)
    this.#program = program
  }

  /** Adds a host with its machine and forwarder. */
  add(): TestHost {
    const site = this.underlay.site(this.hosts.length + 1)
    const { number, host, machine, mac } = site
    const tap = inNetworkNamespace(`/run/netns/${machine}`, () => {
      const fd = openTap('eth0')
      configureLink('eth0', { mac, mtu: 1500, txQueueLength: 500, up: true })
      return fd
    })
    inNamespace(machine, 'ip', 'addr', 'add', `${site.ip}/24`, 'dev', 'eth0')
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
    const made: TestHost = { ...site, id, key: hostKeyOf(hash, id), reports, forwarder, port: socket.port }
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
    this.underlay[Symbol.dispose]()
  }
}
