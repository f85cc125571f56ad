/**
 * Network namespaces of overlay hosts on one bridge of veth pairs, and of the machines behind them. However
 * the process ends, its namespaces go with it. Needs root.
 */
import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import type { Mac } from '#core/ids.ts'

/** Runs a program; gives its standard output. */
export function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

export function inNamespace(namespace: string, ...command: string[]): string {
  return run('ip', 'netns', 'exec', namespace, ...command)
}

/** One overlay host's place. */
export interface Site {
  readonly number: number
  /** Namespace of the overlay host, and of the machine on its port. */
  readonly host: string
  readonly machine: string
  /** Address on the underlay, and the machine's on the vLAN. */
  readonly underlayIp: string
  readonly ip: string
  readonly mac: Mac
}

export class Underlay implements Disposable {
  readonly prefix: string
  readonly #namespaces: string[] = []
  readonly #sites: Site[] = []
  readonly #atExit = (): void => this.#remove()
  readonly #atSignal = (): void => process.exit(1)

  /** `prefix` starts the name of every namespace. */
  constructor(prefix: string) {
    this.prefix = `${prefix}${randomInt(36 ** 3).toString(36)}`
    process.once('exit', this.#atExit)
    process.once('SIGTERM', this.#atSignal)
    process.once('SIGINT', this.#atSignal)
    this.#add(this.net)
    for (const bridge of ['br0', 'br1']) {
      inNamespace(this.net, 'ip', 'link', 'add', bridge, 'type', 'bridge')
      inNamespace(this.net, 'ip', 'link', 'set', bridge, 'up')
    }
  }

  /** Namespace of the bridge; the link to host n is its `vN`. */
  get net(): string {
    return `${this.prefix}-net`
  }

  /** Makes the namespaces of host `number` (1..250) and its machine, and its link to the bridge. */
  site(number: number): Site {
    const site: Site = {
      number,
      host: `${this.prefix}-h${number}`,
      machine: `${this.prefix}-m${number}`,
      underlayIp: `10.99.0.${number}`,
      ip: `192.168.7.${number}`,
      mac: `02:00:00:00:00:${number.toString(16).padStart(2, '0')}` as Mac
    }
    this.#add(site.host)
    this.#add(site.machine)
    const veth = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', site.host]
    inNamespace(this.net, 'ip', 'link', 'add', `v${number}`, ...veth)
    inNamespace(this.net, 'ip', 'link', 'set', `v${number}`, 'master', 'br0', 'up')
    inNamespace(site.host, 'ip', 'addr', 'add', `${site.underlayIp}/24`, 'dev', 'eth0')
    inNamespace(site.host, 'ip', 'link', 'set', 'eth0', 'address', underlayMac(number), 'up')
    for (const other of this.#sites) {
      this.way(site, other, true)
      this.way(other, site, true)
    }
    this.#sites.push(site)
    return site
  }

  /** Puts a host on the one bridge or on the other: only hosts of one reach each other. */
  side(site: Site, bridge: 0 | 1): void {
    run('ip', '-n', this.net, 'link', 'set', `v${site.number}`, 'master', `br${bridge}`)
  }

  /** Cuts a host off, or joins it again; it is not told. */
  link(site: Site, state: 'up' | 'down'): void {
    inNamespace(this.net, 'ip', 'link', 'set', `v${site.number}`, state)
  }

  /**
   * Lets what `from` sends to `to` come through, or sends it to an address that nobody has. A fixed address
   * spares an ARP too: after a cut it is repeated each second only, while datagrams wait in the kernel.
   */
  way(from: Site, to: Site, open: boolean): void {
    const mac = open ? underlayMac(to.number) : nobodysMac
    run('ip', '-n', from.host, 'neigh', 'replace', to.underlayIp, 'lladdr', mac, 'dev', 'eth0')
  }

  [Symbol.dispose](): void {
    this.#remove()
    process.removeListener('exit', this.#atExit)
    process.removeListener('SIGTERM', this.#atSignal)
    process.removeListener('SIGINT', this.#atSignal)
  }

  #add(name: string): void {
    run('ip', 'netns', 'add', name)
    this.#namespaces.push(name)
    run('ip', '-n', name, 'link', 'set', 'lo', 'up')
  }

  #remove(): void {
    for (const name of this.#namespaces.splice(0)) run('ip', 'netns', 'del', name)
  }
}

const nobodysMac = '02:00:00:00:02:00'

function underlayMac(number: number): string {
  return `02:00:00:00:01:${number.toString(16).padStart(2, '0')}`
}
