/** The README's tour, as it is written, in the order in which it stands. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { Lab } from '#lab/lab.ts'
import type { LabHost } from '#lab/host.ts'
import { until } from './world.ts'

const root = resolve(import.meta.dirname, '../..')
const work = mkdtempSync(join(tmpdir(), 'vr-'))
const lab = await Lab.create([{ name: 'reader', delayMs: 0 }])
after(async () => {
  await lab[Symbol.asyncDispose]()
  rmSync(work, { recursive: true, force: true })
})
const [reader] = lab.hosts as [LabHost]

/** Blocks of shell commands, one after the other. */
function blocks(text: string): string[] {
  return [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map((match) => match[1] as string)
}

test('every command of the README’s tour works', async () => {
  const tour = blocks(readFileSync(join(root, 'README.md'), 'utf8'))
  assert.ok(tour.length >= 3, 'the tour is there')
  const script = tour
    .join('\n')
    // Whoever runs this test has set up and built; to build again would take the program from other tests.
    .replaceAll(/^npm run (setup|build)$/gm, 'true')
    // A folder of its own, so that two may read at once.
    .replaceAll('/tmp/violin-', `${work}/`)
  const outcome = await reader.run(
    ['bash', '-c', `shopt -s expand_aliases\nset -eu -o pipefail\n${script}`],
    {
      cwd: root,
      timeoutMs: 240_000
    }
  )
  assert.equal(outcome.status, 0, `${outcome.stdout}${outcome.stderr}`)
  assert.match(outcome.stdout, /3 packets received/)
  // A daemon answers that it has left, and ends then.
  await until(
    'all of it ended',
    async () => reader.processes(),
    (left) => left.length === 0,
    20_000
  )
})
