/** What the examples' programs put into packets, and take from them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Arrivals } from '../../examples/arrivals.ts'
import { decode, encode, groupOf } from '../../examples/pubsub/topics.ts'
import { asText, bytesPerLine, ppm, testPicture } from '../../examples/streaming/picture.ts'
import {
  packetsPerPicture,
  readReport,
  readVideo,
  reportPacket,
  videoPackets
} from '../../examples/streaming/rtp.ts'

test('a picture comes out of its packets as it went in, in whatever order they come', () => {
  const picture = testPicture(49)
  // Above what RTP's own number holds.
  const packets = videoPackets(picture, 70_000, 900, 7)
  const drawn = new Uint8Array(picture.length)
  for (const bytes of packets.toReversed()) {
    const packet = readVideo(bytes)
    assert(packet !== null)
    assert.equal(packet.timestamp, 900)
    for (const { line, pixels } of packet.lines) drawn.set(pixels, line * bytesPerLine)
  }
  assert.deepEqual(drawn, picture)
  assert.deepEqual(
    packets.map((bytes) => readVideo(bytes)?.number),
    Array.from({ length: packetsPerPicture }, (_, place) => 70_000 + place)
  )
})

test('a test picture shows bars, a line that moves, and its number', () => {
  assert.equal(Buffer.from(ppm(testPicture(0)).subarray(0, 13)).toString(), 'P6\n96 64\n255\n')
  const rows = asText(testPicture(5)).trimEnd().split('\n')
  assert.equal(rows.length, 16)
  assert.match(rows[0] as string, /^@{6}%{6}\*{6}\+{6}={6}-{6}\.{6} {6}$/)
  // 5 is 101 in binary.
  assert.match(rows.at(-1) as string, /^\.+@@@\.\.\.@@@$/)
  assert.notDeepEqual(testPicture(5), testPicture(6))
})

test('a report says when, what and how much, to less than a microsecond', () => {
  const report = { wallMs: 1_764_460_800_123.25, timestamp: 90_000, sent: 800, isFarewell: false }
  for (const isFarewell of [false, true]) {
    const read = readReport(reportPacket({ ...report, isFarewell }, 7))
    assert(read !== null && Math.abs(read.wallMs - report.wallMs) < 0.001)
    assert.deepEqual({ ...read, wallMs: report.wallMs }, { ...report, isFarewell })
  }
})

test('bytes that are no packet of theirs are nothing to the programs', () => {
  const [packet] = videoPackets(testPicture(0), 0, 0, 7) as [Buffer]
  const cut = fc.integer({ min: 0, max: packet.length - 1 }).map((length) => packet.subarray(0, length))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 2_000 }), cut), (bytes) => {
      assert.equal(readVideo(bytes), null)
      assert.equal(decode(bytes), null)
    })
  )
  assert.equal(decode(Buffer.from('{"topic":"news"}')), null)
  assert.equal(readReport(packet), null)
})

test('a message comes out of its packet as it went in, and each topic has a group of an organisation', () => {
  const message = { topic: 'news', publisher: 'agency', number: 3, wallMs: 12.5, text: 'story', isLast: true }
  assert.deepEqual(decode(encode(message)), message)
  assert.throws(() => encode({ ...message, text: 'x'.repeat(1_400) }), RangeError)
  assert.notEqual(groupOf('news'), groupOf('weather'))
  fc.assert(fc.property(fc.string(), (topic) => assert.match(groupOf(topic), /^239\.19[2-5](\.\d{1,3}){2}$/)))
})

test('arrivals tell what is missing, what came again, and how late the rest was', () => {
  const arrivals = new Arrivals()
  for (const [number, delayMs] of [
    [0, null],
    [2, 30],
    [1, 10],
    [2, 99],
    [5, 20]
  ] as const)
    arrivals.add(number, delayMs)
  assert.deepEqual(arrivals.summary(8), { came: 4, lost: 4, twice: 1, medianMs: 20, p99Ms: 30 })
  assert.equal(arrivals.summary(null).lost, 2)
})
