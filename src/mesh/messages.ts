/**
 * A libp2p stream as the duplex that it-pipe takes. (`messageStreamToDuplex` of libp2p hears the end of the
 * other side only if it comes after it was made; a short request and its end come together, and on a busy host
 * before anybody serves them.)
 */
import { MAX_LENGTH_BYTES } from './bounds.ts'
import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'

type Chunk = Uint8Array | Uint8ArrayList

export interface Messages {
  /** What comes until the other side ends. Throws when the stream breaks; read once. */
  readonly source: AsyncIterable<Chunk>
  /** Sends everything and ends this side. */
  readonly sink: (source: Iterable<Chunk> | AsyncIterable<Chunk>) => Promise<void>
}

/**
 * Takes a stream over, at once. It is aborted when more than one message of `maxBytes` comes: nothing else
 * bounds what waits unread. Throws where the stream is over already.
 */
export function messagesOf(stream: Stream, maxBytes: number): Messages {
  if (stream.status !== 'open') throw new Error(`the stream was ${stream.status}`)
  const inbox = new Inbox(stream, maxBytes + MAX_LENGTH_BYTES)
  return {
    source: inbox.read(),
    sink: async (source) => {
      for await (const chunk of source) if (!stream.send(chunk)) await stream.onDrain()
      await stream.close()
    }
  }
}

class Inbox {
  readonly #chunks: Chunk[] = []
  readonly #maxBytes: number
  #received = 0
  /** How it ended; undefined while it has not. */
  #ended: { readonly error: Error | null } | undefined
  #wake: () => void = () => undefined

  constructor(stream: Stream, maxBytes: number) {
    this.#maxBytes = maxBytes
    stream.addEventListener('message', ({ data }: StreamMessageEvent) => this.#take(stream, data))
    // It comes after the last message, whenever the other side ended.
    stream.addEventListener('end', () => this.#end(null))
    stream.addEventListener('close', ({ error }: StreamCloseEvent) => this.#end(error ?? null))
    if (stream.readableEnded) this.#end(null)
  }

  async *read(): AsyncGenerator<Chunk> {
    for (;;) {
      const chunk = this.#chunks.shift()
      if (chunk !== undefined) yield chunk
      else if (this.#ended === undefined) await new Promise<void>((resolve) => (this.#wake = resolve))
      else if (this.#ended.error !== null) throw this.#ended.error
      else return
    }
  }

  #take(stream: Stream, data: Chunk): void {
    this.#received += data.byteLength
    if (this.#received > this.#maxBytes) {
      queueMicrotask(() => stream.abort(new Error(`more than ${this.#maxBytes} bytes`)))
      return
    }
    this.#chunks.push(data)
    this.#wake()
  }

  /** The first end is how it ended, but a break after it is one all the same: what was said may be cut short. */
  #end(error: Error | null): void {
    if (this.#ended === undefined || this.#ended.error === null) this.#ended = { error }
    this.#wake()
  }
}
