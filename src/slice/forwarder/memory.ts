/**
 * The one native memory of a worker and its parts. Frames, datagrams and pieces of frames all lie in it, so
 * that moving one is a copyWithin and a place is a number. Pages are taken by the kernel when first touched.
 */
import { maxDatagramBytes } from '#frame/datagram.ts'
import { shaperSlotBytes } from '#frame/shaper.ts'
import { assemblyBytes } from '#frame/unpacker.ts'
import { allocate, type NativeMemory } from '#syscalls/libc.ts'
import type { Arena } from './port.ts'

/** Datagrams a sendmmsg. */
export const batchSlots = 64
/** Messages a recvmmsg, each with as many datagrams as the kernel hands over as one. */
export const receiveSlots = 32
export const receiveSlotBytes = 65_536
/** Control datagrams that are sent in one go. */
export const controlSlots = 32
/** A datagram and headroom, a multiple of a cache line. */
export const slotBytes = 2048
/** Datagrams with unfinished frames, all trunks together. */
export const fragmentSlots = 1024
/** Frames that wait for their due time: 20 ms at 500 Mb/s are 830. */
export const delayedFrames = 8192
/** Frames that one port gives in a turn. */
export const portBatch = 64
/** Room for them. */
const arenaBytes = 512 * 1024

export interface Layout {
  readonly memory: NativeMemory
  readonly receiveAt: number
  readonly dataAt: number
  readonly controlAt: number
  readonly relayAt: number
  readonly fragmentsAt: number
  readonly assemblyAt: number
  readonly delayedAt: number
  /** Frames received from a port; it ends where the memory ends. */
  readonly arenaAt: number
  readonly arena: Arena
}

/** Allocates a worker's memory. It lives as long as the worker. */
export function layOut(): Layout {
  // A cache line before the first slot: headroom of a frame at its start.
  const receiveAt = 64
  const dataAt = receiveAt + receiveSlots * receiveSlotBytes
  const controlAt = dataAt + batchSlots * slotBytes
  const relayAt = controlAt + controlSlots * slotBytes
  const fragmentsAt = relayAt + batchSlots * slotBytes
  const assemblyAt = fragmentsAt + fragmentSlots * maxDatagramBytes
  const delayedAt = Math.ceil((assemblyAt + assemblyBytes) / 64) * 64
  const arenaAt = delayedAt + delayedFrames * shaperSlotBytes
  const memory = allocate(arenaAt + arenaBytes)
  const arena: Arena = {
    bytes: memory.bytes,
    address: memory.address,
    end: arenaAt,
    count: 0,
    offset: new Uint32Array(portBatch),
    length: new Uint32Array(portBatch)
  }
  return {
    memory,
    receiveAt,
    dataAt,
    controlAt,
    relayAt,
    fragmentsAt,
    assemblyAt,
    delayedAt,
    arenaAt,
    arena
  }
}
