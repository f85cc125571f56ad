import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Candidate,
  keepAliveMs,
  maxCandidates,
  maxMissed,
  oldestAnswerMs,
  Paths,
  probeTimeoutMs,
  relayIp,
  searchMs
} from '#slice/forwarder/paths.ts'

const near = { ip: 0x0a000001, port: 1000 }
const far = { ip: 0x0a000002, port: 2000 }

/** Addresses that answer after a round trip, on a clock of the test's own. */
class Network {
  #draws = 0
  /** Draws that differ, as secrets must. */
  readonly paths = new Paths(() => (this.#draws = (this.#draws + 0.377) % 1))
  readonly rtt = new Map<number, number>()
  /** Ports that do not answer. */
  readonly silent = new Set<number>()
  readonly #answers: { sentAt: number; at: number; body: Uint8Array }[] = []
  /** Until when peers stand still: what waits is answered then. */
  frozenUntil = 0
  now = 0
  probes = 0

  run(untilMs: number): void {
    for (;;) {
      const next = Math.min(this.paths.deadlineMs, ...this.#answers.map((answer) => answer.at))
      if (next > untilMs) break
      this.now = Math.max(this.now, next)
      for (const answer of this.#answers.filter((other) => other.at <= this.now)) {
        this.#answers.splice(this.#answers.indexOf(answer), 1)
        const isLate = answer.at > answer.sentAt + oldestAnswerMs
        assert.equal(this.paths.answered(answer.body, this.now), !isLate)
      }
      this.paths.due(this.now, (candidate, body) => this.#send(candidate, body))
    }
    this.now = untilMs
  }

  #send(candidate: Candidate, body: Uint8Array): void {
    this.probes++
    const rtt = this.rtt.get(candidate.ip)
    if (rtt !== undefined && !this.silent.has(candidate.port)) {
      const at = Math.max(this.now, this.frozenUntil) + rtt
      this.#answers.push({ sentAt: this.now, at, body })
    }
  }
}

test('the nearest address that answers is used', () => {
  const network = new Network()
  network.rtt.set(near.ip, 3).set(far.ip, 40)
  network.paths.announce([far, near], 0)
  network.run(100)
  assert.equal(network.paths.current?.ip, near.ip)
  assert.ok(Math.abs((network.paths.current?.rttMs ?? 0) - 3) < 0.02)
})

test('a round trip longer than the pace of probing is measured right', () => {
  const network = new Network()
  network.rtt.set(far.ip, 350)
  network.paths.announce([far], 0)
  network.run(5000)
  assert.ok(Math.abs((network.paths.current?.rttMs ?? 0) - 350) < 1)
})

test('a path that no longer answers is left for one that does, and found again', () => {
  const network = new Network()
  network.rtt.set(near.ip, 3).set(far.ip, 40)
  network.paths.announce([near, far], 0)
  network.run(1000)
  network.rtt.delete(near.ip)
  network.run(1000 + 2 * keepAliveMs + 2 * probeTimeoutMs)
  assert.equal(network.paths.current?.ip, far.ip)
  network.rtt.set(near.ip, 3)
  network.run(60_000)
  assert.equal(network.paths.current?.ip, near.ip)
})

test('when nothing answers there is no path, and the search goes on for ever at a bounded pace', () => {
  const network = new Network()
  network.rtt.set(near.ip, 3)
  network.paths.announce([near], 0)
  network.run(1000)
  network.rtt.clear()
  network.run(1000 + keepAliveMs + maxMissed * 2 * probeTimeoutMs + 100)
  assert.ok(network.paths.current === null)
  const before = network.probes
  network.run(network.now + 3_600_000)
  const count = network.probes - before
  assert.ok(count > 6000 && count < 8000, `${count} probes an hour`)
  network.rtt.set(near.ip, 3)
  network.run(network.now + 600)
  const found: Candidate | null = network.paths.current
  assert.equal((found as Candidate | null)?.ip, near.ip)
})

test('an address that only datagrams named is used after it answered, not before', () => {
  const network = new Network()
  network.rtt.set(near.ip, 3)
  network.paths.announce([near], 0)
  network.run(2000)
  network.rtt.delete(near.ip)
  network.paths.seen(far.ip, far.port, network.now)
  network.run(network.now + 10)
  assert.equal(network.paths.current?.ip, near.ip)
  network.rtt.set(far.ip, 5)
  network.run(network.now + 2 * probeTimeoutMs + 600)
  assert.equal(network.paths.current?.ip, far.ip)
})

test('answers that were never asked for, or come far too late, are nothing', () => {
  const network = new Network()
  const bodies: Uint8Array[] = []
  network.paths.announce([near], 0)
  network.paths.due(0, (_, body) => bodies.push(body))
  assert.equal(network.paths.answered(new Uint8Array(8), 1), false)
  assert.equal(network.paths.answered(new Uint8Array(7), 1), false)
  assert.equal(network.paths.answered(bodies[0] as Uint8Array, 20_000), false)
  assert.equal(network.paths.current, null)
})

test('datagrams from ever new addresses do not grow the list nor push out what works', () => {
  const network = new Network()
  network.rtt.set(near.ip, 3)
  network.paths.announce([near], 0)
  network.run(1000)
  for (let i = 0; i < 1000; i++) network.paths.seen(0x0b000000 + i, 9, network.now)
  assert.ok(network.paths.candidates.length <= maxCandidates)
  network.run(network.now + 5000)
  assert.equal(network.paths.current?.ip, near.ip)
})

test('a relay is asked only while the direct way is in doubt, and left when that answers again', () => {
  const network = new Network()
  network.rtt.set(near.ip, 3).set(relayIp, 2)
  network.paths.offerRelay(7, 0)
  network.paths.announce([near], 0)
  network.run(60_000)
  assert.equal(network.paths.current?.ip, near.ip)
  const before = network.probes
  network.run(120_000)
  assert.ok(network.probes - before < 70, 'only the direct way is kept alive')
  network.rtt.delete(near.ip)
  network.run(120_000 + keepAliveMs + 2 * probeTimeoutMs + 10)
  assert.deepEqual([network.paths.current?.ip, network.paths.current?.port], [relayIp, 7])
  network.run(180_000)
  assert.equal(network.paths.current?.ip, relayIp)
  network.rtt.set(near.ip, 300)
  network.run(180_000 + searchMs + 400)
  assert.equal(network.paths.current?.ip, near.ip, 'however much longer it takes')
})

test('one probe that is lost makes no way by a relay', () => {
  const network = new Network()
  network.rtt.set(near.ip, 3).set(relayIp, 2)
  network.paths.offerRelay(7, 0)
  network.paths.announce([near], 0)
  network.run(500)
  network.rtt.delete(near.ip)
  const before = network.probes
  while (network.probes === before) network.run(network.now + 1)
  network.rtt.set(near.ip, 3)
  for (let round = 0; round < 2_000; round++) {
    network.run(network.now + 1)
    assert.equal(network.paths.current?.ip, near.ip)
  }
})

/** A peer whose direct way was just cut, with two relays, 7 and 8. */
function cutOff(): Network {
  const network = new Network()
  network.rtt.set(near.ip, 3).set(relayIp, 2)
  network.paths.announce([near], 0)
  network.paths.offerRelay(7, 0)
  network.paths.offerRelay(8, 0)
  network.run(500)
  network.rtt.delete(near.ip)
  return network
}

test('a relay that passes nothing on any more is left for another', () => {
  const network = cutOff()
  network.run(10_000)
  const first = network.paths.current?.port as number
  network.silent.add(first)
  network.run(25_000)
  assert.equal(network.paths.current?.ip, relayIp)
  assert.notEqual(network.paths.current?.port, first)
})

test('where the relay in use is lost, another that was silent for a while is asked at once', () => {
  for (let lostMs = 12_000; lostMs <= 24_000; lostMs += 2_000) {
    const network = cutOff()
    network.run(5_000)
    const first = network.paths.current?.port as number
    const second = first === 7 ? 8 : 7
    network.silent.add(second)
    network.run(lostMs)
    network.silent.delete(second)
    network.silent.add(first)
    network.run(lostMs + keepAliveMs + (maxMissed + 1) * probeTimeoutMs)
    assert.equal(network.paths.current?.port, second, `lost after ${lostMs} ms`)
  }
})

test('a path to who stood still is given up as soon as any other', () => {
  for (const frozenMs of [1_500, 3_000, 6_000, 9_000]) {
    const network = new Network()
    network.rtt.set(near.ip, 3).set(relayIp, 2)
    network.paths.announce([near], 0)
    network.paths.offerRelay(7, 0)
    network.run(5_000)
    network.frozenUntil = 5_000 + frozenMs
    network.run(network.frozenUntil + 200)
    assert.equal(network.paths.current?.ip, near.ip)
    network.rtt.delete(near.ip)
    network.run(network.now + 4_000)
    assert.equal(network.paths.current?.ip, relayIp, `${frozenMs} ms`)
  }
})
