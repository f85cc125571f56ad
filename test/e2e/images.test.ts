/** Machines that begin with the image `router`, both drivers, as people write and use them. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import type { ImageRow } from '#api/contract.ts'
import type { Outcome } from '#lab/host.ts'
import { giveRouterImage } from '../images/router-image.ts'
import { exec, inside, meshOf, refused, remove, succeeded } from './world.ts'

const lab = await meshOf('here', 'there')
const work = mkdtempSync(join(tmpdir(), 'violin-e2e-'))
after(async () => {
  await lab[Symbol.asyncDispose]()
  rmSync(work, { recursive: true, force: true })
})
const [here, there] = [lab.host('here'), lab.host('there')]

writeFileSync(join(work, 'motd.txt'), 'welcome\n')
writeFileSync(
  join(work, 'start.sh'),
  `mkdir -p /run/frr
for daemon in zebra staticd bfdd; do /usr/lib/frr/$daemon -d -A 127.0.0.1; done
`
)
chmodSync(join(work, 'start.sh'), 0o755)

const topology = `
name: net
lans:
  lan1: { subnet: 10.0.1.0/24 }
  lan2: { subnet: 10.0.2.0/24 }
  lan3: { subnet: 10.0.3.0/24 }
hosts:
  a: { lan: lan1, on: here }
  b: { lan: lan3, on: here }
routers:
  vm:
    nics: [{ lan: lan1 }, { lan: lan2 }]
    on: here
    image: router
    run: start.sh
    files: { /etc/motd: motd.txt, /usr/local/etc/deep/motd: motd.txt, /var/run/motd: motd.txt }
  ns:
    nics: [{ lan: lan2 }, { lan: lan3 }]
    on: here
    driver: netns
    image: router
    run: start.sh
    files: { /etc/motd: motd.txt, /usr/local/etc/deep/motd: motd.txt, /var/run/motd: motd.txt }
`
writeFileSync(join(work, 'net.violin.yaml'), topology)

test('an image that the host does not have is refused, with the command that makes it', async () => {
  refused(await there.try(['apply'], { cwd: work }), /image router.*image build router/)
})

test('routers of the image come up, and route', async () => {
  await giveRouterImage(here.folder)
  succeeded(await here.try(['apply'], { cwd: work }))
  await inside(here, 'net/a', 'ping', '-c', '1', '-W', '5', 'b')
})

/** The kernel of a virtual machine knows iptables, that of the host nftables. */
const filters = {
  vm: ['iptables -A FORWARD -p icmp -j DROP', 'iptables -F FORWARD'],
  ns: [
    "nft add table inet t; nft 'add chain inet t c { type filter hook forward priority 0; policy drop; }'",
    'nft delete table inet t'
  ]
} as const

for (const router of ['vm', 'ns'] as const) {
  test(`${router}: the image's programs are there, its routing daemons run`, async () => {
    assert.match(await inside(here, `net/${router}`, 'ip', '-V'), /iproute2/)
    assert.match(
      await inside(here, `net/${router}`, 'vtysh', '-c', 'show daemons'),
      /zebra.*bfdd|bfdd.*zebra/
    )
    assert.match(await inside(here, `net/${router}`, 'vtysh', '-c', 'show ip route'), /C>\* 10\.0\.2\.0\/24/)
  })

  test(`${router}: it filters what it forwards`, async () => {
    const reached = (): Promise<Outcome> => exec(here, 'net/a', 'ping', '-c', '1', '-W', '2', 'b')
    const [shut, open] = filters[router]
    succeeded(await reached())
    await inside(here, `net/${router}`, 'sh', '-ec', shut)
    assert.notEqual((await reached()).status, 0)
    await inside(here, `net/${router}`, 'sh', '-ec', open)
    succeeded(await reached())
  })

  test(`${router}: the file's files are in it, through the image's links, too`, async () => {
    for (const path of ['/etc/motd', '/usr/local/etc/deep/motd', '/run/motd'])
      assert.equal(await inside(here, `net/${router}`, 'cat', path), 'welcome', path)
  })

  test(`${router}: what is written in it is its own`, async () => {
    await inside(here, `net/${router}`, 'sh', '-c', 'echo mine > /etc/shells && echo new > /var/lib/new')
    assert.equal(await inside(here, `net/${router}`, 'cat', '/etc/shells'), 'mine')
    await inside(here, `net/${router}`, 'sh', '-c', `echo ${router} > /etc/whose`)
    for (const one of ['vm', 'ns']) {
      const said = await exec(here, `net/${one}`, 'cat', '/etc/whose')
      if (said.status === 0) assert.equal(said.stdout, `${one}\n`)
      else assert.notEqual(one, router)
    }
  })

  test(`${router}: exec and cp are as in any machine`, async () => {
    const words = ['a b', '$HOME', "it's", '', 'two\nlines', 'back\\nslash']
    const said = await exec(
      here,
      `net/${router}`,
      'sh',
      '-c',
      'for w; do printf "%s\\0" "$w"; done',
      'sh',
      ...words
    )
    assert.deepEqual(succeeded(said).stdout.split('\0').slice(0, -1), words)
    const outcome = await exec(here, `net/${router}`, 'sh', '-c', 'echo out; echo err >&2; exit 42')
    assert.deepEqual(outcome, { status: 42, stdout: 'out\n', stderr: 'err\n' })
    assert.equal((await exec(here, `net/${router}`, 'no-such-command')).status, 127)
    await here.violin('cp', join(work, 'motd.txt'), `net/${router}:/tmp/copied`)
    assert.equal(await inside(here, `net/${router}`, 'cat', '/tmp/copied'), 'welcome')
    const console = here.command('console', `net/${router}`).join(' ')
    const typed = await here.run(['script', '-qec', console, '/dev/null'], {
      input: 'tty; echo $((6*7))-; exit\n'
    })
    assert.match(typed.stdout, /^42-/m)
  })
}

