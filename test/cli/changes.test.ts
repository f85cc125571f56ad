import assert from 'node:assert/strict'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Bench, json, onTerminal, refused, runViolin, topology, startBench } from './violin.ts'

let bench: Bench

before(async () => {
  bench = await startBench()
})

after(() => bench[Symbol.asyncDispose]())

describe('what destroys', () => {
  it('goes on without a terminal, where nobody can be asked', async () => {
    await bench.violin(['apply', '-'], { input: topology.replace('name: net', 'name: doomed') })
    const { status, stderr } = await bench.violin(['delete', 'doomed'])
    assert.deepEqual([status, stderr], [0, '✔ its end is signed and stored\n✔ doomed is gone\n'])
    assert.deepEqual(json(await bench.violin(['wait', 'doomed', '--for', 'gone', '--json'])), {
      state: 'gone'
    })
  })

  it('asks on a terminal, and does nothing unless the answer is yes', async () => {
    await bench.violin(['apply', '-'], { input: topology.replace('name: net', 'name: asked') })
    const names = async (): Promise<string[]> => (await bench.service.list({})).map(({ name }) => name)
    const refusal = await onTerminal(bench, ['delete', 'asked'], 'n\n')
    assert.equal(refusal.status, 1)
    assert.match(refusal.stdout, /asked and all that is in its machines goes for good\? \[y\/N\]/)
    assert.ok((await names()).includes('asked'))
    assert.equal((await onTerminal(bench, ['delete', 'asked'], '\x04')).status, 1)
    assert.ok((await names()).includes('asked'))
    const removal = await onTerminal(bench, ['apply', await without('b')], 'n\n')
    assert.match(removal.stdout, /remove b: what is in them goes for good\? \[y\/N\]/)
    assert.equal((await bench.service.show({ name: 'asked' })).entities.length, 2)
    assert.equal((await onTerminal(bench, ['delete', 'asked'], 'y\n')).status, 0)
    assert.ok(!(await names()).includes('asked'))
  })

  it('does not ask with --yes', async () => {
    await bench.violin(['apply', '-'], { input: topology.replace('name: net', 'name: sure') })
    const { stdout, status } = await onTerminal(bench, ['delete', 'sure', '--yes'], '')
    assert.equal(status, 0)
    assert.doesNotMatch(stdout, /y\/N/)
  })

  it('is refused to a host that runs something, unless --yes', async () => {
    refused(await bench.violin(['leave']), 1, /violin leave --yes/)
    assert.equal((await bench.violin(['leave', '--yes'])).status, 0)
  })

  async function without(entity: string): Promise<string> {
    const path = join(bench.dir, 'less.yaml')
    await writeFile(
      path,
      topology.replace('name: net', 'name: asked').replace(new RegExp(`, ${entity}: {[^}]*}`), '')
    )
    return path
  }
})

