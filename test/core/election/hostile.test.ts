import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Election } from '#core/election/election.ts'
import { decodeMessage, encodeMessage, type Message, reignStates } from '#core/election/message.ts'
import { maxCounter } from '#core/election/settings.ts'
import type { Input, Tag, Term } from '#core/election/types.ts'
import type { HostKey, Instant, Mac } from '#core/ids.ts'

const hosts = ['a', 'b', 'c', 'd', 'e'].map((digit) => digit.repeat(16) as HostKey)
const self = hosts[0] as HostKey
const host = fc.constantFrom(...hosts)
const small = fc.nat({ max: 6 })
/** As far as the codec lets them in. */
const counter = fc.oneof(
  { weight: 5, arbitrary: small },
  fc.constantFrom(2 ** 16, maxCounter - 1, maxCounter)
)
const term: fc.Arbitrary<Term> = fc.record({ counter, host })
const header = {
  life: fc.constantFrom(1, 2),
  stamp: fc.integer({ min: 1, max: 400_000 }),
  echo: fc.integer({ min: 0, max: 400_000 }),
  highest: counter,
  follows: fc.option(term)
}
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ kind: fc.constant('probe' as const), ...header }),
  fc.record({
    kind: fc.constant('status' as const),
    ...header,
    lost: fc.boolean(),
    took: fc.option(term),
    rival: fc.option(term),
    version: small
  }),
  fc.record({
    kind: fc.constant('beat' as const),
    ...header,
    state: fc.constantFrom(...reignStates),
    counter,
    tag: fc.integer({ min: 1, max: 9 }).map((tag) => tag as Tag),
    fast: fc.boolean(),
    edges: small,
    have: small,
    standby: fc.option(host),
    successor: fc.option(term),
    witnesses: fc.array(host, { maxLength: 8 })
  }),
  fc.record({
    kind: fc.constant('ports' as const),
    ...header,
    version: small,
    part: fc.constant(0),
    parts: fc.constant(1),
    ports: fc.constant([{ mac: '02:00:00:00:00:07' as Mac, claim: 1 }])
  }),
  fc.record({ kind: fc.constant('handoff' as const), ...header, counter })
)
const input: fc.Arbitrary<Input<Message>> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('heard' as const), from: host, message }) },
  fc.record({ kind: fc.constantFrom('alive' as const, 'refused' as const), from: host }),
  fc.record({
    kind: fc.constant('trunk' as const),
    peer: host,
    up: fc.boolean(),
    rttMs: fc.option(small),
    fresh: fc.boolean()
  }),
  fc.record({ kind: fc.constant('handoff' as const), to: fc.option(host) }),
  fc.record({
    kind: fc.constant('configure' as const),
    candidates: fc.uniqueArray(host),
    members: fc.uniqueArray(host)
  }),
  fc.constant({ kind: 'tick' as const })
)

test('whatever is heard, nothing throws, tags balance, and the next deadline is to come', () => {
  const steps = fc.array(fc.record({ input, afterMs: fc.nat({ max: 900 }) }), { maxLength: 120 })
  fc.assert(
    fc.property(steps, (all) => {
      let now = 5_000
      const given = new Set<string>()
      const accepted = new Set<string>()
      let next = 0
      const election = new Election({
        self,
        tags: {
          allocate: (peer) => {
            given.add(`${peer} ${++next + 100}`)
            return (next + 100) as Tag
          },
          release: (peer, tag) => assert.ok(given.delete(`${peer} ${tag}`))
        },
        random: () => 0.5,
        now: now as Instant
      })
      const take = (step: Input<Message>): void => {
        for (const effect of election.handle(step, now as Instant)) {
          if (effect.kind === 'accept') accepted.add(`${effect.from} ${effect.tag}`)
          if (effect.kind === 'retire') accepted.delete(`${effect.from} ${effect.tag}`)
          if (effect.kind !== 'send') continue
          assert.notEqual(effect.to, self)
          // What nobody can read would silence this host for good.
          assert.ok(decodeMessage(encodeMessage(effect.message)) !== null, JSON.stringify(effect.message))
        }
        const { deadline } = election
        if (deadline === null || step.kind === 'alive' || deadline.at > now) return
        // What is due now is done in the tick that follows, and once.
        assert.notEqual(step.kind, 'tick', deadline.why)
        take({ kind: 'tick' })
      }
      take({ kind: 'configure', candidates: hosts, members: hosts })
      for (const { input: step, afterMs } of all) {
        now += afterMs
        take(step)
      }
      take({ kind: 'configure', candidates: [self], members: [self] })
      take({ kind: 'leave' })
      assert.equal(given.size, 0)
      assert.deepEqual([...accepted], [])
    }),
    { numRuns: 400 }
  )
})
