import { existsSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { release } from 'node:os'
import { basename, dirname, join, normalize } from 'node:path'
import { buildCommand, type Command } from '@stricli/core'
import type { Service } from '#api/contract.ts'
import { errorData, ViolinError } from '#core/errors.ts'
import { Schedule, type Step } from '#core/experiment.ts'
import { parseScenario, type Scenario } from '#topology/scenario.ts'
import type { Context } from '../context.ts'
import { carryOut, sayAction } from '../experiment/actions.ts'
import { names, Results } from '../experiment/results.ts'
import { readFileAt, readTopologyAt } from '../topology-file.ts'
import { durationFlag, type JsonFlag, jsonFlag, printJson } from './common.ts'

interface Flags extends JsonFlag {
  readonly output?: string
  readonly keep?: boolean
  readonly force?: boolean
  readonly timeout: number
}

/** How long the VIOLIN may take to be gone afterwards. */
const deleteMs = 60_000

export const run: Command<Context> = buildCommand<Flags, [scenario: string], Context>({
  docs: {
    brief: 'Run an experiment: a topology, and steps at their times',
    fullDescription:
      'Leaves a folder with what every command printed and when, files gathered, plots, and what is needed to run it again.'
  },
  parameters: {
    flags: {
      output: {
        kind: 'parsed',
        parse: String,
        optional: true,
        placeholder: 'DIR',
        brief: 'The folder to make (default: NAME.results)'
      },
      keep: { kind: 'boolean', optional: true, withNegated: false, brief: 'Leave the VIOLIN running' },
      force: { kind: 'boolean', optional: true, withNegated: false, brief: 'Replace the folder' },
      timeout: durationFlag('How long the VIOLIN may take to run', '120s'),
      ...jsonFlag
    },
    aliases: { o: 'output' },
    positional: {
      kind: 'tuple',
      parameters: [{ parse: String, placeholder: 'SCENARIO', brief: 'A scenario file' }]
    }
  },
  async func({ output, keep = false, force = false, timeout, json }, path) {
    const read = readScenario(path)
    const { scenario } = read
    const folder = output ?? `${scenario.name}.results`
    checkFolder(folder, force)
    const given = new AbortController()
    const giveUp = (): void => given.abort()
    process.once('SIGINT', giveUp)
    process.once('SIGTERM', giveUp)
    try {
      const begin = async (): Promise<Results> => {
        await makeFolder(folder)
        const results = new Results(folder)
        for (const [local, data] of read.files) await results.file(join(names.experiment, local), data)
        return results
      }
      const outcome = await experiment(this.service, scenario, begin, given.signal, {
        keep,
        timeoutMs: timeout,
        file: basename(path)
      })
      if (json === true) printJson({ name: scenario.name, folder, ...outcome })
      else
        process.stdout.write(
          `${folder}: ${outcome.good} of ${outcome.steps} steps did what they should; see ${join(folder, names.page)}\n`
        )
      if (outcome.good < outcome.steps) process.exitCode = 1
    } finally {
      process.removeListener('SIGINT', giveUp)
      process.removeListener('SIGTERM', giveUp)
    }
  }
})

interface Read {
  readonly scenario: Scenario
  /** The scenario, its topology and the files of that, as they lie beside one another. */
  readonly files: ReadonlyMap<string, Uint8Array>
}

function readScenario(path: string): Read {
  const base = dirname(path)
  const files = new Map<string, Uint8Array>()
  const keep = (local: string, data: Uint8Array): void => {
    const place = normalize(local)
    // What lies elsewhere is named in the copy as it was, and found there only on this machine.
    if (!place.startsWith('..') && !place.startsWith('/')) files.set(place, data)
  }
  const data = readFileAt(path, 'name a scenario file')
  keep(basename(path), data)
  const scenario = parseScenario(new TextDecoder().decode(data), {
    file: path,
    readTopology: (local) =>
      readTopologyAt(
        join(base, local),
        (below, content) => keep(join(dirname(local), below), content),
        (content) => keep(local, content)
      )
  })
  return { scenario, files }
}

function checkFolder(folder: string, force: boolean): void {
  if (existsSync(folder) && !force)
    throw new ViolinError('refused', `${folder} is there already`, 'name another with -o, or use --force')
  // Only what an earlier run left is replaced, whatever was named.
  if (existsSync(folder) && !existsSync(join(folder, names.results)))
    throw new ViolinError('refused', `${folder} is not the folder of an experiment`, 'name another with -o')
}

async function makeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
}

interface Outcome {
  readonly steps: number
  readonly good: number
  readonly failed: readonly { readonly step: string; readonly reason: string }[]
}

