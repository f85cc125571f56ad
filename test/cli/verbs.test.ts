import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Bench, type Ended, runViolin, startBench } from './violin.ts'

const topology = `name: net
lans: { lan1: { subnet: 10.0.0.0/24 } }
hosts: { a: { lan: lan1, env: { GREETING: hello } }, b: { lan: lan1, ip: 10.0.0.9 } }
`

let bench: Bench
let file: string

before(async () => {
  bench = await startBench()
  file = join(bench.dir, 'net.violin.yaml')
  await writeFile(file, topology)
  const made = await bench.violin(['apply', file])
  assert.equal(made.status, 0, made.stderr)
})

after(() => bench[Symbol.asyncDispose]())

/** Ended well, with nothing but JSON on standard output. */
function json(ended: Ended): unknown {
  assert.equal(ended.status, 0, ended.stderr)
  assert.equal(ended.stdout.trimEnd().split('\n').length, 1)
  return JSON.parse(ended.stdout)
}

const jsonLines = ({ stdout }: Ended): unknown[] =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)

/** Ended with one line that says what, why and what to do, and no stack. */
function refused(ended: Ended, status: number, line: RegExp | string): void {
  assert.equal(ended.status, status, ended.stderr)
  assert.equal(ended.stdout, '')
  assert.match(ended.stderr, /^violin: [^\n]+; [^\n]+\n$/)
  if (typeof line === 'string') assert.equal(ended.stderr, `violin: ${line}\n`)
  else assert.match(ended.stderr, line)
}

describe('what people see', () => {
  it('of hosts is a table with themselves marked and what nobody measured as -', async () => {
    const { stdout, stderr, status } = await bench.violin(['hosts'])
    assert.equal(
      stdout,
      [
        'NAME         STATE  RTT  LOAD  ENTITIES  MEMORY    VERSION  ID',
        'princeton *  alive  -    0.5   2         4096 MiB  0.1.0    12D3KooWPrinceton',
        'purdue       dead   -    -     -         -         -        12D3KooWPurdue',
        ''
      ].join('\n')
    )
    assert.deepEqual([stderr, status], ['', 0])
  })

  it('of one VIOLIN names its vSwitches, entities and who did not answer', async () => {
    const { stdout } = await bench.violin(['show', 'net'])
    assert.match(stdout, /^net is running, version 1, owned by princeton\n/)
    assert.match(stdout, /no answer from purdue/)
    assert.match(stdout, /^lan1 +10\.0\.0\.0\/24 +princeton +- +1 +2$/m)
    assert.match(stdout, /^b +host +princeton +running +eth0 +lan1 +10\.0\.0\.9\/24 +02:00:00:00:00:01$/m)
  })

  it('of an apply is the plan, then progress, on standard error', async () => {
    const { stdout, stderr, status } = await bench.violin(['apply', file, '--no-wait', '--timeout', '5m'])
    assert.deepEqual([stdout, status], ['', 0])
    assert.match(stderr, /net: nothing to change\n! purdue was not told\n✔ net is being made\n$/)
    const last = bench.service.asked.findLast(({ method }) => method === 'apply')
    assert.deepEqual(
      { ...(last?.request as object), topology: null },
      { topology: null, wait: false, timeoutMs: 300_000 }
    )
  })

  it('of a plan is a table on standard output', async () => {
    const { stdout } = await bench.violin(['plan', '-'], { input: topology.replace('a:', 'c:') })
    assert.match(stdout, /^ +WHAT +NAME +HOSTS +WHY\n/)
    assert.match(stdout, /^add +entity +c +princeton +the least loaded$/m)
    assert.match(stdout, /^remove +entity +a +princeton +not in the file\n1 unchanged\n$/m)
  })

  it('without a word is an overview of every verb', async () => {
    const { stdout, status } = await runViolin([])
    assert.equal(status, 0)
    for (const verb of ['init', 'join', 'apply', 'exec', 'demo', 'lab'])
      assert.match(stdout, new RegExp(`^  ${verb} `, 'm'))
    assert.equal((await runViolin(['--help'])).stdout, stdout)
    assert.ok(Math.max(...stdout.split('\n').map((line) => line.length)) <= 110)
  })

  it('with --help after a verb is how that verb is used', async () => {
    const { stdout, status } = await runViolin(['apply', '--help'])
    assert.equal(status, 0)
    assert.match(stdout, /--no-wait/)
    assert.equal((await runViolin(['help', 'apply'])).stdout, stdout)
  })

  it('with --version is the version of the package', async () => {
    const manifest = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    assert.equal((await runViolin(['--version'])).stdout.trim(), manifest.version)
  })

  it('is quiet when the reader has gone', async () => {
    const script = `"$1" "$2" --dir "$3" show net | true; echo "\${PIPESTATUS[0]}"`
    const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
    const child = spawn('bash', ['-c', script, 'bash', process.execPath, main, bench.dir])
    const errors: Buffer[] = []
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk))
    await once(child, 'close')
    assert.equal(Buffer.concat(errors).toString('utf8'), '')
  })
})

