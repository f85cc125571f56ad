import assert from 'node:assert/strict'
import { test } from 'node:test'
import { view } from '#core/records/view.ts'
import { ask, founder, invite, join, start, witnessOf } from '../admission/keys.ts'
import { hostRecord, setOf } from './records.ts'

test('a host that lost its slot to another is not given it again, the one that keeps it is', () => {
  const admin = founder()
  const { token } = invite(admin, 'twice', { slots: 2 })
  // Two members that do not hear of each other let two hosts into one slot.
  const hosts = ['one side', 'other side'].map((label) => ({
    label,
    host: join(token, label, witnessOf(admin), 0)
  }))
  for (const order of [hosts, hosts.toReversed()]) {
    const set = setOf([hostRecord(admin), ...order.map(({ host }) => hostRecord(host))])
    const { displaced } = view(set, start)
    const witness = witnessOf(admin, set.usedSlots(token.invite.subject))
    for (const { label, host } of hosts) {
      const lost = host.chain.host !== null && displaced.has(host.chain.host)
      const answer = ask(token, label, witness, 0)
      assert.deepEqual(
        answer.kind === 'slot-taken' ? answer : answer.kind,
        lost ? { kind: 'slot-taken', free: 1 } : 'granted'
      )
    }
    assert.equal(displaced.size, 1)
  }
})
