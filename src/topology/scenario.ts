/** A scenario file: the topology of an experiment and its steps, read and checked like a topology file. */
import * as z from 'zod'
import { type Action, findCycle, type Step, type When } from '#core/experiment.ts'
import { type LinkField, linkWords, type LinkWord, parseLinkWord, sayLinkWord } from '#core/link.ts'
import { nearest } from '#core/nearest.ts'
import { isName } from '#core/records/name.ts'
import type { Topology } from '#core/spec.ts'
import { type Path, Source } from './source.ts'

/** Steps of a scenario. */
const maxSteps = 1_000
const defaultTimeoutMs = 300_000
/** Longest time that can be said: a day. */
const maxTimeMs: number = 24 * 3600 * 1_000

const text = z.string().max(256)
const time = z
  .string()
  .refine((word) => timeOf(word) !== null, 'is no time: write 500ms, 10s or 2m')
  .optional()

const step = z.strictObject({
  name: text.optional(),
  at: time,
  after: text.optional(),
  wait: time,
  timeout: time,
  exec: text.optional(),
  run: z.string().max(32_768).optional(),
  expect: z.union([z.int().min(0).max(255), z.literal('any')]).optional(),
  retry: time,
  link: text.optional(),
  set: z.partialRecord(z.string(), z.union([z.string(), z.number()])).optional(),
  reset: z.boolean().optional(),
  down: z.boolean().optional(),
  stop: text.optional(),
  start: text.optional(),
  restart: text.optional(),
  migrate: text.optional(),
  to: text.optional(),
  gather: text.optional(),
  files: z.array(text).min(1).max(256).optional(),
  capture: text.optional(),
  for: time
})

const schema = z.strictObject({
  name: text,
  topology: text,
  seed: z
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .optional(),
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.union([z.string(), z.number()])).optional(),
  steps: z.array(step).min(1).max(maxSteps)
})

type FileStep = z.infer<typeof step>

/** The word that says what a step does, and the words that may stand beside it. */
const actions = {
  exec: ['run', 'expect', 'retry'],
  link: ['set', 'reset', 'down'],
  stop: [],
  start: [],
  restart: [],
  migrate: ['to'],
  gather: ['files'],
  capture: ['for']
} as const
type ActionWord = keyof typeof actions
const common = ['name', 'at', 'after', 'wait', 'timeout'] as const

export interface Scenario {
  readonly name: string
  readonly topology: Topology
  /** Given to every command as $SEED. */
  readonly seed: number
  readonly env: Readonly<Record<string, string>>
  readonly steps: readonly Step[]
}

export interface ScenarioOptions {
  /** Name for messages. */
  readonly file: string
  /** Reads the topology file, whose path is relative to the scenario. Throws ViolinError. */
  readonly readTopology: (path: string) => Topology
}

/** Reads a scenario. Throws ViolinError `topology-invalid`: file:line:column, what, and what to do. */
export function parseScenario(yaml: string, options: ScenarioOptions): Scenario {
  const source = new Source(yaml, options.file)
  const parsed = schema.safeParse(source.value())
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    const path = (issue?.path ?? []) as Path
    if (issue?.code === 'unrecognized_keys') {
      const word = issue.keys[0] as string
      const words = path.length === 0 ? Object.keys(schema.shape) : Object.keys(step.shape)
      const meant = nearest(word, words)
      const remedy = meant === null ? `words here: ${words.join(', ')}` : `did you mean \`${meant}\`?`
      throw source.refuse([...path, word], `unknown word \`${word}\``, remedy, 'key')
    }
    throw source.refuse(
      path,
      `\`${String(path.at(-1) ?? 'it')}\`: ${issue?.message}`,
      'see docs/experiments.md'
    )
  }
  const file = parsed.data
  if (!isName(file.name))
    throw source.refuse(
      ['name'],
      `${JSON.stringify(file.name)} is no name`,
      'use letters a-z, digits and hyphens'
    )
  const topology = options.readTopology(file.topology)
  const steps = file.steps.map((one, place) => readStep(source, topology, one, place))
  checkOrder(source, steps)
  const env = Object.fromEntries(Object.entries(file.env ?? {}).map(([key, value]) => [key, String(value)]))
  return { name: file.name, topology, seed: file.seed ?? 1, env, steps }
}

