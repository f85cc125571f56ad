import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { createConnection, createServer } from 'node:net'
import { globalAgent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Duplex } from 'node:stream'
import { afterEach, beforeEach, describe, it } from 'node:test'
import fc from 'fast-check'
import { errorCodes, type ErrorCode, ViolinError } from '#core/errors.ts'
import {
  encodeSessionFrame,
  maxSessionPayload,
  SessionDecoder,
  sessionFrame,
  type SessionRequest
} from '#core/session.ts'
import type { Topology } from '#core/spec.ts'
import { connectApi } from '#api/client.ts'
import type { Service } from '#api/contract.ts'
import { type ApiServer, serveApi } from '#api/server.ts'
import { createMemoryService, type MemoryService } from './memory-service.ts'

const topology: Topology = {
  name: 'net',
  lans: [{ name: 'lan1', subnet: '10.0.0.0/24', vswitch: ['purdue'], gateway: 'r' }],
  entities: [
    {
      name: 'a',
      kind: 'host',
      driver: 'uml',
      image: 'router',
      memoryMiB: 64,
      on: 'princeton',
      nics: [{ name: 'eth0', lan: 'lan1', ip: '10.0.0.9' }],
      env: { A: 'ünïcode\t' },
      files: [{ path: '/etc/blob', mode: 0o600, data: Uint8Array.from({ length: 256 }, (_, n) => n) }],
      run: '#!/bin/sh\n'
    },
    { name: 'r', kind: 'router', driver: 'netns', image: 'tiny', memoryMiB: 1, nics: [], env: {}, files: [] }
  ]
}

let folder: string
let path: string
let memory: MemoryService
let server: ApiServer
let client: Service

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'violin-api-'))
  path = join(folder, 'api.sock')
  memory = createMemoryService()
  server = await serveApi(path, memory)
  client = connectApi(path)
})

afterEach(async () => {
  await server.close()
  await rm(folder, { recursive: true, force: true })
})

async function all<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const row of rows) list.push(row)
  return list
}

const refusedWith =
  (code: ErrorCode) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof ViolinError, String(error))
    assert.equal(error.code, code)
    assert.ok(error.remedy.length > 0)
    return true
  }