describe('with --json a verb prints one document of the contract', () => {
  it('hosts', async () => {
    const rows = json(await bench.violin(['hosts', '--json'])) as Record<string, unknown>[]
    assert.deepEqual(Object.keys(rows[0] ?? {}), [
      'id',
      'name',
      'state',
      'self',
      'rttMs',
      'load',
      'memoryMiB',
      'entities',
      'version'
    ])
    assert.deepEqual([rows[1]?.['state'], rows[1]?.['rttMs']], ['dead', null])
  })

  it('show', async () => {
    const shown = json(await bench.violin(['--json', 'show', 'net'])) as Record<string, never>
    assert.deepEqual(shown, await bench.service.show({ name: 'net' }))
  })

  it('list, plan, wait, migrate, invite', async () => {
    assert.deepEqual(json(await bench.violin(['list', '--json'])), await bench.service.list({}))
    const planned = json(await bench.violin(['plan', file, '--json'])) as { name: string; steps: unknown[] }
    assert.deepEqual([planned.name, planned.steps.length], ['net', 2])
    assert.deepEqual(json(await bench.violin(['wait', 'net', '--for', 'running', '--json'])), {
      state: 'running'
    })
    assert.deepEqual(json(await bench.violin(['migrate', 'net/lan1', '--to', 'purdue', '--json'])), {
      active: 'purdue',
      term: 3
    })
    assert.deepEqual(
      json(
        await bench.violin([
          'invite',
          '--uses',
          '3',
          '--role',
          'admin',
          '--expires',
          '2h',
          '--for',
          'x',
          '--json'
        ])
      ),
      { token: 'token-3-admin', expiresAt: '2030-01-01T00:00:00.000Z' }
    )
    assert.deepEqual(bench.service.asked.at(-1)?.request, {
      expiresMs: 7_200_000,
      uses: 3,
      role: 'admin',
      for: 'x'
    })
  })

  it('a line for each step of a stream', async () => {
    const rows = jsonLines(await bench.violin(['apply', file, '--json'])) as { kind: string }[]
    assert.deepEqual(
      rows.map(({ kind }) => kind),
      ['plan', 'warning', 'done']
    )
    bench.service.note('first')
    assert.deepEqual(jsonLines(await bench.violin(['events', '--json'])), [
      { at: '2030-01-01T00:00:00.000Z', kind: 'note', violin: null, text: 'first' }
    ])
  })

  it('and nothing when it is refused', async () => {
    refused(
      await bench.violin(['show', 'nope', '--json']),
      1,
      'this host knows no VIOLIN nope; make one: violin apply FILE'
    )
  })
})

