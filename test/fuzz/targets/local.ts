/** What guests, slices, command lines and files say: sessions, control lines, agents, terminals, the API, YAML. */
import assert from 'node:assert/strict'
import { Duplex, PassThrough, Writable } from 'node:stream'
import type * as z from 'zod'
import { ViolinError } from '#core/errors.ts'
import { parseIpv4, parseSubnet } from '#core/ipv4.ts'
import { parseIpv6, parseSubnet6 } from '#core/ipv6.ts'
import { parseNetwork } from '#core/networks.ts'
import { SessionDecoder, encodeSessionFrame, maxSessionPayload, sessionFrame } from '#core/session.ts'
import { encodeRequest, methods, sessionRequest } from '#api/methods.ts'
import { maxLineBytes } from '#slice/contract.ts'
import { LineSplitter, decodeLine, encodeLine } from '#slice/lines.ts'
import { Agent } from '#slice/machines/uml/agent.ts'
import { TelnetDecoder, encodeSize, encodeTelnet } from '#slice/machines/uml/telnet.ts'
import { VhostFault } from '#slice/vhost/fault.ts'
import { headerBytes, parseHeader, parseMessage, request } from '#slice/vhost/protocol.ts'
import { parseIpv4 as parseUdpIp } from '#syscalls/udp.ts'
import { parseTopology } from '#topology/parse.ts'
import { parseAddress } from '#mesh/mesh.ts'
import { drain } from '../../../src/cli/session.ts'
import { parseDuration } from '../../../src/cli/duration.ts'
import { type Target, bytesOf, text } from '../target.ts'

const frame = (type: number, payload: string | Uint8Array): Uint8Array =>
  encodeSessionFrame(type, typeof payload === 'string' ? bytesOf(payload) : payload)
const ask = {
  violin: 'figure2',
  entity: 'vhost1',
  argv: ['hostname', '-f'],
  terminal: { rows: 24, columns: 80 }
}
const sessionSamples = [
  frame(sessionFrame.open, JSON.stringify(ask)),
  Buffer.concat([frame(sessionFrame.stdout, 'hi\n'), frame(sessionFrame.exit, new Uint8Array(4))]),
  Buffer.concat([
    frame(sessionFrame.stderr, new Uint8Array(300)),
    frame(sessionFrame.failed, JSON.stringify({ code: 'refused', message: 'no', remedy: 'none' }))
  ])
].map((bytes) => new Uint8Array(bytes))

/** Two places at which a stream may have been cut, out of its own bytes. */
function cuts(bytes: Uint8Array): [number, number] {
  const [low, high] = [(bytes[0] ?? 0) * 7, (bytes.at(-1) ?? 0) * 13]
  const at = [low % (bytes.length + 1), high % (bytes.length + 1)].toSorted((a, b) => a - b)
  return at as [number, number]
}

function pieces(bytes: Uint8Array): Uint8Array[] {
  const [first, second] = cuts(bytes)
  return [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)]
}

function sessionFrames(chunks: readonly Uint8Array[]): Uint8Array[] | null {
  const decoder = new SessionDecoder()
  try {
    return chunks.flatMap((chunk) =>
      decoder.push(chunk).map(({ type, payload }) => encodeSessionFrame(type, payload.slice()))
    )
  } catch (error: unknown) {
    if (error instanceof RangeError && error.message.startsWith('session frame of')) return null
    throw error
  }
}

const sessions: Target = {
  name: 'session frames',
  enters: ['core/session.ts SessionDecoder'],
  form: 'bytes',
  samples: sessionSamples,
  maxBytes: maxSessionPayload + 1024,
  weight: 20,
  decode(bytes) {
    const whole = sessionFrames([bytes])
    assert.deepEqual(sessionFrames(pieces(bytes)), whole)
    if (whole === null) return false
    const again = Buffer.concat(whole)
    assert.equal(Buffer.compare(again, bytes.subarray(0, again.length)), 0)
    return whole.length > 0
  }
}

const nowhere = (): Writable => new Writable({ write: (_chunk, _encoding, done) => done() })

const sessionEnds: Target = {
  name: 'end of a session',
  enters: ['cli/session.ts drain'],
  form: 'bytes',
  samples: sessionSamples.slice(1),
  maxBytes: 4096,
  weight: 1,
  async decode(bytes) {
    const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
    stream.push(Buffer.from(bytes))
    stream.push(null)
    try {
      const status = await drain(stream, { output: nowhere(), errors: nowhere() })
      assert.ok(Number.isInteger(status))
      return true
    } catch (error: unknown) {
      if (error instanceof ViolinError) return false
      throw error
    } finally {
      stream.destroy()
    }
  }
}

const line = {
  id: 1,
  method: 'configure',
  params: { violin: 'ab', bytes: { $base64: 'aGk=' }, list: [1, null] }
}

