import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AuthorBudget, authorBurst, authorRefillMs, branchBurst } from '#core/records/budget.ts'
import { founder, invite, join, witnessOf } from '../admission/keys.ts'

const first = founder()
const { token } = invite(first, 'token', { slots: 200 })
const one = join(token, 'one', witnessOf(first), 0)
const two = join(token, 'two', witnessOf(first), 1)

function taken(budget: AuthorBudget, host: typeof one, now: number, tries: number): number {
  let count = 0
  for (let i = 0; i < tries; i++) if (budget.take(host.chain, now)) count++
  return count
}

test('an author may publish eight at once, and one more every five seconds', () => {
  const budget = new AuthorBudget()
  assert.equal(taken(budget, one, 0, 20), authorBurst)
  assert.equal(taken(budget, one, authorRefillMs - 1, 5), 0)
  assert.equal(taken(budget, one, authorRefillMs, 5), 1)
  assert.equal(taken(budget, one, 1000 * authorRefillMs, 20), authorBurst)
})

test("one author's budget is not another's, and a clock that stands gives nothing", () => {
  const budget = new AuthorBudget()
  taken(budget, one, 50, 20)
  assert.equal(taken(budget, two, 50, 20), authorBurst)
  assert.equal(taken(budget, one, 40, 5), 0)
  assert.equal(budget.take(null, 50), true)
})

test('all that one invite let in has one budget together, and the rest of the mesh is not touched', () => {
  const budget = new AuthorBudget()
  const hosts = Array.from({ length: 140 }, (_, i) => join(token, `many ${i}`, witnessOf(first), i + 2))
  const sum = hosts.reduce((count, host) => count + taken(budget, host, 0, authorBurst), 0)
  assert.equal(sum, branchBurst)
  assert.equal(taken(budget, first, 0, 20), authorBurst)
})
