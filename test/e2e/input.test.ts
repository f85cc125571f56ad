/** Wrong input: one line that says what, why and what to do, and a status that scripts can tell apart. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Lab } from '#lab/lab.ts'
import { meshOf } from './world.ts'

const lab: Lab = await meshOf('h1')
after(() => lab[Symbol.asyncDispose]())
const [host] = lab.hosts as [Lab['hosts'][number]]
const missing = join(host.folder, '..', 'nowhere')

interface Case {
  readonly args: readonly string[]
  readonly status: 1 | 2
  readonly says: RegExp
  readonly input?: string
}

const net = (body: string): string => `name: net\nlans:\n  lan1: { subnet: 10.0.0.0/24 }\n${body}`

const cases: readonly Case[] = [
  { args: ['nonsense'], status: 2, says: /nonsense/ },
  { args: ['hosts', '--nonsense'], status: 2, says: /nonsense/ },
  { args: ['hosts', 'too', 'many'], status: 2, says: /argument/i },
  { args: ['show'], status: 2, says: /NAME/ },
  { args: ['join', 'not-a-token'], status: 1, says: /invite/ },
  { args: ['join', '@/no/such/file'], status: 2, says: /token/ },
  { args: ['invite', '--uses', 'many'], status: 2, says: /many|uses/ },
  { args: ['invite', '--uses', '0'], status: 2, says: /uses/ },
  { args: ['invite', '--expires', 'soon'], status: 2, says: /soon/ },
  { args: ['invite', '--role', 'king'], status: 2, says: /king/ },
  { args: ['invite', '--cancel', 'not-a-token'], status: 1, says: /invite/ },
  { args: ['init', '--name', 'again'], status: 1, says: /already/ },
  { args: ['show', 'nothing'], status: 1, says: /nothing/ },
  { args: ['show', '../../etc'], status: 1, says: /etc/ },
  { args: ['delete', 'nothing', '--yes'], status: 1, says: /nothing/ },
  { args: ['wait', 'nothing', '--for', 'running', '--timeout', '1s'], status: 1, says: /nothing/ },
  { args: ['wait', 'nothing', '--for', 'ever'], status: 2, says: /ever/ },
  { args: ['exec', 'nothing/a', '--', 'true'], status: 1, says: /nothing/ },
  { args: ['exec', 'noslash', '--', 'true'], status: 2, says: /noslash/ },
  { args: ['exec', 'net/a'], status: 2, says: /command/ },
  { args: ['cp', 'a', 'b'], status: 2, says: /entity/ },
  { args: ['cp', '/no/such/file', 'net/a:/tmp/'], status: 2, says: /no\/such\/file/ },
  { args: ['console', 'net/a'], status: 2, says: /terminal/ },
  { args: ['migrate', 'nothing/lan1', '--to', 'h1'], status: 1, says: /nothing/ },
  { args: ['apply', '/no/such/file.yaml'], status: 2, says: /no\/such\/file/ },
  { args: ['apply', '-'], status: 1, says: /standard input:1:8/, input: 'name: [' },
  { args: ['apply', '-'], status: 1, says: /.*/, input: '' },
  {
    args: ['plan', '-'],
    status: 1,
    says: /subnet/,
    input: 'name: net\nlans:\n  lan1: { subnt: 10.0.0.0/24 }'
  },
  {
    args: ['plan', '-'],
    status: 1,
    says: /:3:.*10\.0\.0\.0\/33/,
    input: 'name: net\nlans:\n  lan1: { subnet: 10.0.0.0/33 }'
  },
  { args: ['plan', '-'], status: 1, says: /lan1/, input: net('hosts:\n  a: { lan: lan2 }') },
  { args: ['plan', '-'], status: 1, says: /:5:/, input: net('hosts:\n  a: { lan: lan1, ip: 10.1.0.1 }') },
  { args: ['plan', '-'], status: 1, says: /nobody/, input: net('hosts:\n  a: { lan: lan1, on: nobody }') },
  { args: ['plan', '-'], status: 1, says: /offer/, input: net('offer:\n  lan1: h2') },
  { args: ['plan', '-'], status: 1, says: /memory/, input: net('hosts:\n  a: { lan: lan1, memory: lots }') },
  { args: ['plan', '-'], status: 1, says: /name/, input: 'name: ../x\nlans: {}' },
  { args: ['--dir', missing, 'hosts'], status: 1, says: /daemon/ },
  { args: ['--dir', missing, 'daemon'], status: 1, says: /init|join/ },
  { args: ['--dir', '/etc/hostname/x', 'init'], status: 1, says: /--dir/ },
  { args: ['init', '--listen', 'everywhere', '--dir', missing], status: 2, says: /everywhere/ }
]

for (const { args, status, says, input } of cases) {
  const said = input === undefined ? '' : ` with ${JSON.stringify(input)}`
  test(`violin ${args.join(' ')}${said} is refused with status ${status}`, async () => {
    const outcome = await host.try(args, { input: input ?? '', timeoutMs: 30_000 })
    const wanted = args[0] === 'exec' && status === 1 ? 125 : status
    assert.equal(outcome.status, wanted, outcome.stderr)
    assert.equal(outcome.stdout, '')
    assert.match(outcome.stderr, says)
    assert.doesNotMatch(outcome.stderr, /\bat .*\.(ts|js):\d+/, 'no stack')
    if (status === 1) assert.match(outcome.stderr.trimEnd().split('\n').at(-1) as string, /^violin: .+; .+$/)
  })
}

test('--json has no word on standard output but its document, and answers a refusal with none', async () => {
  assert.ok(Array.isArray(await host.json('hosts')))
  const outcome = await host.try(['show', 'nothing', '--json'])
  assert.equal(outcome.status, 1)
  assert.doesNotMatch(outcome.stdout, /\n./)
})

test('a folder that is not the host’s own is left as it was', async () => {
  const file = join(host.folder, '..', 'a-file')
  writeFileSync(file, 'mine')
  const outcome = await host.try(['init', '--dir', file])
  assert.equal(outcome.status, 1)
  assert.match(outcome.stderr, /^violin: /)
})
