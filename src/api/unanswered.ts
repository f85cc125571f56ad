/**
 * A daemon that is there and does not answer (stopped, or stuck) takes a request and never says a word. So while a
 * request has no answer the daemon is asked now and then who it is, which takes it no time: who does not say even that
 * is told to the person, and at last given up. A request that only takes long goes on.
 */
import { type ClientRequest, request as httpRequest } from 'node:http'
import { ViolinError } from '#core/errors.ts'
import { encodeRequest } from './methods.ts'

export interface Patience {
  /** A request without an answer for so long is looked into. */
  readonly firstMs: number
  /** Who it is the daemon says within this; a machine under load takes some. */
  readonly probeMs: number
  /** So long after the daemon's last word the request fails. */
  readonly giveUpMs: number
  /** Between two questions. */
  readonly againMs: number
}

export const standardPatience: Patience = {
  firstMs: 3_000,
  probeMs: 2_000,
  giveUpMs: 25_000,
  againMs: 1_000
}

/** Looks after a request until it is answered or over; `silent` is told once that the daemon says nothing. */
export function whileUnanswered(
  path: string,
  asked: ClientRequest,
  { firstMs, probeMs, giveUpMs, againMs }: Patience,
  silent: (text: string) => void
): void {
  let heardAt = performance.now()
  let told = false
  let probe: ClientRequest | null = null
  let timer = setTimeout(look, firstMs)

  function look(): void {
    const body = encodeRequest({})
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    probe = httpRequest({ agent: false, socketPath: path, path: '/about', method: 'POST', headers })
    probe.once('response', (response) => {
      response.resume()
      heardAt = performance.now()
      clearTimeout(timer)
      timer = setTimeout(look, againMs)
    })
    // What ended meanwhile ends the request itself, which says so.
    probe.once('error', () => undefined)
    probe.end(body)
    timer = setTimeout(late, probeMs)
  }

  function late(): void {
    probe?.destroy()
    if (!told) silent('the daemon does not answer: it is stopped, or has too much to do; still waiting')
    told = true
    const left = giveUpMs - (performance.now() - heardAt)
    if (left > 0) timer = setTimeout(look, Math.min(againMs, left))
    else
      asked.destroy(
        new ViolinError(
          'not-running',
          `the daemon has not answered for ${Math.round(giveUpMs / 1_000)} s (${path})`,
          'see whether it is stopped (ps), and start it again: violin daemon'
        )
      )
  }

  const over = (): void => {
    clearTimeout(timer)
    probe?.destroy()
  }
  for (const event of ['response', 'upgrade', 'close'] as const) asked.once(event, over)
}
