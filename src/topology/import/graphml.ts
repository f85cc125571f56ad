/**
 * GraphML, as of the Internet Topology Zoo: nodes become routers, edges vLANs between two, and a node that
 * stands for a shared medium (`hyperedge`) one vLAN of all its neighbours.
 */
import { SaxesParser, type SaxesTagPlain } from 'saxes'
import { ViolinError } from '#core/errors.ts'
import { changeLink, type Link, linkWords } from '#core/link.ts'
import type { ForeignLab, ForeignNic, ForeignNode, Notes, Place } from './foreign.ts'

/** Longest text of one `data` element that is kept, characters. */
const maxText = 1_000
/** Elements within elements: a graph within a graph is refused far below. */
const maxDepth = 32
/** Edges of a graph: a thousand nodes of sixteen vNICs have no more. */
const maxEdges = 16_000
const maxNodes = 2_000

interface GraphNode {
  readonly id: string
  readonly place: Place
  readonly data: Map<string, string>
}

interface GraphEdge {
  readonly source: string
  readonly target: string
  readonly place: Place
  readonly data: Map<string, string>
}

interface Graph {
  /** Of the graph as a whole, by attribute name. */
  readonly data: Map<string, string>
  readonly nodes: Map<string, GraphNode>
  readonly edges: GraphEdge[]
}

/** Reads a graph. Throws `topology-invalid` with the line of what is no GraphML. */
export function readGraphml(text: string, file: string, notes: Notes): ForeignLab {
  const graph = parse(text, file, notes)
  if (graph.nodes.size === 0) throw refuse(file, 1, 'has no node', 'name a GraphML file with a graph in it')
  const stem =
    file
      .split('/')
      .at(-1)
      ?.replace(/\.\w+$/, '') ?? 'graph'
  const name = graph.data.get('Network') ?? graph.data.get('name') ?? stem
  const nics = new Map<string, ForeignNic[]>()
  const shared = new Set(
    [...graph.nodes.values()].filter(({ data }) => data.get('hyperedge') === '1').map(({ id }) => id)
  )
  const pairs = new Map<string, number>()
  for (const edge of graph.edges) plugIn(edge, graph, shared, nics, pairs, notes)
  const nodes = [...graph.nodes.values()]
    .filter(({ id }) => !shared.has(id))
    .map((node): ForeignNode => ({
      name: labelOf(node),
      place: node.place,
      kind: 'router',
      nics: nics.get(node.id) ?? [],
      commands: [],
      env: {},
      memoryMiB: null,
      files: []
    }))
  return { name, title: `the graph ${name} (GraphML)`, nodes }
}

function labelOf({ id, data }: GraphNode): string {
  const label = data.get('label')?.trim()
  return label === undefined || label === '' || label === 'None' ? `node-${id}` : label
}

/** Puts a vNIC on each end of an edge. */
function plugIn(
  edge: GraphEdge,
  graph: Graph,
  shared: ReadonlySet<string>,
  nics: Map<string, ForeignNic[]>,
  pairs: Map<string, number>,
  notes: Notes
): void {
  const [source, target] = [graph.nodes.get(edge.source), graph.nodes.get(edge.target)]
  if (source === undefined || target === undefined) {
    notes.add(
      edge.place,
      `the edge is left out: no node ${JSON.stringify((source === undefined ? edge.source : edge.target).slice(0, 100))}`
    )
    return
  }
  if (source === target) {
    notes.add(edge.place, `the edge from ${labelOf(source)} to itself is left out`)
    return
  }
  const media = [source, target].filter(({ id }) => shared.has(id))
  if (media.length === 2) {
    notes.add(edge.place, 'the edge between two shared media is left out: a vLAN has one switch')
    return
  }
  const [medium] = media
  const base = medium === undefined ? `${labelOf(source)}-${labelOf(target)}` : labelOf(medium)
  const key = medium === undefined ? base : `\0${medium.id}`
  const count = (pairs.get(key) ?? 0) + 1
  pairs.set(key, count)
  // Nodes may have one label: their vLANs are told apart by a number.
  const network = medium !== undefined ? `${base}#${medium.id}` : count === 1 ? base : `${base}-${count}`
  const link = linkOf(edge, source, target)
  for (const [place, { id }] of [source, target].entries()) {
    if (id === medium?.id) continue
    const own = nics.get(id) ?? []
    nics.set(id, own)
    // It acts both ways, so one end of a vLAN of two has it.
    const has = place === 0 || medium !== undefined
    own.push({ name: `eth${own.length}`, network, place: edge.place, ...(has ? { link } : {}) })
  }
}

/** Light in fibre takes a millisecond for so many kilometres. */
const kmPerMs = 200
const earthKm = 6_371

