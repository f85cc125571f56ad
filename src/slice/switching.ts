/**
 * The forwarding worker as the rest of the slice sees it: vLANs, ports and sessions that it should have. A
 * worker that throws is replaced over the same socket and TAPs; its sessions are gone and agreed anew.
 */
import type { Owner } from '#core/election/ports.ts'
import { unreachable } from '#core/ids.ts'
import type { HostKey, LanKey, Mac } from '#core/ids.ts'
import type { CaptureEvents } from './captures.ts'
import type {
  Command,
  LanReport,
  PortLink,
  PortSource,
  Report,
  TrunkReport,
  TrunkSession
} from './forwarder/contract.ts'
import { type Forwarder, startForwarder } from './forwarder/forwarder.ts'

/** A worker that fails this often within {@link failureWindowMs} takes the slice along: something is broken for good. */
const maxFailures = 5
const failureWindowMs = 60_000
/** How long a status or the successor of a vSwitch is waited for. */
const statusMs = 1_000
const handoffMs = 15_000

export interface LanWish {
  readonly lan: LanKey
  readonly candidates: readonly HostKey[]
  readonly members: readonly HostKey[]
  readonly owners?: readonly (readonly [Mac, Owner])[]
}

export interface SwitchingEvents {
  lan(report: LanReport): void
  trunk(peer: HostKey, up: boolean): void
  trunkWanted(peer: HostKey): void
  port(port: number, up: boolean, reason: string): void
  /** The port was shut: another host has its machine under a higher claim. */
  superseded(port: number, claim: number, by: HostKey): void
  /** The worker was replaced, and what is behind this port does not find to the new one. */
  portLost(port: number, reason: string): void
  /** The worker was replaced: every session is gone. */
  sessionsLost(): void
  /** It cannot go on. */
  broken(error: Error): void
}

export interface SwitchingOptions {
  readonly self: HostKey
  readonly udpFd: number
  readonly events: SwitchingEvents
  /** Another worker than the real one, for tests. */
  readonly program?: URL
}

type CaptureCommand = Extract<Command, { kind: 'capture' }>
interface RunningCapture {
  readonly command: CaptureCommand
  readonly events: CaptureEvents
  ending: boolean
}
type PortCommand = Extract<Command, { kind: 'port' }>

export class Switching {
  readonly #options: SwitchingOptions
  readonly #lans = new Map<LanKey, LanWish>()
  readonly #reports = new Map<LanKey, LanReport>()
  readonly #ports = new Map<number, PortCommand>()
  readonly #asked = new Map<number, (report: Extract<Report, { kind: 'status' }> | null) => void>()
  readonly #watchers = new Set<(report: LanReport) => void>()
  readonly #captures = new Map<number, RunningCapture>()
  readonly #failures: number[] = []
  #forwarder: Forwarder
  #nextPort = 1
  #nextCapture = 1
  #nextStatus = 1
  #stopped = false

  constructor(options: SwitchingOptions) {
    this.#options = options
    this.#forwarder = this.#startWorker()
  }

