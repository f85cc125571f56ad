/** Labs are written by strangers: whatever they hold is taken or refused, and what comes out is a topology. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ViolinError } from '#core/errors.ts'
import type { HostId } from '#core/ids.ts'
import type { ImageHash } from '#core/image.ts'
import { resolveTopology } from '#core/resolve.ts'
import { meaningOf } from '#topology/import/commands.ts'
import { readContainerlab } from '#topology/import/containerlab.ts'
import { type ForeignLab, Notes } from '#topology/import/foreign.ts'
import { readGraphml } from '#topology/import/graphml.ts'
import { readKathara } from '#topology/import/kathara.ts'
import { writeTopology } from '#topology/import/write.ts'
import { parseTopology } from '#topology/parse.ts'
import { containerlab, containerlabFiles, folderOf, graphml, kathara } from './samples.ts'

/** What our own language and its addresses make of a lab; a refusal of the lab is an answer, too. */
function outcome(read: (notes: Notes) => ForeignLab): 'taken' | 'refused' {
  const notes = new Notes()
  let written: ReturnType<typeof writeTopology>
  try {
    written = writeTopology(read(notes), notes, { filesFolder: 'x.files' })
  } catch (error: unknown) {
    if (!(error instanceof ViolinError)) throw error
    assert.equal(error.code, 'topology-invalid')
    assert.doesNotMatch(error.message, /\n/)
    return 'refused'
  }
  const { yaml, files } = written
  for (const path of files.keys()) assert.ok(!path.split('/').includes('..'), path)
  const topology = parseTopology(yaml, {
    file: 'x',
    readFile: (path) => files.get(path) ?? assert.fail(`no file ${path}`)
  })
  const host = 'host' as HostId
  const at = { hosts: [host], pinned: false, away: false, why: '' }
  resolveTopology(
    topology,
    {
      entities: new Map(topology.entities.map(({ name }) => [name, at])),
      lans: new Map(topology.lans.map(({ name }) => [name, at]))
    },
    null,
    new Map([['router', 'ab'.repeat(32) as ImageHash]])
  )
  return 'taken'
}

const odd = fc.constantFrom(
  ...[
    '',
    '..',
    '../../etc/passwd',
    '__proto__',
    'constructor',
    'toString',
    '-',
    'A',
    'a',
    'eth0',
    'lo',
    '\u2028'
  ],
  ...[
    'x'.repeat(300),
    'é',
    '\0',
    '"',
    '# c',
    ': y',
    '[',
    '10.0.0.0/31',
    '0.0.0.0/0',
    '255.255.255.255/32',
    '-1'
  ]
)
const word = fc.oneof(odd, fc.string({ maxLength: 12 }), fc.string({ unit: 'binary', maxLength: 6 }))
const address = fc
  .tuple(fc.nat(255), fc.nat(3), fc.nat(255), fc.nat(33))
  .map(([a, b, c, prefix]) => `${a}.0.${b}.${c}/${prefix}`)
const command = fc.oneof(
  fc.tuple(fc.nat(4), address).map(([nic, ip]) => `ip addr add ${ip} dev eth${nic}`),
  fc.tuple(fc.nat(4), address).map(([nic, ip]) => `ifconfig eth${nic} ${ip} up`),
  word.map((text) => `route add ${text}`),
  word.map((text) => `cat << ${text}`),
  word
)

test('no lab.conf, script or path makes an import fail in another way than by a refusal', () => {
  const line = fc.oneof(
    fc
      .tuple(fc.constantFrom('a', 'b', 'C', 'toString'), fc.nat(20), word)
      .map(([n, i, d]) => `${n}[${i}]="${d}"`),
    fc
      .tuple(fc.constantFrom('a', 'b'), fc.constantFrom('mem', 'env', 'exec', 'sysctl', 'x'), word)
      .map(([n, k, v]) => `${n}[${k}]=${v}`),
    fc
      .tuple(fc.constantFrom('a', 'b', 'c'), fc.nat(2), fc.constantFrom('A', 'B'))
      .map(([n, i, d]) => `${n}[${i}]=${d}`),
    word
  )
  const taken = { taken: 0, refused: 0 }
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 20 }),
      fc.array(command, { maxLength: 10 }),
      fc.array(word, { maxLength: 4 }),
      (lines, commands, paths) => {
        const files: Record<string, string> = {
          'lab.conf': lines.join('\n'),
          'a.startup': commands.join('\n')
        }
        for (const path of paths) files[`a/${path}`] = path
        taken[outcome((notes) => readKathara(folderOf(files), 'lab', notes))]++
      }
    ),
    { numRuns: 100 }
  )
  assert.ok(taken.taken > 10, JSON.stringify(taken))
})

test('no containerlab file makes an import fail in another way than by a refusal', () => {
  const node = fc.record(
    {
      kind: fc.constantFrom('linux', 'bridge', 'srl', '__proto__'),
      group: word,
      image: word,
      exec: fc.array(command, { maxLength: 4 }),
      binds: fc.array(
        fc.oneof(
          word,
          fc.constant('daemons:/etc/x'),
          word.map((text) => `daemons:${text}`)
        ),
        { maxLength: 3 }
      ),
      env: fc.dictionary(word, word, { maxKeys: 2 }),
      memory: word
    },
    { requiredKeys: [] }
  )
  const names = fc.constantFrom('a', 'b', 'C', 'switch')
  const end = fc.oneof(
    fc.tuple(names, fc.oneof(fc.constantFrom('eth1', 'e1-1'), word)).map(([n, i]) => `${n}:${i}`),
    fc.record({ node: names, interface: word })
  )
  const taken = { taken: 0, refused: 0 }
  fc.assert(
    fc.property(
      fc.dictionary(names, node),
      fc.array(fc.record({ endpoints: fc.array(end, { maxLength: 2 }) })),
      word,
      (nodes, links, name) => {
        const text = JSON.stringify({
          name,
          topology: { nodes: { a: {}, b: {}, C: {}, switch: { kind: 'bridge' }, ...nodes }, links }
        })
        taken[outcome((notes) => readContainerlab(text, 'x.clab.yml', folderOf(containerlabFiles), notes))]++
      }
    ),
    { numRuns: 100 }
  )
  assert.ok(taken.taken > 10, JSON.stringify(taken))
})

