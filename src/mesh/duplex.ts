/**
 * A libp2p stream as a Node stream, with backpressure both ways: a reader that lags pauses the stream, which
 * holds back its window; a writer waits while the far end's window is full.
 */
import { Duplex } from 'node:stream'
import { asError } from './peer.ts'
import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'

/** Wraps a stream that nobody reads yet. Ends of either side are half-closes; `destroy` resets the stream. */
export function streamDuplex(stream: Stream): Duplex {
  return new StreamDuplex(stream)
}

class StreamDuplex extends Duplex {
  readonly #stream: Stream
  /** Ends the write that waits for room. */
  #room: (() => void) | null = null
  /** Within {@link _read}: what waited is being handed over, and filled the reader again. */
  #resuming = false
  #full = false

  constructor(stream: Stream) {
    super({ allowHalfOpen: true, readableHighWaterMark: 64 * 1024, writableHighWaterMark: 64 * 1024 })
    this.#stream = stream
    stream.addEventListener('message', this.#onMessage)
    stream.addEventListener('end', this.#onEnd)
    stream.addEventListener('drain', this.#onDrain)
    stream.addEventListener('close', this.#onClose)
    // A stream that ended before it was wrapped tells nothing any more.
    if (stream.status === 'reset' || stream.status === 'aborted')
      this.destroy(new Error(`the stream was ${stream.status}`))
    else if (stream.readableEnded) this.push(null)
  }

  /**
   * `resume` first hands over what waited and only then opens the window again: a `pause` from within would be
   * undone by it, and the far end would send until the buffer's limit resets the stream. So it comes after.
   */
  override _read(): void {
    this.#full = false
    if (this.#resuming || this.#stream.readStatus !== 'paused') return
    this.#resuming = true
    this.#stream.resume()
    this.#resuming = false
    if (this.#full) this.#hold()
  }

  #hold(): void {
    if (this.#stream.readStatus === 'readable') this.#stream.pause()
  }

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error | null) => void): void {
    try {
      if (this.#stream.send(chunk)) callback()
      else this.#room = callback
    } catch (error: unknown) {
      callback(asError(error))
    }
  }

  override _final(callback: (error?: Error | null) => void): void {
    void this.#end(callback)
  }

  async #end(callback: (error?: Error | null) => void): Promise<void> {
    const error = await this.#stream.close().then(
      () => null,
      (thrown: unknown) => asError(thrown)
    )
    callback(error)
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const stream = this.#stream
    stream.removeEventListener('message', this.#onMessage)
    stream.removeEventListener('end', this.#onEnd)
    stream.removeEventListener('drain', this.#onDrain)
    stream.removeEventListener('close', this.#onClose)
    stream.abort(error ?? new Error('the stream was given up'))
    callback(error)
  }

  readonly #onMessage = ({ data }: StreamMessageEvent): void => {
    let wants = true
    for (const part of data instanceof Uint8Array ? [data] : data) wants = this.push(part)
    if (wants) return
    if (this.#resuming) this.#full = true
    else this.#hold()
  }

  readonly #onEnd = (): void => {
    this.push(null)
  }

  readonly #onDrain = (): void => {
    const room = this.#room
    this.#room = null
    room?.()
  }

  readonly #onClose = ({ error }: StreamCloseEvent): void => {
    if (error !== undefined) this.destroy(error)
    else if (this.#room !== null) this.destroy(new Error('the stream was closed while writing'))
  }
}
