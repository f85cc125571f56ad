import assert from 'node:assert/strict'
import { test } from 'node:test'
import { beyondLoopback } from '#mesh/loopback.ts'

test('an address of loopback counts only where there is no other', () => {
  const [near, far] = ['/ip4/127.0.0.1/tcp/4780', '/ip6/2001:db8::1/tcp/4780']
  assert.deepEqual(beyondLoopback([near, far]), [far])
  assert.deepEqual(beyondLoopback([near, '/ip6/::1/tcp/4780']), [near, '/ip6/::1/tcp/4780'])
  assert.deepEqual(beyondLoopback([]), [])
})
