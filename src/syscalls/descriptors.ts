/**
 * Open descriptors handed from process to process over AF_UNIX datagram sockets (unix(7), SCM_RIGHTS): one
 * descriptor a datagram, and a short text that says what it is.
 */
import { allocate, check, close, errno, lastErrno, libc, SyscallError } from './libc.ts'

const AF_UNIX = 1
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000
const SOL_SOCKET = 1
const SCM_RIGHTS = 1
const MSG_DONTWAIT = 0x40
const MSG_CMSG_CLOEXEC = 0x40000000
/** struct sockaddr_un: family 2, path 108 with its NUL. */
const pathBytes = 108
/** Longest text with a descriptor, bytes. */
const textBytes = 512

const socketCall = libc.func('int socket(int domain, int type, int protocol)')
const bindCall = libc.func('int bind(int fd, uint64_t address, uint32_t length)')
const sendCall = libc.func('int64_t sendmsg(int fd, uint64_t message, int flags)')
const receiveCall = libc.func('int64_t recvmsg(int fd, uint64_t message, int flags)')

/** struct msghdr 56, iovec 16, sockaddr_un 110 (padded to 112), cmsg room 64, text. */
const iovecAt = 56
const nameAt = 72
const controlAt = 184
const controlBytes = 64
const textAt = controlAt + controlBytes
const scratch = allocate(textAt + textBytes)

/**
 * Binds a non-blocking datagram socket to `path`, which must not exist; the umask says who may send. Throws
 * SyscallError. The caller closes the descriptor and removes the path.
 */
export function bindDescriptorSocket(path: string): number {
  const fd = check(socketCall(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0) as number, 'socket')
  try {
    const length = writeAddress(path)
    check(bindCall(fd, scratch.address + nameAt, length) as number, `bind ${path}`)
    return fd
  } catch (error: unknown) {
    close(fd)
    throw error
  }
}

/** A datagram socket without an address, for {@link sendDatagram}. The caller closes it. */
export function openDatagramSocket(): number {
  return check(socketCall(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0) as number, 'socket')
}

/** Sends bytes to the socket at `path`. Throws SyscallError, RangeError above 512 bytes. */
export function sendDatagram(socket: number, path: string, bytes: Uint8Array): void {
  if (bytes.length === 0 || bytes.length > textBytes)
    throw new RangeError(`datagram of ${bytes.length} bytes`)
  writeHeader(writeAddress(path), bytes.length, 0)
  scratch.bytes.set(bytes, textAt)
  check(Number(sendCall(socket, scratch.address, MSG_DONTWAIT)), `sendmsg ${path}`)
}

/** Sends a copy of `fd` with a text to the socket at `path`. Throws SyscallError; EAGAIN when its queue is full. */
export function sendDescriptor(socket: number, path: string, text: string, fd: number): void {
  const bytes = Buffer.from(text)
  if (bytes.length === 0 || bytes.length > textBytes) throw new RangeError(`text of ${bytes.length} bytes`)
  writeHeader(writeAddress(path), bytes.length, 24)
  scratch.bytes.set(bytes, textAt)
  const { view } = scratch
  // struct cmsghdr: length (16 and the descriptor), level, type.
  view.setBigUint64(controlAt, 20n, true)
  view.setInt32(controlAt + 8, SOL_SOCKET, true)
  view.setInt32(controlAt + 12, SCM_RIGHTS, true)
  view.setInt32(controlAt + 16, fd, true)
  check(Number(sendCall(socket, scratch.address, MSG_DONTWAIT)), `sendmsg ${path}`)
}

/**
 * Takes the next datagram that holds a descriptor, which is the caller's then; null when none waits. Datagrams
 * without one are dropped.
 */
export function receiveDescriptor(socket: number): { readonly text: string; readonly fd: number } | null {
  for (;;) {
    writeHeader(pathBytes + 2, textBytes, controlBytes)
    const length = Number(receiveCall(socket, scratch.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC))
    if (length < 0) {
      const error = lastErrno()
      if (error === errno.EAGAIN) return null
      throw new SyscallError('recvmsg', error)
    }
    const [fd, ...more] = received()
    for (const other of more) close(other)
    if (fd !== undefined)
      return { text: Buffer.from(scratch.bytes.subarray(textAt, textAt + length)).toString(), fd }
  }
}

/** Descriptors of the control message just received: the room bounds them. */
function received(): number[] {
  const { view } = scratch
  const filled = Number(view.getBigUint64(40, true))
  if (filled < 20) return []
  const isRights =
    view.getInt32(controlAt + 8, true) === SOL_SOCKET && view.getInt32(controlAt + 12, true) === SCM_RIGHTS
  if (!isRights) return []
  const count = Math.floor((Number(view.getBigUint64(controlAt, true)) - 16) / 4)
  return Array.from({ length: count }, (_, i) => view.getInt32(controlAt + 16 + 4 * i, true))
}

function writeHeader(nameLength: number, textLength: number, controlLength: number): void {
  const { view, address } = scratch
  view.setBigUint64(0, BigInt(address + nameAt), true)
  view.setUint32(8, nameLength, true)
  view.setBigUint64(16, BigInt(address + iovecAt), true)
  view.setBigUint64(24, 1n, true)
  view.setBigUint64(32, BigInt(address + controlAt), true)
  view.setBigUint64(40, BigInt(controlLength), true)
  view.setUint32(48, 0, true)
  view.setBigUint64(iovecAt, BigInt(address + textAt), true)
  view.setBigUint64(iovecAt + 8, BigInt(textLength), true)
}

/** Lays a struct sockaddr_un; gives its length. */
function writeAddress(path: string): number {
  const bytes = Buffer.from(path)
  if (bytes.length === 0 || bytes.length >= pathBytes)
    throw new RangeError(`socket path of ${bytes.length} bytes`)
  scratch.bytes.fill(0, nameAt, controlAt)
  scratch.view.setUint16(nameAt, AF_UNIX, true)
  scratch.bytes.set(bytes, nameAt + 2)
  return 2 + bytes.length + 1
}
