/**
 * A TAP as a port: one system call a frame each way (the kernel offers no batch).
 */
import { ethernetHeaderBytes, maxFrameBytes } from '#frame/ethernet.ts'
import { epollEvents } from '#syscalls/epoll.ts'
import { close, errno, lastErrno, readInto, writeFrom } from '#syscalls/libc.ts'
import {
  type Arena,
  type Port,
  type PortCaps,
  type PortEvents,
  vnetHeaderBytes,
  type Watcher
} from './port.ts'

/** Takes over the open TAP descriptor `fd` (non-blocking, IFF_NO_PI) and closes it with the port. */
export function openTapPort(fd: number, mtu: number, watcher: Watcher, events: PortEvents): Port {
  return new TapPort(fd, mtu, watcher, events)
}

class TapPort implements Port {
  readonly caps: PortCaps
  readonly #fd: number
  readonly #watcher: Watcher
  readonly #events: PortEvents

  constructor(fd: number, mtu: number, watcher: Watcher, events: PortEvents) {
    this.caps = { checksum: false, tso: false, mtu }
    this.#fd = fd
    this.#watcher = watcher
    this.#events = events
    watcher.watch(fd, epollEvents.in, (ready) => this.#ready(ready))
    events.up()
  }

  receive(arena: Arena, max: number): number {
    let count = 0
    while (count < max && arena.bytes.length - arena.end >= vnetHeaderBytes + maxFrameBytes) {
      const at = arena.end
      const length = readInto(this.#fd, arena.address + at + vnetHeaderBytes, maxFrameBytes)
      if (length < ethernetHeaderBytes) break
      arena.bytes.fill(0, at, at + vnetHeaderBytes)
      arena.offset[arena.count] = at
      arena.length[arena.count] = vnetHeaderBytes + length
      arena.count++
      // The next frame starts on a word, as the checksums like it.
      arena.end = (at + vnetHeaderBytes + length + 7) & ~7
      count++
    }
    return count
  }

  send(arena: Arena, offset: number, length: number): boolean {
    const frame = arena.address + offset + vnetHeaderBytes
    if (writeFrom(this.#fd, frame, length - vnetHeaderBytes) >= 0) return true
    // EIO: the interface is down and takes nothing; waiting for it would be in vain.
    return lastErrno() === errno.EIO
  }

  flush(): void {
    // Every frame was written at once.
  }

  close(): void {
    this.#watcher.unwatch(this.#fd)
    close(this.#fd)
  }

  #ready(ready: number): void {
    if ((ready & epollEvents.in) !== 0) this.#events.readable()
    else if ((ready & epollEvents.error) !== 0) this.#events.down('the TAP device is gone')
  }
}
