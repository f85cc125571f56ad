/**
 * Every number that bounds the mesh, with its unit and what it trades.
 */

/** Those that depend on the network around: {@link MeshOptions.bounds} may set each. */
export interface Bounds {
  /** Connections that are not proven, at once; above it the oldest idle one goes. Each may pin some 100 kB. */
  readonly maxStrangers: number
  /** Idle life of a connection that is neither proven nor joining. A join by hand begins within a second. */
  readonly strangerMs: number
  /** Its whole life, however many requests that strangers may ask are under way. */
  readonly strangerBusyMs: number
  /** One exchange of presentations. Three trips and two verifications: a second on a bad path. */
  readonly proofMs: number
  /** A ping to each member, and to watched ones twice as often: some 60 bytes each way. */
  readonly pingIntervalMs: number
  /**
   * Silence after a ping that ends a connection: with the interval, 3.5 s after the last byte. TCP sends a
   * lost packet four times meanwhile, so one loss in twenty costs a connection less than once a day.
   */
  readonly pingTimeoutMs: number
  /** One random missing peer is dialled this often, for ever, by a host with few connections. */
  readonly redialMs: number
  /** A peer that was lost is dialled after so long, then after twice that… */
  readonly lostDialMs: number
  /** …up to this, so that a daemon that restarts is back within seconds… */
  readonly maxLostDialMs: number
  /** …for so long; after that it is one of the missing. */
  readonly lostMs: number
}

export const defaultBounds: Bounds = {
  maxStrangers: 64,
  strangerMs: 15_000,
  strangerBusyMs: 60_000,
  proofMs: 5_000,
  pingIntervalMs: 1_000,
  pingTimeoutMs: 2_500,
  redialMs: 15_000,
  lostDialMs: 250,
  maxLostDialMs: 3_000,
  lostMs: 120_000
}

/** libp2p ends a stream of pings after that time, and remembers it until then: the next ping opens another. */
export const PING_STREAM_MS = 120_000

/** Exchanges on one connection: the first, one after joining, and some that got lost. */
export const MAX_PROOFS = 16
/** A presentation: a chain of at most eight links of some 250 bytes. */
export const MAX_PRESENTATION_BYTES: number = 16 * 1024

/** An answer to a request; what is larger is asked for in pieces, or flows on a stream. */
export const MAX_ANSWER_BYTES: number = 2 * 1024 * 1024
/** Bytes of a length prefix (2⁴² covers every bound here). */
export const MAX_LENGTH_BYTES = 6
/** From the opening of a request to its last byte. */
export const READ_REQUEST_MS = 10_000
/** Requests of one member answered at once. */
export const MAX_ANSWERING = 32
/** Requests of one stranger answered at once. */
export const MAX_ANSWERING_STRANGER = 4
/**
 * Requests of all strangers together: a class of 40 joins at once, and a flood of joins, each of some ten
 * verifications of 0.1 ms, takes a fiftieth of a processor.
 */
export const MAX_STRANGERS_ASKING_AT_ONCE = 40
export const MAX_STRANGERS_ASKING_PER_SECOND = 20
/** Requests to one peer at once, and those that wait for their turn. */
export const MAX_ASKING = 16
export const MAX_ASKING_WAITING = 256
/** Byte streams of one protocol on one connection, each way. */
export const MAX_STREAMS = 128

/** Connections at once; a member watches eight and talks to a few dozen. */
export const MAX_CONNECTIONS = 300
/** New inbound connections a second from one address: hosts behind one NAT, or in one lab, come together. */
export const MAX_INBOUND_PER_SECOND = 50
/** Inbound connections in their handshake at once. */
export const MAX_INBOUND_PENDING = 64
/** Addresses at which another network was found, until who dialled is told. */
export const MAX_MISMATCHES = 64
/** Streams on one connection, each way. */
export const MAX_MUXED_STREAMS = 256
/** Under way on one stream: 160 Mb/s at 100 ms of round trip, and what a peer can pin here for each. */
export const MAX_STREAM_WINDOW_BYTES: number = 2 * 1024 * 1024

/** The end of a connection, politely. */
export const HANG_UP_MS = 1_000
/** One dial of a missing peer. */
export const REDIAL_TIMEOUT_MS = 10_000
/** The same for one that was lost: short, so that it is tried again soon after its host is back. */
export const LOST_DIAL_TIMEOUT_MS = 5_000
/** Lost peers that are dialled in quick succession; a member watches eight and talks to a few dozen. */
export const MAX_LOST = 64
/** Peers of which is remembered when they were heard last. */
export const MAX_HEARD_PEERS: number = 16 * 1024
/** With so many connections a host looks for no more remembered peers: whom it needs, the daemon dials. */
export const ENOUGH_CONNECTIONS = 64
/** Remembered peers dialled at once at the start. */
export const MAX_FIRST_DIALS = 8
/** Peers heard by mDNS that wait to be dialled (anyone on the LAN can announce). */
export const MAX_HEARD = 32
/** One of those that was no member for this host, or did not take it for one, is dialled again after this. */
export const HEARD_AGAIN_MS = 60_000

/** One gossip message; a record is at most 64 KiB. */
export const MAX_GOSSIP_BYTES: number = 72 * 1024
/** One gossip packet of several messages. */
export const MAX_GOSSIP_PACKET_BYTES: number = 4 * 1024 * 1024
/** Topics of one peer, at 1 KiB and its name each: some 250. */
export const MAX_TOPIC_BYTES_PER_PEER: number = 256 * 1024

/** Messages that one neighbour may bring: a rack's death makes thousands at once. Each costs some 100 µs. */
export const GOSSIP_BURST = 8_000
export const GOSSIP_PER_SECOND = 2_000
/** Bytes that are read of one neighbour's gossip, whatever they are; the messages above, at 1 KiB each. */
export const GOSSIP_BURST_BYTES: number = 8 * 1024 * 1024
export const GOSSIP_BYTES_PER_SECOND: number = 2 * 1024 * 1024
/**
 * Wrong messages, or too many, after which a neighbour's gossip is passed over: some nine at once, or one a
 * second for long. Half is forgiven in seven seconds, so that a defect in one version parts nobody for ever.
 */
export const FREE_PENALTIES = 6
export const PENALTY_DECAY = 0.9
/** Longest id of a message that is remembered: SHA-256. */
export const MESSAGE_ID_BYTES = 32

/** A value in the DHT. */
export const MAX_DHT_VALUE_BYTES: number = 4 * 1024
export const MAX_DHT_KEY_BYTES = 512
/** Entries of a datastore in memory; the oldest goes. 8 Ki values of 4 KiB are 32 MB at worst. */
export const MAX_DATASTORE_ENTRIES: number = 8 * 1024
