/** What stands in files, or is fetched as one: images, scenarios, other programs' labs. */
import { readFileSync } from 'node:fs'
import assert from 'node:assert/strict'
import { ViolinError } from '#core/errors.ts'
import { decodeManifest, encodeManifest, imageLimits } from '#core/image.ts'
import { linkWords, type LinkWord, formatLinkWord, parseLinkWord } from '#core/link.ts'
import { Malformed } from '#core/records/cbor.ts'
import { Notes } from '#topology/import/foreign.ts'
import { readGraphml } from '#topology/import/graphml.ts'
import { formatAddress6, parseAddress, parseAddress6 } from '#topology/import/subnets.ts'
import { parseTopology } from '#topology/parse.ts'
import { parseScenario } from '#topology/scenario.ts'
import { graphml } from '../../topology/import/samples.ts'
import { bytesOf, same, type Target, text } from '../target.ts'

/** Whether a reader of files takes it; a refusal is one line that says where. */
function taken(read: () => void): boolean {
  try {
    read()
    return true
  } catch (error: unknown) {
    if (!(error instanceof ViolinError) || error.code !== 'topology-invalid') throw error
    assert.doesNotMatch(error.message, /\n/)
    return false
  }
}

const manifests: Target = {
  name: 'manifest of an image',
  enters: ['core/image.ts decodeManifest'],
  form: 'bytes',
  samples: [
    encodeManifest({
      entries: [
        { kind: 'folder', path: 'bin' },
        { kind: 'file', path: 'bin/sh', executable: true, bytes: 5 },
        { kind: 'link', path: 'sbin', target: 'bin' }
      ],
      pieces: [new Uint8Array(32)]
    }),
    encodeManifest({ entries: [], pieces: [] })
  ],
  maxBytes: Math.min(4096, imageLimits.manifestBytes),
  weight: 1,
  decode(bytes) {
    try {
      same(encodeManifest(decodeManifest(bytes)), bytes)
      return true
    } catch (error: unknown) {
      if (!(error instanceof Malformed)) throw error
      return false
    }
  }
}

const lab = parseTopology(
  'name: line\ndriver: netns\nlans: { l: { subnet: 10.0.0.0/24 } }\nhosts: { a: { lan: l }, b: { lan: l } }\n',
  { file: 'line.yaml', readFile: () => ({ data: new Uint8Array(0), mode: 0o644 }) }
)

const scenarios: Target = {
  name: 'scenario',
  enters: ['topology/scenario.ts parseScenario'],
  form: 'text',
  samples: [
    readFileSync(new URL('../../../examples/experiment/cut.yaml', import.meta.url)),
    bytesOf(`name: cut
topology: line.yaml
env: { A: b }
steps:
  - { name: pings, at: 1s, exec: a, run: ping -c 3 b, timeout: 30s }
  - { name: cut, after: pings, wait: 500ms, link: 'a:eth0', down: true }
  - { name: kept, after: cut, gather: a, files: [/tmp/pings] }
`)
  ].map((sample) => new Uint8Array(sample)),
  maxBytes: 4096,
  weight: 0.5,
  decode: (bytes) => taken(() => parseScenario(text(bytes), { file: 's.yaml', readTopology: () => lab }))
}

const graphs: Target = {
  name: 'GraphML',
  enters: ['topology/import/graphml.ts readGraphml'],
  form: 'text',
  samples: [bytesOf(graphml)],
  maxBytes: 4096,
  weight: 0.5,
  decode: (bytes) => taken(() => readGraphml(text(bytes), 'g.graphml', new Notes()))
}

const words: Target = {
  name: 'words of a link, and addresses of other labs',
  enters: [
    'core/link.ts parseLinkWord',
    'topology/import/subnets.ts parseAddress',
    'topology/import/subnets.ts parseAddress6'
  ],
  form: 'text',
  samples: ['20ms', '1.5%', '10mbit', '100', '10.0.0.1/24', 'fd00:1::2/64'].map(bytesOf),
  maxBytes: 128,
  weight: 3,
  decode(bytes) {
    const line = text(bytes)
    const ipv6 = parseAddress6(line)
    if (ipv6 !== null) assert.deepEqual(parseAddress6(formatAddress6(ipv6)), ipv6)
    let isTaken = parseAddress(line) !== null || ipv6 !== null
    for (const word of Object.keys(linkWords) as LinkWord[]) {
      const value = parseLinkWord(word, line)
      if (value === null) continue
      isTaken = true
      assert.ok(Number.isSafeInteger(value) && value >= 0 && value <= linkWords[word].max)
      if (value > 0) assert.ok(parseLinkWord(word, formatLinkWord(word, value)) !== null)
    }
    return isTaken
  }
}

export const files: readonly Target[] = [manifests, scenarios, graphs, words]
