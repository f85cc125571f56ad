import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { ConsoleReport } from '#slice/vhost/console-contract.ts'
import { ConsoleDevice } from '#slice/vhost/console-device.ts'
import { request } from '#slice/vhost/protocol.ts'
import {
  buffersAt,
  descriptors,
  Guest,
  guestBase,
  HandLoop,
  Place,
  ringPlace,
  words32,
  writable
} from './guest.ts'

const multiport = 1n << 1n
const maxPorts = 3
const rings = 2 * (maxPorts + 1)
/** Rings of control, and of port 1. */
const [controlReceive, controlTransmit, portReceive, portTransmit] = [2, 3, 4, 5] as const
const event = { deviceReady: 0, portAdd: 1, portReady: 3, portOpen: 6 } as const
/** Where a ring's buffers lie: 8 KiB a ring. */
const place = (ring: number): number => buffersAt + ring * 8192

interface World {
  readonly guest: Guest
  readonly device: ConsoleDevice
  readonly told: ConsoleReport[]
  /** Kicks a ring and turns the device until it rests. */
  readonly kick: (ring: number) => void
  readonly pump: () => void
}

function withConsole(work: (world: World) => void): void {
  using folder = new Place()
  using loop = new HandLoop()
  const { path, listenFd } = folder.listen()
  const told: ConsoleReport[] = []
  const device = new ConsoleDevice(
    { id: 1, listenFd, maxPorts },
    loop,
    (report) => told.push(report),
    () => {}
  )
  const guest = new Guest(path, loop)
  const pump = (): void => {
    for (let turns = 0; device.pump(); turns++) assert.ok(turns < 1000, 'the device does not come to rest')
  }
  const kick = (ring: number): void => {
    guest.kick(ring)
    pump()
  }
  try {
    guest.start(rings, multiport)
    work({ guest, device, told, kick, pump })
  } finally {
    device.close()
    assert.equal(loop.watched, 0)
    guest[Symbol.dispose]()
  }
}

let heads = 0

/** The guest says something on a ring; heads go round, so a test says at most 256 things at once. */
function say(guest: Guest, ring: number, bytes: Uint8Array): void {
  const head = heads++ % 32
  guest.write(place(ring) + head * 256, bytes)
  guest.describe(ring, head, {
    address: guestBase + place(ring) + head * 256,
    length: bytes.length,
    flags: 0,
    next: 0
  })
  guest.offer(ring, head)
}

function control(guest: Guest, port: number, what: number, value: number): void {
  say(guest, controlTransmit, Uint8Array.of(port, 0, 0, 0, what, 0, value, 0))
}

/** Lends buffers of 256 bytes. */
function lend(guest: Guest, ring: number, count: number): void {
  for (let head = 0; head < count; head++) {
    guest.describe(ring, head, {
      address: guestBase + place(ring) + head * 256,
      length: 256,
      flags: writable,
      next: 0
    })
    guest.offer(ring, head)
  }
}

/** What the device said on the control ring since the last time: port, event, value. */
function heard(guest: Guest): number[][] {
  return guest.used(controlReceive).map(({ head }) => {
    const bytes = guest.read(place(controlReceive) + head * 256, 8)
    return [bytes.readUInt32LE(), bytes.readUInt16LE(4), bytes.readUInt16LE(6)]
  })
}

/** Brings port 1 up with stream 7, both sides open. */
function openPort({ guest, device, kick, pump }: World): void {
  lend(guest, controlReceive, 16)
  control(guest, 0, event.deviceReady, 1)
  kick(controlTransmit)
  const port = device.port(1)
  assert.ok(port !== null)
  port.open(7)
  device.touch(port)
  pump()
  assert.deepEqual(heard(guest), [[1, event.portAdd, 1]])
  control(guest, 1, event.portReady, 1)
  kick(controlTransmit)
  assert.deepEqual(heard(guest), [[1, event.portOpen, 1]])
  control(guest, 1, event.portOpen, 1)
  kick(controlTransmit)
}

const ended = (told: readonly ConsoleReport[]): boolean =>
  told.some((report) => report.kind === 'disconnected')

test('a port is told of when it is wanted, and carries bytes when both sides have it open', () => {
  withConsole((world) => {
    const { guest, device, told, kick, pump } = world
    openPort(world)
    assert.deepEqual(
      told.map((report) => report.kind),
      ['connected', 'ready', 'opened']
    )
    say(guest, portTransmit, Buffer.from('hello'))
    kick(portTransmit)
    const data = told.find((report) => report.kind === 'data')
    assert.equal(String(Buffer.from(data?.bytes ?? [])), 'hello')
    const port = device.port(1)
    assert.ok(port !== null)
    port.send(new Uint8Array(600).fill(5))
    port.end()
    device.touch(port)
    pump()
    // No buffers: nothing went, so no end either.
    assert.deepEqual(heard(guest), [])
    lend(guest, portReceive, 4)
    kick(portReceive)
    assert.deepEqual(
      guest.used(portReceive).map(({ length }) => length),
      [256, 256, 88]
    )
    assert.deepEqual(heard(guest), [[1, event.portOpen, 0]])
    control(guest, 1, event.portOpen, 0)
    kick(controlTransmit)
    assert.equal(told.at(-1)?.kind, 'end')
    assert.ok(!ended(told))
  })
})

