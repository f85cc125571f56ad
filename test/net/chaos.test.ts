/** Kills, stalls and cuts in random order for some minutes; longer by hand: `bin/run test/net/chaos.ts`. */
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { chaos } from './chaos/run.ts'

const seed = randomInt(2 ** 31)

/** The minutes, what makes the lab, and the last round with all that it may take to be well again. */
const timeout = 400_000

test(
  'whatever befalls hosts, no frame comes twice or to another VIOLIN, and all is well again',
  { timeout },
  async (t) => {
    t.diagnostic(`seed ${seed}`)
    const result = await chaos({ seed, hosts: 4, minutes: 3, log: () => undefined })
    t.diagnostic(JSON.stringify(result))
    assert.ok(result.rounds > 0 && result.received > 1_000)
  }
)
