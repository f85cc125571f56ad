/** `violin-sim swarm`: random scenarios until one violates an invariant, or time is over. */
import { swarm } from '../swarm.ts'
import { commandOf, failureOf } from './failure.ts'
import { freshSeed, print } from './play.ts'
import { type Row, cpuMs } from './rows.ts'
import { shrink } from './shrink.ts'
import type { Options } from './usage.ts'

const usualHosts = 20
const usualSeeds = 100

export function search(options: Options): number {
  const { seconds, bugs } = options
  const hosts = options.hosts ?? usualHosts
  const seed = options.seed ?? freshSeed()
  const seeds = options.seeds ?? (seconds === null ? usualSeeds : Infinity)
  const replay = (one: number): string => commandOf(`swarm --seed ${one} --seeds 1 --hosts ${hosts}`, bugs)
  process.stderr.write(
    `random worlds of ${hosts} hosts from seed ${seed}; one of them again: ${replay(seed)}\n`
  )
  const endsAt = performance.now() + (seconds ?? Infinity) * 1_000
  const from = cpuMs()
  let simulatedMs = 0
  let runs = 0
  const found = swarm(seed, seeds, hosts, bugs, (_seed, outcome) => {
    simulatedMs += outcome.ms
    runs++
    return performance.now() < endsAt
  })
  const tookMs = cpuMs() - from
  const failure = found === null ? null : failureOf(shrink(found, bugs), bugs, replay(found.seed))
  const about = {
    runs,
    seed,
    command: commandOf(`swarm --seed ${seed} --seeds ${runs} --hosts ${hosts}`, bugs)
  }
  const rows: Row[] = [
    { name: 'random worlds', unit: '', values: [runs], ...about },
    { name: 'simulated', unit: 'h', values: [simulatedMs / 3_600_000], ...about },
    { name: 'simulated time over CPU time', unit: '×', values: [simulatedMs / tookMs], ...about },
    { name: 'invariants violated', unit: '', values: [found === null ? 0 : 1], goal: { atMost: 0 }, ...about }
  ]
  print(options, rows, failure)
  return failure === null ? 0 : 1
}
