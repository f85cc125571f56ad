/**
 * The numbers of the election, milliseconds. They bound how long a vLAN is without a switch: smaller is
 * faster and takes more stalls and losses for deaths.
 */

/** To standby and witnesses. Twenty datagrams a second each, for at most nine hosts a vLAN. */
export const beatMs = 50
/** To all others: two datagrams a second, so that a switch of 1,000 edges sends 2,000. */
export const slowBeatMs = 500
/** One beat and a half: later than jitter, early enough that a refusal comes before the second is missed. */
export const suspectMs = 75
/** A slow beat and a half. */
export const slowSuspectMs = 750
/** Pace of probes while in doubt. */
export const probeMs = 50
export const slowProbeMs = 100
/** Silence that standby and witnesses take for death: a stall of 300 ms is none. */
export const silentMs = 500
/** The same where no witness says so too: half as much again, and the takeover still ends within a second. */
export const aloneMs = 850
/** A witness holds the active for lost a little before the standby asks for the last time. */
export const witnessMs = 400
/**
 * Standby and witnesses hear beats, yet none that echoes what they said for so long: the active is deaf. With all
 * well an echo is two beats old at most, and behind a stall of 300 ms one of four beats gets through.
 */
export const deafMs = 575
/** Two missed beats, where the active's kernel said that nobody listens; with room for a late one. */
export const refusedMs = 110
/** A slow edge probes this long before it gives its active up. */
export const slowLostMs = 500
/** Who answers nothing for so long, while another claims, is lost; three round trips if that is more. */
export const challengeMs = 100
/** A peer whose echo is older cannot hear us. Two slow beats and a half. */
export const echoMs = 1_250
/** Those that are asked who is lost, and do not answer, are waited for so long where the others do not decide. */
export const answerMs = 150
/** The i-th candidate waits this much longer: more than a claim needs to spread over a continent. */
export const staggerMs = 150
/** Claims of those that are not the standby wait a little, so that its claim comes first. */
export const deferMs = 50
/** Who starts listens before it claims: answers of who is there come in a round trip. */
export const listenMs = 200
/** The same while no other candidate was heard: time for trunks to come up. */
export const lonelyMs = 1_000
/** How old an answer may be that says whether a host is there and follows somebody. */
export const voteMs = 600
/** A new active beats fast to those that do not follow it yet, for this long. */
export const eagerMs = 1_000
/** Who discovers another active hears its edges anew before it compares. */
export const rivalMs = 100
/** Another active that was not heard of for so long is gone. */
export const rivalGoneMs = 1_500
/** A handover that does not come about in this time is given up. */
export const handoverMs = 1_000
/**
 * After a failover the first candidate in the record's order gets the switch back when it followed without a gap
 * for so long, and by chance up to a sixth more, so that the switches of one host do not all move at once. Longer
 * leaves frames on a longer way; shorter lets a host that comes and goes drag the switch along.
 */
export const returnMs = 60_000
export const returnJitterMs = 10_000
/** A former active's tags live on for what is on its way; with a packet of control, data may be overtaken. */
export const lingerMs = 150
/** An edge takes frames of its former active for at most this long after it was handed over. */
export const formerMs = 1_500
/** Most answers to one peer beyond the rhythm: one in this time. */
export const promptMs = 20
/**
 * The active says again to one that asked, and has not answered, that it is there: after this, so often, each time after
 * twice as long. At first after little more than a round trip on a local network, for who stood still once may stand
 * still again before its next beat, and both together are as long as a death; then later than what was lost together.
 */
export const againMs = 1
export const maxAgain = 3
/** Hosts that confirm to the standby that the active is lost: enough for a majority, few beats. */
export const maxWitnesses = 8
/** Hosts that one in doubt asks. */
export const maxAsked = 16
/** Counters above are not believed. */
export const maxCounter: number = 2 ** 31
