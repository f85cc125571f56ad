import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, rmdirSync } from 'node:fs'
import { test } from 'node:test'
import type { HostId } from '#core/ids.ts'
import { shareOf } from '#daemon/slices/share.ts'

/** Runs for a second of real time, as busily as it may; says the processor time that it had, and its processors. */
const busy = `const end = performance.now() + 1000; while (performance.now() < end);
const { user, system } = process.cpuUsage()
console.log(JSON.stringify({ ms: (user + system) / 1000, cpus: require('node:os').availableParallelism() }))`

function measured(prefix: readonly string[]): { readonly ms: number; readonly cpus: number } {
  const argv = [...prefix, process.execPath, '-e', busy]
  const told = execFileSync('/usr/bin/env', argv, { encoding: 'utf8' })
  return JSON.parse(told) as { ms: number; cpus: number }
}

test('slices get no more processor time than the operator gives, and all of it where no limit is set', () => {
  const host = `test-${process.pid}` as HostId
  const groups = ['', 'cpu/'].map((parent) => `/sys/fs/cgroup/${parent}violin-${host.slice(-12)}`)
  try {
    assert.deepEqual(shareOf(host, null), [])
    const prefix = shareOf(host, 0.25)
    const { ms, cpus } = measured(prefix)
    // A second at a quarter, and one period of 100 ms at its beginning and end; or one processor of several.
    if (prefix[0] === '/bin/sh') assert.ok(ms <= 400, `${ms} ms of a second`)
    else assert.equal(cpus, 1)
    shareOf(host, null)
    if (prefix[0] === '/bin/sh') assert.ok(measured(prefix).ms > ms)
  } finally {
    for (const group of groups) if (existsSync(group)) rmdirSync(group)
  }
})
