/**
 * Datagrams between all entities of some VIOLINs, from sockets of this process in their namespaces: each says whose
 * it is and its number, so that what comes twice, or from another VIOLIN, shows.
 */
import { type Socket, createSocket } from 'node:dgram'
import { readlinkSync } from 'node:fs'
import { argumentsOf } from '#lab/processes.ts'
import type { LabHost } from '#lab/host.ts'
import { close, libc } from '#syscalls/libc.ts'
import { inNetworkNamespace } from '#syscalls/netns.ts'
import { openUdp } from '#syscalls/udp.ts'

const port = 9_000
/** Node ends itself when a socket of its own has an error queue (ip(7), IP_RECVERR), as those of trunks do. */
const [ipLevel, receiveErrors] = [0, 11]
const setsockopt = libc.func('int setsockopt(int fd, int level, int name, const int *value, uint32_t length)')
/** To each other entity, and to all at once by broadcast: what is flooded comes by another way. */
const everyMs = 100
/** Numbers remembered of one sender's life. */
const remembered = 4_096

export interface Place {
  readonly violin: string
  readonly entity: string
  readonly host: LabHost
  readonly ip: string
}

/** What broke: of whom, and when. */
export interface Breach {
  readonly at: number
  readonly what: string
}

interface End {
  readonly place: Place
  /** Its namespace, and the socket in it; null while it does not run. */
  namespace: string | null
  socket: Socket | null
}

export class Traffic implements Disposable {
  readonly breaches: Breach[] = []
  received = 0
  readonly #ends: readonly End[]
  readonly #heardAt = new Map<string, number>()
  readonly #seen = new Map<string, Set<number>>()
  readonly #timer: NodeJS.Timeout
  readonly #life = process.pid
  #number = 0

  constructor(places: readonly Place[]) {
    this.#ends = places.map((place) => ({ place, namespace: null, socket: null }))
    this.#timer = setInterval(() => this.#send(), everyMs)
  }

  /** Finds the entities' namespaces anew; those that went are let go. */
  look(): void {
    const found = new Map<string, string>()
    for (const host of new Set(this.#ends.map(({ place }) => place.host))) {
      for (const { pid } of host.processes()) {
        const argv = argumentsOf(pid)
        const name = argv[0] === '/usr/bin/bwrap' ? argv[argv.indexOf('--hostname') + 1] : undefined
        const namespace = name === undefined ? null : namespaceOf(pid)
        if (name === undefined || namespace === null || namespace === hostNamespace(host)) continue
        found.set(`${host.name} ${name}`, `${pid} ${namespace}`)
      }
    }
    for (const end of this.#ends) {
      const now = found.get(`${end.place.host.name} ${end.place.entity}`) ?? null
      const [pid, namespace] = now?.split(' ') ?? []
      if ((namespace ?? null) === end.namespace) continue
      end.socket?.close()
      end.socket = null
      end.namespace = null
      if (pid !== undefined && namespace !== undefined) this.#open(end, pid, namespace)
    }
  }

  /** Flows of which nothing was heard since a time: `FROM > TO` each. */
  silentSince(at: number): string[] {
    return this.#pairs().filter((flow) => (this.#heardAt.get(flow) ?? 0) < at)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    for (const { socket } of this.#ends) socket?.close()
  }

  #pairs(): string[] {
    return this.#ends.flatMap(({ place: from }) =>
      this.#ends
        .filter(({ place: to }) => to !== from && to.violin === from.violin)
        .map(({ place: to }) => `${from.entity} > ${to.entity}`)
    )
  }

  #open(end: End, pid: string, namespace: string): void {
    let fd = -1
    try {
      fd = inNetworkNamespace(`/proc/${pid}/ns/net`, () => openUdp(port, port).fd)
      setsockopt(fd, ipLevel, receiveErrors, [0], 4)
      const socket = createSocket({ type: 'udp4' })
      socket.on('message', (message) => this.#take(end.place, message))
      // Of a way that is cut the kernel tells; the silence is what is looked at.
      socket.on('error', () => undefined)
      socket.bind({ fd }, () => socket.setBroadcast(true))
      end.socket = socket
      end.namespace = namespace
    } catch {
      // It died between the look and now: the next look finds the next one.
      if (fd >= 0 && end.socket === null) close(fd)
    }
  }

  #send(): void {
    const number = this.#number++
    for (const { place, socket } of this.#ends) {
      if (socket === null) continue
      const targets = this.#ends.filter(({ place: to }) => to.violin === place.violin && to !== place)
      for (const { place: to } of targets) this.#post(socket, place, to.entity, to.ip, number)
      this.#post(socket, place, '*', '10.0.0.255', number)
    }
  }

  #post(socket: Socket, from: Place, to: string, ip: string, number: number): void {
    const message = `${from.violin} ${from.entity} ${to} ${this.#life} ${number}`
    try {
      socket.send(message, port, ip, () => undefined)
    } catch {
      // Not bound yet, or closed a moment ago.
    }
  }

  #take(at: Place, message: Buffer): void {
    const [violin = '', from = '', to = '', , number = ''] = message.toString('latin1').split(' ')
    const now = performance.now()
    this.received++
    if (violin !== at.violin || (to !== '*' && to !== at.entity)) {
      this.breaches.push({ at: now, what: `${at.violin}/${at.entity} heard ${message.toString('latin1')}` })
      return
    }
    const flow = `${from} > ${at.entity}`
    this.#heardAt.set(flow, now)
    const name = `${flow} ${to}`
    const seen = this.#seen.get(name) ?? new Set<number>()
    this.#seen.set(name, seen)
    if (seen.has(Number(number))) this.breaches.push({ at: now, what: `${name} ${number} came twice` })
    seen.add(Number(number))
    if (seen.size > remembered) seen.delete(seen.values().next().value as number)
  }
}

function namespaceOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`)
  } catch {
    return null
  }
}

const known = new Map<string, string>()

function hostNamespace(host: LabHost): string {
  const name =
    known.get(host.name) ??
    inNetworkNamespace(`/run/netns/${host.namespace}`, () => readlinkSync('/proc/thread-self/ns/net'))
  known.set(host.name, name)
  return name
}
