import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { test } from 'node:test'
import { needs, nice, valuesOf, whole, wholes, word, words, json } from './usage.ts'

const spec = {
  json,
  nice,
  kills: whole('kills', 20, 1, 50),
  hosts: wholes('sizes', [3, 10]),
  only: words('parts', ['mesh', 'kills']),
  driver: word('driver', ['netns', 'uml'], 'netns')
}

test('a bench reads what it is asked, and what it is not asked is as usual', () => {
  const usual = { json: false, nice: 0, kills: 20, hosts: [3, 10], only: ['mesh', 'kills'], driver: 'netns' }
  assert.deepEqual(valuesOf(spec, []), usual)
  const args = ['--json', '--nice=-10', '--kills', '3', '--hosts', '5,6', '--only=kills', '--driver', 'uml']
  const asked = { json: true, nice: -10, kills: 3, hosts: [5, 6], only: ['kills'], driver: 'uml' }
  assert.deepEqual(valuesOf(spec, args), asked)
})

test('wrong words on a bench’s command line are told in one line', () => {
  const wrong = (...args: string[]): string => {
    try {
      valuesOf(spec, args)
    } catch (error: unknown) {
      return (error as Error).message
    }
    return 'nothing wrong'
  }
  assert.equal(wrong('--nope'), "Unknown option '--nope'")
  assert.match(wrong('more'), /^Unexpected argument 'more'/)
  assert.match(wrong('--kills'), /^Option '--kills <value>' argument missing/)
  assert.equal(wrong('--kills', 'abc'), '--kills takes whole numbers from 1 to 50, not "abc"')
  assert.equal(wrong('--kills', '51'), '--kills takes whole numbers from 1 to 50, not "51"')
  assert.equal(wrong('--hosts', '3,,5'), '--hosts takes whole numbers from 1 up, not ""')
  assert.equal(wrong('--hosts', '1.5'), '--hosts takes whole numbers from 1 up, not "1.5"')
  assert.equal(wrong('--only', 'mesh,foo'), '--only takes mesh, kills, not "foo"')
  assert.equal(wrong('--driver', 'kvm'), '--driver takes netns, uml, not "kvm"')
})

test('a bench names the programs that it needs and does not find', () => {
  needs('sh', 'ls')
  assert.throws(() => needs('sh', 'no-such-one', 'nor-this'), {
    message: 'it needs no-such-one, nor-this, not found here: bin/setup bench'
  })
})

/** Runs a bench; gives its exit status and what it printed. */
function run(file: string, ...args: string[]): Promise<readonly [number, string, string]> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [file, ...args], { timeout: 60_000 }, (_, stdout, stderr) =>
      resolve([child.exitCode ?? -1, stdout, stderr])
    )
  })
}

test('every bench tells its options, and ends at those that it has not before it measures', async () => {
  const libraries = ['nebula.ts', 'report.ts', 'usage.ts']
  const benches = globSync('*.ts', { cwd: import.meta.dirname }).filter(
    (name) => !name.endsWith('.test.ts') && !libraries.includes(name)
  )
  assert.ok(benches.length >= 7)
  for (const name of benches) {
    const file = `${import.meta.dirname}/${name}`
    const [helped, wrong] = await Promise.all([run(file, '--help'), run(file, '--nope')])
    assert.match(helped[1], /--json +one JSON document/, name)
    assert.deepEqual([helped[0], helped[2]], [0, ''], name)
    assert.match(wrong[2], /^Unknown option '--nope'; usage: [^\n]*--json[^\n]*\n$/, name)
    assert.deepEqual([wrong[0], wrong[1]], [2, ''], name)
  }
})
