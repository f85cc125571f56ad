/**
 * One overlay host as a process of its own, so that it can be killed: a forwarder with a socket in one
 * namespace and a TAP in another, told what to do by its parent.
 */
import { createHash } from 'node:crypto'
import { hostKeyOf } from '#core/derive.ts'
import type { HostId, LanKey, Mac, ViolinId } from '#core/ids.ts'
import type { TrunkHalf } from '#slice/contract.ts'
import type { Command, Report } from '#slice/forwarder/contract.ts'
import { deriveTrunkSession, makeTrunkHalf, type OwnHalf } from '#slice/forwarder/derive.ts'
import { startForwarder } from '#slice/forwarder/forwarder.ts'
import { inNetworkNamespace } from '#syscalls/netns.ts'
import { configureLink, openTap } from '#syscalls/tap.ts'
import { openUdp } from '#syscalls/udp.ts'
import type { Site } from './underlay.ts'

export type Order =
  | { readonly kind: 'offer'; readonly peer: HostId }
  | { readonly kind: 'join'; readonly peer: HostId; readonly half: TrunkHalf }
  | { readonly kind: 'port'; readonly lan: LanKey }
  /** Says that the port of another is here, under a higher claim, with a machine behind it (`eth1`). */
  | { readonly kind: 'lie'; readonly lan: LanKey; readonly mac: Mac }
  | { readonly kind: 'command'; readonly command: Command }

export type Answer =
  | { readonly kind: 'offered'; readonly peer: HostId; readonly half: TrunkHalf }
  | { readonly kind: 'report'; readonly report: Report }

const [self, violin, siteText] = process.argv.slice(2) as [HostId, ViolinId, string]
const site: Site = JSON.parse(siteText)
const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()
const tell = (answer: Answer): void => void process.send?.(answer)
const offers = new Map<HostId, OwnHalf>()

const machine = (name: string, mac: Mac): number =>
  inNetworkNamespace(`/run/netns/${site.machine}`, () => {
    const fd = openTap(name)
    configureLink(name, { mac, mtu: 1500, txQueueLength: 500, up: true })
    return fd
  })
const tap = machine('eth0', site.mac)
const socket = inNetworkNamespace(`/run/netns/${site.host}`, () => openUdp(4790, 4799))
const forwarder = startForwarder({
  self: hostKeyOf({ sha256 }, self),
  udpFd: socket.fd,
  onReport: (report) => tell({ kind: 'report', report }),
  onFailed: (error) => {
    throw error
  }
})

process.on('message', (order: Order) => {
  switch (order.kind) {
    case 'offer': {
      const own = makeTrunkHalf([{ ip: site.underlayIp, port: socket.port }])
      offers.set(order.peer, own)
      tell({ kind: 'offered', peer: order.peer, half: own.half })
      return
    }
    case 'join': {
      const own = offers.get(order.peer)
      if (own === undefined) throw new Error(`no half was offered to ${order.peer}`)
      const peerKey = hostKeyOf({ sha256 }, order.peer)
      const { peer, half: peerHalf } = order
      const session = deriveTrunkSession({ violin, self, peer, peerKey, own, peerHalf, authForMs: 3_600_000 })
      forwarder.post({ kind: 'trunk', session })
      return
    }
    case 'port': {
      const source = { kind: 'tap', fd: tap } as const
      forwarder.post({ kind: 'port', port: 1, lan: order.lan, mac: site.mac, source, link: null })
      return
    }
    case 'lie': {
      const { lan, mac } = order
      const source = { kind: 'tap', fd: machine('eth1', mac) } as const
      forwarder.post({ kind: 'port', port: 2, lan, mac, source, link: null, claim: 0xffff })
      return
    }
    case 'command':
      forwarder.post(order.command)
  }
})
// The parent is gone: so is the reason to be.
process.on('disconnect', () => process.exit(0))
