/** What people write of worlds: every scenario that there is passes, and what is wrong is said with its place. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkScenario, readScenario } from '../../../sim/program/scenario-file.ts'
import { Random } from '../../../sim/random.ts'
import type { Scenario } from '../../../sim/scenario.ts'
import { families } from '../../../sim/scenarios/list.ts'
import { randomScenario } from '../../../sim/swarm.ts'
import { folder, type Run, run } from './run.ts'

const found = new URL('../found/', import.meta.url)

function runText(text: string, ...args: string[]): Run & { file: string } {
  const file = join(folder, 'scenario.json')
  writeFileSync(file, text)
  return { ...run(file, ...args), file }
}

const entities = { lan: 0, count: 1, bootMs: [100, 200], failures: 0 }
const violin = { owner: 0, hosts: [1], entities }
const machines = {
  hosts: 4,
  liveness: true,
  lans: [{ hosts: [1, 2], candidates: [1] }],
  violins: [violin]
}

const kill = (change: object): object => ({
  hosts: 4,
  steps: [{ atMs: 1_000, fault: { kind: 'kill', host: 1, forMs: 1_000, ...change } }]
})

const step = (fault: object): object => ({
  hosts: 4,
  steps: [{ atMs: 1_000, fault: { forMs: 1_000, ...fault } }]
})

test('every scenario that was found, of every family and by chance is one', () => {
  for (const name of readdirSync(found)) {
    const text = readFileSync(new URL(name, found), 'utf8')
    const written = JSON.parse(text) as Partial<Scenario>
    assert.deepEqual(readScenario(text, name, null), { liveness: false, ...written })
  }
  for (const family of families) {
    const { name, hosts, least = 2 } = family
    for (const count of new Set([least, least + 1, hosts]))
      for (const seed of [1, 2, 3]) {
        const made = family.make(count, new Random(seed, 'scenario'))
        assert.doesNotThrow(() => checkScenario(made), `${name} --hosts ${count}`)
      }
  }
  for (const hosts of [2, 3, 6, 12, 24])
    for (let seed = 1; seed <= 100; seed++) {
      const made = randomScenario(seed, hosts)
      assert.deepEqual(readScenario(JSON.stringify(made), '', null), made)
    }
})

test('what is wrong in a scenario is told with its place and what would be right', () => {
  for (const [written, told] of [
    [{ hosts: 4, step: [] }, /^step is an unknown word; did you mean steps\?/],
    [{ hosts: '4' }, /^hosts is no number/],
    [{ hosts: 2.5 }, /^hosts is no int/],
    [{ hosts: 1 }, /^hosts is below 2/],
    [{ hosts: 99_999_999 }, /^hosts is above 20000/],
    [kill({ host: 9 }), /^steps\[0\]\.fault\.host no host 9; they are numbered 0 to 3/],
    [kill({ host: 'activ' }), /^steps\[0\]\.fault\.host is no host: .*active/],
    [kill({ host: 'runner' }), /^steps\[0\]\.fault\.host is nobody: no VIOLIN has entities/],
    [{ ...kill({ host: 'active' }), lans: [] }, /^steps\[0\]\.fault\.host is nobody: there is no vLAN/],
    [kill({ forMs: undefined }), /^steps\[0\]\.fault\.forMs is missing/],
    [kill({ forMs: -1 }), /^steps\[0\]\.fault\.forMs is below 0/],
    [kill({ fromMs: 1 }), /^steps\[0\]\.fault\.fromMs is an unknown word; did you mean forMs\?/],
    [kill({ kind: 'kil' }), /^steps\[0\]\.fault\.kind is no kind of fault; did you mean kill\?/],
    [step({ kind: 'cut', from: [0], to: [0], both: true }), /^steps\[0\]\.fault cuts nobody from another/],
    [step({ kind: 'cut', from: [], to: null, both: true }), /^steps\[0\]\.fault cuts nobody from another/],
    [step({ kind: 'partition', hosts: [0, 1, 2, 3] }), /^steps\[0\]\.fault\.hosts has everybody on one side/],
    [step({ kind: 'partition', hosts: [] }), /^steps\[0\]\.fault\.hosts has nobody on one side/],
    [
      { hosts: 4, steps: [{ atMs: 1, fault: { kind: 'lie', host: 1, lie: 'foreign-claim' } }] },
      /^steps\[0\]\.fault\.lie is of nothing: there is no VIOLIN/
    ],
    [
      kill({ kind: 'stall', part: 'deamon' }),
      /^steps\[0\]\.fault\.part is an unknown word; did you mean daemon\?/
    ],
    [
      { network: { delayMs: [[1]], jitterMs: 0, los: 0 } },
      /^network\.los is an unknown word; did you mean loss\?/
    ],
    [{ network: { delayMs: [[1]], jitterMs: 0, loss: 5 } }, /^network\.loss is above 0.9, which is the most/],
    [{ network: { delayMs: [[1]], jitterMs: 0, loss: 'some' } }, /^network\.loss is no share/],
    [{ network: { delayMs: [[1, 2]], jitterMs: 0, loss: 0 } }, /^network\.delayMs is not square/],
    [{ traffic: { kind: 'ring', everyMs: 0 } }, /^traffic\.everyMs is below 1/],
    [{ hosts: 4, lans: [{ hosts: [0, 7], candidates: [0] }] }, /^lans\[0\]\.hosts no host 7/],
    [{ hosts: 4, lans: [{ hosts: [0, 1], candidates: [2] }] }, /^lans\[0\]\.candidates host 2 has no port/],
    [{ hosts: 4, lans: [{ hosts: [0, 0], candidates: [0] }] }, /^lans\[0\]\.hosts names 0 twice/],
    [{ steps: [{ atMs: 0, fault: { kind: 'refuse', violin: 0 } }] }, /violin no VIOLIN 0; there is none/],
    [
      { steps: [{ atMs: 0, fault: { kind: 'join', host: 1, invite: 0, via: 0 } }], invites: [1] },
      /host 1 is a member already/
    ],
    [{ steps: [{ atMs: 0, fault: { kind: 'revoke', host: 0 } }] }, /fault\.host is below 1/],
    [{ ...machines, liveness: false }, /^violins\[0\]\.entities are taken over by nobody/],
    [
      { ...machines, violins: [{ ...violin, entities: { ...entities, failures: 1 } }] },
      /failures is above 0.2/
    ],
    [
      {
        hosts: 4,
        violins: [
          { owner: 0, copies: [1], hosts: [2] },
          { owner: 1, hosts: [3] }
        ]
      },
      /^violins\[0\]\.copies host 1 has the key of another VIOLIN's owner/
    ],
    [
      { records: false, violins: [], steps: [{ atMs: 0, fault: { kind: 'publish', host: 0 } }] },
      /^steps\[0\]\.fault publish does nothing where there are no records/
    ]
  ] as const) {
    const text = JSON.stringify(written)
    assert.throws(
      () => readScenario(text, 'x', null),
      (error: Error & { path: string; remedy: string }) => {
        assert.match(`${error.path} ${error.message}; ${error.remedy}`, told, text)
        return true
      },
      text
    )
  }
})

test('a file that is no scenario is one line and status 2, with --json a document as well', () => {
  const bad = runText(JSON.stringify(kill({ host: 9 })), '--json')
  assert.equal(bad.status, 2)
  assert.equal(bad.err, `violin-sim: ${bad.file}: steps[0].fault.host no host 9; they are numbered 0 to 3\n`)
  const { error } = JSON.parse(bad.out) as { error: Record<string, string> }
  assert.equal(error['code'], 'usage')
  assert.equal(error['remedy'], 'they are numbered 0 to 3')
  for (const one of [runText('{ "hosts": 4,'), runText('[]'), run(join(folder, 'none.json'))]) {
    assert.equal(one.status, 2)
    assert.equal(one.out, '')
    assert.match(one.err, /^violin-sim: \/.*\.json.*\n$/)
  }
})

test('--hosts is bounded, counts for a file, and is no less than what a scenario can show anything with', () => {
  assert.match(run('kill-active', '--hosts', '99999999').err, /from 2 to 20000/)
  const two = run('kill-active', '--hosts', '2')
  assert.equal(two.status, 2)
  assert.match(two.err, /kill-active needs 3 hosts, not 2/)
  const file = JSON.stringify(kill({ host: 3 }))
  assert.equal(runText(file, '--hosts', '5').status, 0)
  assert.match(runText(file, '--hosts', '3').err, /no host 3/)
})
