import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Bench, json, jsonLines, program, refused, runViolin, topology, startBench } from './violin.ts'

let bench: Bench

before(async () => {
  bench = await startBench()
})

after(() => bench[Symbol.asyncDispose]())

describe('what people see', () => {
  it('of hosts is a table with themselves marked and what nobody measured as -', async () => {
    const { stdout, stderr, status } = await bench.violin(['hosts'])
    assert.equal(
      stdout,
      [
        'NAME         STATE           RTT  LOAD  ENTITIES  MEMORY    VERSION  UNTIL       ID',
        'princeton *  alive, drained  -    0.5   2         4096 MiB  0.1.0    2027-11-25  12D3KooWPrinceton',
        'purdue       dead            -    -     -         -         -        -           12D3KooWPurdue',
        ''
      ].join('\n')
    )
    assert.deepEqual([stderr, status], ['', 0])
  })

  it('of one VIOLIN names its vSwitches, entities and who did not answer', async () => {
    const { stdout } = await bench.violin(['show', 'net'])
    assert.match(stdout, /^net is running, version 1, owned by princeton, signed until 2027-11-25\n/)
    assert.match(stdout, /no answer from purdue/)
    assert.match(stdout, /^lan1 +10\.0\.0\.0\/24 +princeton +- +1 +2$/m)
    assert.match(stdout, /^b +host +princeton +running +eth0 +lan1 +10\.0\.0\.9\/24 +02:00:00:00:00:01$/m)
  })

  it('of what entities run is their configuration, of all or of one', async () => {
    const { stdout } = await bench.violin(['show', 'net', '--config'])
    assert.equal(stdout, '# a: /etc/frr/frr.conf\nhostname a\n\n# a: started by\nvtysh -b\n')
    const one = await bench.violin(['show', 'net/b', '--config', '--json'])
    assert.deepEqual(json(one), [{ entity: 'b', files: [], start: '' }])
    refused(await bench.violin(['show', 'net/c', '--config']), 1, 'net has no entity c; it has a, b')
  })

  it('of an apply is the plan, then progress, on standard error', async () => {
    const { stdout, stderr, status } = await bench.violin([
      'apply',
      bench.file,
      '--no-wait',
      '--timeout',
      '5m'
    ])
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
    const child = spawn('bash', ['-c', script, 'bash', process.execPath, program, bench.dir])
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
      'version',
      'draining',
      'clockAheadMs',
      'membershipEndsAt'
    ])
    assert.deepEqual([rows[1]?.['state'], rows[1]?.['rttMs']], ['dead', null])
  })

  it('show', async () => {
    const shown = json(await bench.violin(['--json', 'show', 'net'])) as Record<string, never>
    assert.deepEqual(shown, await bench.service.show({ name: 'net' }))
  })

  it('list, plan, wait, migrate, invite', async () => {
    assert.deepEqual(json(await bench.violin(['list', '--json'])), await bench.service.list({}))
    const planned = json(await bench.violin(['plan', bench.file, '--json'])) as {
      name: string
      steps: unknown[]
    }
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
    const rows = jsonLines(await bench.violin(['apply', bench.file, '--json'])) as { kind: string }[]
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

  it('of a topology file has bench.file, line and column', async () => {
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
    ['a verb that comes later', ['top', 'net'], /`top` is not yet supported/],
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
