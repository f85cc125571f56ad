/**
 * The lab's program: `demo [--keep] [--json]`, `up [--hosts N] [--json]`, `down [--all] [--json] [LAB]`; `keep` is
 * what those start for themselves (keeper.ts).
 */
import { parseArgs } from 'node:util'
import { errorCodes, errorData, ViolinError } from '#core/errors.ts'
import { demo } from './demo.ts'
import { keep } from './keeper.ts'
import { violinCommand } from './host.ts'
import { isLeft, Lab, sweep } from './lab.ts'
import { type LabState, maxHosts, type Place, readStates, sites } from './plan.ts'

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      hosts: { type: 'string', default: '5' },
      keep: { type: 'boolean', default: false },
      all: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false }
    }
  })
  switch (positionals[0]) {
    case 'keep':
      await keep()
      return 0
    case 'demo':
      return demo({ keep: values.keep, json: values.json })
    case 'up':
      return up(Number(values.hosts), values.json)
    case 'down':
      return down(meant(values.all, positionals[1]), values.json)
    default:
      throw new ViolinError('usage', `no lab command ${positionals[0] ?? ''}`, 'demo, up or down')
  }
}

/** Makes hosts with a mesh between them, and leaves them running. */
async function up(count: number, json: boolean): Promise<number> {
  if (!Number.isInteger(count) || count < 1 || count > maxHosts)
    throw new ViolinError('usage', `--hosts is from 1 to ${maxHosts}`, 'violin lab up --hosts 5')
  await using lab = await Lab.create(placesOf(count))
  await lab.found()
  lab.linger()
  const hosts = lab.hosts.map(({ name, namespace, folder, address }) => ({
    name,
    namespace,
    folder,
    address
  }))
  if (json) process.stdout.write(`${JSON.stringify({ name: lab.plan.name, hosts })}\n`)
  else
    for (const { name, namespace, folder } of hosts)
      process.stdout.write(`${name}\tip netns exec ${namespace} ${violinCommand()} --dir ${folder}\n`)
  return 0
}

async function down(meant: (state: LabState) => boolean, json: boolean): Promise<number> {
  const ended = await sweep(meant)
  if (json) process.stdout.write(`${JSON.stringify({ ended })}\n`)
  else for (const name of ended) process.stdout.write(`lab ${name} is gone\n`)
  return 0
}

/** Which labs to end; others on this machine may have labs of their own, so one of several must be named. */
function meant(all: boolean, name: string | undefined): (state: LabState) => boolean {
  if (all) return () => true
  const labs = readStates()
  if (name !== undefined) {
    if (labs.some((lab) => lab.name === name)) return (lab) => lab.name === name
    throw new ViolinError('usage', `no lab ${name} on this machine`, `there are: ${namesOf(labs)}`)
  }
  const left = labs.filter(isLeft)
  if (left.length > 1)
    throw new ViolinError(
      'usage',
      `${left.length} labs linger`,
      `violin lab down LAB, one of: ${namesOf(left)}`
    )
  return isLeft
}

const namesOf = (labs: readonly LabState[]): string => labs.map(({ name }) => name).join(', ') || 'none'

/** The named sites first, then as many as are wanted, near one another. */
function placesOf(count: number): Place[] {
  return Array.from({ length: count }, (_, index) => sites[index] ?? { name: `host${index + 1}`, delayMs: 1 })
}

main().then(
  (status) => process.exit(status),
  (error: unknown) => {
    const { message, remedy, code } = errorData(error)
    process.stderr.write(`violin: ${message}; ${remedy}\n`)
    process.exit(errorCodes[code])
  }
)
