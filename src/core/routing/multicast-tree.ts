/**
 * Where routers pass IPv6 multicast on: over a tree of vLANs and routers, computed from the topology alone, so that all
 * routers have the same one without a word between them. What goes over a tree comes to each vLAN once. Pure.
 */
import { addressOf } from '../resolve.ts'
import type { Spec, SpecEntity, SpecNic } from '../spec.ts'

/** A router's vNICs on the tree: the one towards the root first. */
export type Branches = readonly SpecNic[]

/**
 * Whether a router may pass IPv6 multicast on. The kernel of virtual machines is built without, and where a program
 * forwards, no kernel does.
 */
export function passesMulticast6(entity: SpecEntity): boolean {
  return asksForMulticast6(entity) && entity.driver === 'netns' && entity.click === undefined
}

/** Routers that are asked for it and are made of what cannot. */
export function unableOfMulticast6({ entities }: Spec): string[] {
  return entities.flatMap((one) => (asksForMulticast6(one) && one.driver === 'uml' ? [one.name] : []))
}

function asksForMulticast6(entity: SpecEntity): boolean {
  return entity.kind === 'router' && entity.multicast !== undefined && nicsOf(entity).length > 1
}

/**
 * The shortest ways from the rendezvous point (RFC 7761 has it as the root of its shared tree, too) to all vLANs, by the
 * names of the routers that run; from another router where none leads there. Ties go to the file's order.
 */
export function multicastTree(spec: Spec): ReadonlyMap<string, Branches> {
  const known = trees.get(spec) ?? treeOf(spec)
  trees.set(spec, known)
  return known
}

/** A spec is never changed, and each of its routers asks. */
const trees = new WeakMap<Spec, ReadonlyMap<string, Branches>>()

function treeOf(spec: Spec): ReadonlyMap<string, Branches> {
  const routers = spec.entities.filter((one) => one.stopped !== true && passesMulticast6(one))
  const on = new Map<string, { readonly router: SpecEntity; readonly nic: SpecNic }[]>()
  for (const router of routers)
    for (const nic of nicsOf(router)) {
      const there = on.get(nic.lan) ?? []
      there.push({ router, nic })
      on.set(nic.lan, there)
    }
  const tree = new Map<string, SpecNic[]>()
  const reached = new Set<string>()
  const isRoot = ({ name }: SpecEntity): boolean => name === spec.rendezvous
  for (const root of [...routers.filter(isRoot), ...routers]) {
    if (tree.has(root.name)) continue
    const branches: SpecNic[] = []
    tree.set(root.name, branches)
    const queue = [{ router: root, branches }]
    for (const { router, branches: own } of queue)
      for (const nic of nicsOf(router)) {
        if (reached.has(nic.lan)) continue
        reached.add(nic.lan)
        own.push(nic)
        for (const next of on.get(nic.lan) ?? []) {
          if (tree.has(next.router.name)) continue
          const begun = [next.nic]
          tree.set(next.router.name, begun)
          queue.push({ router: next.router, branches: begun })
        }
      }
  }
  return tree
}

/** vLANs over which routers pass on to one another: all that is sent goes over them. */
export function transitLans(tree: ReadonlyMap<string, Branches>): ReadonlySet<string> {
  const [once, twice] = [new Set<string>(), new Set<string>()]
  for (const branches of tree.values())
    if (branches.length > 1) for (const { lan } of branches) (once.has(lan) ? twice : once).add(lan)
  return twice
}

/** Its vNICs that have IPv6, one for each vLAN. */
function nicsOf({ nics }: SpecEntity): SpecNic[] {
  const six = nics.filter((nic) => addressOf(nic, true) !== undefined)
  return six.filter((nic, at) => six.findIndex(({ lan }) => lan === nic.lan) === at)
}
