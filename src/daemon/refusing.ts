/** Whose VIOLINs this host takes: the operator's word, kept in the settings; an admin's, for the whole mesh. */
import { isHostId } from '#core/admission/host-id.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostId, PublicKey } from '#core/ids.ts'
import { hostsOfOwner } from '#core/records/owners.ts'
import type { Admission } from './admission.ts'
import type { Journal } from './events.ts'
import type { Host } from './host.ts'
import type { Reconciler } from './reconciler.ts'
import { memberNamed } from './peers.ts'
import type { Records } from './records.ts'
import { isOwner, type Owner, type Settings } from './settings.ts'
import type { Violins } from './violins.ts'

interface Parts {
  readonly host: Host
  readonly settings: Settings
  readonly records: Records
  readonly violins: Violins
  readonly admission: Admission
  readonly reconciler: Reconciler
  readonly journal: Journal
}

/** An owner as a person named it. */
interface Whose {
  /** What is written down of it. */
  readonly written: Owner
  readonly name: string
  /** All keys and hosts by which it may be refused: of a VIOLIN those of each of its owners. */
  readonly keys: readonly PublicKey[]
  readonly hosts: readonly HostId[]
}

/** Refuses an owner here or everywhere, or takes the first back. Throws ViolinError. */
export async function refuseOwner(
  parts: Parts,
  request: { readonly owner: string; readonly undo: boolean; readonly everywhere: boolean }
): Promise<{ owner: string; text: string }> {
  const whose = whoseOf(parts, request.owner)
  if (request.undo && request.everywhere)
    throw new ViolinError('usage', 'what was refused everywhere is out for good', 'use --undo alone')
  if (request.undo) return takeAgain(parts, whose)
  const { identity } = parts.host
  if (whose.hosts.includes(identity.id) || whose.keys.includes(identity.owner.publicKey))
    throw new ViolinError(
      'refused',
      `${request.owner} is of this host's own owner, whom it does not refuse`,
      'end a VIOLIN with violin delete, or leave the mesh with violin leave'
    )
  if (request.everywhere) return shutOut(parts, whose)
  await parts.settings.refuse(whose.written)
  const text = `${whose.name} is refused on this host`
  parts.journal.note('owner-refused', null, text)
  parts.reconciler.kick()
  return { owner: whose.written, text }
}

/** Takes back whatever refuses an owner, by which of its names it was refused, and says where nothing did. */
async function takeAgain(parts: Parts, whose: Whose): Promise<{ owner: string; text: string }> {
  const { settings, journal, reconciler } = parts
  const owner = whose.written
  const taken = await settings.take([whose.written, ...whose.keys, ...whose.hosts])
  // The list of those that are taken at all is the operator's own hand.
  const { allow } = settings.limits
  const isListed = allow?.some((one) => [...whose.keys, ...whose.hosts, owner].includes(one as never)) ?? true
  const still = isListed ? '' : '; settings.json still takes others alone (`allow`)'
  if (taken.length === 0) return { owner, text: `nothing refuses ${whose.name} on this host${still}` }
  const text = `${whose.name} is taken on this host${still}`
  journal.note('owner-taken', null, text)
  reconciler.kick()
  return { owner, text }
}

async function shutOut(parts: Parts, whose: Whose): Promise<{ owner: string; text: string }> {
  const [owner] = whose.keys
  if (owner === undefined)
    throw new ViolinError(
      'unknown-violin',
      `the owner key of ${whose.name} is not known here`,
      'name a VIOLIN of it, or shut out the host: violin revoke HOST'
    )
  const name = whose.name === owner ? `the owner ${owner}` : `the owner of ${whose.name} (${owner})`
  if (parts.records.view.revoked.has(owner)) return { owner, text: `${name} is shut out of the mesh already` }
  const isKnown = await parts.admission.revokeOwner(owner, whose.hosts, name)
  const ends = isKnown ? 'its VIOLINs end' : 'no VIOLIN of it is known here; those that are elsewhere end'
  return { owner, text: `${name} is shut out of the mesh for good: ${ends}` }
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
  const name = nameOf(parts, owner)
  const text = undo
    ? `${name} may not have jetways on this host`
    : `${name} may have jetways on this host${sayLeave(parts.settings, owner)}`
  parts.journal.note(undo ? 'jetways-forbidden' : 'jetways-allowed', null, text)
  parts.reconciler.kick()
  return { owner, text }
}

/** All that an owner is let by now, of this time and before. */
function sayLeave({ limits }: Settings, whose: Owner): string {
  const own = limits.jetways.filter(({ owner }) => owner === whose)
  const [bridges, reach] = [own.flatMap((one) => one.bridges), own.flatMap((one) => one.reach)]
  return [
    bridges.length === 0 ? '' : `; bridges: ${bridges.join(', ')}`,
    reach.length === 0 ? '' : `; reach: ${reach.join(', ')}`
  ].join('')
}

/** Reads the settings again where they changed, and goes by them; a mistake in them changes nothing, and is told once. */
export async function rereadSettings({
  settings,
  reconciler,
  journal
}: Pick<Parts, 'settings' | 'reconciler' | 'journal'>): Promise<void> {
  const told = settings.mistake?.message
  const isChanged = await settings.reload().catch((error: unknown) => {
    const { mistake } = settings
    if (mistake === null || error !== mistake) throw error
    if (mistake.message !== told) journal.note('settings', null, mistake.message)
    return false
  })
  if (!isChanged) return
  journal.note('settings', null, 'the settings of this host were read anew')
  reconciler.kick()
}

/** What is written down of an owner key, a host by name or id, or the owner of a VIOLIN. */
function ownerOf(parts: Parts, wanted: string): Owner {
  return whoseOf(parts, wanted).written
}

function whoseOf({ records, violins }: Parts, wanted: string): Whose {
  const { members } = records.view
  const hostsOf = (key: PublicKey): readonly HostId[] => hostsOfOwner(records.set.tree('hosts'), key)
  if (isHostId(wanted) || [...members.values()].some(({ body }) => body.name === wanted)) {
    const id = isHostId(wanted) ? wanted : memberNamed(wanted, records).id
    const member = members.get(id)
    const key = member?.body.owner?.key
    const name = member?.body.name ?? id
    if (key === undefined) return { written: id, name, keys: [], hosts: [id] }
    return { written: id, name, keys: [key], hosts: [id, ...hostsOf(key)] }
  }
  if (isOwner(wanted)) {
    const key = wanted as PublicKey
    return { written: key, name: key, keys: [key], hosts: hostsOf(key) }
  }
  const { owner, founding, ownerHost } = violins.find(wanted)
  const keys = [owner, ...founding.owners]
  return {
    written: owner,
    name: members.get(ownerHost)?.body.name ?? owner,
    keys,
    hosts: [ownerHost, ...keys.flatMap(hostsOf)]
  }
}

function nameOf({ records }: Parts, owner: Owner): string {
  return records.view.members.get(owner as HostId)?.body.name ?? owner
}
