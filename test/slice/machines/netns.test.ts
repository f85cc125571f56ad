import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { type TestContext, test } from 'node:test'
import type { Mac, ViolinId } from '#core/ids.ts'
import { encodeSessionFrame, SessionDecoder, sessionFrame, type SessionRequest } from '#core/session.ts'
import type { SpecEntity } from '#core/spec.ts'
import type { EntityState } from '#slice/contract.ts'
import type { Machine } from '#slice/machines/contract.ts'
import { startNetns } from '#slice/machines/netns/netns.ts'
import { hostsFile, networkScript, quote } from '#slice/machines/netns/setup.ts'
import { close } from '#syscalls/libc.ts'
import { inNetworkNamespaceOf } from '#syscalls/netns.ts'
import { openTap } from '#syscalls/tap.ts'
import { specEntity } from '../../core/topologies.ts'

const tools = ['/usr/bin/bwrap', '/usr/bin/busybox'].every((path) => existsSync(path))
const jails = tools && spawnSync('bwrap', ['--unshare-all', '--ro-bind', '/', '/', '/bin/true']).status === 0
const needs = { skip: jails ? false : 'needs bubblewrap and busybox', timeout: 60_000 }
const taps = process.getuid?.() === 0 && existsSync('/dev/net/tun')
const needsTaps = { ...needs, skip: jails && taps ? false : 'needs root and /dev/net/tun' }
const violin = 'ab'.repeat(32) as ViolinId

interface Started {
  readonly machine: Machine
  /** Resolves with the first of `running`, `failed`. */
  readonly settled: Promise<{ readonly state: EntityState; readonly reason: string }>
}

async function start(context: TestContext, more: Partial<SpecEntity> = {}, name = 'm1'): Promise<Started> {
  const root = await mkdtemp(join(tmpdir(), 'vn-'))
  const folder = join(root, name)
  await mkdir(folder)
  const { promise, resolve } = Promise.withResolvers<{ state: EntityState; reason: string }>()
  const fds: number[] = []
  const entity = specEntity(name, { memoryMiB: 32, ...more })
  const machine = startNetns({
    violin,
    entity,
    macs: new Map(entity.nics.map((nic, index) => [nic.name, `02:00:00:00:00:0${index}` as Mac])),
    names: [{ name: 'other', ip: '192.168.9.9' }],
    folder,
    images: root,
    attach: (_nic, source) => assert.equal(source.kind, 'tap'),
    detach: () => undefined,
    tap: async (namespace, nic) => {
      assert.notEqual(namespace, null)
      const fd = inNetworkNamespaceOf(namespace as number, () => openTap(nic))
      fds.push(fd)
      return fd
    },
    events: {
      up: () => undefined,
      state: (state, reason) => {
        if (state === 'running' || state === 'failed') resolve({ state, reason })
      }
    }
  })
  context.after(async () => {
    await machine.stop()
    for (const fd of fds) close(fd)
    await rm(root, { recursive: true, force: true })
  })
  return { machine, settled: promise }
}

/** A caller's end of a session. */
class Caller {
  readonly #stream: Socket
  readonly #decoder = new SessionDecoder()
  readonly #looking = new Set<() => void>()
  stdout: Buffer = Buffer.alloc(0)
  stderr: Buffer = Buffer.alloc(0)
  status: number | null = null
  failure: string | null = null

  private constructor(stream: Socket) {
    this.#stream = stream
    stream.on('data', (chunk: Buffer) => this.#take(chunk))
  }

  /** Opens a session over a socket, as slices do. */
  static async open(machine: Machine, request: Pick<SessionRequest, 'argv' | 'terminal'>): Promise<Caller> {
    const folder = await mkdtemp(join(tmpdir(), 'vc-'))
    const path = join(folder, 's')
    const { promise, resolve } = Promise.withResolvers<Duplex>()
    const server = createServer(resolve).listen(path)
    const caller = new Caller(connect(path))
    machine.session({ violin, entity: 'm1', ...request }, await promise)
    server.close()
    await rm(folder, { recursive: true })
    return caller
  }

  send(type: number, payload: Uint8Array | string = ''): void {
    this.#stream.write(encodeSessionFrame(type, Buffer.from(payload)))
  }

  leave(): void {
    this.#stream.destroy()
  }

  async until(what: string, done: () => boolean): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const look = (): void => {
      if (done()) resolve(undefined)
    }
    const said = (): string => `${this.stdout.toString()}${this.stderr.toString()}${this.failure}`
    const timer = setTimeout(() => reject(new Error(`${what} did not come: ${said()}`)), 20_000)
    this.#looking.add(look)
    look()
    await promise.finally(() => {
      clearTimeout(timer)
      this.#looking.delete(look)
    })
  }

