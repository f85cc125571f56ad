import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { longestGap, macOf, Network, type VirtualHost } from './virtual.ts'

/** After the last disturbance everything must be in order within this time. */
const quietMs = 5_000
const seeds = fc.integer({ min: 0, max: 0xffffffff })

/** A network in which the first candidate has reigned for a while. */
function settledNetwork(hosts: number, seed: number, delayMs = 0.3, loss = 0): Network {
  const network = new Network({ hosts, seed, delayMs, jitterMs: delayMs / 2, loss })
  network.until('one active', 3_000, () => network.settled)
  network.run(2_000 + network.random() * 500)
  return network
}

function theActive(network: Network): VirtualHost {
  const [active, ...more] = network.actives
  assert.ok(active !== undefined && more.length === 0, network.describe())
  return active
}

/** One active, the same for all, that reaches everybody. */
function assertWhole(network: Network): void {
  assert.ok(network.settled, network.describe())
  for (const host of network.living) {
    const frame = network.broadcast(host)
    network.run(500)
    const missed = network.living.filter((other) => other !== host && !frame.reached.has(other))
    assert.deepEqual(
      missed.map((other) => other.place),
      [],
      network.describe()
    )
  }
}

test('a host that is alone in its vLAN is the active at once', () => {
  const network = new Network({ hosts: 1, seed: 1 })
  assert.equal(network.actives.length, 1)
})

test('one candidate among members is the active at once, and they follow when they come', () => {
  const network = new Network({ hosts: 4, seed: 1, candidates: [2] })
  assert.deepEqual(network.actives, [network.host(2)])
  network.until('all', 1_000, () => network.settled)
  assertWhole(network)
})

test('a host whose fellow candidates were never up is the active within 1.5 s', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 2, max: 12 }), fc.nat(), (seed, hosts, only) => {
      const network = new Network({ hosts, seed, started: [only % hosts] })
      network.until('an active', 1_500, () => network.settled)
      assertWhole(network)
    }),
    { numRuns: 40 }
  )
})

test('hosts that start together agree on the first candidate, without two of them ever reigning', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 2, max: 9 }), (seed, hosts) => {
      const network = new Network({ hosts, seed })
      network.until('one active', 1_500, () => network.settled)
      assert.equal(theActive(network).place, 0)
      assert.equal(network.hosts.flatMap((host) => host.terms).length, 1)
      assertWhole(network)
    }),
    { numRuns: 40 }
  )
})

test('a host that joins late follows, and changes nothing', () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const network = new Network({ hosts: 4, seed, started: [1, 2, 3] })
      network.until('one active', 1_500, () => network.settled)
      const before = theActive(network)
      network.run(3_000)
      network.chatter(5, 4_000)
      const from = network.now
      network.start(0)
      network.run(4_500)
      assert.equal(theActive(network), before)
      assert.ok(longestGap(network, network.hosts.slice(1), from) <= 5)
      assertWhole(network)
    }),
    { numRuns: 20 }
  )
})

test('when the active dies and its kernel says so, frames flow again within 300 ms, mostly within 125', () => {
  const gaps: number[] = []
  fc.assert(
    fc.property(seeds, fc.integer({ min: 2, max: 20 }), (seed, hosts) => {
      const network = settledNetwork(hosts, seed)
      network.chatter(5, 2_000)
      network.run(200)
      const from = network.now
      network.kill(theActive(network).place)
      network.run(2_500)
      gaps.push(longestGap(network, network.living, from))
      assert.ok((gaps.at(-1) as number) <= 300, `${gaps.at(-1)} ms`)
      assertWhole(network)
    }),
    { numRuns: 30 }
  )
  gaps.sort((left, right) => left - right)
  assert.ok((gaps[gaps.length >> 1] as number) <= 125, gaps.join())
})

test('a standby that lost the active with one witness waits for what most of the others say', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 6, max: 12 }), (seed, hosts) => {
      const network = settledNetwork(hosts, seed)
      const active = theActive(network)
      const standby = network.hosts.find((host) => host.key === active.view.standby)
      const lost = [standby, network.living.findLast((host) => host !== active && host !== standby)]
      const all = network.hosts.map((host) => host.place)
      network.partition([
        all.filter((place) => lost.every((host) => host?.place !== place)),
        all.filter((place) => place !== active.place)
      ])
      network.run(4_000)
      assert.deepEqual(network.actives, [active], network.describe())
    }),
    { numRuns: 40 }
  )
})

