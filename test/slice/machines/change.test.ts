import assert from 'node:assert/strict'
import { test } from 'node:test'
import { resolvPath } from '#core/routing/paths.ts'
import type { SliceEntity } from '#slice/contract.ts'
import { isLiveChange, nicChanges, sameMachine } from '#slice/machines/change.ts'
import { id, specEntity } from '../../core/topologies.ts'

const file = (path: string, text: string): SliceEntity['files'][number] => ({
  path,
  mode: 0o644,
  data: Buffer.from(text)
})
const nic = (name: string, lan: string): SliceEntity['nics'][number] => ({ name, lan, ips: [] })
const [eth0, eth1] = [nic('eth0', 'lan1'), nic('eth1', 'lan2')]
const [frr, motd] = [file('/etc/frr/frr.conf', 'one'), file('/etc/motd', 'one')]
const runs: SliceEntity = {
  ...specEntity('x', { kind: 'router', nics: [eth0, eth1], hosts: [id('A'), id('B')], files: [frr, motd] }),
  claim: 1,
  retold: [frr.path]
}
/** 'same': it goes on untouched; 'live': it takes the change on; 'another': it is started anew. */
const becomes = (more: Partial<SliceEntity>): 'same' | 'live' | 'another' => {
  const want = { ...runs, ...more }
  if (sameMachine(runs, want)) return 'same'
  return isLiveChange(runs, want) ? 'live' : 'another'
}

test('where else an entity may run, its claim and its links are no part of its machine', () => {
  assert.equal(becomes({ claim: 7, generation: 2 }), 'same')
  assert.equal(becomes({ hosts: [id('C')], pinned: true, restart: 'never' }), 'same')
  assert.equal(becomes({ nics: [{ ...eth0, link: { delayUs: 5_000 } }, eth1] }), 'same')
})

test('vNICs, routes and what services are told change while a machine runs; all else makes another', () => {
  assert.equal(becomes({ nics: [eth0] }), 'live')
  assert.equal(becomes({ routes: [{ to: '10.9.0.0/16', via: '10.0.0.9' }] }), 'live')
  assert.equal(becomes({ files: [file(frr.path, 'two'), motd] }), 'live')
  const resolv = file(resolvPath, 'nameserver 10.0.0.1')
  assert.equal(becomes({ files: [frr, motd, resolv], retold: [frr.path, resolvPath] }), 'live')
  assert.equal(becomes({ files: [frr, motd, resolv] }), 'another')
  assert.equal(becomes({ files: [frr, file(motd.path, 'two')] }), 'another')
  assert.equal(becomes({ memoryMiB: runs.memoryMiB + 1 }), 'another')
  assert.equal(becomes({ run: 'sleep 1' }), 'another')
})

test('a vNIC of the same name on another vLAN is another', () => {
  const moved = { ...eth1, lan: 'lan3' }
  assert.deepEqual(nicChanges(runs, { nics: [eth0, moved] }), { gone: [eth1], added: [moved] })
  assert.deepEqual(nicChanges(runs, runs), { gone: [], added: [] })
})
