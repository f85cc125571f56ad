/**
 * A guest's memory as its devices see it: addresses of the guest become addresses of the mapping, or nothing.
 */
import { type Copies, mapShared, type SharedMemory, unmapShared } from '#syscalls/memory.ts'
import { VhostFault } from './fault.ts'
import type { MemoryRegion } from './protocol.ts'

export class GuestMemory {
  readonly #region: MemoryRegion
  readonly #mapping: SharedMemory

  /** Maps a region of the file `fd`, which the caller closes. Throws SyscallError. */
  constructor(fd: number, region: MemoryRegion) {
    this.#region = region
    this.#mapping = mapShared(fd, region.offset, region.size)
  }

  /** Where `length` bytes at a guest's physical address lie. Throws {@link VhostFault} when they do not. */
  physical(address: number, length: number): number {
    return this.#locate(address - this.#region.guest, length)
  }

  /** The same for an address of the front end's process. */
  user(address: number, length: number): number {
    return this.#locate(address - this.#region.user, length)
  }

  close(): void {
    unmapShared(this.#mapping)
  }

  #locate(offset: number, length: number): number {
    if (offset < 0 || offset + length > this.#region.size)
      throw new VhostFault('address outside of the memory')
    return this.#mapping.address + offset
  }
}

/** Carries reads out. Throws {@link VhostFault} when the guest took its memory away. */
export function readAll(copies: Copies): void {
  if (!copies.read()) throw new VhostFault('memory was taken away')
}

/** Carries writes out. Throws {@link VhostFault} when the guest took its memory away. */
export function writeAll(copies: Copies): void {
  if (!copies.write()) throw new VhostFault('memory was taken away')
}
