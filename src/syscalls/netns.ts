/**
 * Network namespaces (network_namespaces(7)): sockets and TAPs belong to the namespace in which they are
 * made, for good, so one process can have some in each.
 */
import { closeSync, openSync } from 'node:fs'
import { check, libc } from './libc.ts'

const CLONE_NEWNET = 0x40000000
const setnsCall = libc.func('int setns(int fd, int type)')
const unshareCall = libc.func('int unshare(int flags)')

/**
 * Runs `make` with this thread in the namespace at `path` (`/run/netns/NAME`, `/proc/PID/ns/net`) and comes
 * back. `make` must not be asynchronous. Throws SyscallError: EPERM without CAP_SYS_ADMIN.
 */
export function inNetworkNamespace<T>(path: string, make: () => T): T {
  const target = openSync(path, 'r')
  try {
    return inNetworkNamespaceOf(target, make)
  } finally {
    closeSync(target)
  }
}

/** The same for an open namespace descriptor, which stays the caller's. */
export function inNetworkNamespaceOf<T>(target: number, make: () => T): T {
  const home = openSync('/proc/thread-self/ns/net', 'r')
  try {
    check(setnsCall(target, CLONE_NEWNET) as number, 'setns')
    try {
      return make()
    } finally {
      check(setnsCall(home, CLONE_NEWNET) as number, 'setns back')
    }
  } finally {
    closeSync(home)
  }
}

/**
 * A new network namespace, by an open descriptor: it lasts as long as something holds it, so nothing of it is left
 * when this process ends in whatever way. The caller closes it. Throws SyscallError: EPERM without CAP_SYS_ADMIN.
 */
export function newNetworkNamespace(): number {
  const home = openSync('/proc/thread-self/ns/net', 'r')
  try {
    check(unshareCall(CLONE_NEWNET) as number, 'unshare')
    try {
      return openSync('/proc/thread-self/ns/net', 'r')
    } finally {
      check(setnsCall(home, CLONE_NEWNET) as number, 'setns back')
    }
  } finally {
    closeSync(home)
  }
}
