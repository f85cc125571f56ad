import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, describe, it } from 'node:test'
import { containerlab, containerlabFiles, graphml, kathara } from '../topology/import/samples.ts'
import { runViolin, startBench } from './violin.ts'

const work = mkdtempSync(join(tmpdir(), 'violin-import-'))
const bench = await startBench()
after(async () => {
  await bench[Symbol.asyncDispose]()
  rmSync(work, { recursive: true, force: true })
})

function lay(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    const at = join(work, folder, path)
    mkdirSync(dirname(at), { recursive: true })
    writeFileSync(at, text)
  }
}

describe('violin import', () => {
  lay('shop', kathara)
  lay('frr', { 'frr01.clab.yml': containerlab, ...containerlabFiles })
  lay('zoo', { 'little.graphml': graphml })
  const run = (...args: string[]): ReturnType<typeof runViolin> =>
    runViolin(['import', ...args], { cwd: work })

  it('makes a file of each kind of lab that `violin plan` takes', async () => {
    for (const [source, name, entities] of [
      ['shop', 'shop', 4],
      ['frr/frr01.clab.yml', 'frr01', 5],
      ['zoo/little.graphml', 'little-net', 5]
    ] as const) {
      const made = await run(source)
      assert.equal(made.status, 0, made.stderr)
      assert.match(
        made.stdout,
        new RegExp(`^${name}.violin.yaml: ${entities} entities on \\d+ vLANs; \\d+ things`)
      )
      const planned = await bench.violin(['plan', join(work, `${name}.violin.yaml`)])
      assert.equal(planned.status, 0, planned.stderr)
    }
  })

  it('tells what it left out: a line each on standard error, and in --json', async () => {
    const { stdout, stderr } = await run('shop', '-o', 'out/other.violin.yaml', '--driver', 'netns', '--json')
    const told = JSON.parse(stdout) as {
      file: string
      files: string[]
      notes: { file: string; line: number; text: string }[]
    }
    const lines = stderr.trimEnd().split('\n')
    assert.deepEqual(
      lines,
      told.notes.map(({ file, line, text }) => `${file}${line === 0 ? '' : `:${line}`}: ${text}`)
    )
    assert.ok(lines.includes('shop/lab.conf:18: is no line of a lab.conf: "what is this"'))
    assert.equal(told.file, 'out/other.violin.yaml')
    assert.ok(told.files.includes('out/other.files/pc1/etc/motd'))
    assert.match(readFileSync(join(work, 'out/other.violin.yaml'), 'utf8'), /^driver: netns$/m)
  })

  it('writes over nothing unless it is told to', async () => {
    const again = await run('shop', '-o', 'out/other.violin.yaml')
    assert.equal(again.status, 1)
    assert.match(
      again.stderr,
      /^violin: out\/other.violin.yaml is there already; name another with -o, or use --force$/m
    )
    assert.equal((await run('shop', '-o', 'out/other.violin.yaml', '--force')).status, 0)
  })

  it('follows no link out of the lab', async () => {
    lay('trap', { 'lab.conf': 'a[0]=A\n', 'a/here': 'x' })
    symlinkSync('/etc/hostname', join(work, 'trap/a/secret'))
    symlinkSync('here', join(work, 'trap/a/near'))
    symlinkSync('/', join(work, 'trap/a/all'))
    const { stderr, stdout } = await run('trap', '--json')
    assert.deepEqual((JSON.parse(stdout) as { files: string[] }).files, [
      'trap.files/a/here',
      'trap.files/a/near'
    ])
    assert.match(stderr, /^trap\/a\/secret: is not taken over: a link that leads out of the lab$/m)
    assert.match(stderr, /^trap\/a\/all: is not taken over: a link/m)
  })

  it('says what it takes where it is given something else', async () => {
    for (const [source, what] of [
      ['nowhere', /nowhere cannot be read: .*; name a Kathará folder/],
      ['.', /has no lab.conf and no/],
      ['frr/daemons', /is no lab that can be imported/]
    ] as const) {
      const { status, stderr } = await run(source)
      assert.equal(status, 2, stderr)
      assert.match(stderr, what)
    }
  })
})
