/**
 * The key of a closed network, under all else (libp2p's pnet): who has another key, or none, gets no byte that it
 * can read. So a wrong key ends in silence: whoever is dialled takes the first bytes for noise and hangs up, having
 * sent its nonce and nothing behind it.
 */
import { preSharedKey } from '@libp2p/pnet'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import type { ConnectionProtector, MessageStream } from '@libp2p/interface'

/** So many that hang up without a word are no accident; one may have died at that moment. */
const wordlessHangUps = 2

/**
 * Protects connections with the key. `refused` is called once, when peers that were dialled hung up on what they
 * could not read, and none ever answered.
 */
export function protection(key: Uint8Array, refused: () => void): () => ConnectionProtector {
  const psk = fromString(`/key/swarm/psk/1.0.0/\n/base16/\n${toString(key, 'base16')}`)
  const inner = preSharedKey({ psk })()
  let isUnderstood = false
  let hangUps = 0
  const watch = (connection: MessageStream): void => {
    // Its nonce came before: what comes now was said by who could read us.
    connection.addEventListener('message', () => (isUnderstood = true), { once: true })
    connection.addEventListener('close', ({ error }) => {
      if (!isUnderstood && isTheirs(error) && ++hangUps === wordlessHangUps) refused()
    })
  }
  return () => ({
    async protect(connection, options) {
      const protectedStream = await inner.protect(connection, options)
      if (connection.direction === 'outbound') watch(connection)
      return protectedStream
    }
  })
}

/** Whether a connection was ended by the far end: no error of our own, such as a dial that took too long. */
function isTheirs(error: (Error & { readonly code?: unknown }) | undefined): boolean {
  return error === undefined || error === null || error.code === 'ECONNRESET'
}
