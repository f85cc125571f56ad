/** An address for this host's own interface on a vLAN from whoever gives them there, by busybox's DHCP client. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { isHostAddress, parseIpv4, parseSubnet } from '#core/ipv4.ts'
import { busyboxPath } from '#images/busybox.ts'

/** Seconds between questions; an answer takes milliseconds. */
const askSeconds = 1

/** The client tells a script what it was told, and nothing else is done by it. */
const hook = '#!/bin/sh\necho "$1 $ip"\n'

/** The client ends with this process, whose pipe it watches, and the pipe that it tells by with the client. */
const keeping = `${busyboxPath} udhcpc -f -R -t 3 -T ${askSeconds} -A ${askSeconds} -i "$1" -x hostname:"$2" -s "$3" 2>/dev/null &
exec >/dev/null
read -r _
kill $!
wait`

export interface LeaseOptions {
  readonly device: string
  /** The name by which this host asks. */
  readonly name: string
  /** Network of the vLAN: an address elsewhere is no lease of it. */
  readonly subnet: string
  /** For the client's script. */
  readonly folder: string
  /** Carried out for each address, with its prefix length, and that of before; null: none. */
  readonly changed: (address: string | null, former: string | null) => Promise<void>
}

export class Lease {
  readonly #client: ChildProcessByStdio<Writable, Readable, null>
  /** Resolves when the client ended. */
  readonly ended: Promise<void>

  constructor({ device, name, subnet, folder, changed }: LeaseOptions) {
    const script = join(folder, 'lease')
    writeFileSync(script, hook, { mode: 0o700 })
    this.#client = spawn('/bin/sh', ['-c', keeping, 'sh', device, name, script], {
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true,
      cwd: '/',
      env: {}
    })
    this.#client.stdin.on('error', () => undefined)
    this.#client.on('error', () => undefined)
    let telling = Promise.resolve()
    let last: string | null = null
    createInterface({ input: this.#client.stdout }).on('line', (line) => {
      const address = leased(line, subnet)
      if (address === undefined || address === last) return
      const former = last
      last = address
      // It cannot be carried out where the interface is gone: what ended that ends this, too.
      telling = telling.then(() => changed(address, former)).catch(() => undefined)
    })
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#client.stdout.once('close', resolve)
    this.ended = promise.then(() => telling)
  }

  /** Ends it; resolves when it is gone. */
  async close(): Promise<void> {
    this.#client.stdin.end()
    await this.ended
  }
}

/** What a line of the client says: an address, that there is none (null), or nothing that counts (undefined). */
export function leased(line: string, subnet: string): string | null | undefined {
  const [what, text = ''] = line.split(' ')
  if (what === 'deconfig') return null
  if (what !== 'bound' && what !== 'renew') return undefined
  const [network, address] = [parseSubnet(subnet), parseIpv4(text)]
  // Whoever answers is inside the vLAN: he gives this host no address but one of it.
  if (network === null || address === null || !isHostAddress(network, address)) return undefined
  return `${text}/${network.prefix}`
}
