import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { test } from 'node:test'
import { finished } from 'node:stream/promises'
import { type ConsoleDevice, Consoles } from '#slice/vhost/consoles.ts'
import { listenUnix } from '#syscalls/unix-socket.ts'
import { type Machine, Machines } from './machines.ts'

const maxPorts = 8

/** A console and a machine whose script has it as /dev/vport0pN. */
function boot(
  consoles: Consoles,
  machines: Machines,
  script: string
): { device: ConsoleDevice; machine: Machine } {
  const path = join(machines.folder, 'console')
  const device = consoles.attach(listenUnix(path, 0o600), { maxPorts })
  return { device, machine: machines.boot({ script, devices: [`${path}:3`] }) }
}

async function contents(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/**
 * Opens a port as a descriptor, which may fail while Linux, which has its device in /dev already, still fills
 * its queue; and waits for the first line on one: before this side has it open there is nothing to read.
 */
const functions = `
open() { until [ -c /dev/vport0p$3 ] && eval "command exec $1$2/dev/vport0p$3"; do usleep 10000; done 2>/dev/null; }
begin() { until read -r line <&4; do usleep 10000; done; }
`

test(
  'bytes cross ports exactly, both ways, with the end of file behind them, again and again',
  {
    timeout: 120_000
  },
  async () => {
    await using consoles = Consoles.start()
    await using machines = new Machines()
    const { device } = boot(
      consoles,
      machines,
      `${functions}
while :; do
  open 4 '<' 3; open 5 '>' 5
  begin
  cat <&4 >&5
  exec 4<&- 5>&-
done
`
    )
    for (const bytes of [0, 1, 4095, 4097, 3_000_001, 20_000_000]) {
      const data = randomBytes(bytes)
      const input = device.openPort(3)
      const output = device.openPort(5)
      input.resume()
      input.write('go\n')
      input.end(data)
      const [got] = await Promise.all([contents(output), once(input, 'close')])
      assert.equal(hash(got), hash(data), `${bytes} bytes came back as ${got.length}`)
      assert.ok(input.isOpen)
      output.end()
      await once(output, 'close')
    }
  }
)

test('a reader that waits holds the guest up, and nothing is lost', { timeout: 120_000 }, async () => {
  await using consoles = Consoles.start()
  await using machines = new Machines()
  const { device, machine } = boot(
    consoles,
    machines,
    `${functions}
open 4 '<' 1
begin
open 5 '>' 2
(dd if=/dev/zero bs=64k count=512 2>/dev/null; echo written >/dev/console) >&5
exec 5>&-
sleep 1000
`
  )
  const input = device.openPort(1)
  const output = device.openPort(2)
  input.write('go\n')
  await Promise.race([once(output, 'readable'), machine.ended.then(() => assert.fail(machine.console))])
  assert.ok(output.readableLength <= 1024 * 1024, `${output.readableLength} bytes are held`)
  assert.doesNotMatch(machine.console, /written/)
  assert.equal((await contents(output)).length, 512 * 65536)
  await machine.line(/written/)
})

test(
  'a port whose former holder stays is given to the next stream when that one goes',
  {
    timeout: 120_000
  },
  async () => {
    await using consoles = Consoles.start()
    await using machines = new Machines()
    const { device, machine } = boot(
      consoles,
      machines,
      `${functions}
open 4 '<>' 0; open 5 '>' 1
(echo first; echo holds >/dev/console; begin) >&5
exec 5>&-
begin
echo second >/dev/vport0p1
sleep 1000
`
    )
    const control = device.openPort(0)
    const first = device.openPort(1)
    const [chunk] = (await once(first, 'data')) as [Buffer]
    assert.equal(String(chunk), 'first\n')
    await machine.line(/holds/)
    first.destroy()
    const second = device.openPort(1)
    control.write('go\n')
    control.write('go\n')
    assert.equal(String(await contents(second)), 'second\n')
  }
)

test('when the machine dies its streams close without an end', { timeout: 120_000 }, async () => {
  await using consoles = Consoles.start()
  await using machines = new Machines()
  const { device, machine } = boot(
    consoles,
    machines,
    `${functions}
open 4 '<>' 1
begin
echo here >&4
sleep 1000
`
  )
  const port = device.openPort(1)
  port.write('go\n')
  assert.ok(!device.connected)
  const [chunk] = (await once(port, 'data')) as [Buffer]
  assert.equal(String(chunk), 'here\n')
  assert.ok(device.connected)
  const disconnected = once(device, 'disconnected')
  const closed = assert.rejects(finished(port), { code: 'ERR_STREAM_PREMATURE_CLOSE' })
  machine.kill()
  assert.match(String(await disconnected), /closed the device/)
  await closed
  assert.throws(() => device.openPort(1), { code: 'not-running-here' })
})

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
