/**
 * Which addresses vNICs are given. Where a lab names none, as for those of a switch, the next free one of the vLAN may
 * be what another device has by its script: then it gets one that stands nowhere in the lab.
 */
import { formatIpv4, parseIpv4 } from '#core/ipv4.ts'
import { formatIpv6, parseIpv6 } from '#core/ipv6.ts'
import type { Network } from '#core/networks.ts'
import type { ForeignLab } from './foreign.ts'

/** Its highest address at most, counted from the network's: people number from the lowest on. */
const highest = 65_534n

export class Given {
  /** All that look like an address in scripts and files. */
  readonly #mentioned: ReadonlySet<string>
  /** By vLAN: what the lab gives its vNICs. */
  readonly #known: ReadonlyMap<string, ReadonlySet<string>>
  readonly #taken = new Set<string>()

  constructor(lab: ForeignLab, known: ReadonlyMap<string, ReadonlySet<string>>) {
    this.#mentioned = new Set(mentionedIn(lab))
    this.#known = known
  }

  /** False: another vNIC of the vLAN has it. */
  take(lan: string, address: string): boolean {
    const key = `${lan} ${address}`
    if (this.#taken.has(key)) return false
    this.#taken.add(key)
    return true
  }

  /** An address for a vNIC of which the lab names none; null: the next free one. */
  choose(lan: string, network: Network): string | null {
    const known = this.#known.get(lan)
    const isOthers = (text: string): boolean => !known?.has(text) && contains(network, text)
    if (![...this.#mentioned].some(isOthers)) return null
    const size = network.last - network.first + 1n
    for (let ip = network.first + (size - 2n < highest ? size - 2n : highest); ip > network.first; ip--) {
      const text = network.isIpv6 ? formatIpv6(ip) : formatIpv4(Number(ip))
      if (!this.#mentioned.has(text) && this.take(lan, text)) return text
    }
    return null
  }
}

function contains({ isIpv6, first, last }: Network, text: string): boolean {
  const ip = isIpv6 ? parseIpv6(text) : parseIpv4(text)
  return ip !== null && BigInt(ip) >= first && BigInt(ip) <= last
}

function* mentionedIn({ nodes }: ForeignLab): Generator<string> {
  const texts = new Set(
    nodes.flatMap(({ commands, files }) => [
      ...commands.map(({ text }) => text),
      ...files.map(({ data }) => new TextDecoder().decode(data))
    ])
  )
  for (const text of texts) {
    for (const [ip] of text.matchAll(/(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])/g)) yield ip
    for (const [word] of text.matchAll(/(?<![\da-fA-F:])(?:[\da-fA-F]{0,4}:){2,8}[\da-fA-F]{0,4}/g)) {
      const ip = parseIpv6(word)
      if (ip !== null) yield formatIpv6(ip)
    }
  }
}
