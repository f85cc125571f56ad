/**
 * The keys of one trunk session: seals, opens, and moves on to the next key phase inside itself.
 *
 * A phase change: the initiator sends a fresh public key, the responder answers with one and can read the
 * new phase from then on; the initiator writes it at once, the responder when it first reads it. The former
 * key still reads for a while.
 */
import {
  datagramHeaderBytes,
  maxCounter,
  nonceBytes,
  sealTagBytes,
  writeHeader,
  writeNonce
} from '#frame/datagram.ts'
import { decodeRekey, encodeRekey } from '#frame/control.ts'
import { ReplayWindow } from '#frame/replay.ts'
import { Gcm } from '#syscalls/evp.ts'
import { allocate, free, type NativeMemory } from '#syscalls/libc.ts'
import type { TrunkSession } from './contract.ts'
import { type DhKey, expandPhase, freshDhKey, sharedSecret } from './keys.ts'

/** A phase ends after this long, or after this many datagrams (RFC 9001, appendix B). */
export const phaseMs = 120_000
export const phaseDatagrams: number = 2 ** 26
/** The former phase's key reads this long. */
export const formerPhaseMs = 5_000
/** An unanswered rekey is repeated this often. */
const rekeyRetryMs = 500

interface PhaseKeys {
  readonly sendKey: Uint8Array
  readonly sendIv: Uint8Array
  readonly receiveKey: Uint8Array
  readonly receiveIv: Uint8Array
}

/** One phase: contexts of both directions, counters, and native room for IVs and nonce. */
class Phase {
  readonly number: number
  readonly seal: Gcm
  readonly open: Gcm
  readonly window = new ReplayWindow()
  /** Next counter to send. */
  counter = 0
  received = 0
  readonly #memory: NativeMemory = allocate(48)

  constructor(number: number, keys: PhaseKeys) {
    this.number = number
    this.seal = new Gcm(keys.sendKey, 'seal')
    this.open = new Gcm(keys.receiveKey, 'open')
    this.#memory.bytes.set(keys.sendIv.subarray(0, nonceBytes), 0)
    this.#memory.bytes.set(keys.receiveIv.subarray(0, nonceBytes), 16)
  }

