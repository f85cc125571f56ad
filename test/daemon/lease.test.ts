import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leased } from '#daemon/doors/lease.ts'

test('who answers on a vLAN gives a host an address of that vLAN, and nothing else', () => {
  const of = (line: string): string | null | undefined => leased(line, '10.0.1.0/24')
  assert.equal(of('bound 10.0.1.200'), '10.0.1.200/24')
  assert.equal(of('renew 10.0.1.201'), '10.0.1.201/24')
  assert.equal(of('deconfig '), null)
  for (const line of [
    'bound 10.0.2.1',
    'bound 0.0.0.0',
    'bound 10.0.1.255',
    'bound x',
    'bound',
    'leasefail ',
    ''
  ])
    assert.equal(of(line), undefined, line)
})
