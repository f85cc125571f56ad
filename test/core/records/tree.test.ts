import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { PublicKey, WallTime } from '#core/ids.ts'
import type { SignedRecord } from '#core/records/record.ts'
import {
  type Tree,
  endingBy,
  find,
  insert,
  maxLeaf,
  partsOf,
  recordsOf,
  remove,
  sharedNodes,
  summed,
  under
} from '#core/records/tree.ts'
import { LargePool } from './large.ts'

const pool = new LargePool()
const keyOf = (record: SignedRecord): string => record.author
const alone = (node: Tree): Tree => node

/** Few keys, some of which share long beginnings, in two versions that end at several times. */
const records = Array.from({ length: 300 }, (_, i): SignedRecord => {
  const author = (
    i % 3 === 0 ? `${'a'.repeat(60)}${i.toString(16).padStart(4, '0')}` : pool.record(i).author
  ) as PublicKey
  return { ...pool.record(i), author, endsAt: ((i * 7) % 50) as WallTime }
})
const steps = fc.array(fc.record({ put: fc.boolean(), which: fc.nat(records.length - 1) }), {
  maxLength: 600
})

test('a tree answers as a sorted list does, whatever was put in and taken out', () => {
  fc.assert(
    fc.property(
      steps,
      fc.nat(50),
      fc.constantFrom('', 'a', 'aa', 'a'.repeat(61), '3', '0f'),
      (list, at, prefix) => {
        let tree: Tree | null = null
        const model = new Map<string, SignedRecord>()
        for (const { put, which } of [
          ...records.slice(0, 150).map((_, which) => ({ put: true, which })),
          ...list
        ]) {
          const record = records[which] as SignedRecord
          tree = put ? insert(tree, record, keyOf, alone) : remove(tree, keyOf(record), keyOf, alone)
          if (put) model.set(keyOf(record), record)
          else model.delete(keyOf(record))
        }
        const wanted = [...model.values()].toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
        assert.deepEqual([...recordsOf(tree)], wanted)
        for (const record of records)
          assert.equal(find(tree, keyOf(record), keyOf), model.get(keyOf(record)) ?? null)
        const living = wanted.filter(({ endsAt }) => endsAt > at)
        assert.deepEqual(new Set(endingBy(tree, at)), new Set(wanted.filter(({ endsAt }) => endsAt <= at)))
        const sum = living.reduce((total, { hash }) => total + BigInt(`0x${hash}`), 0n)
        assert.deepEqual(summed(tree, at), { count: living.length, sum: BigInt.asUintN(256, sum) })
        const below = under(tree, prefix, keyOf)
        assert.deepEqual(
          [...recordsOf(below)],
          wanted.filter((record) => keyOf(record).startsWith(prefix))
        )
        if (below !== null)
          assert.deepEqual(
            partsOf(below, prefix, keyOf).flatMap((part) => [...recordsOf(part)]),
            [...recordsOf(below)]
          )
      }
    ),
    { numRuns: 60 }
  )
})

test('the shape of a tree follows from what it holds, so equal sets share all nodes', () => {
  fc.assert(
    fc.property(steps, (list) => {
      const share = sharedNodes(10_000)
      const whole = records.slice(0, maxLeaf + 20)
      let a: Tree | null = null
      let b: Tree | null = null
      for (const record of whole) a = insert(a, record, keyOf, share)
      for (const { put, which } of list) {
        const record = records[which] as SignedRecord
        b = put ? insert(b, record, keyOf, share) : remove(b, keyOf(record), keyOf, share)
      }
      for (const record of records) if (!whole.includes(record)) b = remove(b, keyOf(record), keyOf, share)
      for (const record of whole.toReversed()) b = insert(b, record, keyOf, share)
      assert.equal(a, b)
    }),
    { numRuns: 30 }
  )
})
