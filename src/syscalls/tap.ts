/**
 * TAP devices (Linux Documentation/networking/tuntap.rst): a network interface whose frames are read and
 * written on a descriptor. The interface appears in the caller's network namespace; moved to another one
 * (`ip link set NAME netns …`) it keeps its descriptor. It is gone when the descriptor is closed.
 */
import { allocate, check, close, libc, SyscallError } from './libc.ts'

const O_RDWR_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000
const TUNSETIFF = 0x400454ca
const IFF_TAP_NO_PI = 0x0002 | 0x1000
const SIOCGIFFLAGS = 0x8913
const SIOCSIFFLAGS = 0x8914
const SIOCSIFMTU = 0x8922
const SIOCSIFHWADDR = 0x8924
const SIOCSIFTXQLEN = 0x8943
const IFF_UP = 1
const ARPHRD_ETHER = 1
const AF_INET = 2
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000

const openCall = libc.func('int open(const char *path, int flags)')
const ioctlCall = libc.func('int ioctl(int fd, uint64_t request, uint64_t argument)')
const socketCall = libc.func('int socket(int domain, int type, int protocol)')

/** struct ifreq: name 16, then a union of 24. */
const request = allocate(40)

export interface LinkSettings {
  readonly mtu?: number
  /** `02:xx:…`. */
  readonly mac?: string
  /** Frames that wait in the kernel for the reader; few, so that queues stay where they are managed. */
  readonly txQueueLength?: number
  readonly up?: boolean
}

/**
 * Makes the TAP interface `name` (at most 15 bytes) in the caller's namespace and gives its non-blocking
 * descriptor. Throws SyscallError: EPERM without CAP_NET_ADMIN, ENOENT without /dev/net/tun, EBUSY when taken.
 */
export function openTap(name: string): number {
  const fd = check(openCall('/dev/net/tun', O_RDWR_NONBLOCK_CLOEXEC) as number, 'open /dev/net/tun')
  try {
    nameRequest(name)
    request.view.setUint16(16, IFF_TAP_NO_PI, true)
    check(ioctlCall(fd, TUNSETIFF, request.address) as number, `TUNSETIFF ${name}`)
    return fd
  } catch (error: unknown) {
    close(fd)
    throw error
  }
}

/** Sets an interface of the caller's namespace up (netdevice(7)). Throws SyscallError. */
export function configureLink(name: string, settings: LinkSettings): void {
  const fd = check(socketCall(AF_INET, SOCK_DGRAM_CLOEXEC, 0) as number, 'socket')
  try {
    if (settings.mtu !== undefined) setWord(fd, SIOCSIFMTU, name, settings.mtu)
    if (settings.txQueueLength !== undefined) setWord(fd, SIOCSIFTXQLEN, name, settings.txQueueLength)
    if (settings.mac !== undefined) setMac(fd, name, settings.mac)
    if (settings.up !== undefined) setUp(fd, name, settings.up)
  } finally {
    close(fd)
  }
}

function setWord(fd: number, operation: number, name: string, value: number): void {
  nameRequest(name)
  request.view.setInt32(16, value, true)
  check(ioctlCall(fd, operation, request.address) as number, `ioctl ${operation.toString(16)} ${name}`)
}

function setMac(fd: number, name: string, mac: string): void {
  nameRequest(name)
  request.view.setUint16(16, ARPHRD_ETHER, true)
  const bytes = mac.split(':').map((part) => Number.parseInt(part, 16))
  request.bytes.set(bytes.slice(0, 6), 18)
  check(ioctlCall(fd, SIOCSIFHWADDR, request.address) as number, `SIOCSIFHWADDR ${name}`)
}

function setUp(fd: number, name: string, up: boolean): void {
  nameRequest(name)
  check(ioctlCall(fd, SIOCGIFFLAGS, request.address) as number, `SIOCGIFFLAGS ${name}`)
  const flags = request.view.getUint16(16, true)
  request.view.setUint16(16, up ? flags | IFF_UP : flags & ~IFF_UP, true)
  check(ioctlCall(fd, SIOCSIFFLAGS, request.address) as number, `SIOCSIFFLAGS ${name}`)
}

function nameRequest(name: string): void {
  const bytes = Buffer.from(name)
  if (bytes.length === 0 || bytes.length > 15) throw new SyscallError(`interface name "${name}"`, 22)
  request.bytes.fill(0)
  request.bytes.set(bytes, 0)
}