test('when the active is cut off in silence, frames flow again within 700 ms, or a second without a witness', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 3, max: 12 }), (seed, hosts) => {
      const network = settledNetwork(hosts, seed)
      network.chatter(5, 3_000)
      network.run(200)
      const from = network.now
      const cut = theActive(network)
      network.partition([network.living.filter((host) => host !== cut).map((host) => host.place)])
      network.run(3_500)
      const rest = network.living.filter((host) => host !== cut)
      const gap = longestGap(network, rest, from)
      assert.ok(gap <= 700, `${gap} ms`)
      assert.equal(rest.filter((host) => host.role.kind === 'active').length, 1)
    }),
    { numRuns: 40 }
  )
  fc.assert(
    fc.property(seeds, (seed) => {
      const network = settledNetwork(2, seed)
      network.partition([[1]])
      network.until('a takeover', 1_000, () => network.host(1).role.kind === 'active')
    })
  )
})

test('when active and standby die together another candidate takes over within a second', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 3, max: 12 }), (seed, hosts) => {
      const network = settledNetwork(hosts, seed)
      const standby = network.hosts.find((host) => host.view.role === 'standby') as VirtualHost
      network.kill(theActive(network).place)
      network.kill(standby.place)
      network.until('one active', 1_000, () => network.settled)
      assertWhole(network)
    }),
    { numRuns: 30 }
  )
})

test('a stall of 300 ms or a loss of 5 % is no death', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 2, max: 6 }), (seed, hosts) => {
      const network = settledNetwork(hosts, seed, 1, 0.05)
      const before = theActive(network)
      const { term } = before.view
      for (let round = 0; round < 5; round++) {
        network.stall(Math.floor(network.random() * hosts), 300)
        network.run(1_500)
      }
      assert.equal(theActive(network), before)
      assert.equal(before.view.term, term)
    }),
    { numRuns: 30 }
  )
})

test('an active that wakes after its successor took over has its frames accepted by nobody, and follows', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 3, max: 6 }), (seed, hosts) => {
      const network = settledNetwork(hosts, seed)
      const old = theActive(network)
      network.stall(old.place, 2_500)
      network.run(2_400)
      const successor = network.actives.find((host) => host !== old)
      assert.ok(successor !== undefined, network.describe())
      // What it would send is under tags of the ended term.
      const frames: ReturnType<Network['broadcast']>[] = []
      network.at(network.now + 101, () => frames.push(network.broadcast(old)))
      const roleBefore = old.role
      assert.equal(roleBefore.kind, 'active')
      network.run(quietMs)
      assert.equal(theActive(network), successor)
      assertWhole(network)
    }),
    { numRuns: 30 }
  )
})

test('no frame under a tag of an ended term is accepted', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 3, max: 6 }), (seed, hosts) => {
      const network = settledNetwork(hosts, seed)
      const old = theActive(network)
      assert.ok(old.role.kind === 'active')
      const given = old.role.downlinks
      network.partition([network.hosts.filter((host) => host !== old).map((host) => host.place)])
      network.run(2_000)
      for (const host of network.hosts) {
        const tag = given.get(host.key)
        if (tag !== undefined) assert.equal(host.accepted.get(old.key)?.has(tag) ?? false, false)
      }
    }),
    { numRuns: 30 }
  )
})

test('each side of a partition has an active, and there is one within a second of healing', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 4, max: 9 }), fc.nat(), (seed, hosts, cut) => {
      const network = settledNetwork(hosts, seed)
      const places = network.hosts.map((host) => host.place)
      const at = 1 + (cut % (hosts - 1))
      const sides = [places.slice(0, at), places.slice(at)]
      network.partition(sides)
      network.run(4_000)
      for (const side of sides) {
        const actives = side.filter((place) => network.host(place).role.kind === 'active')
        assert.equal(actives.length, 1, network.describe())
      }
      network.heal()
      network.until('one active', 1_000, () => network.settled)
      const [larger] = sides.toSorted((left, right) => right.length - left.length)
      if (sides[0]?.length !== sides[1]?.length) assert.ok(larger?.includes(theActive(network).place))
      network.run(2_000)
      assertWhole(network)
    }),
    { numRuns: 40 }
  )
})

