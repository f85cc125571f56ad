/**
 * What the forwarder needs of anything that frames come from and go to. A TAP (tap-port.ts) and a
 * vhost-user vNIC (vhost/net-port.ts) are the implementations; both live in the worker.
 *
 * In the arena every frame is a 12-byte virtio_net header (zero where there is no offload) followed by
 * Ethernet without FCS. The loop owns the arena; guest memory never escapes a port.
 */

/** Bytes of virtio_net_hdr_v1 before every frame in an arena. */
export const vnetHeaderBytes = 12

export interface PortCaps {
  /** Takes frames whose checksum is left to do. */
  readonly checksum: boolean
  /** Takes super-frames. */
  readonly tso: boolean
  readonly mtu: number
}

/** Frames of one batch, laid one after the other into a buffer that the loop owns. */
export interface Arena {
  /** The native memory as bytes. */
  readonly bytes: Uint8Array
  /** Its address, for system calls. */
  readonly address: number
  /** Where the next frame may be put. */
  end: number
  /** Number of frames in the batch. */
  count: number
  /** Offset of each frame's vnet header in `bytes`. */
  readonly offset: Uint32Array
  /** Length of each frame, vnet header included. */
  readonly length: Uint32Array
}

export interface Port {
  readonly caps: PortCaps
  /** Appends at most `max` waiting frames to the arena, and as many as it has room for; gives how many. */
  receive(arena: Arena, max: number): number
  /** Sends the frame at `offset` (vnet header included). False: no room, the caller may queue or drop it. */
  send(arena: Arena, offset: number, length: number): boolean
  /** Ends a batch of `send` and `receive`: tells the other side once. */
  flush(): void
  close(): void
}

/** The loop's side of a port's descriptors. */
export interface Watcher {
  /** Calls `ready` from the loop with the epoll events; `edge` asks for edge-triggered readiness. */
  watch(fd: number, events: number, ready: (events: number) => void, edge?: boolean): void
  /** Changes the events of a watched descriptor. */
  change(fd: number, events: number): void
  unwatch(fd: number): void
}

/** What a port tells the loop. */
export interface PortEvents {
  /** Frames may be waiting: `receive` is called in this turn. */
  readable(): void
  /** Room again after `send` gave false. */
  writable(): void
  up(): void
  /** The machine behind is gone or broke the protocol; the loop closes the port. */
  down(reason: string): void
}
