import assert from 'node:assert/strict'
import { isIPv6, SocketAddress } from 'node:net'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatIpv6, isHostAddress6, parseIpv6, parseSubnet6 } from '#core/ipv6.ts'

/** Addresses as they are: groups of zeros are frequent. */
const addresses = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((groups) => groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n))

test('every address survives being written and read, in the words of Node', () => {
  fc.assert(
    fc.property(addresses, (address) => {
      const text = formatIpv6(address)
      assert.equal(parseIpv6(text), address)
      assert.equal(parseIpv6(text.toUpperCase()), address)
      assert.ok(isIPv6(text))
      // The one exception of RFC 5952 §5, embedded IPv4, is none of a record's forms.
      const words = new SocketAddress({ address: text, family: 'ipv6' }).address
      if (!words.includes('.')) assert.equal(text, words)
    })
  )
})

test('what is read as an address is what Node takes for one, but for zones and dotted quads', () => {
  const group = fc.constantFrom('0', '1', 'ffff', '', '00000', 'g', '0db8', '-1', ' 1')
  const text = fc.oneof(
    fc.array(group, { minLength: 1, maxLength: 9 }).map((groups) => groups.join(':')),
    fc.string()
  )
  fc.assert(
    fc.property(text, (written) => {
      const plain = isIPv6(written) && !written.includes('.') && !written.includes('%')
      assert.equal(parseIpv6(written) !== null, plain)
    })
  )
})

test('a prefix has its host bits zero and room for two; its first address is nobody’s', () => {
  assert.deepEqual(parseSubnet6('fd00:1::/64'), { base: parseIpv6('fd00:1::'), prefix: 64 })
  assert.deepEqual(parseSubnet6('::/0'), { base: 0n, prefix: 0 })
  for (const wrong of ['fd00:1::1/64', 'fd00::/127', 'fd00::', 'fd00::/064', 'fd00::/64/1', '10.0.0.0/8', ''])
    assert.equal(parseSubnet6(wrong), null, wrong)
  const subnet = parseSubnet6('fd00:1::/64')
  assert.ok(subnet !== null)
  const isHost = (text: string): boolean => isHostAddress6(subnet, parseIpv6(text) as bigint)
  assert.deepEqual(['fd00:1::1', 'fd00:1::ffff:ffff:ffff:ffff'].map(isHost), [true, true])
  assert.deepEqual(['fd00:1::', 'fd00:1:0:1::1', 'fd00::1'].map(isHost), [false, false, false])
})