  async end(): Promise<number> {
    await this.until('the end', () => this.status !== null || this.failure !== null)
    return this.status ?? -1
  }

  #take(chunk: Buffer): void {
    for (const { type, payload } of this.#decoder.push(chunk)) {
      if (type === sessionFrame.stdout) this.stdout = Buffer.concat([this.stdout, payload])
      if (type === sessionFrame.stderr) this.stderr = Buffer.concat([this.stderr, payload])
      if (type === sessionFrame.exit) this.status = Buffer.from(payload).readInt32BE(0)
      if (type === sessionFrame.failed) this.failure = Buffer.from(payload).toString()
    }
    for (const look of this.#looking) look()
  }
}

const terminal = { rows: 30, columns: 99 }
const size = (rows: number, columns: number): Uint8Array =>
  Uint8Array.of(rows >> 8, rows, columns >> 8, columns)

test('the network is told to the shell word by word', () => {
  const entity = {
    kind: 'router',
    nics: [{ name: "e'0", lan: 'x', ips: ['10.0.0.1/24', '10.0.1.1/24'] }],
    routes: [{ to: 'default', via: '10.0.0.254' }]
  } as unknown as SpecEntity
  assert.equal(quote("it's"), "'it'\\''s'")
  assert.deepEqual(networkScript(entity).trim().split('\n'), [
    'ip link set lo up',
    "ip addr add '10.0.0.1/24' broadcast + dev 'e'\\''0'",
    "ip addr add '10.0.1.1/24' broadcast + dev 'e'\\''0'",
    "ip link set 'e'\\''0' up",
    "ip route add 'default' via '10.0.0.254'",
    'echo 1 > /proc/sys/net/ipv4/ip_forward',
    'echo 0 > /proc/sys/net/ipv4/conf/all/send_redirects',
    `echo 0 > /proc/sys/net/ipv4/conf/${quote("e'0")}/send_redirects`
  ])
  assert.match(hostsFile('m', [{ name: 'n', ip: '1.2.3.4' }]), /^1\.2\.3\.4\tn$/m)
})

test('an entity has its addresses, routes, forwarding, name and names', needsTaps, async (context) => {
  const { machine, settled } = await start(context, {
    kind: 'router',
    nics: [
      { name: 'eth0', lan: 'a', ips: ['192.168.9.1/24'] },
      { name: 'wan', lan: 'b', ips: ['10.1.0.1/16', '10.2.0.1/16'] }
    ],
    routes: [{ to: '172.16.0.0/12', via: '192.168.9.254' }]
  })
  assert.deepEqual(await settled, { state: 'running', reason: '' })
  const script =
    'hostname; ip -4 -o addr show scope global; ip route; cat /proc/sys/net/ipv4/ip_forward /sys/none /etc/hosts; ip link show eth0'
  const caller = await Caller.open(machine, { argv: ['sh', '-c', script] })
  await caller.end()
  const said = caller.stdout.toString()
  assert.match(said, /^m1$/m)
  assert.match(said, /eth0 +inet 192\.168\.9\.1\/24 brd 192\.168\.9\.255/)
  assert.match(said, /wan +inet 10\.2\.0\.1\/16/)
  assert.match(said, /^172\.16\.0\.0\/12 via 192\.168\.9\.254/m)
  assert.match(said, /^1$/m)
  assert.match(said, /^192\.168\.9\.9\tother$/m)
  await machine.rename([{ name: 'renamed', ip: '192.168.9.8' }])
  const again = await Caller.open(machine, { argv: ['cat', '/etc/hosts'] })
  await again.end()
  assert.match(again.stdout.toString(), /renamed/)
  assert.doesNotMatch(again.stdout.toString(), /other/)
})

test('a megabyte goes in and comes out as it was', needs, async (context) => {
  const { machine, settled } = await start(context)
  await settled
  const bytes = Buffer.alloc(1 << 20, 0).map((_, index) => (index * 7 + (index >> 8)) & 255)
  const caller = await Caller.open(machine, { argv: ['cat'] })
  for (let at = 0; at < bytes.length; at += 65_536)
    caller.send(sessionFrame.stdin, bytes.subarray(at, at + 65_536))
  caller.send(sessionFrame.stdinEnd)
  assert.equal(await caller.end(), 0)
  assert.ok(caller.stdout.equals(bytes))
})

