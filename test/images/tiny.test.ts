import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { buildTiny } from '#images/tiny.ts'

test('the image is the same bytes each time, holds what a guest needs, and is made once', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'violin-tiny-'))
  try {
    const [one, two] = await Promise.all([buildTiny(join(folder, 'one')), buildTiny(join(folder, 'two'))])
    const bytes = readFileSync(one.initrd)
    assert.deepEqual(readFileSync(two.initrd), bytes)
    const list = execFileSync('/usr/bin/busybox', ['cpio', '-t', '--quiet'], {
      input: gunzipSync(bytes)
    }).toString()
    const paths = new Set(list.split('\n'))
    const wanted = [
      'init',
      'bin/busybox',
      'bin/traceroute',
      'bin/ping',
      'bin/nc',
      'lib/violin/agent',
      'etc/inittab'
    ]
    for (const path of wanted) assert.ok(paths.has(path), path)
    assert.match(list, /virtio_console\.ko[^]*virtio_net\.ko/)
    const made = statSync(one.initrd)
    await buildTiny(join(folder, 'one'))
    assert.equal(statSync(one.initrd).ino, made.ino)
    assert.deepEqual(readdirSync(join(folder, 'one')).toSorted(), ['initrd.img', 'initrd.sha256'])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('an image of another making is replaced', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'violin-tiny-'))
  try {
    writeFileSync(join(folder, 'initrd.img'), 'old')
    writeFileSync(join(folder, 'initrd.sha256'), 'of something else')
    const { initrd } = await buildTiny(folder)
    assert.ok(statSync(initrd).size > 100_000)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
