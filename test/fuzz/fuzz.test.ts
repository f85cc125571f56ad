/**
 * Every decoder of bytes that this host did not make itself, against inputs from a fresh seed. Longer runs:
 * `bin/run test/fuzz/main.ts --inputs 10000000`.
 */
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Random } from '../../sim/random.ts'
import { greedy, inputFrom } from './mutate.ts'
import { fuzz, shares, targets } from './run.ts'
import { WorkCounter } from './work.ts'

/** Some seconds of one processor. */
const inputs = 30_000
const seed = randomInt(2 ** 31)

test('no decoder breaks its word, whatever it is given', async (t) => {
  t.diagnostic(`seed ${seed}`)
  for (const [target, count] of shares(inputs, targets)) await fuzz(target, seed, count)
})

test('every decoder takes its samples', async () => {
  for (const { name, samples, decode } of targets) {
    let taken = 0
    for (const sample of samples) if (await decode(sample)) taken++
    assert.ok(taken > 0, name)
  }
})

/** Blocks of code that an input may cost: so many, and so many for each of its bytes. */
const maxBlocks = 20_000
const maxBlocksPerByte = 40

test('no decoder does more for an input than its length allows', async (t) => {
  t.diagnostic(`seed ${seed}`)
  const random = new Random(seed, 'work')
  // What is made once, at the first input, is no input's cost.
  for (const { samples, decode } of targets) for (const sample of samples) await decode(sample)
  using counter = new WorkCounter()
  for (const { name, form, maxBytes, samples, decode } of targets) {
    const chosen = [
      ...greedy(form, maxBytes),
      ...samples,
      ...Array.from({ length: 4 }, () => inputFrom(samples, form, maxBytes, random))
    ]
    counter.take()
    for (const input of chosen) {
      await decode(input)
      const blocks = counter.take()
      const most = maxBlocks + maxBlocksPerByte * input.length
      const start = Buffer.from(input.subarray(0, 60)).toString('hex')
      assert.ok(blocks <= most, `${name}: ${blocks} blocks for ${input.length} bytes: ${start}`)
    }
  }
})

/** Readers of what this host's own user typed, or wrote into its own folder. */
const own = new Set([
  'cli/session.ts parseTarget',
  'cli/verbs/link.ts parseNic',
  'cli/verbs/invite.ts parseUses'
])

test('every decoder of the source is fuzzed', () => {
  const decoder =
    /^export (?:async )?(?:function|class) ((?:decode|parse|unpack|unarmour|verify|accept|openRecord)\w*|\w+(?:Decoder|Splitter|Unpacker|Window|FromWire))\b/gm
  const entered = new Set(targets.flatMap(({ enters }) => enters))
  // Readers of one field, and parts that a whole record's or chain's reader enters.
  const parts = /^core\/(records|admission)\/\w+(-\w+)*\.ts \w+FromWire$|Unix$/
  for (const file of globSync('src/**/*.ts')) {
    for (const [, name] of readFileSync(file, 'utf8').matchAll(decoder)) {
      const entry = `${file.slice('src/'.length)} ${name}`
      assert.ok(entered.has(entry) || own.has(entry) || parts.test(entry), `${entry} is fuzzed by nothing`)
    }
  }
})
