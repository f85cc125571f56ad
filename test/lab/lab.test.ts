/** A lab leaves nothing behind, however it ends. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Lab, leftoversOf, sweep } from '#lab/lab.ts'
import { type LabPlan, readStates } from '#lab/plan.ts'
import { identify, isAlive, kill, waitGone } from '#lab/processes.ts'
import { silenceOf } from '#lab/gap.ts'

const places = [
  { name: 'h1', delayMs: 5 },
  { name: 'h2', delayMs: 2 }
]

test('hosts of a lab reach each other, by the delays of both', async () => {
  await using lab = await Lab.create(places)
  const [h1, h2] = lab.hosts as [Lab['hosts'][number], Lab['hosts'][number]]
  const { stdout, status } = await h1.run(['ping', '-c', '5', '-i', '0.1', h2.address])
  assert.equal(status, 0, stdout)
  const fastest = Number(/= ([\d.]+)\//.exec(stdout)?.[1])
  assert.ok(fastest >= 14 && fastest < 30, stdout)
})

test('a host whose cable is pulled is out of reach until it is put back', async () => {
  await using lab = await Lab.create(places)
  const [h1, h2] = lab.hosts as [Lab['hosts'][number], Lab['hosts'][number]]
  const ping = (): Promise<{ status: number }> =>
    h1.run(['ping', '-c', '2', '-i', '0.2', '-W', '1', h2.address])
  h2.cut()
  assert.notEqual((await ping()).status, 0)
  h2.heal()
  assert.equal((await ping()).status, 0)
})

test('kill9 ends what runs on a host, and on no other', async () => {
  await using lab = await Lab.create(places)
  const [h1, h2] = lab.hosts as [Lab['hosts'][number], Lab['hosts'][number]]
  const [dies, lives] = [h1.spawn(['sleep', '1000']), h2.spawn(['sleep', '1000'])]
  await Promise.all([once(dies, 'spawn'), once(lives, 'spawn')])
  const died = once(dies, 'exit')
  while (h1.processes().length === 0 || h2.processes().length === 0) await setImmediate()
  await h1.kill9()
  assert.equal((await died)[1], 'SIGKILL')
  assert.deepEqual(h1.processes(), [])
  assert.equal(h2.processes().length, 1)
  lives.kill()
  await once(lives, 'exit')
})

test('a lab that is disposed leaves no process, no namespace and no file', async () => {
  const lab = await Lab.create(places)
  lab.hosts[0]?.spawn(['sleep', '1000']).on('error', () => undefined)
  assert.ok(lab.leftovers().length > 0)
  await lab[Symbol.asyncDispose]()
  assert.deepEqual(lab.leftovers(), [])
})

test('a lab goes when its owner is killed with kill -9', async () => {
  const plan = await owned()
  const state = readStates().find(({ name }) => name === plan.name)
  assert.ok(state !== undefined)
  process.kill(plan.owner, 'SIGKILL')
  assert.ok(await waitGone([state.keeper]))
  assert.deepEqual(leftoversOf(plan), [])
})

test('what is left of a lab whose owner and keeper were killed is swept away', async () => {
  const plan = await owned()
  const state = readStates().find(({ name }) => name === plan.name)
  assert.ok(state !== undefined)
  const owner = identify(plan.owner)
  kill(state.keeper, 'SIGKILL')
  process.kill(plan.owner, 'SIGKILL')
  assert.ok(await waitGone([state.keeper, ...(owner === null ? [] : [owner])]))
  assert.ok(!isAlive(state.keeper))
  assert.ok(existsSync(plan.folder))
  assert.ok((await sweep((one) => one.name === plan.name)).includes(plan.name))
  assert.deepEqual(leftoversOf(plan), [])
})

test('of several labs that linger one is taken down by its name, and none without', async () => {
  const [first, second] = [await Lab.create(places), await Lab.create(places)]
  first.linger()
  second.linger()
  const lingers = (lab: Lab): boolean =>
    readStates().some(({ name, lingers }) => lingers && name === lab.plan.name)
  while (!lingers(first) || !lingers(second)) await setImmediate()
  try {
    const unnamed = await down()
    assert.equal(unnamed.status, 2, unnamed.stderr)
    assert.match(unnamed.stderr, new RegExp(first.plan.name))
    assert.equal((await down('nobody')).status, 2)
    assert.deepEqual(await down(first.plan.name), { status: 0, stderr: '' })
    assert.deepEqual(first.leftovers(), [])
    assert.ok(lingers(second))
  } finally {
    await sweep(({ name }) => name === first.plan.name || name === second.plan.name)
  }
})

/** Runs `violin lab down`. */
async function down(...names: readonly string[]): Promise<{ status: number; stderr: string }> {
  const program = fileURLToPath(new URL('../../src/lab/main.ts', import.meta.url))
  const child = spawn(process.execPath, [program, 'down', ...names], { stdio: ['ignore', 'ignore', 'pipe'] })
  const [stderr, [status]] = await Promise.all([text(child.stderr), once(child, 'close')])
  return { status: status as number, stderr }
}

test('a silence is measured by the pings that were not answered', () => {
  const replies = [0, 1, 2, 30, 31, 99].map((seq) => ({ seq, at: seq * 10 }))
  assert.deepEqual(silenceOf(replies, 100), { gapMs: 680, sent: 100, lost: 94 })
  assert.throws(() => silenceOf(replies.slice(0, 3), 100), /no answer any more/)
})

/** A lab in a process of its own. */
async function owned(): Promise<LabPlan & { readonly owner: number }> {
  const program = `
    import { Lab } from '#lab/lab.ts'
    const lab = await Lab.create(${JSON.stringify(places)})
    lab.hosts[0].spawn(['sleep', '1000'])
    process.stdout.write(JSON.stringify(lab.plan) + '\\n')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const lines = createInterface({ input: child.stdout })
  const [line] = (await once(lines, 'line')) as [string]
  return { ...(JSON.parse(line) as LabPlan), owner: child.pid as number }
}
