/**
 * Fuzzes every decoder: `bin/run test/fuzz/main.ts --inputs 10000000 [--seed N] [--only NAME]`. Work is shared by
 * as many processes as there are processors; each has a bounded heap, so a decoder that allocates beyond its
 * bounds dies, and one that does not come to an end is found by its silence.
 */
import { fork } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { fuzz, shares, targets, type Tally } from './run.ts'

/** An input that takes so long hangs: the dearest costs some milliseconds. */
const hangMs = 60_000
/** Heap of one process, MiB. */
const heapMiB = 256

type Report =
  | { readonly kind: 'at'; readonly target: string; readonly place: number }
  | { readonly kind: 'done'; readonly target: string; readonly tally: Tally }
  | { readonly kind: 'found'; readonly text: string }

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    only: { type: 'string' },
    shard: { type: 'string' },
    shards: { type: 'string', default: String(availableParallelism()) }
  }
})
const seed = Number(values.seed)
const chosen = targets.filter(({ name }) => values.only === undefined || name === values.only)
const counts = shares(Number(values.inputs), chosen)

/** One process's part: every decoder, with a seed of its own. */
async function runShard(shard: number): Promise<void> {
  const tell = (report: Report): void => void process.send?.(report)
  for (const target of chosen) {
    tell({ kind: 'at', target: target.name, place: 0 })
    const own = Math.ceil((counts.get(target) as number) / Number(values.shards))
    let told = performance.now()
    const alive = (place: number): void => {
      if (performance.now() < told + 1_000) return
      told = performance.now()
      tell({ kind: 'at', target: target.name, place })
    }
    try {
      tell({ kind: 'done', target: target.name, tally: await fuzz(target, seed + shard, own, alive) })
    } catch (error: unknown) {
      const text =
        error instanceof Error
          ? `${error.message}\n${(error.cause as Error | undefined)?.stack ?? ''}`
          : String(error)
      tell({ kind: 'found', text })
      process.exitCode = 1
    }
  }
  process.disconnect()
}

async function runAll(): Promise<void> {
  const begun = performance.now()
  const sums = new Map<string, Tally>()
  let found = 0
  const shards = values.only === undefined ? Number(values.shards) : 1
  await Promise.all(
    Array.from({ length: shards }, async (_, shard) => {
      const argv = [
        '--inputs',
        values.inputs,
        '--seed',
        String(seed),
        '--shard',
        String(shard),
        '--shards',
        String(shards)
      ]
      const child = fork(
        fileURLToPath(import.meta.url),
        [...argv, ...(values.only === undefined ? [] : ['--only', values.only])],
        {
          execArgv: [`--max-old-space-size=${heapMiB}`]
        }
      )
      let at = ''
      const silent = (): void => {
        found++
        console.error(`hangs, seed ${seed + shard}: ${at}`)
        child.kill('SIGKILL')
      }
      let timer = setTimeout(silent, hangMs)
      child.on('message', (report: Report) => {
        clearTimeout(timer)
        timer = setTimeout(silent, hangMs)
        if (report.kind === 'at') at = `${report.target}, after input ${report.place}`
        else if (report.kind === 'found') {
          found++
          console.error(report.text)
        } else {
          const sum = sums.get(report.target) ?? { inputs: 0, taken: 0 }
          sum.inputs += report.tally.inputs
          sum.taken += report.tally.taken
          sums.set(report.target, sum)
        }
      })
      const { promise, resolve } = Promise.withResolvers<void>()
      child.once('exit', (code, signal) => {
        clearTimeout(timer)
        if (signal !== null && signal !== 'SIGKILL') {
          found++
          console.error(`died of ${signal}, seed ${seed + shard}: ${at}`)
        } else if (code !== null && code > 1) {
          found++
          console.error(`ended with ${code}, seed ${seed + shard}: ${at}`)
        }
        resolve()
      })
      await promise
    })
  )
  let inputs = 0
  for (const [name, tally] of sums) {
    inputs += tally.inputs
    console.log(
      `${name.padEnd(28)} ${String(tally.inputs).padStart(10)} inputs, ${String(tally.taken).padStart(9)} taken`
    )
  }
  const seconds = (performance.now() - begun) / 1000
  console.log(`${inputs} inputs in ${seconds.toFixed(0)} s, seed ${seed}, ${found} findings`)
  process.exitCode = found > 0 ? 1 : 0
}

if (values.shard === undefined) await runAll()
else await runShard(Number(values.shard))
