/**
 * The C library of this process, and how a failed call becomes an error. All calls of this folder go
 * through {@link libc}; addresses are plain numbers (a user-space address is below 2⁴⁷ and fits a double),
 * lengths and descriptors too, so a call allocates nothing.
 */
import { constants } from 'node:os'
import koffi, { type LibraryHandle } from 'koffi'

/** Whatever the process has loaded: libc, and Node's own OpenSSL. A second libcrypto would crash it. */
export const libc: LibraryHandle = koffi.load(null)

const errnoNames = new Map<number, string>(
  Object.entries(constants.errno).map(([name, value]) => [value, name])
)

/** Error numbers that callers decide by, Linux values (errno(3)). */
export const errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  EAGAIN: 11,
  EEXIST: 17,
  EINVAL: 22,
  EPIPE: 32,
  ENOSYS: 38,
  EMSGSIZE: 90,
  EADDRINUSE: 98,
  ENETUNREACH: 101,
  ECONNRESET: 104,
  ENOBUFS: 105,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113
} as const

/** A system call failed. `code` is the errno's name, as in Node's own errors. */
export class SyscallError extends Error {
  override readonly name = 'SyscallError'
  readonly code: string
  readonly errno: number
  readonly syscall: string

  constructor(syscall: string, number: number) {
    const code = errnoNames.get(number) ?? `errno ${number}`
    super(`${syscall}: ${code}`)
    this.code = code
    this.errno = number
    this.syscall = syscall
  }
}

/** The error number of the last call in this thread; read it before any other call. */
export function lastErrno(): number {
  return koffi.errno()
}

/** Gives the result of a call back, or throws a {@link SyscallError} when it is negative. */
export function check(result: number, syscall: string): number {
  if (result < 0) throw new SyscallError(syscall, koffi.errno())
  return result
}

/** Native memory that this process owns: bytes to read and write, and their address for calls. */
export interface NativeMemory {
  readonly address: number
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly view: DataView<ArrayBuffer>
}

const callocCall = libc.func('uint64_t calloc(uint64_t count, uint64_t size)')
const freeCall = libc.func('void free(uint64_t address)')

/**
 * Allocates zeroed native memory of `size` bytes that never moves; pages are taken when first touched. It is
 * meant for buffers that live as long as their thread; {@link free} gives it back, and its views must not be
 * touched after. Throws a {@link SyscallError} (ENOMEM) when there is none.
 */
export function allocate(size: number): NativeMemory {
  const address = Number(callocCall(1, size))
  if (address === 0) throw new SyscallError('calloc', constants.errno.ENOMEM)
  const buffer = koffi.view(BigInt(address), size)
  return { address, bytes: new Uint8Array(buffer), view: new DataView(buffer) }
}

/** Gives native memory back; nothing may use its views after. */
export function free(memory: NativeMemory): void {
  freeCall(memory.address)
}

const closeCall = libc.func('int close(int fd)')
const readCall = libc.func('int64_t read(int fd, uint64_t buffer, uint64_t length)')
const writeCall = libc.func('int64_t write(int fd, uint64_t buffer, uint64_t length)')

/** close(2). Never throws: after a failed close the descriptor is gone as well. */
export function close(fd: number): void {
  closeCall(fd)
}

/** read(2) into native memory; negative on failure, see {@link lastErrno}. */
export function readInto(fd: number, address: number, length: number): number {
  return readCall(fd, address, length) as number
}

/** write(2) from native memory; negative on failure, see {@link lastErrno}. */
export function writeFrom(fd: number, address: number, length: number): number {
  return writeCall(fd, address, length) as number
}
