/**
 * The main thread's handle on the forwarding worker.
 */
import { randomInt } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import type { HostKey } from '#core/ids.ts'
import { closeEventfd, openEventfd, wake } from '#syscalls/eventfd.ts'
import type { Command, ForwarderStart, Report } from './contract.ts'

/** A worker that does not end by itself is ended after this long. */
const stopMs = 2_000

export interface ForwarderOptions {
  readonly self: HostKey
  /** Bound, non-blocking UDP socket for trunks, which stays the caller's to close; -1: no trunks. */
  readonly udpFd: number
  /** Called on the main thread for everything that the worker tells. */
  readonly onReport: (report: Report) => void
  /** The worker ended without being asked to, by an error. Its ports and sessions are gone. */
  readonly onFailed: (error: Error) => void
  /** Another entry than worker.ts, with ports or an election of its own. */
  readonly program?: URL
}

export interface Forwarder extends AsyncDisposable {
  /** Hands a command over and wakes the worker. */
  post(command: Command): void
  /** Resolves when the worker has closed its ports and ended. */
  stop(): Promise<void>
}

/** Starts a forwarding worker; it reports `ready` when it runs. */
export function startForwarder(options: ForwarderOptions): Forwarder {
  const wakeFd = openEventfd()
  const start: ForwarderStart = {
    self: options.self,
    udpFd: options.udpFd,
    wakeFd,
    seed: randomInt(2 ** 32)
  }
  const worker = new Worker(options.program ?? ownProgram(), { workerData: start })
  let stopping = false
  let ended = false
  const post = (command: Command): void => {
    if (ended) return
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    worker.postMessage(command)
    wake(wakeFd)
  }
  // A worker that is blocked in epoll would keep the process from exiting.
  const atExit = (): void => post({ kind: 'stop' })
  process.once('exit', atExit)
  worker.on('message', (report: Report) => options.onReport(report))
  worker.on('error', (error: unknown) => {
    if (!stopping) options.onFailed(error instanceof Error ? error : new Error(String(error)))
  })
  const exited = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      ended = true
      process.removeListener('exit', atExit)
      closeEventfd(wakeFd)
      resolve()
    })
  })
  const stop = async (): Promise<void> => {
    stopping = true
    post({ kind: 'stop' })
    const timer = setTimeout(() => void worker.terminate(), stopMs)
    await exited
    clearTimeout(timer)
  }
  return { post, stop, [Symbol.asyncDispose]: stop }
}

function ownProgram(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './forwarder-worker.js', import.meta.url)
}
