import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { ViolinError } from '#core/errors.ts'
import { globalOptions } from '../../src/cli/context.ts'
import { parseDuration } from '../../src/cli/duration.ts'
import { parseUses } from '../../src/cli/verbs/invite.ts'
import { parseTarget } from '../../src/cli/session.ts'
import { table } from '../../src/cli/print/table.ts'

describe('options that stand anywhere', () => {
  for (const [given, dir, debug, rest] of [
    [['list', '--dir', '/x'], '/x', false, ['list']],
    [['--dir=/x', '--debug', 'list'], '/x', true, ['list']],
    [
      ['exec', 'a/b', '--', 'ls', '--dir', '/x', '--debug'],
      '/env',
      false,
      ['exec', 'a/b', '--', 'ls', '--dir', '/x', '--debug']
    ],
    [['--json', 'show', 'net'], '/env', false, ['show', 'net', '--json']],
    [['--json', 'x', '--', '--json'], '/env', false, ['x', '--json', '--', '--json']],
    [['--json'], '/env', false, ['--json']],
    [[], '/env', false, []]
  ] as const) {
    it(`are taken out of: violin ${given.join(' ')}`, () => {
      assert.deepEqual(globalOptions(given, { VIOLIN_DIR: '/env' }), { dir, debug, rest })
    })
  }

  it('leave every other word where it was, whatever it is', () => {
    const word = fc.string({ maxLength: 8 }).filter((text) => !/^--(json|debug|dir(=.*)?)$/s.test(text))
    fc.assert(
      fc.property(fc.array(word), (words) => {
        assert.deepEqual(globalOptions(['--dir', '/x', ...words], {}).rest, words)
      })
    )
  })
})

describe('the uses of an invite', () => {
  it('are a whole number, and anything else is wrong usage', () => {
    assert.deepEqual(['1', '5', '10000'].map(parseUses), [1, 5, 10_000])
    for (const text of ['', 'abc', '0', '-1', '1.5', '1e3', '10001', 'NaN', 'Infinity'])
      assert.throws(() => parseUses(text), { code: 'usage', remedy: /--uses 5$/ }, text)
  })
})

describe('a duration', () => {
  it('is a number with a unit', () => {
    const cases = { '500ms': 500, '60s': 60_000, '5m': 300_000, '24h': 86_400_000, '7d': 604_800_000 }
    for (const [text, ms] of Object.entries(cases)) assert.equal(parseDuration(text), ms)
  })

  it('is refused in any other form', () => {
    for (const text of [
      '',
      '5',
      's',
      '-1s',
      '1.5h',
      '1 s',
      '1S',
      '1s ',
      '1h30m',
      '9999999999s',
      'Infinitys'
    ]) {
      assert.throws(() => parseDuration(text), ViolinError, text)
    }
  })
})

describe('the name of an entity', () => {
  it('is that of its VIOLIN, with an owner or not, and its own', () => {
    assert.deepEqual(parseTarget('net/a'), { violin: 'net', entity: 'a' })
    assert.deepEqual(parseTarget('net@princeton/a'), { violin: 'net@princeton', entity: 'a' })
  })

  it('is refused without either', () => {
    for (const text of ['', '/', 'a', 'a/', '/a']) assert.throws(() => parseTarget(text), ViolinError, text)
  })
})

describe('a table', () => {
  it('has columns as wide as their longest cell, and no blanks at the end of a line', () => {
    const text = table(
      ['a', 'long'],
      [
        ['wide', null],
        ['', 7]
      ]
    )
    assert.equal(text, 'A     LONG\nwide  -\n      7\n')
  })
})
