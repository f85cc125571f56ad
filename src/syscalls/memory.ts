/**
 * Memory of others, mapped and yet safe to touch. A file that a virtual machine shares with us can be cut short
 * at any time, and a plain access behind its end would kill this process (SIGBUS). So the mapping is reached
 * only by process_vm_readv(2) and process_vm_writev(2) on our own process: then it is an error (EFAULT).
 */
import { allocate, check, errno, lastErrno, libc, type NativeMemory, SyscallError } from './libc.ts'

const EFAULT = 14
const PROT_READ_WRITE = 3
const MAP_SHARED = 1
const MAP_NORESERVE = 0x4000
const TMPFS_MAGIC = 0x01021994
/** UIO_MAXIOV: what the kernel takes in one call. */
const maxVectors = 1024

const mapCall = libc.func(
  'uint64_t mmap(uint64_t address, uint64_t length, int protection, int flags, int fd, int64_t offset)'
)
const unmapCall = libc.func('int munmap(uint64_t address, uint64_t length)')
const seekCall = libc.func('int64_t lseek(int fd, int64_t offset, int whence)')
const statfsCall = libc.func('int fstatfs(int fd, uint64_t buffer)')
const readCall = libc.func(
  'int64_t process_vm_readv(int pid, uint64_t local, uint64_t locals, uint64_t remote, uint64_t remotes, uint64_t flags)'
)
const writeCall = libc.func(
  'int64_t process_vm_writev(int pid, uint64_t local, uint64_t locals, uint64_t remote, uint64_t remotes, uint64_t flags)'
)

const scratch: NativeMemory = allocate(256)
const { pid } = process

/** A part of a shared file, mapped read-write. Its bytes are reached by {@link Copies} alone. */
export interface SharedMemory {
  readonly address: number
  readonly size: number
}

/**
 * Maps `size` bytes from `offset` (of a page) of the file `fd`, which may be closed after. Only a tmpfs file
 * that is as long as that is taken: one of FUSE could let us wait for ever. Throws SyscallError.
 */
export function mapShared(fd: number, offset: number, size: number): SharedMemory {
  check(statfsCall(fd, scratch.address) as number, 'fstatfs')
  if (scratch.view.getUint32(0, true) !== TMPFS_MAGIC)
    throw new SyscallError('mmap of no tmpfs', errno.EINVAL)
  // Its position is nobody's business: the front end maps it as well.
  const length = Number(seekCall(fd, 0, 2))
  if (length < offset + size) throw new SyscallError('mmap behind the end', errno.EINVAL)
  const flags = MAP_SHARED | MAP_NORESERVE
  const address = Number(mapCall(0, size, PROT_READ_WRITE, flags, fd, offset))
  // MAP_FAILED is -1, here 2⁶⁴ - 1.
  if (address > Number.MAX_SAFE_INTEGER) throw new SyscallError('mmap', lastErrno())
  return { address, size }
}

/** Ends a mapping; a copy from or to it fails after. */
export function unmapShared(memory: SharedMemory): void {
  unmapCall(memory.address, memory.size)
}

/**
 * A list of copies between shared and own memory that one system call carries out, in the list's order: what
 * must be seen first comes first. Between two calls the kernel passes a full fence (it locks and pins), and
 * between two entries as well.
 */
export class Copies {
  #count = 0
  #bytes = 0
  readonly #memory: NativeMemory = allocate(2 * 16 * maxVectors)

  /** Entries that still fit. */
  get room(): number {
    return maxVectors - this.#count
  }

  get count(): number {
    return this.#count
  }

  clear(): void {
    this.#count = 0
    this.#bytes = 0
  }

  /** Appends a copy of `length` bytes; both are addresses, their ranges the caller's to check. */
  add(shared: number, own: number, length: number): void {
    if (this.#count === maxVectors) throw new RangeError(`more than ${maxVectors} copies`)
    this.#write(this.#count * 16, own, length)
    this.#write((maxVectors + this.#count) * 16, shared, length)
    this.#count++
    this.#bytes += length
  }

  /** Takes back the last entries, so that `count` remain. */
  rewind(count: number): void {
    const { view } = this.#memory
    for (let i = count; i < this.#count; i++) this.#bytes -= view.getUint32(i * 16 + 8, true)
    this.#count = Math.min(count, this.#count)
  }

  /** From shared to own memory. False: some of it is not there (any more). */
  read(): boolean {
    return this.#count === 0 || this.#carryOut(readCall as (...args: number[]) => number)
  }

  /** From own to shared memory. False: some of it is not there; entries before that are done. */
  write(): boolean {
    return this.#count === 0 || this.#carryOut(writeCall as (...args: number[]) => number)
  }

  #carryOut(call: (...args: number[]) => number): boolean {
    const own = this.#memory.address
    const done = call(pid, own, this.#count, own + maxVectors * 16, this.#count, 0)
    if (done === this.#bytes) return true
    if (done >= 0 || lastErrno() === EFAULT) return false
    throw new SyscallError('process_vm_readv', lastErrno())
  }

  /** Lays a struct iovec out. */
  #write(at: number, address: number, length: number): void {
    const { view } = this.#memory
    view.setUint32(at, address >>> 0, true)
    view.setUint32(at + 4, Math.floor(address / 2 ** 32), true)
    view.setUint32(at + 8, length, true)
    view.setUint32(at + 12, 0, true)
  }
}
