/**
 * What the main thread and the console worker say to each other. As in the forwarder, the main thread writes
 * the worker's eventfd after a command. Bytes go as transferred buffers, at most {@link windowBytes} of a stream
 * each way that the other side has not confirmed.
 */

/** Unconfirmed bytes of a stream, each way. Memory for speed: at 100 MB/s it is 2.5 ms of delay between threads. */
export const windowBytes: number = 256 * 1024

export interface ConsoleStart {
  /** eventfd that wakes the worker after a posted command. */
  readonly wakeFd: number
}

/** `device` and `stream` are numbers that the main thread gives and never uses twice. */
export type ConsoleCommand =
  | { readonly kind: 'attach'; readonly device: number; readonly listenFd: number; readonly maxPorts: number }
  | { readonly kind: 'detach'; readonly device: number }
  /** A stream on a port that has none. */
  | { readonly kind: 'open'; readonly device: number; readonly port: number; readonly stream: number }
  | { readonly kind: 'data'; readonly stream: number; readonly bytes: Uint8Array<ArrayBuffer> }
  /** No more bytes to the guest: its end of file, after what is on its way. */
  | { readonly kind: 'end'; readonly stream: number }
  /** The main thread took bytes of the guest. */
  | { readonly kind: 'taken'; readonly stream: number; readonly bytes: number }
  /** Nobody has the stream any more: what is on its way either way is dropped. */
  | { readonly kind: 'release'; readonly stream: number }
  | { readonly kind: 'stop' }

export type ConsoleReport =
  /** The guest's driver runs. */
  | { readonly kind: 'connected'; readonly device: number }
  /** The device is over, and with it its streams. */
  | { readonly kind: 'disconnected'; readonly device: number; readonly reason: string }
  /** The guest has made the port's device: it can be opened there. */
  | { readonly kind: 'ready'; readonly stream: number }
  /** The guest opened the port. */
  | { readonly kind: 'opened'; readonly stream: number }
  | { readonly kind: 'data'; readonly stream: number; readonly bytes: Uint8Array<ArrayBuffer> }
  /** The guest closed the port; all that it wrote was told before. */
  | { readonly kind: 'end'; readonly stream: number }
  /** Bytes reached the guest, or it is past wanting them. */
  | { readonly kind: 'sent'; readonly stream: number; readonly bytes: number }