describe('a refusal', () => {
  it('is one line that says what to do', async () => {
    refused(
      await bench.violin(['show', 'nope']),
      1,
      'this host knows no VIOLIN nope; make one: violin apply FILE'
    )
    refused(await bench.violin(['wait', 'net', '--for', 'gone', '--timeout', '1s']), 1, /not gone after 1 s/)
  })

  it('shows where it comes from with --debug, anywhere', async () => {
    for (const args of [
      ['--debug', 'show', 'nope'],
      ['show', 'nope', '--debug']
    ]) {
      const { stderr, status } = await bench.violin(args)
      assert.equal(status, 1)
      assert.match(stderr, /^violin: .*\n(.*\n)*\s+at /)
    }
  })

  it('without a daemon says how to start one', async () => {
    const dir = join(bench.dir, 'empty')
    const line = `no daemon is running (${dir}/api.sock); start it: violin daemon`
    refused(await runViolin(['list', '--dir', dir]), 1, line)
    refused(await runViolin(['list', `--dir=${dir}`]), 1, line)
    refused(await runViolin(['list'], { env: { VIOLIN_DIR: dir } }), 1, line)
  })

  it('of a topology file has file, line and column', async () => {
    const bad = join(bench.dir, 'bad.yaml')
    await writeFile(bad, topology.replace('subnet', 'subnett'))
    refused(
      await bench.violin(['plan', bad]),
      1,
      `${bad}:2:17: unknown word \`subnett\`; did you mean \`subnet\`?`
    )
    refused(await bench.violin(['plan', '-'], { input: 'name: x\n' }), 1, /^violin: standard input:1:1: /)
  })

  for (const [what, args, line] of [
    ['an unknown verb', ['aply'], /`aply`, did you mean `apply`\?; see violin --help/],
    ['a verb that comes later', ['capture', 'net/lan1'], /`capture` is not yet supported/],
    ['an unknown flag', ['list', '--jsn'], /--jsn.*--json/],
    ['a verb that owns its output and is given --json', ['exec', 'net/a', '--json', '--', 'true'], /--json/],
    ['a missing argument', ['show'], /NAME/],
    ['too many arguments', ['show', 'a', 'b'], /b/],
    ['a duration without a unit', ['wait', 'net', '--for', 'gone', '--timeout', '5'], /60s, 5m or 24h/],
    ['a state that is none', ['wait', 'net', '--for', 'ever'], /running/],
    ['an entity without its VIOLIN', ['exec', 'a', '--', 'true'], /NAME\/ENTITY/],
    ['no command to run', ['exec', 'net/a'], /no command/],
    ['a copy within this host', ['cp', './a', './b'], /one side/],
    ['a file that is not there', ['apply', '/nonexistent.yaml'], /cannot be read/],
    ['--dir without a folder', ['list', '--dir'], /--dir/]
  ] as const) {
    it(`of wrong usage ends with 2: ${what}`, async () => refused(await bench.violin(args), 2, line))
  }
})

describe('the topology file left out', () => {
  it('is the only one of the folder', async () => {
    const { stderr, status } = await bench.violin(['apply'], { cwd: bench.dir })
    assert.equal(status, 0, stderr)
  })

  it('is asked for when there is none, or several', async () => {
    const cwd = join(bench.dir, 'several')
    await mkdir(cwd)
    refused(await bench.violin(['plan'], { cwd }), 2, /no \*\.violin\.yaml is in this folder/)
    for (const name of ['x', 'y']) await writeFile(join(cwd, `${name}.violin.yaml`), topology)
    refused(await bench.violin(['plan'], { cwd }), 2, /2 \*\.violin\.yaml are in this folder/)
  })

  it('names files beside itself, whatever the working folder is', async () => {
    await writeFile(join(bench.dir, 'motd'), 'hi\n')
    await writeFile(join(bench.dir, 'setup.sh'), '#!/bin/sh\n', { mode: 0o755 })
    const near = join(bench.dir, 'near.yaml')
    await writeFile(
      near,
      topology.replace('lan: lan1,', 'lan: lan1, files: { /etc/motd: motd, /s: setup.sh },')
    )
    assert.equal((await bench.violin(['plan', near], { cwd: '/' })).status, 0)
    const asked = bench.service.asked.findLast(({ method }) => method === 'plan')?.request as {
      topology: { entities: { files: unknown }[] }
    }
    assert.deepEqual(asked.topology.entities[0]?.files, [
      { path: '/etc/motd', mode: 0o644, data: new TextEncoder().encode('hi\n') },
      { path: '/s', mode: 0o755, data: new TextEncoder().encode('#!/bin/sh\n') }
    ])
  })
})