test('what was said of the active by hosts that are out of reach since holds nobody off', () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const network = new Network({ hosts: 5, seed, candidates: [0, 1, 2] })
      network.until('one active', 3_000, () => network.settled)
      network.run(2_000)
      // The third candidate loses the active alone, and hears from all others that it lives.
      network.partition([
        [0, 1, 3, 4],
        [1, 2, 3, 4]
      ])
      network.run(1_000)
      assert.equal(network.host(2).role.kind, 'edge')
      // Most of those are out of its reach now.
      network.partition([
        [0, 1, 3],
        [2, 4]
      ])
      network.run(3_000)
      assert.equal(network.host(2).role.kind, 'active', network.describe())
    }),
    { numRuns: 20 }
  )
})

test('a planned handoff loses no frame and doubles none', () => {
  fc.assert(
    fc.property(
      seeds,
      fc.integer({ min: 2, max: 9 }),
      fc.option(fc.nat()),
      fc.constantFrom(0.2, 5, 40),
      (seed, hosts, to, delayMs) => {
        const network = settledNetwork(hosts, seed, delayMs)
        const before = theActive(network)
        network.chatter(2, 3_000)
        network.run(100)
        const from = network.now
        const others = network.hosts.filter((host) => host !== before)
        const target = to === null ? null : (others[to % (hosts - 1)] as VirtualHost).place
        network.handoff(target)
        network.until('the new active', 1_500, () => network.actives.some((host) => host !== before))
        network.run(4_000)
        if (target !== null) assert.equal(theActive(network).place, target)
        assert.notEqual(theActive(network), before)
        const sent = network.frames.filter((frame) => frame.sentAt >= from)
        assert.ok(sent.every((frame) => frame.reached.size === hosts - 1))
        assertWhole(network)
      }
    ),
    { numRuns: 40 }
  )
})

test('an active that takes its leave is replaced within a few round trips', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 2, max: 9 }), (seed, hosts) => {
      const network = settledNetwork(hosts, seed)
      network.leave(theActive(network).place)
      network.until('one active', 100, () => network.settled)
      assertWhole(network)
    }),
    { numRuns: 30 }
  )
})

test('after a failover the first candidate gets its switch back in a minute or so, and no frame is lost by that', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 3, max: 6 }), (seed, hosts) => {
      const network = settledNetwork(hosts, seed)
      network.kill(0)
      network.run(2_000)
      network.start(0)
      network.run(58_000)
      assert.notEqual(theActive(network).place, 0)
      network.chatter(5, 16_000)
      const from = network.now
      network.run(16_000)
      assert.equal(theActive(network).place, 0)
      assert.ok(longestGap(network, network.hosts, from) <= 5)
      assertWhole(network)
    }),
    { numRuns: 8 }
  )
})

test('a switch that was moved on purpose stays where it is', () => {
  const network = settledNetwork(4, 7)
  network.handoff(2)
  network.run(120_000)
  assert.equal(theActive(network).place, 2)
})

test('a first candidate that comes and goes does not get the switch back', () => {
  const network = settledNetwork(4, 8)
  network.kill(0)
  for (let round = 0; round < 6; round++) {
    network.run(2_000)
    network.start(0)
    network.run(40_000)
    assert.notEqual(theActive(network).place, 0)
    network.kill(0)
  }
})

test('a handoff to a host that dies meanwhile leaves the switch where it was, or moves it on', () => {
  fc.assert(
    fc.property(seeds, fc.nat({ max: 400 }), (seed, afterMs) => {
      const network = settledNetwork(5, seed, 10)
      network.handoff(3)
      network.run(afterMs)
      network.kill(3)
      network.run(quietMs)
      assertWhole(network)
    }),
    { numRuns: 40 }
  )
})

test('a host that begins anew never reigns in a term that was there', () => {
  fc.assert(
    fc.property(seeds, fc.nat({ max: 1_500 }), fc.integer({ min: 3, max: 5 }), (seed, downMs, hosts) => {
      const network = settledNetwork(hosts, seed)
      for (let round = 0; round < 3; round++) {
        const { place } = theActive(network)
        network.kill(place)
        network.run(downMs)
        network.start(place)
        network.run(quietMs)
      }
      const terms = network.hosts.flatMap((host) => host.terms.map((term) => `${term.counter} ${host.place}`))
      assert.equal(new Set(terms).size, terms.length, terms.join())
      assertWhole(network)
    }),
    { numRuns: 30 }
  )
})

