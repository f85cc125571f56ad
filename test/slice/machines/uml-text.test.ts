import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { PassThrough, Duplex } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import { ViolinError } from '#core/errors.ts'
import type { EntityFile, SpecEntity } from '#core/spec.ts'
import { Agent } from '#slice/machines/uml/agent.ts'
import { entityArchive } from '#slice/machines/uml/archive.ts'
import { encodeSize, encodeTelnet, TelnetDecoder } from '#slice/machines/uml/telnet.ts'
import { specEntity } from '../../core/topologies.ts'

function listing(change: Partial<SpecEntity>): string[] {
  const archive = entityArchive({
    entity: specEntity('h1', { driver: 'uml', ...change }),
    macs: new Map(),
    names: []
  })
  const text = execFileSync('/usr/bin/busybox', ['cpio', '-t', '-v', '--quiet'], {
    input: archive
  }).toString()
  return text.split('\n')
}

function file(path: string): EntityFile {
  return { path, mode: 0o640, data: Buffer.from('x') }
}

test('a file is laid with its mode, under folders that are made, through the links of the image', () => {
  const lines = listing({ files: [file('/opt/a/b'), file('/usr/sbin/tool'), file('/etc/motd')] })
  assert.ok(lines.some((line) => /^-rw-r----- .* opt\/a\/b$/.test(line)))
  assert.ok(lines.some((line) => /^drwxr-xr-x .* opt\/a$/.test(line)))
  assert.ok(lines.some((line) => line.endsWith(' bin/tool')))
  assert.ok(!lines.some((line) => / (etc|usr\/sbin|bin)$/.test(line)))
})

test('a file that would be hidden, or is no file, is refused by its path', () => {
  for (const path of [
    '/proc/x',
    '/sys/y',
    '/dev/z',
    '/etc/../proc/x',
    '/etc',
    '/sbin',
    'etc/x',
    '/',
    '/a\0b'
  ])
    assert.throws(
      () => listing({ files: [file(path)] }),
      (error: unknown) => error instanceof ViolinError && error.code === 'refused'
    )
})

test('an environment variable that is no name of one is refused, any value is taken', () => {
  assert.throws(() => listing({ env: { 'A;reboot': '1' } }), ViolinError)
  assert.ok(listing({ env: { A: `'"$(reboot)\n` } }).length > 0)
})

test('what a person types comes out of telnet as it went in, however it is cut', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 7 }), (bytes, step) => {
      const doubled = [...encodeTelnet(bytes.filter((byte) => byte !== 13))]
      const negotiation = [255, 253, 1, 255, 250, 31, 0, 80, 255, 240]
      const wire = Uint8Array.from([...negotiation, ...doubled, ...encodeSize(24, 80)])
      const decoder = new TelnetDecoder()
      const out: number[] = []
      for (let at = 0; at < wire.length; at += step) out.push(...decoder.push(wire.subarray(at, at + step)))
      assert.deepEqual(out, [...bytes.filter((byte) => byte !== 13)])
    })
  )
})

function agentOn(): { agent: Agent; said: string[]; guest: Duplex; sent: () => string } {
  const [toGuest, fromGuest] = [new PassThrough(), new PassThrough()]
  const said: string[] = []
  const agent = new Agent(Duplex.from({ readable: fromGuest, writable: toGuest }), {
    up: () => said.push('up'),
    ready: () => said.push('ready'),
    failed: (reason) => said.push(`failed ${reason}`),
    started: (session) => said.push(`started ${session}`),
    exit: (session, status) => said.push(`exit ${session} ${status}`),
    lost: () => said.push('lost')
  })
  const guest = Duplex.from({ readable: toGuest, writable: fromGuest })
  let text = ''
  guest.on('data', (chunk: Buffer) => (text += chunk.toString()))
  return { agent, said, guest, sent: () => text }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))

test('an agent that says something else, or no end of a line, is lost once and heard no more', async () => {
  for (const hostile of ['up\nwhat?\nready\n', `up\n${'x'.repeat(5000)}`]) {
    const { said, guest } = agentOn()
    guest.write(hostile)
    await turn()
    guest.write('\nready\nready\n')
    await turn()
    assert.deepEqual(said.slice(0, 2), ['up', 'lost'])
    assert.ok(!said.includes('ready') && said.filter((word) => word === 'lost').length === 1)
  }
})

test('no bytes of a guest make the agent throw or pass on a status that is none', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 20 }), async (chunks) => {
      const { said, guest } = agentOn()
      for (const chunk of chunks) if (!guest.destroyed) guest.write(chunk)
      guest.write('exit s1 99999\n')
      await turn()
      for (const line of said)
        if (line.startsWith('exit')) assert.match(line, /^exit \S* (\d{1,2}|1\d\d|2[0-5]\d)$/)
    })
  )
})

test('nothing is written between the announcement of names and the answer', async () => {
  const { agent, guest, sent } = agentOn()
  const done = agent.hosts('1.2.3.4 a\n')
  agent.signal('s1', 'HUP')
  await turn()
  assert.equal(sent(), 'hosts 10\n1.2.3.4 a\n')
  guest.write('taken 0\n')
  await done
  await turn()
  assert.equal(sent(), 'hosts 10\n1.2.3.4 a\nsignal s1 HUP\n')
})
