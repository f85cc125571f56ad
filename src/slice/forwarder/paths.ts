/**
 * Which address of the peer a trunk uses. Every candidate is probed; the best that answers is used. An
 * address that only the peer's own datagrams named is challenged first: anyone can send from anywhere.
 *
 * A probe is 8 bytes that the peer must send back sealed: a number that only this address was told, and when
 * it was sent; what comes back tells the address good and its round trip. Time is the loop's, which does not
 * count its own stalls.
 *
 * A third host with trunks to both is a way, too: a relay. It is asked only while the direct way is in doubt, and
 * left as soon as a direct one answers.
 */

/** Candidates of one trunk: what the peer announced, addresses learned from its datagrams, and relays. */
export const maxCandidates = 24
/** Other trunks that one trunk may be passed along. */
export const maxRelays = 8
/** The address of a relay: one that nothing on a network has. Its port is the index of the trunk to the relay. */
export const relayIp = 0
/** Probes while there is no path: fast at first, then for ever at this pace. */
export const searchFastMs = 100
export const searchFastProbes = 10
export const searchMs = 500
/** The later pace for relays, which send on each probe. */
export const relaySearchMs = 2_000
/** Probes of the path in use, and of the others. */
export const keepAliveMs = 1_000
export const spareMs = 10_000
/** An unanswered probe counts as missed after this long, or 3 RTT. */
export const probeTimeoutMs = 400
/** So many missed in a row and the path is no more. */
export const maxMissed = 3
/** An answer that took longer is none: it tells how long the peer stood still, not how far it is. */
export const oldestAnswerMs = 2_000
/** However far the peer is, a probe is missed after this long. */
const maxTimeoutMs = 2_000
/** A probe tells its time in hundredths of a millisecond. */
const ticksPerMs = 100
/** So many missed in a row and a relay is taken: in rough weather one is missed now and then. */
const missedForRelay = 2
/** Any direct way is better than a relay. */
const relayCostMs = 1e6
/** Another address must be this much better to be taken. */
const betterFactor = 0.8
const betterMs = 0.5

export interface Candidate {
  readonly ip: number
  readonly port: number
  readonly learned: boolean
  /** Smoothed round trip (RFC 6298's 1/8); null: it never answered. */
  rttMs: number | null
  /** Answered, and since then not missed {@link maxMissed} in a row. */
  good: boolean
  missed: number
  /** Probes since it was last good. */
  tries: number
  /** In every probe to this address, and in no other. */
  readonly secret: number
  /** When the first unanswered probe went, NaN: all are answered or given up. */
  sentMs: number
  nextMs: number
}

export class Paths {
  current: Candidate | null = null
  readonly #candidates: Candidate[] = []
  readonly #random: () => number
  /** Null: something changed. A worker asks it of every trunk in every turn. */
  #deadlineMs: number | null = null

  constructor(random: () => number) {
    this.#random = random
  }

  get candidates(): readonly Candidate[] {
    return this.#candidates
  }

  /** The peer announced these: they are tried at once; addresses that it did not are kept if they work. */
  announce(addresses: readonly { readonly ip: number; readonly port: number }[], nowMs: number): void {
    this.#deadlineMs = null
    for (const address of addresses) this.#add(address.ip, address.port, false, nowMs)
    for (const candidate of this.#candidates) {
      candidate.tries = 0
      candidate.nextMs = nowMs
    }
  }

  /** A trunk that has a path may pass this one's datagrams on. */
  offerRelay(trunk: number, nowMs: number): void {
    this.#deadlineMs = null
    const relays = this.#candidates.filter((candidate) => isRelay(candidate) && !candidate.learned)
    if (relays.length < maxRelays) this.#add(relayIp, trunk, false, nowMs)
  }

  /** An authentic datagram came from here. */
  seen(ip: number, port: number, nowMs: number): void {
    const current = this.current
    if (current !== null && current.ip === ip && current.port === port) return
    this.#deadlineMs = null
    const known = this.#find(ip, port) ?? this.#add(ip, port, true, nowMs)
    if (known !== null && !known.good) this.#hasten(known, nowMs)
    // The peer uses another way than we do: is ours still one?
    if (current !== null) this.#hasten(current, nowMs)
  }

  /** When {@link due} has something to give, ms. */
  get deadlineMs(): number {
    return (this.#deadlineMs ??= this.#earliest())
  }

  #earliest(): number {
    let deadline = Infinity
    for (const candidate of this.#candidates) {
      const time = Number.isNaN(candidate.sentMs)
        ? candidate.nextMs
        : Math.min(candidate.sentMs + timeoutOf(candidate), Math.max(candidate.nextMs, candidate.sentMs))
      if (time < deadline) deadline = time
    }
    return deadline
  }

  /** Notes what was missed, chooses again, and gives each probe that is due to `send`. */
  due(nowMs: number, send: (candidate: Candidate, body: Uint8Array) => void): void {
    for (const candidate of this.#candidates) {
      if (nowMs >= candidate.sentMs + timeoutOf(candidate)) this.#miss(candidate, nowMs)
    }
    this.#choose(nowMs)
    for (const candidate of this.#candidates) {
      if (nowMs < candidate.nextMs) continue
      if (Number.isNaN(candidate.sentMs)) candidate.sentMs = nowMs
      candidate.tries++
      candidate.nextMs = nowMs + this.#interval(candidate)
      send(candidate, probeBody(candidate.secret, nowMs))
    }
    this.#deadlineMs = null
  }

