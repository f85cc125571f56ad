/**
 * epoll(7): waits on many descriptors with a deadline finer than a millisecond.
 */
import {
  allocate,
  check,
  close,
  errno,
  free,
  lastErrno,
  libc,
  type NativeMemory,
  SyscallError
} from './libc.ts'

/** Events of epoll_ctl(2). */
export const epollEvents = {
  in: 0x001,
  out: 0x004,
  error: 0x008,
  hangUp: 0x010,
  readHangUp: 0x2000,
  edge: 0x80000000
} as const

const EPOLL_CLOEXEC = 0o2000000
const EPOLL_CTL_ADD = 1
const EPOLL_CTL_DEL = 2
const EPOLL_CTL_MOD = 3

/** struct epoll_event is packed on x86-64 only. */
const eventBytes = process.arch === 'x64' ? 12 : 16
const dataOffset = process.arch === 'x64' ? 4 : 8

const create = libc.func('int epoll_create1(int flags)')
const control = libc.func('int epoll_ctl(int epfd, int op, int fd, uint64_t event)')
const waitMs = libc.func('int epoll_wait(int epfd, uint64_t events, int max, int timeout)')
const waitNs = preciseWait()

/** epoll_pwait2 came with Linux 5.11 and glibc 2.35; without it deadlines are rounded up to milliseconds. */
function preciseWait(): ((...args: number[]) => number) | null {
  try {
    return libc.func('int epoll_pwait2(int epfd, uint64_t events, int max, uint64_t timeout, uint64_t mask)')
  } catch {
    return null
  }
}

/** One epoll instance and the events of its last wait. */
export class Epoll {
  readonly #fd: number
  readonly #max: number
  readonly #memory: NativeMemory
  #waitNs = waitNs
  #count = 0

  constructor(max = 256) {
    this.#fd = check(create(EPOLL_CLOEXEC) as number, 'epoll_create1')
    this.#max = max
    this.#memory = allocate(16 + 16 + max * eventBytes)
  }

  /** Watches `fd` for `events` (see {@link epollEvents}). Throws SyscallError. */
  add(fd: number, events: number): void {
    this.#control(EPOLL_CTL_ADD, fd, events)
  }

  /** Changes what a watched descriptor is watched for. */
  modify(fd: number, events: number): void {
    this.#control(EPOLL_CTL_MOD, fd, events)
  }

  /** Stops watching; a descriptor that is closed already is no error. */
  remove(fd: number): void {
    control(this.#fd, EPOLL_CTL_DEL, fd, this.#memory.address)
  }

  /** Waits for events at most `timeoutMs` (fractions count, below 0: for ever); gives their number, 0 after a signal. */
  wait(timeoutMs: number): number {
    const events = this.#memory.address + 32
    let count = -1
    if (this.#waitNs === null) {
      count = waitMs(this.#fd, events, this.#max, timeoutMs < 0 ? -1 : Math.ceil(timeoutMs)) as number
    } else {
      count = this.#waitNs(this.#fd, events, this.#max, this.#timespec(timeoutMs), 0)
    }
    if (count < 0) {
      const error = lastErrno()
      count = 0
      if (error === errno.ENOSYS && this.#waitNs !== null) this.#waitNs = null
      else if (error !== errno.EINTR) throw new SyscallError('epoll_wait', error)
    }
    this.#count = count
    return count
  }

  /** Descriptor of event `index` of the last wait. */
  fd(index: number): number {
    if (index >= this.#count) throw new RangeError(`event ${index} of ${this.#count}`)
    return this.#memory.view.getInt32(32 + index * eventBytes + dataOffset, true)
  }

  /** What happened to it. */
  events(index: number): number {
    if (index >= this.#count) throw new RangeError(`event ${index} of ${this.#count}`)
    return this.#memory.view.getUint32(32 + index * eventBytes, true)
  }

  close(): void {
    close(this.#fd)
    free(this.#memory)
  }

  /** Lays struct timespec out; 0 stands for no time-out. */
  #timespec(timeoutMs: number): number {
    if (timeoutMs < 0) return 0
    const seconds = Math.floor(timeoutMs / 1000)
    const view = this.#memory.view
    view.setUint32(0, seconds, true)
    view.setUint32(4, 0, true)
    view.setUint32(8, Math.floor((timeoutMs - seconds * 1000) * 1e6), true)
    view.setUint32(12, 0, true)
    return this.#memory.address
  }

  #control(operation: number, fd: number, events: number): void {
    const view = this.#memory.view
    view.setUint32(16, events >>> 0, true)
    view.setInt32(16 + dataOffset, fd, true)
    check(control(this.#fd, operation, fd, this.#memory.address + 16) as number, 'epoll_ctl')
  }
}
