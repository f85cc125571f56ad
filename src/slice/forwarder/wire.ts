/**
 * The trunks' UDP socket: batches in, batches out. Control leaves alone, first, and marked CS6 (RFC 4594).
 */
import { datagramHeaderBytes } from '#frame/datagram.ts'
import { ReceiveBatch, SendBatch } from '#syscalls/mmsg.ts'
import { coalesce, ErrorQueue } from '#syscalls/udp.ts'
import { batchSlots, controlSlots, type Layout, receiveSlotBytes, receiveSlots, slotBytes } from './memory.ts'

/** IP type of service of control datagrams: class selector 6. */
const tosCs6 = 0xc0

export class Wire {
  readonly fd: number
  readonly received: ReceiveBatch
  readonly errors: ErrorQueue = new ErrorQueue()
  readonly #data: SendBatch
  readonly #control: SendBatch
  readonly #relay: SendBatch

  constructor(fd: number, layout: Layout) {
    this.fd = fd
    this.received = new ReceiveBatch(layout.memory, layout.receiveAt, receiveSlots, receiveSlotBytes)
    this.#data = new SendBatch(layout.memory, layout.dataAt, batchSlots, slotBytes, { segmented: true })
    this.#control = new SendBatch(layout.memory, layout.controlAt, controlSlots, slotBytes, { tos: tosCs6 })
    this.#relay = new SendBatch(layout.memory, layout.relayAt, batchSlots, slotBytes, { segmented: true })
    if (fd >= 0) coalesce(fd)
  }

  /** Datagrams that the kernel did not take. */
  get dropped(): number {
    return this.#data.dropped + this.#control.dropped + this.#relay.dropped
  }

  /** A slot for a data datagram; -1: flush first. */
  takeData(): number {
    return this.#data.acquire()
  }

  /** Offset of a data slot's datagram. */
  dataAt(slot: number): number {
    return this.#data.at(slot)
  }

  commitData(slot: number, length: number, ip: number, port: number): void {
    this.#data.commit(slot, length, ip, port)
  }

  /** A slot for a control datagram; those that wait are sent when there is none. */
  takeControl(): number {
    const slot = this.#control.acquire()
    if (slot >= 0) return slot
    this.flushControl()
    return this.#control.acquire()
  }

  controlAt(slot: number): number {
    return this.#control.at(slot)
  }

  commitControl(slot: number, length: number, ip: number, port: number): void {
    this.#control.commit(slot, length, ip, port)
  }

  /** A slot for a datagram that holds another's; those that wait are sent when there is none. */
  takeRelay(): number {
    const slot = this.#relay.acquire()
    if (slot >= 0) return slot
    this.#relay.flush(this.fd)
    return this.#relay.acquire()
  }

  relayAt(slot: number): number {
    return this.#relay.at(slot)
  }

  commitRelay(slot: number, length: number, ip: number, port: number): void {
    this.#relay.commit(slot, length, ip, port)
  }

  flushControl(): void {
    if (this.#control.used > 0) this.#control.flush(this.fd)
  }

  /** Sends what waits, control first. Open datagrams must be closed before. */
  flush(): void {
    this.flushControl()
    if (this.#relay.used > 0) this.#relay.flush(this.fd)
    if (this.#data.used > 0) this.#data.flush(this.fd)
  }
}

/** Where a datagram's plaintext starts. */
export function plaintextAt(datagram: number): number {
  return datagram + datagramHeaderBytes
}
