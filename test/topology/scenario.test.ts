import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { ViolinError } from '#core/errors.ts'
import type { Topology } from '#core/spec.ts'
import { parseTopology } from '#topology/parse.ts'
import { parseScenario, type Scenario } from '#topology/scenario.ts'

const examples = resolve(import.meta.dirname, '../../examples/experiment')

function readTopology(path: string): Topology {
  const readFile = (): never => assert.fail('no file beside it')
  return parseTopology(readFileSync(join(examples, path), 'utf8'), { file: path, readFile })
}

function parse(text: string): Scenario {
  return parseScenario(text, { file: 's.yaml', readTopology })
}

const head = 'name: x\ntopology: line.violin.yaml\nsteps:\n'

function refusal(steps: string): string {
  try {
    parse(`${head}${steps}`)
  } catch (error: unknown) {
    assert.ok(error instanceof ViolinError, String(error))
    return `${error.message}; ${error.remedy}`
  }
  return 'it was taken'
}

describe('a scenario', () => {
  it('is read as in the example', () => {
    const { name, seed, steps, topology } = parse(readFileSync(join(examples, 'cut.yaml'), 'utf8'))
    assert.deepEqual([name, seed, topology.name, steps.length], ['cut', 1, 'line', 8])
    assert.deepEqual(steps[3], {
      name: 'slower',
      when: { kind: 'after', step: 'frames', waitMs: 3_000 },
      action: {
        kind: 'link',
        entity: 'a',
        nic: 'eth0',
        reset: false,
        set: { delayUs: 20_000, jitterUs: 2_000 },
        down: null
      },
      timeoutMs: 300_000
    })
    assert.deepEqual(steps[1]?.action, { kind: 'capture', target: 'a:eth0', forMs: null })
    assert.deepEqual(steps[6]?.action, { kind: 'power', entity: 'r', turns: [false, true] })
  })

  it('is refused with its place and what to do', () => {
    for (const [steps, what] of [
      ['  - { at: 1s }', /^s.yaml:4:5: a step that does nothing; say one of exec, link/],
      ['  - { exec: a, run: x, stop: a }', /a step that does two things: exec, stop/],
      ['  - { exec: z, run: x }', /s.yaml:4:13: line has no entity z; /],
      ['  - { exec: a }', /`exec` without `run`/],
      ['  - { exec: a, run: x, down: true }', /`down` says nothing of `exec`/],
      ['  - { exec: a, run: x, at: 5 }', /`at`: /],
      ['  - { exec: a, run: x, at: 1s, after: y }', /`at` and `after` both say when/],
      ['  - { exec: a, run: x, wait: 1s }', /`wait` without `after`/],
      ['  - { exec: a, run: x, after: y }', /no step y; /],
      [
        '  - { exec: a, run: x, name: one, after: two }\n  - { exec: a, run: x, name: two, after: one }',
        /waits for itself/
      ],
      ['  - { exec: a, run: x, name: A B }', /"A B" is no name of a step/],
      ['  - { exec: a, run: x, name: s }\n  - { exec: a, run: x, name: s }', /the step s stands twice/],
      ['  - { link: "a:eth9", down: true }', /a has no vNIC eth9; write it as a:eth0/],
      ['  - { link: a, down: true }', /a has no vNIC/],
      ['  - { link: "a:eth0" }', /`link` without `set`/],
      ['  - { link: "a:eth0", set: { delay: 5 } }', /5 is no delay; write it as 20ms, or 0/],
      ['  - { link: "a:eth0", set: { dellay: 5ms } }', /unknown word `dellay`; did you mean `delay`\?/],
      ['  - { gather: a, files: [x] }', /"x" is no absolute path/],
      ['  - { capture: "a:eth7" }', /line has no vNIC or vLAN a:eth7; did you mean a:eth0\?/],
      ['  - { capture: lefd, for: 1s }', /did you mean left\?/],
      ['  - { gather: a, files: [/x], for: 1s }', /`for` says nothing of `gather`/],
      ['  - { migrate: a }', /`migrate` without `to`/],
      ['  - { exce: a }', /unknown word `exce`; did you mean `exec`\?/]
    ] as const)
      assert.match(refusal(steps), what, steps)
  })

  it('that is made of anything is taken or refused', () => {
    const word = fc.constantFrom(
      'name',
      'at',
      'after',
      'exec',
      'run',
      'link',
      'set',
      'down',
      'stop',
      'to',
      '__proto__',
      'gather',
      'files'
    )
    const value = fc.oneof(
      fc.constantFrom('a', 'a:eth0', '1s', 'x', true, 1, null),
      fc.array(fc.constantFrom('/x', '..')),
      fc.dictionary(fc.constantFrom('delay', 'loss', 'toString'), fc.constantFrom('1ms', 0))
    )
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.tuple(word, value), { maxLength: 5 }), { minLength: 1, maxLength: 4 }),
        (steps) => {
          refusal(stringify(steps.map((one) => Object.fromEntries(one))).replaceAll(/^/gm, '  '))
        }
      )
    )
  })
})
