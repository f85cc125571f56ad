/** One file of what several hosts capture, and hosts that send what is no capture. */
import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import type { Service, WhereaboutsRow } from '#api/contract.ts'
import { ViolinError } from '#core/errors.ts'
import type { CaptureRequest, SessionRequest } from '#core/session.ts'
import { encodeSessionFrame, sessionFrame } from '#core/session.ts'
import {
  frameBlockBytes,
  interfaceBlock,
  putFrame,
  sectionBlock,
  statisticsBlock,
  way
} from '#frame/pcapng.ts'
import { type Counts, runCapture } from '../../src/cli/capture.ts'
import { carryOut } from '../../src/cli/experiment/actions.ts'
import { readPcapng } from '../frame/pcapng-reader.ts'

const stamp = { seconds: 1_700_000_000, nanoseconds: 123_456_789 }
const mac = { high: 0x0200, low: 1 }

function frame(index: number, first: number): Uint8Array {
  const block = new Uint8Array(frameBlockBytes(20))
  putFrame(block, 0, index, stamp, way.outbound, new Uint8Array(20).fill(first))
  return block
}

/** What a host says, until it is asked to end; then its statistics. */
interface Source {
  readonly said: readonly Uint8Array[]
  /** Null: it breaks off in place of an end. */
  readonly end: readonly Uint8Array[] | null
}

interface Outcome {
  readonly counts: Counts
  readonly file: Buffer
  readonly warned: readonly string[]
}

/** Where it runs: rows as a test gives them, until the reader returns. */
interface Rows extends AsyncIterableIterator<WhereaboutsRow> {
  give(hosts: readonly string[]): void
  /** Called with each warning. */
  warned: (text: string) => void
}

function rowsOf(first: readonly (readonly string[])[]): Rows {
  const waiting = [...first]
  let wake: () => void = () => undefined
  let isOver = false
  return {
    [Symbol.asyncIterator]() {
      return this
    },
    async next() {
      while (waiting.length === 0 && !isOver) await new Promise<void>((resolve) => (wake = resolve))
      const hosts = waiting.shift()
      if (hosts === undefined) return { done: true, value: undefined }
      return { done: false, value: { hosts: hosts.map((id) => ({ id, name: id })) } }
    },
    return() {
      isOver = true
      wake()
      return Promise.resolve({ done: true, value: undefined })
    },
    give(hosts) {
      waiting.push(hosts)
      wake()
    },
    warned: () => undefined
  }
}

/** A daemon of a VIOLIN with lan1, and what its hosts send of that. */
function serviceOf(sources: Readonly<Record<string, Source>>, rows: Rows): Service {
  const session = (request: SessionRequest | CaptureRequest): Promise<Duplex> => {
    const { said, end } = sources[(request as CaptureRequest).host] as Source
    const stream = new Duplex({
      read() {},
      write(chunk: Uint8Array, _encoding, done) {
        done()
        if (chunk[0] !== sessionFrame.stdinEnd || end === null) return
        for (const bytes of end) stream.push(encodeSessionFrame(sessionFrame.stdout, bytes))
        stream.push(encodeSessionFrame(sessionFrame.exit, new Uint8Array(4)))
        stream.push(null)
      }
    })
    for (const bytes of said) stream.push(encodeSessionFrame(sessionFrame.stdout, bytes))
    if (end === null) stream.push(null)
    return Promise.resolve(stream)
  }
  const show = { id: 'ab', name: 'net', lans: [{ name: 'lan1' }], entities: [] }
  return { session, whereabouts: () => rows, show: () => Promise.resolve(show) } as unknown as Service
}

/** Captures lan1 of hosts that run an entity each, and ends it when all have begun. */
async function captureOf(
  sources: Readonly<Record<string, Source>>,
  hosts?: readonly string[],
  begun?: (rows: Rows, warned: readonly string[], end: () => void) => void
): Promise<Outcome> {
  const rows = rowsOf([hosts ?? Object.keys(sources)])
  const written: Uint8Array[] = []
  const warned: string[] = []
  const end = new AbortController()
  const counts = await runCapture(
    serviceOf(sources, rows),
    { id: 'ab', name: 'net' },
    { lan: 'lan1' },
    {
      write: (bytes) => {
        written.push(Uint8Array.from(bytes))
        return Promise.resolve()
      },
      begun: () => (begun === undefined ? end.abort() : begun(rows, warned, () => end.abort())),
      warn: (text) => {
        warned.push(text)
        rows.warned(text)
      },
      end: end.signal
    }
  )
  return { counts, file: Buffer.concat(written), warned }
}

const good: Source = {
  said: [
    interfaceBlock('a:eth0', mac),
    Buffer.concat([interfaceBlock('a:eth1', mac), frame(1, 7), frame(0, 8)])
  ],
  end: [
    statisticsBlock(0, stamp, { received: 1, dropped: 0 }),
    statisticsBlock(1, stamp, { received: 3, dropped: 2 })
  ]
}

