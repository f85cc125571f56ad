/**
 * A virtio console with many ports (virtio 1.2, 5.3) behind one listening socket. The guest is told of a port
 * when it is first wanted, for it lends 1 MB to each that it knows; then the port stays.
 */
import type { Watcher } from '../forwarder/port.ts'
import { Backend, type VhostDevice } from './backend.ts'
import type { ConsoleReport } from './console-contract.ts'
import { ConsolePort, type ConsolePortHost, copies } from './console-port.ts'
import { VhostFault } from './fault.ts'
import { readAll } from './guest-memory.ts'
import { allocate, type NativeMemory } from '#syscalls/libc.ts'
import type { Ring } from './ring.ts'

/** VIRTIO_CONSOLE_F_MULTIPORT. */
const multiport = 1n << 1n
/** struct virtio_console_config: columns 2, rows 2, ports 4, emergency write 4. */
const configBytes = 12
const maxPortsAt = 4
/** Rings of control: to the guest and from it. */
const controlReceive = 2
const controlTransmit = 3
/** struct virtio_console_control: port 4, event 2, value 2; all that we say or hear is as long. */
const controlBytes = 8
/** Longest control message taken; what is behind the first 8 bytes means nothing to us. */
const maxControlBytes = 256
/** Messages for a guest that does not read them: three for each port that there can be. */
const maxControlsPerPort = 3
/** Messages of the guest in one turn. */
const controlsPerTurn = 64

const event = { deviceReady: 0, portAdd: 1, portReady: 3, portOpen: 6 } as const

const staging: NativeMemory = allocate(controlsPerTurn * maxControlBytes)

/** Ports that one console has at most: Linux's own limit is far above. */
export const maxConsolePorts = 31

interface Control {
  readonly port: number
  readonly event: number
  readonly value: number
}

export class ConsoleDevice implements VhostDevice, ConsolePortHost {
  readonly features: bigint = multiport
  readonly rings: number
  readonly config: Uint8Array = new Uint8Array(configBytes)

  readonly #id: number
  readonly #report: (report: ConsoleReport) => void
  readonly #wake: () => void
  readonly #backend: Backend
  readonly #ports: ConsolePort[]
  /** Ports with something to move. */
  readonly #dirty = new Set<ConsolePort>()
  readonly #controls: Control[] = []
  #controlReceive: Ring | null = null
  #controlTransmit: Ring | null = null
  #controlDirty = false
  #connected = false

  /** `wake` asks for {@link pump} in this turn. Takes the listening socket over. Throws RangeError, SyscallError. */
  constructor(
    options: { readonly id: number; readonly listenFd: number; readonly maxPorts: number },
    watcher: Watcher,
    report: (report: ConsoleReport) => void,
    wake: () => void
  ) {
    const { id, listenFd, maxPorts } = options
    if (!Number.isInteger(maxPorts) || maxPorts < 1 || maxPorts > maxConsolePorts)
      throw new RangeError(`console of ${maxPorts} ports`)
    this.#id = id
    this.#report = report
    this.#wake = wake
    this.rings = 2 * (maxPorts + 1)
    new DataView(this.config.buffer).setUint32(maxPortsAt, maxPorts, true)
    this.#ports = Array.from({ length: maxPorts }, (_, port) => new ConsolePort(port, this))
    this.#backend = new Backend(listenFd, this, watcher, copies)
  }

  /** The port of a stream; null when there is none of that number. */
  port(id: number): ConsolePort | null {
    return this.#ports[id] ?? null
  }

  /** Ends it without a word. */
  close(): void {
    this.#backend.close()
  }

  /** The port's streams have something to do. */
  touch(port: ConsolePort): void {
    if (port.wanted) this.#add(port)
    this.#dirty.add(port)
    this.#wake()
  }

  /** Moves what can be moved; true when there is more for the next turn. */
  pump(): boolean {
    this.#backend.guard(() => this.#pump())
    return this.#dirty.size > 0 || this.#controlDirty
  }

  // What ports ask.

  announce(port: number, open: boolean): void {
    this.#say(port, event.portOpen, open ? 1 : 0)
  }

  report(report: ConsoleReport): void {
    this.#report(report)
  }

  interrupt(ring: 'receive' | 'transmit', port: number): void {
    this.#backend.interrupt(ringOf(port) + (ring === 'receive' ? 0 : 1))
  }

  // What the backend tells.

  started(index: number, ring: Ring): void {
    this.#attach(index, ring)
  }

  stopped(index: number): void {
    this.#attach(index, null)
  }

  kicked(index: number): void {
    const port = portOf(index)
    if (port === null) this.#controlDirty = true
    else this.#dirty.add(this.#ports[port] as ConsolePort)
    this.#wake()
  }

