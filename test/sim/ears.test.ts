import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { HostId } from '#core/ids.ts'
import { Ears, SignColumns } from '../../sim/ears.ts'

test('of any number of hosts each sign of life is read once, by the first look after it arrived', () => {
  const signs = fc.array(fc.tuple(fc.nat(15), fc.nat(9)), { minLength: 40, maxLength: 80 })
  fc.assert(
    fc.property(signs, fc.integer({ min: 1, max: 5 }), (sent, everyMs) => {
      const columns = new SignColumns(1)
      const ears = new Ears(columns, 0)
      const waiting = new Map<HostId, number[]>()
      const lastAt = new Map<HostId, number>()
      for (let now = 0; now < 10; now++) {
        for (const [host, atMs] of sent.filter(([, at]) => at === now)) {
          const id = `host ${host}` as HostId
          const arrivesAt = Math.max(atMs + 2 * (host % 3), waiting.get(id)?.at(-1) ?? 0)
          waiting.set(id, [...(waiting.get(id) ?? []), arrivesAt])
          columns.comes(ears.numberOf(id), arrivesAt)
        }
        if (now % everyMs !== 0) continue
        const heard: HostId[] = []
        ears.read(now, (id) => heard.push(id))
        const due = [...waiting].filter(([, times]) => times.some((at) => at <= now)).map(([id]) => id)
        assert.deepEqual(heard.toSorted(), due.toSorted())
        for (const id of due) {
          lastAt.set(id, now)
          const left = (waiting.get(id) ?? []).filter((at) => at > now)
          waiting.set(id, left)
        }
        for (const id of waiting.keys()) assert.equal(ears.lastAt(id), lastAt.get(id) ?? null)
      }
      assert.equal(ears.lastAt('nobody' as HostId), null)
    })
  )
})