test('interfaces of several hosts are numbered through, and frames and statistics stay with theirs', async () => {
  const other: Source = {
    said: [interfaceBlock('b:eth0', mac), frame(0, 9)],
    end: [statisticsBlock(0, stamp, { received: 1, dropped: 0 })]
  }
  const { counts, file, warned } = await captureOf({ one: good, two: other })
  const { interfaces, frames } = readPcapng(file)
  assert.deepEqual(interfaces.map(({ name }) => name).toSorted(), ['a:eth0', 'a:eth1', 'b:eth0'])
  assert.deepEqual(frames.map((one) => `${one.interface} ${one.data[0]}`).toSorted(), [
    'a:eth0 8',
    'a:eth1 7',
    'b:eth0 9'
  ])
  assert.ok(frames.every(({ atNs }) => atNs === 1_700_000_000_123_456_789n))
  assert.deepEqual(
    Object.fromEntries(interfaces.map(({ name, received, dropped }) => [name, `${received} ${dropped}`])),
    { 'a:eth0': '1 0', 'a:eth1': '3 2', 'b:eth0': '1 0' }
  )
  assert.deepEqual(counts, { frames: 5, dropped: 2, broken: [] })
  assert.deepEqual(warned, [])
})

const hostile: Readonly<Record<string, readonly Uint8Array[]>> = {
  'no blocks': [new Uint8Array(40).fill(0xff)],
  'a block cut off': [interfaceBlock('x:eth0', mac).subarray(0, 20)],
  'a section of its own': [sectionBlock('another')],
  'a frame of no interface': [frame(0, 1)],
  'a frame of no interface behind one': [Buffer.concat([interfaceBlock('x:eth0', mac), frame(1, 1)])],
  'a frame of another’s interface': [interfaceBlock('x:eth0', mac), frame(1, 1)]
}

for (const [what, said] of Object.entries(hostile)) {
  test(`a host that sends ${what} is told of, and what the others send is whole`, async () => {
    const { file, warned, counts } = await captureOf({ one: good, two: { said, end: [] } })
    const { interfaces, frames } = readPcapng(file)
    assert.ok(frames.every((one) => one.interface.startsWith('a:')))
    assert.ok(
      interfaces.filter(({ name }) => name.startsWith('a:')).every(({ received }) => received !== null)
    )
    assert.deepEqual(counts, { frames: 4, dropped: 2, broken: warned })
    assert.deepEqual(warned.length, 1)
    assert.match(warned[0] as string, /^two: a host sent what is no capture: /)
    await assert.rejects(
      captureOf({ two: { said, end: [] } }),
      (error: unknown) => error instanceof ViolinError && error.code === 'refused'
    )
  })
}

test('a host that dies is told of, and the others go on to their end', async () => {
  const { file, warned, counts } = await captureOf({
    one: good,
    two: { said: [interfaceBlock('b:eth0', mac)], end: null }
  })
  assert.match(warned.join(), /^two: the session broke off/)
  assert.deepEqual(counts.broken, warned)
  const { interfaces } = readPcapng(file)
  assert.deepEqual(Object.fromEntries(interfaces.map(({ name, received }) => [name, received])), {
    'a:eth0': 1n,
    'a:eth1': 3n,
    'b:eth0': null
  })
})

test('what moves is captured where it comes to be, too, and all of it ends in good order', async () => {
  const other: Source = {
    said: [interfaceBlock('a:eth0', mac), frame(0, 9)],
    end: [statisticsBlock(0, stamp, { received: 1, dropped: 0 })]
  }
  const { file, warned, counts } = await captureOf({ one: good, two: other }, ['one'], (rows, _, end) => {
    rows.warned = () => {
      rows.give(['two'])
      end()
    }
    rows.give(['one', 'two'])
  })
  assert.deepEqual(warned, ['two: captured there, too, from here on'])
  assert.deepEqual(counts, { frames: 5, dropped: 2, broken: [] })
  const { interfaces } = readPcapng(file)
  assert.deepEqual(
    interfaces.map(({ name, received }) => [name, received]),
    [
      ['a:eth0', 1n],
      ['a:eth1', 3n],
      ['a:eth0', 1n]
    ]
  )
})

test('who is lost is told of, waited for, and counted as broken off', async () => {
  const lost: Source = { said: [interfaceBlock('b:eth0', mac)], end: null }
  const { warned, counts } = await captureOf({ one: good, two: lost }, ['two'], (rows, _, end) => {
    rows.warned = (text) => {
      if (text.startsWith('two: the session broke off')) rows.give(['one'])
      else end()
    }
  })
  assert.match(warned[0] ?? '', /^two: the session broke off/)
  assert.deepEqual(warned.slice(1), ['one: captured there, too, from here on'])
  assert.deepEqual(counts, { frames: 4, dropped: 2, broken: warned.slice(0, 1) })
})

test('nothing that runs is refused', async () => {
  await assert.rejects(captureOf({}, []), (error: unknown) => {
    return error instanceof ViolinError && error.code === 'not-running-here'
  })
})

for (const [what, sources] of [
  ['of which one host', { one: good, two: { said: [interfaceBlock('b:eth0', mac)], end: null } }],
  ['whose only host', { two: { said: [interfaceBlock('b:eth0', mac)], end: null } }]
] as const)
  test(`a step of an experiment ${what} broke off did not do what it should`, async () => {
    const over = new AbortController()
    const never = new AbortController().signal
    const action = { kind: 'capture', target: 'lan1', forMs: null } as const
    const step = { name: 'frames', when: { kind: 'at', atMs: 0 }, action, timeoutMs: 60_000 } as const
    const ended = await carryOut(step, {
      service: serviceOf(sources, rowsOf([Object.keys(sources)])),
      violin: 'net',
      env: {},
      line: (stream) => {
        if (stream === 'stderr') over.abort()
      },
      file: () => Promise.resolve(),
      open: () => Promise.resolve({ append: () => Promise.resolve(), close: () => Promise.resolve() }),
      begun: () => undefined,
      over: over.signal,
      signal: never
    })
    assert.equal(ended.good, false)
    assert.match(ended.reason, /the session broke off/)
  })
