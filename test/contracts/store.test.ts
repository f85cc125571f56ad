import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore } from '#store/level.ts'
import { memoryStore } from '#store/memory.ts'
import { storeContract } from './store.ts'

storeContract('level', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'violin-store-'))
  return {
    store: await openStore(folder),
    reopen: async (store) => {
      await store.close()
      return openStore(folder)
    },
    end: () => rm(folder, { recursive: true, force: true })
  }
})

storeContract('memory', async () => {
  const disk = new Map()
  return {
    store: memoryStore(disk),
    reopen: async (store) => {
      await store.close()
      return memoryStore(disk)
    },
    end: async () => undefined
  }
})