const lines: Target = {
  name: 'control line of a slice',
  enters: ['slice/lines.ts LineSplitter', 'slice/lines.ts decodeLine'],
  form: 'json',
  samples: [bytesOf(JSON.stringify(line)), bytesOf('{"id":2,"result":{}}\n{"event":{"kind":"trunk"}}')],
  maxBytes: 8192,
  weight: 4,
  decode(bytes) {
    const splitter = new LineSplitter()
    let taken = false
    for (const piece of pieces(bytes)) {
      splitter.push(Buffer.from(piece))
      for (let next = splitter.next(); next !== null; next = splitter.next()) {
        assert.ok(!next.includes('\n') && next.length <= maxLineBytes)
      }
    }
    try {
      const value = decodeLine(text(bytes))
      // JSON has neither infinity nor minus zero, so what was written once stays as it is.
      assert.equal(encodeLine(decodeLine(encodeLine(value))), encodeLine(value))
      taken = true
    } catch (error: unknown) {
      if (!(error instanceof SyntaxError)) throw error
    }
    return taken
  }
}

const agents: Target = {
  name: "guest's agent",
  enters: ['slice/machines/uml/agent.ts Agent'],
  form: 'text',
  samples: ['up\nready\n', 'failed no|such|file\n', 'started 3\nexit 3 0\nhosts 0\n', 'exit 1 256\n'].map(
    bytesOf
  ),
  maxBytes: 8192,
  weight: 3,
  decode(bytes) {
    let [told, lost] = [0, 0]
    const said = (reason: string): void => {
      assert.match(reason, /^[\x20-\x7e]{0,1000}$/)
      assert.equal(lost, 0, 'it is lost and still speaks')
      told++
    }
    const port = new PassThrough()
    new Agent(port, {
      up: () => said(''),
      ready: () => said(''),
      failed: said,
      started: (session) => said(session.slice(0, 0)),
      exit: (_session, status) => {
        said('')
        assert.ok(Number.isInteger(status) && status >= 0 && status <= 255)
      },
      lost: () => lost++
    })
    for (const piece of pieces(bytes)) port.emit('data', Buffer.from(piece))
    assert.ok(told <= bytes.length && lost <= 1)
    port.destroy()
    return told > 0
  }
}

const terminals: Target = {
  name: 'terminal by telnet',
  enters: ['slice/machines/uml/telnet.ts TelnetDecoder'],
  form: 'bytes',
  samples: [
    encodeTelnet(Uint8Array.from([104, 255, 13, 10])),
    encodeSize(24, 255),
    Uint8Array.from([255, 251, 1, 97])
  ],
  maxBytes: 1024,
  weight: 14,
  decode(bytes) {
    const [whole, parted] = [new TelnetDecoder(), new TelnetDecoder()]
    const once = whole.push(bytes)
    assert.equal(Buffer.compare(once, Buffer.concat(pieces(bytes).map((piece) => parted.push(piece)))), 0)
    assert.ok(once.length <= bytes.length)
    return once.length > 0
  }
}

function vhost(number: number, ...words: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(headerBytes + words.length * 4)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, number, true)
  view.setUint32(4, 1, true)
  view.setUint32(8, words.length * 4, true)
  for (const [i, word] of words.entries()) view.setUint32(headerBytes + i * 4, word, true)
  return bytes
}

const vhostUser: Target = {
  name: 'vhost-user message',
  enters: ['slice/vhost/protocol.ts parseHeader', 'slice/vhost/protocol.ts parseMessage'],
  form: 'bytes',
  samples: Object.values(request).map((number) => vhost(number, 1, 0, 4096, 0, 0x10_0000, 0, 0, 0, 0, 0)),
  maxBytes: 4400,
  weight: 20,
  decode(bytes) {
    if (bytes.length < headerBytes) return false
    try {
      const header = parseHeader(bytes.subarray(0, headerBytes))
      const payload = bytes.subarray(headerBytes, headerBytes + header.size)
      if (payload.length < header.size) return false
      const message = parseMessage(header, payload)
      for (const value of Object.values(message)) {
        if (typeof value === 'number') assert.ok(Number.isSafeInteger(value) && value >= 0)
      }
      return true
    } catch (error: unknown) {
      if (error instanceof VhostFault) return false
      throw error
    }
  }
}

const topology = {
  name: 'figure2',
  lans: [{ name: 'lan1', subnet: '10.0.0.0/24', vswitch: [], gateway: 'r' }],
  entities: [
    {
      name: 'vhost1',
      kind: 'host',
      driver: 'uml',
      memoryMiB: 64,
      nics: [{ name: 'eth0', lan: 'lan1', ip: '10.0.0.2' }],
      env: { A: 'b' },
      files: [{ path: '/etc/motd', mode: 420, data: new Uint8Array([104, 105]) }],
      run: 'true'
    }
  ]
}

