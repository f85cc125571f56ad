import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { ViolinError } from '#core/errors.ts'
import { parseTopology } from '#topology/parse.ts'

/** Topology, or the refusal; whatever else is thrown fails the test. */
function outcome(text: string): 'taken' | 'refused' {
  try {
    parseTopology(text, {
      file: 't.yaml',
      readFile: () => ({ data: new Uint8Array(3), mode: 0o644 })
    })
    return 'taken'
  } catch (error: unknown) {
    if (!(error instanceof ViolinError)) throw error
    assert.equal(error.code, 'topology-invalid')
    assert.match(error.message, /^t\.yaml[: ]/)
    assert.doesNotMatch(error.message, /\n/)
    return 'refused'
  }
}

const word = fc.constantFrom(
  'name',
  'lans',
  'hosts',
  'routers',
  'driver',
  'defaults',
  'lan',
  'ip',
  'nics',
  'on',
  'count',
  'files',
  'run',
  'env',
  'memory',
  'subnet',
  'vswitch',
  'gateway',
  'ipv6',
  '__proto__',
  'constructor',
  'toString',
  '1',
  '',
  'lan1',
  'r'
)
const leaf = fc.oneof(
  word,
  fc.constantFrom(
    '10.0.0.0/24',
    '10.0.0.1',
    '10.0.0.256',
    'uml',
    'netns',
    '64M',
    '/etc/motd',
    '0',
    '.nan',
    '~'
  ),
  fc.string({ maxLength: 12 }),
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null)
)
const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.array(tie('tree'), { maxLength: 4 }),
    fc.dictionary(word, tie('tree'), { maxKeys: 6 })
  )
}))

test('any text is a topology or is refused', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => void outcome(text)))
})

test('any YAML of the words of the language is a topology or is refused', () => {
  fc.assert(
    fc.property(tree, (value) => void outcome(stringify(value))),
    { numRuns: 300 }
  )
})

test('any content at the places of a topology is taken or refused', () => {
  const entity = fc.dictionary(word, tree, { maxKeys: 5 })
  const entities = fc.dictionary(word, entity, { maxKeys: 4 })
  const file = fc.record(
    {
      name: fc.oneof(fc.constant('net'), leaf),
      lans: entities,
      hosts: entities,
      routers: entities,
      driver: leaf
    },
    { requiredKeys: ['name', 'lans'] }
  )
  fc.assert(
    fc.property(file, (value) => void outcome(stringify(value))),
    { numRuns: 500 }
  )
})

test('a good file that lost or gained some characters is a topology or is refused', () => {
  const good = 'name: net\nlans:\n  lan1: { subnet: 10.0.0.0/24 }\nhosts:\n  a: { lan: lan1, ip: 10.0.0.2 }\n'
  assert.equal(outcome(good), 'taken')
  const cut = fc.tuple(fc.nat(good.length), fc.nat(6), fc.string({ unit: 'binary', maxLength: 6 }))
  fc.assert(
    fc.property(cut, ([at, gone, put]) => void outcome(good.slice(0, at) + put + good.slice(at + gone))),
    { numRuns: 500 }
  )
})
