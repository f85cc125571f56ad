import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { after, before, test } from 'node:test'
import { commandKernel } from '#slice/machines/uml/mconsole.ts'
import { call, type Guest, makeWorld, run, type World } from './uml-world.ts'

/** Far above what a boot takes, so that a slow machine is no failure and a hang is one. */
const patience = { timeout: 60_000 }

let world: World
let guest: Guest

before(async () => {
  world = await makeWorld()
  guest = await world.start({
    env: { GREETING: `it's "a" $test` },
    files: [
      { path: '/etc/deep/er/file', mode: 0o600, data: Buffer.from([0, 255, 10, 13]) },
      { path: '/usr/bin/hello', mode: 0o755, data: Buffer.from('#!/bin/sh\necho "$GREETING"\n') }
    ],
    run: 'hello >/tmp/from-run; echo ran as $USER in $PWD'
  })
  await guest.until('running')
}, patience)

after(async () => {
  await guest.machine.stop()
  world[Symbol.dispose]()
}, patience)

/** Processes of ours that still have the folder in their command line. */
/** The outermost process of a machine first. */
function processIdsOf(folder: string): number[] {
  const ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return ids.map(Number).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(folder)
    } catch {
      return false
    }
  })
}

function processesOf(folder: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
      } catch {
        return ''
      }
    })
    .filter((line) => line.includes(folder))
}

test('standard output and error come apart, with the exit status', patience, async () => {
  const { stdout, stderr, status } = await run(guest.machine, ['sh', '-c', 'echo out; echo err >&2; exit 7'])
  assert.deepEqual([stdout.toString(), stderr.toString(), status], ['out\n', 'err\n', 7])
})

test(
  'a program that is not there is 127, one that cannot run 126, a killed one 128 and its signal',
  patience,
  async () => {
    const statuses = []
    for (const argv of [['nosuch'], ['/etc/hosts'], ['sh', '-c', 'kill -KILL $$'], ['true'], ['cd', '/']])
      statuses.push((await run(guest.machine, argv)).status)
    assert.deepEqual(statuses, [127, 126, 137, 0, 127])
  }
)

test('arguments arrive as they were given', patience, async () => {
  const words = ['a b', `it's`, '"', '$HOME', '', '\n', 'ü\t*', '-n', '\\n', '`reboot`', 'x\ny']
  const { stdout } = await run(guest.machine, [
    'sh',
    '-c',
    'for word; do printf "%s\\0" "$word"; done',
    'sh',
    ...words
  ])
  assert.deepEqual(stdout.toString().split('\0'), [...words, ''])
})

test('a megabyte goes in and comes back byte for byte, and standard input ends', patience, async () => {
  const bytes = randomBytes(2 ** 20)
  const { stdout, status } = await run(guest.machine, ['cat'], bytes)
  assert.ok(stdout.equals(bytes))
  assert.equal(status, 0)
})

test(
  'files are laid with their modes before the run script runs with its environment',
  patience,
  async () => {
    const script =
      'cat /tmp/from-run /var/log/run.log; stat -c %a /etc/deep/er/file; xxd -p /etc/deep/er/file'
    const { stdout } = await run(guest.machine, ['sh', '-c', script])
    assert.equal(stdout.toString(), `it's "a" $test\nran as root in /root\n600\n00ff0a0d\n`)
  }
)

test('names resolve, and are replaced while it runs', patience, async () => {
  assert.match((await run(guest.machine, ['cat', '/etc/hosts'])).stdout.toString(), /^10\.0\.0\.9\tother$/m)
  const names = Array.from({ length: 300 }, (_, i) => ({
    name: `name-${i}`,
    ip: `10.1.${i >> 8}.${i & 255}`
  }))
  await Promise.all([guest.machine.rename(names.slice(1)), guest.machine.rename(names)])
  const { stdout } = await run(guest.machine, ['sh', '-c', 'cat /etc/hosts; hostname'])
  assert.match(stdout.toString(), /^10\.1\.0\.0\tname-0$[^]*^10\.1\.1\.43\tname-299$[^]*^h1$/m)
})