  /** The vLANs to have, and no others. */
  setLans(wishes: readonly LanWish[]): void {
    const wanted = new Set(wishes.map(({ lan }) => lan))
    for (const lan of this.#lans.keys()) {
      if (wanted.has(lan)) continue
      this.#lans.delete(lan)
      this.#reports.delete(lan)
      this.#forwarder.post({ kind: 'lan-remove', lan })
    }
    for (const wish of wishes) {
      if (JSON.stringify(this.#lans.get(wish.lan)) === JSON.stringify(wish)) continue
      this.#lans.set(wish.lan, wish)
      this.#forwarder.post({ kind: 'lan', ...wish })
    }
  }

  /** Puts a machine's vNIC on a vLAN, shut until it has a claim; gives the port's number. */
  addPort(lan: LanKey, mac: Mac, source: PortSource, claim: number | null, link: PortLink | null): number {
    const command: PortCommand = { kind: 'port', port: this.#nextPort++, lan, mac, source, link, claim }
    this.#ports.set(command.port, command)
    this.#forwarder.post(command)
    return command.port
  }

  /** Opens a port under a claim. */
  claimPort(port: number, claim: number): void {
    const command = this.#ports.get(port)
    if (command === undefined || command.claim === claim) return
    this.#ports.set(port, { ...command, claim })
    this.#forwarder.post({ kind: 'port-claim', port, claim })
  }

  /** Changes what happens to frames at a port. */
  linkPort(port: number, link: PortLink | null): void {
    const command = this.#ports.get(port)
    if (command === undefined || JSON.stringify(command.link) === JSON.stringify(link)) return
    this.#ports.set(port, { ...command, link })
    this.#forwarder.post({ kind: 'port-link', port, link })
  }

  removePort(port: number): void {
    if (this.#ports.delete(port)) this.#forwarder.post({ kind: 'port-remove', port })
  }

  setTrunk(session: TrunkSession): void {
    this.#forwarder.post({ kind: 'trunk', session })
  }

  renewTrunk(peer: HostKey, authForMs: number): void {
    this.#forwarder.post({ kind: 'trunk-renew', peer, authForMs })
  }

  removeTrunk(peer: HostKey): void {
    this.#forwarder.post({ kind: 'trunk-remove', peer })
  }

  /** Starts to fill a capture's ring, until `end`. */
  capture(
    what: { readonly lan: LanKey; readonly mac: Mac | null },
    memory: SharedArrayBuffer,
    events: CaptureEvents
  ): { end(): void } {
    const id = this.#nextCapture++
    const command: CaptureCommand = { kind: 'capture', id, ...what, memory }
    const running: RunningCapture = { command, events, ending: false }
    this.#captures.set(id, running)
    this.#forwarder.post(command)
    return {
      end: () => {
        if (!this.#captures.has(id) || running.ending) return
        running.ending = true
        this.#forwarder.post({ kind: 'capture-end', id })
      }
    }
  }

  /** What is known of a vLAN's switch; null before its election said anything. */
  report(lan: LanKey): LanReport | null {
    return this.#reports.get(lan) ?? null
  }

  /** Has the active hand over; resolves with the new term's report, or null when none came in time. */
  async handoff(lan: LanKey, to: HostKey | null): Promise<LanReport | null> {
    const before = this.#reports.get(lan)
    const { promise, resolve } = Promise.withResolvers<LanReport | null>()
    const watch = (report: LanReport): void => {
      const moved = report.active !== null && report.active !== before?.active
      if (report.lan === lan && moved && report.term > (before?.term ?? 0)) resolve(report)
    }
    const timer = setTimeout(() => resolve(null), handoffMs)
    this.#watchers.add(watch)
    this.#forwarder.post({ kind: 'handoff', lan, to })
    return promise.finally(() => {
      clearTimeout(timer)
      this.#watchers.delete(watch)
    })
  }

  /** Counters of the trunks; empty when the worker does not answer in time. */
  async trunks(): Promise<readonly TrunkReport[]> {
    const id = this.#nextStatus++
    const { promise, resolve } = Promise.withResolvers<Extract<Report, { kind: 'status' }> | null>()
    const timer = setTimeout(() => resolve(null), statusMs)
    this.#asked.set(id, resolve)
    this.#forwarder.post({ kind: 'status', id })
    const report = await promise
    clearTimeout(timer)
    this.#asked.delete(id)
    return report?.trunks ?? []
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#forwarder.stop()
  }

  #startWorker(): Forwarder {
    const { self, udpFd, program } = this.#options
    return startForwarder({
      self,
      udpFd,
      onReport: (report) => this.#take(report),
      onFailed: (error) => this.#replace(error),
      ...(program === undefined ? {} : { program })
    })
  }

  #take(report: Report): void {
    const { events } = this.#options
    switch (report.kind) {
      case 'ready':
        return
      case 'lan':
        if (!this.#lans.has(report.report.lan)) return
        this.#reports.set(report.report.lan, report.report)
        for (const watch of this.#watchers) watch(report.report)
        return events.lan(report.report)
      case 'trunk':
        return events.trunk(report.peer, report.up)
      case 'trunk-wanted':
        return events.trunkWanted(report.peer)
      case 'port':
        return events.port(report.port, report.up, report.reason)
      case 'superseded':
        return this.#superseded(report)
      case 'captured':
        return this.#captures.get(report.id)?.events.more()
      case 'capture-ended': {
        const capture = this.#captures.get(report.id)
        this.#captures.delete(report.id)
        return capture?.events.ended()
      }
      case 'status':
        return this.#asked.get(report.id)?.(report)
      case 'failed':
        return this.#replace(new Error(report.message))
      default:
        return unreachable(report)
    }
  }

  #superseded({ port, claim, by }: Extract<Report, { kind: 'superseded' }>): void {
    const command = this.#ports.get(port)
    if (command === undefined) return
    // A later worker keeps it shut.
    this.#ports.set(port, { ...command, claim: null })
    this.#options.events.superseded(port, claim, by)
  }

  #replace(error: Error): void {
    if (this.#stopped) return
    const now = performance.now()
    this.#failures.push(now)
    if (this.#failures.length > maxFailures) this.#failures.shift()
    const first = this.#failures[0] as number
    if (this.#failures.length === maxFailures && now - first < failureWindowMs) {
      this.#stopped = true
      return this.#options.events.broken(error)
    }
    this.#forwarder = this.#startWorker()
    for (const wish of this.#lans.values()) this.#forwarder.post({ kind: 'lan', ...wish })
    for (const command of this.#ports.values()) {
      if (command.source.kind === 'tap') this.#forwarder.post(command)
      // A vhost-user machine does not find back to a new back end (uml.md): it is started anew.
      else this.#options.events.portLost(command.port, `the forwarding worker failed: ${error.message}`)
    }
    for (const { command, events, ending } of this.#captures.values()) {
      this.#forwarder.post(ending ? { kind: 'capture-end', id: command.id } : command)
      // The old one may have gone before it told.
      events.more()
    }
    this.#options.events.sessionsLost()
  }
}
