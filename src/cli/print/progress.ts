/** Progress of what takes time: lines on standard error for people, JSON lines on standard output for programs. */
import { styleText } from 'node:util'
import type { Plan, Progress } from '#api/contract.ts'
import { table } from './table.ts'

const marks = { step: '✔', warning: '!', done: '✔' } as const

/** Shows a stream of progress to its end. Throws what it throws. */
export async function showProgress(rows: AsyncIterable<Progress>, json: boolean): Promise<void> {
  for await (const row of rows) {
    if (json) process.stdout.write(`${JSON.stringify(row)}\n`)
    else if (row.kind === 'plan') process.stderr.write(planText(row.plan))
    else {
      const style = row.kind === 'warning' ? 'yellow' : 'green'
      process.stderr.write(`${styleText(style, marks[row.kind], { stream: process.stderr })} ${row.text}\n`)
    }
  }
}

/** What an apply would do, as a table; what stays as it is counts only. */
export function planText(plan: Plan): string {
  const changes = plan.steps.filter(({ kind }) => kind !== 'keep')
  const kept = plan.steps.length - changes.length
  if (changes.length === 0) return `${plan.name}: nothing to change\n`
  const rows = changes.map((step) => [
    step.kind,
    step.what,
    step.name,
    step.hosts.join(', ') || null,
    step.why
  ])
  return `${table(['', 'what', 'name', 'hosts', 'why'], rows)}${kept === 0 ? '' : `${kept} unchanged\n`}`
}
