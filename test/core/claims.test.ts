import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  decide,
  decideAll,
  generationOf,
  keeperOf,
  lostMs,
  nextClaim,
  takeoversAtOnce,
  type Question,
  type Sight,
  type Told,
  type Verdict
} from '#core/claims.ts'
import type { HostId } from '#core/ids.ts'
import type { RunState } from '#core/records/bodies.ts'
import { restarts } from '#core/spec.ts'
import { id } from './topologies.ts'

const [A, B, C, Z] = ['A', 'B', 'C', 'Z'].map(id) as [HostId, HostId, HostId, HostId]
const sightOf = (self: HostId, more: Partial<Sight> = {}): Sight => ({
  self,
  lostForMs: () => null,
  isGone: () => false,
  isDraining: () => false,
  isolated: false,
  ...more
})
const question = (more: Partial<Question> = {}): Question => ({
  name: 'x',
  hosts: [A, B, C],
  generation: 0,
  restart: 'failover',
  told: new Map(),
  own: null,
  heardSince: false,
  shutForMs: lostMs,
  settled: true,
  ...more
})
const told = (...rows: [HostId, number, RunState][]): Map<HostId, Told> =>
  new Map(rows.map(([host, claim, state]) => [host, { claim, state }]))
const lost =
  (...hosts: HostId[]) =>
  (host: HostId): number | null =>
    hosts.includes(host) ? lostMs : null
const runs = (verdict: Verdict): number | null => (verdict.kind === 'run' ? verdict.claim : null)

test('the first of the list claims, the others wait for it', () => {
  assert.deepEqual(decide(question(), sightOf(A)), { kind: 'run', claim: 1, fresh: true, againInMs: null })
  assert.equal(runs(decide(question(), sightOf(B))), null)
  assert.equal(runs(decide(question(), sightOf(Z))), null)
})

test('while an entity runs where it was, nobody hurries past the host that it is moved to', () => {
  const moved = question({ hosts: [A, B, C], generation: 1, told: told([C, 3, 'running']) })
  // Both may be old news of a host that is back.
  const isA = (host: HostId): boolean => host === A
  const wait = decide(moved, sightOf(B, { lostForMs: lost(A), isDraining: isA }))
  assert.deepEqual([wait.kind, wait.againInMs], ['rest', lostMs])
  assert.equal(generationOf(runs(decide(moved, sightOf(A))) as number), 1)
  assert.equal(generationOf(runs(decide(moved, sightOf(B, { isGone: isA }))) as number), 1)
  const refused = question({ ...moved, told: told([C, 3, 'running'], [A, (1 << 16) | 1, 'refused']) })
  assert.equal(generationOf(runs(decide(refused, sightOf(B))) as number), 1)
  // When it is lost where it was, too, it is taken over.
  assert.equal(generationOf(runs(decide(moved, sightOf(B, { lostForMs: lost(A, C) }))) as number), 1)
})

test('what is moved to where it runs goes on there, under a claim of its new generation', () => {
  const own = { claim: 3, state: 'running', superseded: 0 } as const
  const moved = question({ hosts: [A, B, C], generation: 1, own, told: told([A, 3, 'running']) })
  const first = (1 << 16) | 1
  assert.deepEqual(decide(moved, sightOf(A)), { kind: 'run', claim: first, fresh: true, againInMs: null })
  // Also where another runs it as well, or shut its ports here.
  const elsewhere = told([B, 4, 'running'])
  assert.equal(runs(decide({ ...moved, told: elsewhere }, sightOf(A))), first)
  assert.equal(runs(decide({ ...moved, own: { ...own, superseded: 4 } }, sightOf(A))), first)
  // Where it is not moved to it goes on as it was, until it runs there; a host that drains keeps nothing.
  assert.equal(runs(decide(moved, sightOf(B, { lostForMs: lost(A), isDraining: (host) => host === A }))), 3)
  assert.equal(runs(decide(moved, sightOf(A, { isDraining: (host) => host === A }))), 3)
  const taken = question({ ...moved, told: told([B, first, 'booting']) })
  assert.equal(runs(decide(taken, sightOf(A))), 3)
  // Where it does not fail over, it stays with whoever ran it since.
  const since = told([A, 3, 'running'], [C, first, 'stopped'])
  for (const restart of restarts)
    assert.equal(
      runs(decide({ ...moved, restart, told: since }, sightOf(A))),
      restart === 'failover' ? first + 1 : 3
    )
  // Whoever cannot have it leaves it to the next.
  const refused = question({ ...moved, told: told([A, first, 'refused']) })
  assert.equal(runs(decide(refused, sightOf(B))), first + 1)
})

