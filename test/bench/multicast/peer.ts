/**
 * One process of the application that is measured, over either carrier: `peer.js ip TOPICS`, `peer.js gossip TOPICS
 * ADDRESS`. It is told what to do by lines of JSON (`Order`), and answers each with one (`Answer`); it ends with its input.
 */
import { createInterface } from 'node:readline'
import { setInterval } from 'node:timers/promises'
import { wallMs } from '../../../examples/arrivals.ts'
import { gossipCarrier, ipCarrier } from './carriers.ts'

export type Order =
  | { readonly kind: 'dial'; readonly addresses: readonly string[] }
  | { readonly kind: 'meet' }
  | {
      readonly kind: 'send'
      readonly topic: string
      readonly bytes: number
      /** Messages a second. */
      readonly rate: number
      readonly count: number
    }
  /** Says what came of a topic from that number on, and forgets all that came. */
  | { readonly kind: 'tell'; readonly topic: string; readonly first: number }

export interface Answer {
  readonly address: string
  /** Sent by this process until now; so the number of its next message. */
  readonly sent: number
  readonly came: number
  readonly twice: number
  readonly delaysMs: readonly number[]
}

/** A number and a stamp at the front of each message. */
const headBytes = 12

const [carrierName, topicList = '', listen = ''] = process.argv.slice(2)
const topics = topicList.split(',')
/** By topic: each message that came, by its number, and after how long. */
let arrived = new Map<string, Map<number, number>>()
let twice = 0

function heard(topic: string, bytes: Uint8Array): void {
  if (bytes.byteLength < headBytes) return
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const number = view.getUint32(0)
  const those = arrived.get(topic) ?? new Map<number, number>()
  arrived.set(topic, those)
  if (those.has(number)) twice += 1
  else those.set(number, Math.round((wallMs() - view.getFloat64(4)) * 100) / 100)
}

const carrier =
  carrierName === 'ip' ? await ipCarrier(topics, heard) : await gossipCarrier(listen, topics, heard)
let sent = 0
answer([])
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as Order
  switch (order.kind) {
    case 'dial':
      await carrier.dial(order.addresses)
      break
    case 'meet':
      await carrier.meet()
      break
    case 'send':
      await send(order)
      break
    case 'tell': {
      // What is late from before is no part of it.
      const those = [...(arrived.get(order.topic) ?? [])].filter(([number]) => number >= order.first)
      answer(those.map(([, delayMs]) => delayMs))
      arrived = new Map()
      twice = 0
      continue
    }
  }
  answer([])
}
process.exit(0)

async function send({ topic, bytes, rate, count }: Order & { readonly kind: 'send' }): Promise<void> {
  let left = count
  for await (const _ of setInterval(1_000 / rate)) {
    const message = new Uint8Array(bytes)
    const view = new DataView(message.buffer)
    view.setUint32(0, sent++)
    view.setFloat64(4, wallMs())
    await carrier.publish(topic, message)
    left -= 1
    if (left === 0) break
  }
}

function answer(delaysMs: readonly number[]): void {
  const said: Answer = { address: carrier.address, sent, came: delaysMs.length, twice, delaysMs }
  process.stdout.write(`${JSON.stringify(said)}\n`)
}
