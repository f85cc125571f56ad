/**
 * Takes topics until each had its last message or all fell silent, and says what came of each publisher:
 *
 *     node subscribe.ts TOPIC… [--show]
 *
 * `--show` prints each message as it comes.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { Arrivals, lineOf, wallMs } from '../arrivals.ts'
import { decode, groupOf, port } from './topics.ts'

/** Publishers that say nothing for so long have gone without a word. */
const silenceMs = 3_000

interface Heard {
  readonly arrivals: Arrivals
  /** How many there were, once the last came. */
  sent: number | null
}

const { values, positionals: topics } = parseArgs({
  allowPositionals: true,
  options: { show: { type: 'boolean', default: false } }
})
if (topics.length === 0) throw new Error('node subscribe.ts TOPIC…')

/** By topic and publisher. */
const heard = new Map<string, Heard>()
const open = new Set(topics)
const { promise: ended, resolve: end } = Promise.withResolvers<void>()
let silence: NodeJS.Timeout | null = null
const socket = createSocket('udp4')
socket.on('message', (bytes) => {
  const message = decode(bytes)
  // Another topic may have the same group.
  if (message === null || !topics.includes(message.topic)) return
  const from = `${message.topic} of ${message.publisher}`
  const one = heard.get(from) ?? { arrivals: new Arrivals(), sent: null }
  heard.set(from, one)
  one.arrivals.add(message.number, wallMs() - message.wallMs)
  if (values.show) process.stdout.write(`${from}: ${message.text}\n`)
  if (message.isLast) {
    one.sent = message.number + 1
    open.delete(message.topic)
  }
  silence ??= setTimeout(end, silenceMs)
  silence.refresh()
  if (open.size === 0) end()
})
socket.bind(port)
await once(socket, 'listening')
for (const group of new Set(topics.map(groupOf))) socket.addMembership(group)
process.stdout.write(`listening to ${topics.map((topic) => `${topic} (${groupOf(topic)})`).join(', ')}\n`)
await ended
if (silence !== null) clearTimeout(silence)
socket.close()
for (const [from, { arrivals, sent }] of heard)
  process.stdout.write(`${from}: ${lineOf(arrivals.summary(sent))}\n`)
