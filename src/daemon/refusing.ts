/** Whose VIOLINs this host takes: the operator's word, kept in the settings; an admin's, for the whole mesh. */
import { ViolinError } from '#core/errors.ts'
import { findHost } from '#core/placement.ts'
import type { Admission } from './admission.ts'
import type { Journal } from './events.ts'
import type { Peers } from './peers.ts'
import type { Reconciler } from './reconciler.ts'
import type { Records } from './records.ts'
import { isOwner, type Owner, type Settings } from './settings.ts'
import type { Violins } from './violins.ts'

interface Parts {
  readonly settings: Settings
  readonly records: Records
  readonly peers: Peers
  readonly violins: Violins
  readonly admission: Admission
  readonly reconciler: Reconciler
  readonly journal: Journal
}

/** Refuses an owner here or everywhere, or takes the first back. Throws ViolinError. */
export async function refuseOwner(
  parts: Parts,
  request: { readonly owner: string; readonly undo: boolean; readonly everywhere: boolean }
): Promise<{ owner: string; text: string }> {
  const owner = ownerOf(parts, request.owner)
  if (request.everywhere) {
    if (request.undo)
      throw new ViolinError('usage', 'what was refused everywhere is out for good', 'use --undo alone')
    await parts.admission.revokeOwner(owner)
    return { owner, text: `${owner} is shut out of the mesh, and its VIOLINs end` }
  }
  await parts.settings.refuse(owner, request.undo)
  const text = `${nameOf(parts, owner)} is ${request.undo ? 'taken' : 'refused'} on this host`
  parts.journal.note(request.undo ? 'owner-taken' : 'owner-refused', null, text)
  parts.reconciler.kick()
  return { owner, text }
}

/** Lets an owner have jetways on this host, or none any more. Throws ViolinError. */
export async function letJetways(
  parts: Parts,
  request: {
    readonly owner: string
    readonly undo: boolean
    readonly bridges: readonly string[]
    readonly reach: readonly string[]
  }
): Promise<{ owner: string; text: string }> {
  const owner = ownerOf(parts, request.owner)
  const { undo, bridges, reach } = request
  await parts.settings.letJetways(owner, undo ? null : { bridges, reach })
  const text = `${nameOf(parts, owner)} may ${undo ? 'not ' : ''}have jetways on this host`
  parts.journal.note(undo ? 'jetways-forbidden' : 'jetways-allowed', null, text)
  parts.reconciler.kick()
  return { owner, text }
}

/** Reads the settings again where they changed, and goes by them. */
export async function rereadSettings({
  settings,
  reconciler,
  journal
}: Pick<Parts, 'settings' | 'reconciler' | 'journal'>): Promise<void> {
  if (!(await settings.reload())) return
  journal.note('settings', null, 'the settings of this host were read anew')
  reconciler.kick()
}

/** An owner key, a host by name or id, or the owner of a VIOLIN. */
function ownerOf({ records, violins }: Parts, wanted: string): Owner {
  if (isOwner(wanted)) return wanted
  const members = [...records.view.members.values()].map(({ host, body }) => ({ id: host, name: body.name }))
  if (members.some(({ name }) => name === wanted)) return findHost(wanted, members).id
  return violins.find(wanted).owner
}

function nameOf({ records }: Parts, owner: Owner): string {
  return [...records.view.members.values()].find(({ host }) => host === owner)?.body.name ?? owner
}