  /** Takes the body of an answer; false when it answers no probe under way. */
  answered(body: Uint8Array, nowMs: number): boolean {
    if (body.length !== 8) return false
    const view = new DataView(body.buffer, body.byteOffset, 8)
    const candidate = this.#candidates.find((other) => other.secret === view.getUint32(0))
    const sample = ((ticks(nowMs) - view.getUint32(4)) >>> 0) / ticksPerMs
    if (candidate === undefined || sample > oldestAnswerMs) return false
    this.#deadlineMs = null
    // One that is much nearer than it seemed was heard late before.
    const isAnew = candidate.rttMs === null || !candidate.good || 2 * sample < candidate.rttMs
    candidate.rttMs = isAnew ? sample : (candidate.rttMs as number) * 0.875 + sample * 0.125
    candidate.good = true
    candidate.missed = 0
    candidate.tries = 0
    candidate.sentMs = Number.NaN
    this.#choose(nowMs)
    if (candidate.nextMs < Infinity) candidate.nextMs = nowMs + this.#interval(candidate)
    return true
  }

  #miss(candidate: Candidate, nowMs: number): void {
    candidate.sentMs = Number.NaN
    candidate.missed++
    if (candidate.missed >= maxMissed) candidate.good = false
    // The one in use is asked again at once: until it is known to be lost, frames go nowhere.
    if (candidate === this.current) candidate.nextMs = nowMs
  }

  /** The best of the good; the one in use stays unless another is clearly better, or it misses while another answers. */
  #choose(nowMs: number): void {
    let best: Candidate | null = null
    for (const candidate of this.#candidates) {
      if (candidate.good && candidate.missed === 0 && cost(candidate) < cost(best)) best = candidate
    }
    const current = this.current
    if (current === null || !current.good) {
      this.current = best
    } else if (best !== null && best !== current) {
      const better = cost(best) < cost(current) * betterFactor - betterMs
      if (better || current.missed >= (isRelay(best) ? missedForRelay : 1)) this.current = best
    }
    this.#callRelays(nowMs)
  }

  /** Has relays probed while the direct way is in doubt, and no longer. */
  #callRelays(nowMs: number): void {
    const { current } = this
    const sound = current !== null && !isRelay(current) && current.missed === 0
    // A relay in use that does not answer: another may, which was not asked for some time.
    const lost = current !== null && isRelay(current) && current.missed > 0
    for (const candidate of this.#candidates) {
      if (!isRelay(candidate)) continue
      if (sound) rest(candidate)
      else if (candidate.nextMs === Infinity) candidate.nextMs = nowMs
      else if (lost && candidate !== current)
        candidate.nextMs = Math.min(candidate.nextMs, nowMs + searchFastMs)
    }
  }

  #hasten(candidate: Candidate, nowMs: number): void {
    const recent = nowMs - candidate.sentMs < probeTimeoutMs
    if (!recent && candidate.nextMs > nowMs) candidate.nextMs = nowMs
  }

  #interval(candidate: Candidate): number {
    // A tenth of chance, so that many trunks do not probe in step.
    const jitter = 0.95 + this.#random() * 0.1
    const laterMs = isRelay(candidate) ? relaySearchMs : searchMs
    if (this.current === null) return (candidate.tries <= searchFastProbes ? searchFastMs : laterMs) * jitter
    if (candidate === this.current) return (candidate.missed > 0 ? probeTimeoutMs : keepAliveMs) * jitter
    if (isRelay(this.current) && !isRelay(candidate)) return searchMs * jitter
    return (candidate.good || candidate.tries > 3 ? spareMs : searchMs) * jitter
  }

  #find(ip: number, port: number): Candidate | null {
    return this.#candidates.find((candidate) => candidate.ip === ip && candidate.port === port) ?? null
  }

  #add(ip: number, port: number, learned: boolean, nowMs: number): Candidate | null {
    const known = this.#find(ip, port)
    if (known !== null) return known
    if (this.#candidates.length === maxCandidates && !this.#makeRoom()) return null
    const candidate: Candidate = {
      ip,
      port,
      learned,
      rttMs: null,
      good: false,
      missed: 0,
      tries: 0,
      secret: Math.floor(this.#random() * 2 ** 32),
      sentMs: Number.NaN,
      nextMs: nowMs
    }
    this.#candidates.push(candidate)
    return candidate
  }

  /** Forgets the oldest address that does not answer, of those that datagrams named first. */
  #makeRoom(): boolean {
    const idle = (candidate: Candidate): boolean => !candidate.good && candidate !== this.current
    const learned = this.#candidates.findIndex((candidate) => candidate.learned && idle(candidate))
    const index = learned >= 0 ? learned : this.#candidates.findIndex(idle)
    if (index >= 0) this.#candidates.splice(index, 1)
    return index >= 0
  }
}

function probeBody(secret: number, nowMs: number): Uint8Array {
  const body = new Uint8Array(8)
  const view = new DataView(body.buffer)
  view.setUint32(0, secret)
  view.setUint32(4, ticks(nowMs))
  return body
}

function ticks(nowMs: number): number {
  return Math.round(nowMs * ticksPerMs) % 2 ** 32
}

function cost(candidate: Candidate | null): number {
  if (candidate === null || candidate.rttMs === null) return Infinity
  return candidate.rttMs + (isRelay(candidate) ? relayCostMs : 0)
}

/** Whether an address is that of a relay. */
export function isRelay(address: { readonly ip: number }): boolean {
  return address.ip === relayIp
}

/** What it answered once says nothing of the next time. */
function rest(relay: Candidate): void {
  relay.good = false
  relay.missed = relay.tries = 0
  relay.sentMs = Number.NaN
  relay.nextMs = Infinity
}

function timeoutOf(candidate: Candidate): number {
  return Math.min(maxTimeoutMs, Math.max(probeTimeoutMs, 3 * (candidate.rttMs ?? 0)))
}