test('good labs with bytes changed, moved or left out are taken or refused', () => {
  const samples = [
    [graphml, (text: string, notes: Notes) => readGraphml(text, 'x.graphml', notes)],
    [
      containerlab,
      (text: string, notes: Notes) => readContainerlab(text, 'x.clab.yml', folderOf(containerlabFiles), notes)
    ],
    [
      kathara['lab.conf'] as string,
      (text: string, notes: Notes) => readKathara(folderOf({ ...kathara, 'lab.conf': text }), 'lab', notes)
    ],
    [
      kathara['pc2.startup'] as string,
      (text: string, notes: Notes) => readKathara(folderOf({ ...kathara, 'pc2.startup': text }), 'lab', notes)
    ]
  ] as const
  const edit = fc.tuple(fc.nat(), fc.nat(40), fc.string({ maxLength: 6 }))
  fc.assert(
    fc.property(
      fc.constantFrom(...samples),
      fc.array(edit, { minLength: 1, maxLength: 4 }),
      ([text, read], edits) => {
        let changed: string = text
        for (const [at, length, more] of edits) {
          const from = at % changed.length
          changed = `${changed.slice(0, from)}${more}${changed.slice(from + length)} `
        }
        outcome((notes) => read(changed, notes))
      }
    ),
    { numRuns: 200 }
  )
})

test('a file that grows by aliases, entities or depth is refused at once', () => {
  const bomb = `name: x\ntopology:\n  nodes:\n    a: &a { exec: [x, x, x, x, x, x, x, x] }\n${Array.from({ length: 200 }, (_, place) => `    n${place}: *a\n`).join('')}`
  assert.equal(
    outcome((notes) => readContainerlab(bomb, 'x', folderOf({}), notes)),
    'refused'
  )
  const entities =
    '<!DOCTYPE graphml [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><graphml><graph><node id="&b;"/></graph></graphml>'
  assert.equal(
    outcome((notes) => readGraphml(entities, 'x', notes)),
    'refused'
  )
  const nodes = Array.from({ length: 3_000 }, (_, place) => `<node id="${place}"/>`).join('')
  assert.equal(
    outcome((notes) => readGraphml(`<graphml><graph>${nodes}</graph></graphml>`, 'x', notes)),
    'refused'
  )
})

test('of a lab with ten thousand complaints a thousand are told, and how many more there are', () => {
  const notes = new Notes()
  readKathara(folderOf({ 'lab.conf': `a[0]=A\n${'?\n'.repeat(10_000)}` }), 'lab', notes)
  assert.equal(notes.all.length, 1_001)
  assert.match(notes.all.at(-1)?.text as string, /^and 9000 more/)
})

test('only a plain command is taken for what it says', () => {
  const cases: [string, string][] = [
    ['ip a add 10.0.0.1/24 dev eth0', 'address'],
    ['/sbin/ip -4 address replace 10.0.0.1/24 brd 10.0.0.255 dev eth0', 'address'],
    ['ifconfig eth0 10.0.0.1 netmask 255.255.255.0', 'address'],
    ['ifconfig eth0 10.0.0.1 netmask 255.0.255.0', 'other'],
    ['ip addr add 10.0.0.1/24 dev eth0 && reboot', 'other'],
    ['ip addr add $IP dev eth0', 'other'],
    ['ip addr add 10.0.0.1/32 dev lo', 'other'],
    ['ip addr add 10.0.0.1/31 dev eth0', 'other'],
    ['ip addr add 10.0.0.1/24 dev eth0 label eth0:1', 'other'],
    ['ip -6 addr add fd00::1/64 dev eth0', 'ipv6'],
    ['ip addr add fd00::1/127 dev eth0', 'other'],
    ['ip addr add fe80::1/64 dev eth0', 'other'],
    ['ip addr add ff02::1/64 dev eth0', 'other'],
    ['ip addr add fd00::1/64/64 dev eth0', 'other'],
    ['ifconfig eth0 inet6 add fd00::1/64', 'ipv6'],
    ['ifconfig eth0 inet6 add fd00::1', 'other'],
    ['ip l set eth0 up', 'up'],
    ['ip link set dev eth0 up', 'up'],
    ['ip link set eth0 mtu 1400', 'other'],
    ['ip route add default via 10.0.0.1', 'reworded'],
    ['route add default gw 10.0.0.1 eth0', 'reworded'],
    ['route add -net 10.0.0.0 gw 10.0.0.1', 'other'],
    ['route add -net 10.0.0.0 netmask 255.0.0.0 gw 10.0.0.1', 'reworded'],
    ['route del default', 'other'],
    ['systemctl restart frr.service', 'service'],
    ['service frr stop', 'other']
  ]
  for (const [text, kind] of cases) assert.equal(meaningOf(text).kind, kind, text)
})
