/**
 * A process in a mount namespace with a small file system of its own, which it fills: records of a host whose
 * disk has no room. Prints what happened as one JSON document.
 */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { HostId, WallTime } from '#core/ids.ts'
import { Records } from '#daemon/records.ts'
import { openStore } from '#store/level.ts'
import { ViolinError } from '#core/errors.ts'
import { dayMs, founder, root } from '../core/admission/keys.ts'
import { freshFounding, hostBody, specOn } from '../core/records/records.ts'

const folder = process.argv[2] as string
const ballast = join(folder, 'ballast')
const host = founder()
const self = host.chain.host as HostId
const told: string[] = []

function records(store: Awaited<ReturnType<typeof openStore>>): Records {
  return new Records({
    root: root.publicKey,
    self,
    store,
    // The keys of the tests are of one day.
    wallNow: () => (host.chain.endsAt - 300 * dayMs) as WallTime,
    tell: (kind) => void told.push(kind),
    log: () => {}
  })
}

function fill(): void {
  for (const size of [65_536, 4096, 1]) {
    try {
      for (;;) writeFileSync(ballast, new Uint8Array(size), { flag: 'a' })
    } catch {
      // Full at this size.
    }
  }
}

const store = await openStore(join(folder, 'store'))
const here = records(store)
const publish = (name: string): Promise<unknown> =>
  here.publish(
    {
      kind: 'host',
      version: here.nextVersion('host', host.signer.publicKey, ''),
      issuedAt: here.now,
      expiresAt: (here.now + 20 * dayMs) as WallTime,
      body: hostBody(host, { name }),
      chain: host.chain
    },
    host.signer
  )
await publish('roomy')
fill()
let published = 0
while (!told.includes('store-failed') && published < 100) await publish(`full-${published++}`)
const own = here.view.members.get(self)?.body.name
const refused = await here
  .publish(
    {
      kind: 'violin',
      version: 1,
      issuedAt: here.now,
      expiresAt: (here.now + dayMs) as WallTime,
      body: { founding: freshFounding(host.owner.publicKey), spec: specOn([self]), ended: null },
      chain: host.ownerChain
    },
    host.owner
  )
  .then(
    () => 'kept',
    (error: unknown) => (error instanceof ViolinError ? error.code : String(error))
  )
const listed = here.set.violins().length
here.tick()
const readable = store.entries('records').length
rmSync(ballast)
for (let tries = 0; tries < 50 && !told.includes('store-well'); tries++) {
  here.tick()
  await store.write([]).catch(() => undefined)
}
await store.close()
const again = await openStore(join(folder, 'store'))
const after = records(again)
const kept = after.view.members.get(self)?.body.name
const violins = after.set.violins().length
await again.close()
process.stdout.write(JSON.stringify({ told, own, published, refused, listed, readable, kept, violins }))