const api: Target = {
  name: 'request of the API',
  enters: ['api/methods.ts methods'],
  form: 'json',
  samples: [
    {},
    { topology },
    { topology, wait: true, timeoutMs: 1000 },
    { expiresMs: 1, uses: 1, role: 'member' },
    { name: 'figure2', for: 'gone', timeoutMs: 1 },
    { violin: 'figure2', lan: 'lan1', to: 'purdue' },
    { token: 'violin1-' },
    ask
  ].map((sample) => bytesOf(encodeRequest(sample))),
  maxBytes: 16 * 1024,
  weight: 2,
  decode(bytes) {
    let value: unknown
    try {
      value = JSON.parse(text(bytes))
    } catch {
      return false
    }
    let taken = sessionRequest.safeParse(value).success
    for (const { request: schema } of Object.values(methods)) {
      const parsed = (schema as z.ZodType).safeParse(value)
      if (!parsed.success) continue
      assert.ok((schema as z.ZodType).safeParse(JSON.parse(encodeRequest(parsed.data))).success)
      taken = true
    }
    return taken
  }
}

const yaml = `name: figure2
lans:
  lan1: { subnet: 192.168.1.0/24, vswitch: [princeton] }
  lan2: { subnet: 10.0.0.0/30, gateway: r1 }
defaults: { memory: 64M, driver: netns }
hosts:
  vhost1: { lan: lan1, on: princeton, files: { /etc/motd: motd.txt }, env: { A: b } }
  h: { lan: lan2, count: 3, ip: 10.0.0.2 }
  vhost4: { nics: [{ lan: lan2, name: eth7 }], run: setup.sh }
routers:
  r1: { nics: [{ lan: lan1, ip: 192.168.1.1 }, { lan: lan2 }] }
`

const topologies: Target = {
  name: 'topology file',
  enters: ['topology/parse.ts parseTopology'],
  form: 'text',
  samples: [
    yaml,
    'name: a\nlans: { l: { subnet: 10.0.0.0/24 } }\nhosts: { a: { lan: l }, b: { lan: l } }\n'
  ].map(bytesOf),
  maxBytes: 4096,
  weight: 0.5,
  decode(bytes) {
    try {
      parseTopology(text(bytes), {
        file: 't.yaml',
        readFile: () => ({ data: new Uint8Array(3), mode: 0o644 })
      })
      return true
    } catch (error: unknown) {
      if (!(error instanceof ViolinError) || error.code !== 'topology-invalid') throw error
      assert.doesNotMatch(error.message, /\n/)
      return false
    }
  }
}

const words: Target = {
  name: 'addresses and durations',
  enters: [
    'core/ipv4.ts parseIpv4',
    'core/ipv4.ts parseSubnet',
    'core/ipv6.ts parseIpv6',
    'core/ipv6.ts parseSubnet6',
    'core/networks.ts parseNetwork',
    'syscalls/udp.ts parseIpv4',
    'cli/duration.ts parseDuration'
  ],
  form: 'text',
  samples: ['192.168.1.1', '10.0.0.0/8', 'fd00:1::7', 'fd00:1::/64', '24h', '1.5m', '500ms'].map(bytesOf),
  maxBytes: 256,
  weight: 3,
  decode(bytes) {
    const line = text(bytes)
    const ip = parseIpv4(line)
    assert.ok(ip === null || (Number.isInteger(ip) && ip >= 0 && ip < 2 ** 32))
    assert.equal(parseUdpIp(line) === null, ip === null)
    const subnet = parseSubnet(line)
    const ipv6 = parseIpv6(line)
    assert.ok(ipv6 === null || (ipv6 >= 0n && ipv6 < 1n << 128n))
    const network = parseNetwork(line)
    assert.ok(network === null || (network.first >= 0n && network.first <= network.last))
    const isOne = ip !== null || ipv6 !== null || subnet !== null || parseSubnet6(line) !== null
    assert.ok(network !== null || !isOne)
    try {
      assert.ok(parseDuration(line) >= 0)
      return true
    } catch (error: unknown) {
      if (!(error instanceof Error) || error instanceof assert.AssertionError) throw error
      return network !== null
    }
  }
}

const multiaddrs: Target = {
  name: 'address of a host',
  enters: ['mesh/mesh.ts parseAddress'],
  form: 'text',
  samples: ['/ip4/192.0.2.1/tcp/4780', '/ip6/::1/tcp/1', '/dns4/a.example/tcp/443'].map(bytesOf),
  maxBytes: 512,
  weight: 2,
  decode(bytes) {
    try {
      parseAddress(text(bytes))
      return true
    } catch (error: unknown) {
      if (error instanceof ViolinError) return false
      throw error
    }
  }
}

export const local: readonly Target[] = [
  sessions,
  sessionEnds,
  lines,
  agents,
  terminals,
  vhostUser,
  api,
  topologies,
  words,
  multiaddrs
]
