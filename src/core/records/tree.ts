/**
 * Records in order of a key of hex digits, as a tree that is never changed: a change makes new nodes on one
 * path and shares the rest, so a copy of a set costs nothing and equal sets can share all. Every node knows
 * how many records are below it, what their hashes sum up to, and which of them ends first; so a summary, a
 * look-up and the search for what has ended cost O(log n).
 *
 * Invariant: the shape follows from the content alone. At most {@link maxLeaf} records are one leaf, more are
 * a branch by the next digit.
 */
import type { WallTime } from '../ids.ts'
import type { SignedRecord } from './record.ts'

/** Records in a leaf: more cost more at each change, fewer cost more memory for nodes. */
export const maxLeaf = 64

export interface Tree {
  readonly count: number
  /** Sum of the hashes mod 2²⁵⁶: the same in any order, and nobody makes two sets meet by choosing records. */
  readonly sum: bigint
  /** When the first of the records ends. */
  readonly endsAt: WallTime
  /** In order of their keys; empty for a branch. */
  readonly records: readonly SignedRecord[]
  /** By the next digit of the key; null for a leaf. */
  readonly children: readonly (Tree | null)[] | null
}

/** The key of a record in one tree: hex digits, all keys of a tree equally many. */
export type KeyOf = (record: SignedRecord) => string

/** Gives back a node of the same content that is there already, or the node itself. */
export type Share = (node: Tree) => Tree

const digits = '0123456789abcdef'

/** Puts a record in, in place of one with the same key. */
export function insert(tree: Tree | null, record: SignedRecord, keyOf: KeyOf, share: Share, depth = 0): Tree {
  if (tree === null) return share(leafOf([record]))
  const key = keyOf(record)
  if (tree.children === null) {
    const at = lowerBound(tree.records, key, keyOf)
    const former = tree.records[at]
    const same = former !== undefined && keyOf(former) === key
    const records = tree.records.toSpliced(at, same ? 1 : 0, record)
    if (records.length > maxLeaf) return share(split(records, keyOf, share, depth))
    const sum = tree.sum + valueOf(record) - (same ? valueOf(former) : 0n)
    return share(leafOf(records, sum))
  }
  const digit = digitAt(key, depth)
  const child = insert(tree.children[digit] ?? null, record, keyOf, share, depth + 1)
  return share(branchOf(tree.children.with(digit, child)))
}

/** Takes out the record with this key. */
export function remove(tree: Tree | null, key: string, keyOf: KeyOf, share: Share, depth = 0): Tree | null {
  if (tree === null) return null
  if (tree.children === null) {
    const records = tree.records.filter((record) => keyOf(record) !== key)
    if (records.length === tree.records.length) return tree
    return records.length === 0 ? null : share(leafOf(records))
  }
  const digit = digitAt(key, depth)
  const former = tree.children[digit] ?? null
  const child = remove(former, key, keyOf, share, depth + 1)
  if (child === former) return tree
  const children = tree.children.with(digit, child)
  const left = children.reduce((count, one) => count + (one?.count ?? 0), 0)
  return share(left > maxLeaf ? branchOf(children) : leafOf(children.flatMap((one) => [...recordsOf(one)])))
}

/** The record with this key. */
export function find(tree: Tree | null, key: string, keyOf: KeyOf): SignedRecord | null {
  let node = tree
  for (let depth = 0; node !== null && node.children !== null; depth++) {
    node = node.children[digitAt(key, depth)] ?? null
  }
  const record = node?.records[lowerBound(node.records, key, keyOf)]
  return record !== undefined && keyOf(record) === key ? record : null
}

/** What is below a prefix of the key. */
export function under(tree: Tree | null, prefix: string, keyOf: KeyOf): Tree | null {
  let node = tree
  for (let depth = 0; node !== null && depth < prefix.length; depth++) {
    if (node.children === null) {
      return partOf(node.records.filter((record) => keyOf(record).startsWith(prefix)))
    }
    node = node.children[digitAt(prefix, depth)] ?? null
  }
  return node
}

