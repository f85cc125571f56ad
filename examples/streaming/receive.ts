/**
 * Receives video of a group until its source says farewell or falls silent, and says what came; the last picture
 * that came whole is shown as text, or goes into a file:
 *
 *     node receive.ts GROUP [--show] [--ppm FILE] [--port 5004]
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Arrivals, lineOf, wallMs } from '../arrivals.ts'
import { asText, bytesPerLine, height, ppm } from './picture.ts'
import { clockHz, readReport, readVideo, type Report, type VideoPacket } from './rtp.ts'

/** A source that says nothing for so long has gone without a word. */
const silenceMs = 3_000
/** What was sent before the farewell and is not here so long after it is lost. */
const graceMs = 500

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    show: { type: 'boolean', default: false },
    ppm: { type: 'string' },
    port: { type: 'string', default: '5004' }
  }
})
const [group] = positionals
if (group === undefined) throw new Error('node receive.ts GROUP')
const port = Number(values.port)

const arrivals = new Arrivals()
/** The picture under way: its lines, and those that are there. */
let drawing = { timestamp: -1, pixels: new Uint8Array(height * bytesPerLine), lines: new Set<number>() }
let last: Uint8Array | null = null
let whole = 0
let report: Report | null = null

function seen({ number, timestamp, lines }: VideoPacket): void {
  // Before any report nobody knows when it was sent.
  const sentMs = report === null ? null : report.wallMs + ((timestamp - report.timestamp) * 1_000) / clockHz
  arrivals.add(number, sentMs === null ? null : wallMs() - sentMs)
  if (timestamp !== drawing.timestamp)
    drawing = { timestamp, pixels: new Uint8Array(height * bytesPerLine), lines: new Set() }
  for (const { line, pixels } of lines) {
    drawing.pixels.set(pixels, line * bytesPerLine)
    drawing.lines.add(line)
  }
  if (drawing.lines.size < height || last === drawing.pixels) return
  last = drawing.pixels
  whole += 1
}

const { promise: ended, resolve: end } = Promise.withResolvers<void>()
/** Runs out when nothing comes any more; there is none before the first packet. */
let patience: NodeJS.Timeout | null = null

/** Has waited enough once all is here, or nothing came for a while. */
function wait(): void {
  const leftMs = report?.isFarewell === true ? graceMs : silenceMs
  if (patience !== null) clearTimeout(patience)
  patience = setTimeout(end, report?.isFarewell === true && arrivals.came >= report.sent ? 0 : leftMs)
}

const [video, control] = [createSocket('udp4'), createSocket('udp4')]
video.on('message', (bytes) => {
  const packet = readVideo(bytes)
  if (packet === null) return
  seen(packet)
  wait()
})
control.on('message', (bytes) => {
  report = readReport(bytes) ?? report
  wait()
})
for (const [socket, at] of [
  [video, port],
  [control, port + 1]
] as const) {
  socket.bind(at)
  await once(socket, 'listening')
  socket.addMembership(group)
}
process.stdout.write(`listening to ${group}\n`)
await ended
video.close()
control.close()
const told = report as Report | null
const summary = arrivals.summary(told?.isFarewell === true ? told.sent : null)
process.stdout.write(`${lineOf(summary)}; ${whole} pictures whole\n`)
if (last !== null && values.show) process.stdout.write(asText(last))
if (last !== null && values.ppm !== undefined) writeFileSync(values.ppm, ppm(last))