/** `begin` makes the folder, when the VIOLIN runs: one that does not leaves none. */
async function experiment(
  service: Service,
  scenario: Scenario,
  begin: () => Promise<Results>,
  signal: AbortSignal,
  { keep, timeoutMs, file }: { readonly keep: boolean; readonly timeoutMs: number; readonly file: string }
): Promise<Outcome> {
  const { topology } = scenario
  const known = await service.list({})
  if (known.some(({ name, mine }) => name === topology.name && mine))
    throw new ViolinError(
      'name-taken',
      `${topology.name} is there already`,
      `delete it first: violin delete ${topology.name}`
    )
  const startedAt = new Date().toISOString()
  try {
    for await (const progress of service.apply({ topology, wait: true, timeoutMs }))
      if (progress.kind === 'warning' || progress.kind === 'done') tell(progress.text)
    const results = await begin()
    const environment = await environmentOf(service, scenario, startedAt, file)
    await results.file(names.environment, `${JSON.stringify(environment, null, 2)}\n`)
    const failed = signal.aborted ? [] : await takeSteps(service, scenario, results, signal)
    const about = `Run on ${startedAt}, seed ${scenario.seed}, VIOLIN ${environment.violin}, ${environment.hosts.length} hosts.`
    await results.close(scenario.name, about, scenario.steps)
    if (signal.aborted)
      throw new ViolinError('refused', 'the experiment was given up', `what there is is in ${results.folder}`)
    return { steps: scenario.steps.length, good: scenario.steps.length - failed.length, failed }
  } finally {
    if (!keep) await remove(service, topology.name)
  }
}

async function remove(service: Service, name: string): Promise<void> {
  try {
    for await (const progress of service.delete({ name, timeoutMs: deleteMs })) void progress
  } catch (error: unknown) {
    // What went wrong before is what the caller hears of.
    tell(`${name} was not deleted: ${errorData(error).message}`)
  }
}

/** Carries all steps out at their times; gives those that did not do what they should. */
async function takeSteps(
  service: Service,
  scenario: Scenario,
  results: Results,
  signal: AbortSignal
): Promise<Outcome['failed']> {
  const schedule = new Schedule(scenario.steps)
  const failed: { step: string; reason: string }[] = []
  const began = performance.now()
  const now = (): number => Math.round((performance.now() - began) * 1_000) / 1_000
  const env = { ...scenario.env, SEED: String(scenario.seed) }
  let wake = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => wake.resolve(), { once: true })
  const over = new AbortController()
  const take = async (step: Step): Promise<void> => {
    const does = sayAction(step.action)
    results.add({ kind: 'began', atMs: now(), step: step.name, does })
    tell(`${seconds(now())}  ${step.name}: ${does}`)
    const ended = await carryOut(step, {
      service,
      violin: scenario.topology.name,
      env,
      signal,
      line: (stream, text) => results.add({ kind: 'output', atMs: now(), step: step.name, stream, text }),
      file: (path, data) => results.file(join(names.files, step.name, path), data),
      open: (path) => results.open(join(names.files, step.name, path)),
      begun: () => {
        schedule.ended(step.name, true, now())
        wake.resolve()
      },
      over: over.signal
    })
    results.add({ kind: 'ended', atMs: now(), step: step.name, ...ended })
    if (!ended.good) {
      failed.push({ step: step.name, reason: ended.reason })
      tell(`${seconds(now())}  ${step.name} failed: ${ended.reason}`)
    }
    schedule.ended(step.name, ended.good, now())
    wake.resolve()
  }
  const taken: Promise<void>[] = []
  while (!schedule.over && !signal.aborted) {
    for (const step of schedule.due(now())) taken.push(take(step))
    const waitMs = schedule.nextMs - now()
    const timer = Number.isFinite(waitMs)
      ? setTimeout(() => wake.resolve(), Math.max(0, Math.ceil(waitMs)))
      : undefined
    await wake.promise
    clearTimeout(timer)
    wake = Promise.withResolvers<void>()
  }
  over.abort()
  await Promise.all(taken)
  for (const { name, when } of schedule.left) {
    const reason = signal.aborted
      ? 'given up'
      : when.kind === 'after'
        ? `${when.step} did not do what it should`
        : ''
    results.add({ kind: 'never', atMs: now(), step: name, reason })
    failed.push({ step: name, reason })
  }
  return failed
}

interface Environment {
  readonly violin: string
  readonly node: string
  readonly kernel: string
  readonly startedAt: string
  readonly seed: number
  readonly env: Readonly<Record<string, string>>
  readonly hosts: readonly { readonly name: string; readonly version: string | null }[]
  readonly entities: readonly {
    readonly name: string
    readonly host: string | null
    readonly driver: string
  }[]
  readonly again: string
}

async function environmentOf(
  service: Service,
  { topology, seed, env }: Scenario,
  startedAt: string,
  file: string
): Promise<Environment> {
  const [about, hosts, show] = await Promise.all([
    service.about({}),
    service.hosts({}),
    service.show({ name: topology.name })
  ])
  return {
    violin: about.version,
    node: process.version,
    kernel: release(),
    startedAt,
    seed,
    env,
    hosts: hosts.map((host) => ({ name: host.name, version: host.version })),
    entities: show.entities.map((entity) => ({
      name: entity.name,
      host: entity.host,
      driver: entity.driver
    })),
    again: `violin run ${names.experiment}/${file}`
  }
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`)
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1).padStart(6)} s`
}
