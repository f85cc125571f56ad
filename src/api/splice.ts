/** Joins the two streams of a session in a process that stands between caller and entity. */
import type { Duplex } from 'node:stream'

/**
 * Passes bytes both ways, each no faster than the other side takes them. The session ends when `callee` does:
 * what it said last is delivered whole, and what the caller still says is thrown away until it closes. A
 * caller that goes takes the callee along.
 */
export function splice(caller: Duplex, callee: Duplex): void {
  if (caller.destroyed) {
    // It broke while the session was being opened, and tells so no more.
    callee.destroy()
    return
  }
  const over = (): void => {
    caller.unpipe(callee)
    if (callee.readableEnded) caller.resume()
    else caller.destroy()
  }
  callee.on('error', () => callee.destroy())
  caller.on('error', () => caller.destroy())
  callee.once('close', over)
  caller.once('close', () => callee.destroy())
  caller.pipe(callee)
  callee.pipe(caller)
}