/** Milliseconds of `500ms`, `10s`, `2m`; null for anything else. */
function timeOf(word: string): number | null {
  const parts = /^(\d{1,8}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(word)
  if (parts === null) return null
  const ms = Number(parts[1]) * { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[parts[2] as 'ms']
  return ms <= maxTimeMs ? ms : null
}

function readStep(source: Source, topology: Topology, one: FileStep, place: number): Step {
  const path = ['steps', place]
  const words = (Object.keys(actions) as ActionWord[]).filter((word) => one[word] !== undefined)
  const [word] = words
  if (word === undefined || words.length > 1)
    throw source.refuse(
      path,
      words.length === 0 ? 'a step that does nothing' : `a step that does two things: ${words.join(', ')}`,
      `say one of ${Object.keys(actions).join(', ')}`
    )
  const wrong = Object.keys(one).find(
    (key) => key !== word && ![...common, ...actions[word]].includes(key as never)
  )
  if (wrong !== undefined)
    throw source.refuse([...path, wrong], `\`${wrong}\` says nothing of \`${word}\``, 'leave it out', 'key')
  const name = one.name ?? `${place + 1}-${word}`
  if (!isName(name))
    throw source.refuse(
      [...path, 'name'],
      `${JSON.stringify(name)} is no name of a step`,
      'use letters a-z, digits and hyphens'
    )
  return {
    name,
    when: readWhen(source, one, path),
    action: readAction(source, topology, one, word, path),
    timeoutMs: timeOf(one.timeout ?? '') ?? defaultTimeoutMs
  }
}

function readWhen(source: Source, one: FileStep, path: Path): When {
  if (one.at !== undefined && one.after !== undefined)
    throw source.refuse([...path, 'after'], '`at` and `after` both say when', 'use one of them', 'key')
  if (one.after === undefined && one.wait !== undefined)
    throw source.refuse([...path, 'wait'], '`wait` without `after`', 'write `at:`', 'key')
  if (one.after === undefined) return { kind: 'at', atMs: timeOf(one.at ?? '') ?? 0 }
  return { kind: 'after', step: one.after, waitMs: timeOf(one.wait ?? '') ?? 0 }
}

function readAction(source: Source, topology: Topology, one: FileStep, word: ActionWord, path: Path): Action {
  if (word === 'capture') return readCapture(source, topology, one, path)
  const [entity = '', nic] = (one[word] as string).split(':')
  const known = topology.entities.find(({ name }) => name === entity)
  if (known === undefined || (nic !== undefined && word !== 'link')) {
    const meant = nearest(
      entity,
      topology.entities.map(({ name }) => name)
    )
    throw source.refuse(
      [...path, word],
      `${topology.name} has no entity ${one[word]}`,
      meant === null ? 'name one of its topology' : `did you mean ${meant}?`
    )
  }
  const need = (what: string): never => {
    throw source.refuse(path, `\`${word}\` without \`${what}\``, `say \`${what}:\``)
  }
  switch (word) {
    case 'exec': {
      const expect = one.expect === 'any' ? null : (one.expect ?? 0)
      return { kind: 'exec', entity, run: one.run ?? need('run'), expect, retryMs: timeOf(one.retry ?? '') }
    }
    case 'link': {
      if (nic === undefined || !known.nics.some(({ name }) => name === nic))
        throw source.refuse(
          [...path, 'link'],
          `${entity} has no vNIC ${nic ?? ''}`,
          `write it as ${entity}:${known.nics[0]?.name ?? 'eth0'}`
        )
      if (one.set === undefined && one.reset === undefined && one.down === undefined) need('set')
      return {
        kind: 'link',
        entity,
        nic,
        reset: one.reset === true,
        set: readSet(source, one, path),
        down: one.down ?? null
      }
    }
    case 'stop':
    case 'start':
    case 'restart':
      return { kind: 'power', entity, turns: { stop: [false], start: [true], restart: [false, true] }[word] }
    case 'migrate':
      return { kind: 'migrate', entity, to: one.to ?? need('to') }
    case 'gather': {
      const files = one.files ?? need('files')
      const bad = files.findIndex((file) => !/^\/[^\0\n]+$/.test(file) || file.split('/').includes('..'))
      if (bad >= 0)
        throw source.refuse(
          [...path, 'files', bad],
          `${JSON.stringify(files[bad])} is no absolute path`,
          'write it as /tmp/x'
        )
      return { kind: 'gather', entity, files }
    }
  }
}

function readCapture(source: Source, topology: Topology, one: FileStep, path: Path): Action {
  const target = one.capture as string
  const known = [
    ...topology.lans.map(({ name }) => name),
    ...topology.entities.flatMap(({ name, nics }) => nics.map((nic) => `${name}:${nic.name}`))
  ]
  if (!known.includes(target)) {
    const meant = nearest(target, known)
    throw source.refuse(
      [...path, 'capture'],
      `${topology.name} has no vNIC or vLAN ${target}`,
      meant === null ? 'write it as ENTITY:NIC or LAN' : `did you mean ${meant}?`
    )
  }
  return { kind: 'capture', target, forMs: timeOf(one.for ?? '') }
}

function readSet(source: Source, one: FileStep, path: Path): Partial<Record<LinkField, number>> {
  return Object.fromEntries(
    Object.entries(one.set ?? {}).map(([word, value]) => {
      if (!Object.hasOwn(linkWords, word)) {
        const meant = nearest(word, Object.keys(linkWords))
        throw source.refuse(
          [...path, 'set', word],
          `unknown word \`${word}\``,
          meant === null ? `words here: ${Object.keys(linkWords).join(', ')}` : `did you mean \`${meant}\`?`,
          'key'
        )
      }
      const number = parseLinkWord(word as LinkWord, String(value))
      if (number === null)
        throw source.refuse([...path, 'set', word], `${value} is no ${word}`, sayLinkWord(word as LinkWord))
      return [linkWords[word as LinkWord].field, number]
    })
  )
}

function checkOrder(source: Source, steps: readonly Step[]): void {
  const names = new Set<string>()
  for (const [place, { name }] of steps.entries()) {
    if (names.has(name)) throw source.refuse(['steps', place], `the step ${name} stands twice`, 'rename one')
    names.add(name)
  }
  for (const [place, { when }] of steps.entries()) {
    if (when.kind === 'at' || names.has(when.step)) continue
    const meant = nearest(when.step, names)
    throw source.refuse(
      ['steps', place, 'after'],
      `no step ${when.step}`,
      meant === null ? 'name one' : `did you mean ${meant}?`
    )
  }
  const cycle = findCycle(steps)
  if (cycle !== null)
    throw source.refuse(
      ['steps', steps.findIndex(({ name }) => name === cycle)],
      `${cycle} waits for itself`,
      'give one of them a time'
    )
}
