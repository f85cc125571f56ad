/** What every {@link Store} keeps to, whatever it is made of. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { Store } from '#store/contract.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Runs the suite. `reopen` closes the store and opens what stayed; `fresh` gives an empty one. */
export function storeContract(
  name: string,
  fresh: () => Promise<{ store: Store; reopen: (store: Store) => Promise<Store>; end: () => Promise<void> }>
): void {
  const withStore = async (
    use: (store: Store, reopen: (store: Store) => Promise<Store>) => Promise<Store>
  ): Promise<void> => {
    const { store, reopen, end } = await fresh()
    try {
      await (await use(store, reopen)).close()
    } finally {
      await end()
    }
  }

  describe(`${name} as a store`, () => {
    it('gives back what was written, and null for what was not', () =>
      withStore(async (store) => {
        await store.write([{ section: 'records', key: 'a!b/ü', value: bytes('1') }])
        assert.deepEqual(store.get('records', 'a!b/ü'), bytes('1'))
        assert.equal(store.get('records', 'b'), null)
        assert.equal(store.get('other', 'a!b/ü'), null)
        return store
      }))

    it('keeps sections apart, also when one name begins another', () =>
      withStore(async (store) => {
        await store.write([
          { section: 'run', key: 'x', value: bytes('1') },
          { section: 'runs', key: 'x', value: bytes('2') },
          { section: 'run', key: 's!x', value: bytes('3') }
        ])
        assert.deepEqual(store.entries('run'), [
          { key: 's!x', value: bytes('3') },
          { key: 'x', value: bytes('1') }
        ])
        assert.deepEqual(store.entries('runs'), [{ key: 'x', value: bytes('2') }])
        return store
      }))

    it('takes the last of two changes to one key in one write', () =>
      withStore(async (store) => {
        await store.write([
          { section: 's', key: 'k', value: bytes('1') },
          { section: 's', key: 'k', value: null },
          { section: 's', key: 'l', value: null },
          { section: 's', key: 'l', value: bytes('2') }
        ])
        assert.deepEqual(store.entries('s'), [{ key: 'l', value: bytes('2') }])
        return store
      }))

    it('holds empty values and values that change after the write', () =>
      withStore(async (store) => {
        const value = bytes('before')
        await store.write([
          { section: 's', key: 'empty', value: new Uint8Array() },
          { section: 's', key: 'k', value }
        ])
        value.fill(0)
        store.get('s', 'k')?.fill(1)
        assert.deepEqual(store.get('s', 'k'), bytes('before'))
        assert.deepEqual(store.get('s', 'empty'), new Uint8Array())
        return store
      }))

    it('refuses a whole write when one of its keys is none', () =>
      withStore(async (store) => {
        await assert.rejects(
          store.write([
            { section: 's', key: 'good', value: bytes('1') },
            { section: 's', key: '', value: bytes('2') }
          ])
        )
        await assert.rejects(store.write([{ section: 'No', key: 'k', value: null }]))
        assert.deepEqual(store.entries('s'), [])
        return store
      }))

    it('agrees with a map after any writes, also concurrent ones and after a restart', async () => {
      const change = fc.record({
        section: fc.constantFrom('a', 'b'),
        key: fc.constantFrom('k', 'l', 'm'),
        value: fc.option(fc.uint8Array({ maxLength: 4 }))
      })
      await fc.assert(
        fc.asyncProperty(fc.array(fc.array(change, { maxLength: 4 }), { maxLength: 8 }), async (writes) => {
          await withStore(async (store, reopen) => {
            const model = new Map<string, Uint8Array>()
            for (const { section, key, value } of writes.flat()) {
              if (value === null) model.delete(section + key)
              else model.set(section + key, value)
            }
            await Promise.all(writes.map((changes) => store.write(changes)))
            const check = (seen: Store): void => {
              for (const section of ['a', 'b']) {
                const expected = ['k', 'l', 'm'].flatMap((key) => {
                  const value = model.get(section + key)
                  return value === undefined ? [] : [{ key, value }]
                })
                assert.deepEqual(seen.entries(section), expected)
              }
            }
            check(store)
            const again = await reopen(store)
            check(again)
            return again
          })
        }),
        { numRuns: 25 }
      )
    })
  })
}
