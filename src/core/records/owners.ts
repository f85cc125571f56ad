/**
 * On which hosts an owner key lies: each says so in its own record, with the key's word for it, so that who only
 * names another's key learns nothing of its VIOLINs. All of them keep, change and end what that key signed.
 */
import type { HostId, PublicKey } from '../ids.ts'
import type { HostRecord } from './record.ts'
import type { Tree } from './tree.ts'

/** The hosts of a tree of host records on which an owner key lies, in order of their keys; who left has it no more. */
export function hostsOfOwner(hosts: Tree | null, owner: PublicKey): readonly HostId[] {
  if (hosts === null) return none
  if (hosts.children === null) return ownersIn(hosts).get(owner) ?? none
  const asked = branches.get(hosts) ?? new Map<PublicKey, readonly HostId[]>()
  branches.set(hosts, asked)
  const known = asked.get(owner)
  if (known !== undefined) return known
  const found = hosts.children.flatMap((child) => hostsOfOwner(child, owner))
  if (asked.size >= maxAsked) asked.clear()
  asked.set(owner, found.length === 0 ? none : found)
  return found
}

const none: readonly HostId[] = []
/** Owners that are remembered of a branch: those of the VIOLINs that a host holds, and not all that it is sent. */
const maxAsked = 256
/** What was asked of a branch before, and what a leaf has: neither changes, and both are shared by all that hold the same. */
const branches = new WeakMap<Tree, Map<PublicKey, readonly HostId[]>>()
const leaves = new WeakMap<Tree, ReadonlyMap<PublicKey, readonly HostId[]>>()

function ownersIn(leaf: Tree): ReadonlyMap<PublicKey, readonly HostId[]> {
  const known = leaves.get(leaf)
  if (known !== undefined) return known
  const made = new Map<PublicKey, readonly HostId[]>()
  for (const { body } of leaf.records as readonly HostRecord[])
    if (body.owner !== null && !body.left)
      made.set(body.owner.key, [...(made.get(body.owner.key) ?? []), body.host])
  leaves.set(leaf, made)
  return made
}