test('a host takes over when it has lost every host before it for ten seconds, and not before', () => {
  const seen = question({ told: told([A, 1, 'running']) })
  assert.equal(runs(decide(seen, sightOf(B, { lostForMs: lost(A) }))), 2)
  assert.equal(runs(decide(seen, sightOf(C, { lostForMs: lost(A) }))), null)
  assert.equal(runs(decide(seen, sightOf(C, { lostForMs: lost(A, B) }))), 2)
  const soon = decide(seen, sightOf(B, { lostForMs: (host) => (host === A ? lostMs - 300 : null) }))
  assert.deepEqual([soon.kind, soon.kind === 'rest' && soon.againInMs], ['rest', 300])
})

test('who waits for a host that is there asks again in ten seconds, for nothing tells when its silence begins', () => {
  const againOf = (asked: Question, sight: Sight): number | null => {
    const verdict = decide(asked, sight)
    assert.equal(verdict.kind, 'rest')
    return verdict.kind === 'rest' ? verdict.againInMs : null
  }
  const seen = question({ told: told([A, 1, 'running']) })
  assert.equal(againOf(seen, sightOf(B)), lostMs)
  assert.equal(againOf(question(), sightOf(B)), lostMs)
  assert.equal(againOf(question({ restart: 'never' }), sightOf(B)), null)
  // Isolation ends without an event of its own, too.
  assert.equal(againOf(seen, sightOf(B, { lostForMs: lost(A, C), isolated: true })), lostMs)
})

test('what does not fail over is taken over by nobody, however long its host is lost', () => {
  for (const restart of ['on-failure', 'never'] as const)
    assert.equal(
      runs(decide(question({ restart, told: told([A, 1, 'running']) }), sightOf(B, { lostForMs: lost(A) }))),
      null
    )
})

test('what does not fail over stays where it ran last, wherever that host stands in the list', () => {
  const isB = (host: HostId): boolean => host === B
  for (const restart of ['on-failure', 'never'] as const) {
    const onB = question({ restart, told: told([A, 1, 'stopped'], [B, 2, 'running']) })
    assert.equal(runs(decide(onB, sightOf(A, { lostForMs: lost(B) }))), null)
    assert.equal(runs(decide(onB, sightOf(A, { isDraining: isB }))), 3, 'it is given up')
    const failed = question({ restart, told: told([B, 2, 'failed']) })
    for (const self of [A, C]) {
      assert.equal(runs(decide(failed, sightOf(self))), null)
      assert.equal(
        runs(decide(failed, sightOf(self, { isDraining: isB }))),
        null,
        'what is over is not moved'
      )
    }
    // It began anew there.
    const again = question({ restart, told: told([B, 2, 'stopped']) })
    assert.equal(runs(decide(again, sightOf(A))), null)
    assert.equal(runs(decide(again, sightOf(B))), 3)
  }
})

test('what runs once does not run again where only the word of a forgotten life says that it did', () => {
  for (const state of ['pending', 'booting', 'running'] as const) {
    const forgotten = question({ restart: 'never', told: told([B, 2, state]) })
    assert.equal(runs(decide(forgotten, sightOf(B))), null)
    assert.equal(runs(decide({ ...forgotten, restart: 'on-failure' }, sightOf(B))), 3)
    const later = { ...forgotten, generation: 1 }
    assert.equal(runs(decide(later, sightOf(A))), 0x1_0001, 'its owner starts it anew')
  }
})

