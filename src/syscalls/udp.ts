/**
 * UDP sockets for trunks (udp(7), ip(7)): bound to a port of a range, never fragmented, with the kernel's
 * answers about refused datagrams. IPv4 addresses are unsigned numbers in host order.
 */
import { allocate, check, close, errno, lastErrno, libc, type NativeMemory, SyscallError } from './libc.ts'

const AF_INET = 2
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000
const SOL_SOCKET = 1
const SO_SNDBUF = 7
const SO_RCVBUF = 8
const SO_SNDBUFFORCE = 32
const SO_RCVBUFFORCE = 33
const IPPROTO_IP = 0
const SOL_UDP = 17
const UDP_GRO = 104
const IP_MTU_DISCOVER = 10
const IP_RECVERR = 11
/** DF on every datagram and no belief in ICMP's path MTU: what does not fit the path is ours to find out. */
const IP_PMTUDISC_PROBE = 3
const MSG_ERRQUEUE = 0x2000
const MSG_DONTWAIT = 0x40
const SO_EE_ORIGIN_ICMP = 2

const socketCall = libc.func('int socket(int domain, int type, int protocol)')
const bindCall = libc.func('int bind(int fd, uint64_t address, uint32_t length)')
const nameCall = libc.func('int getsockname(int fd, uint64_t address, uint64_t length)')
const optionCall = libc.func('int setsockopt(int fd, int level, int name, uint64_t value, uint32_t length)')
const receiveCall = libc.func('int64_t recvmsg(int fd, uint64_t message, int flags)')

const scratch: NativeMemory = allocate(64)

/** Socket buffers of a trunk socket, bytes: 4 MB hold 40 ms at 800 Mb/s while the worker is off the CPU. */
export const socketBufferBytes: number = 4 * 1024 * 1024

export interface UdpSocket {
  readonly fd: number
  readonly port: number
}

/**
 * Opens a non-blocking UDP socket on the first free port of `first`..`last` (0..0: any). Throws SyscallError,
 * EADDRINUSE when all are taken. The caller closes the descriptor.
 */
export function openUdp(first: number, last: number, ip = 0): UdpSocket {
  const fd = check(socketCall(AF_INET, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0) as number, 'socket')
  try {
    for (let port = first; port <= last; port++) {
      writeSockaddr(scratch.view, 0, ip, port)
      if ((bindCall(fd, scratch.address, 16) as number) === 0) {
        prepareTrunkSocket(fd)
        return { fd, port: boundPort(fd) }
      }
      const error = lastErrno()
      if (error !== errno.EADDRINUSE) throw new SyscallError('bind', error)
    }
    throw new SyscallError('bind', errno.EADDRINUSE)
  } catch (error: unknown) {
    close(fd)
    throw error
  }
}

/** Sets the options of a trunk socket: DF always, the error queue, large buffers (beyond the limit where allowed). */
export function prepareTrunkSocket(fd: number): void {
  setOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
  setOption(fd, IPPROTO_IP, IP_RECVERR, 1)
  setBuffers(fd, socketBufferBytes)
}

/** Lets the kernel hand over runs of equal datagrams as one (UDP_GRO); false where it cannot. */
export function coalesce(fd: number): boolean {
  return trySetOption(fd, SOL_UDP, UDP_GRO, 1)
}

/** Sets both buffers of a socket; without CAP_NET_ADMIN the kernel's limit caps them. */
export function setBuffers(fd: number, bytes: number): void {
  if (!trySetOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes)) setOption(fd, SOL_SOCKET, SO_RCVBUF, bytes)
  if (!trySetOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, bytes)) setOption(fd, SOL_SOCKET, SO_SNDBUF, bytes)
}

/** Port that a socket is bound to. */
export function boundPort(fd: number): number {
  scratch.view.setUint32(32, 16, true)
  check(nameCall(fd, scratch.address, scratch.address + 32) as number, 'getsockname')
  return scratch.view.getUint16(2, false)
}

/** Lays a struct sockaddr_in (16 bytes) at `at`. */
export function writeSockaddr(view: DataView, at: number, ip: number, port: number): void {
  view.setUint16(at, AF_INET, true)
  view.setUint16(at + 2, port, false)
  view.setUint32(at + 4, ip, false)
}

/** Number of a dotted IPv4 address; null when `text` is not one. */
export function parseIpv4(text: string): number | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (match === null) return null
  let ip = 0
  for (const part of match.slice(1)) {
    const byte = Number(part)
    if (byte > 255 || String(byte) !== part) return null
    ip = ip * 256 + byte
  }
  return ip
}

/** Dotted form of an IPv4 number. */
export function formatIpv4(ip: number): string {
  return `${ip >>> 24}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}`
}

/** Reads a socket's error queue (IP_RECVERR, ip(7)): which destinations the network said no for. */
export class ErrorQueue {
  readonly #memory = allocate(56 + 16 + 16 + 64 + 512)
  /** Destination of the datagram that failed. */
  ip = 0
  port = 0
  /** errno that the ICMP answer stands for: ECONNREFUSED when nobody listens there. */
  error = 0

  constructor() {
    const { view, address } = this.#memory
    view.setBigUint64(0, BigInt(address + 56), true)
    view.setBigUint64(16, BigInt(address + 72), true)
    view.setBigUint64(24, 1n, true)
    view.setBigUint64(32, BigInt(address + 88), true)
    view.setBigUint64(72, BigInt(address + 152), true)
    view.setBigUint64(80, 512n, true)
  }

  /** Takes one entry into `ip`, `port` and `error` (0: not from ICMP); false when the queue is empty. */
  next(fd: number): boolean {
    const { view, address } = this.#memory
    view.setUint32(8, 16, true)
    view.setUint32(40, 64, true)
    if ((receiveCall(fd, address, MSG_ERRQUEUE | MSG_DONTWAIT) as number) < 0) return false
    this.port = view.getUint16(58, false)
    this.ip = view.getUint32(60, false)
    // struct cmsghdr (16 bytes), then struct sock_extended_err: errno u32, origin u8.
    const isError = view.getUint32(40, true) >= 32 && view.getInt32(88 + 12, true) === IP_RECVERR
    const fromNetwork = isError && view.getUint8(88 + 20) === SO_EE_ORIGIN_ICMP
    this.error = fromNetwork ? view.getUint32(88 + 16, true) : 0
    return true
  }
}

function trySetOption(fd: number, level: number, name: number, value: number): boolean {
  scratch.view.setInt32(0, value, true)
  return (optionCall(fd, level, name, scratch.address, 4) as number) === 0
}

function setOption(fd: number, level: number, name: number, value: number): void {
  scratch.view.setInt32(0, value, true)
  check(optionCall(fd, level, name, scratch.address, 4) as number, 'setsockopt')
}