describe('over its socket the API', () => {
  it('answers every question as the service itself does', async () => {
    const direct = createMemoryService()
    await all(direct.apply({ topology, wait: true, timeoutMs: 1 }))
    await all(client.apply({ topology, wait: true, timeoutMs: 1 }))
    const invite = { expiresMs: 1000, uses: 2, role: 'admin', for: 'x' } as const
    for (const service of [client, direct]) await service.invite(invite)
    assert.deepEqual(await client.about({}), await direct.about({}))
    assert.deepEqual(await client.hosts({}), await direct.hosts({}))
    assert.deepEqual(await client.invite(invite), await direct.invite(invite))
    assert.deepEqual(await client.cancelInvite({ token: 'token-1' }), {})
    assert.deepEqual(await client.revoke({ host: 'purdue' }), {
      id: '12D3KooWpurdue',
      name: 'purdue',
      isKnown: true,
      others: []
    })
    assert.deepEqual(await client.plan({ topology }), await direct.plan({ topology }))
    assert.deepEqual(await client.list({}), await direct.list({}))
    assert.deepEqual(await client.show({ name: 'net' }), await direct.show({ name: 'net' }))
    assert.deepEqual(await client.wait({ name: 'net', for: 'running', timeoutMs: 1 }), { state: 'running' })
    assert.deepEqual(await client.migrate({ violin: 'net', lan: 'lan1' }), { active: 'purdue', term: 3 })
    assert.deepEqual(await client.migrate({ violin: 'net', lan: 'lan1', to: 'x' }), { active: 'x', term: 3 })
    assert.deepEqual(
      await all(client.delete({ name: 'net', timeoutMs: 1 })),
      await all(direct.delete({ name: 'net', timeoutMs: 1 }))
    )
    assert.deepEqual(await all(client.leave({ stop: true })), await all(direct.leave({ stop: true })))
    assert.deepEqual(new Set(memory.asked.map(({ method }) => method)).size, 13)
  })

  it('hands a topology over with every byte of its files', async () => {
    await client.plan({ topology })
    assert.deepEqual(memory.asked, [{ method: 'plan', request: { topology } }])
  })

  it('hands refusals over with code, message and remedy', async () => {
    await assert.rejects(client.show({ name: 'nope' }), {
      name: 'ViolinError',
      code: 'unknown-violin',
      message: 'this host knows no VIOLIN nope',
      remedy: 'make one: violin apply FILE'
    })
  })

  it('knows every code of the catalogue on the other side', async () => {
    const [code, ...others] = Object.keys(errorCodes) as ErrorCode[]
    for (const each of [code as ErrorCode, ...others]) {
      await using failing = await serve({ about: () => Promise.reject(new ViolinError(each, 'what', 'do')) })
      await assert.rejects(failing.client.about({}), refusedWith(each))
    }
  })

  it('calls what is no refusal a defect, without its stack', async () => {
    await using failing = await serve({ about: () => Promise.reject(new TypeError('oops')) })
    await assert.rejects(failing.client.about({}), refusedWith('internal'))
  })

  it('tells the rows of a stream that came before its refusal', async () => {
    const entity = { ...topology.entities[1], name: 'unbootable' } as Topology['entities'][0]
    const rows: string[] = []
    await assert.rejects(async () => {
      for await (const row of client.apply({
        topology: { ...topology, entities: [entity] },
        wait: true,
        timeoutMs: 1
      }))
        rows.push(row.kind)
    }, refusedWith('boot-failed'))
    assert.deepEqual(rows, ['plan', 'warning'])
  })

  it('follows events until the reader stops, and then frees what followed them', async () => {
    memory.note('one')
    const seen: string[] = []
    for await (const { text } of client.events({ follow: true })) {
      seen.push(text)
      if (seen.length === 1) memory.note('two')
      if (seen.length === 2) break
    }
    assert.deepEqual(seen, ['one', 'two'])
    await memory.unfollowed()
    assert.equal(memory.followers, 0)
  })
})

describe('a session over the socket', () => {
  const request = (...argv: string[]): SessionRequest => ({ violin: 'net', entity: 'a', argv })

  beforeEach(() => all(client.apply({ topology, wait: true, timeoutMs: 1 })))

  it('carries output, errors and the status apart, and the environment of the entity', async () => {
    const ended = await collect(await client.session(request('sh', '-c', 'echo "$A"; echo err >&2; exit 7')))
    assert.deepEqual(ended, { stdout: 'ünïcode\t\n', stderr: 'err\n', last: sessionFrame.exit, status: 7 })
  })

  it('carries input to its end, whatever the bytes, with both sides waiting for each other', async () => {
    const stream = await client.session(request('sha256sum'))
    const block = Buffer.alloc(maxSessionPayload, 'violin')
    for (let n = 0; n < 64; n++) {
      if (!stream.write(encodeSessionFrame(sessionFrame.stdin, block))) await once(stream, 'drain')
    }
    stream.write(encodeSessionFrame(sessionFrame.stdinEnd, new Uint8Array(0)))
    const { createHash } = await import('node:crypto')
    const hash = createHash('sha256')
    for (let n = 0; n < 64; n++) hash.update(block)
    assert.equal((await collect(stream)).stdout, `${hash.digest('hex')}  -\n`)
  })

  it('ends its program when the caller goes', async () => {
    const stream = await client.session(request('cat'))
    stream.write(encodeSessionFrame(sessionFrame.stdin, Buffer.from('here\n')))
    await once(stream, 'data')
    assert.equal(memory.programs, 1)
    stream.destroy()
    const deadline = AbortSignal.timeout(20_000)
    while (memory.programs > 0) {
      deadline.throwIfAborted()
      await new Promise((resolve) => setImmediate(resolve))
    }
  })

  it('that cannot be had ends with the refusal', async () => {
    const ended = await collect(await client.session({ violin: 'net', entity: 'nobody', argv: [] }))
    assert.equal(ended.last, sessionFrame.failed)
    assert.match(ended.failure ?? '', /"unknown-entity"/)
  })

  it('that begins with no request is refused', async () => {
    const socket = createConnection(path)
    socket.write('GET /session HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: violin-session\r\n\r\n')
    socket.write(encodeSessionFrame(sessionFrame.stdin, Buffer.from('x')))
    const bytes = Buffer.concat(await all(socket as AsyncIterable<Buffer>))
    assert.match(bytes.toString('utf8'), /^HTTP\/1\.1 101 [\s\S]*"usage"/)
  })

  it('of another upgrade is refused', async () => {
    const socket = createConnection(path)
    socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    assert.match(
      Buffer.concat(await all(socket as AsyncIterable<Buffer>)).toString('utf8'),
      /^HTTP\/1\.1 400 /
    )
  })

  it('is ended when the server closes', async () => {
    const stream = await client.session(request('cat'))
    const closed = new Promise((resolve) => stream.on('error', () => {}).once('close', resolve))
    stream.resume()
    await server.close()
    await closed
  })
})

