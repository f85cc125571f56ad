import assert from 'node:assert/strict'
import { rename } from 'node:fs/promises'
import { test } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import type { HostId } from '#core/ids.ts'
import { rootKeyFile } from '#daemon/identity.ts'
import { collect, meshOf, oneLan, type TestHost, until } from './hosts.ts'

type Three = [TestHost, TestHost, TestHost]

const idOf = (host: TestHost): HostId => host.host.identity.id

function refusal(code: string): (error: unknown) => boolean {
  return (error) => error instanceof ViolinError && error.code === code
}

test('a member that is revoked loses its connections, its records and its trunks, on every host', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, stays, goes] = (await meshOf(['princeton', 'purdue', 'washington'], stack)) as Three
  await collect(owner.violins.apply(oneLan('net', ['princeton', 'purdue', 'washington']), true, 20_000))
  const peers = (): boolean =>
    [...stays.slices.wishes.values()].every((wish) => !wish.peers.includes(idOf(goes)))
  assert.equal(peers(), false)
  await owner.admission.revoke('washington')
  const remaining = [owner, stays]
  await until(remaining, () =>
    remaining.every(
      ({ mesh, records }) => !mesh.members().includes(idOf(goes)) && !records.view.members.has(idOf(goes))
    )
  )
  await stays.reconciled(peers)
  // It cannot come back: its membership is shown, and refused.
  await assert.rejects(goes.mesh.dial(owner.mesh.addresses(), AbortSignal.timeout(5_000)))
  assert.deepEqual(owner.mesh.members(), [idOf(stays)])
})

test('only who let a member in, or the root key, revokes it', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, member, other] = (await meshOf(['princeton', 'purdue', 'washington'], stack)) as Three
  await assert.rejects(member.admission.revoke('washington'), refusal('refused'))
  await assert.rejects(member.admission.revoke('princeton'), refusal('refused'))
  await assert.rejects(founder.admission.revoke('princeton'), refusal('refused'))
  await assert.rejects(founder.admission.revoke('nobody'), refusal('unknown-host'))
  // The root key, carried to a plain member for the moment, shuts even the founder out.
  await rename(rootKeyFile(founder.dir), rootKeyFile(member.dir))
  await member.admission.revoke('princeton')
  await until([other], () => !other.mesh.members().includes(idOf(founder)))
  assert.equal(other.records.view.members.has(idOf(founder)), false)
})
