/**
 * Sets of a hundred thousand host records. Signing and verifying so many would take minutes, so the records are
 * copies of one real record with another author, and are opened by looking them up; sizes are the real ones.
 */
import { createHash } from 'node:crypto'
import type { PublicKey, WallTime } from '#core/ids.ts'
import type { Rejected, SignedRecord } from '#core/records/record.ts'
import { RecordSet } from '#core/records/set.ts'
import type { Share } from '#core/records/tree.ts'
import { crypto, founder, root, start } from '../admission/keys.ts'
import { hostRecord } from './records.ts'

const sample = hostRecord(founder())

export class LargePool {
  readonly #opened = new Map<number, SignedRecord>()

  /** The record of a number in some version, the same object each time; `hash` is for forging collisions. */
  record(
    number: number,
    version = 1,
    change: { readonly hash?: string; readonly endsAt?: WallTime } = {}
  ): SignedRecord {
    const id = number * 4 + version
    const known = this.#opened.get(id)
    if (known !== undefined) return known
    const bytes = new Uint8Array(sample.bytes)
    new DataView(bytes.buffer).setUint32(0, id)
    const author = createHash('sha256').update(`author ${number}`).digest('hex') as PublicKey
    const hash = createHash('sha256').update(bytes).digest('hex')
    const record: SignedRecord = { ...sample, author, version, bytes, hash, ...change }
    this.#opened.set(id, record)
    return record
  }

  set(share?: Share): RecordSet {
    return new RecordSet({
      root: root.publicKey,
      crypto,
      open: (bytes) => this.#open(bytes),
      ...(share === undefined ? {} : { share })
    })
  }

  /** A set of the records with these numbers. */
  filled(from: number, to: number, share?: Share): RecordSet {
    const set = this.set(share)
    for (let number = from; number < to; number++) set.merge(this.record(number).bytes, start)
    return set
  }

  #open(bytes: Uint8Array): SignedRecord | Rejected {
    const id = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
    return this.#opened.get(id) ?? { rejected: 'not of this pool' }
  }
}
