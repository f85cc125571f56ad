import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Bench, onTerminal, program, refused, runViolin, startBench } from './violin.ts'

let bench: Bench

before(async () => {
  bench = await startBench()
})

after(() => bench[Symbol.asyncDispose]())

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
    const child = spawn(process.execPath, [program, '--dir', bench.dir, ...sh('echo up; exec sleep 1000')])
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

describe('a console', () => {
  it('wants a terminal', async () => {
    refused(await bench.violin(['console', 'net/a']), 2, /a console wants a terminal/)
  })

  it('carries keys and what they do, and Ctrl-] leaves', async () => {
    const { stdout, status } = await onTerminal(bench, ['console', 'net/a'], 'echo $((6*7))\n', 42, '\x1d')
    assert.match(stdout, /42/)
    assert.equal(status, 0)
  })
})
