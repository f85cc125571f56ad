import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { test } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import { bytes, join, meshId, node, soon, text } from './nodes.ts'
import type { AddressInfo } from 'node:net'

const code = (expected: string) => (error: unknown) => error instanceof ViolinError && error.code === expected

test('two members that meet are proven on both sides and answer each other', async () => {
  await using a = await node('a')
  await using b = await node('b')
  b.mesh.serve('echo', { maxRequestBytes: 100 }, async (body, from) => bytes(`${from} said ${text(body)}`))
  await join(a, b)
  assert.deepEqual(a.mesh.members(), [b.id])
  assert.deepEqual(b.mesh.members(), [a.id])
  const answer = await a.mesh.request(b.id, 'echo', bytes('hello'), soon())
  assert.equal(text(answer), `${a.id} said hello`)
  assert.deepEqual(await a.mesh.addressesOf(b.id), b.mesh.addresses())
})

test('a request can be asked at once after dialling, before the other side has noted the proof', async () => {
  await using a = await node('a')
  await using b = await node('b')
  b.mesh.serve('echo', { maxRequestBytes: 100 }, async (body) => body)
  await a.mesh.dial(b.mesh.addresses(), soon())
  assert.equal(text(await a.mesh.request(b.id, 'echo', bytes('x'), soon())), 'x')
})

test('a refusal arrives with its code, message and remedy; a defect arrives as internal', async () => {
  await using a = await node('a')
  await using b = await node('b')
  b.mesh.serve('refuse', { maxRequestBytes: 10 }, () =>
    Promise.reject(new ViolinError('name-taken', 'figure2 is taken', 'choose another name'))
  )
  b.mesh.serve('break', { maxRequestBytes: 10 }, () => Promise.reject(new TypeError('x is not a function')))
  await join(a, b)
  await assert.rejects(a.mesh.request(b.id, 'refuse', bytes(''), soon()), (error: unknown) => {
    assert.ok(error instanceof ViolinError)
    assert.deepEqual(error.toData(), {
      code: 'name-taken',
      message: 'figure2 is taken',
      remedy: 'choose another name'
    })
    return true
  })
  await assert.rejects(a.mesh.request(b.id, 'break', bytes(''), soon()), code('internal'))
})

test('a port in use is named in the refusal', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  try {
    await assert.rejects(node('a', { listen: [`/ip4/127.0.0.1/tcp/${port}`] }), (error: unknown) => {
      assert.ok(error instanceof ViolinError)
      assert.equal(error.code, 'port-taken')
      assert.match(error.message, new RegExp(`127.0.0.1:${port}`))
      return true
    })
  } finally {
    server.close()
  }
})

test('an address that is not of this machine is refused as wrong usage', () =>
  assert.rejects(node('a', { listen: ['/ip4/192.0.2.1/tcp/0'] }), code('usage')))

test('dialling nobody is refused with nobody-reachable, and what is no address with usage', async () => {
  await using a = await node('a')
  const b = await node('b')
  const gone = b.mesh.addresses()
  await b.mesh.close()
  await assert.rejects(a.mesh.dial(gone, soon()), code('nobody-reachable'))
  await assert.rejects(a.mesh.dial(['tcp://x'], soon()), code('usage'))
  await assert.rejects(a.mesh.request(b.id, 'echo', bytes(''), soon()), code('nobody-reachable'))
})

test('a host of another mesh is refused and disconnected', async () => {
  await using a = await node('a')
  await using b = await node('b', { meshId: meshId.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) })
  await assert.rejects(a.mesh.dial(b.mesh.addresses(), soon()), code('not-a-member'))
  assert.deepEqual([a.mesh.members(), b.mesh.members()], [[], []])
})

test('a peer whose badge is refused is disconnected on both sides and told', async () => {
  await using a = await node('a', { admit: () => true })
  await using b = await node('b', { admit: () => false })
  await assert.rejects(a.mesh.dial(b.mesh.addresses(), soon()), code('not-a-member'))
  assert.deepEqual([a.mesh.members(), b.mesh.members()], [[], []])
})
