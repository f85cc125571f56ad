/** The command line as a process of its own, against a daemon in memory. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { serveApi } from '#api/server.ts'
import { createMemoryService, type MemoryService } from '../api/memory-service.ts'

/** The command line's own file, for tests that start it in a way of their own. */
export const program: string = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

/** Sources are compiled once for all the processes that tests start. */
const cache = fileURLToPath(new URL('../../node_modules/.cache/violin-test', import.meta.url))

/** A VIOLIN of two hosts. */
export const topology: string = `name: net
lans: { lan1: { subnet: 10.0.0.0/24 } }
hosts: { a: { lan: lan1, env: { GREETING: hello } }, b: { lan: lan1, ip: 10.0.0.9 } }
`

export interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Options {
  readonly input?: string | Buffer
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** A folder with a daemon in it, and the command line that speaks to it. */
export interface Bench extends AsyncDisposable {
  readonly dir: string
  /** The file of {@link topology}, applied. */
  readonly file: string
  readonly service: MemoryService
  /** Runs `violin --dir DIR ...args` to its end. */
  violin(args: readonly string[], options?: Options): Promise<Ended>
}

/** Runs the command line to its end. */
export async function runViolin(args: readonly string[], options: Options = {}): Promise<Ended> {
  const env = { ...process.env, NODE_COMPILE_CACHE: cache, VIOLIN_DIR: '', VIOLIN_TOKEN: '', ...options.env }
  const child = spawn(process.execPath, [program, ...args], { env, cwd: options.cwd })
  child.stdin.on('error', () => {})
  child.stdin.end(options.input ?? '')
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const [stdout, stderr, status] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  return { status, stdout, stderr }
}

export async function startBench(): Promise<Bench> {
  const dir = await mkdtemp(join(tmpdir(), 'violin-cli-'))
  const service = createMemoryService()
  const server = await serveApi(join(dir, 'api.sock'), service)
  const file = join(dir, 'net.violin.yaml')
  await writeFile(file, topology)
  const bench: Bench = {
    dir,
    file,
    service,
    violin: (args, options) => runViolin(['--dir', dir, ...args], options),
    async [Symbol.asyncDispose]() {
      await server.close()
      await rm(dir, { recursive: true, force: true })
    }
  }
  const made = await bench.violin(['apply', file])
  assert.equal(made.status, 0, made.stderr)
  return bench
}

/** Ended well, with nothing but JSON on standard output. */
export function json(ended: Ended): unknown {
  assert.equal(ended.status, 0, ended.stderr)
  assert.equal(ended.stdout.trimEnd().split('\n').length, 1)
  return JSON.parse(ended.stdout)
}

/** One JSON document a line. */
export const jsonLines = ({ stdout }: Ended): unknown[] =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)

/** Ended with one line that says what, why and what to do, and no stack. */
export function refused(ended: Ended, status: number, line: RegExp | string): void {
  assert.equal(ended.status, status, ended.stderr)
  assert.equal(ended.stdout, '')
  assert.match(ended.stderr, /^violin: [^\n]+; [^\n]+\n$/)
  if (typeof line === 'string') assert.equal(ended.stderr, `violin: ${line}\n`)
  else assert.match(ended.stderr, line)
}

/**
 * Runs the command line on a terminal (util-linux `script`), types `keys`, and, once `shown` was printed, types
 * `then`. Standard output and error are one there.
 */
export async function onTerminal(
  bench: Bench,
  args: readonly string[],
  keys: string,
  shown?: number,
  then = ''
): Promise<Ended> {
  const quoted = [process.execPath, program, '--dir', bench.dir, ...args].map((word) => `'${word}'`).join(' ')
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
