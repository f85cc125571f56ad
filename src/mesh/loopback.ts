/** Addresses that nobody but this machine can dial. */

/** Whether a multiaddress is one of loopback. */
export function isLoopback(address: string): boolean {
  return /^\/(ip4\/127\.|ip6\/::1\/)/.test(address)
}

/** Those that others can dial; all, where there is no other, for several hosts may be on one machine. */
export function beyondLoopback(addresses: readonly string[]): readonly string[] {
  const others = addresses.filter((address) => !isLoopback(address))
  return others.length > 0 ? others : addresses
}