describe('a token', () => {
  it('is printed alone where no person reads', async () => {
    assert.deepEqual(await bench.violin(['invite']), { status: 0, stdout: 'token-1-member\n', stderr: '' })
  })

  it('comes with a picture for a telephone on a terminal', async () => {
    const { stdout } = await onTerminal(bench, ['invite'], '')
    assert.match(stdout, /token-1-member\r?\n[\s\S]*▄[\s\S]*violin join TOKEN/)
  })

  it('is taken from the words, a bench.file, standard input or the environment', async () => {
    const path = join(bench.dir, 'token')
    await writeFile(path, 'token-file\n')
    const cancel = ['invite', '--cancel']
    await bench.violin([...cancel, 'token-word'])
    await bench.violin([...cancel, `@${path}`])
    await bench.violin([...cancel, '-'], { input: 'token-input\n' })
    const taken = bench.service.asked
      .filter(({ method }) => method === 'cancelInvite')
      .map(({ request }) => request)
    assert.deepEqual(taken, [{ token: 'token-word' }, { token: 'token-file' }, { token: 'token-input' }])
    for (const extra of [
      ['--uses', '2'],
      ['--role', 'admin'],
      ['--expires', '1h']
    ])
      refused(
        await bench.violin([...cancel, 'token-word', ...extra]),
        2,
        new RegExp(`^violin: ${extra[0]} is of`)
      )
    const dir = join(bench.dir, 'new')
    const joined = await runViolin(['join', '--dir', dir], { env: { VIOLIN_TOKEN: 'rubbish' } })
    refused(joined, 1, /./)
    refused(await runViolin(['join', '--dir', dir]), 2, /no token given/)
    refused(await bench.violin([...cancel, `@${path}.none`]), 2, /the token's file cannot be read/)
  })
})

describe('completion', () => {
  const complete = async (...words: string[]): Promise<string[]> =>
    (await bench.violin(['__complete', ...words])).stdout.split('\n').filter((line) => line !== '')

  it('proposes verbs, flags and values', async () => {
    assert.deepEqual(await complete('mi'), ['migrate'])
    assert.deepEqual(await complete('lab', ''), ['up', 'down'])
    assert.deepEqual(await complete('wait', '--f'), ['--for'])
    assert.deepEqual(await complete('wait', '--for', ''), ['running', 'gone'])
  })

  it('proposes names that the daemon knows', async () => {
    assert.deepEqual(await complete('show', 'n'), ['net'])
    assert.deepEqual(await complete('exec', 'net/'), ['net/a', 'net/b'])
  })

  it('proposes nothing, and says nothing, without a daemon', async () => {
    const ended = await runViolin(['--dir', '/nonexistent', '__complete', 'show', 'n'])
    assert.deepEqual(ended, { status: 0, stdout: '', stderr: '' })
  })
})

describe('programs beside the command line', () => {
  it('check this machine without a daemon', async () => {
    const ended = await runViolin(['doctor', '--json', '--dir', join(bench.dir, 'doctor')])
    const { checks } = JSON.parse(ended.stdout) as { checks: { name: string; ok: boolean }[] }
    assert.ok(checks.length > 3)
    assert.equal(ended.status, checks.every(({ ok }) => ok) ? 0 : 1)
  })

  it('tell a clock that most neighbours say is wrong, where a daemon runs', async () => {
    await using other = await startBench()
    const rows = await other.service.hosts({})
    for (const [clockAheadMs, ok] of [
      [-6 * 60_000, false],
      [1_000, true]
    ] as const) {
      other.service.hosts = async () => rows.map((row) => ({ ...row, state: 'alive', clockAheadMs }))
      const ended = await other.violin(['doctor', '--json'])
      const { checks } = JSON.parse(ended.stdout) as {
        checks: { name: string; ok: boolean; detail: string }[]
      }
      const clock = checks.find(({ name }) => name === 'clock in the mesh')
      assert.equal(clock?.ok, ok)
      assert.match(clock.detail, ok ? /^1\.0 s ahead of/ : /^360\.0 s behind/)
    }
  })

  it('found a mesh, once', async () => {
    const dir = join(bench.dir, 'founded')
    const founded = json(await runViolin(['init', '--name', 'princeton', '--json', '--dir', dir])) as Record<
      string,
      unknown
    >
    assert.equal(founded['name'], 'princeton')
    assert.ok((await stat(founded['rootKeyFile'] as string)).isFile())
    refused(await runViolin(['init', '--dir', dir]), 1, /./)
  })

  it('refuse to run a host that was never founded', async () => {
    const { status, stderr } = await runViolin(['daemon', '--dir', join(bench.dir, 'unfounded')])
    assert.equal(status, 1)
    assert.match(stderr, /violin init/)
  })
})

describe('an image that the host does not have', () => {
  it('is refused with its place, by plan as by apply', async () => {
    const input = topology.replace('ip: 10.0.0.9', 'image: routr')
    for (const verb of ['plan', 'apply'])
      refused(
        await bench.violin([verb, '-'], { input }),
        1,
        /standard input:3:77: b begins with the image routr, which this host does not have; did you mean router\?/
      )
    assert.equal((await bench.violin(['plan', '-'], { input: input.replace('routr', 'router') })).status, 0)
  })
})