test('what is given up passes over hosts that are lost, also where it does not fail over', () => {
  const isA = (host: HostId): boolean => host === A
  for (const restart of restarts) {
    const seen = question({ restart, told: told([A, 1, 'running']) })
    assert.equal(runs(decide(seen, sightOf(C, { isDraining: isA, lostForMs: lost(B) }))), 2)
    assert.equal(runs(decide(seen, sightOf(C, { isDraining: isA }))), null)
  }
})

test('who took over keeps the entity when an earlier host is back', () => {
  const both = told([A, 1, 'running'], [B, 2, 'running'])
  assert.equal(
    runs(decide(question({ told: both, own: { claim: 2, state: 'running', superseded: 0 } }), sightOf(B))),
    2
  )
  // The earlier one, started anew, or still running on its side of a partition.
  assert.equal(runs(decide(question({ told: both }), sightOf(A))), null)
  assert.equal(
    runs(decide(question({ told: both, own: { claim: 1, state: 'running', superseded: 2 } }), sightOf(A))),
    null
  )
})

test('the lower of two stops only when the higher one runs', () => {
  const own = { claim: 1, state: 'running', superseded: 0 } as const
  for (const [state, keeps] of [
    ['pending', 1],
    ['booting', 1],
    ['failed', 1],
    ['refused', 1],
    ['running', null]
  ] as const)
    assert.equal(runs(decide(question({ told: told([B, 2, state]), own }), sightOf(A))), keeps, state)
})

test('who refused, failed, drains or is gone for good is passed over at once', () => {
  for (const state of ['refused', 'failed'] as const)
    assert.equal(runs(decide(question({ told: told([A, 1, state]) }), sightOf(B))), 2, state)
  const isA = (host: HostId): boolean => host === A
  assert.equal(runs(decide(question(), sightOf(B, { isDraining: isA }))), 1)
  assert.equal(runs(decide(question(), sightOf(B, { isGone: isA }))), 1)
  // It is taken over from a draining host while it runs there.
  const running = question({ told: told([A, 1, 'running']) })
  assert.equal(runs(decide(running, sightOf(B, { isDraining: isA }))), 2)
  assert.equal(runs(decide(running, sightOf(C, { isDraining: isA }))), null)
  assert.equal(runs(decide(question(), sightOf(A, { isDraining: isA }))), null)
})

test('a new generation moves an entity to the first of its list, and forgives failures', () => {
  const moved = question({ generation: 1, hosts: [C, A, B], told: told([A, 3, 'running']) })
  const verdict = decide(moved, sightOf(C))
  assert.equal(generationOf(runs(verdict) as number), 1)
  assert.equal(runs(decide(moved, sightOf(B))), null)
  const failed = question({
    told: told([A, 1, 'failed'], [B, 2, 'refused']),
    own: { claim: 1, state: 'failed', superseded: 0 }
  })
  assert.equal(runs(decide(failed, sightOf(A))), null)
  assert.notEqual(runs(decide({ ...failed, generation: 1 }, sightOf(A))), null)
})

test('after a start nothing is claimed before a co-host answered, but what is this host’s alone', () => {
  assert.equal(runs(decide(question({ settled: false }), sightOf(A))), null)
  assert.equal(runs(decide(question({ settled: false, hosts: [A] }), sightOf(A))), 1)
})

test('a host that lost all others starts nothing of theirs', () => {
  const seen = question({ told: told([A, 1, 'running']) })
  assert.equal(runs(decide(seen, sightOf(B, { lostForMs: lost(A, C), isolated: true }))), null)
  assert.equal(
    runs(
      decide(
        question({ told: told([B, 2, 'running']) }),
        sightOf(A, { lostForMs: lost(B, C), isolated: true })
      )
    ),
    null
  )
})

test('ports that were shut for a claim whose host died since are opened by a higher one', () => {
  const own = { claim: 1, state: 'running', superseded: 5 } as const
  assert.equal(runs(decide(question({ own }), sightOf(A))), 1, 'its record is on its way')
  const waits = decide(question({ own }), sightOf(A))
  assert.equal(waits.againInMs, lostMs, 'and nothing may tell of it')
  assert.equal(runs(decide(question({ own, heardSince: true }), sightOf(A))), 6, 'it began anew')
  assert.equal(runs(decide(question({ own }), sightOf(A, { lostForMs: lost(B, C) }))), 6)
  assert.equal(runs(decide(question({ own, told: told([B, 5, 'failed']) }), sightOf(A))), 6)
})

