/**
 * Sends a numbered datagram every few milliseconds from each of two network namespaces to the other, and notes
 * what arrives, in a thread of its own: the clock of both ends is one, and nothing that the benchmark does
 * meanwhile holds it up.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { Epoll, epollEvents } from '#syscalls/epoll.ts'
import { allocate, close } from '#syscalls/libc.ts'
import { ReceiveBatch, SendBatch } from '#syscalls/mmsg.ts'
import { inNetworkNamespace } from '#syscalls/netns.ts'
import { openUdp, parseIpv4 } from '#syscalls/udp.ts'
import type { FlowAnswer, FlowOrder, FlowPlan, OneWay } from './flow.ts'

/** So many in a row, sent after a mark, arrived each way: the way is there again. */
const throughFrames = 30
/** Lost frames are lost by then; late ones are late. */
const restMs = 300
const slots = 32
const slotBytes = 64

const plan = workerData as FlowPlan
const port = parentPort
if (port === null) throw new Error('runs in a worker thread')

/** One end: its socket, what it sent, what came. */
class End {
  readonly fd: number
  readonly port: number
  readonly sentMs: number[] = []
  /** By number: when it came first. */
  readonly cameMs = new Map<number, number>()
  doubled = 0
  /** The newest number that came, and how many came one after the other up to it, none of them before the mark. */
  newest = -1
  inRow = 0
  readonly #ip: number
  readonly #memory = allocate(2 * slots * slotBytes)
  readonly #received = new ReceiveBatch(this.#memory, 0, slots, slotBytes)
  readonly #batch = new SendBatch(this.#memory, slots * slotBytes, slots, slotBytes)

  constructor(namespace: string, ip: string) {
    const socket = inNetworkNamespace(namespace, () => openUdp(0, 0))
    this.fd = socket.fd
    this.port = socket.port
    this.#ip = parseIpv4(ip) as number
  }

  send(to: End): void {
    const slot = this.#batch.acquire()
    this.#memory.view.setUint32(this.#batch.at(slot), this.sentMs.length)
    this.sentMs.push(now())
    this.#batch.commit(slot, 4, to.#ip, to.port)
    this.#batch.flush(this.fd)
  }

  /** Takes what waits; numbers from `mark` on count for the row. */
  receive(mark: number): void {
    for (let count = this.#received.receive(this.fd); count > 0; count = this.#received.receive(this.fd)) {
      for (let slot = 0; slot < count; slot++)
        this.#take(this.#memory.view.getUint32(this.#received.at(slot)), mark)
    }
  }

  #take(number: number, mark: number): void {
    if (this.cameMs.has(number)) {
      this.doubled++
      return
    }
    this.cameMs.set(number, now())
    this.inRow = number < mark ? 0 : number === this.newest + 1 ? this.inRow + 1 : 1
    this.newest = number
  }
}

const ends = plan.ends.map(({ namespace, ip }) => new End(namespace, ip)) as [End, End]
const [left, right] = ends
const epoll = new Epoll()
for (const end of ends) epoll.add(end.fd, epollEvents.in)
let mark = Infinity
/** Numbers below belong to the beginning, in which addresses are looked for. */
let first = Infinity
let endMs = Infinity
let nextMs = now()
while (now() < endMs) {
  epoll.wait(Math.max(0, nextMs - now()))
  for (const end of ends) end.receive(mark)
  if (now() >= nextMs && endMs === Infinity) {
    left.send(right)
    right.send(left)
    nextMs = Math.max(nextMs + plan.everyMs, now())
  } else if (now() >= nextMs) nextMs += plan.everyMs
  if (ends.every((end) => end.inRow >= throughFrames)) {
    tell({ kind: 'through' })
    first = Math.min(first, left.sentMs.length - throughFrames)
    mark = Infinity
    for (const end of ends) end.inRow = 0
  }
  for (let order = take(); order !== null; order = take()) {
    if (order.kind === 'stop') endMs = now() + restMs
    else {
      mark = left.sentMs.length
      for (const end of ends) end.inRow = 0
    }
  }
}
tell({ kind: 'done', ways: [oneWay(left, right), oneWay(right, left)] })
for (const end of ends) close(end.fd)
epoll.close()

/** Milliseconds that mean the same in every thread. */
function now(): number {
  return performance.timeOrigin + performance.now()
}

function oneWay(from: End, to: End): OneWay {
  return {
    sentMs: from.sentMs.slice(first),
    cameMs: from.sentMs.map((_, number) => to.cameMs.get(number) ?? null).slice(first),
    doubled: to.doubled
  }
}

function take(): FlowOrder | null {
  return (receiveMessageOnPort(port as NonNullable<typeof port>)?.message as FlowOrder | undefined) ?? null
}

function tell(answer: FlowAnswer): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  port?.postMessage(answer)
}
