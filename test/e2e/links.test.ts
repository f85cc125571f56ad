/** Links of vNICs: what the file and `violin link` say happens to frames, while machines and connections go on. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { inside, meshOf, refused, succeeded } from './world.ts'

const work = mkdtempSync(join(tmpdir(), 'violin-links-'))
const lab = await meshOf('p1', 'p2')
after(async () => {
  await lab[Symbol.asyncDispose]()
  rmSync(work, { recursive: true, force: true })
})
const home = lab.host('p1')
const file = join(work, 'net.violin.yaml')
writeFileSync(
  file,
  `name: net
driver: netns
lans: { lan1: { subnet: 10.0.0.0/24 } }
hosts:
  a: { lan: lan1, ip: 10.0.0.1, on: p1 }
  b: { lan: lan1, ip: 10.0.0.2, on: p2, link: { delay: 30ms } }
  m: { lan: lan1, ip: 10.0.0.3, on: p2, driver: uml }
`
)
succeeded(await home.try(['apply', file]))

interface Pings {
  readonly answered: number
  readonly minMs: number
}

/** A standard input that never ends: at an end of it nc would say that it sends no more. */
const quiet = 'mkfifo /tmp/quiet; exec 3<>/tmp/quiet; rm /tmp/quiet;'

/** Pings b from a, or another address. */
async function ping(count: number, ...options: readonly string[]): Promise<Pings> {
  const target = options.some((one) => one.includes('10.0.0.')) ? [] : ['10.0.0.2']
  const argv = ['exec', 'net/a', '--', 'ping', '-c', String(count), '-W', '1', ...options, ...target]
  const { stdout } = await home.try(argv, { timeoutMs: 120_000 })
  const answered = /(\d+) packets received/.exec(stdout)?.[1]
  assert.ok(answered !== undefined, stdout)
  return { answered: Number(answered), minMs: Number(/= ([\d.]+)\//.exec(stdout)?.[1] ?? Infinity) }
}

async function link(...args: readonly string[]): Promise<string> {
  return succeeded(await home.try(['link', ...args])).stdout
}

test('a delay in the file acts both ways, and is shown', async () => {
  const { minMs, answered } = await ping(5)
  assert.equal(answered, 5)
  // 30 ms there and 30 ms back; the underlay takes one more.
  assert.ok(minMs >= 60 && minMs < 90, `${minMs} ms`)
  assert.deepEqual(await home.json('link', 'show', 'net/b:eth0'), [
    { entity: 'b', nic: 'eth0', lan: 'lan1', up: true, link: { delay: '30ms' } }
  ])
})

test('link set changes a running machine, keeps what it leaves out, and reset takes all back', async () => {
  await inside(home, 'net/b', 'touch', '/tmp/before')
  assert.match(
    await link('set', 'net/b:eth0', '--delay', '80ms', '--jitter', '1ms'),
    /^net\/b:eth0: delay 80ms, jitter 1ms \(version 2\)$/m
  )
  assert.ok((await ping(3)).minMs >= 158)
  assert.match(await link('set', 'net/b:eth0', '--jitter', '0'), /: delay 80ms \(version 3\)/)
  assert.match(await link('reset', 'net/b:eth0'), /: plain \(version 4\)/)
  assert.ok((await ping(3)).minMs < 30)
  await inside(home, 'net/b', 'ls', '/tmp/before')
})

test('a loss of a fifth each way lets about two of three echoes through', async () => {
  await link('set', 'net/b:eth0', '--loss', '20%')
  const { answered } = await ping(400, '-i', '0.02')
  // 0.8² of 400 are 256; six standard deviations are 58.
  assert.ok(answered >= 198 && answered <= 314, `${answered} of 400`)
  await link('set', 'net/b:eth0', '--loss', '0', '--duplicate', '100%')
  const twice = await home.try(['exec', 'net/a', '--', 'ping', '-c', '4', '10.0.0.2'])
  assert.match(twice.stdout, /DUP!/)
  await link('reset', 'net/b:eth0')
})

test('a rate holds a transfer to it', async () => {
  await link('set', 'net/b:eth0', '--rate', '8mbit')
  const bytes = 2_000_000
  const receiver = home.try(['exec', 'net/b', '--', 'sh', '-c', `${quiet} nc -l -p 7000 <&3 | wc -c`])
  await inside(home, 'net/b', 'sh', '-c', 'until netstat -ltn | grep -q :7000; do :; done')
  const began = performance.now()
  await inside(home, 'net/a', 'sh', '-c', `head -c ${bytes} /dev/zero | nc 10.0.0.2 7000`)
  assert.equal(succeeded(await receiver).stdout.trim(), String(bytes))
  const seconds = (performance.now() - began) / 1_000
  // Two seconds at the rate; twice that for what the machine is busy with otherwise.
  assert.ok(seconds >= 1.95 && seconds < 8, `${seconds} s`)
  await link('reset', 'net/b:eth0')
})

test('a TCP connection outlives a cable that is pulled and put in again', async () => {
  const bytes = 3_000_000
  const data = `seq 1 100000000 | head -c ${bytes}`
  await link('set', 'net/b:eth0', '--rate', '8mbit')
  const receiver = home.try([
    'exec',
    'net/b',
    '--',
    'sh',
    '-c',
    `${quiet} nc -l -p 7001 <&3 > /tmp/got; sha256sum < /tmp/got`
  ])
  await inside(home, 'net/b', 'sh', '-c', 'until netstat -ltn | grep -q :7001; do :; done')
  const sender = home.try(['exec', 'net/a', '--', 'sh', '-c', `${data} | nc 10.0.0.2 7001`])
  await inside(home, 'net/b', 'sh', '-c', 'until [ "$(wc -c < /tmp/got)" -gt 200000 ]; do :; done')
  assert.match(await link('down', 'net/b:eth0'), /: down, rate 8mbit/)
  assert.equal((await ping(2)).answered, 0)
  const [stood] = (await home.json('link', 'show', 'net/b:eth0')) as { up: boolean }[]
  assert.equal(stood?.up, false)
  const frozen = await inside(home, 'net/b', 'wc', '-c', '/tmp/got')
  assert.equal(await inside(home, 'net/b', 'wc', '-c', '/tmp/got'), frozen, 'nothing comes while it is out')
  await link('up', 'net/b:eth0')
  succeeded(await sender)
  const sent = createHash('sha256').update(sequence(bytes)).digest('hex')
  assert.ok(succeeded(await receiver).stdout.startsWith(sent))
})

test('a virtual machine’s link changes and its cable is pulled while it runs', async () => {
  await inside(home, 'net/m', 'touch', '/tmp/before')
  assert.equal((await ping(2, '10.0.0.3')).answered, 2)
  await link('set', 'net/m:eth0', '--delay', '60ms')
  const slow = await ping(3, '10.0.0.3')
  assert.ok(slow.answered === 3 && slow.minMs >= 120, `${slow.answered} of 3, ${slow.minMs} ms`)
  assert.match(await link('down', 'net/m:eth0'), /: down, delay 60ms/)
  assert.equal((await ping(2, '10.0.0.3')).answered, 0)
  const [out] = (await home.json('link', 'show', 'net/m:eth0')) as { up: boolean }[]
  assert.equal(out?.up, false)
  assert.match(await link('up', 'net/m:eth0'), /: delay 60ms/)
  await inside(home, 'net/m', 'ping', '-c', '1', '-W', '10', 'a')
  await link('reset', 'net/m:eth0')
  const plain = await ping(3, '10.0.0.3')
  assert.ok(plain.answered === 3 && plain.minMs < 60, `${plain.answered} of 3, ${plain.minMs} ms`)
  await inside(home, 'net/m', 'ls', '/tmp/before')
})

test('apply makes links what the file says, without a restart', async () => {
  const planned = succeeded(await home.try(['plan', file])).stdout
  assert.match(planned, /change.*b.*links/)
  succeeded(await home.try(['apply', file]))
  assert.ok((await ping(2)).minMs >= 60)
  await inside(home, 'net/b', 'ls', '/tmp/before')
})

test('what is wrong is told: no vNIC, no value, nothing said', async () => {
  refused(await home.try(['link', 'down', 'net/b:eth7']), /b has no vNIC eth7; it has eth0/)
  refused(await home.try(['link', 'down', 'net/c:eth0']), /net has no entity c; it has a, b, m/)
  const wrong = await home.try(['link', 'set', 'net/b:eth0', '--delay', '20'])
  assert.equal(wrong.status, 2)
  assert.match(wrong.stderr, /"20" is no delay: write it as 20ms, or 0/)
  assert.equal((await home.try(['link', 'set', 'net/b:eth0'])).status, 2)
  assert.equal((await home.try(['link', 'up', 'net/b'])).status, 2)
  refused(await lab.host('p2').try(['link', 'down', 'net/b:eth0']), /belongs to p1/)
})

/** What `seq 1 …` prints, cut to so many bytes. */
function sequence(bytes: number): string {
  let text = ''
  for (let number = 1; text.length < bytes; number++) text += `${number}\n`
  return text.slice(0, bytes)
}
