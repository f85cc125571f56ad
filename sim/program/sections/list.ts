/** The sections of the report, in its order. */
import { cost, size } from './cost.ts'
import { failover } from './failover.ts'
import { lives } from './lives.ts'
import { news } from './news.ts'
import { random } from './random.ts'
import type { Section } from './section.ts'
import { takeovers, weather } from './weather.ts'

/** Needs libp2p, which a simulation may not import. */
const gossip: Section = {
  name: 'gossip',
  title: 'The model of gossip beside the real one',
  about:
    'A hundred libp2p nodes in one process, joined as the virtual hosts are; the model is told how long one step takes.',
  measure: new URL('../../../test/bench/gossip.ts', import.meta.url)
}

const records: Section = {
  name: 'records',
  title: 'Repair of large stores',
  about: 'Two stores of 100,000 records that differ in ten agree by ranges; a host joins a mesh of 1,000.',
  measure: new URL('../../../test/bench/records.ts', import.meta.url)
}

export const sections: readonly Section[] = [
  news,
  gossip,
  records,
  failover,
  takeovers,
  weather,
  lives,
  cost,
  size,
  random
]
export const sectionNames: readonly string[] = sections.map((section) => section.name)
