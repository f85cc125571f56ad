/**
 * The worker for the consoles of a slice's machines: blocks in epoll, moves bytes between guests and the main
 * thread.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { unreachable } from '#core/ids.ts'
import { Epoll, epollEvents } from '#syscalls/epoll.ts'
import { drain } from '#syscalls/eventfd.ts'
import { close } from '#syscalls/libc.ts'
import type { Watcher } from '../forwarder/port.ts'
import type { ConsoleCommand, ConsoleReport, ConsoleStart } from './console-contract.ts'
import { ConsoleDevice } from './console-device.ts'
import type { ConsolePort } from './console-port.ts'

const main = parentPort
if (main === null) throw new Error('the console worker runs in a worker thread')

function report(told: ConsoleReport): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  main?.postMessage(told, told.kind === 'data' ? [told.bytes.buffer] : [])
}

function command(): ConsoleCommand | null {
  return main === null ? null : ((receiveMessageOnPort(main)?.message ?? null) as ConsoleCommand | null)
}

class ConsoleLoop implements Watcher {
  readonly #wakeFd: number
  readonly #epoll = new Epoll()
  readonly #ready = new Map<number, (events: number) => void>()
  readonly #devices = new Map<number, ConsoleDevice>()
  readonly #streams = new Map<number, { readonly device: ConsoleDevice; readonly port: ConsolePort }>()
  /** Devices with something to move. */
  readonly #dirty = new Set<ConsoleDevice>()
  #stopped = false

  constructor(start: ConsoleStart) {
    this.#wakeFd = start.wakeFd
  }

  run(): void {
    this.watch(this.#wakeFd, epollEvents.in, () => this.#obey())
    while (!this.#stopped) this.#turn()
    for (const device of this.#devices.values()) device.close()
    this.#epoll.close()
  }

  watch(fd: number, events: number, ready: (events: number) => void, edge = false): void {
    this.#epoll.add(fd, edge ? (events | epollEvents.edge) >>> 0 : events)
    this.#ready.set(fd, ready)
  }

  change(fd: number, events: number): void {
    this.#epoll.modify(fd, events)
  }

  unwatch(fd: number): void {
    this.#ready.delete(fd)
    this.#epoll.remove(fd)
  }

  #turn(): void {
    const count = this.#epoll.wait(this.#dirty.size > 0 ? 0 : -1)
    for (let i = 0; i < count; i++) this.#ready.get(this.#epoll.fd(i))?.(this.#epoll.events(i))
    for (const device of Array.from(this.#dirty)) {
      this.#dirty.delete(device)
      if (device.pump()) this.#dirty.add(device)
    }
  }

  #obey(): void {
    drain(this.#wakeFd)
    for (let next = command(); next !== null; next = command()) this.#carryOut(next)
  }

  #carryOut(next: ConsoleCommand): void {
    switch (next.kind) {
      case 'attach':
        this.#attach(next)
        return
      case 'detach':
        this.#devices.get(next.device)?.close()
        this.#forget(next.device)
        return
      case 'open':
        this.#open(next)
        return
      case 'stop':
        this.#stopped = true
        return
      case 'data':
      case 'end':
      case 'taken':
      case 'release':
        this.#serve(next)
        return
      default:
        unreachable(next)
    }
  }

  #attach({ device: id, listenFd, maxPorts }: Extract<ConsoleCommand, { kind: 'attach' }>): void {
    const tell = (told: ConsoleReport): void => {
      if (told.kind === 'disconnected') this.#forget(told.device)
      report(told)
    }
    try {
      const device: ConsoleDevice = new ConsoleDevice({ id, listenFd, maxPorts }, this, tell, () => {
        if (this.#devices.get(id) === device) this.#dirty.add(device)
      })
      this.#devices.set(id, device)
    } catch (error: unknown) {
      close(listenFd)
      report({
        kind: 'disconnected',
        device: id,
        reason: error instanceof Error ? error.message : String(error)
      })
    }
  }

  #open({ device: id, port: number, stream }: Extract<ConsoleCommand, { kind: 'open' }>): void {
    const device = this.#devices.get(id)
    const port = device?.port(number)
    // The device may have gone while the command was on its way, and that was told.
    if (device === undefined || port === undefined || port === null) return
    port.open(stream)
    this.#streams.set(stream, { device, port })
    device.touch(port)
  }

  #serve(next: Extract<ConsoleCommand, { kind: 'data' | 'end' | 'taken' | 'release' }>): void {
    const found = this.#streams.get(next.stream)
    if (found === undefined) return
    const { device, port } = found
    if (next.kind === 'data') port.send(next.bytes)
    else if (next.kind === 'end') port.end()
    else if (next.kind === 'taken') port.taken(next.bytes)
    else {
      this.#streams.delete(next.stream)
      port.release()
    }
    device.touch(port)
  }

  #forget(id: number): void {
    const device = this.#devices.get(id)
    if (device === undefined) return
    this.#devices.delete(id)
    this.#dirty.delete(device)
    for (const [stream, found] of this.#streams) if (found.device === device) this.#streams.delete(stream)
  }
}

new ConsoleLoop(workerData as ConsoleStart).run()