  gone(reason: string): void {
    this.#dirty.clear()
    this.#controlDirty = false
    this.#report({ kind: 'disconnected', device: this.#id, reason })
  }

  #attach(index: number, ring: Ring | null): void {
    if (index === controlReceive) this.#controlReceive = ring
    else if (index === controlTransmit) this.#controlTransmit = ring
    else this.#ports[portOf(index) as number]?.attach(index % 2 === 0 ? 'receive' : 'transmit', ring)
  }

  #pump(): void {
    // What the guest said of its ports comes before what it wrote to them.
    if (this.#controlDirty) this.#hear()
    for (const port of Array.from(this.#dirty)) {
      this.#dirty.delete(port)
      if (port.pump()) this.#dirty.add(port)
    }
    this.#tell()
  }

  /** Takes the guest's control messages. */
  #hear(): void {
    const ring = this.#controlTransmit
    this.#controlDirty = false
    if (ring === null) return
    ring.fetch()
    let count = 0
    while (count < controlsPerTurn && ring.take(false)) {
      if (ring.total < controlBytes || ring.total > maxControlBytes || ring.segments !== 1)
        throw new VhostFault(`control message of ${ring.total} bytes`)
      copies.add(ring.segmentAt[0] as number, staging.address + count * controlBytes, controlBytes)
      ring.complete(0)
      count++
    }
    if (count === 0) return
    readAll(copies)
    copies.clear()
    this.#controlDirty = ring.waiting > 0
    ring.publish()
    if (ring.wantsInterrupt()) this.#backend.interrupt(controlTransmit)
    const { view } = staging
    const messages = Array.from({ length: count }, (_, i): Control => {
      const at = i * controlBytes
      return {
        port: view.getUint32(at, true),
        event: view.getUint16(at + 4, true),
        value: view.getUint16(at + 6, true)
      }
    })
    for (const message of messages) this.#obey(message.port, message.event, message.value)
  }

  #obey(id: number, what: number, value: number): void {
    if (what === event.deviceReady) {
      if (value !== 1) throw new VhostFault('the driver does not take the console')
      this.#connect()
      return
    }
    const port = this.#ports[id]
    if (port === undefined || !port.added) throw new VhostFault(`no console port ${id}`)
    if (what === event.portReady) {
      if (value !== 1) throw new VhostFault(`the driver does not take port ${id}`)
      port.ready()
    } else if (what === event.portOpen) port.guestOpened(value !== 0)
    this.#dirty.add(port)
  }

  #connect(): void {
    if (this.#connected) return
    this.#connected = true
    this.#report({ kind: 'connected', device: this.#id })
    for (const port of this.#ports) if (port.wanted) this.#add(port)
  }

  #add(port: ConsolePort): void {
    if (!this.#connected || port.added) return
    port.added = true
    this.#say(port.id, event.portAdd, 1)
  }

  #say(port: number, what: number, value: number): void {
    this.#controls.push({ port, event: what, value })
    this.#wake()
  }

  /** Lays control messages into the guest's buffers. */
  #tell(): void {
    const ring = this.#controlReceive
    if (ring === null || this.#controls.length === 0) return
    if (this.#controls.length > maxControlsPerPort * this.#ports.length + controlsPerTurn)
      throw new VhostFault('the guest does not read control messages')
    ring.fetch()
    let count = 0
    while (count < Math.min(this.#controls.length, controlsPerTurn) && ring.take(true)) {
      if ((ring.segmentLength[0] as number) < controlBytes) throw new VhostFault('control buffer too small')
      const message = this.#controls[count] as Control
      const at = count * controlBytes
      staging.view.setUint32(at, message.port, true)
      staging.view.setUint16(at + 4, message.event, true)
      staging.view.setUint16(at + 6, message.value, true)
      copies.add(ring.segmentAt[0] as number, staging.address + at, controlBytes)
      ring.complete(controlBytes)
      count++
    }
    if (count === 0) return
    this.#controls.splice(0, count)
    ring.publish()
    if (ring.wantsInterrupt()) this.#backend.interrupt(controlReceive)
    // Without buffers the guest's kick brings us back.
    if (this.#controls.length > 0 && ring.waiting > 0) this.#controlDirty = true
  }
}

/** First ring of a port: 0 and 1 are port 0's, 2 and 3 control's, then the others in order. */
function ringOf(port: number): number {
  return port === 0 ? 0 : 2 * (port + 1)
}

/** Port of a ring; null for those of control. */
function portOf(ring: number): number | null {
  const pair = ring >> 1
  if (pair === 1) return null
  return pair === 0 ? 0 : pair - 1
}
