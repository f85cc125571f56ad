/**
 * What libp2p remembers of peers, and the DHT of values: in memory, and no more than so many entries. Above
 * that the entry that was written longest ago goes, so a flood buries itself.
 */
import { MAX_DATASTORE_ENTRIES } from './bounds.ts'
import type { KadDHTComponents } from '@libp2p/kad-dht'

type Datastore = KadDHTComponents['datastore']
type Key = Parameters<Datastore['get']>[0]
type Pair = { key: Key; value: Uint8Array }
type Query = Parameters<Datastore['query']>[0]
type KeyQuery = Parameters<Datastore['queryKeys']>[0]

export class BoundedDatastore implements Datastore {
  readonly #maxEntries: number
  readonly #entries = new Map<string, Pair>()

  constructor(maxEntries: number = MAX_DATASTORE_ENTRIES) {
    this.#maxEntries = maxEntries
  }

  get size(): number {
    return this.#entries.size
  }

  put(key: Key, value: Uint8Array): Key {
    const name = key.toString()
    this.#entries.delete(name)
    this.#entries.set(name, { key, value })
    const oldest = this.#entries.keys().next()
    if (this.#entries.size > this.#maxEntries && oldest.done !== true) this.#entries.delete(oldest.value)
    return key
  }

  get(key: Key): Uint8Array {
    const entry = this.#entries.get(key.toString())
    // libp2p tells a missing entry by the error's name.
    if (entry === undefined) throw Object.assign(new Error(`no ${key.toString()}`), { name: 'NotFoundError' })
    return entry.value
  }

  has(key: Key): boolean {
    return this.#entries.has(key.toString())
  }

  delete(key: Key): void {
    this.#entries.delete(key.toString())
  }

  async *putMany(source: Iterable<Pair> | AsyncIterable<Pair>): AsyncGenerator<Key> {
    for await (const { key, value } of source) yield this.put(key, value)
  }

  async *getMany(source: Iterable<Key> | AsyncIterable<Key>): AsyncGenerator<Pair> {
    for await (const key of source) yield { key, value: this.get(key) }
  }

  async *deleteMany(source: Iterable<Key> | AsyncIterable<Key>): AsyncGenerator<Key> {
    for await (const key of source) {
      this.delete(key)
      yield key
    }
  }

  batch(): ReturnType<Datastore['batch']> {
    const steps: (() => void)[] = []
    return {
      put: (key, value) => void steps.push(() => this.put(key, value)),
      delete: (key) => void steps.push(() => this.delete(key)),
      commit: async () => {
        for (const step of steps.splice(0)) step()
      }
    }
  }

  async *query(query: Query): AsyncGenerator<Pair> {
    const { prefix, filters = [], orders = [], offset = 0, limit = Infinity } = query
    const found = [...this.#entries.values()].filter(
      (pair) => startsWith(pair.key, prefix) && filters.every((filter) => filter(pair))
    )
    for (const order of orders) found.sort(order)
    yield* found.slice(offset, offset + limit)
  }

  async *queryKeys(query: KeyQuery): AsyncGenerator<Key> {
    const { prefix, filters = [], orders = [], offset = 0, limit = Infinity } = query
    const keys = [...this.#entries.values()].map(({ key }) => key)
    const found = keys.filter((key) => startsWith(key, prefix) && filters.every((filter) => filter(key)))
    for (const order of orders) found.sort(order)
    yield* found.slice(offset, offset + limit)
  }
}

function startsWith(key: Key, prefix: string | undefined): boolean {
  return prefix === undefined || key.toString().startsWith(prefix)
}
