/**
 * Every number of liveness, with what it trades. A death that all watchers notice is told after
 * silence + tick + the least clock: 2.3 + 0.25 + 0.6 s and the way of one gossip message.
 */

/** Hosts that watch a host, on either side of it on the ring: more cost bytes, fewer die together unseen. */
export const watchersPerSide = 4
/** Whose accusations count: a view that does not know some deaths yet looks less far than its neighbour's. */
export const accusersPerSide = 8

/** A watched host that has nothing to say says so this often. */
export const signEveryMs = 500
/** The machine is called this often; the edges need no finer clock. */
export const tickMs = 250
/**
 * Silence after which a watcher suspects: TCP sends a lost segment three times meanwhile, and a stall of
 * 300 ms fits in. Shorter is quicker and accuses the living more often, which costs eight hosts some bytes.
 */
export const silenceMs = 2_300
/** A host heard within this time is there, whoever says what; a longer silence counts for {@link isolationMs}. */
export const freshMs = 1_000
/** A host that was never heard in this life may still be starting, or be on its way here. */
export const firstMs = 15_000

/** Watchers that must agree before a suspicion is told to the whole mesh at once; fewer where there are fewer. */
export const agreeing = 3
/** The accused has this long to object when so many agree… */
export const minClockMs = 600
/** …and this long when one watcher stands alone: it is likelier that its own way is broken. */
export const maxClockMs = 8_000

/** A tick that came so much too late says that this host stood still. */
export const lateMs = 100
/** It then first reads what waited for it, and is that much more patient for a while, up to this. */
export const maxPatienceMs = 1_000
/** More than a third of the watched lost at once: it is this host that is cut off, so it waits this long. */
export const isolationMs = 10_000

/** After a refutation its watcher, who still hears nothing, keeps quiet for so long, and twice that next time… */
export const muteMs = 5_000
/** …up to this. */
export const maxMuteMs = 300_000

/** A host held dead is listened for so long on connections that it may still have. */
export const listenMs = 300_000
/** What watchers told is not handed on again for so long… */
export const passedMs = 10_000
/** …if it is among so many last. */
export const maxPassed = 1_024

/** Highest incarnation: one refutation a second for a century. */
export const maxIncarnation: number = 2 ** 32
/** Deaths told to a host that starts, at most: 2 MiB of them. */
export const maxEvidence = 6_000

/**
 * How long the accused has to object (Lifeguard, DSN 2018): from the longest to the shortest with the
 * logarithm of the watchers that agreed, `others` of `expected`.
 */
export function clockMs(others: number, expected: number): number {
  if (others >= expected) return minClockMs
  const share = Math.log(others + 1) / Math.log(expected + 1)
  return maxClockMs - (maxClockMs - minClockMs) * share
}
