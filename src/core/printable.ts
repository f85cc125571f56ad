/** Text of other hosts and guests as it may be shown: on one line, without what a terminal would obey. */

/** Replaces control and format characters by spaces and cuts to `max` characters. */
export function printable(text: string, max: number): string {
  return text.replaceAll(/\p{C}/gu, ' ').slice(0, max)
}
