import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmdirSync } from 'node:fs'
import { test } from 'node:test'
import type { HostId } from '#core/ids.ts'
import { type Share, shareOf } from '#daemon/slices/share.ts'

/** Runs for a second of real time, as busily as it may; says the processor time that it had, and its processors. */
const busy = `const end = performance.now() + 1000; while (performance.now() < end);
const { user, system } = process.cpuUsage()
console.log(JSON.stringify({ ms: (user + system) / 1000, cpus: require('node:os').availableParallelism() }))`

function measured(prefix: readonly string[]): { readonly ms: number; readonly cpus: number } {
  const argv = [...prefix, process.execPath, '-e', busy]
  const told = execFileSync('/usr/bin/env', argv, { encoding: 'utf8' })
  return JSON.parse(told) as { ms: number; cpus: number }
}

const free: Share = { cpus: null, memoryMiB: null }

test('slices get no more processor time than the operator gives, and all of it where no limit is set', () => {
  const host = `test-${process.pid}` as HostId
  const groups = ['', 'cpu/'].map((parent) => `/sys/fs/cgroup/${parent}violin-${host.slice(-12)}`)
  try {
    assert.deepEqual(shareOf(host, free), [])
    const prefix = shareOf(host, { ...free, cpus: 0.25 })
    const { ms, cpus } = measured(prefix)
    // A second at a quarter, and one period of 100 ms at its beginning and end; or one processor of several.
    if (prefix[0] === '/bin/sh') assert.ok(ms <= 400, `${ms} ms of a second`)
    else assert.equal(cpus, 1)
    shareOf(host, free)
    if (prefix[0] === '/bin/sh') assert.ok(measured(prefix).ms > ms)
  } finally {
    for (const group of groups) if (existsSync(group)) rmdirSync(group)
  }
})

/** Takes so many MiB and keeps them. */
const hungry = (mib: number): string =>
  `const all = []; for (let i = 0; i < ${mib / 8}; i++) all.push(Buffer.alloc(8 * 2 ** 20, 1)); console.log(all.length)`

/** Whether this machine has control groups of memory that can be made here. */
function countsMemory(): boolean {
  const controllers = '/sys/fs/cgroup/cgroup.subtree_control'
  const unified = existsSync(controllers) && readFileSync(controllers, 'utf8').split(/\s/).includes('memory')
  return process.getuid?.() === 0 && (unified || existsSync('/sys/fs/cgroup/memory/memory.limit_in_bytes'))
}

const options = { skip: countsMemory() ? false : 'needs root and control groups of memory' }

test('slices get no more memory than the operator gives, whatever runs in them', options, () => {
  const host = `tesm-${process.pid}` as HostId
  const groups = ['', 'memory/'].map((parent) => `/sys/fs/cgroup/${parent}violin-${host.slice(-12)}`)
  const ran = (prefix: readonly string[], mib: number): string | number | null => {
    const argv = [...prefix, process.execPath, '-e', hungry(mib)]
    const { status, signal } = spawnSync('/usr/bin/env', argv, { stdio: 'ignore' })
    return signal ?? status
  }
  try {
    const prefix = shareOf(host, { ...free, memoryMiB: 256 })
    assert.notDeepEqual(prefix, [])
    assert.equal(ran(prefix, 64), 0)
    assert.equal(ran(prefix, 512), 'SIGKILL')
    assert.deepEqual(shareOf(host, free), [])
    assert.equal(ran(prefix, 512), 0, 'the group is set free')
  } finally {
    for (const group of groups) if (existsSync(group)) rmdirSync(group)
  }
})
