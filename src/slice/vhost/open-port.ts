/**
 * Every kind of port that a forwarding worker opens.
 */
import type { Mac } from '#core/ids.ts'
import { lanMtu } from '#core/spec.ts'
import type { PortSource } from '../forwarder/contract.ts'
import type { Port, PortEvents, Watcher } from '../forwarder/port.ts'
import { openTapPort } from '../forwarder/tap-port.ts'
import { openVhostPort } from './net-port.ts'

/** Opens what stands behind a port, and takes its descriptor over. Throws what opening throws. */
export function openMachinePort(source: PortSource, mac: Mac, watcher: Watcher, events: PortEvents): Port {
  switch (source.kind) {
    case 'tap':
      return openTapPort(source.fd, lanMtu, watcher, events)
    case 'vhost-user':
      return openVhostPort({ listenFd: source.listenFd, mac, mtu: lanMtu }, watcher, events)
  }
}
