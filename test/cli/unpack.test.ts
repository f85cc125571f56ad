import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmod,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, it } from 'node:test'
import fc from 'fast-check'
import { ViolinError } from '#core/errors.ts'
import { unpack } from '../../src/cli/unpack.ts'

let folder: string
let target: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'violin-unpack-'))
  target = join(folder, 'target')
  await mkdir(target)
})

afterEach(() => rm(folder, { recursive: true, force: true }))

/** One entry of an archive with a right checksum. */
function entry(name: string, type: string, content = '', target = ''): Buffer {
  const header = Buffer.alloc(512)
  header.write(name, 0, 100)
  header.write('0000644\0', 100)
  header.write(`${Buffer.byteLength(content).toString(8).padStart(11, '0')}\0`, 124)
  header.write(' '.repeat(8) + type, 148)
  header.write(target, 157, 100)
  header.write('ustar\x0000', 257)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  const body = Buffer.alloc(Math.ceil(Buffer.byteLength(content) / 512) * 512)
  body.write(content)
  return Buffer.concat([header, body])
}

/** In pieces of any size, as a socket gives them. */
function pieces(bytes: Buffer, length: number): Readable {
  return Readable.from(
    Array.from({ length: Math.ceil(bytes.length / length) }, (_, n) =>
      bytes.subarray(n * length, (n + 1) * length)
    )
  )
}

const end = Buffer.alloc(1024)

describe('an archive is unpacked', () => {
  for (const [tool, args] of [
    ['tar', ['--format=gnu']],
    ['tar', ['--format=pax']],
    ['tar', ['--format=ustar']],
    ['busybox', ['tar']]
  ] as const) {
    it(`as ${tool} ${args.join(' ')} packed it`, async (t) => {
      const source = join(folder, 'source')
      const long = `${'very-'.repeat(18)}long`
      await mkdir(join(source, 'sub', long), { recursive: true })
      await writeFile(join(source, 'sub', long, 'file'), 'deep')
      await writeFile(join(source, 'odd'), Buffer.alloc(1000, 7))
      await writeFile(join(source, 'empty'), '')
      await chmod(join(source, 'odd'), 0o4751)
      await link(join(source, 'odd'), join(source, 'same'))
      await symlink('../outside', join(source, 'away'))
      await chmod(join(source, 'sub'), 0o555)
      let archive: Buffer
      try {
        archive = execFileSync(tool, [...args, '-C', source, '-cf', '-', '.'], {
          stdio: ['ignore', 'pipe', 'inherit']
        })
      } catch (error: unknown) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return t.skip(`${tool} is not here`)
        throw error
      }
      assert.equal(await unpack(pieces(archive, 700), target), 0)
      assert.equal(await readFile(join(target, 'sub', long, 'file'), 'utf8'), 'deep')
      assert.deepEqual(await readFile(join(target, 'same')), Buffer.alloc(1000, 7))
      assert.equal((await stat(join(target, 'odd'))).mode & 0o7777, 0o751)
      assert.equal((await stat(join(target, 'sub'))).mode & 0o777, 0o555)
      assert.equal((await stat(join(target, 'empty'))).size, 0)
      assert.equal(await readlink(join(target, 'away')), '../outside')
      await chmod(join(target, 'sub'), 0o755)
    })
  }

  it('without devices and pipes, which are counted', async () => {
    const archive = Buffer.concat([entry('dev', '4'), entry('pipe', '6'), entry('file', '0', 'x'), end])
    assert.equal(await unpack(pieces(archive, 512), target), 2)
    assert.deepEqual(await readdir(target), ['file'])
  })
})

describe('an archive cannot leave its folder', () => {
  for (const [what, ...parts] of [
    ['by a path upwards', entry('../evil', '0', 'x')],
    ['by a path upwards in the middle', entry('a/../../evil', '0', 'x')],
    ['by a hard link to a file outside', entry('evil', '1', '', '../../etc/passwd')],
    ['by a path through a link to a folder', entry('a', '2', '', '..'), entry('a/evil', '0', 'x')],
    ['by a link through a link', entry('a', '2', '', '..'), entry('a/evil', '2', '', '/etc/passwd')],
    ['by a link in the place of a file', entry('a', '0', 'x'), entry('a', '2', '', '/etc/passwd')]
  ] as const) {
    it(what, async () => {
      await assert.rejects(unpack(pieces(Buffer.concat([...parts, end]), 512), target))
      assert.deepEqual(await readdir(folder), ['target'])
    })
  }

  it('by an absolute path, which is taken as one below', async () => {
    await unpack(pieces(Buffer.concat([entry('/evil', '0', 'x'), end]), 512), target)
    assert.deepEqual(await readdir(target), ['evil'])
  })
})

describe('a damaged archive is refused', () => {
  const whole = Buffer.concat([entry('a', '0', 'x'.repeat(600)), entry('b', '0', 'y'), end])

  it('when it breaks off', async () => {
    for (const length of [100, 513, 1000, 1535]) {
      await rm(target, { recursive: true })
      await mkdir(target)
      await assert.rejects(unpack(pieces(whole.subarray(0, length), 300), target), ViolinError)
    }
  })

  it('when bytes of it are others', async () => {
    let round = 0
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), async (at, byte) => {
        const place = join(folder, `round-${round++}`)
        await mkdir(place)
        const changed = Buffer.from(whole)
        changed[at] = byte
        await unpack(pieces(changed, 512), place).catch((error: unknown) => {
          if (!(error instanceof ViolinError) && (error as NodeJS.ErrnoException).code === undefined)
            throw error
        })
        assert.ok((await readdir(folder)).every((name) => /^(target|round-\d+)$/.test(name)))
      })
    )
  })
})
