import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isIPv4 } from 'node:net'
import * as fc from 'fast-check'
import { formatIpv4, isHostAddress, parseIpv4, parseSubnet } from '#core/ipv4.ts'

const addresses = fc.integer({ min: 0, max: 2 ** 32 - 1 })

test('every address survives being written and read', () => {
  fc.assert(fc.property(addresses, (address) => assert.equal(parseIpv4(formatIpv4(address)), address)))
})

test('what is read as an address is exactly what Node takes for one', () => {
  const octet = fc.oneof(
    fc.nat({ max: 300 }).map(String),
    fc.constantFrom('', '00', '01', '-1', ' 1', '1e1', '0x1')
  )
  const text = fc.oneof(
    fc.array(octet, { minLength: 3, maxLength: 5 }).map((octets) => octets.join('.')),
    fc.string()
  )
  fc.assert(fc.property(text, (written) => assert.equal(parseIpv4(written) !== null, isIPv4(written))))
})

test('a subnet has its host bits zero and room for two hosts', () => {
  assert.deepEqual(parseSubnet('192.168.1.0/24'), { base: 0xc0a80100, prefix: 24, size: 256 })
  assert.deepEqual(parseSubnet('0.0.0.0/0'), { base: 0, prefix: 0, size: 2 ** 32 })
  assert.deepEqual(parseSubnet('10.0.0.4/30'), { base: 0x0a000004, prefix: 30, size: 4 })
  for (const wrong of [
    '192.168.1.1/24',
    '10.0.0.0/31',
    '10.0.0.0/32',
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/08'
  ])
    assert.equal(parseSubnet(wrong), null, wrong)
  for (const wrong of ['10.0.0.0/24/1', '/24', '', '10.0.0.0/-1', '10.0.0.0/2.5', '10.0.0/24', '10.0.0.0/ 8'])
    assert.equal(parseSubnet(wrong), null, wrong)
})

test('hosts of a subnet are what is inside, but the first and the last', () => {
  fc.assert(
    fc.property(addresses, fc.integer({ min: 0, max: 30 }), addresses, (any, prefix, other) => {
      const size = 2 ** (32 - prefix)
      const subnet = parseSubnet(`${formatIpv4(any - (any % size))}/${prefix}`)
      assert.ok(subnet !== null)
      for (const [address, is] of [
        [subnet.base, false],
        [subnet.base + 1, true],
        [subnet.base + size - 2, true],
        [subnet.base + size - 1, false],
        [subnet.base - 1, false],
        [subnet.base + size, false]
      ] as const)
        assert.equal(isHostAddress(subnet, address), is)
      const inside = Math.floor(other / size) === subnet.base / size
      if (isHostAddress(subnet, other)) assert.ok(inside)
    })
  )
})