describe('exec', () => {
  const sh = (script: string): string[] => ['exec', 'net/a', '--', 'sh', '-c', script]

  it('keeps output, errors and status of the program apart and whole', async () => {
    const ended = await bench.violin(sh('echo $GREETING; echo oops >&2; exit 42'))
    assert.deepEqual(ended, { status: 42, stdout: 'hello\n', stderr: 'oops\n' })
  })

  it('hands arguments over as they are, flags of the program included', async () => {
    const args = ['-x', '--json', '--dir', 'a b', '$HOME', "it's", '', '--']
    const { stdout } = await bench.violin(['exec', 'net/a', '--', 'printf', '<%s>', ...args])
    assert.equal(stdout, args.map((arg) => `<${arg}>`).join(''))
  })

  it('streams megabytes of any bytes in and out', async () => {
    const input = Buffer.alloc(
      5 * 1024 * 1024,
      Uint8Array.from({ length: 256 }, (_, byte) => byte)
    )
    const ended = await bench.violin(
      ['exec', 'net/a', '--', 'sh', '-c', 'cat | sha256sum; head -c 3000000 /dev/zero'],
      {
        input
      }
    )
    const { createHash } = await import('node:crypto')
    const sum = createHash('sha256').update(input).digest('hex')
    assert.equal(ended.stdout.length, sum.length + 4 + 3_000_000)
    assert.equal(ended.stdout.slice(0, 64), sum)
    assert.equal(ended.status, 0)
  })

  it('ends with its program though more input would come', async () => {
    const input = Buffer.alloc(4 * 1024 * 1024)
    assert.equal((await bench.violin(sh('exit 3'), { input })).status, 3)
  })

  it('ends with 127 for a program that is not there', async () => {
    const { status, stdout } = await bench.violin(['exec', 'net/a', '--', '/nonexistent'])
    assert.deepEqual([status, stdout], [127, ''])
  })

  it('ends with 125 when the entity cannot be reached', async () => {
    refused(
      await bench.violin(['exec', 'net/nobody', '--', 'true']),
      125,
      'no entity nobody; see violin show'
    )
    refused(await runViolin(['exec', 'net/a', '--dir', '/nonexistent', '--', 'true']), 125, /violin daemon/)
  })

  it('takes its program along when it is killed', async () => {
    const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
    const child = spawn(process.execPath, [main, '--dir', bench.dir, ...sh('echo up; exec sleep 1000')])
    await once(child.stdout, 'data')
    assert.equal(bench.service.programs, 1)
    child.kill('SIGKILL')
    await once(child, 'close')
    const deadline = AbortSignal.timeout(20_000)
    while (bench.service.programs > 0) {
      deadline.throwIfAborted()
      await new Promise((resolve) => setImmediate(resolve))
    }
  })
})

