/**
 * eventfd(2): a descriptor by which one thread wakes another that is blocked in epoll.
 */
import { allocate, check, close, libc, readInto, writeFrom } from './libc.ts'

const EFD_NONBLOCK_CLOEXEC = 0o2000000 | 0o4000

const eventfdCall = libc.func('int eventfd(uint32_t initial, int flags)')

const one = allocate(8)
one.view.setBigUint64(0, 1n, true)
const drained = allocate(8)

/** Opens a non-blocking eventfd. The caller closes it with {@link closeEventfd}. */
export function openEventfd(): number {
  return check(eventfdCall(0, EFD_NONBLOCK_CLOEXEC) as number, 'eventfd')
}

/** Makes the descriptor readable; wakes whoever waits on it. Safe to call often: wake-ups add up to one. */
export function wake(fd: number): void {
  writeFrom(fd, one.address, 8)
}

/** Takes all wake-ups so far. */
export function drain(fd: number): void {
  readInto(fd, drained.address, 8)
}

/** Ends an eventfd. */
export function closeEventfd(fd: number): void {
  close(fd)
}