const faults: Record<string, (guest: Guest) => number> = {
  'a control message for a port that there is not': (guest) => {
    control(guest, maxPorts, event.portOpen, 1)
    return controlTransmit
  },
  'a control message for a port that it was not told of': (guest) => {
    control(guest, 2, event.portReady, 1)
    return controlTransmit
  },
  'half a control message': (guest) => {
    say(guest, controlTransmit, Uint8Array.of(1, 0, 0))
    return controlTransmit
  },
  'a driver that refuses the device': (guest) => {
    control(guest, 0, event.deviceReady, 0)
    return controlTransmit
  },
  'control buffers that are too small': (guest) => {
    guest.describe(controlReceive, 20, { address: guestBase, length: 4, flags: writable, next: 0 })
    while (guest.used(controlReceive).length > 0);
    guest.offer(controlReceive, 20)
    control(guest, 1, event.portOpen, 0)
    return controlTransmit
  },
  'a write of more than any kernel makes': (guest) => {
    guest.describe(portTransmit, 0, { address: guestBase, length: 200_000, flags: 0, next: 0 })
    guest.offer(portTransmit, 0)
    return portTransmit
  },
  'a memory file that was cut short': (guest) => {
    guest.truncate(4096)
    return portTransmit
  }
}

for (const [what, spoil] of Object.entries(faults)) {
  test(`${what}: the console ends, once`, () => {
    withConsole((world) => {
      openPort(world)
      if (what.startsWith('control buffers')) {
        // Sixteen were lent and two are used: the rest takes what the device says in between.
        for (let i = 0; i < 7; i++) {
          world.device.announce(1, true)
          world.device.announce(1, false)
        }
        world.pump()
      }
      assert.ok(!ended(world.told))
      world.kick(spoil(world.guest))
      if (what.startsWith('control buffers')) {
        world.device.announce(1, true)
        world.pump()
      }
      assert.equal(world.told.filter((report) => report.kind === 'disconnected').length, 1)
    })
  })
}

test('a guest that opens and closes without end neither grows nor stops the console', () => {
  withConsole((world) => {
    openPort(world)
    for (let i = 0; i < 2_000; i++) {
      control(world.guest, 1, event.portOpen, i % 2)
      world.kick(controlTransmit)
    }
    assert.ok(world.told.length < 10, `${world.told.length} reports`)
    assert.ok(!ended(world.told))
  })
})

test('a guest that takes no control messages is given up before they pile up', () => {
  withConsole((world) => {
    openPort(world)
    const port = world.device.port(1)
    assert.ok(port !== null)
    for (let i = 0; i < 200 && !ended(world.told); i++) {
      control(world.guest, 1, event.portOpen, 0)
      world.kick(controlTransmit)
      port.release()
      port.open(100 + i)
      world.device.touch(port)
      control(world.guest, 1, event.portOpen, 1)
      world.kick(controlTransmit)
    }
    assert.ok(ended(world.told))
  })
})

test(
  'rings of a console that are spoiled while they run harm nobody and leave nothing',
  { timeout: 240_000 },
  () => {
    const before = descriptors()
    const mutation = fc.record({
      ring: fc.nat(rings - 1),
      part: fc.constantFrom('table' as const, 'table' as const, 'available' as const, 'used' as const),
      at: fc.nat(600),
      bytes: fc.oneof(
        fc.uint8Array({ minLength: 1, maxLength: 8 }),
        fc.constantFrom(Uint8Array.of(0), Uint8Array.of(255, 255), Uint8Array.of(1, 0), Uint8Array.of(3, 0))
      ),
      control: fc.tuple(fc.nat(maxPorts), fc.constantFrom(0, 3, 6, 6, 6), fc.nat(1))
    })
    let downs = 0
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 10 }), fc.nat(20), (mutations, cutAfter) => {
        withConsole((world) => {
          const { guest, device, told, kick, pump } = world
          openPort(world)
          lend(guest, portReceive, 8)
          for (const [i, { ring, part, at, bytes, control: message }] of mutations.entries()) {
            control(guest, ...message)
            say(guest, portTransmit, Buffer.from('some words'))
            guest.write(ringPlace(ring)[part] + at, bytes)
            if (i === cutAfter) guest.truncate(65_536)
            const port = device.port(1)
            if (!ended(told) && port !== null) {
              port.send(new Uint8Array(300))
              device.touch(port)
              pump()
            }
            kick(controlTransmit)
            kick(portTransmit)
            kick(portReceive)
          }
          assert.ok(told.filter((report) => report.kind === 'disconnected').length <= 1)
          if (ended(told)) downs++
        })
      }),
      { numRuns: 600 }
    )
    assert.ok(downs > 50 && downs < 600, `${downs} of 600 ended`)
    assert.equal(descriptors(), before)
  }
)

test('a console tells how many ports it has', () => {
  withConsole(({ guest }) => {
    const config = guest.ask(request.getConfig, words32(0, 12, 0, 0, 0, 0))
    assert.deepEqual([...(config as Uint8Array).subarray(12)], [0, 0, 0, 0, maxPorts, 0, 0, 0, 0, 0, 0, 0])
  })
})
