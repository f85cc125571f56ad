import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SignedRecord } from '#core/records/record.ts'
import type { RecordsListener } from '#daemon/records.ts'
import { whenRestored } from '#daemon/restored.ts'
import { founder } from '../core/admission/keys.ts'
import { hostRecord } from '../core/records/records.ts'

const host = founder()
const self = host.signer.publicKey
const own: SignedRecord = hostRecord(host)

/** A host that hears its own record `rounds` times, and each time finds that others hold something else. */
async function hearing(rounds: number): Promise<readonly string[]> {
  const told: string[] = []
  let hear: RecordsListener = () => {}
  let spoken = Promise.withResolvers<void>()
  const end = whenRestored({
    self,
    records: {
      onChange(listener) {
        hear = listener
        return () => true
      }
    },
    say: () => {
      spoken.resolve()
      return Promise.resolve(true)
    },
    tell: (text) => void told.push(text),
    log: () => {},
    againMs: 1
  })
  for (let round = 0; round < rounds; round++) {
    spoken = Promise.withResolvers<void>()
    hear([own])
    await spoken.promise
    // What it then tells comes in the same turn.
    await Promise.resolve()
  }
  end()
  return told
}

test('a host that hears what it does not remember speaks above it, and goes on quietly', async () => {
  assert.deepEqual(await hearing(2), [])
})

test('a host that must do so again and again says that its key is used by another daemon, once', async () => {
  const told = await hearing(9)
  assert.equal(told.length, 1)
  assert.match(told[0] as string, /another daemon speaks with the key of this host/)
})
