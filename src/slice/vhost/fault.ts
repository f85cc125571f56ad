/**
 * A front end broke the protocol. The device that met it ends, and nothing else.
 */

/** Thrown from wherever a hostile or broken value is met; caught once, where the event came in. */
export class VhostFault extends Error {
  override readonly name = 'VhostFault'
}
