/**
 * One port of a multiport console: bytes between its two rings and the stream that has the port.
 *
 * A life of a port is one opening by each side. Bytes for the guest wait until it has opened; the guest's end
 * of file is told once everything that it wrote before is. A guest that still holds a port of a former life is
 * waited for, and what it writes is dropped.
 */
import { allocate, type NativeMemory } from '#syscalls/libc.ts'
import { Copies } from '#syscalls/memory.ts'
import { type ConsoleReport, windowBytes } from './console-contract.ts'
import { VhostFault } from './fault.ts'
import { readAll } from './guest-memory.ts'
import { maxSegments, type Ring } from './ring.ts'

/** Bytes moved each way in a turn of one port. Linux writes 32 KiB at once, and 64 KiB when it splices. */
const turnBytes = 128 * 1024
/** Size of the buffers that Linux lends for what is sent to it. */
const pageBytes = 4096
/** Copies that a ring needs for itself when it publishes. */
const spareCopies = 4

/** One list of copies, and one place for bytes on their way, for all ports of a thread. */
export const copies: Copies = new Copies()
const staging: NativeMemory = allocate(turnBytes)

/** What a port asks of its device. */
export interface ConsolePortHost {
  /** Tells the guest whether this side has the port open. */
  announce(port: number, open: boolean): void
  report(report: ConsoleReport): void
  interrupt(ring: 'receive' | 'transmit', port: number): void
}

export class ConsolePort {
  readonly id: number
  /** The guest was told that there is such a port. */
  added = false
  /** It made its device. */
  #isReady = false
  readonly #host: ConsolePortHost
  /** Rings as the guest names them: it receives from us, it transmits to us. */
  #receive: Ring | null = null
  #transmit: Ring | null = null
  #stream: number | null = null
  #hostOpen = false
  #guestOpen = false
  /** The guest opened and closed it in this life. */
  #guestDone = false
  /** Invariant: true only while the guest holds the port open since a life that this side has left. */
  #stale = false
  #endWanted = false
  /** The guest's end was told in this life. */
  #ended = false
  readonly #queue: Uint8Array[] = []
  #queued = 0
  /** Bytes that may be told before the main thread confirms some. */
  #credit = windowBytes

  constructor(id: number, host: ConsolePortHost) {
    this.id = id
    this.#host = host
  }

  get stream(): number | null {
    return this.#stream
  }

  /** A port that was ever wanted is announced to the guest. */
  get wanted(): boolean {
    return this.#stream !== null
  }

  attach(ring: 'receive' | 'transmit', to: Ring | null): void {
    if (ring === 'receive') this.#receive = to
    else this.#transmit = to
  }

  // What the main thread wants.

