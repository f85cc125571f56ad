/** A process to be killed: writes numbered values for ever and prints each number once it is resolved. */
import { writeSync } from 'node:fs'
import { openStore } from '#store/level.ts'

const store = await openStore(process.argv[2] ?? '')
for (let n = 0; ; n += 1) {
  const value = new Uint8Array(200).fill(n & 0xff)
  await store.write([
    { section: 'count', key: 'last', value: new TextEncoder().encode(String(n)) },
    { section: 'values', key: String(n).padStart(9, '0'), value }
  ])
  writeSync(1, `${n}\n`)
}
