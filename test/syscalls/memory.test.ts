import assert from 'node:assert/strict'
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { allocate, free } from '#syscalls/libc.ts'
import { Copies, mapShared, unmapShared } from '#syscalls/memory.ts'

/** A file of 64 KiB in a folder of `parent`. */
function withFile(parent: string, work: (fd: number) => void): void {
  const folder = mkdtempSync(join(parent, 'violin-memory-'))
  const fd = openSync(join(folder, 'memory'), 'w+')
  ftruncateSync(fd, 65_536)
  try {
    work(fd)
  } finally {
    closeSync(fd)
    rmSync(folder, { recursive: true })
  }
}

test('copies reach the file, in order, each where it belongs', () => {
  withFile('/dev/shm', (fd) => {
    const shared = mapShared(fd, 4096, 8192)
    const own = allocate(64)
    const copies = new Copies()
    own.bytes.set([1, 2, 3, 4, 5, 6])
    copies.add(shared.address + 10, own.address, 4)
    copies.add(shared.address + 12, own.address + 4, 2)
    copies.add(shared.address + 100, own.address, 1)
    copies.rewind(2)
    assert.equal(copies.count, 2)
    assert.ok(copies.write())
    const bytes = Buffer.alloc(8)
    readSync(fd, bytes, 0, 8, 4096 + 10)
    assert.deepEqual([...bytes], [1, 2, 5, 6, 0, 0, 0, 0])
    writeSync(fd, Uint8Array.of(9, 8, 7), 0, 3, 4096 + 8000)
    copies.clear()
    copies.add(shared.address + 8000, own.address + 32, 3)
    assert.ok(copies.read())
    assert.deepEqual([...own.bytes.subarray(32, 35)], [9, 8, 7])
    free(own)
    unmapShared(shared)
  })
})

test('memory that its giver cut off is an error, not the end of this process', () => {
  withFile('/dev/shm', (fd) => {
    const shared = mapShared(fd, 0, 65_536)
    const own = allocate(64)
    const copies = new Copies()
    copies.add(shared.address, own.address, 8)
    copies.add(shared.address + 40_000, own.address, 8)
    assert.ok(copies.read())
    ftruncateSync(fd, 8192)
    assert.ok(!copies.read())
    assert.ok(!copies.write())
    ftruncateSync(fd, 65_536)
    assert.ok(copies.read())
    unmapShared(shared)
    assert.ok(!copies.read())
    free(own)
  })
})

test('a file that is too short, or not in memory, is refused', () => {
  withFile('/dev/shm', (fd) => {
    assert.throws(() => mapShared(fd, 0, 65_537), { code: 'EINVAL' })
    assert.throws(() => mapShared(fd, 61_440, 8192), { code: 'EINVAL' })
  })
  const fd = openSync('/proc/self/status', 'r')
  assert.throws(() => mapShared(fd, 0, 4096), { code: 'EINVAL' })
  closeSync(fd)
})

test('no more copies are listed than one call takes', () => {
  const copies = new Copies()
  while (copies.room > 0) copies.add(0, 0, 1)
  assert.throws(() => copies.add(0, 0, 1), RangeError)
})