test('whoever shut ports here was there then: they are not opened for a loss from before', () => {
  const own = { claim: 1, state: 'running', superseded: 5 } as const
  const shut = question({ own, told: told([B, 5, 'running']), shutForMs: 300 })
  const wait = decide(shut, sightOf(A, { lostForMs: lost(B, C) }))
  assert.deepEqual([runs(wait), wait.againInMs], [1, lostMs - 300])
  // Also where its record is still on its way.
  assert.equal(runs(decide({ ...shut, told: new Map() }, sightOf(A, { lostForMs: lost(B, C) }))), 1)
  const alone = { lostForMs: lost(B, C), isolated: true }
  assert.equal(runs(decide({ ...shut, shutForMs: 2 * lostMs }, sightOf(A, alone))), 1)
  assert.equal(runs(decide({ ...shut, shutForMs: lostMs }, sightOf(A, { lostForMs: lost(B, C) }))), 6)
  assert.equal(runs(decide(shut, sightOf(A, { isGone: (host) => host === B }))), 6)
})

const states: readonly RunState[] = ['pending', 'booting', 'running', 'stopped', 'failed', 'refused']
const hosts = [A, B, C, Z]
const row = fc.record({ claim: fc.nat({ max: 200_000 }), state: fc.constantFrom(...states) })
const questions: fc.Arbitrary<Question> = fc.record({
  name: fc.constant('x'),
  hosts: fc.shuffledSubarray(hosts, { minLength: 1, maxLength: 3 }),
  generation: fc.nat({ max: 2 }),
  restart: fc.constantFrom(...restarts),
  told: fc
    .dictionary(fc.constantFrom(...hosts), row)
    .map((rows) => new Map(Object.entries(rows) as [HostId, Told][])),
  own: fc.option(
    fc.record({
      claim: fc.nat({ max: 200_000 }),
      state: fc.constantFrom(...states),
      superseded: fc.nat({ max: 200_000 })
    })
  ),
  heardSince: fc.boolean(),
  shutForMs: fc.nat({ max: 2 * lostMs }),
  settled: fc.boolean()
})
const sights: fc.Arbitrary<Sight> = fc
  .record({
    self: fc.constantFrom(...hosts),
    lostFor: fc.dictionary(fc.constantFrom(...hosts), fc.nat({ max: 2 * lostMs })),
    gone: fc.subarray(hosts),
    draining: fc.subarray(hosts),
    isolated: fc.boolean()
  })
  .map(({ self, lostFor, gone, draining, isolated }) =>
    sightOf(self, {
      lostForMs: (host) => lostFor[host] ?? null,
      isGone: (host) => gone.includes(host),
      isDraining: (host) => draining.includes(host),
      isolated
    })
  )

test('every situation has a verdict; only the listed run, and a fresh claim is above all that were heard', () => {
  fc.assert(
    fc.property(questions, sights, (asked, sight) => {
      const verdict = decide(asked, sight)
      if (verdict.kind === 'rest') return assert.ok(verdict.againInMs === null || verdict.againInMs >= 0)
      assert.ok(asked.hosts.includes(sight.self))
      if (!verdict.fresh) return assert.equal(verdict.claim, asked.own?.claim)
      assert.equal(generationOf(verdict.claim), asked.generation)
      for (const [host, { claim }] of asked.told)
        if (asked.hosts.includes(host) && generationOf(claim) <= asked.generation)
          assert.ok(verdict.claim > claim)
    })
  )
})

test('a claim by a host that is not listed, or of a generation that is not there, changes nothing', () => {
  fc.assert(
    fc.property(questions, sights, fc.constantFrom(...hosts), row, (asked, sight, liar, lie) => {
      const listed = asked.hosts.includes(liar)
      if (listed && generationOf(lie.claim) <= asked.generation) return
      const without = new Map(asked.told)
      without.delete(liar)
      const with_ = new Map([...without, [liar, lie] as const])
      assert.deepEqual(decide({ ...asked, told: with_ }, sight), decide({ ...asked, told: without }, sight))
      assert.equal(keeperOf(asked, with_), keeperOf(asked, without))
      assert.equal(nextClaim({ ...asked, told: with_ }), nextClaim({ ...asked, told: without }))
    })
  )
})

