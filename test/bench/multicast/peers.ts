/** Processes of the application that is measured, and what they are told. */
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { build } from 'esbuild'
import type { LabHost } from '#lab/host.ts'
import type { Answer, Order } from './peer.ts'

/** The program as one file, for the sources of libp2p take a second to load. */
export class Program implements AsyncDisposable {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async make(): Promise<Program> {
    const folder = await mkdtemp(join(tmpdir(), 'violin-bench-'))
    await build({
      entryPoints: [join(import.meta.dirname, 'peer.ts')],
      outfile: join(folder, 'peer.mjs'),
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node24',
      banner: {
        js: `import { createRequire as $createRequire } from 'node:module'
const require = $createRequire(import.meta.url)`
      },
      logLevel: 'warning'
    })
    return new Program(folder)
  }

  argv(...args: readonly string[]): string[] {
    return [process.execPath, join(this.#folder, 'peer.mjs'), ...args]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true })
  }
}

export class Peer implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string>
  readonly #ended: Promise<unknown>
  #complaint = ''
  address = ''

  private constructor(child: ChildProcess) {
    this.#child = child
    child.stderr?.on('data', (chunk: Buffer) => (this.#complaint += chunk.toString()))
    this.#answers = createInterface({ input: child.stdout as Readable })[Symbol.asyncIterator]()
    const { promise, resolve } = Promise.withResolvers<void>()
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
    this.#ended = promise
  }

  /** Starts one; `prefix` is what puts it elsewhere than into the host's own network. */
  static async start(host: LabHost, argv: readonly string[]): Promise<Peer> {
    const peer = new Peer(host.spawn(argv))
    peer.address = (await peer.#answer()).address
    return peer
  }

  get pid(): number {
    return this.#child.pid as number
  }

  /** Resolves when it has done so. */
  ask(order: Order): Promise<Answer> {
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`)
    return this.#answer()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end()
    await this.#ended
  }

  async #answer(): Promise<Answer> {
    const { value, done } = await this.#answers.next()
    if (done === true) throw new Error(`a peer ended: ${this.#complaint}`)
    return JSON.parse(value) as Answer
  }
}
