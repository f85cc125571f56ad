/**
 * A containerlab file (`*.clab.yml`): nodes of kind `linux` (FRR among them) become entities, links and
 * bridges vLANs. A node takes its settings from `defaults`, its kind and its group, as containerlab does.
 */
import * as z from 'zod'
import { type Path, Source } from '../source.ts'
import { isRouting, memoryMiBOf, whyNotImage } from './container.ts'
import type {
  Folder,
  ForeignCommand,
  ForeignFile,
  ForeignLab,
  ForeignNic,
  ForeignNode,
  Notes,
  Place
} from './foreign.ts'

const scalar = z.union([z.string(), z.number(), z.boolean()])
const settings = z.looseObject({
  kind: z.string().optional(),
  group: z.string().optional(),
  image: z.string().nullish(),
  exec: z.array(z.string()).nullish(),
  binds: z.array(z.string()).nullish(),
  env: z.record(z.string(), scalar).nullish(),
  memory: z.string().nullish()
})
const endpoint = z.union([z.string(), z.looseObject({ node: z.string(), interface: z.string() })])
const link = z.looseObject({
  type: z.string().optional(),
  endpoints: z.array(endpoint).max(2).optional(),
  endpoint: endpoint.optional()
})
const schema = z.looseObject({
  name: z.string().max(256),
  topology: z.looseObject({
    defaults: settings.nullish(),
    kinds: z.record(z.string(), settings.nullable()).nullish(),
    groups: z.record(z.string(), settings.nullable()).nullish(),
    nodes: z.record(z.string(), settings.nullable()),
    links: z.array(link).nullish()
  })
})
type Settings = z.infer<typeof settings>
type File = z.infer<typeof schema>

/** Words of a node that are acted upon. */
const known: ReadonlySet<string> = new Set(Object.keys(settings.shape))
/** Words that say nothing of what a node does. */
const silent: ReadonlySet<string> = new Set([
  'labels',
  'startup-delay',
  'wait-for',
  'mgmt-ipv4',
  'mgmt-ipv6',
  'mgmt_ipv4',
  'mgmt_ipv6'
])
/** Kinds of node that are a network. */
const bridges: ReadonlySet<string> = new Set(['bridge', 'ovs-bridge'])
/** Ends of links that are no node of the lab. */
const outside: ReadonlySet<string> = new Set(['host', 'mgmt-net', 'macvlan'])

/** A setting with the place of the part that it came from. */
interface Found<T> {
  readonly value: T
  readonly path: Path
}

/** Reads a containerlab file; `folder` is where it lies. Throws `topology-invalid`. */
export function readContainerlab(text: string, file: string, folder: Folder, notes: Notes): ForeignLab {
  return new Reader(text, file, folder, notes).lab()
}

class Reader {
  readonly #source: Source
  readonly #file: string
  readonly #folder: Folder
  readonly #notes: Notes
  readonly #lab: File
  readonly #nics = new Map<string, ForeignNic[]>()
  readonly #networks = new Set<string>()

  constructor(text: string, file: string, folder: Folder, notes: Notes) {
    this.#source = new Source(text, file)
    this.#file = file
    this.#folder = folder
    this.#notes = notes
    const parsed = schema.safeParse(this.#source.value())
    if (parsed.success) this.#lab = parsed.data
    else {
      const [issue] = parsed.error.issues
      throw this.#source.refuse(
        (issue?.path ?? []) as Path,
        `is no containerlab file: ${issue?.message}`,
        'see containerlab.dev/manual/topo-def-file'
      )
    }
  }

