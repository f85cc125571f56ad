/**
 * Daemons in namespaces are killed, stalled and cut off in random order under traffic, and looked at from outside:
 *
 *     bin/run test/net/chaos.ts --minutes 30 [--seed N] [--hosts N]
 *
 * No datagram comes twice, none from another VIOLIN; after each round every flow flows again and all hosts agree.
 * Needs root and the bundle (`npm run build`).
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { chaos } from './chaos/run.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '3' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    hosts: { type: 'string', default: '6' }
  }
})
const result = await chaos({
  seed: Number(values.seed),
  hosts: Number(values.hosts),
  minutes: Number(values.minutes),
  log: (line) => console.log(line)
})
console.log(JSON.stringify({ seed: Number(values.seed), ...result }))
