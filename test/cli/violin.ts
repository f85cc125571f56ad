/** The command line as a process of its own, against a daemon in memory. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { serveApi } from '#api/server.ts'
import { createMemoryService, type MemoryService } from '../api/memory-service.ts'

const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

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
  readonly service: MemoryService
  /** Runs `violin --dir DIR ...args` to its end. */
  violin(args: readonly string[], options?: Options): Promise<Ended>
}

/** Runs the command line to its end. */
export async function runViolin(args: readonly string[], options: Options = {}): Promise<Ended> {
  const env = { ...process.env, VIOLIN_DIR: '', VIOLIN_TOKEN: '', ...options.env }
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
  return {
    dir,
    service,
    violin: (args, options) => runViolin(['--dir', dir, ...args], options),
    async [Symbol.asyncDispose]() {
      await server.close()
      await rm(dir, { recursive: true, force: true })
    }
  }
}