describe('the socket', () => {
  it('is let go after each call: the next one may be answered by a daemon that was started since', async () => {
    await client.about({})
    assert.deepEqual(Object.keys(globalAgent.freeSockets), [])
    assert.deepEqual(Object.keys(globalAgent.sockets), [])
  })

  it('belongs to its user alone', async () => {
    assert.equal((await stat(path)).mode & 0o777, 0o600)
  })

  it('is refused to a second daemon', async () => {
    await assert.rejects(serveApi(path, memory), refusedWith('already-running'))
    assert.equal((await client.about({})).name, 'princeton')
  })

  it('that a dead daemon left behind is replaced', async () => {
    const left = join(folder, 'left.sock')
    const { execFileSync } = await import('node:child_process')
    const script = `require('net').createServer().listen(${JSON.stringify(left)}, () => process.kill(process.pid, 'SIGKILL'))`
    assert.throws(() => execFileSync(process.execPath, ['-e', script], { stdio: 'ignore' }))
    assert.ok((await stat(left)).isSocket())
    const second = await serveApi(left, memory)
    assert.equal((await connectApi(left).about({})).name, 'princeton')
    await second.close()
  })

  it('is gone after close, with the streams that were open', async () => {
    memory.note('one')
    await assert.rejects(async () => {
      for await (const _ of client.events({ follow: true })) void server.close()
    }, refusedWith('not-running'))
    await server.close()
    assert.deepEqual(await readdir(folder), [])
    await memory.unfollowed()
  })

  it('that is not there means that no daemon runs, and how to start one', async () => {
    await assert.rejects(connectApi(join(folder, 'none.sock')).about({}), {
      code: 'not-running',
      remedy: 'start it: violin daemon'
    })
    await assert.rejects(
      connectApi(join(folder, 'none.sock')).session({ violin: 'x', entity: 'y', argv: [] }),
      refusedWith('not-running')
    )
  })

  it('that ends in the middle of an answer is told as such', async () => {
    const broken = join(folder, 'broken.sock')
    const head = 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"row":1}\n{"o'
    const liar = createServer((socket) => {
      socket.once('data', () => socket.end(head))
      socket.on('error', () => {})
    })
    liar.listen(broken)
    await once(liar, 'listening')
    try {
      await assert.rejects(connectApi(broken).about({}), refusedWith('not-running'))
      await assert.rejects(all(connectApi(broken).events({ follow: true })), refusedWith('not-running'))
    } finally {
      liar.close()
    }
  })

  it(
    'of another user is told as such',
    { skip: process.getuid?.() === 0 && 'root opens every socket' },
    async () => {
      await chmod(path, 0o000)
      await assert.rejects(client.about({}), refusedWith('needs-root'))
    }
  )

  it('takes no request that is not of the contract', async () => {
    const wrong: [keyof Service, unknown][] = [
      ['show', {}],
      ['show', { name: 7 }],
      ['show', { name: 'x'.repeat(300) }],
      ['about', { more: 1 }],
      ['invite', { expiresMs: '24h', uses: 1, role: 'member' }],
      ['invite', { expiresMs: 1, uses: 1, role: 'king' }],
      ['wait', { name: 'x', for: 'ever', timeoutMs: 1 }],
      ['plan', { topology: { ...topology, lans: null } }],
      ['plan', { topology: { ...topology, entities: [{ ...topology.entities[1], memoryMiB: 0 }] } }]
    ]
    for (const [method, request] of wrong) {
      await assert.rejects(
        (client[method] as (request: unknown) => Promise<unknown>)(request),
        refusedWith('usage'),
        `${method} took ${JSON.stringify(request)}`
      )
    }
    assert.deepEqual(memory.asked, [])
  })

  it('takes no request that is larger than a topology can be', async () => {
    const data = new Uint8Array(1024 * 1024)
    const [entity] = topology.entities
    const large = { ...topology, entities: [{ ...entity, files: [{ path: '/blob', mode: 0o644, data }] }] }
    await assert.rejects(client.plan({ topology: large as Topology }), refusedWith('too-large'))
    const socket = createConnection(path)
    socket.write(
      'POST /plan HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9000000\r\n\r\n'
    )
    const [answer] = (await once(socket, 'data')) as [Buffer]
    assert.match(answer.toString('utf8'), /^HTTP\/1\.1 413 [\s\S]*"code":"too-large"/)
    socket.destroy()
  })

  it('answers what it does not know as refused, in one form', async () => {
    for (const [line, body] of [
      ['POST /shutdown HTTP/1.1', '{}'],
      ['GET /about HTTP/1.1', ''],
      ['POST /about HTTP/1.1', '{"a":'],
      ['POST /__proto__ HTTP/1.1', '{}']
    ] as const) {
      const socket = createConnection(path)
      socket.write(
        `${line}\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
      )
      const [answer] = (await once(socket, 'data')) as [Buffer]
      assert.match(
        answer.toString('utf8'),
        /^HTTP\/1\.1 4\d\d [\s\S]*\{"error":\{"code":"usage","message":/,
        line
      )
      socket.destroy()
    }
  })

  it('goes on answering whatever bytes it is sent', async () => {
    const begin = fc.constantFrom(
      '',
      'POST /about HTTP/1.1\r\n',
      'GET /session HTTP/1.1\r\nUpgrade: violin-session\r\nConnection: Upgrade\r\n\r\n'
    )
    await fc.assert(
      fc.asyncProperty(begin, fc.uint8Array({ maxLength: 300 }), async (head, noise) => {
        const socket = createConnection(path)
        socket.on('error', () => {})
        socket.write(head)
        socket.end(noise)
        socket.resume()
        await once(socket, 'close')
        assert.equal((await client.about({})).name, 'princeton')
      }),
      { numRuns: 60 }
    )
  })

  it('is not made over a file that is no socket', async () => {
    const file = join(folder, 'file')
    await writeFile(file, 'precious')
    await assert.rejects(serveApi(file, memory), refusedWith('refused'))
    assert.equal((await stat(file)).size, 8)
  })
})

/** A server whose service differs in some methods. */
async function serve(changed: Partial<Service>): Promise<AsyncDisposable & { client: Service }> {
  const other = join(folder, 'other.sock')
  const one = await serveApi(other, { ...memory, ...changed })
  return { client: connectApi(other), [Symbol.asyncDispose]: () => one.close() }
}

interface Ended {
  readonly stdout: string
  readonly stderr: string
  readonly last: number
  readonly status?: number
  readonly failure?: string
}

/** Reads a session to its end. */
async function collect(stream: Duplex): Promise<Ended> {
  const decoder = new SessionDecoder()
  const text = { [sessionFrame.stdout]: '', [sessionFrame.stderr]: '' }
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    for (const { type, payload } of decoder.push(chunk)) {
      const bytes = Buffer.from(payload)
      if (type === sessionFrame.stdout || type === sessionFrame.stderr) text[type] += bytes.toString('utf8')
      else {
        const ends = { stdout: text[sessionFrame.stdout], stderr: text[sessionFrame.stderr], last: type }
        if (type === sessionFrame.exit) return { ...ends, status: bytes.readInt32BE(0) }
        return { ...ends, failure: bytes.toString('utf8') }
      }
    }
  }
  throw new Error('the session broke off')
}
