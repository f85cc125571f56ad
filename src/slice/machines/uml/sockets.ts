/** The sockets to which UML's virtio devices connect: made before boot, seen by the jail read-only. */
import { closeSync, constants, mkdirSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { listenUnix } from '#syscalls/unix-socket.ts'

/** UML's user inside the jail is the one that runs this, and no other has business here. */
const socketMode = 0o600

export interface Sockets {
  /** To be bound into the jail. */
  readonly folder: string
  /** Listening descriptors in the order of the names; each belongs to who serves it. */
  readonly descriptors: readonly number[]
}

/** Listens on one socket for each name in a new folder under `parent`. Throws SyscallError; then all are closed. */
export function listenAll(parent: string, names: readonly string[]): Sockets {
  const folder = join(parent, 'sockets')
  mkdirSync(folder, { mode: 0o700 })
  const open = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  const descriptors: number[] = []
  try {
    // A socket's path has 107 bytes at most, and folders of slices are longer.
    for (const name of names) descriptors.push(listenUnix(`/proc/self/fd/${open}/${name}`, socketMode))
    return { folder, descriptors }
  } catch (error: unknown) {
    for (const descriptor of descriptors) closeSync(descriptor)
    throw error
  } finally {
    closeSync(open)
  }
}

/** Listens on one more socket in the folder, in place of a former one of that name. Throws SyscallError. */
export function listenAnew(folder: string, name: string): number {
  rmSync(join(folder, name), { force: true })
  const open = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    return listenUnix(`/proc/self/fd/${open}/${name}`, socketMode)
  } finally {
    closeSync(open)
  }
}
