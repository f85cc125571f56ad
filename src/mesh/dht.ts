/**
 * The DHT of one mesh: kad-dht under a protocol of its own, among members only. Every value is judged when
 * it is put, when another host stores it, and when it is found.
 */
import { KEEP_ALIVE } from '@libp2p/interface'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { ViolinError } from '#core/errors.ts'
import { MAX_DHT_KEY_BYTES, MAX_DHT_VALUE_BYTES } from './bounds.ts'
import { BoundedDatastore } from './datastore.ts'
import type { PeerStore } from '@libp2p/interface'
import type { KadDHT, KadDHTComponents } from '@libp2p/kad-dht'
import type { Mesh } from './contract.ts'
import type { Gate } from './gate.ts'

type Validate = Parameters<Mesh['setDhtValidator']>[0]
type Select = Parameters<Mesh['setDhtValidator']>[1]

const prefix = '/violin/'

/**
 * kad-dht marks those nearest to it, and libp2p dials whoever is marked so each time that it goes: without end and
 * without a pause, where one refuses the other. Whom to dial again is redial.ts's alone.
 */
export function withoutKeepAlive(peerStore: PeerStore): PeerStore {
  const merge: PeerStore['merge'] = (peer, { tags, ...data }, options) => {
    const all = tags instanceof Map ? [...tags] : Object.entries(tags ?? {})
    const kept = all.filter(([name]) => !name.startsWith(KEEP_ALIVE))
    return peerStore.merge(peer, { ...data, tags: Object.fromEntries(kept) }, options)
  }
  return new Proxy(peerStore, {
    get(store, name) {
      if (name === 'merge') return merge
      const value = Reflect.get(store, name) as unknown
      return typeof value === 'function' ? value.bind(store) : value
    }
  })
}

export class Dht {
  #validate: Validate = () => false
  #select: Select = () => 0
  /** What look-ups that are under way were told, by key. */
  readonly #told = new Map<string, Set<Uint8Array>>()

  /** The service for libp2p; it meets members only. */
  service(protocol: string, gate: Gate): (components: KadDHTComponents) => KadDHT {
    return (components) => {
      const { peerId, privateKey, peerStore, addressManager, events, logger, ping } = components
      return kadDHT({
        protocol,
        clientMode: false,
        peerInfoMapper: passthroughMapper,
        allowQueryWithZeroPeers: true,
        validators: { violin: (key, value) => this.#check(nameOf(key), value) },
        selectors: { violin: (key, values) => this.#heard(nameOf(key), values) }
      })({
        peerId,
        privateKey,
        peerStore: withoutKeepAlive(peerStore),
        addressManager,
        events,
        logger,
        ping,
        registrar: gate.registrar(components.registrar),
        connectionManager: gate.connectionManager(components.connectionManager),
        datastore: new BoundedDatastore()
      })
    }
  }

  setValidator(validate: Validate, select: Select): void {
    this.#validate = validate
    this.#select = select
  }

  /** Stores here and at the hosts nearest to the key. */
  async put(dht: KadDHT, key: string, value: Uint8Array, signal: AbortSignal): Promise<void> {
    const bytes = keyBytes(key)
    this.#check(key, value)
    for await (const _ of dht.put(bytes, value, { signal })) signal.throwIfAborted()
    signal.throwIfAborted()
  }

  /**
   * The best of what the hosts nearest to the key hold, or null. kad-dht gives nothing at all where one of them
   * keeps to an older value when it is corrected, or keeps it waiting: what others told counts nevertheless.
   */
  async get(dht: KadDHT, key: string, signal: AbortSignal): Promise<Uint8Array | null> {
    const bytes = keyBytes(key)
    const told = this.#told.get(key) ?? new Set<Uint8Array>()
    this.#told.set(key, told)
    try {
      for await (const event of dht.get(bytes, { signal })) {
        if (event.name === 'VALUE') told.add(new Uint8Array(event.value))
        else if (event.name === 'PEER_RESPONSE' && event.record !== undefined)
          told.add(new Uint8Array(event.record.value))
      }
      signal.throwIfAborted()
    } catch (error: unknown) {
      if (this.#bestOf(key, told) === null) throw error
    } finally {
      if (this.#told.get(key) === told) this.#told.delete(key)
    }
    return this.#bestOf(key, told)
  }

  /** kad-dht chooses among all that it found, this host's own value too. */
  #heard(key: string, values: readonly Uint8Array[]): number {
    for (const value of values) this.#told.get(key)?.add(value)
    return this.#best(key, values)
  }

  /** A host may tell what is valid under another key only, and what lies here may have gone bad since. */
  #bestOf(key: string, told: ReadonlySet<Uint8Array>): Uint8Array | null {
    const valid = [...told].filter((value) => this.#judge(key, value))
    return valid.length === 0 ? null : (valid[this.#best(key, valid)] as Uint8Array)
  }

  #judge(key: string, value: Uint8Array): boolean {
    return value.byteLength <= MAX_DHT_VALUE_BYTES && this.#validate(key, value)
  }

  #check(key: string, value: Uint8Array): void {
    if (value.byteLength > MAX_DHT_VALUE_BYTES) {
      throw new ViolinError(
        'too-large',
        `a DHT value of ${value.byteLength} bytes`,
        `keep to ${MAX_DHT_VALUE_BYTES}`
      )
    }
    if (this.#judge(key, value)) return
    throw new ViolinError(
      'refused',
      `the value of ${JSON.stringify(key)} is not valid`,
      'put what the validator takes'
    )
  }

  #best(key: string, values: readonly Uint8Array[]): number {
    const best = this.#select(key, values)
    return Number.isInteger(best) && best >= 0 && best < values.length ? best : 0
  }
}

function keyBytes(key: string): Uint8Array {
  const bytes = fromString(prefix + key)
  if (key.length > 0 && bytes.byteLength <= MAX_DHT_KEY_BYTES) return bytes
  throw new ViolinError(
    'too-large',
    `a DHT key of ${bytes.byteLength} bytes`,
    `keep to 1-${MAX_DHT_KEY_BYTES}`
  )
}

/** Throws when a key is not one of ours; kad-dht chose the validator by the first part. */
function nameOf(bytes: Uint8Array): string {
  const key = toString(bytes)
  if (bytes.byteLength > MAX_DHT_KEY_BYTES || !key.startsWith(prefix)) throw new Error('not a key of ours')
  return key.slice(prefix.length)
}
