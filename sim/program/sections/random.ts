/** Random worlds: whatever may befall a mesh, all invariants watching. */
import { swarm } from '../../swarm.ts'
import type { Section } from './section.ts'

const hosts = 12
const usualSeeds = 40
const longSeeds = 1_000

export const random: Section = {
  name: 'swarm',
  title: 'Random worlds',
  about: 'Kills, cuts, partitions, stalls, joins and lies by chance, with every invariant watched all along.',
  measure: (long) => {
    const seeds = long ? longSeeds : usualSeeds
    let simulatedMs = 0
    const found = swarm(1, seeds, hosts, new Set(), (_seed, outcome) => {
      simulatedMs += outcome.ms
      return true
    })
    const about = {
      runs: seeds,
      seed: 1,
      command: `npm run sim -- swarm --seed 1 --seeds ${seeds} --hosts ${hosts}`
    }
    return {
      rows: [
        { name: 'random worlds: simulated', unit: 'h', values: [simulatedMs / 3_600_000], ...about },
        {
          name: 'invariants violated',
          unit: '',
          values: [found === null ? 0 : 1],
          goal: { atMost: 0 },
          ...about
        }
      ],
      plots: []
    }
  }
}