test('in one shared view at most one host has, or makes, the highest claim', () => {
  fc.assert(
    fc.property(questions, (asked) => {
      // All see the same rows, each its own among them, and nobody is lost.
      const verdicts = asked.hosts.map((self) => {
        const own = asked.told.get(self)
        const held = own !== undefined && own.claim > 0 && generationOf(own.claim) <= asked.generation
        return decide(
          { ...asked, settled: true, own: held ? { ...own, superseded: 0 } : null },
          sightOf(self)
        )
      })
      // One that refused is asked whether it has room now; it does not count before it says so.
      const refused = (place: number): boolean =>
        asked.told.get(asked.hosts[place] as HostId)?.state === 'refused'
      const fresh = verdicts.filter(
        (verdict, place) => verdict.kind === 'run' && verdict.fresh && !refused(place)
      )
      assert.ok(fresh.length <= 1)
    })
  )
})

test('of what is taken over two boot at once', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom<RunState | null>('pending', 'booting', 'running', null), { maxLength: 12 }),
      (owns) => {
        const asked = owns.map((state) =>
          question({
            told: told([A, 1, 'running']),
            own: state === null ? null : { claim: 2, state, superseded: 0 }
          })
        )
        const verdicts = decideAll(asked, sightOf(B, { lostForMs: lost(A) }))
        const booting = verdicts.filter(
          (verdict, place) => verdict.kind === 'run' && owns[place] !== 'running'
        )
        const before = owns.filter((state) => state === 'pending' || state === 'booting').length
        assert.ok(booting.length <= Math.max(before, takeoversAtOnce))
        if (before < takeoversAtOnce)
          assert.equal(
            booting.length,
            Math.min(takeoversAtOnce, owns.filter((state) => state !== 'running').length)
          )
      }
    )
  )
})

test('a machine that goes on under another claim waits for none that boots', () => {
  const boots = question({
    told: told([A, 1, 'running']),
    own: { claim: 2, state: 'booting', superseded: 0 }
  })
  const shut = question({ own: { claim: 1, state: 'running', superseded: 5 }, heardSince: true })
  const verdicts = decideAll([boots, boots, shut], sightOf(B, { lostForMs: lost(A) }))
  assert.deepEqual(verdicts.map(runs), [2, 2, 6])
})

/** Hosts that share records at once with whom they reach, and boot in two seconds. */
class Town {
  now = 0
  readonly rows = new Map<HostId, Map<HostId, Told>>()
  readonly own = new Map<
    HostId,
    { claim: number; state: RunState; superseded: number; sinceMs: number } | null
  >()
  readonly dead = new Set<HostId>()
  readonly lostAt = new Map<string, number>()
  readonly startedAt = new Map<HostId, number>()
  group = new Map<HostId, number>()
  readonly list = [A, B, C]
  readonly restart: Question['restart']

  constructor(restart: Question['restart'] = 'failover') {
    this.restart = restart
    for (const host of this.list) this.start(host)
  }

  start(host: HostId): void {
    this.dead.delete(host)
    this.own.set(host, null)
    this.startedAt.set(host, this.now)
    const rows = new Map(this.rows.get(host))
    // What it told in a former life it takes back before anybody hears of it, but for what starts nowhere else.
    const claim = this.restart === 'failover' ? 0 : (rows.get(host)?.claim ?? 0)
    this.rows.set(host, rows.set(host, { claim, state: 'stopped' }))
  }

  befall(kind: string, host: HostId): void {
    if (kind === 'kill') this.dead.add(host)
    else if (kind === 'start' && this.dead.has(host)) this.start(host)
    else if (kind === 'cut') this.group.set(host, (this.group.get(host) ?? 0) + 1)
    else if (kind === 'heal') this.group = new Map()
  }

  reach(a: HostId, b: HostId): boolean {
    return !this.dead.has(a) && !this.dead.has(b) && this.group.get(a) === this.group.get(b)
  }

