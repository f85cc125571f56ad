/** `violin capture`: frames of vNICs and vLANs as files that others read, from wherever the entities run. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { after, test } from 'node:test'
import type { LabHost } from '#lab/host.ts'
import { type ReadCapture, type ReadFrame, readPcapng } from '../frame/pcapng-reader.ts'
import { apply, inside, meshOf, refused, remove, show } from './world.ts'

const lab = await meshOf('here', 'there')
const work = mkdtempSync(join(tmpdir(), 'violin-capture-'))
after(async () => {
  await lab[Symbol.asyncDispose]()
  rmSync(work, { recursive: true, force: true })
})
const [here, there] = [lab.host('here'), lab.host('there')]

await apply(
  here,
  `
name: net
lans:
  lan1: { subnet: 10.0.0.0/24 }
hosts:
  machine: { lan: lan1, on: here, driver: uml }
  far: { lan: lan1, on: there, driver: netns, link: { delay: 10ms } }
  beside: { lan: lan1, on: there, driver: netns }
`
)

test('a vNIC of a virtual machine: what it sends and gets, with its name, stamps and counts', async () => {
  const began = nowNs()
  const { capture, complaint } = await captured(here, 'net/machine:eth0', () =>
    inside(here, 'net/machine', 'ping', '-c', '3', '-s', '100', 'far')
  )
  const ended = nowNs()
  const { nics } = (await show(here, 'net')).entities.find(({ name }) => name === 'machine') ?? assert.fail()
  assert.deepEqual(
    capture.interfaces.map(({ name, mac }) => ({ name, mac })),
    [{ name: 'machine:eth0', mac: nics[0]?.mac }]
  )
  assert.match(capture.application, /^violin \d/)
  const echoes = echoesOf(capture)
  assert.deepEqual(
    echoes.map(({ type, sequence, direction }) => [type, sequence, direction]),
    [0, 1, 2].flatMap((sequence) => [
      ['request', sequence, 'outbound'],
      ['reply', sequence, 'inbound']
    ])
  )
  assert.ok(echoes.every(({ data }) => data.length === 14 + 20 + 8 + 100))
  // The other's link delays both ways: 20 ms in all.
  assert.ok((echoes[1] as Echo).atNs - (echoes[0] as Echo).atNs >= 20_000_000n)
  for (const { atNs } of capture.frames) assert.ok(atNs > began && atNs < ended)
  assert.ok(
    capture.frames.some(({ atNs }) => atNs % 1_000n !== 0n),
    'finer than microseconds'
  )
  counted(capture, complaint, 0n)
})

test('a vNIC of a namespace on another host, through a pipe', async () => {
  const { capture, complaint } = await captured(
    here,
    'net/far:eth0',
    () => inside(here, 'net/machine', 'ping', '-c', '2', 'far'),
    ['-w', '-']
  )
  const seen = echoesOf(capture)
  assert.deepEqual(
    seen.map(({ type, direction }) => [type, direction]),
    [0, 1].flatMap(() => [
      ['request', 'inbound'],
      ['reply', 'outbound']
    ])
  )
  // At its machine, which knows nothing of the delay of its link.
  assert.ok((seen[1] as Echo).atNs - (seen[0] as Echo).atNs < 10_000_000n)
  counted(capture, complaint, 0n)
})

test('a vLAN: each frame once, at the vNIC by which it came, of all hosts', async () => {
  const { capture, complaint } = await captured(here, 'net/lan1', async () => {
    await inside(here, 'net/machine', 'ping', '-c', '2', 'far')
    // Between two of one host, which no other host sees.
    await inside(here, 'net/far', 'ping', '-c', '2', 'beside')
  })
  assert.deepEqual(capture.interfaces.map(({ name }) => name).toSorted(), [
    'beside:eth0',
    'far:eth0',
    'machine:eth0'
  ])
  const seen = echoesOf(capture).map((echo) => `${echo.interface} ${echo.type} ${echo.sequence}`)
  assert.deepEqual(
    seen.toSorted(),
    [0, 1]
      .flatMap((sequence) => [
        `machine:eth0 request ${sequence}`,
        `far:eth0 reply ${sequence}`,
        `far:eth0 request ${sequence}`,
        `beside:eth0 reply ${sequence}`
      ])
      .toSorted()
  )
  counted(capture, complaint, 0n)
})

test('who reads slowly loses frames, which are counted, and slows nobody', async () => {
  const run = start(here, 'net/beside:eth0', [])
  await run.capturing
  run.child.stdout?.pause()
  // More than all that lies between the ring and who does not read.
  const sink = inside(
    here,
    'net/beside',
    'sh',
    '-c',
    'nc -l -p 9 -e sh -c "wc -c >/tmp/count"; cat /tmp/count'
  )
  const flood = 'until dd if=/dev/zero bs=1M count=32 2>/dev/null | nc beside 9; do sleep 0.1; done'
  await inside(here, 'net/far', 'sh', '-c', flood)
  assert.equal(await sink, String(32 * 2 ** 20))
  await inside(here, 'net/far', 'ping', '-c', '1', '-W', '5', 'beside')
  const { capture, complaint } = await end(run)
  const [port] = capture.interfaces
  assert.ok((port?.dropped ?? 0n) > 0n, complaint)
  counted(capture, complaint, port?.dropped ?? 0n)
})

test('a capture goes on when its entity starts anew, and ends with the VIOLIN in good order', async () => {
  const run = start(here, 'net/beside:eth0', [])
  await run.capturing
  await here.violin('restart', 'net/beside')
  await inside(here, 'net/far', 'ping', '-c', '1', '-W', '5', 'beside')
  await remove(here, 'net')
  assert.equal(await run.closed, 0, run.complaint())
  const { capture, complaint } = await end(run)
  assert.equal(capture.interfaces.length, 1)
  assert.ok(echoesOf(capture).length >= 2)
  counted(capture, complaint, 0n)
})

test('a capture goes along when its entity moves to another host, and back', async () => {
  await apply(
    here,
    `
name: roam
driver: netns
lans: { lan1: { subnet: 10.0.0.0/24 } }
hosts:
  mover: { lan: lan1 }
  stays: { lan: lan1, on: here }
`
  )
  const { host } = (await show(here, 'roam')).entities.find(({ name }) => name === 'mover') ?? assert.fail()
  const run = start(here, 'roam/mover:eth0', [])
  await run.capturing
  const ways = host === 'here' ? ['there', 'here'] : ['here', 'there']
  for (const to of ways) {
    await here.violin('migrate', 'roam/mover', '--to', to)
    await inside(here, 'roam/stays', 'ping', '-c', '2', '-W', '5', 'mover')
  }
  const { capture, complaint } = await end(run)
  assert.match(complaint, new RegExp(`^${ways[0]}: captured there, too, from here on$`, 'm'))
  assert.deepEqual(
    echoesOf(capture).map(({ type }) => type),
    Array(4).fill(['request', 'reply']).flat()
  )
  assert.match(complaint, new RegExp(`: ${capture.frames.length} frames, 0 dropped\n$`))
  await remove(here, 'roam')
})

test('it is for the owner, on hosts of others too, and names what is wrong', async () => {
  await apply(
    here,
    'name: mine\nlans: { lan1: { subnet: 10.0.0.0/24 } }\nhosts:\n  a: { lan: lan1, on: there, driver: netns }\n'
  )
  refused(
    await there.try(['capture', 'mine/a:eth0', '-w', '/dev/null']),
    /mine belongs to here; run this there/
  )
  refused(
    await there.try(['capture', 'mine/lan1', '-w', '/dev/null']),
    /mine belongs to here; run this there/
  )
  refused(await here.try(['capture', 'mine/a']), /a is no vNIC of mine; name one: mine\/a:eth0/)
  refused(await here.try(['capture', 'mine/a:eth7']), /a:eth7 is no vNIC of mine/)
  refused(await here.try(['capture', 'mine/nothing']), /mine has no vLAN nothing/)
  refused(await here.try(['capture', 'mine/a:eth0', '-w', join(work, 'no/such')]), /cannot be written/)
  const json = await here.try(['capture', 'mine/a:eth0', '--json'])
  assert.equal(json.status, 2)
  await here.violin('stop', 'mine/a')
  refused(await here.try(['capture', 'mine/a:eth0', '-w', '/dev/null']), /runs/)
  await remove(here, 'mine')
})

interface Echo extends ReadFrame {
  readonly type: 'request' | 'reply'
  readonly sequence: number
}

function echoesOf({ frames }: ReadCapture): Echo[] {
  return frames.flatMap((frame) => {
    const { data } = frame
    // IPv4 without options, ICMP.
    if (data.readUInt16BE(12) !== 0x0800 || data[14] !== 0x45 || data[23] !== 1) return []
    const type = ({ 8: 'request', 0: 'reply' } as const)[data[34] as 0 | 8]
    return type === undefined ? [] : [{ ...frame, type, sequence: data.readUInt16BE(40) }]
  })
}

/** The statistics say what is in the file and what is not, and the command says the same. */
function counted({ interfaces, frames }: ReadCapture, complaint: string, dropped: bigint): void {
  for (const { name, received, dropped: lost } of interfaces)
    assert.equal(
      (received ?? -1n) - (lost ?? 0n),
      BigInt(frames.filter((one) => one.interface === name).length)
    )
  assert.equal(
    interfaces.reduce((sum, one) => sum + (one.dropped ?? -1n), 0n),
    dropped
  )
  assert.match(complaint, new RegExp(`: ${BigInt(frames.length) + dropped} frames?, ${dropped} dropped\n$`))
}