test('the active knows the MACs behind every host, and of a port that came later', () => {
  const network = settledNetwork(4, 3)
  const active = theActive(network)
  for (const host of network.hosts) {
    if (host !== active) assert.deepEqual(active.fdb.get(host.key), [macOf(host.place)])
  }
})

test('an active that stalls twice keeps its switch when only its first words between are lost', () => {
  for (const ranMs of [5, 20, 45]) {
    const network = settledNetwork(3, ranMs)
    const { place } = theActive(network)
    network.stall(place, 300)
    network.run(299)
    network.partition([[place], network.hosts.map((host) => host.place).filter((other) => other !== place)])
    network.run(2)
    network.heal()
    network.run(ranMs - 1)
    network.stall(place, 300)
    network.run(2_000)
    assert.equal(network.hosts.flatMap((host) => host.terms).length, 1, `${ranMs} ms: ${network.describe()}`)
  }
})

test('standby and witnesses hear twenty beats a second, the rest two, and nobody has to ask', () => {
  const network = settledNetwork(14, 9)
  const active = theActive(network)
  network.sent.clear()
  network.run(10_000)
  const beats = network.hosts
    .filter((host) => host !== active)
    .map((host) => network.sent.get(`beat ${active.place} ${host.place}`) ?? 0)
  const fast = beats.filter((count) => count >= 195 && count <= 205)
  const slow = beats.filter((count) => count >= 19 && count <= 21)
  assert.deepEqual([fast.length, slow.length], [9, 4], beats.join())
  assert.ok(Array.from(network.sent.keys()).every((way) => !way.startsWith('probe')))
})

test('equal seeds give equal runs', () => {
  const run = (): string => {
    const network = settledNetwork(5, 77, 3, 0.05)
    network.kill(0)
    network.run(3_000)
    network.start(0)
    network.run(3_000)
    return `${network.random()} ${network.describe()}`
  }
  assert.equal(run(), run())
})

test('whatever happens, there is one active and a whole vLAN after it is quiet, and no frame came twice', () => {
  const disturbance = fc.record({
    afterMs: fc.nat({ max: 1_500 }),
    place: fc.nat({ max: 5 }),
    kind: fc.constantFrom('kill', 'start', 'stall', 'partition', 'heal', 'handoff'),
    size: fc.nat({ max: 3_000 })
  })
  fc.assert(
    fc.property(
      seeds,
      fc.integer({ min: 2, max: 6 }),
      fc.constantFrom(0.2, 5, 50),
      fc.constantFrom(0, 0.05),
      fc.array(disturbance, { maxLength: 12 }),
      (seed, hosts, delayMs, loss, disturbances) => {
        const network = new Network({ hosts, seed, delayMs, jitterMs: delayMs, loss })
        network.chatter(20, 12_000)
        for (const { afterMs, place, kind, size } of disturbances) {
          network.run(afterMs)
          const at = place % hosts
          if (kind === 'kill' && network.living.length > 1) network.kill(at)
          if (kind === 'start' && !network.host(at).alive) network.start(at)
          if (kind === 'stall') network.stall(at, size)
          if (kind === 'handoff') network.handoff(at)
          if (kind === 'heal') network.heal()
          if (kind === 'partition') {
            const places = network.hosts.map((host) => host.place)
            network.partition([
              places.filter((other) => (size >> other) % 2 === 0),
              places.filter((other) => (size >> other) % 2 === 1)
            ])
          }
        }
        network.heal()
        network.run(3_000)
        network.until('peace', quietMs + 4_000, () => network.settled)
        network.run(2_000)
        assert.ok(network.settled, network.describe())
      }
    ),
    {
      numRuns: 150,
      examples: [
        // A deadline that the clock of the network rounds to now, before it is one for the host.
        [
          0,
          3,
          50,
          0,
          [
            { afterMs: 400, place: 2, kind: 'kill', size: 0 },
            { afterMs: 589, place: 4, kind: 'stall', size: 2776 },
            { afterMs: 169, place: 5, kind: 'kill', size: 0 },
            { afterMs: 1059, place: 0, kind: 'heal', size: 0 },
            { afterMs: 1343, place: 0, kind: 'kill', size: 0 }
          ]
        ]
      ]
    }
  )
})
