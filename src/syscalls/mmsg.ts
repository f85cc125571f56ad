/**
 * Batches of UDP datagrams by recvmmsg(2) and sendmmsg(2). The message headers are laid out once; a batch
 * patches the few words that change. Datagrams lie in slots of a memory that the caller owns.
 *
 * Equal datagrams to one address cross the kernel as one message where it can (UDP_SEGMENT and UDP_GRO,
 * udp(7)): on the wire they are datagrams as any.
 */
import { allocate, errno, lastErrno, libc, type NativeMemory, SyscallError } from './libc.ts'
import { writeSockaddr } from './udp.ts'

/** struct mmsghdr 64, struct iovec 16, struct sockaddr_in 16, room for one cmsghdr 32 (64-bit Linux, little endian). */
const headerBytes = 64
const iovecAt = 64
const nameAt = 80
const controlAt = 96
const recordBytes = 128
/** Of a header: name, its length, iovecs, their number, control, its length, the message's length. */
const nameField = 0
const nameLengthField = 8
const iovecField = 16
const iovecCountField = 24
const controlField = 32
const controlLengthField = 40
const messageLengthField = 56
const MSG_DONTWAIT = 0x40
const IPPROTO_IP = 0
const IP_TOS = 1
const SOL_UDP = 17
const UDP_SEGMENT = 103
const UDP_GRO = 104

/** What one message may hold: 64 segments at most, and no more bytes than an IP packet. */
const maxSegments = 64
const maxMessageBytes = 65_507

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
  protected readonly controls: number

  constructor(memory: NativeMemory, base: number, slots: number, slotBytes: number) {
    if (base + slots * slotBytes > memory.bytes.length) throw new RangeError('slots outside of the memory')
    this.slots = slots
    this.slotBytes = slotBytes
    this.base = base
    this.headers = allocate(slots * recordBytes)
    this.iovecs = slots * iovecAt
    this.names = slots * nameAt
    this.controls = slots * controlAt
    const { view } = this.headers
    for (let slot = 0; slot < slots; slot++) {
      const header = slot * headerBytes
      this.point(header + nameField, this.names + slot * 16)
      view.setUint32(header + nameLengthField, 16, true)
      this.point(header + iovecField, this.iovecs + slot * 16)
      view.setUint32(header + iovecCountField, 1, true)
      view.setBigUint64(this.iovecs + slot * 16, BigInt(memory.address + base + slot * slotBytes), true)
      view.setUint32(this.iovecs + slot * 16 + 8, slotBytes, true)
    }
  }

  /** Lays the address of `offset` of the headers' memory at `at`, without a BigInt. */
  protected point(at: number, offset: number): void {
    const address = this.headers.address + offset
    this.headers.view.setUint32(at, address % 0x100000000, true)
    this.headers.view.setUint32(at + 4, Math.floor(address / 0x100000000), true)
  }

  /** Offset of a slot in the memory. */
  at(slot: number): number {
    return this.base + slot * this.slotBytes
  }
}

/** Datagrams received in one call. A slot holds one, or several of one length (the last may be shorter). */
export class ReceiveBatch extends Batch {
  #count: number

  constructor(memory: NativeMemory, base: number, slots: number, slotBytes: number) {
    super(memory, base, slots, slotBytes)
    this.#count = slots
    for (let slot = 0; slot < slots; slot++) {
      this.point(slot * headerBytes + controlField, this.controls + slot * 32)
    }
  }

  /**
   * Takes what waits, at most a batch; gives the number of slots. 0: nothing waits, or the socket told of an
   * error (its error queue tells which). Throws SyscallError on anything else.
   */
  receive(fd: number): number {
    const { view, address } = this.headers
    for (let slot = 0; slot < this.#count; slot++) {
      view.setUint32(slot * headerBytes + nameLengthField, 16, true)
      view.setUint32(slot * headerBytes + controlLengthField, 32, true)
    }
    const count = receiveMany(fd, address, this.slots, MSG_DONTWAIT, 0) as number
    this.#count = count > 0 ? count : 0
    if (count < 0) {
      const error = lastErrno()
      if (error === errno.EAGAIN || error === errno.EINTR || isNetworkError(error)) return 0
      throw new SyscallError('recvmmsg', error)
    }
    return count
  }

  /** Bytes in a slot, all its datagrams. */
  length(slot: number): number {
    return this.headers.view.getUint32(slot * headerBytes + messageLengthField, true)
  }

  /** Bytes of each datagram in a slot but the last, which has what is left; at least 1. */
  segment(slot: number): number {
    const { view } = this.headers
    const control = this.controls + slot * 32
    const many =
      view.getUint32(slot * headerBytes + controlLengthField, true) >= 20 &&
      view.getInt32(control + 8, true) === SOL_UDP &&
      view.getInt32(control + 12, true) === UDP_GRO
    return Math.max(1, many ? view.getUint16(control + 16, true) : this.length(slot))
  }

  /** Source's IPv4 address. */
  ip(slot: number): number {
    return this.headers.view.getUint32(this.names + slot * 16 + 4, false)
  }

  port(slot: number): number {
    return this.headers.view.getUint16(this.names + slot * 16 + 2, false)
  }
}

