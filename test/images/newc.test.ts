import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { lstatSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { type ArchiveEntry, newcArchive, parentFolders } from '#images/newc.ts'

test('busybox unpacks what the writer packed, bytes, modes and links alike', () => {
  const name = fc.string({
    unit: fc.constantFrom('a', 'Z', '0', '.', '_', '-', 'ü'),
    minLength: 1,
    maxLength: 40
  })
  const file = fc.record({
    name,
    mode: fc.integer({ min: 0, max: 0o777 }),
    data: fc.uint8Array({ maxLength: 300 })
  })
  fc.assert(
    fc.property(fc.uniqueArray(file, { selector: (one) => one.name, maxLength: 12 }), (files) => {
      const folder = mkdtempSync(join(tmpdir(), 'violin-newc-'))
      try {
        const entries = files.map(({ name, mode, data }): ArchiveEntry => {
          return { kind: 'file', path: `in/f${name}`, mode: mode | 0o400, data }
        })
        const archive = newcArchive([
          { kind: 'folder', path: 'in', mode: 0o751 },
          { kind: 'link', path: 'in/link', target: 'to/somewhere' },
          ...entries
        ])
        execFileSync('/usr/bin/busybox', ['cpio', '-i', '-m', '--quiet'], { cwd: folder, input: archive })
        assert.equal(lstatSync(join(folder, 'in')).mode, 0o040751)
        assert.equal(readlinkSync(join(folder, 'in/link')), 'to/somewhere')
        for (const entry of entries) {
          if (entry.kind !== 'file') continue
          assert.deepEqual(new Uint8Array(readFileSync(join(folder, entry.path))), new Uint8Array(entry.data))
          assert.equal(lstatSync(join(folder, entry.path)).mode & 0o7777, entry.mode)
        }
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    }),
    { numRuns: 25 }
  )
})

test('a path that leaves the archive, or is none, is refused', () => {
  for (const path of ['', '/etc', 'a/../b', 'a//b', './a', 'a\0b'])
    assert.throws(() => newcArchive([{ kind: 'folder', path, mode: 0o755 }]), RangeError)
})

test('parents of a path come outermost first, without the path itself', () => {
  assert.deepEqual(parentFolders('a/b/c'), ['a', 'a/b'])
  assert.deepEqual(parentFolders('a'), [])
})
