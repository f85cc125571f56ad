/**
 * A VIOLIN on a VIOLIN: overlay hosts on this machine, virtual machines on them that are overlay hosts again, and a
 * network on those. Needs root; nothing stays. `--json` prints one document on standard output.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LabHost } from '#lab/host.ts'
import { Lab } from '#lab/lab.ts'
import { StepFailed, Steps } from '#lab/steps.ts'
import { give, hostImage, type HostImage } from './image.ts'
import { measure, type Measured, onHost, type Place, run } from './measure.ts'

/** One way, each: four milliseconds for a round trip. */
const places = [
  { name: 'princeton', delayMs: 1 },
  { name: 'purdue', delayMs: 1 }
] as const

const json = process.argv.includes('--json')
const steps = new Steps(json ? process.stderr : process.stdout)
const levels: Measured[] = []

async function play(lab: Lab, image: HostImage): Promise<void> {
  const [princeton, purdue] = lab.hosts as [LabHost, LabHost]
  // The underlay is measured with the image's programs: this machine need not have them.
  const script = 'mount --bind /dev "$0/dev" && exec chroot "$0" "$@"'
  const chroot = ['unshare', '--mount', 'sh', '-c', script, join(image.images, image.hash, 'root')]
  await level(
    'the underlay',
    [purdue.address],
    onHost(princeton, chroot),
    onHost(purdue, chroot),
    purdue.address
  )

  const outer = join(import.meta.dirname, 'outer.violin.yaml')
  await steps.step('level 1: outer.violin.yaml is applied on them', async () => {
    await princeton.violin('apply', outer)
  })
  const [a, b] = ['a', 'b'].map((name) => machine(onHost(princeton, []), 'outer', name, princeton.command()))
  await level('level 1', ['10.1.1.2', '10.1.2.1'], a as Place, b as Place, '10.1.2.1')

  const [onA, onB] = [a, b].map((guest) => within(guest as Place, ['env', 'VIOLIN_DIR=/var/lib/violin-2']))
  await steps.step('a machine of level 1 has what an overlay host needs: `violin doctor`', () =>
    run(onA as Place, ['violin', 'doctor'])
  )
  await found('level 2', onA as Place, onB as Place, 'inner.violin.yaml')
  const [x, y] = [machine(onA as Place, 'inner', 'x'), machine(onA as Place, 'inner', 'y')]
  await level('level 2', ['10.2.1.2', '10.2.2.1'], x, y, '10.2.2.1')

  // A namespace has one user, and a daemon wants users for its slices: so those of level 3 have the network of a
  // machine of level 2, and all else of the machine below it.
  const onX = await inNetworkOf(a as Place, x, 'x')
  const onY = await inNetworkOf(b as Place, machine(onB as Place, 'inner', 'y'), 'y')
  await found('level 3', onX, onY, 'innermost.violin.yaml')
  const [p, q] = [machine(onX, 'innermost', 'p'), machine(onX, 'innermost', 'q')]
  await level('level 3', ['10.3.1.2', '10.3.2.1'], p, q, '10.3.2.1')
}

/** Founds a mesh of two overlay hosts, and applies a topology at the first. */
async function found(name: string, first: Place, second: Place, topology: string): Promise<void> {
  await steps.step(`${name}: a mesh is founded in ${first.name}, and ${second.name} joins it`, async () => {
    await run(first, ['violin', 'init', '--name', first.name])
    await startDaemon(first)
    const token = await run(first, ['violin', 'invite'])
    await run(second, ['violin', 'join', '-', '--name', second.name], token)
    await startDaemon(second)
    return run(first, ['violin', 'hosts'])
  })
  const text = readFileSync(join(import.meta.dirname, topology), 'utf8')
  await steps.step(`${name}: ${topology} is applied in ${first.name}`, async () => {
    await run(first, ['violin', 'apply', '-'], text)
  })
}

/** Measures a level, and checks that a traceroute shows what is of this level alone. */
async function level(
  name: string,
  hops: readonly string[],
  from: Place,
  to: Place,
  address: string
): Promise<void> {
  await steps.step(`${name}: from ${from.name} to ${to.name}`, async () => {
    const measured = await measure(name, from, to, address, 1500)
    levels.push(measured)
    if (measured.hops.join() !== hops.join())
      throw new Error(`the way is ${measured.hops.join(', ')}, not ${hops.join(', ')}`)
    return rowOf(measured)
  })
}

/** A machine of a VIOLIN, as its overlay host `host` reaches it. */
function machine(host: Place, violin: string, name: string, program: readonly string[] = ['violin']): Place {
  return { ...within(host, [...program, 'exec', `${violin}/${name}`, '--']), name }
}

function within(place: Place, prefix: readonly string[]): Place {
  return { name: place.name, spawn: (argv) => place.spawn([...prefix, ...argv]) }
}

/** A place in `guest` that has the network of its machine `inner`. */
async function inNetworkOf(guest: Place, inner: Place, name: string): Promise<Place> {
  const network = await run(inner, ['readlink', '/proc/self/ns/net'])
  const script =
    'for at in /proc/[0-9]*/ns/net; do [ "$(readlink $at)" = "$0" ] && echo $at && exit; done; exit 1'
  const path = await run(guest, ['sh', '-c', script, network.trim()])
  return {
    ...within(guest, ['nsenter', `--net=${path.trim()}`, 'env', 'VIOLIN_DIR=/var/lib/violin-3']),
    name
  }
}

/** Starts a daemon that outlives the command which started it, and waits until it says that it is up. */
async function startDaemon(place: Place): Promise<void> {
  const script = [
    'up=$(mktemp -u)',
    'mkfifo $up',
    '(setsid violin daemon </dev/null >$up 2>$VIOLIN_DIR/daemon.log &)',
    'read -r line <$up || { cat $VIOLIN_DIR/daemon.log >&2; exit 1; }'
  ]
  await run(place, ['sh', '-ec', script.join('\n')])
}

function rowOf({ level, hops, mtu, pingMs, rateMbps }: Measured): string {
  const cells = [
    level.padEnd(12),
    `${pingMs.toFixed(1)} ms`.padStart(10),
    `${Math.round(rateMbps)} Mb/s`.padStart(12)
  ]
  return [...cells, `${mtu} B`.padStart(8), `  ${hops.join(' → ')}`].join('')
}

const { promise: interrupted, resolve: interrupt } = Promise.withResolvers<void>()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupt())

async function whole(): Promise<void> {
  let image: HostImage | null = null
  await steps.step('the image `host` of this program', async () => {
    image = hostImage()
    return image.hash
  })
  const making = Lab.create(places)
  try {
    await steps.step('two overlay hosts, with a mesh between them', async () => {
      const lab = await making
      for (const host of lab.hosts) give(image as unknown as HostImage, host.folder)
      await lab.found()
      return `lab ${lab.plan.name}`
    })
    await Promise.race([play(await making, image as unknown as HostImage), interrupted])
  } finally {
    const lab = await making.catch(() => null)
    await lab?.[Symbol.asyncDispose]()
  }
}

await whole().catch((error: unknown) => {
  if (!(error instanceof StepFailed)) throw error
})
const ok = steps.ok && levels.length === 4
steps.say(`\n${'level'.padEnd(12)}${'ping'.padStart(10)}${'TCP'.padStart(12)}${'MTU'.padStart(8)}  way`)
for (const measured of levels) steps.say(rowOf(measured))
if (json) process.stdout.write(`${JSON.stringify({ ok, steps: steps.done, levels })}\n`)
process.exit(ok ? 0 : 1)
