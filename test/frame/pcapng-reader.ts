/** Reads pcapng as its specification says, strictly: whatever is not as it should be throws. */
import assert from 'node:assert/strict'

export interface ReadInterface {
  readonly name: string
  readonly mac: string
  received: bigint | null
  dropped: bigint | null
}

export interface ReadFrame {
  readonly interface: string
  /** Nanoseconds since 1970. */
  readonly atNs: bigint
  readonly direction: 'inbound' | 'outbound' | null
  readonly data: Buffer
}

export interface ReadCapture {
  readonly application: string
  readonly interfaces: readonly ReadInterface[]
  readonly frames: readonly ReadFrame[]
}

/** Reads a file of one section. */
export function readPcapng(file: Uint8Array): ReadCapture {
  const bytes = Buffer.from(file)
  let application: string | null = null
  const interfaces: ReadInterface[] = []
  const frames: ReadFrame[] = []
  for (let at = 0; at < bytes.length;) {
    const type = bytes.readUInt32LE(at)
    const length = bytes.readUInt32LE(at + 4)
    assert.ok(
      length >= 12 && length % 4 === 0 && at + length <= bytes.length,
      `block of ${length} bytes at ${at}`
    )
    assert.equal(bytes.readUInt32LE(at + length - 4), length)
    const body = bytes.subarray(at + 8, at + length - 4)
    if (application === null) {
      assert.equal(type, 0x0a0d0d0a, 'a section begins')
      assert.deepEqual([body.readUInt32LE(0), body.readUInt16LE(4), body.readUInt16LE(6)], [0x1a2b3c4d, 1, 0])
      assert.equal(body.readBigInt64LE(8), -1n)
      application = optionsOf(body.subarray(16)).get(4)?.toString('utf8') ?? ''
    } else if (type === 1) {
      assert.deepEqual([body.readUInt16LE(0), body.readUInt16LE(2)], [1, 0])
      const options = optionsOf(body.subarray(8))
      assert.deepEqual(options.get(9), Buffer.of(9), 'nanoseconds')
      const name = options.get(2)?.toString('utf8') ?? assert.fail('an interface without a name')
      const mac =
        options
          .get(6)
          ?.toString('hex')
          .replaceAll(/..(?=.)/g, '$&:') ?? ''
      interfaces.push({ name, mac, received: null, dropped: null })
    } else if (type === 6) {
      const captured = body.readUInt32LE(12)
      assert.equal(body.readUInt32LE(16), captured, 'frames are whole')
      const padded = Math.ceil(captured / 4) * 4
      const flags =
        optionsOf(body.subarray(20 + padded))
          .get(2)
          ?.readUInt32LE(0) ?? 0
      const of = interfaces[body.readUInt32LE(0)] ?? assert.fail('a frame of no interface')
      frames.push({
        interface: of.name,
        atNs: stampOf(body, 4),
        direction: ([null, 'inbound', 'outbound'] as const)[flags & 3] ?? null,
        data: body.subarray(20, 20 + captured)
      })
    } else if (type === 5) {
      const of = interfaces[body.readUInt32LE(0)] ?? assert.fail('statistics of no interface')
      const options = optionsOf(body.subarray(12))
      of.received = options.get(4)?.readBigUInt64LE(0) ?? null
      of.dropped = options.get(5)?.readBigUInt64LE(0) ?? null
    } else assert.fail(`a block of type ${type}`)
    at += length
  }
  return { application: application ?? assert.fail('no section'), interfaces, frames }
}

function stampOf(body: Buffer, at: number): bigint {
  return (BigInt(body.readUInt32LE(at)) << 32n) | BigInt(body.readUInt32LE(at + 4))
}

/** Options end with one of code 0. */
function optionsOf(bytes: Buffer): Map<number, Buffer> {
  const options = new Map<number, Buffer>()
  for (let at = 0; ;) {
    const code = bytes.readUInt16LE(at)
    const length = bytes.readUInt16LE(at + 2)
    if (code === 0) {
      assert.deepEqual([length, at + 4], [0, bytes.length])
      return options
    }
    options.set(code, bytes.subarray(at + 4, at + 4 + length))
    at += 4 + Math.ceil(length / 4) * 4
  }
}
