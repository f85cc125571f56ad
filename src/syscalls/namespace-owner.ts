/**
 * Whose a namespace is (ioctl_ns(2)).
 */
import { allocate, check, close, libc } from './libc.ts'

const NS_GET_USERNS = 0xb701
const NS_GET_NSTYPE = 0xb703
const NS_GET_OWNER_UID = 0xb704
const CLONE_NEWNET = 0x40000000

const ioctlCall = libc.func('int ioctl(int fd, uint64_t request, uint64_t argument)')
const scratch = allocate(8)

/** True when the open descriptor is a network namespace. */
export function isNetworkNamespace(fd: number): boolean {
  return (ioctlCall(fd, NS_GET_NSTYPE, 0) as number) === CLONE_NEWNET
}

/**
 * User id, as seen here, of who made the user namespace that owns the namespace `fd`. Throws SyscallError:
 * EPERM when that is outside of the caller's own, ENOTTY when `fd` is no namespace.
 */
export function namespaceOwner(fd: number): number {
  const userNamespace = check(ioctlCall(fd, NS_GET_USERNS, 0) as number, 'NS_GET_USERNS')
  try {
    check(ioctlCall(userNamespace, NS_GET_OWNER_UID, scratch.address) as number, 'NS_GET_OWNER_UID')
    return scratch.view.getUint32(0, true)
  } finally {
    close(userNamespace)
  }
}
