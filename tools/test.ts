/**
 * Runs the tests: what needs only a processor side by side, what measures time alone and last. One report of
 * all of it, with the runner's counts at its end. `--unit`: only what starts no daemon and no machine.
 * `--net`: only attacks and chaos, which take minutes and are left out otherwise. File names choose, and are the one
 * way to run what needs an image that takes minutes to build.
 * `--failed`: only the files that failed when the tests last ran, one by one: what holds then is not broken, but
 * unsteady beside others.
 */
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { relative, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { parseArgs } from 'node:util'

/** A test that takes longer hangs: booting all of Figure 2 on a busy machine is the longest thing there is. */
const testMs = 300_000

interface Phase {
  readonly files: readonly string[]
  readonly concurrency: number
}

type TestEvent = { readonly type: string; readonly data: Record<string, unknown> }

/** Folders of tests that start no process but themselves. */
const unit = /^test\/(core|frame|topology|store|contracts|syscalls|api|cli|sim|examples)\//
/** Tests that measure how long something takes, which others' load would change. */
const alone = /^test\/e2e\/(failover|restart)\.|\/failover\.test\.ts$/
/** Attacks and chaos on whole hosts. */
const net = /^test\/net\//
/** What needs the image `host`. */
const byName = /^test\/recursion\//
const endToEnd = /^test\/(e2e|lab)\//
/** The files that failed last, one a line. */
const failedPath = '.scratch/failed-tests'

function phases(files: readonly string[]): Phase[] {
  if (values.failed) return [{ files, concurrency: 1 }]
  const cpus = availableParallelism()
  const rest = files.filter((file) => !endToEnd.test(file) && !alone.test(file))
  return [
    { files: rest, concurrency: cpus + 1 },
    { files: files.filter((file) => endToEnd.test(file) && !alone.test(file)), concurrency: cpus },
    { files: files.filter((file) => alone.test(file)), concurrency: 1 }
  ].filter((phase) => phase.files.length > 0)
}

/** Events of all phases as of one run: counts are added up and told at the end. */
async function* events(
  all: readonly Phase[],
  counts: Map<string, number>,
  failed: Set<string>
): AsyncGenerator<TestEvent> {
  const started = performance.now()
  for (const { files, concurrency } of all) {
    // A test that is cut off leaves what it opened; its file would never end by itself.
    const stream = run({
      files: files.map((file) => resolve(file)),
      concurrency,
      timeout: testMs,
      forceExit: true
    })
    for await (const event of stream as AsyncIterable<TestEvent>) {
      const { type, data } = event
      if (type === 'test:fail') failed.add(relative('.', String(data['file'])))
      const counted = type === 'test:diagnostic' && data['nesting'] === 0 ? countIn(data['message']) : null
      if (counted !== null) counts.set(counted.what, (counts.get(counted.what) ?? 0) + counted.count)
      else if (type !== 'test:summary' || data['file'] !== undefined) yield event
    }
  }
  counts.set('duration_ms', performance.now() - started)
  for (const [what, count] of counts)
    yield { type: 'test:diagnostic', data: { nesting: 0, level: 'info', message: `${what} ${count}` } }
}

function countIn(message: unknown): { readonly what: string; readonly count: number } | null {
  const match = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) ([\d.]+)$/.exec(String(message))
  return match === null ? null : { what: match[1] as string, count: Number(match[2]) }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    unit: { type: 'boolean', default: false },
    net: { type: 'boolean', default: false },
    failed: { type: 'boolean', default: false }
  }
})
const found = globSync('test/**/*.test.ts').toSorted()
const failedLast = values.failed ? readFileSync(failedPath, 'utf8').split('\n') : []
const chosen = found.filter(
  (file) =>
    (!values.failed || failedLast.includes(file)) &&
    (!values.unit || unit.test(file)) &&
    (values.failed || positionals.length > 0 || (net.test(file) === values.net && !byName.test(file))) &&
    (positionals.length === 0 || positionals.some((part) => file.includes(part)))
)
const counts = new Map<string, number>()
const failed = new Set<string>()
const report = Readable.from(events(phases(chosen), counts, failed)).compose(spec)
for await (const chunk of report) process.stdout.write(chunk)
mkdirSync('.scratch', { recursive: true })
writeFileSync(failedPath, [...failed].join('\n'))
const broken = (counts.get('fail') ?? 0) + (counts.get('cancelled') ?? 0)
process.exitCode = broken > 0 || (counts.get('tests') ?? 0) === 0 ? 1 : 0