describe('cp', () => {
  const folder = (name: string): string => join(bench.dir, name)

  it('carries a file in and out with its bytes and mode', async () => {
    const bytes = Buffer.alloc(300_000, 'fiddle')
    await mkdir(folder('cp'))
    await writeFile(folder('cp/tool'), bytes, { mode: 0o751 })
    assert.deepEqual(await bench.violin(['cp', folder('cp/tool'), `net/a:${folder('cp/in')}`]), {
      status: 0,
      stdout: '',
      stderr: ''
    })
    assert.deepEqual(await readFile(folder('cp/in')), bytes)
    assert.equal((await stat(folder('cp/in'))).mode & 0o777, 0o751)
    assert.equal((await bench.violin(['cp', `net/a:${folder('cp/in')}`, folder('cp/out')])).status, 0)
    assert.deepEqual(await readFile(folder('cp/out')), bytes)
    assert.equal((await stat(folder('cp/out'))).mode & 0o777, 0o751)
  })

  it('puts a file into a folder under its own name, both ways', async () => {
    await mkdir(folder('cp/there'))
    await bench.violin(['cp', folder('cp/tool'), `net/a:${folder('cp/there')}`])
    await mkdir(folder('cp/here'))
    await bench.violin(['cp', `net/a:${folder('cp/there/tool')}`, folder('cp/here')])
    assert.equal((await stat(folder('cp/here/tool'))).size, 300_000)
  })

  it('carries a folder in and out', async () => {
    await mkdir(folder('tree/sub'), { recursive: true })
    await writeFile(folder('tree/run'), 'x', { mode: 0o755 })
    await writeFile(folder(`tree/sub/${'long-'.repeat(40)}`), 'y', { mode: 0o600 })
    await symlink('run', folder('tree/link'))
    for (const [from, to] of [
      [folder('tree'), `net/a:${folder('tree-in')}`],
      [`net/a:${folder('tree-in')}`, folder('tree-out')]
    ] as const) {
      const { status, stderr } = await bench.violin(['cp', from, to])
      assert.deepEqual([status, stderr], [0, ''])
    }
    assert.equal(await readFile(folder('tree-out/link'), 'utf8'), 'x')
    assert.equal(await readFile(folder(`tree-out/sub/${'long-'.repeat(40)}`), 'utf8'), 'y')
    assert.equal((await stat(folder('tree-out/run'))).mode & 0o777, 0o755)
    assert.equal((await stat(folder(`tree-out/sub/${'long-'.repeat(40)}`))).mode & 0o777, 0o600)
  })

  it('says what is missing on either side', async () => {
    refused(await bench.violin(['cp', folder('none'), 'net/a:/tmp/x']), 2, /none cannot be read/)
    refused(await bench.violin(['cp', 'net/a:/nonexistent', folder('none')]), 1, /\/nonexistent is not there/)
    const { status, stderr } = await bench.violin(['cp', folder('cp/tool'), 'net/a:/nonexistent/x'])
    assert.equal(status, 1)
    assert.match(stderr, /violin: the copy failed in a \(status [1-9]\d*\); see the line above\n$/)
  })
})

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
    const refusal = await onTerminal(['delete', 'asked'], 'n\n')
    assert.equal(refusal.status, 1)
    assert.match(refusal.stdout, /asked and all that is in its machines goes for good\? \[y\/N\]/)
    assert.ok((await names()).includes('asked'))
    assert.equal((await onTerminal(['delete', 'asked'], '\x04')).status, 1)
    assert.ok((await names()).includes('asked'))
    const removal = await onTerminal(['apply', await without('b')], 'n\n')
    assert.match(removal.stdout, /remove b: what is in them goes for good\? \[y\/N\]/)
    assert.equal((await bench.service.show({ name: 'asked' })).entities.length, 2)
    assert.equal((await onTerminal(['delete', 'asked'], 'y\n')).status, 0)
    assert.ok(!(await names()).includes('asked'))
  })

  it('does not ask with --yes', async () => {
    await bench.violin(['apply', '-'], { input: topology.replace('name: net', 'name: sure') })
    const { stdout, status } = await onTerminal(['delete', 'sure', '--yes'], '')
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

describe('a console', () => {
  it('wants a terminal', async () => {
    refused(await bench.violin(['console', 'net/a']), 2, /a console wants a terminal/)
  })

  it('carries keys and what they do, and Ctrl-] leaves', async () => {
    const { stdout, status } = await onTerminal(['console', 'net/a'], 'echo $((6*7))\n', 42, '\x1d')
    assert.match(stdout, /42/)
    assert.equal(status, 0)
  })
})

describe('a token', () => {
  it('is printed alone where no person reads', async () => {
    assert.deepEqual(await bench.violin(['invite']), { status: 0, stdout: 'token-1-member\n', stderr: '' })
  })

  it('comes with a picture for a telephone on a terminal', async () => {
    const { stdout } = await onTerminal(['invite'], '')
    assert.match(stdout, /token-1-member\r?\n[\s\S]*▄[\s\S]*violin join TOKEN/)
  })

  it('is taken from the words, a file, standard input or the environment', async () => {
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

/**
 * Runs the command line on a terminal (util-linux `script`), types `keys`, and, once `shown` was printed, types
 * `then`. Standard output and error are one there.
 */
async function onTerminal(args: readonly string[], keys: string, shown?: number, then = ''): Promise<Ended> {
  const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
  const quoted = [process.execPath, main, '--dir', bench.dir, ...args].map((word) => `'${word}'`).join(' ')
  const child = spawn('script', ['-qefc', quoted, '/dev/null'], { env: { ...process.env, TERM: 'xterm' } })
  let stdout = ''
  let typed = keys === ''
  let left = shown === undefined
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString('utf8')
    if (!typed && /\[y\/N\] |leaves/.test(stdout)) {
      typed = true
      child.stdin.write(keys)
    }
    if (!left && stdout.includes(String(shown))) {
      left = true
      child.stdin.write(then)
    }
  })
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, stdout, stderr: '' }
}
