/** `violin-sim list`: what there is to run, to watch and to plant. */
import { bugs } from '../bugs.ts'
import { invariants } from '../invariants/list.ts'
import { families } from '../scenarios/list.ts'
import type { Options } from './usage.ts'

export function list({ json }: Options): number {
  const all = {
    scenarios: families.map(({ name, why, hosts }) => ({ name, why, hosts })),
    invariants: invariants.map(({ name, why }) => ({ name, why })),
    bugs: Object.entries(bugs).map(([name, why]) => ({ name, why }))
  }
  if (json) {
    process.stdout.write(`${JSON.stringify(all)}\n`)
    return 0
  }
  for (const [title, entries] of Object.entries(all)) {
    const lines = entries.map(({ name, why }) => `  ${name.padEnd(22)} ${why}\n`)
    process.stdout.write(`${title}:\n${lines.join('')}\n`)
  }
  return 0
}