  open(stream: number): void {
    this.#stream = stream
    this.#guestDone = this.#ended = this.#endWanted = false
    this.#credit = windowBytes
    if (this.#isReady) this.#host.report({ kind: 'ready', stream })
    if (this.#stale) return
    if (this.#isReady) this.#openHost()
    if (this.#guestOpen) this.#host.report({ kind: 'opened', stream })
  }

  send(bytes: Uint8Array): void {
    if (this.#guestDone) this.#confirm(bytes.length)
    else {
      this.#queue.push(bytes)
      this.#queued += bytes.length
    }
  }

  end(): void {
    this.#endWanted = true
  }

  taken(bytes: number): void {
    this.#credit += bytes
  }

  release(): void {
    this.#stream = null
    this.#dropQueue()
    this.#closeHost()
    // One that closed it and opened it again waits for the next life.
    this.#stale = this.#guestOpen && (this.#stale || !this.#guestDone)
    this.#guestDone = false
  }

  // What the guest says.

  ready(): void {
    if (this.#isReady) return
    this.#isReady = true
    if (this.#stream !== null) this.#host.report({ kind: 'ready', stream: this.#stream })
    if (this.#stream !== null && !this.#stale) this.#openHost()
  }

  guestOpened(open: boolean): void {
    if (open === this.#guestOpen) return
    this.#guestOpen = open
    if (!open && this.#stale) this.#endFormerLife()
    else if (this.#stream === null || this.#guestDone) return
    else if (open) this.#host.report({ kind: 'opened', stream: this.#stream })
    else {
      this.#guestDone = true
      // Whoever opens it next shall wait for the next life.
      this.#closeHost()
    }
  }

  /** Moves what can be moved; true when there is more for the next turn. Throws {@link VhostFault}. */
  pump(): boolean {
    const more = this.#pumpFromGuest()
    this.#pumpToGuest()
    return more
  }

  #pumpFromGuest(): boolean {
    const ring = this.#transmit
    if (ring === null) return false
    ring.fetch()
    const dropping = this.#stream === null || this.#stale || this.#ended
    const length = this.#takeChains(ring, dropping)
    if (length > 0 && !dropping) {
      readAll(copies)
      this.#credit -= length
      const bytes = staging.bytes.slice(0, length)
      this.#host.report({ kind: 'data', stream: this.#stream as number, bytes })
    }
    copies.clear()
    if (ring.staged > 0) {
      ring.publish()
      if (ring.wantsInterrupt()) this.#host.interrupt('transmit', this.id)
    }
    const more = ring.waiting > 0
    if (this.#guestDone && !this.#ended && !more) {
      this.#ended = true
      this.#host.report({ kind: 'end', stream: this.#stream as number })
    }
    // Without credit the main thread's confirmation brings us back.
    return more && length > 0
  }

  /** Takes as many chains as there is room and credit for, and lists the copies; gives their bytes. */
  #takeChains(ring: Ring, dropping: boolean): number {
    let length = 0
    const room = Math.min(turnBytes, this.#credit)
    while (copies.room >= maxSegments + spareCopies && ring.take(false)) {
      if (!dropping) {
        if (ring.total > turnBytes) throw new VhostFault('console write of too many bytes')
        if (length + ring.total > room) {
          ring.putBack()
          break
        }
        addSegments(ring, staging.address + length, ring.total)
        length += ring.total
      }
      ring.complete(0)
    }
    return length
  }

  #pumpToGuest(): void {
    if (this.#guestDone) this.#dropQueue()
    if (this.#queued > 0 && this.#guestOpen && this.#hostOpen) this.#give()
    // The end of file goes by another ring: the guest looks for bytes first when it hears of it.
    if (this.#endWanted && this.#queued === 0 && this.#guestOpen) this.#closeHost()
  }

  /** Lays queued bytes into the guest's buffers. When those are used up, its kick brings us back. */
  #give(): void {
    const ring = this.#receive
    if (ring === null) return
    let given = 0
    while (this.#queued > 0 && ring.fetch() > 0) {
      const staged = this.#stage(Math.min(turnBytes, ring.waiting * pageBytes))
      let done = 0
      while (done < staged && copies.room >= maxSegments + spareCopies && ring.take(true)) {
        const part = Math.min(ring.total, staged - done)
        addSegments(ring, staging.address + done, part)
        ring.complete(part)
        done += part
      }
      ring.publish()
      this.#dequeue(done)
      this.#confirm(done)
      given += done
    }
    if (given > 0 && ring.wantsInterrupt()) this.#host.interrupt('receive', this.id)
  }

  /** Copies the queue's first bytes into native memory; gives how many. */
  #stage(most: number): number {
    let length = 0
    for (const bytes of this.#queue) {
      const part = Math.min(bytes.length, most - length)
      staging.bytes.set(bytes.subarray(0, part), length)
      length += part
      if (length === most) break
    }
    return length
  }

  #dequeue(count: number): void {
    this.#queued -= count
    let left = count
    while (left > 0) {
      const first = this.#queue[0] as Uint8Array
      if (first.length > left) {
        this.#queue[0] = first.subarray(left)
        return
      }
      left -= first.length
      this.#queue.shift()
    }
  }

  #dropQueue(): void {
    if (this.#queued > 0) this.#confirm(this.#queued)
    this.#queue.length = 0
    this.#queued = 0
  }

  #confirm(bytes: number): void {
    if (this.#stream !== null) this.#host.report({ kind: 'sent', stream: this.#stream, bytes })
  }

  #openHost(): void {
    this.#hostOpen = true
    this.#host.announce(this.id, true)
  }

  #closeHost(): void {
    if (!this.#hostOpen) return
    this.#hostOpen = false
    this.#host.announce(this.id, false)
  }

  #endFormerLife(): void {
    // What it wrote last is still in the ring, and would be taken for the new life's.
    this.#pumpFromGuest()
    this.#stale = false
    if (this.#stream !== null && this.#isReady) this.#openHost()
  }
}

/** Lists the copies between `length` own bytes and the buffers of the chain that was last taken. */
function addSegments(ring: Ring, own: number, length: number): void {
  let done = 0
  for (let i = 0; done < length; i++) {
    const part = Math.min(ring.segmentLength[i] as number, length - done)
    copies.add(ring.segmentAt[i] as number, own + done, part)
    done += part
  }
}
