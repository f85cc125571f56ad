/** What a slice says of itself, in the order in which it said it, though much of it comes at once. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { HostId, ViolinId } from '#core/ids.ts'
import { found } from '#daemon/founding.ts'
import { SliceConnection } from '#daemon/slices/connection.ts'
import type { SliceReplyLine, SliceRequestLine, SliceStatus, SliceWish } from '#slice/contract.ts'
import { decodeLine, encodeLine, LineSplitter } from '#slice/lines.ts'
import { collect, oneLan, PlayedSlices, startHost, statusOf, until } from './hosts.ts'

test(
  'an entity that comes up while its slice is asked how it is counts as up',
  { timeout: 60_000 },
  async () => {
    await using stack = new AsyncDisposableStack()
    const folder = await mkdtemp(join(tmpdir(), 'violin-order-'))
    stack.defer(() => rm(folder, { recursive: true, force: true }))
    await found(join(folder, 'a'), { name: 'a', listen: ['/ip4/127.0.0.1/tcp/0'] })
    const slices = new SocketSlices(join(folder, 'control.sock'))
    stack.defer(() => slices.close())
    const a = await startHost(join(folder, 'a'), slices)
    stack.defer(() => a.close())
    await collect(a.changes.apply(oneLan('red', ['a']), true, 10_000))
  }
)

test('nothing is claimed anew while a daemon is still finding the slices that went on', async () => {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'violin-order-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const dir = join(folder, 'a')
  await found(dir, { name: 'a', listen: ['/ip4/127.0.0.1/tcp/0'] })
  const slices = new TalkingSlices()
  const before = await startHost(dir, slices)
  await collect(before.changes.apply(oneLan('red', ['a']), true, 10_000))
  await until([before], () => before.records.view.runs.size > 0)
  await before.close()
  const a = await startHost(dir, slices)
  stack.defer(() => a.close())
  await a.reconciled(() => [...a.refusing.reconciler.all().values()].some(({ part }) => part !== null))
  assert.equal(slices.claims.size, 1)
})

/** Slices that tell of a trunk before their daemon has found all of them. */
class TalkingSlices extends PlayedSlices {
  /** The claims with which they were ever configured. */
  readonly claims = new Set<number>()

  override async ensure(violin: ViolinId): Promise<unknown> {
    const slice = (await super.ensure(violin)) as Pick<SliceConnection, 'call'>
    const call = (method: 'configure', params: SliceWish): Promise<unknown> => {
      if (method === 'configure') for (const { claim } of params.entities) this.claims.add(claim)
      return slice.call(method, params)
    }
    return { call }
  }

  override adopt(): ReturnType<PlayedSlices['adopt']> {
    for (const violin of this.wishes.keys())
      this.heard(violin, { kind: 'trunk', peer: 'nobody' as HostId, up: false })
    return super.adopt()
  }
}

/** One slice at a socket. It says that its entities boot, and in the same breath that they are up. */
class SocketSlices extends PlayedSlices {
  readonly #path: string
  readonly #server: Server
  readonly #connections: SliceConnection[] = []
  #wish: SliceWish | null = null

  constructor(path: string) {
    super()
    this.#path = path
    this.#server = createServer((socket) => this.#serve(socket)).listen(path)
  }

  override async ensure(violin: ViolinId): Promise<unknown> {
    const connection = await SliceConnection.open(this.#path, {
      event: (event) => this.heard(violin, event),
      closed: () => undefined
    })
    this.#connections.push(connection)
    return connection
  }

  close(): void {
    for (const connection of this.#connections) connection.close()
    this.#server.close()
  }

  #serve(socket: Socket): void {
    const lines = new LineSplitter()
    socket.on('data', (chunk: Buffer) => {
      lines.push(chunk)
      for (let line = lines.next(); line !== null; line = lines.next())
        socket.write(
          this.#answer(decodeLine(line) as SliceRequestLine)
            .map(encodeLine)
            .join('')
        )
    })
  }

  #answer({ id, method, params }: SliceRequestLine): SliceReplyLine[] {
    if (method === 'configure') this.#wish = params
    if (method !== 'status') return [{ id, result: {} }]
    const up = statusOf(this.#wish as SliceWish)
    const booting: SliceStatus = { ...up, entities: up.entities.map((one) => ({ ...one, state: 'booting' })) }
    return [
      { id, result: booting },
      ...up.entities.map((entity) => ({ event: { kind: 'entity', entity } as const }))
    ]
  }
}
