import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { HostKey, LanKey, Mac } from '#core/ids.ts'
import type { Report } from '#slice/forwarder/contract.ts'
import { startForwarder } from '#slice/forwarder/forwarder.ts'
import { inNetworkNamespace } from '#syscalls/netns.ts'
import { configureLink, openTap } from '#syscalls/tap.ts'

const root = process.getuid?.() === 0 && existsSync('/dev/net/tun')
const fixedRole = new URL('./fixed-role-worker.ts', import.meta.url)
const self = '00112233aabbccdd' as HostKey
const lan = 7 as LanKey
const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' })

test('a process with a blocked forwarder ends when it wants to', async () => {
  const program = fileURLToPath(new URL('./exits.ts', import.meta.url))
  const run = promisify(execFile)(process.execPath, [program], { timeout: 20_000 })
  await assert.rejects(run, { code: 42 })
})

test('a command is obeyed at once, though the worker is blocked', async () => {
  const { promise, resolve } = Promise.withResolvers<number>()
  let asked = 0
  await using forwarder = startForwarder({
    self,
    udpFd: -1,
    program: fixedRole,
    onFailed: (error) => assert.fail(error),
    onReport: (report) => {
      if (report.kind === 'ready') {
        asked = performance.now()
        forwarder.post({ kind: 'status', id: 5 })
      }
      if (report.kind === 'status' && report.id === 5) resolve(performance.now() - asked)
    }
  })
  assert.ok((await promise) < 500)
})

test('a port that cannot be opened is reported, and the worker goes on', async () => {
  const { promise, resolve } = Promise.withResolvers<Report>()
  await using forwarder = startForwarder({
    self,
    udpFd: -1,
    program: fixedRole,
    onFailed: (error) => assert.fail(error),
    onReport: (report) => {
      if (report.kind === 'port') resolve(report)
    }
  })
  forwarder.post({ kind: 'lan', lan, candidates: [self], members: [self] })
  const source = { kind: 'tap', fd: 999_999 } as const
  forwarder.post({ kind: 'port', port: 3, lan, mac: '02:00:00:00:00:01' as Mac, source, link: null })
  const report = await promise
  assert.ok(report.kind === 'port' && report.port === 3 && !report.up)
  assert.match(report.reason, /EBADF/)
})

test(
  'frames of a port with a delay take that long each way, many at a time',
  { skip: root ? false : 'needs root and /dev/net/tun', timeout: 30_000 },
  async () => {
    const names = ['vb-delay-a', 'vb-delay-b']
    try {
      for (const name of names) ip('netns', 'add', name)
      const taps = names.map((name, index) =>
        inNetworkNamespace(`/run/netns/${name}`, () => {
          const fd = openTap('eth0')
          configureLink('eth0', { mac: `02:00:00:00:00:0${index + 1}`, up: true })
          return fd
        })
      )
      for (const [index, name] of names.entries())
        ip('-n', name, 'addr', 'add', `192.168.9.${index + 1}/24`, 'dev', 'eth0')
      await using forwarder = startForwarder({
        self,
        udpFd: -1,
        onFailed: (error) => assert.fail(error),
        onReport: () => undefined
      })
      forwarder.post({ kind: 'lan', lan, candidates: [self], members: [self] })
      for (const [index, fd] of taps.entries()) {
        const mac = `02:00:00:00:00:0${index + 1}` as Mac
        const link = { delayMs: index === 0 ? 10 : 5 }
        forwarder.post({ kind: 'port', port: index, lan, mac, source: { kind: 'tap', fd }, link })
      }
      // The real election: a host without trunks is its own switch at once.
      const ping = ['ping', '-q', '-c', '100', '-i', '0.004', '-W', '2', '192.168.9.2']
      const { stdout } = await promisify(execFile)('ip', ['netns', 'exec', names[0] as string, ...ping])
      assert.match(stdout, / 0% packet loss/)
      const shortest = Number(/= ([\d.]+)\//.exec(stdout)?.[1])
      // 10 in, 5 out, and the same back.
      assert.ok(shortest >= 30 && shortest < 33, `${shortest} ms`)
    } finally {
      for (const name of names) ip('netns', 'del', name)
    }
  }
)
