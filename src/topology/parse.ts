/**
 * A topology file, read and checked: whatever is wrong with it is told here in one line with its place, before
 * anybody is asked to do anything.
 */
import type * as z from 'zod'
import type { ViolinError } from '#core/errors.ts'
import { tinyImage } from '#core/image.ts'
import { nearest } from '#core/nearest.ts'
import type { Topology, TopologyLan } from '#core/spec.ts'
import { checkAddresses, checkGateways } from './addresses.ts'
import { type PlacedEntity, readEntities } from './entities.ts'
import { LocalFiles, type ReadFile } from './files.ts'
import { checkBridges, readJetways } from './jetways.ts'
import { checkName, claim } from './names.ts'
import { checkNetworking } from './check-networking.ts'
import { readNetworks } from './networking.ts'
import { laterWords, maxEntities, schema, type TopologyFile, wordsAt } from './schema.ts'
import { type Path, Source } from './source.ts'

export interface ParseOptions {
  /** Name for messages. */
  readonly file: string
  readonly readFile: ReadFile
  /** Names of the images that there are where it is to be applied; absent: nobody was asked yet. */
  readonly images?: ReadonlySet<string>
}

/** Reads a topology. Throws ViolinError `topology-invalid`: file:line:column, what, and what to do. */
export function parseTopology(text: string, options: ParseOptions): Topology {
  const source = new Source(text, options.file)
  const file = checkShape(source)
  checkName(source, ['name'], file.name, 'a VIOLIN')
  const taken = new Map<string, Path>()
  const lans = readLans(source, file, taken)
  const files = new LocalFiles(source, options.readFile)
  const entities = [...readEntities(source, file, taken, files), ...readJetways(source, file, taken)]
  if (entities.length > maxEntities) {
    throw source.refuse(
      ['name'],
      `${entities.length} entities, at most ${maxEntities} fit`,
      'make several VIOLINs of it'
    )
  }
  if (options.images !== undefined) checkImages(source, entities, options.images)
  checkAddresses(source, lans, entities)
  checkGateways(source, lans, entities)
  checkBridges(source, entities)
  const topology: Topology = {
    name: file.name,
    lans,
    entities: entities.map(({ entity }) => entity),
    ...(file.rendezvous === undefined ? {} : { rendezvous: file.rendezvous })
  }
  const paths = new Map(entities.map(({ entity, path }) => [entity.name, path]))
  checkNetworking(source, topology, ({ name }) => paths.get(name) as Path)
  return topology
}

function checkImages(source: Source, entities: readonly PlacedEntity[], images: ReadonlySet<string>): void {
  for (const { entity, path } of entities) {
    const { name, image } = entity
    if (image === tinyImage.name || images.has(image)) continue
    const meant = nearest(image, [...images])
    const way =
      image === 'router' || image === 'host'
        ? `make it: violin image build ${image}`
        : `fetch it: violin image pull ${image}`
    throw source.refuse(
      [...path, 'image'],
      `${name} begins with the image ${image}, which this host does not have`,
      meant === null ? way : `did you mean ${meant}? Else ${way}`
    )
  }
}

function checkShape(source: Source): TopologyFile {
  const value = source.value()
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw source.refuse([], 'is no topology', 'begin with `name:` and `lans:`')
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues
  // An unknown word is told before what follows from it.
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]
  const path = (issue?.path ?? []) as Path
  if (issue?.code === 'unrecognized_keys') throw unknownWord(source, path, issue.keys[0] as string)
  const what = path.at(-1) ?? 'it'
  const missing = issue?.code === 'invalid_type' && valueAt(value, path) === undefined
  if (missing) throw source.refuse(path, `\`${String(what)}:\` is missing`, 'add it')
  throw source.refuse(
    path,
    `\`${String(what)}\`: ${sayIssue(issue)}`,
    'see config/topology.schema.json for what goes there'
  )
}

/** What is wrong with a value, in words of this language. */
function sayIssue(issue: z.core.$ZodIssue | undefined): string {
  if (issue?.code === 'too_big')
    return `${issue.origin === 'array' ? 'more than' : 'above'} ${issue.maximum}, which is the most`
  if (issue?.code === 'too_small') return `below ${issue.minimum}, which is the least`
  if (issue?.code === 'invalid_value') return `is none of ${issue.values.map(String).join(', ')}`
  return issue?.message ?? 'is wrong'
}

/** Words of an entity under which more words stand. */
const sections: ReadonlySet<string | number> = new Set(['nics', 'link', 'rules', 'click'])

function unknownWord(source: Source, path: Path, word: string): ViolinError {
  if (laterWords.has(word)) {
    return source.refuse([...path, word], `\`${word}:\` is not yet supported`, 'leave it out', 'key')
  }
  const place = path.map((step, depth) => (depth === 0 || sections.has(step) ? step : '*')).join('.')
  const words = wordsAt.get(place) ?? []
  const meant = nearest(word, words)
  const remedy = meant === null ? `words here: ${words.join(', ')}` : `did you mean \`${meant}\`?`
  return source.refuse([...path, word], `unknown word \`${word}\``, remedy, 'key')
}

function valueAt(value: unknown, path: Path): unknown {
  let at: unknown = value
  for (const step of path) at = (at as Record<string | number, unknown> | null | undefined)?.[step]
  return at
}

function readLans(source: Source, file: TopologyFile, taken: Map<string, Path>): TopologyLan[] {
  return Object.entries(file.lans).map(([lanName, lan]) => {
    const path = ['lans', lanName]
    checkName(source, path, lanName, 'a vLAN', 'key')
    claim(source, taken, lanName, path)
    const networks = readNetworks(source, path, lan)
    const twice = lan.vswitch?.find((host, place) => lan.vswitch?.indexOf(host) !== place)
    if (twice !== undefined)
      throw source.refuse([...path, 'vswitch'], `${twice} stands twice`, 'name each host once')
    return {
      name: lanName,
      ...networks,
      vswitch: lan.vswitch ?? [],
      ...(lan.gateway === undefined ? {} : { gateway: lan.gateway })
    }
  })
}
