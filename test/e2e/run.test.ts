/** An experiment runs from its file, leaves all that it measured, and runs again from what it left. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { readPcapng } from '../frame/pcapng-reader.ts'
import { meshOf, refused, succeeded } from './world.ts'

const root = resolve(import.meta.dirname, '../..')
const work = mkdtempSync(join(tmpdir(), 'violin-run-'))
const lab = await meshOf('p1', 'p2')
after(async () => {
  await lab[Symbol.asyncDispose]()
  rmSync(work, { recursive: true, force: true })
})
const home = lab.host('p1')

interface Entry {
  readonly kind: string
  readonly atMs: number
  readonly step: string
  readonly text?: string
  readonly good?: boolean
  readonly status?: number
  readonly reason?: string
}

function entriesOf(folder: string): Entry[] {
  const lines = readFileSync(join(folder, 'results.jsonl'), 'utf8').trimEnd().split('\n')
  return lines.map((line) => JSON.parse(line) as Entry)
}

test('the example runs by one command, and its folder tells what happened', async () => {
  const folder = join(work, 'cut')
  const ran = succeeded(
    await home.try(['run', join(root, 'examples/experiment/cut.yaml'), '-o', folder], { timeoutMs: 120_000 })
  )
  assert.match(ran.stdout, /8 of 8 steps did what they should; see .*index.html/)
  const entries = entriesOf(folder)
  const at = (kind: string, step: string): number =>
    entries.find((one) => one.kind === kind && one.step === step)?.atMs ?? assert.fail(`${kind} ${step}`)
  const pings = entries.flatMap(({ kind, step, text, atMs }) => {
    const [, sequence, ms] =
      (kind === 'output' && step === 'pings' && /seq=(\d+) .*time=([\d.]+) ms/.exec(text ?? '')) || []
    return ms === undefined ? [] : [{ atMs, ms: Number(ms), sequence: Number(sequence) }]
  })
  const during = (from: number, to: number): number[] =>
    pings.filter(({ atMs }) => atMs > from && atMs < to).map(({ ms }) => ms)
  const before = during(0, at('began', 'slower'))
  const slower = during(at('ended', 'slower') + 100, at('began', 'cut'))
  assert.ok(
    Math.min(...before) >= 10 && Math.min(...before) < 30,
    `${before.length} pings of ${Math.min(...before)} ms`
  )
  assert.ok(
    Math.min(...slower) >= 36 && slower.length > 10,
    `${slower.length} pings of ${Math.min(...slower)} ms`
  )
  // What was on its way when the cable went out may still come.
  assert.deepEqual(during(at('ended', 'cut') + 100, at('began', 'mended')), [])
  assert.ok(during(at('ended', 'mended'), at('began', 'anew')).length > 5)
  assert.ok(at('began', 'slower') - at('ended', 'reached') >= 3_000)
  assert.equal(
    readFileSync(join(folder, 'files/kept/a/tmp/pings'), 'utf8').match(/time=/g)?.length,
    pings.length
  )
  // Echo requests that a sends (type 8 of ICMP): of every answer that ping printed, and of those that did not come.
  const { frames, interfaces } = readPcapng(readFileSync(join(folder, 'files/frames/a-eth0.pcapng')))
  const requests = frames.filter(
    ({ data, direction }) => direction === 'outbound' && data.readUInt16BE(12) === 0x0800 && data[34] === 8
  )
  const sent = new Set(requests.map(({ data }) => data.readUInt16BE(40)))
  for (const { sequence } of pings) assert.ok(sent.has(sequence), `ping ${sequence}`)
  assert.ok(sent.size > pings.length, `${sent.size} of 150 pings sent, ${pings.length} answered`)
  assert.deepEqual(
    interfaces.map(({ name, dropped }) => [name, dropped]),
    [['a:eth0', 0n]]
  )
  const counted = entries.find(({ kind, step }) => kind === 'output' && step === 'frames')?.text
  assert.equal(counted, `${frames.length} frames, 0 dropped`)
  assert.ok(at('ended', 'frames') > at('ended', 'pings'))
  const page = readFileSync(join(folder, 'index.html'), 'utf8')
  assert.match(page, /<svg viewBox[^>]* aria-label="Round trips">/)
  assert.doesNotMatch(page, /https?:\/\/(?!www\.w3\.org)/)
  const environment = JSON.parse(readFileSync(join(folder, 'environment.json'), 'utf8')) as {
    seed: number
    hosts: { name: string }[]
    entities: { name: string; host: string }[]
  }
  assert.equal(environment.seed, 1)
  assert.deepEqual(environment.hosts.map(({ name }) => name).toSorted(), ['p1', 'p2'])
  assert.deepEqual(
    environment.entities.map(({ name }) => name),
    ['a', 'b', 'r']
  )
  assert.deepEqual(readdirSync(join(folder, 'experiment')).toSorted(), ['cut.yaml', 'line.violin.yaml'])
  assert.deepEqual(await home.json('list'), [], 'the VIOLIN is gone')
})

test('a step that fails is told, what waits for it never begins, and the rest goes on', async () => {
  const again = join(work, 'cut/experiment')
  writeFileSync(
    join(again, 'fails.yaml'),
    `name: fails
topology: line.violin.yaml
seed: 42
env: { WORD: hello }
steps:
  - { name: says, exec: a, run: 'echo "$WORD $SEED"; echo oops >&2; exit 3' }
  - { name: never, after: says, exec: a, run: "true" }
  - { name: other, exec: b, run: exit 3, expect: 3 }
  - { name: long, exec: b, run: sleep 1000, timeout: 1s }
  - { name: missing, gather: b, files: [/nowhere, /etc/hosts] }
  - { name: short, capture: left, for: 300ms }
  - { name: later, after: short, exec: a, run: ping -c 2 10.0.1.1 }
`
  )
  const folder = join(work, 'fails')
  const ran = await home.try(['run', join(again, 'fails.yaml'), '-o', folder, '--json'])
  assert.equal(ran.status, 1)
  const told = JSON.parse(ran.stdout) as {
    steps: number
    good: number
    failed: { step: string; reason: string }[]
  }
  assert.deepEqual([told.steps, told.good], [7, 3])
  const reasons = Object.fromEntries(told.failed.map(({ step, reason }) => [step, reason]))
  assert.equal(reasons['says'], 'status 3')
  assert.equal(reasons['long'], 'not done in 1 s')
  assert.equal(reasons['never'], 'says did not do what it should')
  assert.equal(reasons['missing'], '/nowhere of b cannot be read')
  assert.match(readFileSync(join(folder, 'files/missing/b/etc/hosts'), 'utf8'), /localhost/)
  const { interfaces, frames } = readPcapng(readFileSync(join(folder, 'files/short/left.pcapng')))
  assert.deepEqual(interfaces.map(({ name }) => name).toSorted(), ['a:eth0', 'r:eth0'])
  assert.ok(frames.length > 0)
  const output = entriesOf(folder).filter(({ kind, step }) => kind === 'output' && step === 'says')
  assert.deepEqual(new Set(output.map(({ text }) => text)), new Set(['hello 42', 'oops']))
  refused(await home.try(['run', join(again, 'fails.yaml'), '-o', folder]), /is there already; name another/)
  refused(
    await home.try(['run', join(again, 'fails.yaml'), '-o', again, '--force']),
    /is not the folder of an experiment/
  )
  assert.ok(existsSync(join(again, 'fails.yaml')))
})

test('a run that is refused leaves no folder, and none is in the way of the next', async () => {
  const again = join(work, 'cut/experiment')
  const folder = join(work, 'taken')
  succeeded(await home.try(['apply', join(again, 'line.violin.yaml')]))
  refused(await home.try(['run', join(again, 'cut.yaml'), '-o', folder]), /is there already; delete it first/)
  assert.ok(!existsSync(folder))
  succeeded(await home.try(['delete', 'line']))
})
