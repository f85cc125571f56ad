/** A path between two nodes that a test can cut: with a reset, as by a killed process, or in silence. */
import { once } from 'node:events'
import { createConnection, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import type { Node } from './nodes.ts'

export interface Relay extends AsyncDisposable {
  /** Where it listens, without the peer id: libp2p would use the connection that it has. */
  readonly address: string
  /** Lets not one byte through any more, and says nothing. */
  silence(): void
  /** Resets every connection. */
  cut(): void
}

export async function relayTo(target: Node): Promise<Relay> {
  const [, host, port] = /ip4\/([^/]+)\/tcp\/(\d+)/.exec(target.mesh.addresses()[0] ?? '') ?? []
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = createConnection(Number(port), host)
    for (const [from, to] of [
      [near, far],
      [far, near]
    ] as const) {
      sockets.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  return {
    address: `/ip4/127.0.0.1/tcp/${(server.address() as AddressInfo).port}`,
    silence: () => {
      for (const socket of sockets) socket.unpipe().pause()
    },
    cut,
    [Symbol.asyncDispose]: async () => {
      cut()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}