/** What an edge says of its rate, and its ends of the distance between them. */
function linkOf(edge: GraphEdge, source: GraphNode, target: GraphNode): Link {
  const rateBps = Math.round(Number(edge.data.get('LinkSpeedRaw') ?? 0))
  const [from, to] = [source, target].map(
    ({ data }) => [Number(data.get('Latitude')), Number(data.get('Longitude'))] as const
  ) as [Coordinates, Coordinates]
  const delayUs = Math.round((distanceKm(from, to) / kmPerMs) * 1_000)
  const { least, max } = linkWords.rate
  return changeLink(
    {},
    {
      ...(rateBps >= least && rateBps <= max ? { rateBps } : {}),
      ...(delayUs > 0 && delayUs <= linkWords.delay.max ? { delayUs } : {})
    }
  )
}

type Coordinates = readonly [latitude: number, longitude: number]

/** Along a great circle; 0 where a place is not known. */
function distanceKm([lat1, lon1]: Coordinates, [lat2, lon2]: Coordinates): number {
  const rad = (degrees: number): number => (degrees * Math.PI) / 180
  const half = (angle: number): number => Math.sin(angle / 2) ** 2
  const chord = half(rad(lat2 - lat1)) + Math.cos(rad(lat1)) * Math.cos(rad(lat2)) * half(rad(lon2 - lon1))
  const km = 2 * earthKm * Math.asin(Math.min(1, Math.sqrt(chord)))
  return Number.isFinite(km) ? km : 0
}

function parse(text: string, file: string, notes: Notes): Graph {
  const parser = new SaxesParser<{ xmlns: false; fileName: string; position: true }>({
    xmlns: false,
    fileName: file,
    position: true
  })
  const names = new Map<string, string>()
  const graph: Graph = { data: new Map(), nodes: new Map(), edges: [] }
  /** Whose data follows; what is not of the graph itself is passed over. */
  const owners: Map<string, string>[] = []
  let depth = 0
  let datum: { readonly name: string; text: string } | null = null
  const at = (): Place => ({ file, line: parser.line })
  parser.on('error', (error) => {
    throw refuse(
      file,
      parser.line,
      `is no XML: ${error.message.replace(/^.*?\d+:\d+: /, '').slice(0, 200)}`,
      'name a GraphML file'
    )
  })
  parser.on('opentag', (tag: SaxesTagPlain) => {
    if (depth === 0 && tag.name !== 'graphml')
      throw refuse(file, parser.line, 'is no GraphML', 'name a GraphML file')
    if (++depth > maxDepth) throw refuse(file, parser.line, 'is nested too deeply', 'name a plain graph')
    const attribute = (name: string): string =>
      Object.hasOwn(tag.attributes, name) ? (tag.attributes[name] as string) : ''
    switch (tag.name) {
      case 'key':
        names.set(attribute('id'), attribute('attr.name'))
        return
      case 'graph':
        if (owners.length > 0)
          throw refuse(file, parser.line, 'has a graph within a graph', 'name a plain graph')
        owners.push(graph.data)
        return
      case 'node':
        owners.push(addNode(graph, { id: attribute('id'), place: at(), data: new Map() }, notes))
        return
      case 'edge':
        owners.push(
          addEdge(graph, {
            source: attribute('source'),
            target: attribute('target'),
            place: at(),
            data: new Map()
          })
        )
        return
      case 'data':
        datum = { name: names.get(attribute('key')) ?? attribute('key'), text: '' }
        return
      case 'graphml':
      case 'default':
      case 'desc':
        return
      default:
        notes.add(at(), `<${tag.name.slice(0, 60)}> is not taken over`)
    }
  })
  const take = (more: string): void => {
    if (datum !== null && datum.text.length < maxText) datum.text += more.slice(0, maxText)
  }
  parser.on('text', take)
  parser.on('cdata', take)
  parser.on('closetag', ({ name }) => {
    depth--
    if (name === 'data' && datum !== null) {
      owners.at(-1)?.set(datum.name, datum.text)
      datum = null
    }
    if (name === 'node' || name === 'edge' || name === 'graph') owners.pop()
  })
  parser.write(text).close()
  return graph
}

function addNode(graph: Graph, node: GraphNode, notes: Notes): Map<string, string> {
  const { file, line } = node.place
  if (graph.nodes.size >= maxNodes)
    throw refuse(file, line, `has more than ${maxNodes} nodes`, 'take a part of it')
  if (graph.nodes.has(node.id))
    notes.add(
      node.place,
      `the node ${JSON.stringify(node.id.slice(0, 100))} stands twice: the first is taken`
    )
  else graph.nodes.set(node.id, node)
  return node.data
}

function addEdge(graph: Graph, edge: GraphEdge): Map<string, string> {
  const { file, line } = edge.place
  if (graph.edges.length >= maxEdges)
    throw refuse(file, line, `has more than ${maxEdges} edges`, 'take a part of it')
  graph.edges.push(edge)
  return edge.data
}

function refuse(file: string, line: number, what: string, remedy: string): ViolinError {
  return new ViolinError('topology-invalid', `${file}:${line}: ${what}`, remedy)
}
