/** Addresses that nobody but this machine can dial. */

/** Whether a multiaddress is one of loopback. */
export function isLoopback(address: string): boolean {
  return /^\/(ip4\/127\.|ip6\/::1\/)/.test(address)
}
