/**
 * Publishes lines of text on a topic, so many, at so many a second:
 *
 *     node publish.ts TOPIC TEXT [--count 50] [--rate 10]
 *
 * Each is the text with a number behind it.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { hostname } from 'node:os'
import { setInterval } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { wallMs } from '../arrivals.ts'
import { encode, groupOf, port } from './topics.ts'

/** Routers between a publisher and who is farthest, at most. */
const hops = 16

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { count: { type: 'string', default: '50' }, rate: { type: 'string', default: '10' } }
})
const [topic, text] = positionals
if (topic === undefined || text === undefined) throw new Error('node publish.ts TOPIC TEXT')
const [count, rate] = [Number(values.count), Number(values.rate)]

const socket = createSocket('udp4')
socket.bind(0)
await once(socket, 'listening')
socket.setMulticastTTL(hops)
let number = 0
for await (const _ of setInterval(1_000 / rate)) {
  const isLast = number === count - 1
  const said = { topic, publisher: hostname(), number, text: `${text} ${number}`, isLast }
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.send(encode({ ...said, wallMs: wallMs() }), port, groupOf(topic), (error) =>
    error === null ? resolve() : reject(error)
  )
  await promise
  number += 1
  if (isLast) break
}
socket.close()
process.stdout.write(`${count} published on ${topic}, which is ${groupOf(topic)}\n`)
