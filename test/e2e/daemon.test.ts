/** Where and as whom a daemon runs. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { EventRow } from '#api/contract.ts'
import { Lab } from '#lab/lab.ts'
import type { LabHost } from '#lab/host.ts'
import { refused, succeeded, until } from './world.ts'

const nobody = 65_534

const lab = await Lab.create([
  { name: 'h1', delayMs: 0 },
  { name: 'h2', delayMs: 0 }
])
after(() => lab[Symbol.asyncDispose]())
const [first, second] = lab.hosts as [LabHost, LabHost]

test('a second daemon on one folder is refused, and the first goes on', async () => {
  await first.violin('init', '--name', 'h1')
  await first.startDaemon()
  refused(await first.try(['daemon'], { timeoutMs: 30_000 }), /another daemon/)
  assert.equal(((await first.json('hosts')) as unknown[]).length, 1)
})

test('a second daemon on one port is refused with what to do', async () => {
  const other = join(first.folder, '..', 'other')
  await first.violin('init', '--name', 'other', '--dir', other)
  refused(await first.try(['daemon', '--dir', other], { timeoutMs: 30_000 }), /4780.*choose another/)
})

test('a socket that a killed daemon left does not keep the next one away', async () => {
  await first.killDaemon()
  refused(await first.try(['hosts']), /no daemon|not running/)
  await first.startDaemon()
  assert.equal(((await first.json('hosts')) as unknown[]).length, 1)
})

/** Starts the first host's daemon for a while; `said`: what it wrote on standard error, `told`: its events of a kind. */
async function whileUp(
  use: (said: () => string, told: (kind: string) => Promise<string[]>) => Promise<void>
): Promise<void> {
  const daemon = first.spawn(first.command('daemon'))
  const log: string[] = []
  daemon.stderr?.on('data', (chunk: Buffer) => log.push(chunk.toString()))
  const ended = new Promise<void>((resolve) => daemon.once('exit', () => resolve()))
  try {
    const up = new Promise<void>((resolve) => daemon.stdout?.once('data', () => resolve()))
    await Promise.race([up, ended])
    const told = async (kind: string): Promise<string[]> => {
      const lines = (await first.violin('events', '--json')).trim().split('\n')
      const rows = lines.map((line) => JSON.parse(line) as EventRow)
      return rows.flatMap((row) => (row.kind === kind ? [row.text] : []))
    }
    await use(() => log.join(''), told)
  } finally {
    daemon.kill('SIGTERM')
    await ended
  }
}

test('a daemon starts over a damaged store, and says so on standard error and as an event', async () => {
  await first.killDaemon()
  const folder = join(first.folder, 'store')
  for (const name of readdirSync(join(folder, 'db'))) {
    if (!/^MANIFEST|\.(ldb|log)$/.test(name)) continue
    const path = join(folder, 'db', name)
    writeFileSync(
      path,
      readFileSync(path).map((byte, at) => (at % 1000 === 40 ? byte ^ 0xff : byte))
    )
  }
  await whileUp(async (said, told) => {
    const kept = join(folder, 'db.damaged-1')
    const texts = await told('store-mended')
    assert.equal(texts.length, 1)
    assert.ok(texts[0]?.includes(`it is kept in ${kept}; neighbours give the rest`), texts[0])
    assert.equal(said(), `violin: ${texts[0]}\n`)
    assert.ok(existsSync(kept))
    assert.equal(((await first.json('hosts')) as unknown[]).length, 1)
  })
  await whileUp(async (said) => assert.equal(said(), ''))
})

test('secrets that others can read are told at the start, on standard error and as an event', async () => {
  const key = join(first.folder, 'identity', 'host.key')
  chmodSync(key, 0o644)
  await whileUp(async (said, told) => {
    const text = `other users can read host.key in ${join(first.folder, 'identity')}: chmod 600 ${key}`
    assert.equal(said(), `violin: ${text}\n`)
    assert.deepEqual(await told('secrets-open'), [text])
    const { status, stdout } = await first.try(['doctor'])
    assert.equal(status, 1)
    assert.match(stdout, /✘ secrets: other users can read host\.key in .*\n  → chmod 600 /)
  })
})

test('an ordinary user runs a host, a slice and a virtual machine', async () => {
  const folder = join(second.folder, 'nobody')
  mkdirSync(folder)
  chownSync(folder, nobody, nobody)
  chmodSync(folder, 0o700)
  const as = (...args: readonly string[]): string[] => [
    ...['setpriv', '--reuid', String(nobody), '--regid', String(nobody), '--clear-groups', '--no-new-privs'],
    ...['--bounding-set=-all', '--inh-caps=-all', '--'],
    ...second.command(...args, '--dir', folder)
  ]
  const run = (...args: readonly string[]): Promise<string> =>
    second.run(as(...args)).then((outcome) => succeeded(outcome).stdout)
  await run('init', '--name', 'mine', '--listen', '/ip4/127.0.0.1/tcp/4781')
  const daemon = second.spawn(as('daemon'))
  const log: string[] = []
  daemon.stderr?.on('data', (chunk: Buffer) => log.push(chunk.toString()))
  const up = new Promise<void>((resolve) => daemon.stdout?.once('data', () => resolve()))
  const ended = new Promise<void>((resolve) => daemon.once('exit', () => resolve()))
  try {
    await Promise.race([up, ended])
    const topology =
      'name: net\nlans:\n  lan1: { subnet: 10.0.0.0/24 }\nhosts:\n  a: { lan: lan1 }\n  b: { lan: lan1 }\n'
    succeeded(await second.run(as('apply', '-'), { input: topology }))
    const exec = (command: string): string[] => {
      const argv = as('exec', 'net/a')
      return [...argv, '--', 'sh', '-c', command]
    }
    assert.match(succeeded(await second.run(exec('ping -c 2 -W 5 b'))).stdout, /2 packets received/)
    // Root in there, and yet nobody's files are out of its reach.
    assert.match(succeeded(await second.run(exec('id -u; ls /'))).stdout, /^0\n/)
    const netns = topology.replace('name: net\n', 'name: ns\ndriver: netns\n')
    refused(await second.run(as('apply', '-', '--timeout', '20s'), { input: netns }), /netns/)
    // Devices are root's to make: this host is on no vLAN itself, and opens no door.
    refused(await second.run(as('attach', 'net/lan1')), /does not run as root; run the daemon as root/)
    const door =
      topology.replace('name: net', 'name: door') + 'jetways:\n  out: { lan: lan1, on: mine, mode: nat }\n'
    refused(
      await second.run(as('apply', '-', '--timeout', '20s'), { input: door }),
      /out cannot run on mine, which makes no devices, for its daemon does not run as root; /
    )
    await run('delete', 'net', '--yes')
  } finally {
    daemon.kill('SIGTERM')
    await ended
  }
  await until(
    'all of it ended',
    async () => second.processes(),
    (left) => left.length === 0
  )
  assert.equal(log.join(''), '')
})
