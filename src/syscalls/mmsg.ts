/**
 * Batches of UDP datagrams by recvmmsg(2) and sendmmsg(2). The message headers are laid out once; a batch
 * patches the few words that change. Datagrams lie in slots of a memory that the caller owns.
 */
import { allocate, errno, lastErrno, libc, type NativeMemory, SyscallError } from './libc.ts'
import { writeSockaddr } from './udp.ts'

/** struct mmsghdr 64, struct iovec 16, struct sockaddr_in 16 (64-bit Linux, little endian). */
const headerBytes = 64
const iovecAt = 64
const nameAt = 80
const recordBytes = 96
const MSG_DONTWAIT = 0x40
const IP_TOS = 1

const receiveMany = libc.func(
  'int recvmmsg(int fd, uint64_t messages, uint32_t count, int flags, uint64_t timeout)'
)
const sendMany = libc.func('int sendmmsg(int fd, uint64_t messages, uint32_t count, int flags)')

/**
 * `slots` slots of `slotBytes` each from `base` on in `memory`; the headers lie in a memory of their own, one
 * after the other as the calls want them, then iovecs, then addresses.
 */
class Batch {
  readonly slots: number
  readonly slotBytes: number
  readonly base: number
  protected readonly headers: NativeMemory
  protected readonly iovecs: number
  protected readonly names: number

  constructor(memory: NativeMemory, base: number, slots: number, slotBytes: number) {
    if (base + slots * slotBytes > memory.bytes.length) throw new RangeError('slots outside of the memory')
    this.slots = slots
    this.slotBytes = slotBytes
    this.base = base
    this.headers = allocate(slots * recordBytes + 32)
    this.iovecs = slots * iovecAt
    this.names = slots * nameAt
    const { view, address } = this.headers
    for (let slot = 0; slot < slots; slot++) {
      const header = slot * headerBytes
      view.setBigUint64(header, BigInt(address + this.names + slot * 16), true)
      view.setUint32(header + 8, 16, true)
      view.setBigUint64(header + 16, BigInt(address + this.iovecs + slot * 16), true)
      view.setBigUint64(header + 24, 1n, true)
      view.setBigUint64(this.iovecs + slot * 16, BigInt(memory.address + base + slot * slotBytes), true)
      view.setBigUint64(this.iovecs + slot * 16 + 8, BigInt(slotBytes), true)
    }
  }

  /** Offset of a slot in the memory. */
  at(slot: number): number {
    return this.base + slot * this.slotBytes
  }
}

/** Datagrams received in one call. */
export class ReceiveBatch extends Batch {
  #count = 0

  /**
   * Takes what waits, at most a batch. 0: nothing waits, or the socket told of an error (its error queue
   * tells which). Throws SyscallError on anything else.
   */
  receive(fd: number): number {
    const { view, address } = this.headers
    for (let slot = 0; slot < this.#count; slot++) view.setUint32(slot * headerBytes + 8, 16, true)
    const count = receiveMany(fd, address, this.slots, MSG_DONTWAIT, 0) as number
    this.#count = count > 0 ? count : 0
    if (count < 0) {
      const error = lastErrno()
      if (error === errno.EAGAIN || error === errno.EINTR || isNetworkError(error)) return 0
      throw new SyscallError('recvmmsg', error)
    }
    return count
  }

  length(slot: number): number {
    return this.headers.view.getUint32(slot * headerBytes + 56, true)
  }

  /** Source's IPv4 address. */
  ip(slot: number): number {
    return this.headers.view.getUint32(this.names + slot * 16 + 4, false)
  }

  port(slot: number): number {
    return this.headers.view.getUint16(this.names + slot * 16 + 2, false)
  }
}

/** Datagrams to be sent in one call: `acquire` a slot, fill it, `commit` it, `flush` all. */
export class SendBatch extends Batch {
  #used = 0
  /** Datagrams that the kernel did not take (full buffer, too big, no route). */
  dropped = 0

  /** `tos`: the IP type of service of all datagrams (CS6 is 0xc0). */
  constructor(memory: NativeMemory, base: number, slots: number, slotBytes: number, tos = 0) {
    super(memory, base, slots, slotBytes)
    if (tos === 0) return
    const { view, address } = this.headers
    const control = slots * recordBytes
    // struct cmsghdr {len u64, level i32, type i32}, then an int.
    view.setBigUint64(control, 20n, true)
    view.setInt32(control + 12, IP_TOS, true)
    view.setInt32(control + 16, tos, true)
    for (let slot = 0; slot < slots; slot++) {
      view.setBigUint64(slot * headerBytes + 32, BigInt(address + control), true)
      view.setBigUint64(slot * headerBytes + 40, 24n, true)
    }
  }

  /** Number of slots taken since the last flush. */
  get used(): number {
    return this.#used
  }

  /** Takes the next slot; -1 when the batch is full and must be flushed. */
  acquire(): number {
    if (this.#used === this.slots) return -1
    this.headers.view.setUint32(this.iovecs + this.#used * 16 + 8, 0, true)
    return this.#used++
  }

  /** Says what a slot holds and where it goes. A slot without bytes is not sent. */
  commit(slot: number, length: number, ip: number, port: number): void {
    const { view } = this.headers
    view.setUint32(this.iovecs + slot * 16 + 8, length, true)
    writeSockaddr(view, this.names + slot * 16, ip, port)
  }

  /** Sends all slots. What the kernel does not take is counted in `dropped`; nothing is kept. */
  flush(fd: number): void {
    const { view, address } = this.headers
    let sent = 0
    let retries = 0
    while (sent < this.#used) {
      if (view.getUint32(this.iovecs + sent * 16 + 8, true) === 0) {
        sent++
        continue
      }
      const count = sendMany(fd, address + sent * headerBytes, this.#run(sent), MSG_DONTWAIT) as number
      if (count > 0) {
        sent += count
        continue
      }
      const error = lastErrno()
      // An answer to an earlier datagram stands in the way of this one once: try it again.
      if ((error === errno.EINTR || isNetworkError(error)) && retries++ < 8) continue
      if (error === errno.EAGAIN || error === errno.ENOBUFS) {
        this.dropped += this.#used - sent
        break
      }
      this.dropped++
      sent++
    }
    this.#used = 0
  }

  /** Number of slots from `from` on that hold bytes. */
  #run(from: number): number {
    const { view } = this.headers
    let end = from + 1
    while (end < this.#used && view.getUint32(this.iovecs + end * 16 + 8, true) !== 0) end++
    return end - from
  }
}

function isNetworkError(error: number): boolean {
  return error === errno.ECONNREFUSED || error === errno.EHOSTUNREACH || error === errno.ENETUNREACH
}
