/** In and out of real machines: exec, cp, console, and what the topology file lays into them. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { outcomeOf } from '#lab/host.ts'
import { exec, inside, meshOf, remove, succeeded } from './world.ts'

const lab = await meshOf('here', 'there')
const work = mkdtempSync(join(tmpdir(), 'violin-e2e-'))
after(async () => {
  await lab[Symbol.asyncDispose]()
  rmSync(work, { recursive: true, force: true })
})
const here = lab.host('here')

writeFileSync(join(work, 'motd.txt'), 'welcome\n')
writeFileSync(join(work, 'setup.sh'), '#!/bin/sh\necho "$GREETING from setup" > /tmp/was-run\n')
chmodSync(join(work, 'setup.sh'), 0o755)
writeFileSync(
  join(work, 'net.violin.yaml'),
  `
name: net
lans:
  lan1: { subnet: 10.0.0.0/24 }
hosts:
  a: { lan: lan1, on: there, files: { /etc/motd: motd.txt }, run: setup.sh, env: { GREETING: hello } }
  b: { lan: lan1, on: here }
`
)

test('files, run and env of the file are in the machine; the file is found in its folder', async () => {
  succeeded(await here.try(['apply'], { cwd: work }))
  assert.equal(await inside(here, 'net/a', 'cat', '/etc/motd'), 'welcome')
  assert.equal(await inside(here, 'net/a', 'cat', '/tmp/was-run'), 'hello from setup')
  assert.equal(await inside(here, 'net/a', 'sh', '-c', 'echo $GREETING'), 'hello')
})

test('names resolve inside, for every machine of the VIOLIN', async () => {
  await inside(here, 'net/a', 'ping', '-c', '1', '-W', '5', 'b')
  await inside(here, 'net/b', 'ping', '-c', '1', '-W', '5', 'a')
})

test('exec keeps stdout and stderr apart and exits with the command’s status', async () => {
  const outcome = await exec(here, 'net/a', 'sh', '-c', 'echo out; echo err >&2; exit 42')
  assert.deepEqual(outcome, { status: 42, stdout: 'out\n', stderr: 'err\n' })
})

test('exec says by its status what never ran: 125 not reached, 126 not runnable, 127 not found', async () => {
  assert.equal((await exec(here, 'net/nobody', 'true')).status, 125)
  assert.equal((await exec(here, 'net/a', '/etc/motd')).status, 126)
  assert.equal((await exec(here, 'net/a', 'no-such-command')).status, 127)
})

test('exec takes arguments as they are', async () => {
  const words = ['a b', '$HOME', "it's", '"', '*', '', 'ä\n']
  const outcome = succeeded(
    await exec(here, 'net/a', 'sh', '-c', 'for w; do printf "%s\\0" "$w"; done', 'sh', ...words)
  )
  assert.deepEqual(outcome.stdout.split('\0').slice(0, -1), words)
})

test('a megabyte goes in and out of exec unchanged', async () => {
  const bytes = randomBytes(2 ** 20)
  writeFileSync(join(work, 'in'), bytes)
  const script = `exec 3< ${work}/in; exec "$@" <&3 > ${work}/out`
  succeeded(await here.run(['sh', '-c', script, 'sh', ...here.command('exec', 'net/a', '--', 'cat')]))
  assert.ok(bytes.equals(readFileSync(join(work, 'out'))))
})

test('cp brings files and folders in and out, with their modes', async () => {
  mkdirSync(join(work, 'tree/deep'), { recursive: true })
  writeFileSync(join(work, 'tree/deep/file'), randomBytes(100_000))
  chmodSync(join(work, 'tree/deep/file'), 0o750)
  await here.violin('cp', join(work, 'in'), 'net/a:/tmp/copied')
  await here.violin('cp', 'net/a:/tmp/copied', join(work, 'back'))
  assert.ok(readFileSync(join(work, 'in')).equals(readFileSync(join(work, 'back'))))
  await here.violin('cp', join(work, 'tree'), 'net/a:/tmp')
  mkdirSync(join(work, 'got'))
  await here.violin('cp', 'net/a:/tmp/tree', join(work, 'got'))
  assert.ok(readFileSync(join(work, 'tree/deep/file')).equals(readFileSync(join(work, 'got/tree/deep/file'))))
  assert.equal(statSync(join(work, 'got/tree/deep/file')).mode & 0o777, 0o750)
})

test('a console is a terminal in the machine, and Ctrl-] leaves it', async () => {
  const line = here.command('console', 'net/a').join(' ')
  const child = here.spawn(['script', '-qec', `stty rows 24 cols 80; ${line}`, '/dev/null'])
  const seen = Promise.withResolvers<void>()
  let output = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString()
    if (/^42-/m.test(output)) seen.resolve()
  })
  const ended = outcomeOfOpen(child)
  // Typed ahead: the terminal keeps it until a shell reads.
  child.stdin?.write('tty; echo $((6*7))-$(stty size)\r')
  await Promise.race([seen.promise, ended])
  child.stdin?.write('\x1d')
  const { status } = await ended
  assert.match(output, /\/dev\/(tty|pts|hvc|vport)/)
  assert.match(output, /^42-\d+ \d+/m)
  assert.equal(status, 0, output)
})

test('they end with their VIOLIN', async () => {
  await remove(here, 'net')
  assert.equal((await exec(here, 'net/a', 'true')).status, 125)
})

/** The outcome of a child whose standard input stays open. */
function outcomeOfOpen(child: Parameters<typeof outcomeOf>[0]): Promise<{ readonly status: number }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ readonly status: number }>()
  const timer = setTimeout(() => child.kill('SIGKILL'), 30_000)
  child.once('error', reject)
  child.once('close', (code) => {
    clearTimeout(timer)
    resolve({ status: code ?? 137 })
  })
  return promise
}
