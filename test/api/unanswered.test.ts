/** A daemon that takes requests and says nothing: who asks hears so, and waits no longer than it said. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import { connectApi } from '#api/client.ts'
import { serveApi } from '#api/server.ts'
import { createMemoryService } from './memory-service.ts'

const patience = { firstMs: 50, probeMs: 150, giveUpMs: 400, againMs: 50 }

async function folder(stack: AsyncDisposableStack): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'violin-api-'))
  stack.defer(() => rm(path, { recursive: true, force: true }))
  return path
}

/** A process that listens on a socket and never answers, for it is stopped: its kernel takes connections alone. */
async function stopped(path: string, stack: AsyncDisposableStack): Promise<void> {
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`
  const daemon = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  stack.defer(async () => {
    const ended = once(daemon, 'exit')
    daemon.kill('SIGKILL')
    await ended
  })
  await once(daemon.stdout, 'data')
  daemon.kill('SIGSTOP')
}

test('a daemon that is stopped is told of once, and every kind of request to it fails', async () => {
  await using stack = new AsyncDisposableStack()
  const path = join(await folder(stack), 'api.sock')
  await stopped(path, stack)
  const isSilent = (error: unknown): boolean =>
    error instanceof ViolinError && error.code === 'not-running' && /has not answered for/.test(error.message)
  const requests = [
    (client: ReturnType<typeof connectApi>) => client.hosts({}),
    (client: ReturnType<typeof connectApi>) => client.events({ follow: true })[Symbol.asyncIterator]().next(),
    (client: ReturnType<typeof connectApi>) => client.session({ violin: 'x', entity: 'y', argv: [] })
  ]
  for (const request of requests) {
    const told: string[] = []
    await assert.rejects(request(connectApi(path, (text) => void told.push(text), patience)), isSilent)
    assert.equal(told.length, 1)
  }
})

test('a request that takes long goes on while the daemon says who it is', async () => {
  await using stack = new AsyncDisposableStack()
  const path = join(await folder(stack), 'api.sock')
  const { promise, resolve } = Promise.withResolvers<void>()
  const memory = createMemoryService()
  let asked = 0
  const server = await serveApi(path, {
    ...memory,
    about: (request) => {
      // It was looked at long after it would have been given up.
      if (++asked === 10) resolve()
      return memory.about(request)
    },
    list: async (request) => {
      await promise
      return memory.list(request)
    }
  })
  stack.defer(() => server.close())
  const told: string[] = []
  const client = connectApi(path, (text) => void told.push(text), { ...patience, probeMs: 5_000 })
  assert.deepEqual(await client.list({}), await memory.list({}))
  assert.deepEqual(told, [])
})
