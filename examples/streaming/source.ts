/**
 * Sends a test picture as video to a group, for so long:
 *
 *     node source.ts GROUP [--seconds 5] [--rate 10] [--port 5004]
 *
 * Reports of what was sent go to the next port, as RTP has it.
 */
import { randomBytes } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { setInterval } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { wallMs } from '../arrivals.ts'
import { testPicture } from './picture.ts'
import { clockHz, packetsPerPicture, reportPacket, videoPackets } from './rtp.ts'

/** Routers between the source and who is farthest, at most. */
const hops = 16

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '5' },
    rate: { type: 'string', default: '10' },
    port: { type: 'string', default: '5004' }
  }
})
const [group] = positionals
if (group === undefined) throw new Error('node source.ts GROUP')
const [rate, port] = [Number(values.rate), Number(values.port)]
const pictures = Math.round(Number(values.seconds) * rate)
const source = randomBytes(4).readUInt32BE()

const socket = createSocket('udp4')
socket.bind(0)
await once(socket, 'listening')
socket.setMulticastTTL(hops)
const began = wallMs()
let shown = 0
for await (const _ of setInterval(1_000 / rate)) {
  const at = wallMs()
  const timestamp = Math.round(((at - began) * clockHz) / 1_000)
  const sent = (shown + 1) * packetsPerPicture
  const isFarewell = shown === pictures - 1
  // Before the picture: who knows a timestamp's time can tell how late all packets of it are.
  const report = { wallMs: at, timestamp, sent: sent - packetsPerPicture, isFarewell: false }
  await send(socket, reportPacket(report, source), port + 1)
  for (const packet of videoPackets(testPicture(shown), shown * packetsPerPicture, timestamp, source))
    await send(socket, packet, port)
  shown += 1
  if (!isFarewell) continue
  await send(socket, reportPacket({ wallMs: at, timestamp, sent, isFarewell }, source), port + 1)
  break
}
socket.close()
process.stdout.write(`${shown} pictures in ${shown * packetsPerPicture} packets sent\n`)

async function send(socket: Socket, bytes: Uint8Array, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.send(bytes, port, group, (error) => (error === null ? resolve() : reject(error)))
  await promise
}
