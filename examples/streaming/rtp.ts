/**
 * Video packets as RTP carries them (RFC 3550), their payload uncompressed lines of RGB (RFC 4175), and the two
 * control packets that a sender sends beside them: its report and its farewell.
 */
import { bytesPerLine, height } from './picture.ts'

/** Ticks of a timestamp in a second: what video has. */
export const clockHz = 90_000
/** With their headers they fit an Ethernet frame. */
const linesPerPacket = 4
export const packetsPerPicture: number = height / linesPerPacket

const version = 2 << 6
const videoType = 96
const reportType = 200
const byeType = 203
const rtpBytes = 12
/** Of the payload's own header: the higher half of the number, then length, line and offset of each line. */
const numberBytes = 2
const lineBytes = 6
/** A line's header says by this bit that another follows. */
const more = 0x8000
/** Seconds from 1900, when NTP's time begins, to 1970. */
const ntpOffset = 2_208_988_800

export interface VideoPacket {
  /** Counted from 0, without end. */
  readonly number: number
  readonly timestamp: number
  readonly lines: readonly { readonly line: number; readonly pixels: Uint8Array }[]
}

/** What a sender says of itself: when it sent what has that timestamp, and how many packets by now. */
export interface Report {
  readonly wallMs: number
  readonly timestamp: number
  readonly sent: number
  readonly isFarewell: boolean
}

/** All packets of a picture. `first`: the number of its first packet. */
export function videoPackets(
  picture: Uint8Array,
  first: number,
  timestamp: number,
  source: number
): Buffer[] {
  return Array.from({ length: packetsPerPicture }, (_, place) => {
    const number = first + place
    const last = place === packetsPerPicture - 1
    const packet = Buffer.alloc(rtpBytes + numberBytes + linesPerPacket * (lineBytes + bytesPerLine))
    packet[0] = version
    packet[1] = (last ? 0x80 : 0) | videoType
    packet.writeUInt16BE(number & 0xffff, 2)
    packet.writeUInt32BE(timestamp >>> 0, 4)
    packet.writeUInt32BE(source, 8)
    packet.writeUInt16BE((number >>> 16) & 0xffff, rtpBytes)
    for (let i = 0; i < linesPerPacket; i++) {
      const at = rtpBytes + numberBytes + i * lineBytes
      packet.writeUInt16BE(bytesPerLine, at)
      packet.writeUInt16BE(place * linesPerPacket + i, at + 2)
      packet.writeUInt16BE(i === linesPerPacket - 1 ? 0 : more, at + 4)
    }
    const from = place * linesPerPacket * bytesPerLine
    packet.set(
      picture.subarray(from, from + linesPerPacket * bytesPerLine),
      rtpBytes + numberBytes + linesPerPacket * lineBytes
    )
    return packet
  })
}

/** Null: these bytes are no such packet. */
export function readVideo(bytes: Uint8Array): VideoPacket | null {
  const packet = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (packet.length < rtpBytes + numberBytes || packet[0] !== version) return null
  if (((packet[1] as number) & 0x7f) !== videoType) return null
  const heads: { length: number; line: number }[] = []
  let at = rtpBytes + numberBytes
  for (let follows = true; follows; at += lineBytes) {
    if (at + lineBytes > packet.length) return null
    const head = { length: packet.readUInt16BE(at), line: packet.readUInt16BE(at + 2) }
    const offset = packet.readUInt16BE(at + 4)
    if (head.length !== bytesPerLine || head.line >= height || (offset & ~more) !== 0) return null
    heads.push(head)
    follows = (offset & more) !== 0
  }
  if (at + heads.length * bytesPerLine !== packet.length) return null
  return {
    number: packet.readUInt16BE(rtpBytes) * 0x10000 + packet.readUInt16BE(2),
    timestamp: packet.readUInt32BE(4),
    lines: heads.map(({ line, length }, i) => ({
      line,
      pixels: packet.subarray(at + i * length, at + (i + 1) * length)
    }))
  }
}

/** A report, and a farewell behind it where that is the last. */
export function reportPacket({ wallMs, timestamp, sent, isFarewell }: Report, source: number): Buffer {
  const report = Buffer.alloc(28)
  control(report, reportType, 0, source)
  const seconds = Math.floor(wallMs / 1_000)
  report.writeUInt32BE((seconds + ntpOffset) >>> 0, 8)
  report.writeUInt32BE(Math.floor(((wallMs - seconds * 1_000) / 1_000) * 2 ** 32) >>> 0, 12)
  report.writeUInt32BE(timestamp >>> 0, 16)
  report.writeUInt32BE(sent, 20)
  report.writeUInt32BE((sent * linesPerPacket * bytesPerLine) >>> 0, 24)
  if (!isFarewell) return report
  const bye = Buffer.alloc(8)
  control(bye, byeType, 1, source)
  return Buffer.concat([report, bye])
}

/** Null: these bytes are none. */
export function readReport(bytes: Uint8Array): Report | null {
  const packet = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (packet.length < 28 || packet[0] !== version || packet[1] !== reportType) return null
  const seconds = packet.readUInt32BE(8) - ntpOffset
  return {
    wallMs: seconds * 1_000 + (packet.readUInt32BE(12) / 2 ** 32) * 1_000,
    timestamp: packet.readUInt32BE(16),
    sent: packet.readUInt32BE(20),
    isFarewell: packet.length >= 36 && packet[29] === byeType
  }
}

function control(packet: Buffer, type: number, count: number, source: number): void {
  packet[0] = version | count
  packet[1] = type
  packet.writeUInt16BE(packet.length / 4 - 1, 2)
  packet.writeUInt32BE(source, 4)
}
