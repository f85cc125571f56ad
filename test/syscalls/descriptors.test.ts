import assert from 'node:assert/strict'
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { bindDescriptorSocket, receiveDescriptor, sendDescriptor } from '#syscalls/descriptors.ts'
import { close, SyscallError } from '#syscalls/libc.ts'

function makeSocket(context: TestContext, name: string, folder: string): { path: string; fd: number } {
  const path = join(folder, name)
  const fd = bindDescriptorSocket(path)
  context.after(() => close(fd))
  return { path, fd }
}

test('descriptors arrive with their texts, in order, as the same open files', (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'vd-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const from = makeSocket(context, 'from', folder)
  const to = makeSocket(context, 'to', folder)
  assert.equal(receiveDescriptor(to.fd), null)
  const file = openSync(folder, 'r')
  sendDescriptor(from.fd, to.path, 'the first', file)
  sendDescriptor(from.fd, to.path, 'the second ü', file)
  closeSync(file)
  for (const text of ['the first', 'the second ü']) {
    const got = receiveDescriptor(to.fd)
    assert.equal(got?.text, text)
    assert.equal(fstatSync(got.fd).ino, statSync(folder).ino)
    closeSync(got.fd)
  }
  assert.equal(receiveDescriptor(to.fd), null)
})

test('a receiver that is not there, a queue that is full and a text too long are told', (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'vd-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const from = makeSocket(context, 'from', folder)
  const to = makeSocket(context, 'to', folder)
  const missing = join(folder, 'missing')
  assert.throws(() => sendDescriptor(from.fd, missing, 'x', from.fd), { code: 'ENOENT' })
  assert.throws(() => sendDescriptor(from.fd, to.path, 'x'.repeat(600), from.fd), RangeError)
  assert.throws(() => {
    for (let count = 0; count < 10_000; count++) sendDescriptor(from.fd, to.path, 'x', from.fd)
  }, SyscallError)
  for (let got = receiveDescriptor(to.fd); got !== null; got = receiveDescriptor(to.fd)) closeSync(got.fd)
})
