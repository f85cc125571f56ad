/** What labs of containers say of one: its image and its memory. Readers of such labs share it. */
/** Whether an image is one of routing daemons: a node that has one is a router, on however few networks. */
export function isRouting(image: string): boolean {
  return /frr|quagga|bird|router|bgp|ospf/i.test(image)
}

/** Why an image is not taken over. */
export function whyNotImage(image: string): string {
  return `entities start from an image of VIOLIN's, not from ${image.slice(0, 100)}`
}

/** Mebibytes of `512m`, `1Gb`, `64MiB`; `plain` is the unit of a bare number. Null for what is no size. */
export function memoryMiBOf(text: string, plain: 'bytes' | 'mebibytes'): number | null {
  const memory = /^(\d{1,9})\s*([bkmg]?)i?b?$/i.exec(text.trim())
  if (memory === null) return null
  const unit = (memory[2] as string).toLowerCase() || (plain === 'bytes' ? 'b' : 'm')
  const factor = { b: 2 ** -20, k: 2 ** -10, m: 1, g: 1024 }[unit as 'b']
  return Math.max(1, Math.ceil(Number(memory[1]) * factor))
}
