/**
 * Start-up commands of a node, a line each: what the topology says itself (addresses, interfaces that go up)
 * is taken out, what would stumble over it is put in words that do not, and the rest stays as it is.
 */
import { parseIpv4 } from '#core/ipv4.ts'
import type { ForeignCommand, Notes } from './foreign.ts'
import { isFrr } from './frr.ts'
import { type Address, type Address6, parseAddress, parseAddress6 } from './subnets.ts'

/** What a line is about. */
export type Meaning =
  | { readonly kind: 'address'; readonly nic: string; readonly address: Address }
  | { readonly kind: 'ipv6'; readonly nic: string; readonly address: Address6 }
  /** The driver does it anyway. */
  | { readonly kind: 'up'; readonly nic: string }
  /** Another wording of the same. */
  | { readonly kind: 'reworded'; readonly text: string }
  /** The guest has none of this. */
  | { readonly kind: 'service'; readonly service: string }
  | { readonly kind: 'other' }

const other: Meaning = { kind: 'other' }

/** Reads one line of a start-up script. Only plain commands are understood: no pipes, quotes, variables. */
export function meaningOf(line: string): Meaning {
  if (line.length > 1_000 || !/^[\w\s./:@+-]+$/.test(line)) return other
  const words = line.trim().split(/\s+/)
  const [program, ...rest] = words as [string, ...string[]]
  const name = program.replace(/^\/(?:usr\/)?s?bin\//, '')
  if (name === 'ip') return ofIp(rest)
  if (name === 'ifconfig') return ofIfconfig(rest)
  if (name === 'route') return ofRoute(rest)
  const started = serviceStarted(name, rest)
  return started === null ? other : { kind: 'service', service: started }
}

function ofIp(words: readonly string[]): Meaning {
  const isTold = words[0] === '-4' || words[0] === '-6'
  const [object, verb, ...rest] = isTold ? words.slice(1) : words
  if (object === undefined || verb === undefined) return other
  if (/^a(d(d(r(e(ss?)?)?)?)?)?$/.test(object) && ['add', 'a', 'replace'].includes(verb)) {
    const [text = '', ...options] = rest
    const at = options.indexOf('dev')
    const nic = options[at + 1]
    const [address, ipv6] = [parseAddress(text), parseAddress6(text)]
    // Labels, peers and scopes are the script's own affair.
    const plain =
      at >= 0 && options.every((_, place) => place === at || place === at + 1 || isBroadcast(options, place))
    if (!plain || nic === undefined || nic === 'lo') return other
    if (ipv6 !== null) return { kind: 'ipv6', nic, address: ipv6 }
    return address === null ? other : { kind: 'address', nic, address }
  }
  if (/^l(i(nk?)?)?$/.test(object) && ['set', 's'].includes(verb)) {
    const [nic, state, end] = rest[0] === 'dev' ? rest.slice(1) : rest
    return nic !== undefined && nic !== 'lo' && state === 'up' && end === undefined
      ? { kind: 'up', nic }
      : other
  }
  if (/^r(o(u(te?)?)?)?$/.test(object) && ['add', 'a'].includes(verb)) {
    // A route that the topology gave already is replaced, where a second one of the same kind would be refused.
    return { kind: 'reworded', text: `ip ${words[0] === '-6' ? '-6 ' : ''}route replace ${rest.join(' ')}` }
  }
  return other
}

function isBroadcast(options: readonly string[], place: number): boolean {
  return (
    /^(broadcast|brd)$/.test(options[place] as string) || /^(broadcast|brd)$/.test(options[place - 1] ?? '')
  )
}

function ofIfconfig(words: readonly string[]): Meaning {
  const [nic, ...rest] = words
  if (nic === undefined || nic === 'lo' || nic.includes(':')) return other
  if (rest.length === 1 && rest[0] === 'up') return { kind: 'up', nic }
  if (rest[0] === 'inet6' && rest[1] === 'add') {
    const address = rest.length === 3 ? parseAddress6(rest[2] ?? '') : null
    return address === null ? other : { kind: 'ipv6', nic, address }
  }
  const [text = '', ...options] = rest
  let prefix: number | null = null
  for (let place = 0; place < options.length; place++) {
    const word = options[place]
    if (word === 'up') continue
    if (word === 'netmask') prefix = prefixOf(options[++place] ?? '')
    else if (word === 'broadcast') place++
    else return other
  }
  const address = parseAddress(text.includes('/') || prefix === null ? text : `${text}/${prefix}`)
  return address === null ? other : { kind: 'address', nic, address }
}

/** 255.255.255.0 is 24; null for what is no netmask. */
function prefixOf(mask: string): number | null {
  const bits = parseIpv4(mask)
  if (bits === null) return null
  const prefix = Math.clz32(~bits >>> 0)
  return bits === 2 ** 32 - 2 ** (32 - prefix) ? prefix : null
}

/** `route add` of net-tools, in the words of iproute2. */
function ofRoute(words: readonly string[]): Meaning {
  const [verb, ...rest] = words
  if (verb !== 'add') return other
  const kind = rest[0] === '-net' || rest[0] === '-host' ? rest.shift() : undefined
  const target = rest.shift()
  let [to, via, dev]: (string | undefined)[] = [target, undefined, undefined]
  for (let place = 0; place < rest.length; place++) {
    const word = rest[place]
    if (word === 'gw') via = rest[++place]
    else if (word === 'dev') dev = rest[++place]
    else if (word === 'netmask') to = `${target}/${prefixOf(rest[++place] ?? '') ?? 'x'}`
    else if (place === rest.length - 1 && dev === undefined) dev = word
    else return other
  }
  if (to === undefined || to.endsWith('/x') || (via === undefined && dev === undefined)) return other
  if (kind === '-net' && to !== 'default' && !to.includes('/')) return other
  const tail = `${via === undefined ? '' : ` via ${via}`}${dev === undefined ? '' : ` dev ${dev}`}`
  return { kind: 'reworded', text: `ip route replace ${to}${tail}` }
}

/** The service that `/etc/init.d/x start`, `service x start` or `systemctl start x` starts; null: none. */
function serviceStarted(program: string, words: readonly string[]): string | null {
  const verb = /^(?:re)?start$/
  const init = /^\/etc\/init\.d\/([\w.-]+)$/.exec(program)?.[1]
  if (init !== undefined) return verb.test(words[0] ?? '') ? init : null
  if (program === 'service') return verb.test(words[1] ?? '') ? (words[0] ?? null) : null
  if (program === 'systemctl') return verb.test(words[0] ?? '') ? (words[1] ?? null) : null
  return null
}

/** Bash as the program of a line, and anywhere in it. */
const firstBash = /^(\s*)(?:\/(?:usr\/)?bin\/)?bash(?=\s|$)/
const anyBash = /(?:^|[\s;&|(])(?:\/(?:usr\/)?bin\/)?bash(?=[\s;&|)]|$)/

/** Whether a text is a program for bash, which no image has. */
export function isForBash(text: string): boolean {
  return /^#!\s*\S*[/ ]bash(\s|$)/.test(text.slice(0, 100))
}

/** A command with sh in place of bash where it begins with that; what else of it takes bash is noted. */
function withoutBash({ text, place }: ForeignCommand, notes: Notes): string {
  if (firstBash.test(text)) notes.add(place, 'bash is run as sh: the guest has no bash')
  else if (anyBash.test(text) && !/^\s*#/.test(text))
    notes.add(place, 'it takes bash, which the guest does not have')
  return text.replace(firstBash, '$1sh')
}

/** A node's commands, sorted out. */
export interface Commands {
  /** First address of each vNIC, by the lab's name for it. */
  readonly addresses: ReadonlyMap<string, Address>
  readonly ipv6: ReadonlyMap<string, Address6>
  /** Lines of the script that is left; `takes` is the address of {@link addresses} or {@link ipv6} that one gives. */
  readonly lines: readonly { readonly text: string; readonly takes: Address | Address6 | null }[]
}

/** Sorts out a node's start-up commands; `nics`: the vNICs that it has, by the lab's names; `hasFrr`: FRR is started anyway. */
export function sortCommands(
  commands: readonly ForeignCommand[],
  nics: ReadonlySet<string>,
  hasFrr: boolean,
  notes: Notes
): Commands {
  const addresses = new Map<string, Address>()
  const ipv6 = new Map<string, Address6>()
  const lines: { text: string; takes: Address | Address6 | null }[] = []
  /** The word that ends the text given to a command (`<< EOF`); null: outside of one. */
  let end: string | null = null
  for (const command of commands) {
    const { place } = command
    const inText: boolean = end !== null
    const text: string = inText ? command.text : withoutBash(command, notes)
    if (inText && isForBash(text)) notes.add(place, 'it is for bash, which the guest does not have')
    if (end === null) end = /<<-?\s*["'\\]?(\w+)/.exec(text)?.[1] ?? null
    else if (text.trim() === end) end = null
    // An indented line runs under a condition, which the topology has not.
    const meaning = inText ? other : meaningOf(text)
    const always = !/^\s/.test(text)
    if (meaning.kind === 'address' && always && nics.has(meaning.nic) && !addresses.has(meaning.nic)) {
      addresses.set(meaning.nic, meaning.address)
      lines.push({ text, takes: meaning.address })
    } else if (meaning.kind === 'ipv6' && always && nics.has(meaning.nic) && !ipv6.has(meaning.nic)) {
      ipv6.set(meaning.nic, meaning.address)
      lines.push({ text, takes: meaning.address })
    } else if (meaning.kind === 'reworded') lines.push({ text: meaning.text, takes: null })
    else if (meaning.kind === 'service') {
      if (!(hasFrr && isFrr(meaning.service)))
        notes.add(place, `${meaning.service} is not started: the guest has no such service`)
      lines.push({ text: `: ${text.trim()}`, takes: null })
    } else if (meaning.kind !== 'up' || !always || !nics.has(meaning.nic)) lines.push({ text, takes: null })
  }
  return { addresses, ipv6, lines }
}
