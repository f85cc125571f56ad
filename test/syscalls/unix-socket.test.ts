import assert from 'node:assert/strict'
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { closeEventfd, openEventfd } from '#syscalls/eventfd.ts'
import { close } from '#syscalls/libc.ts'
import {
  acceptUnix,
  connectUnix,
  listenUnix,
  receiveBytes,
  ringBell,
  sendBytes
} from '#syscalls/unix-socket.ts'

/** A connected pair, by way of a path, and the end of all of it. */
function withPair(work: (left: number, right: number) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'violin-unix-'))
  const path = join(folder, 'socket')
  const listening = listenUnix(path, 0o640)
  const before = readdirSync('/proc/self/fd').length
  const left = connectUnix(path)
  const right = acceptUnix(listening)
  try {
    assert.ok(right >= 0)
    assert.equal(statSync(path).mode & 0o777, 0o640)
    work(left, right)
  } finally {
    close(left)
    close(right)
    assert.equal(readdirSync('/proc/self/fd').length, before)
    close(listening)
    rmSync(folder, { recursive: true })
  }
}

test('bytes and descriptors arrive together, and the descriptors are the same files', () => {
  withPair((left, right) => {
    assert.equal(receiveBytes(right, 100), null)
    const fd = openSync('/dev/null', 'r')
    const event = openEventfd()
    assert.ok(sendBytes(left, Buffer.from('hello'), [fd, event]))
    const received = receiveBytes(right, 100)
    assert.equal(String(Buffer.from(received?.bytes ?? [])), 'hello')
    assert.equal(received?.descriptors.length, 2)
    assert.equal(fstatSync(received.descriptors[0] as number).rdev, fstatSync(fd).rdev)
    for (const descriptor of received.descriptors) close(descriptor)
    closeSync(fd)
    closeEventfd(event)
  })
})

test('no more bytes are taken than were asked for, and the end is no bytes', () => {
  withPair((left, right) => {
    assert.ok(sendBytes(left, Buffer.from('abcdef')))
    assert.deepEqual([...(receiveBytes(right, 4)?.bytes ?? [])], [97, 98, 99, 100])
    assert.deepEqual([...(receiveBytes(right, 4)?.bytes ?? [])], [101, 102])
    close(left)
    assert.equal(receiveBytes(right, 4)?.bytes.length, 0)
  })
})

test('a socket that nobody reads fills up instead of blocking', () => {
  withPair((left) => {
    const bytes = new Uint8Array(8192)
    let sent = 0
    while (sendBytes(left, bytes)) assert.ok(++sent < 1000)
    assert.ok(sent > 1)
    ringBell(left)
  })
})

test('a bell is eight bytes', () => {
  withPair((left, right) => {
    ringBell(left)
    assert.equal(receiveBytes(right, 100)?.bytes.length, 8)
  })
})

test('a path that is taken or too long is refused, and leaves nothing open', () => {
  const folder = mkdtempSync(join(tmpdir(), 'violin-unix-'))
  const before = readdirSync('/proc/self/fd').length
  const path = join(folder, 'socket')
  const listening = listenUnix(path, 0o600)
  try {
    assert.throws(() => listenUnix(path, 0o600), { code: 'EADDRINUSE' })
    assert.throws(() => listenUnix(join(folder, 'x'.repeat(108)), 0o600), RangeError)
    assert.throws(() => connectUnix(join(folder, 'nobody')), { code: 'ENOENT' })
    assert.equal(acceptUnix(listening), -1)
  } finally {
    close(listening)
    rmSync(folder, { recursive: true })
  }
  assert.equal(readdirSync('/proc/self/fd').length, before)
})
