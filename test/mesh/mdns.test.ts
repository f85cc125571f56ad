import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { soon } from './nodes.ts'
import type { HostId } from '#core/ids.ts'
import type { MeshEvent } from '#mesh/contract.ts'

/** Runs two members in a network namespace that ends with them; their lines as they come. */
function inNamespace(setUp: string): { lines: AsyncIterable<string>; end: () => Promise<void> } {
  const file = new URL('./member.ts', import.meta.url).pathname
  const script = `${setUp}
    "$0" "$1" a 0 & "$0" "$1" b 0 & wait`
  const child = spawn('unshare', ['-n', '--kill-child', 'sh', '-ec', script, process.execPath, file], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, MDNS: '1', LISTEN: '0.0.0.0' },
    detached: true
  })
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  child.on('exit', () => resolve())
  return {
    lines: createInterface(child.stdout),
    end: async () => {
      process.kill(-(child.pid as number), 'SIGKILL')
      await ended
    }
  }
}

test('two members on one LAN find each other without an address', async () => {
  const { lines, end } = inNamespace(`ip link set lo up
    ip link add lan0 type veth peer name lan1
    ip addr add 192.0.2.1/24 dev lan0
    ip link set lan0 up
    ip link set lan1 up
    ip route add 224.0.0.0/4 dev lan0`)
  const late = soon()
  late.addEventListener('abort', () => void end())
  try {
    const ids = new Set<HostId>()
    const met = new Set<HostId>()
    for await (const line of lines) {
      const said = JSON.parse(line) as { id: HostId } | MeshEvent
      if ('id' in said) ids.add(said.id)
      else if (said.kind === 'member-connected') met.add(said.peer)
      if (met.size === 2) break
    }
    assert.equal(ids.size, 2)
    assert.deepEqual(met, ids)
  } finally {
    await end()
  }
})

test('where there is no LAN at all, a node with mDNS runs all the same', async () => {
  const { lines, end } = inNamespace('ip link set lo up')
  try {
    let running = 0
    for await (const line of lines) {
      if (line.includes('addresses')) running += 1
      if (running === 2) break
    }
    assert.equal(running, 2)
  } finally {
    await end()
  }
})
