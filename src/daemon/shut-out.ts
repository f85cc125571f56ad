/** What a host does that was shut out of its mesh: it says so, and troubles nobody any more. */
import { hostIdOf } from '#core/admission/host-id.ts'
import { ViolinError } from '#core/errors.ts'
import type { RevocationRecord } from '#core/records/record.ts'
import type { Mesh } from '#mesh/contract.ts'
import type { Journal } from './events.ts'
import type { Host } from './host.ts'
import type { Records } from './records.ts'

interface ShutOutParts {
  readonly host: Host
  readonly records: Records
  readonly mesh: Mesh
  readonly journal: Journal
  /** Says it where the daemon was started. */
  readonly warn: (text: string) => void
}

/**
 * Tells as soon as a revocation of this host, or of its owner key, is known, once, and ends the search for others.
 * Ends when the returned function is called.
 */
export function whenShutOut({ host, records, mesh, journal, warn }: ShutOutParts): () => void {
  const told = new Set<string>()
  const tellOnce = (kind: string, text: string): boolean => {
    if (told.has(kind)) return false
    told.add(kind)
    journal.note(kind, null, text)
    warn(text)
    return true
  }
  const look = (): void => {
    const revocation = records.set.revocationOf(host.chain)
    const out = revocation === null ? ownerShutOut(host, records) : null
    if (out !== null) tellOnce('owner-shut-out', `${out.message}: ${out.remedy}`)
    if (revocation === null) return
    const text = `this host was shut out of the mesh ${byWhom(revocation, records)}: ask for a new invite and join in a new folder`
    if (tellOnce('shut-out', text)) mesh.rest()
  }
  look()
  return records.onChange(look)
}

/** Why this host's owner makes and changes no VIOLIN any more; null: it may. */
export function ownerShutOut({ ownerChain }: Host, records: Records): ViolinError | null {
  const revocation = records.set.revocationOf(ownerChain)
  if (revocation === null) return null
  const what = revocation.body.key === ownerChain.subject ? "this host's owner key" : 'this host'
  return new ViolinError(
    'revoked',
    `${what} was shut out of the mesh ${byWhom(revocation, records)}, for good: its VIOLINs end, and it makes no others`,
    'nobody can take that back; ask an admin of the mesh for a new invite, and join in a new folder'
  )
}

function byWhom({ author, issuedAt }: RevocationRecord, records: Records): string {
  const on = `on ${new Date(issuedAt).toISOString()}`
  if (author === records.set.root) return `by its root key ${on}`
  const id = hostIdOf(author)
  return `by ${records.view.members.get(id)?.body.name ?? id} ${on}`
}
