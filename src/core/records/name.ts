/** The one rule for names of hosts, VIOLINs, entities and vLANs. */

/** Longest name, characters: with two of them a path under a state folder still fits a socket's 107 bytes. */
export const maxNameLength = 40

/** Lower-case letters, digits and inner or trailing `-`; 1 to {@link maxNameLength} characters. */
export function isName(text: string): boolean {
  return text.length <= maxNameLength && /^[a-z0-9][a-z0-9-]*$/.test(text)
}
