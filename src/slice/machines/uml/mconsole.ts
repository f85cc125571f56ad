/**
 * The management console of a User-Mode Linux kernel: a datagram socket in the jail on which the kernel itself
 * takes commands, whatever its processes do (Documentation/virt/uml, "The Management Console").
 *
 * The jail has a network of its own and no folder in common with the slice, so the socket is reached through
 * /proc, and no answer can come back: what a command does is seen by what happens.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { openDatagramSocket, sendDatagram } from '#syscalls/descriptors.ts'
import { close } from '#syscalls/libc.ts'

/** struct mconsole_request: magic, version, length, text (arch/um/drivers/mconsole.h). */
const magic = 0xcafebabe
const version = 2
/** open(2): a descriptor that only names the file; Node has no constant for it. */
const O_PATH = 0o10000000
/** Where the kernel makes it: `uml_dir` and `umid` of its command line. */
const socketInside = 'tmp/vm/mconsole'

/**
 * Sends a command such as `halt` to the kernel whose jail `pid` started. False: there is no such kernel, or
 * what lies in the place of its socket is not one of this user's: a hijacked guest may have put it there.
 */
export function commandKernel(pid: number, command: string): boolean {
  const text = Buffer.from(command)
  const request = Buffer.alloc(12 + text.length)
  request.writeUInt32LE(magic, 0)
  request.writeUInt32LE(version, 4)
  request.writeUInt32LE(text.length, 8)
  text.copy(request, 12)
  for (const child of childrenOf(pid)) {
    const sent = sendTo(`/proc/${child}/root/${socketInside}`, request) || commandKernel(child, command)
    if (sent) return true
  }
  return false
}

function sendTo(path: string, request: Uint8Array): boolean {
  let fd: number
  try {
    fd = openSync(path, O_PATH | constants.O_NOFOLLOW)
  } catch {
    return false
  }
  try {
    const found = fstatSync(fd)
    if (!found.isSocket() || found.uid !== process.getuid?.()) return false
    const socket = openDatagramSocket()
    try {
      // By descriptor: what was looked at is what is sent to.
      sendDatagram(socket, `/proc/self/fd/${fd}`, request)
      return true
    } finally {
      close(socket)
    }
  } catch {
    // Nobody listens: the kernel is gone already.
    return false
  } finally {
    closeSync(fd)
  }
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
    return text.split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}