  lab(): ForeignLab {
    const { name, topology } = this.#lab
    this.#leave([], this.#lab, new Set(['name', 'topology', 'prefix']), 'VIOLIN has no such setting')
    this.#leave(
      ['topology'],
      topology,
      new Set(['defaults', 'kinds', 'groups', 'nodes', 'links']),
      'VIOLIN has no such setting'
    )
    for (const [place, one] of (topology.links ?? []).entries()) this.#readLink(one, place)
    const names = Object.keys(topology.nodes)
    if (names.length === 0) throw this.#source.refuse(['topology', 'nodes'], 'has no node', 'name one')
    const nodes = names.filter((node) => !bridges.has(this.#kindOf(node))).map((node) => this.#readNode(node))
    return { name, title: `the containerlab file of ${name}`, nodes }
  }

  #at(path: Path): Place {
    return { file: this.#file, line: this.#source.lineOf(path) }
  }

  /** Notes words of a map that nothing is done with. */
  #leave(path: Path, map: Readonly<Record<string, unknown>>, acted: ReadonlySet<string>, why: string): void {
    for (const word of Object.keys(map)) {
      if (!acted.has(word) && !silent.has(word))
        this.#notes.add(this.#at([...path, word]), `\`${word.slice(0, 60)}\` is not taken over: ${why}`)
    }
  }