interface Running {
  readonly child: ChildProcess
  readonly capturing: Promise<void>
  /** Its exit status. */
  readonly closed: Promise<number | null>
  readonly output: () => Buffer
  readonly complaint: () => string
}

function start(host: LabHost, target: string, flags: readonly string[]): Running {
  const child = host.spawn(host.command('capture', target, ...flags))
  const chunks: Buffer[] = []
  let complaint = ''
  const capturing = Promise.withResolvers<void>()
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => {
    complaint += chunk.toString()
    if (complaint.includes('capturing ')) capturing.resolve()
  })
  child.once('close', () => capturing.reject(new Error(`the capture ended: ${complaint}`)))
  return {
    child,
    capturing: capturing.promise,
    closed: once(child, 'close').then(([status]) => status as number | null),
    output: () => Buffer.concat(chunks),
    complaint: () => complaint
  }
}

/** Ctrl-C, and what came. */
async function end(run: Running): Promise<{ capture: ReadCapture; complaint: string }> {
  run.child.kill('SIGINT')
  ;(run.child.stdout as Readable).resume()
  assert.equal(await run.closed, 0, run.complaint())
  return { capture: readPcapng(run.output()), complaint: run.complaint() }
}

async function captured(
  host: LabHost,
  target: string,
  meanwhile: () => Promise<unknown>,
  flags: readonly string[] = ['-w', join(work, 'file.pcapng')]
): Promise<{ capture: ReadCapture; complaint: string }> {
  const run = start(host, target, flags)
  await run.capturing
  await meanwhile()
  if (flags.includes('-')) return end(run)
  run.child.kill('SIGINT')
  assert.equal(await run.closed, 0, run.complaint())
  assert.equal(run.output().length, 0)
  return { capture: readPcapng(readFileSync(join(work, 'file.pcapng'))), complaint: run.complaint() }
}

function nowNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n
}
