import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { Epoll, epollEvents } from '#syscalls/epoll.ts'
import { closeEventfd, drain, openEventfd, wake } from '#syscalls/eventfd.ts'
import { allocate, close, errno, free, SyscallError } from '#syscalls/libc.ts'
import { ReceiveBatch, SendBatch } from '#syscalls/mmsg.ts'
import { coalesce, ErrorQueue, formatIpv4, openUdp, parseIpv4 } from '#syscalls/udp.ts'

const loopback = parseIpv4('127.0.0.1') as number
const memory = allocate(1 << 20)
const slotBytes = 2048
const send = new SendBatch(memory, 0, 64, slotBytes)
const receive = new ReceiveBatch(memory, 64 * slotBytes, 64, slotBytes)
const epoll = new Epoll()
const sockets = [openUdp(0, 0, loopback), openUdp(0, 0, loopback)] as const

after(() => {
  for (const socket of sockets) close(socket.fd)
  epoll.close()
  free(memory)
})

test('a batch of datagrams arrives with its bytes, lengths and source', () => {
  const [left, right] = sockets
  epoll.add(right.fd, epollEvents.in)
  for (let i = 0; i < 40; i++) {
    const slot = send.acquire()
    memory.bytes.fill(i, send.at(slot), send.at(slot) + 100 + i)
    send.commit(slot, 100 + i, loopback, right.port)
  }
  send.flush(left.fd)
  assert.equal(epoll.wait(1000), 1)
  assert.equal(epoll.fd(0), right.fd)
  assert.equal(receive.receive(right.fd), 40)
  for (let i = 0; i < 40; i++) {
    assert.equal(receive.length(i), 100 + i)
    assert.equal(receive.ip(i), loopback)
    assert.equal(receive.port(i), left.port)
    assert.equal(memory.bytes[receive.at(i) + 99 + i], i)
  }
  assert.equal(receive.receive(right.fd), 0)
  assert.equal(send.dropped, 0)
})

test('equal datagrams cross as one message, the last may be shorter, and come apart as they were', () => {
  const [left, right] = [openUdp(0, 0, loopback), openUdp(0, 0, loopback)]
  const waiting = new Epoll()
  try {
    assert.ok(coalesce(right.fd))
    waiting.add(right.fd, epollEvents.in)
    const base = 64 * slotBytes
    const large = new ReceiveBatch(memory, base, 8, 65_536)
    const many = new SendBatch(memory, 0, 64, slotBytes, { segmented: true })
    const lengths = [...Array.from({ length: 20 }, () => 1000), 300, 1000, 200, 1400]
    for (const [index, length] of lengths.entries()) {
      const slot = many.acquire()
      memory.bytes.fill(index, many.at(slot), many.at(slot) + length)
      many.commit(slot, length, loopback, right.port)
    }
    many.flush(left.fd)
    const got: number[] = []
    while (got.length < lengths.length && waiting.wait(1000) > 0) {
      const slots = large.receive(right.fd)
      assert.ok(slots < 10)
      for (let slot = 0; slot < slots; slot++) {
        const segment = large.segment(slot)
        for (let from = 0; from < large.length(slot); from += segment) {
          const end = Math.min(from + segment, large.length(slot))
          const bytes = memory.bytes.subarray(large.at(slot) + from, large.at(slot) + end)
          assert.ok(bytes.every((byte) => byte === got.length))
          got.push(bytes.length)
        }
      }
    }
    assert.deepEqual(got, lengths)
    assert.equal(many.dropped, 0)
  } finally {
    waiting.close()
    close(left.fd)
    close(right.fd)
  }
})

test('datagrams that are too large to be one message are sent one by one', () => {
  const [left] = sockets
  const many = new SendBatch(memory, 0, 4, 130_000, { segmented: true })
  const port = openUdp(0, 0, loopback)
  try {
    for (let i = 0; i < 2; i++) many.commit(many.acquire(), 40_000, loopback, port.port)
    many.flush(left.fd)
    assert.equal(many.dropped, 0)
    const large = new ReceiveBatch(memory, 520_000, 2, 65_536)
    assert.equal(large.receive(port.fd), 2)
    assert.deepEqual([large.length(0), large.length(1)], [40_000, 40_000])
  } finally {
    close(port.fd)
  }
})

test('a full batch says so, and slots without bytes are not sent', () => {
  const [left, right] = sockets
  for (let i = 0; i < 64; i++) {
    const slot = send.acquire()
    if (i % 2 === 0) send.commit(slot, 20, loopback, right.port)
  }
  assert.equal(send.acquire(), -1)
  send.flush(left.fd)
  assert.equal(receive.receive(right.fd), 32)
})

test('a datagram to a port where nobody listens comes back as a refusal of that address', () => {
  const [left, right] = sockets
  const gone = openUdp(0, 0, loopback)
  close(gone.fd)
  const slot = send.acquire()
  send.commit(slot, 20, loopback, gone.port)
  send.flush(left.fd)
  const queue = new ErrorQueue()
  assert.ok(queue.next(left.fd))
  assert.deepEqual(
    [formatIpv4(queue.ip), queue.port, queue.error],
    ['127.0.0.1', gone.port, errno.ECONNREFUSED]
  )
  assert.equal(queue.next(left.fd), false)
  // The refusal of one destination does not keep datagrams from another.
  send.commit(send.acquire(), 20, loopback, gone.port)
  send.flush(left.fd)
  send.commit(send.acquire(), 20, loopback, right.port)
  send.flush(left.fd)
  assert.equal(receive.receive(right.fd), 1)
})

test('a datagram larger than the path is refused, never fragmented', () => {
  const [left, right] = sockets
  const big = new SendBatch(memory, 0, 1, 66_000)
  big.commit(big.acquire(), 65_600, loopback, right.port)
  big.flush(left.fd)
  assert.equal(big.dropped, 1)
})

test('when all ports of a range are taken that is said', () => {
  const { port } = sockets[0]
  assert.throws(
    () => openUdp(port, port, loopback),
    (error: unknown) => error instanceof SyscallError && error.code === 'EADDRINUSE'
  )
})

test('a wait ends by its deadline, and a wake-up ends it at once', () => {
  const fd = openEventfd()
  try {
    epoll.add(fd, epollEvents.in)
    const before = performance.now()
    assert.equal(epoll.wait(3.5), 0)
    assert.ok(performance.now() - before >= 3.4)
    wake(fd)
    wake(fd)
    assert.equal(epoll.wait(-1), 1)
    assert.equal(epoll.fd(0), fd)
    drain(fd)
    assert.equal(epoll.wait(0), 0)
  } finally {
    epoll.remove(fd)
    closeEventfd(fd)
  }
})

test('only addresses in their usual form are taken', () => {
  for (const text of ['1.2.3', '1.2.3.256', '01.2.3.4', '1.2.3.4.5', '::1', '0x1.2.3.4', '']) {
    assert.equal(parseIpv4(text), null, text)
  }
  assert.equal(formatIpv4(parseIpv4('255.254.1.0') as number), '255.254.1.0')
})

test('the machine is one that the layouts were made for', () => {
  assert.equal(new Uint8Array(new Uint16Array([1]).buffer)[0], 1, 'little endian')
  assert.match(readFileSync('/proc/sys/kernel/ostype', 'utf8'), /Linux/)
})