  /** The parts that a node's settings come from, the last word first. */
  #partsOf(name: string): Found<Settings>[] {
    const { defaults, kinds, groups, nodes } = this.#lab.topology
    const own = (Object.hasOwn(nodes, name) ? nodes[name] : null) ?? {}
    const pick = (
      map: Readonly<Record<string, Settings | null>> | null | undefined,
      key: string | undefined
    ): Settings => (key !== undefined && map != null && Object.hasOwn(map, key) ? map[key] : null) ?? {}
    const group = own.group ?? defaults?.group
    const grouped = pick(groups, group)
    const kind = own.kind ?? grouped.kind ?? defaults?.kind
    return [
      { value: own, path: ['topology', 'nodes', name] },
      { value: grouped, path: ['topology', 'groups', group ?? ''] },
      { value: pick(kinds, kind), path: ['topology', 'kinds', kind ?? ''] },
      { value: defaults ?? {}, path: ['topology', 'defaults'] }
    ]
  }

  #kindOf(name: string): string {
    return this.#first(name, 'kind')?.value ?? ''
  }

  #first<W extends 'kind' | 'image' | 'memory'>(name: string, word: W): Found<string> | null {
    for (const { value, path } of this.#partsOf(name)) {
      const found = value[word]
      if (typeof found === 'string') return { value: found, path: [...path, word] }
    }
    return null
  }

  /** Items of lists in all parts, the general ones first. */
  #all(name: string, word: 'exec' | 'binds'): Found<string>[] {
    return this.#partsOf(name)
      .toReversed()
      .flatMap(({ value, path }) =>
        (value[word] ?? []).map((item, place) => ({ value: item, path: [...path, word, place] }))
      )
  }

  #readNode(name: string): ForeignNode {
    const path = ['topology', 'nodes', name]
    const parts = this.#partsOf(name)
    for (const part of parts) this.#leave(part.path, part.value, known, 'VIOLIN has no such setting')
    const kind = this.#kindOf(name)
    if (kind !== 'linux' && kind !== '')
      this.#notes.add(
        this.#at([...path, 'kind']),
        `${name} is of kind ${kind.slice(0, 60)}: it comes as a plain Linux entity, without its system and settings`
      )
    const image = this.#first(name, 'image')
    if (image !== null) this.#notes.add(this.#at(image.path), whyNotImage(image.value))
    const routes = kind !== 'linux' || isRouting(image?.value ?? '')
    const env = Object.assign({}, ...parts.toReversed().map(({ value }) => value.env ?? {})) as Record<
      string,
      unknown
    >
    return {
      name,
      place: this.#at(path),
      kind: routes && (this.#nics.get(name)?.length ?? 0) > 0 ? 'router' : null,
      nics: this.#nics.get(name) ?? [],
      commands: this.#all(name, 'exec').map(({ value, path: at }): ForeignCommand => ({
        text: value.replaceAll(/[\r\n]+/g, ' '),
        place: this.#at(at)
      })),
      env: Object.fromEntries(Object.entries(env).map(([key, value]) => [key, String(value)])),
      memoryMiB: this.#memoryOf(name),
      files: this.#all(name, 'binds').flatMap((bind) => this.#readBind(name, bind))
    }
  }

  #memoryOf(name: string): number | null {
    const found = this.#first(name, 'memory')
    if (found === null) return null
    const memory = memoryMiBOf(found.value, 'bytes')
    if (memory === null)
      this.#notes.add(this.#at(found.path), `the memory of ${name} is not taken over: it is no size`)
    return memory
  }

  /** A bound file, or all files of a bound folder. */
  #readBind(name: string, { value, path }: Found<string>): ForeignFile[] {
    const [from = '', to = ''] = value.split(':')
    const place = this.#at(path)
    const local = from
      .replaceAll('__clabNodeName__', name)
      .replace(/^(\.\/)+/, '')
      .replace(/\/+$/, '')
    const inside = to.replace(/\/+$/, '')
    const below = this.#folder.files.filter((one) => one.startsWith(`${local}/`))
    const exact = this.#folder.files.includes(local)
    if (inside === '' || (!exact && below.length === 0)) {
      const why =
        from.startsWith('/') || from.split('/').includes('..')
          ? 'it lies outside of the folder of the lab'
          : 'there is no such file'
      this.#notes.add(place, `${value.slice(0, 200)} is not taken over: ${why}`)
      return []
    }
    const read = (source: string, target: string): ForeignFile[] => {
      try {
        return [{ path: target, place, ...this.#folder.read(source) }]
      } catch (error: unknown) {
        this.#notes.add(place, `${source} is not taken over: ${(error as Error).message}`)
        return []
      }
    }
    return exact
      ? read(local, inside)
      : below.flatMap((one) => read(one, `${inside}${one.slice(local.length)}`))
  }

  #readLink(one: z.infer<typeof link>, place: number): void {
    const path = ['topology', 'links', place]
    this.#leave(path, one, new Set(['type', 'endpoints', 'endpoint']), 'VIOLIN has no such setting of a link')
    const ends = (one.endpoints ?? []).map((end) => this.#readEnd(end))
    const [a, b] = ends
    if ((one.type ?? 'veth') !== 'veth' || a === undefined || b === undefined) {
      this.#notes.add(
        this.#at(path),
        `a link of type ${(one.type ?? 'veth').slice(0, 40)} is not taken over: only links between two nodes are`
      )
      return
    }
    const out = ends.find(({ node }) => outside.has(node))
    if (out !== undefined) {
      this.#notes.add(
        this.#at(path),
        `the link to ${out.node} is not taken over: a VIOLIN meets the real network at a jetway`
      )
      return
    }
    const unknown = ends.find(({ node }) => !Object.hasOwn(this.#lab.topology.nodes, node))
    if (unknown !== undefined)
      throw this.#source.refuse(
        [...path, 'endpoints'],
        `no node ${JSON.stringify(unknown.node.slice(0, 100))}`,
        'name it under `nodes:`'
      )
    const bridge = ends.find(({ node }) => bridges.has(this.#kindOf(node)))
    if (ends.every(({ node }) => bridges.has(this.#kindOf(node)))) {
      this.#notes.add(this.#at(path), 'the link between two bridges is not taken over: a vLAN has one switch')
      return
    }
    const base = `${a.node}-${b.node}`
    const network = bridge?.node ?? (this.#networks.has(base) ? `${base}-${place}` : base)
    this.#networks.add(network)
    for (const end of ends) {
      if (end === bridge) continue
      const nics = this.#nics.get(end.node) ?? []
      this.#nics.set(end.node, nics)
      nics.push({ name: end.nic, network, place: this.#at([...path, 'endpoints']) })
    }
  }

  #readEnd(end: z.infer<typeof endpoint>): { readonly node: string; readonly nic: string } {
    if (typeof end !== 'string') return { node: end.node, nic: end.interface }
    const at = end.indexOf(':')
    return at < 0 ? { node: end, nic: '' } : { node: end.slice(0, at), nic: end.slice(at + 1) }
  }
}

/** Whether a YAML text has the look of a containerlab file. */
export function looksLikeContainerlab(text: string): boolean {
  return /^topology:/m.test(text) && /^\s+nodes:/m.test(text)
}
