/**
 * How fast a service reads its peers' streams. libp2p reads what comes as fast as it comes, and what was read is
 * memory until the next collection of garbage, and processor time, whatever the service then makes of it. A peer
 * that brings more than its rate waits: its stream is paused, so its window fills and nothing is lost.
 */
import { performance } from 'node:perf_hooks'
import type { Stream, StreamHandler } from '@libp2p/interface'
import type { Registrar } from '@libp2p/interface-internal'
import type { Rate, Rates } from './rate.ts'

/** A registrar whose handlers are given so many bytes of each peer; all calls but one go through as they are. */
export function throttled(registrar: Registrar, bytesOf: Rates): Registrar {
  return Object.create(registrar, {
    handle: {
      value: (protocol: string, handler: StreamHandler, options?: Parameters<Registrar['handle']>[2]) =>
        registrar.handle(
          protocol,
          async (stream, connection) => {
            // Its reader is there once it returns: what comes waits for the first one.
            const handling = handler(stream, connection)
            pauseBeyond(bytesOf.of(connection.remotePeer.toString()), stream)
            await handling
          },
          options
        )
    }
  }) as Registrar
}

function pauseBeyond(rate: Rate, stream: Stream): void {
  let timer: NodeJS.Timeout | undefined
  const owedMs = (bytes = 0): number => rate.owe(bytes, performance.now())
  const pause = (waitMs: number): void => {
    if (stream.readStatus === 'readable') stream.pause()
    if (stream.readStatus !== 'paused') return
    clearTimeout(timer)
    timer = setTimeout(goOn, waitMs)
  }
  const goOn = (): void => {
    if (stream.readStatus !== 'paused') return
    // Others of the peer's streams may have gone on meanwhile.
    const waitMs = owedMs()
    if (waitMs > 0) pause(waitMs)
    else stream.resume()
  }
  stream.addEventListener('message', ({ data }) => {
    const waitMs = owedMs(data.byteLength)
    // Once it has resumed: a stream that is paused while it does gives its window back for ever.
    if (waitMs > 0) queueMicrotask(() => pause(waitMs))
  })
  stream.addEventListener('close', () => clearTimeout(timer))
  // Another stream is no way around what is owed.
  const waitMs = owedMs()
  if (waitMs > 0) pause(waitMs)
}
