/**
 * Pseudo-terminals (pty(7), ioctl_tty(2)) of a given devpts instance, so that a terminal has a name in the
 * mount namespace whose programs use it.
 */
import { closeSync, constants, openSync } from 'node:fs'
import { allocate, check, libc } from './libc.ts'

const TIOCSPTLCK = 0x40045431
const TIOCGPTPEER = 0x5441
const TIOCSWINSZ = 0x5414
const O_CLOEXEC = 0o2000000

const ioctlCall = libc.func('int ioctl(int fd, uint64_t request, uint64_t argument)')
const scratch = allocate(16)

export interface Pseudoterminal {
  /** Non-blocking; the caller closes it. */
  readonly master: number
  /** For the program's standard streams; closed by the caller once the program has it. */
  readonly slave: number
}

/**
 * Opens a new terminal of the devpts file system whose root is open as `folder`. Throws SyscallError, or what
 * open(2) says when the folder is no devpts.
 */
export function openPseudoterminal(folder: number): Pseudoterminal {
  const flags = constants.O_RDWR | constants.O_NOCTTY
  const master = openSync(`/proc/self/fd/${folder}/ptmx`, flags | constants.O_NONBLOCK)
  try {
    scratch.view.setInt32(0, 0, true)
    check(ioctlCall(master, TIOCSPTLCK, scratch.address) as number, 'TIOCSPTLCK')
    const slave = check(ioctlCall(master, TIOCGPTPEER, flags | O_CLOEXEC) as number, 'TIOCGPTPEER')
    return { master, slave }
  } catch (error: unknown) {
    closeSync(master)
    throw error
  }
}

/** Tells the programs behind a terminal its new size (they get SIGWINCH). Throws SyscallError. */
export function resizeTerminal(master: number, rows: number, columns: number): void {
  scratch.view.setUint16(0, rows, true)
  scratch.view.setUint16(2, columns, true)
  scratch.view.setUint32(4, 0, true)
  check(ioctlCall(master, TIOCSWINSZ, scratch.address) as number, 'TIOCSWINSZ')
}