/** The 16 parts of what is below a prefix, by the digit that follows it; `tree` is what {@link under} gave. */
export function partsOf(tree: Tree, prefix: string, keyOf: KeyOf): readonly (Tree | null)[] {
  if (tree.children !== null) return tree.children
  return Array.from(digits, (_, digit) =>
    partOf(tree.records.filter((record) => digitAt(keyOf(record), prefix.length) === digit))
  )
}

/** All records in order. */
export function* recordsOf(tree: Tree | null): Generator<SignedRecord, void, void> {
  if (tree === null) return
  if (tree.children === null) yield* tree.records
  else for (const child of tree.children) yield* recordsOf(child)
}

/** Those that end at `at` or before. */
export function* endingBy(tree: Tree | null, at: number): Generator<SignedRecord, void, void> {
  if (tree === null || tree.endsAt > at) return
  for (const record of tree.records) if (record.endsAt <= at) yield record
  for (const child of tree.children ?? []) yield* endingBy(child, at)
}

/** Count and sum of the records that end after `at`. */
export function summed(tree: Tree | null, at: number): { readonly count: number; readonly sum: bigint } {
  let count = tree?.count ?? 0
  let sum = tree?.sum ?? 0n
  for (const record of endingBy(tree, at)) {
    count--
    sum -= valueOf(record)
  }
  return { count, sum: BigInt.asUintN(256, sum) }
}

/**
 * Remembers nodes, so that sets which came to hold the same share their memory: for who keeps many sets in
 * one process. What was not met for longest is forgotten first.
 */
export function sharedNodes(limit: number): Share {
  const known = new Map<bigint, Tree>()
  return (node) => {
    const former = known.get(node.sum)
    const kept = former !== undefined && isSame(former, node) ? former : node
    known.delete(node.sum)
    if (known.size >= limit) known.delete(known.keys().next().value as bigint)
    known.set(node.sum, kept)
    return kept
  }
}

function isSame(a: Tree, b: Tree): boolean {
  const kindA = a.children ?? a.records
  const kindB = b.children ?? b.records
  return (
    (a.children === null) === (b.children === null) &&
    kindA.length === kindB.length &&
    kindA.every((one, place) => one === kindB[place])
  )
}

function leafOf(records: readonly SignedRecord[], known?: bigint): Tree {
  let endsAt = Infinity
  for (const record of records) if (record.endsAt < endsAt) ({ endsAt } = record)
  const sum = known ?? records.reduce((total, record) => total + valueOf(record), 0n)
  return {
    count: records.length,
    sum: BigInt.asUintN(256, sum),
    endsAt: endsAt as WallTime,
    records,
    children: null
  }
}

function partOf(records: readonly SignedRecord[]): Tree | null {
  return records.length === 0 ? null : leafOf(records)
}

const none: readonly SignedRecord[] = []

function branchOf(children: readonly (Tree | null)[]): Tree {
  let count = 0
  let sum = 0n
  let endsAt = Infinity
  for (const child of children) {
    if (child === null) continue
    count += child.count
    sum += child.sum
    endsAt = Math.min(endsAt, child.endsAt)
  }
  return { count, sum: BigInt.asUintN(256, sum), endsAt: endsAt as WallTime, records: none, children }
}

function split(records: readonly SignedRecord[], keyOf: KeyOf, share: Share, depth: number): Tree {
  const children: (Tree | null)[] = []
  for (const digit of digits) {
    const part = records.filter((record) => keyOf(record)[depth] === digit)
    if (part.length > maxLeaf) children.push(share(split(part, keyOf, share, depth + 1)))
    else children.push(part.length === 0 ? null : share(leafOf(part)))
  }
  return branchOf(children)
}

/** The first place whose key is not below `key`. */
function lowerBound(records: readonly SignedRecord[], key: string, keyOf: KeyOf): number {
  let low = 0
  let high = records.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (keyOf(records[middle] as SignedRecord) < key) low = middle + 1
    else high = middle
  }
  return low
}

function digitAt(key: string, depth: number): number {
  const code = key.charCodeAt(depth)
  return code < 58 ? code - 48 : code - 87
}

/** Hashes as numbers: reading one costs more than adding it. */
const values = new WeakMap<SignedRecord, bigint>()

function valueOf(record: SignedRecord): bigint {
  const known = values.get(record)
  if (known !== undefined) return known
  const value = BigInt(`0x${record.hash}`)
  values.set(record, value)
  return value
}
