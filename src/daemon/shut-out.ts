/** What a host does that was shut out of its mesh: it says so, and troubles nobody any more. */
import { hostIdOf } from '#core/admission/host-id.ts'
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
 * Tells as soon as a revocation of this host is known, once, and ends the search for others. Ends when the returned
 * function is called.
 */
export function whenShutOut({ host, records, mesh, journal, warn }: ShutOutParts): () => void {
  let told = false
  const look = (): void => {
    const revocation = told ? null : records.set.revocationOf(host.chain)
    if (revocation === null) return
    told = true
    const text = `this host was shut out of the mesh ${byWhom(revocation, records)}: ask for a new invite and join in a new folder`
    journal.note('shut-out', null, text)
    warn(text)
    mesh.rest()
  }
  look()
  return records.onChange(look)
}

function byWhom({ author, issuedAt }: RevocationRecord, records: Records): string {
  const on = `on ${new Date(issuedAt).toISOString()}`
  if (author === records.set.root) return `by its root key ${on}`
  const id = hostIdOf(author)
  return `by ${records.view.members.get(id)?.body.name ?? id} ${on}`
}
