/**
 * A vLAN of one forwarder in this process, with machines on vhost-user ports.
 */
import { join } from 'node:path'
import type { HostKey, LanKey, Mac } from '#core/ids.ts'
import type { Report } from '#slice/forwarder/contract.ts'
import { type Forwarder, startForwarder } from '#slice/forwarder/forwarder.ts'
import { listenUnix } from '#syscalls/unix-socket.ts'

const self = '0011223344556677' as HostKey
const lan = 7 as LanKey

export class Network implements AsyncDisposable {
  readonly reports: Report[] = []
  readonly forwarder: Forwarder
  readonly #waiting = new Set<() => void>()

  constructor() {
    this.forwarder = startForwarder({
      self,
      udpFd: -1,
      program: new URL('./vhost-worker.ts', import.meta.url),
      onReport: (report) => {
        this.reports.push(report)
        for (const look of this.#waiting) look()
      },
      onFailed: (error) => {
        throw error
      }
    })
    this.forwarder.post({ kind: 'lan', lan, candidates: [self], members: [self] })
  }

  /** Adds a port; gives the device's argument for the kernel. */
  port(folder: string, number: number): string {
    const path = join(folder, `port${number}`)
    this.forwarder.post({
      kind: 'port',
      port: number,
      lan,
      mac: macOf(number),
      source: { kind: 'vhost-user', listenFd: listenUnix(path, 0o600) },
      link: null
    })
    return `${path}:1`
  }

  /** Resolves with the first report for which `wanted` holds; throws after a minute. */
  async report<R extends Report>(wanted: (report: Report) => report is R): Promise<R> {
    const { promise, resolve, reject } = Promise.withResolvers<R>()
    const look = (): void => {
      const found = this.reports.find(wanted)
      if (found !== undefined) resolve(found)
    }
    const timer = setTimeout(() => reject(new Error(`not in ${JSON.stringify(this.reports)}`)), 60_000)
    this.#waiting.add(look)
    look()
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(look)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.forwarder.stop()
  }
}

export function macOf(number: number): Mac {
  return `02:00:00:00:00:${number.toString(16).padStart(2, '0')}` as Mac
}