const far = `
name: far
lans:
  lan1: { subnet: 10.0.9.0/24 }
hosts:
  a: { lan: lan1, on: here }
routers:
  r: { lan: lan1, on: there, driver: netns, image: router }
`

test('a host that lacks an image fetches it from one that has it, and says how far it is', async () => {
  const images = async (): Promise<readonly ImageRow[]> => (await there.json('image', 'list')) as ImageRow[]
  assert.deepEqual(await images(), [])
  succeeded(await here.try(['apply', '-'], { input: far }))
  await inside(here, 'far/a', 'ping', '-c', '1', '-W', '5', 'r')
  const events = await there.violin('events')
  assert.match(events, /r is pending: fetches the image router/)
  assert.match(events, /the image router \([0-9a-f]{12}\) is here/)
  const [fetched, ...others] = await images()
  assert.deepEqual(others, [])
  assert.deepEqual(fetched?.usedBy, ['far'])
  refused(await there.try(['image', 'remove', fetched?.hash ?? '']), /in use.*far/)
  assert.match(await inside(here, 'far/r', 'vtysh', '-h'), /Usage/)
  await remove(here, 'far')
  await there.violin('image', 'remove', fetched?.hash.slice(0, 12) ?? '')
  assert.deepEqual(await images(), [])
})

test('an image is pulled by its name at a member, and then applied from here', async () => {
  succeeded(await there.try(['image', 'pull', 'router', '--from', 'here']))
  const rows = (await there.json('image', 'list')) as ImageRow[]
  assert.deepEqual(
    rows.map(({ names }) => names),
    [['router']]
  )
  succeeded(await there.try(['plan', '-'], { input: far.replaceAll('far', 'own') }))
  refused(await there.try(['image', 'pull', 'no-such']), /no member in reach has an image no-such/)
})

test('an image of one’s own has more packages and files, and machines of both drivers begin with it', async () => {
  const build = ['image', 'build', 'router', '--with', 'tree', '--copy', './motd.txt:/usr/share/lab/motd']
  for (const [more, why] of [
    [[], /router itself stays as it is; name your own: --as NAME/],
    [['--as', 'host'], /host is the same on all hosts/],
    [['--as', 'lab', '--copy', './no-such:/etc/x'], /no-such is not there/]
  ] as const) {
    const said = await here.try([...build, ...more], { cwd: work })
    assert.deepEqual([said.status, why.test(said.stderr)], [2, true], said.stderr)
  }
  // The hosts of a lab do not reach Debian's mirror, this machine does.
  const program = resolve(import.meta.dirname, '../../bin/violin')
  const built = execFileSync(program, ['--dir', here.folder, ...build, '--as', 'lab'], { cwd: work })
  assert.match(built.toString(), /^lab \([0-9a-f]{12}\) is in /)
  const of = (name: string, driver: string): string =>
    `  ${name}: { lan: a, on: here, image: lab, driver: ${driver} }\n`
  const input = `name: own\nlans: { a: { subnet: 10.0.8.0/24 } }\nhosts:\n${of('m', 'uml')}${of('n', 'netns')}`
  succeeded(await here.try(['apply', '-'], { input }))
  for (const name of ['own/m', 'own/n']) {
    assert.equal(await inside(here, name, 'cat', '/usr/share/lab/motd'), 'welcome')
    assert.match(await inside(here, name, 'tree', '--version'), /^tree v/)
  }
  await remove(here, 'own')
})
