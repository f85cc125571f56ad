/**
 * What an author may have stored, and what all authors under one host or token may have stored together, so
 * that an admin gains nothing by making keys by the hundred.
 */
import type { PublicKey } from '../ids.ts'
import type { SignedRecord } from './record.ts'

/** VIOLINs that one owner key may have. */
export const maxViolinsPerOwner = 64
/** Bytes of records that one key may have stored. */
export const maxBytesPerAuthor: number = 4 * 1024 * 1024
/** The same for a branch of the chain: 10,000 hosts that tell of themselves in 2 KB take 20 MB. */
export const maxViolinsPerBranch = 1024
export const maxBytesPerBranch: number = 64 * 1024 * 1024

interface Used {
  readonly bytes: number
  readonly violins: number
}

const nothing: Used = { bytes: 0, violins: 0 }

export class Quota {
  /** Without host records: each key has at most one, so most keys need no entry. */
  readonly #authors: Map<PublicKey, Used>
  readonly #branches: Map<PublicKey, Used>

  constructor(from?: Quota) {
    this.#authors = new Map(from === undefined ? [] : from.#authors)
    this.#branches = new Map(from === undefined ? [] : from.#branches)
  }

  /** Whether a record may be kept in place of its former version. */
  admits(record: SignedRecord, former: SignedRecord | null): boolean {
    const more = {
      bytes: record.bytes.length - (former?.bytes.length ?? 0),
      violins: livingOf(record) - (former === null ? 0 : livingOf(former))
    }
    const author = this.#authors.get(record.author) ?? nothing
    if (record.kind !== 'host' && exceeds(author, more, maxBytesPerAuthor, maxViolinsPerOwner)) return false
    return branchesOf(record).every(
      (key) => !exceeds(this.#branches.get(key) ?? nothing, more, maxBytesPerBranch, maxViolinsPerBranch)
    )
  }

  /** A record was put in (1) or taken out (-1). */
  count(record: SignedRecord, sign: 1 | -1): void {
    if (record.kind !== 'host') add(this.#authors, record.author, record, sign)
    for (const key of branchesOf(record)) add(this.#branches, key, record, sign)
  }
}

/** Grown beyond a bound; what shrinks or stays is always taken. */
function exceeds(used: Used, more: Used, maxBytes: number, maxViolins: number): boolean {
  const bytes = more.bytes > 0 && used.bytes + more.bytes > maxBytes
  return bytes || (more.violins > 0 && used.violins + more.violins > maxViolins)
}

function add(all: Map<PublicKey, Used>, key: PublicKey, record: SignedRecord, sign: 1 | -1): void {
  const { bytes, violins } = all.get(key) ?? nothing
  const used = {
    bytes: bytes + sign * record.bytes.length,
    violins: violins + sign * livingOf(record)
  }
  if (used.bytes === 0) all.delete(key)
  else all.set(key, used)
}

/** Hosts and tokens above an author, but for the founding host, whose branch is the whole mesh. */
function branchesOf({ chain }: SignedRecord): readonly PublicKey[] {
  return chain === null ? [] : chain.path.slice(1, -1).map(({ subject }) => subject)
}

/** A VIOLIN that lasts; what is buried counts by its bytes alone. */
function livingOf(record: SignedRecord): 0 | 1 {
  return record.kind === 'violin' && record.body.ended === null ? 1 : 0
}
