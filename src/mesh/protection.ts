/**
 * The key of a closed network, under all else (libp2p's pnet): who has another key, or none, gets no byte that it
 * can read. By itself that ends in silence, or in a wait for the rest of what was never a line. So both ends of a
 * closed network say one thing first under the key, and hosts of an open one look at how the other end begins:
 * who dials into another network is told so at once, by the first bytes.
 */
import { preSharedKey } from '@libp2p/pnet'
import { byteStream } from '@libp2p/utils'
import { equals } from 'uint8arrays/equals'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { MAX_MISMATCHES } from './bounds.ts'
import type { AbortOptions, ConnectionProtector, MessageStream, MultiaddrConnection } from '@libp2p/interface'
import type { NetworkMismatch } from './contract.ts'

/** What libp2p says first on a connection, whoever dialled: multistream's name as a line, its length before it. */
const greeting = Uint8Array.of(19, ...fromString('/multistream/1.0.0\n'))
/** What pnet says first: chance. */
const nonceBytes = 24
/** What is said first under the key. */
const confirmation = fromString('violin network 1')

/** How one connection turned out; before what it carries is read. */
interface Watch {
  understood(): void
  mismatched(mismatch: NetworkMismatch): Error
}

type Protect = (connection: MessageStream, options: AbortOptions, watch: Watch) => Promise<MessageStream>

export class Network {
  readonly protector: () => ConnectionProtector
  readonly #told: (mismatch: NetworkMismatch) => void
  /** By the address that was dialled, the oldest first. */
  readonly #mismatches = new Map<string, NetworkMismatch>()
  /** Whether anybody was of this network, or the mismatch was told. */
  #isSettled = false

  /** `told` is called once: when a peer that was dialled is in another network, and none ever was in this. */
  constructor(key: Uint8Array | null, told: (mismatch: NetworkMismatch) => void) {
    this.#told = told
    const protect = key === null ? inTheOpen : underKey(key)
    this.protector = () => ({
      protect: async (connection, options) => protect(connection, options ?? {}, this.#watch(connection))
    })
  }

  /** What was found at an address when it was dialled last, if that is another network; asked once. */
  mismatchAt(address: string): NetworkMismatch | null {
    const found = this.#mismatches.get(hostAndPort(address)) ?? null
    this.#mismatches.delete(hostAndPort(address))
    return found
  }

  #watch(connection: MessageStream): Watch {
    return {
      understood: () => (this.#isSettled = true),
      mismatched: (mismatch) => {
        if (connection.direction === 'outbound') {
          this.#note(hostAndPort((connection as MultiaddrConnection).remoteAddr.toString()), mismatch)
          if (!this.#isSettled) this.#told(mismatch)
          this.#isSettled = true
        }
        return new Error(`the far end is in another network: ${mismatch}`)
      }
    }
  }

  #note(address: string, mismatch: NetworkMismatch): void {
    this.#mismatches.delete(address)
    if (this.#mismatches.size >= MAX_MISMATCHES)
      this.#mismatches.delete(this.#mismatches.keys().next().value as string)
    this.#mismatches.set(address, mismatch)
  }
}

function underKey(key: Uint8Array): Protect {
  const psk = fromString(`/key/swarm/psk/1.0.0/\n/base16/\n${toString(key, 'base16')}`)
  const inner = preSharedKey({ psk })()
  return async (connection, options, watch) => {
    let begins = new Uint8Array()
    const listen = ({ data }: { data: { subarray(): Uint8Array } }): void => {
      begins = Uint8Array.from([...begins, ...data.subarray().subarray(0, nonceBytes)])
      if (begins.length >= nonceBytes) connection.removeEventListener('message', listen)
    }
    // Its reader comes in the same breath: what is buffered waits for it.
    connection.addEventListener('message', listen)
    try {
      const bytes = byteStream(await inner.protect(connection, options))
      await bytes.write(confirmation, options)
      const said = await bytes.read({ ...options, bytes: confirmation.length })
      if (!equals(said.subarray(), confirmation)) throw new Error('it said something else under its key')
      watch.understood()
      return bytes.unwrap()
    } catch (error: unknown) {
      if (options.signal?.aborted === true) throw error
      if (isGreeting(begins)) throw watch.mismatched('open')
      // It hangs up on what it cannot read as well.
      if (begins.length >= nonceBytes) throw watch.mismatched('other-key')
      throw error
    }
  }
}

/** Nothing is added; it is only looked at how the other end begins. */
async function inTheOpen(
  connection: MessageStream,
  options: AbortOptions,
  watch: Watch
): Promise<MessageStream> {
  if (connection.direction === 'inbound') {
    const bytes = byteStream(connection)
    const begins = (await bytes.read({ ...options, bytes: greeting.length })).subarray()
    bytes.unwrap()
    if (isGreeting(begins)) {
      watch.understood()
      connection.unshift(begins)
      return connection
    }
    // One of a closed network learns by it that this one is open; all others would wait for the rest of a line.
    connection.send(greeting)
    await connection.close(options)
    throw watch.mismatched('closed')
  }
  // Who is dialled says nothing before it is spoken to, but for one of a closed network.
  connection.addEventListener(
    'message',
    ({ data }) => {
      if (isGreeting(data.subarray())) watch.understood()
      else if (data.byteLength === nonceBytes || data.byteLength === nonceBytes + confirmation.length)
        connection.abort(watch.mismatched('closed'))
    },
    { once: true }
  )
  return connection
}

function isGreeting(bytes: Uint8Array): boolean {
  return equals(bytes.subarray(0, greeting.length), greeting)
}

function hostAndPort(address: string): string {
  return address.replace(/\/p2p\/[^/]+$/, '')
}