test('a terminal has its size, follows a resize, and has job control', patience, async () => {
  const shell = call(guest.machine, [], { rows: 33, columns: 99 })
  await shell.says(/h1:.*# /)
  await shell.stdin('tty; stty size\r')
  await shell.says(/\/dev\/pts\/\d+\r\n33 99\r\n/)
  shell.resize(50, 255)
  await shell.stdin('stty size\r')
  await shell.says(/50 255\r\n/)
  await shell.stdin('sh -c "echo begun; exec cat"\r')
  await shell.says(/^begun\r\n/m)
  await shell.stdin('once\r')
  await shell.says(/once\r\nonce\r\n/)
  await shell.stdin('\x1a')
  await shell.says(/Stopped/)
  await shell.stdin('fg\r')
  await shell.says(/fg\r\nsh -c .*\r\n/)
  await shell.stdin('again\r')
  await shell.says(/again\r\nagain\r\n/)
  await shell.stdin('\x03')
  await shell.says(/\^C[^]*# /)
  await shell.stdin('echo status $?\r')
  await shell.says(/status 130\r\n/)
  await shell.stdin('exit 9\r')
  const { status } = await shell.done
  assert.equal(status, 9)
})

test('every byte a terminal shows comes through, to the last', patience, async () => {
  const shell = call(
    guest.machine,
    ['sh', '-c', 'stty -opost; head -c 5000 /dev/zero | tr "\\0" "\\377"; echo; echo end'],
    {
      rows: 24,
      columns: 80
    }
  )
  const { stdout, status } = await shell.done
  assert.equal(status, 0)
  assert.equal(stdout.toString('latin1'), `${'\xff'.repeat(5_000)}\nend\n`)
})

test('a caller that goes takes its program along, also one that ignores the hang-up', patience, async () => {
  for (const terminal of [undefined, { rows: 24, columns: 80 }]) {
    const gone = call(
      guest.machine,
      ['sh', '-c', 'trap "" HUP; echo begun; while :; do sleep 1234; done'],
      terminal
    )
    await gone.says(/begun/)
    gone.leave()
    const script = 'while ps -o args | grep -q "[s]leep 1234"; do usleep 100000; done; echo none'
    assert.equal((await run(guest.machine, ['sh', '-c', script])).stdout.toString(), 'none\n')
  }
})

test('sessions run at once up to a bound, which says so, and are had again after', patience, async () => {
  const many = Array.from({ length: 8 }, () => call(guest.machine, ['cat']))
  await Promise.all(many.map(async (one, i) => one.stdin(`${i}\n`).then(() => one.says(new RegExp(`${i}`)))))
  const refused = await run(guest.machine, ['true'])
  assert.match(refused.failed ?? '', /8 sessions are open/)
  for (const one of many) one.end()
  for (const one of many) assert.equal((await one.done).status, 0)
  assert.equal((await run(guest.machine, ['true'])).status, 0)
})

test(
  'without a program and without a terminal a session is a shell on its standard input',
  patience,
  async () => {
    const { stdout, status } = await run(guest.machine, [], 'echo hello; exit 3\n')
    assert.deepEqual([stdout.toString(), status], ['hello\n', 3])
  }
)

test('what a program leaves behind does not keep its session', patience, async () => {
  const { stdout, status } = await run(guest.machine, ['sh', '-c', 'sleep 30 & echo left'])
  assert.deepEqual([stdout.toString(), status], ['left\n', 0])
})

test(
  'a root of the guest who mounts the host sees the jail, and can write nothing in it',
  patience,
  async () => {
    const script = [
      'mkdir -p /mnt/jail; mount -t hostfs none /mnt/jail -o / || exit 3',
      'cd /mnt/jail; ls; ls -A tmp s; touch x s/x lib/x',
      'find . -type f | grep -v "^./tmp/" | sort; cat /mnt/jail/etc/passwd'
    ].join('\n')
    const { stdout, stderr } = await run(guest.machine, ['sh', '-c', script])
    const lines = stdout.toString().split('\n')
    for (const name of ['proc', 'etc', 'home', 'root', 'usr', 'var', 'sys'])
      if (name !== 'usr') assert.ok(!lines.includes(name), name)
    assert.deepEqual(lines.filter((line) => line.startsWith('./')).toSorted(), [
      './initrd',
      './lib/x86_64-linux-gnu/libc.so.6',
      './lib64/ld-linux-x86-64.so.2',
      './usr/bin/linux.uml'
    ])
    assert.match(stderr.toString(), /touch: x: Read-only file system/)
    assert.match(stderr.toString(), /etc\/passwd': No such file/)
  }
)

test('a run script that fails is why the entity failed, with its last words', patience, async () => {
  await using failing = await world.start({
    name: 'failing',
    run: 'echo first; echo the last words >&2; exit 4'
  })
  assert.match(await failing.until('failed'), /run ended with status 4: first \| the last words/)
})

test('a vNIC that is not there is why the entity failed', patience, async () => {
  const nics = [{ name: 'eth0', lan: 'lan', ips: ['10.0.0.1/24'] }]
  await using failing = await world.start({ name: 'nicless', nics }, (_nic, _mac, source) => {
    if (source.kind === 'vhost-user') closeSync(source.listenFd)
  })
  assert.match(await failing.until('failed'), /network could not be set up: .*there is no vNIC/)
})

test('a machine that dies says so, with its console, and its sessions end', patience, async () => {
  await using dying = await world.start({ name: 'dying' })
  await dying.until('running')
  const waiting = call(dying.machine, ['sleep', '1000'])
  const panic = call(dying.machine, ['sh', '-c', 'echo c >/proc/sysrq-trigger'])
  const reason = await dying.until('failed')
  assert.match(reason, /Kernel panic - not syncing: sysrq triggered crash/)
  for (const session of [waiting, panic]) assert.match((await session.done).failed ?? '', /not-running-here/)
})

test(
  'a kernel whose guest listens no more still takes commands of its management console',
  patience,
  async () => {
    await using deaf = await world.start({ name: 'deaf' })
    await deaf.until('running')
    // Stopped, the agent never reads that it shall halt; its session hears of nothing either.
    const stopped = await run(deaf.machine, ['sh', '-c', 'kill -STOP $(pidof agent) && echo done'])
    assert.equal(stopped.stdout.toString(), 'done\n')
    const [jail] = processIdsOf(deaf.folder)
    assert.ok(jail !== undefined)
    assert.equal(commandKernel(2 ** 22 + 1, 'halt'), false)
    assert.equal(commandKernel(jail, 'halt'), true)
    assert.match(await deaf.until('failed'), /it ended/)
  }
)

test('of a stopped machine nothing is left but its folder, at any time of its life', patience, async () => {
  for (const state of ['booting', 'running']) {
    const stopping = await world.start({ name: `stop-${state}` })
    await stopping.until(state)
    await stopping.machine.stop()
    assert.deepEqual(processesOf(stopping.folder), [])
    assert.ok(!readFileSync('/proc/self/mounts', 'utf8').includes(stopping.folder))
    assert.ok(existsSync(join(stopping.folder, 'initrd.img')) || state === 'booting')
    assert.ok(!stopping.states.some(([told]) => told === 'failed'))
  }
})

test('machines run for an ordinary user, and inside a bubblewrap of its own', patience, () => {
  const program = fileURLToPath(new URL('./uml-one.ts', import.meta.url))
  const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups']
  const outer = [
    'bwrap',
    '--unshare-all',
    '--die-with-parent',
    '--ro-bind',
    '/',
    '/',
    '--proc',
    '/proc',
    '--dev',
    '/dev'
  ]
  // The project itself may lie below /tmp.
  const root = fileURLToPath(new URL('../../..', import.meta.url))
  for (const prefix of [[], [...outer, '--tmpfs', '/tmp', '--ro-bind', root, root]]) {
    const out = execFileSync('setpriv', [...nobody, ...prefix, process.execPath, program], {
      env: { TMPDIR: '/tmp' }
    })
    assert.equal(out.toString(), 'uid=0(root) gid=0(root)\nstopped\n')
  }
})
