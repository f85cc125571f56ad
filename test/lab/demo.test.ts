/** The demo can be stopped at any time, and says what it found in a form for programs. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { violinProgram } from '#lab/host.ts'
import { leftoversOf } from '#lab/lab.ts'
import { planLab, sites } from '#lab/plan.ts'

interface Told {
  readonly ok: boolean
  readonly steps: readonly { readonly name: string; readonly ok: boolean; readonly ms: number }[]
  readonly hops: readonly string[]
  readonly failoverMs: number | null
}

/** Starts the demo; gives its lines as they come, and the name of its lab. */
function start(...args: readonly string[]): {
  child: ReturnType<typeof spawn>
  lines: string[]
  lab: Promise<string>
} {
  const child = spawn(process.execPath, [violinProgram(), 'demo', ...args], {
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const lines: string[] = []
  const named = Promise.withResolvers<string>()
  const steps = args.includes('--json') ? child.stderr : child.stdout
  createInterface({ input: steps }).on('line', (line) => {
    lines.push(line)
    const name = /^ *lab ([0-9a-f]+):/.exec(line)?.[1]
    if (name !== undefined) named.resolve(name)
  })
  child.once('exit', () => named.reject(new Error(lines.join('\n'))))
  return { child, lines, lab: named.promise }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} ends the demo, with all that it had made`, async () => {
    const { child, lab } = start()
    const plan = planLab(await lab, sites)
    // It is founding its mesh or letting hosts in.
    const ended = once(child, 'exit')
    child.kill(signal)
    const [status] = (await ended) as [number]
    assert.equal(status, 130)
    assert.deepEqual(leftoversOf(plan), [])
  })
}

test('--json prints one document, in which every step held', async () => {
  const { child, lines, lab } = start('--json')
  const output: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => output.push(chunk))
  const [status] = (await once(child, 'close')) as [number]
  const told = JSON.parse(Buffer.concat(output).toString()) as Told
  assert.equal(status, 0, lines.join('\n'))
  assert.equal(told.ok, true)
  assert.ok(told.steps.length >= 10 && told.steps.every(({ ok, ms }) => ok && ms >= 0))
  assert.deepEqual(told.hops, ['192.168.1.1', '192.168.2.3'])
  assert.ok((told.failoverMs as number) > 0)
  assert.deepEqual(leftoversOf(planLab(await lab, sites)), [])
})
