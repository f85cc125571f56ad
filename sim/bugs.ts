/**
 * Defects that can be planted, around a core that stays as it is: each breaks one invariant, and the swarm
 * must find it. For tests of the simulator; no run has one unless it is asked for.
 */
export const bugs = {
  'echoes-ignored': 'an election takes every message for fresh proof that it is heard',
  'rivals-ignored': 'an active takes no notice of another one',
  'tags-never-retired': 'a worker goes on accepting tags that the election ended',
  'standby-asks-nobody': 'a standby takes every answer of a witness for "I lost it too"',
  'edge-forwards': 'an edge sends up again what came down to it',
  'nothing-passed-on': 'a host drops what two others send each other by it',
  'lower-version-wins': 'a merge prefers the lower version',
  'slots-unsettled': 'a view shows every host that claims a slot, not only the one that keeps it',
  'signatures-unchecked': 'a record of anybody is taken',
  'repair-off': 'hosts rely on gossip alone',
  'claims-unlisted': 'whoever claims an entity is believed to be listed for it',
  'superseded-port-stays': 'a worker leaves ports open that others have under a higher claim',
  'shut-out-stays': 'a host goes on with whoever was shut out: over its trunk, its connection, its vSwitch',
  'all-fail-over': 'a host starts whatever it lost elsewhere, though the record says that it stays',
  'runner-first': 'whoever runs an entity comes before the host to which it is moved',
  'others-unheard': 'a host takes no notice of what others say that they run'
} as const

export type Bug = keyof typeof bugs

export function isBug(name: string): name is Bug {
  return Object.hasOwn(bugs, name)
}