test(
  'a program that is not there, and one that is killed, give the shell’s status',
  needs,
  async (context) => {
    const { machine, settled } = await start(context)
    await settled
    const absent = await Caller.open(machine, { argv: ['no-such-program'] })
    assert.equal(await absent.end(), 127)
    assert.match(absent.stderr.toString(), /no-such-program/)
    const killed = await Caller.open(machine, { argv: ['sh', '-c', 'kill -9 $$'] })
    assert.equal(await killed.end(), 137)
  }
)

test('a console is a terminal of the caller’s size, with job control', needs, async (context) => {
  const { machine, settled } = await start(context)
  await settled
  const caller = await Caller.open(machine, { argv: [], terminal })
  caller.send(sessionFrame.stdin, 'stty size; tty\n')
  await caller.until('its size', () => /^30 99\r$/m.test(caller.stdout.toString()))
  await caller.until('its name', () => /^\/dev\/pts\/\d+\r$/m.test(caller.stdout.toString()))
  caller.send(sessionFrame.resize, size(41, 140))
  caller.send(sessionFrame.stdin, 'stty size\n')
  await caller.until('its new size', () => /^41 140\r$/m.test(caller.stdout.toString()))
  // Ctrl-C reaches the program in the foreground, not the shell.
  const program = `sh -c 'trap "echo caught; exit" INT; echo st""arted; while :; do usleep 20000; done'`
  caller.send(sessionFrame.stdin, `${program}; echo went on\n`)
  await caller.until('the program', () => /^started\r$/m.test(caller.stdout.toString()))
  caller.send(sessionFrame.stdin, '\u0003')
  await caller.until('its end', () => /caught\r$/m.test(caller.stdout.toString()))
  caller.send(sessionFrame.stdin, 'exit 5\n')
  assert.equal(await caller.end(), 5)
  assert.equal(caller.stderr.length, 0)
})

test('a program ends when its caller goes', needs, async (context) => {
  const { machine, settled } = await start(context)
  await settled
  const pipes = await Caller.open(machine, { argv: ['sh', '-c', 'echo up; sleep 4321'] })
  await pipes.until('it', () => pipes.stdout.includes('up'))
  const shell = await Caller.open(machine, { argv: ['sh', '-c', 'echo up; sleep 4321'], terminal })
  await shell.until('it', () => shell.stdout.includes('up'))
  pipes.leave()
  shell.leave()
  const watch = await Caller.open(machine, {
    argv: ['sh', '-c', 'while ps | grep -q "[s]leep 4321"; do usleep 10000; done; echo gone']
  })
  assert.equal(await watch.end(), 0)
})

test('background programs of `run` stay, and its end is waited for', needs, async (context) => {
  const run = 'sleep 5432 & \n echo done > /tmp/run'
  const { machine, settled } = await start(context, { run })
  assert.equal((await settled).state, 'running')
  const caller = await Caller.open(machine, {
    // It has its name when its shell has become it, which nothing waits for.
    argv: ['sh', '-c', 'cat /tmp/run; until ps | grep "[s]leep 5432" | wc -l | grep 1; do usleep 10000; done']
  })
  await caller.end()
  assert.equal(caller.stdout.toString(), 'done\n1\n')
})

test('a `run` that fails says why', needs, async (context) => {
  const { machine, settled } = await start(context, { run: 'echo the reason >&2\nexit 3' })
  const { state, reason } = await settled
  assert.equal(state, 'failed')
  assert.match(reason, /status 3: the reason/)
  const caller = await Caller.open(machine, { argv: ['id'] })
  await caller.end()
  assert.match(caller.failure ?? '', /not-running-here/)
})

test('an entity may not fill the memory of its host with files', needs, async (context) => {
  const { machine, settled } = await start(context, { memoryMiB: 8 })
  await settled
  const caller = await Caller.open(machine, {
    argv: ['dd', 'if=/dev/zero', 'of=/root/x', 'bs=1M', 'count=64']
  })
  assert.equal(await caller.end(), 1)
  assert.match(caller.stderr.toString(), /No space left/)
})

test('nothing of it is left after it stopped, not even what ignores every signal', needs, async (context) => {
  const { machine, settled } = await start(context, { run: 'trap "" HUP TERM INT; setsid sleep 65432 &' })
  await settled
  await machine.stop()
  const left = []
  for (const pid of await readdir('/proc')) {
    const command = /^\d+$/.test(pid) ? await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '') : ''
    if (command.includes('65432')) left.push(command)
  }
  assert.deepEqual(left, [])
})

test('one that is stopped while it starts ends as well', needs, async (context) => {
  const { machine } = await start(context)
  await machine.stop()
})
