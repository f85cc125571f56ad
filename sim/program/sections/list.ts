/** The sections of the report, in its order. */
import { cost, size } from './cost.ts'
import { failover } from './failover.ts'
import { news } from './news.ts'
import { random } from './random.ts'
import type { Section } from './section.ts'
import { weather } from './weather.ts'

export const sections: readonly Section[] = [news, failover, weather, cost, size, random]
export const sectionNames: readonly string[] = sections.map((section) => section.name)
