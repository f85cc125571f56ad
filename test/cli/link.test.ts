import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { parseNic } from '../../src/cli/verbs/link.ts'
import { type Bench, json, refused, startBench } from './violin.ts'

let bench: Bench
before(async () => {
  bench = await startBench()
})
after(() => bench[Symbol.asyncDispose]())

describe('violin link', () => {
  it('says what it is told in numbers, and prints what stands in words', async () => {
    const set = await bench.violin([
      'link',
      'set',
      'net/a:eth0',
      '--delay',
      '1.5ms',
      '--loss',
      '2%',
      '--timeout',
      '3s'
    ])
    assert.deepEqual([set.status, set.stdout], [0, 'net/a:eth0: delay 1.5ms, loss 2% (version 2)\n'])
    assert.deepEqual(bench.service.asked.at(-1), {
      method: 'link',
      request: {
        violin: 'net',
        entity: 'a',
        nic: 'eth0',
        set: { delayUs: 1_500, lossPpm: 20_000 },
        timeoutMs: 3_000
      }
    })
    assert.deepEqual(json(await bench.violin(['link', 'down', 'net/a:eth0', '--json'])), {
      violin: 'net',
      entity: 'a',
      nic: 'eth0',
      version: 2,
      link: { delay: '1.5ms', loss: '2%', down: 'true' }
    })
    const { stdout } = await bench.violin(['link', 'show', 'net'])
    assert.match(stdout, /a:eth0 +lan1 +\S+ +down, delay 1.5ms, loss 2%\n/)
    assert.match(stdout, /b:eth0 +lan1 +\S+ +plain\n/)
    assert.match(
      (await bench.violin(['link', 'up', 'net/a:eth0'])).stdout,
      /: delay 1.5ms, loss 2% \(version/
    )
    assert.equal(
      (await bench.violin(['link', 'reset', 'net/a:eth0'])).stdout,
      'net/a:eth0: plain (version 2)\n'
    )
  })

  it('refuses what is no vNIC and no value', async () => {
    refused(await bench.violin(['link', 'set', 'net/a:eth0']), 2, /nothing to set; say what: --delay, /)
    refused(await bench.violin(['link', 'up', 'net/a']), 2, /"net\/a" names no vNIC/)
    refused(await bench.violin(['link', 'show', 'net/x']), 1, /net has no x/)
    const wrong = await bench.violin(['link', 'set', 'net/a:eth0', '--rate', '10MBit'])
    assert.equal(wrong.status, 2)
    assert.match(wrong.stderr, /"10MBit" is no rate: write it as 10mbit, or 0/)
  })

  it('splits names', () => {
    assert.deepEqual(parseNic('net@home/a:eth0'), { violin: 'net@home', entity: 'a', nic: 'eth0' })
    for (const text of ['a:eth0', 'net/a:', 'net/:eth0', 'net/a:b:c', ''])
      assert.throws(() => parseNic(text), { code: 'usage' })
  })
})