  step(stepMs: number): void {
    this.now += stepMs
    for (const a of this.list)
      for (const b of this.list) {
        if (a === b) continue
        const key = `${a} ${b}`
        if (this.reach(a, b)) this.lostAt.delete(key)
        else if (!this.lostAt.has(key)) this.lostAt.set(key, this.now)
      }
    for (const host of this.list) if (!this.dead.has(host)) this.#act(host)
  }

  keepers(): HostId[] {
    return this.list.filter((host) => !this.dead.has(host) && this.own.get(host) != null)
  }

  #act(self: HostId): void {
    const others = this.list.filter((host) => host !== self)
    const mine = this.rows.get(self) as Map<HostId, Told>
    for (const other of others) {
      if (!this.reach(self, other)) continue
      const row = (this.rows.get(other) as Map<HostId, Told>).get(other)
      if (row !== undefined) mine.set(other, row)
    }
    const own = this.own.get(self) ?? null
    if (own !== null && own.state === 'pending' && this.now - own.sinceMs >= 2_000) own.state = 'running'
    const answered = others.some((other) => this.reach(self, other))
    const settled = answered || this.now - (this.startedAt.get(self) as number) >= lostMs
    const verdict = decide(
      question({ restart: this.restart, told: mine, own, settled }),
      sightOf(self, {
        lostForMs: (host) => {
          const at = this.lostAt.get(`${self} ${host}`)
          return at === undefined ? null : this.now - at
        },
        isolated: others.every((other) => !this.reach(self, other))
      })
    )
    if (verdict.kind === 'rest') this.own.set(self, null)
    else if (verdict.fresh)
      this.own.set(self, { claim: verdict.claim, state: 'pending', superseded: 0, sinceMs: this.now })
    const now = this.own.get(self) ?? null
    if (now !== null) mine.set(self, { claim: now.claim, state: now.state })
    else if (this.restart === 'failover') mine.set(self, { claim: 0, state: 'stopped' })
  }
}

const townEvents = fc.array(
  fc.record({
    kind: fc.constantFrom('kill', 'start', 'cut', 'heal', 'wait'),
    host: fc.constantFrom(A, B, C),
    forMs: fc.integer({ min: 0, max: 25_000 })
  }),
  { maxLength: 15 }
)

test('whatever befell the hosts, when it is quiet one of them runs the entity, and it stays there', () => {
  fc.assert(
    fc.property(townEvents, fc.subarray([A, B, C], { minLength: 2 }), (events, living) => {
      const town = new Town()
      for (const { kind, host, forMs } of events) {
        town.befall(kind, host)
        for (let ms = 0; ms < forMs; ms += 500) town.step(500)
      }
      town.group = new Map()
      for (const host of [A, B, C]) {
        if (!living.includes(host)) town.dead.add(host)
        else if (town.dead.has(host)) town.start(host)
      }
      for (let ms = 0; ms < 60_000; ms += 500) town.step(500)
      const [keeper, ...more] = town.keepers()
      assert.ok(
        keeper !== undefined && more.length === 0,
        `kept by ${town.keepers().join(' and ') || 'nobody'}`
      )
      for (const host of [A, B, C]) if (town.dead.has(host)) town.start(host)
      for (let ms = 0; ms < 60_000; ms += 500) town.step(500)
      assert.deepEqual(town.keepers(), [keeper], 'who comes back takes nothing back')
    }),
    { numRuns: 300 }
  )
})

test('whatever befell the hosts, what does not fail over runs on its host or nowhere', () => {
  fc.assert(
    fc.property(townEvents, (events) => {
      const town = new Town('on-failure')
      const pass = (forMs: number): void => {
        for (let ms = 0; ms < forMs; ms += 500) {
          town.step(500)
          assert.ok(town.keepers().every((host) => host === A))
        }
      }
      for (const { kind, host, forMs } of events) {
        town.befall(kind, host)
        pass(forMs)
      }
      town.group = new Map()
      for (const host of town.list) if (town.dead.has(host)) town.start(host)
      pass(60_000)
      assert.deepEqual(town.keepers(), [A])
    }),
    { numRuns: 300 }
  )
})