  /** Address of the nonce for a counter. */
  sendNonce(counter: number): number {
    writeNonce(this.#memory.view, 32, 0, counter)
    return this.#memory.address + 32
  }

  receiveNonce(counter: number): number {
    writeNonce(this.#memory.view, 32, 16, counter)
    return this.#memory.address + 32
  }

  close(): void {
    this.seal.close()
    this.open.close()
    this.#memory.bytes.fill(0)
    free(this.#memory)
  }
}

export class Session {
  readonly localIndex: number
  readonly remoteIndex: number
  readonly initiator: boolean
  /** When it ends unless renewed, ms. */
  authUntilMs: number
  /** Datagrams that did not open, or came twice. */
  rejected = 0

  readonly #memory: NativeMemory
  #chainKey: Uint8Array
  #current: Phase
  #startedMs: number
  #former: Phase | null = null
  #formerUntilMs = 0
  /** The responder's: agreed, readable, not yet written. */
  #next: Phase | null = null
  #nextChainKey: Uint8Array | null = null
  /** Own fresh key for the phase under way, and when it was last sent. */
  #offer: DhKey | null = null
  #offeredMs = -Infinity
  /** The responder's last answer, to be repeated as it was. */
  #answer: { readonly to: string; readonly body: Uint8Array } | null = null

  /** Datagrams lie in `memory`. */
  constructor(memory: NativeMemory, session: TrunkSession, nowMs: number) {
    this.#memory = memory
    this.localIndex = session.localIndex
    this.remoteIndex = session.remoteIndex
    this.initiator = session.initiator
    this.authUntilMs = nowMs + session.authForMs
    this.#chainKey = session.chainKey
    this.#current = new Phase(0, session)
    this.#startedMs = nowMs
  }

  /** Number of the phase that is written, modulo 256. */
  get phase(): number {
    return this.#current.number
  }

  /** Whether its counters are used up. */
  get spent(): boolean {
    return this.#current.counter >= maxCounter
  }

  /**
   * Makes a datagram of the `length` bytes of plaintext that lie behind the header's room at `at`, in place;
   * gives its length. The session must not be spent.
   */
  seal(type: number, at: number, length: number): number {
    const phase = this.#current
    if (phase.counter >= maxCounter) throw new Error('counter used up')
    const counter = phase.counter++
    writeHeader(this.#memory.view, at, type, phase.number, this.remoteIndex, counter)
    const header = this.#memory.address + at
    phase.seal.seal(
      phase.sendNonce(counter),
      header,
      datagramHeaderBytes,
      header + datagramHeaderBytes,
      length
    )
    return datagramHeaderBytes + length + sealTagBytes
  }

  /** Opens a datagram (`isDatagram` said so) in place; gives the plaintext's length, -1: not authentic or repeated. */
  open(at: number, length: number, nowMs: number): number {
    const view = this.#memory.view
    const phase = this.#readable(view.getUint8(at + 1), nowMs)
    const counter = view.getUint32(at + 12)
    if (phase === null || !phase.window.fresh(counter)) return this.#reject()
    const header = this.#memory.address + at
    const bytes = length - datagramHeaderBytes - sealTagBytes
    const text = header + datagramHeaderBytes
    if (!phase.open.open(phase.receiveNonce(counter), header, datagramHeaderBytes, text, bytes)) {
      return this.#reject()
    }
    phase.window.accept(counter)
    phase.received++
    if (phase === this.#next) this.#advance(phase, nowMs)
    return bytes
  }

  /** When {@link rekey} has something to do, ms. */
  get rekeyDueMs(): number {
    if (!this.initiator) return Infinity
    return this.#offer === null ? this.#startedMs + phaseMs : this.#offeredMs + rekeyRetryMs
  }

  /** The initiator's: body of a rekey to send now, null when none is due. */
  rekey(nowMs: number): Uint8Array | null {
    if (!this.initiator) return null
    const full = this.#current.counter >= phaseDatagrams || this.#current.received >= phaseDatagrams
    if (nowMs < this.rekeyDueMs && !(full && this.#offer === null)) return null
    this.#offer ??= freshDhKey()
    this.#offeredMs = nowMs
    return encodeRekey({ phase: this.#nextNumber(), answer: false, publicKey: this.#offer.publicKey })
  }

  /** Takes a rekey from the other side; gives the body of an answer, if one is due. */
  takeRekey(body: Uint8Array, nowMs: number): Uint8Array | null {
    const rekey = decodeRekey(body)
    if (rekey === null || rekey.answer !== this.initiator) return null
    return this.initiator
      ? this.#finish(rekey.phase, rekey.publicKey, nowMs)
      : this.#respond(rekey.phase, rekey.publicKey)
  }

  /** Forgets all keys. */
  close(): void {
    this.#current.close()
    this.#former?.close()
    this.#next?.close()
    this.#former = null
    this.#next = null
  }

  #finish(number: number, publicKey: Uint8Array, nowMs: number): null {
    if (this.#offer === null || number !== this.#nextNumber()) return null
    const shared = sharedSecret(this.#offer.privateKey, publicKey)
    if (shared === null) return null
    const { phase, chainKey } = this.#derive(shared, number)
    this.#offer = null
    this.#nextChainKey = chainKey
    this.#advance(phase, nowMs)
    return null
  }

  #respond(number: number, publicKey: Uint8Array): Uint8Array | null {
    const to = `${number} ${Buffer.from(publicKey).toString('hex')}`
    if (this.#answer?.to === to) return this.#answer.body
    if (number !== this.#nextNumber()) return null
    const own = freshDhKey()
    const shared = sharedSecret(own.privateKey, publicKey)
    if (shared === null) return null
    const { phase, chainKey } = this.#derive(shared, number)
    this.#next?.close()
    this.#next = phase
    this.#nextChainKey = chainKey
    const body = encodeRekey({ phase: number, answer: true, publicKey: own.publicKey })
    this.#answer = { to, body }
    return body
  }

  #derive(shared: Uint8Array, number: number): { phase: Phase; chainKey: Uint8Array } {
    const secrets = expandPhase(shared, this.#chainKey, `violin trunk phase ${number}`)
    const own = this.initiator
    const phase = new Phase(number, {
      sendKey: own ? secrets.initiatorKey : secrets.responderKey,
      sendIv: own ? secrets.initiatorIv : secrets.responderIv,
      receiveKey: own ? secrets.responderKey : secrets.initiatorKey,
      receiveIv: own ? secrets.responderIv : secrets.initiatorIv
    })
    return { phase, chainKey: secrets.chainKey }
  }

  /** Writes `phase` from now on. */
  #advance(phase: Phase, nowMs: number): void {
    this.#former?.close()
    this.#former = this.#current
    this.#formerUntilMs = nowMs + formerPhaseMs
    this.#current = phase
    this.#startedMs = nowMs
    this.#next = null
    if (this.#nextChainKey !== null) this.#chainKey = this.#nextChainKey
    this.#nextChainKey = null
  }

  #readable(number: number, nowMs: number): Phase | null {
    if (number === this.#current.number) return this.#current
    if (number === this.#next?.number) return this.#next
    if (number === this.#former?.number && nowMs < this.#formerUntilMs) return this.#former
    return null
  }

  #nextNumber(): number {
    return (this.#current.number + 1) & 0xff
  }

  #reject(): number {
    this.rejected++
    return -1
  }
}
