/**
 * A fat tree of k = 4 (20 routers that speak OSPF with BFD, 16 vHosts) over four overlay hosts of this machine: how long
 * from `apply` until all run, until every vHost reaches every other, and the silence when a core router dies.
 *
 *     npm run bench:fabric -- --help
 *
 * Needs root, the image's packages (`bin/setup tests`)
 * and the bundle (`npm run build`).
 */
import { Pinging } from '#lab/gap.ts'
import { Lab } from '#lab/lab.ts'
import { giveRouterImage } from '../images/router-image.ts'
import { printReport, type Row, row } from './report.ts'
import { asked, json, whole, word } from './usage.ts'

const drivers = ['netns', 'uml'] as const
/** Ports of a switch in the fabric; half of them lead up. */
const ports = 4
const half = ports / 2
const values = asked({
  command: 'npm run bench:fabric --',
  measures: 'A fat tree of 20 routers and 16 vHosts over four overlay hosts of this machine. Needs root.',
  options: {
    json,
    runs: whole('times that all is started', 1),
    kills: whole('core routers that die in each run, one after another', 1, 1, half * half - 1),
    driver: word('of all entities', drivers, 'netns'),
    routers: word('of routers alone; as the others', drivers, null)
  }
})
const driver = values.driver ?? 'netns'
const routerDriver = values.routers ?? driver
/** All of it up, and its ways known. */
const upMs = 60_000
/** After a cut that only missing signs of life tell of. */
const healMs = 1_000
/** An overlay host's round trip to another, ms. */
const delayMs = 0.25

interface Link {
  readonly lan: string
  readonly ends: readonly [string, string]
}

const pods = Array.from({ length: ports }, (_, pod) => pod)
const places = Array.from({ length: half }, (_, place) => place)

/** Each pod on an overlay host of its own, each core router on the host of its number. */
function fatTree(): string {
  const links: Link[] = pods.flatMap((pod) =>
    places.flatMap((up) => [
      ...places.map((low): Link => ({
        lan: `p${pod}-${low}${up}`,
        ends: [edge(pod, low), aggregation(pod, up)]
      })),
      ...places.map((spine): Link => ({
        lan: `c${pod}-${up}${spine}`,
        ends: [aggregation(pod, up), `core${up * half + spine}`]
      }))
    ])
  )
  const nicsOf = (router: string): string =>
    links.flatMap(({ lan, ends }) => (ends.includes(router) ? [`{ lan: ${lan} }`] : [])).join(', ')
  const routerOf = (name: string, host: number, more = ''): string =>
    `  ${name}: { nics: [${nicsOf(name)}${more}], on: host${host} }`
  return [
    'name: fabric',
    `driver: ${driver}`,
    'defaults: { routing: ospf, restart: never }',
    'lans:',
    ...links.map(({ lan }, place) => `  ${lan}: { subnet: 10.255.${place >> 6}.${(place & 63) * 4}/30 }`),
    ...pods.flatMap((pod) => places.map((low) => `  rack${pod}${low}: { subnet: 10.${pod}.${low}.0/24 }`)),
    'hosts:',
    ...pods.flatMap((pod) =>
      places.map((low) => `  h${pod}${low}-: { lan: rack${pod}${low}, on: host${pod}, count: ${half} }`)
    ),
    'routers:',
    ...pods.flatMap((pod) => [
      ...places.map((low) => routerOf(edge(pod, low), pod, `, { lan: rack${pod}${low} }`)),
      ...places.map((up) => routerOf(aggregation(pod, up), pod))
    ]),
    ...Array.from({ length: half * half }, (_, core) => routerOf(`core${core}`, core)),
    ''
  ]
    .join('\n')
    .replaceAll(/^( {2}(?:edge|agg|core)\S+: \{ )/gm, `$1driver: ${routerDriver}, `)
}

function edge(pod: number, place: number): string {
  return `edge${pod}${place}`
}

function aggregation(pod: number, place: number): string {
  return `agg${pod}${place}`
}

interface Shown {
  readonly entities: readonly {
    readonly name: string
    readonly kind: string
    readonly bootMs: number
    readonly nics: readonly { readonly ips: readonly string[] }[]
  }[]
}

interface Figures {
  readonly runs: number[]
  readonly reached: number[]
  readonly boots: number[]
  readonly gaps: number[]
}

async function measure(figures: Figures): Promise<void> {
  await using lab = await Lab.create(pods.map((pod) => ({ name: `host${pod}`, delayMs })))
  for (const host of lab.hosts) await giveRouterImage(host.folder)
  await lab.found()
  const home = lab.host('host0')
  const startedAt = performance.now()
  const applied = await home.try(['apply', '-'], { input: fatTree(), timeoutMs: 600_000 })
  if (applied.status !== 0) throw new Error(applied.stderr)
  figures.runs.push((performance.now() - startedAt) / 1000)
  const { entities } = (await home.json('show', 'fabric')) as Shown
  const vHosts = entities.filter(({ kind }) => kind === 'host')
  const addresses = vHosts.map(({ nics }) => (nics[0]?.ips[0] ?? '').split('/')[0] ?? '')
  const script = `for ip in ${addresses.join(' ')}; do until ping -q -c 1 -W 1 $ip >/dev/null; do :; done; done`
  await Promise.all(vHosts.map(({ name }) => home.violin('exec', `fabric/${name}`, '--', 'sh', '-c', script)))
  figures.reached.push((performance.now() - startedAt) / 1000)
  figures.boots.push(...entities.flatMap(({ kind, bootMs }) => (kind === 'router' ? [bootMs / 1000] : [])))
  for (let kill = 0; kill < values.kills; kill++) {
    const gap = await killCore(lab, entities, addresses.at(-1) as string)
    if (gap !== null) figures.gaps.push(gap)
  }
}

/** Ends the core router that pings go over; null where ECMP led them over one that is not found. */
async function killCore(lab: Lab, entities: Shown['entities'], target: string): Promise<number | null> {
  const home = lab.host('host0')
  const text = await home.violin(
    'exec',
    'fabric/h00-1',
    '--',
    'traceroute',
    '-n',
    '-q',
    '1',
    '-w',
    '2',
    target
  )
  const hops = [...text.matchAll(/^ *\d+ +(\d\S+)/gm)].map(([, hop]) => hop as string)
  const core = entities.find(
    ({ name, nics }) =>
      name.startsWith('core') && nics.some(({ ips }) => hops.includes((ips[0] ?? '').split('/')[0] ?? ''))
  )
  if (core === undefined) return null
  const pings = 500
  const pinging = new Pinging(home, 'fabric/h00-1', target, pings)
  await pinging.answered(100)
  const death = routerDriver === 'uml' ? ['poweroff', '-f'] : ['kill', '-9', '2']
  await home.try(['exec', `fabric/${core.name}`, '--', ...death])
  const { gapMs } = await pinging.silence(pings)
  return gapMs
}

const figures: Figures = { runs: [], reached: [], boots: [], gaps: [] }
for (let run = 0; run < values.runs; run++) await measure(figures)
const rows: Row[] = [
  row('20 routers, 16 vHosts: all run', 's', figures.runs),
  row('every vHost reaches every other', 's', figures.reached, { atMost: upMs / 1000 }),
  row('a router boots', 's', figures.boots),
  ...(figures.gaps.length === 0
    ? []
    : [row('a core router dies: silence', 'ms', figures.gaps, { atMost: healMs })])
]
printReport(rows, values.json)
