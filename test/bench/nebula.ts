/**
 * Debian's nebula between two namespaces of a world: a peer that is measured in the same run.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { run } from '../slice/forwarder/underlay.ts'
import type { TestHost } from '../slice/forwarder/world.ts'

export class Nebula implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'vb-nebula-'))
  readonly #processes: ChildProcess[] = []

  /** Address of a host inside nebula's network. */
  ip(host: TestHost): string {
    return `10.98.0.${host.number}`
  }

  /** Starts it on both hosts; resolves when both have their interface. */
  async start(hosts: readonly TestHost[]): Promise<void> {
    const path = (name: string): string => join(this.#folder, name)
    run('nebula-cert', 'ca', '-name', 'bench', '-out-crt', path('ca.crt'), '-out-key', path('ca.key'))
    const lighthouse = hosts[0] as TestHost
    for (const host of hosts) {
      const name = `h${host.number}`
      const own = ['-name', name, '-ip', `${this.ip(host)}/24`, '-out-crt', path(`${name}.crt`), '-out-key']
      run(
        'nebula-cert',
        'sign',
        '-ca-crt',
        path('ca.crt'),
        '-ca-key',
        path('ca.key'),
        ...own,
        path(`${name}.key`)
      )
      writeFileSync(path(`${name}.yml`), JSON.stringify(this.#settings(host, lighthouse)))
      const child = spawn('ip', ['netns', 'exec', host.host, 'nebula', '-config', path(`${name}.yml`)], {
        stdio: ['ignore', 'pipe', 'pipe']
      })
      this.#processes.push(child)
      child.stderr.resume()
      for await (const line of createInterface(child.stdout)) if (line.includes('interface is active')) break
      child.stdout.resume()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#processes) {
      const ended = once(child, 'exit')
      if (child.exitCode === null && child.kill()) await ended
    }
    rmSync(this.#folder, { recursive: true })
  }

  #settings(host: TestHost, lighthouse: TestHost): unknown {
    const name = `h${host.number}`
    const path = (file: string): string => join(this.#folder, file)
    const any = [{ port: 'any', proto: 'any', host: 'any' }]
    return {
      pki: { ca: path('ca.crt'), cert: path(`${name}.crt`), key: path(`${name}.key`) },
      static_host_map: { [this.ip(lighthouse)]: [`${lighthouse.underlayIp}:4242`] },
      lighthouse: {
        am_lighthouse: host === lighthouse,
        hosts: host === lighthouse ? [] : [this.ip(lighthouse)]
      },
      listen: { host: '0.0.0.0', port: 4242 },
      tun: { dev: 'nebula1' },
      firewall: { outbound: any, inbound: any }
    }
  }
}