/** How a batch is sent. */
export interface SendOptions {
  /** IP type of service of all datagrams (CS6 is 0xc0). Not together with `segmented`. */
  readonly tos?: number
  /** Runs of equal datagrams go as one message, for as long as the kernel takes them. */
  readonly segmented?: boolean
}

/** Datagrams to be sent in one call: `acquire` a slot, fill it, `commit` it, `flush` all. */
export class SendBatch extends Batch {
  #used = 0
  #segmented: boolean
  readonly #tos: number
  /** First slot of each message of a flush. */
  readonly #first: Int32Array
  /** Datagrams that the kernel did not take (full buffer, too big, no route). */
  dropped = 0

  constructor(
    memory: NativeMemory,
    base: number,
    slots: number,
    slotBytes: number,
    options: SendOptions = {}
  ) {
    super(memory, base, slots, slotBytes)
    this.#segmented = options.segmented ?? false
    this.#tos = options.tos ?? 0
    this.#first = new Int32Array(slots)
    const { view } = this.headers
    const type = this.#segmented ? UDP_SEGMENT : IP_TOS
    for (let slot = 0; slot < slots; slot++) {
      // struct cmsghdr {len u64, level i32, type i32}, then a u16 (segment) or an int (TOS).
      const control = this.controls + slot * 32
      view.setUint32(control, this.#segmented ? 18 : 20, true)
      view.setInt32(control + 8, this.#segmented ? SOL_UDP : IPPROTO_IP, true)
      view.setInt32(control + 12, type, true)
      view.setInt32(control + 16, this.#tos, true)
      this.point(slot * headerBytes + controlField, control)
    }
  }

  /** Number of slots taken since the last flush. */
  get used(): number {
    return this.#used
  }

  /** Takes the next slot; -1 when the batch is full and must be flushed. */
  acquire(): number {
    if (this.#used === this.slots) return -1
    this.#setLength(this.#used, 0)
    return this.#used++
  }

  /** Says what a slot holds and where it goes. A slot without bytes is not sent. */
  commit(slot: number, length: number, ip: number, port: number): void {
    this.#setLength(slot, length)
    writeSockaddr(this.headers.view, this.names + slot * 16, ip, port)
  }

  /** Sends all slots. What the kernel does not take is counted in `dropped`; nothing is kept. */
  flush(fd: number): void {
    let messages = this.#layOut(0)
    let sent = 0
    let retries = 0
    while (sent < messages) {
      const address = this.headers.address + sent * headerBytes
      const count = sendMany(fd, address, messages - sent, MSG_DONTWAIT) as number
      if (count > 0) {
        sent += count
        continue
      }
      const error = lastErrno()
      // An answer to an earlier datagram stands in the way of this one once: try it again.
      if ((error === errno.EINTR || isNetworkError(error)) && retries++ < 8) continue
      if (error === errno.EAGAIN || error === errno.ENOBUFS) {
        this.dropped += this.#used - (this.#first[sent] as number)
        break
      }
      const many = this.headers.view.getUint32(sent * headerBytes + iovecCountField, true) > 1
      if (many && (error === errno.EIO || error === errno.EINVAL || error === errno.EMSGSIZE)) {
        // This way cannot take segments: the same datagrams one by one, now and from now on.
        this.#segmented = false
        messages = this.#layOut(this.#first[sent] as number)
        sent = 0
        continue
      }
      this.dropped++
      sent++
    }
    this.#used = 0
  }

  /** Lays the headers of the slots from `from` on; gives their number. */
  #layOut(from: number): number {
    const { view } = this.headers
    let messages = 0
    for (let slot = from; slot < this.#used;) {
      const length = this.#length(slot)
      if (length === 0) {
        slot++
        continue
      }
      const count = this.#segmented ? this.#run(slot, length) : 1
      const header = messages * headerBytes
      this.point(header + nameField, this.names + slot * 16)
      this.point(header + iovecField, this.iovecs + slot * 16)
      view.setUint32(header + iovecCountField, count, true)
      view.setUint32(header + controlLengthField, count > 1 || this.#tos !== 0 ? 24 : 0, true)
      if (count > 1) view.setUint16(this.controls + messages * 32 + 16, length, true)
      this.#first[messages++] = slot
      slot += count
    }
    return messages
  }

  /** Number of slots from `slot` on that can be one message: of one address and length, the last may be shorter. */
  #run(slot: number, length: number): number {
    const { view } = this.headers
    const name = this.names + slot * 16
    const most = Math.min(maxSegments, Math.floor(maxMessageBytes / length), this.#used - slot)
    let count = 1
    while (count < most) {
      const next = this.#length(slot + count)
      const other = name + count * 16
      const same =
        view.getUint32(other, true) === view.getUint32(name, true) &&
        view.getUint32(other + 4, true) === view.getUint32(name + 4, true)
      if (!same || next === 0 || next > length) break
      count++
      if (next < length) break
    }
    return count
  }

  #length(slot: number): number {
    return this.headers.view.getUint32(this.iovecs + slot * 16 + 8, true)
  }

  #setLength(slot: number, length: number): void {
    this.headers.view.setUint32(this.iovecs + slot * 16 + 8, length, true)
  }
}

function isNetworkError(error: number): boolean {
  return error === errno.ECONNREFUSED || error === errno.EHOSTUNREACH || error === errno.ENETUNREACH
}
