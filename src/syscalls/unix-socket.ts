/**
 * AF_UNIX stream sockets on which descriptors come along with bytes (unix(7), SCM_RIGHTS): what vhost-user
 * speaks. All sockets are non-blocking.
 */
import { chmodSync } from 'node:fs'
import { allocate, check, close, errno, lastErrno, libc, type NativeMemory, SyscallError } from './libc.ts'

const AF_UNIX = 1
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0o4000 | 0o2000000
const SOCK_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000
const SOL_SOCKET = 1
const SCM_RIGHTS = 1
const MSG_CTRUNC = 0x08
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
const MSG_CMSG_CLOEXEC = 0x40000000
/** sun_path of struct sockaddr_un, its NUL included. */
const pathBytes = 108
/** Front ends that wait to be accepted: one is the rule. */
const backlog = 1
/** Most bytes of one {@link receiveBytes} or {@link sendBytes}. */
const maxBytes = 8192
/** Most descriptors that come with them: vhost-user has eight at most. */
const maxDescriptors = 8

const socketCall = libc.func('int socket(int domain, int type, int protocol)')
const bindCall = libc.func('int bind(int fd, uint64_t address, uint32_t length)')
const connectCall = libc.func('int connect(int fd, uint64_t address, uint32_t length)')
const listenCall = libc.func('int listen(int fd, int backlog)')
const acceptCall = libc.func('int accept4(int fd, uint64_t address, uint64_t length, int flags)')
const sendMessageCall = libc.func('int64_t sendmsg(int fd, uint64_t message, int flags)')
const receiveMessageCall = libc.func('int64_t recvmsg(int fd, uint64_t message, int flags)')
const sendCall = libc.func('int64_t send(int fd, uint64_t buffer, uint64_t length, int flags)')

/** struct msghdr 56, iovec 16, sockaddr_un 112, cmsghdr 16 and the descriptors, bytes. */
const iovecAt = 56
const nameAt = 72
const controlAt = 184
const controlBytes = 16 + 4 * maxDescriptors
const bytesAt = 256
const scratch: NativeMemory = allocate(bytesAt + maxBytes)
const one: NativeMemory = allocate(8)
one.view.setUint32(0, 1, true)

/**
 * Listens on `path`, which must not exist; `mode` are the socket's permission bits. Throws SyscallError. The
 * caller closes the descriptor and removes the path.
 */
export function listenUnix(path: string, mode: number): number {
  const fd = check(socketCall(AF_UNIX, SOCK_STREAM_NONBLOCK_CLOEXEC, 0) as number, 'socket')
  try {
    check(bindCall(fd, scratch.address + nameAt, writeAddress(path)) as number, `bind ${path}`)
    // Nobody can connect before listen, so nobody can with other permissions.
    chmodSync(path, mode)
    check(listenCall(fd, backlog) as number, 'listen')
    return fd
  } catch (error: unknown) {
    close(fd)
    throw error
  }
}

/** Connects to the socket at `path`. Throws SyscallError. The caller closes the descriptor. */
export function connectUnix(path: string): number {
  const fd = check(socketCall(AF_UNIX, SOCK_STREAM_NONBLOCK_CLOEXEC, 0) as number, 'socket')
  if ((connectCall(fd, scratch.address + nameAt, writeAddress(path)) as number) === 0) return fd
  const error = new SyscallError(`connect ${path}`, lastErrno())
  close(fd)
  throw error
}

/** Takes the next connection of a listening socket; -1: none waits, or it went away meanwhile. */
export function acceptUnix(fd: number): number {
  return acceptCall(fd, 0, 0, SOCK_NONBLOCK_CLOEXEC) as number
}

export interface Received {
  /** Empty: the other side has closed. */
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Descriptors that came along, the caller's to close. */
  readonly descriptors: readonly number[]
  /** More descriptors came than there is room for; the kernel closed them. */
  readonly truncated: boolean
}

/** Takes at most `max` bytes and what descriptors came with them; null when nothing waits. Throws SyscallError. */
export function receiveBytes(fd: number, max: number): Received | null {
  writeHeader(Math.min(max, maxBytes), controlBytes)
  const length = Number(receiveMessageCall(fd, scratch.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC))
  if (length < 0) {
    const error = lastErrno()
    if (error === errno.EAGAIN || error === errno.EINTR) return null
    throw new SyscallError('recvmsg', error)
  }
  return {
    bytes: scratch.bytes.slice(bytesAt, bytesAt + length),
    descriptors: receivedDescriptors(),
    truncated: (scratch.view.getInt32(48, true) & MSG_CTRUNC) !== 0
  }
}

/**
 * Sends all of `bytes` (8 KiB at most) with copies of `descriptors`; false when the socket had not room for
 * all of it. Throws SyscallError.
 */
export function sendBytes(fd: number, bytes: Uint8Array, descriptors: readonly number[] = []): boolean {
  if (bytes.length > maxBytes || descriptors.length > maxDescriptors)
    throw new RangeError('message too large')
  const controlLength = descriptors.length === 0 ? 0 : 16 + 4 * descriptors.length
  writeHeader(bytes.length, Math.ceil(controlLength / 8) * 8)
  scratch.bytes.set(bytes, bytesAt)
  const { view } = scratch
  view.setBigUint64(controlAt, BigInt(controlLength), true)
  view.setInt32(controlAt + 8, SOL_SOCKET, true)
  view.setInt32(controlAt + 12, SCM_RIGHTS, true)
  for (const [i, descriptor] of descriptors.entries()) view.setInt32(controlAt + 16 + 4 * i, descriptor, true)
  const sent = Number(sendMessageCall(fd, scratch.address, MSG_DONTWAIT | MSG_NOSIGNAL))
  if (sent >= 0) return sent === bytes.length
  const error = lastErrno()
  if (error === errno.EAGAIN) return false
  throw new SyscallError('sendmsg', error)
}

/**
 * Rings the bell of UML's virtio driver: eight bytes on a socket, which count as one wake-up. A full socket
 * is rung already, and a descriptor that is no socket is its giver's problem.
 */
export function ringBell(fd: number): void {
  sendCall(fd, one.address, 8, MSG_DONTWAIT | MSG_NOSIGNAL)
}

function receivedDescriptors(): number[] {
  const { view } = scratch
  const filled = Number(view.getBigUint64(40, true))
  const isRights =
    filled >= 20 &&
    view.getInt32(controlAt + 8, true) === SOL_SOCKET &&
    view.getInt32(controlAt + 12, true) === SCM_RIGHTS
  if (!isRights) return []
  const count = Math.floor((Number(view.getBigUint64(controlAt, true)) - 16) / 4)
  return Array.from({ length: count }, (_, i) => view.getInt32(controlAt + 16 + 4 * i, true))
}

/** Lays struct msghdr out: no name, one iovec, `controlLength` bytes of control. */
function writeHeader(length: number, controlLength: number): void {
  const { view, address } = scratch
  scratch.bytes.fill(0, 0, nameAt)
  view.setBigUint64(16, BigInt(address + iovecAt), true)
  view.setBigUint64(24, 1n, true)
  view.setBigUint64(32, BigInt(controlLength === 0 ? 0 : address + controlAt), true)
  view.setBigUint64(40, BigInt(controlLength), true)
  view.setBigUint64(iovecAt, BigInt(address + bytesAt), true)
  view.setBigUint64(iovecAt + 8, BigInt(length), true)
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
