/**
 * On which hosts an owner key lies: each says so in its own record, with the key's word for it, so that who only
 * names another's key learns nothing of its VIOLINs. All of them keep, change and end what that key signed.
 */
import type { HostId, PublicKey } from '../ids.ts'
import type { HostRecord } from './record.ts'
import { type Tree, leavesOf } from './tree.ts'

/** The hosts of a tree of host records on which an owner key lies, in order of their keys; who left has it no more. */
export function hostsOfOwner(hosts: Tree | null, owner: PublicKey): readonly HostId[] {
  const found: HostId[] = []
  for (const leaf of leavesOf(hosts)) found.push(...(ownersIn(leaf).get(owner) ?? []))
  return found
}

/** Made once for a leaf, which never changes and is shared by all that hold the same. */
const owners = new WeakMap<Tree, ReadonlyMap<PublicKey, readonly HostId[]>>()

function ownersIn(leaf: Tree): ReadonlyMap<PublicKey, readonly HostId[]> {
  const known = owners.get(leaf)
  if (known !== undefined) return known
  const made = new Map<PublicKey, readonly HostId[]>()
  for (const { body } of leaf.records as readonly HostRecord[])
    if (body.owner !== null && !body.left)
      made.set(body.owner.key, [...(made.get(body.owner.key) ?? []), body.host])
  owners.set(leaf, made)
  return made
}
