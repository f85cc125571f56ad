/** What the steps of an experiment do: each ends with whether it did what it should, and why not. */
import { once } from 'node:events'
import { Writable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import type { Service } from '#api/contract.ts'
import { errorData, ViolinError } from '#core/errors.ts'
import type { Action, Step } from '#core/experiment.ts'
import { formatLink } from '#core/link.ts'
import { captureTarget, runCapture, sayCounts } from '../capture.ts'
import { runSession } from '../session.ts'

/** Longest file that is gathered, bytes. */
const maxGatheredBytes: number = 64 * 1024 * 1024
/** Longest line of output that is kept in one piece, characters. */
const maxLine = 4_000

export interface Ended {
  readonly good: boolean
  readonly status: number | null
  readonly reason: string
}

export interface Surroundings {
  readonly service: Service
  readonly violin: string
  /** Environment of every command. */
  readonly env: Readonly<Record<string, string>>
  readonly line: (stream: 'stdout' | 'stderr', text: string) => void
  readonly file: (path: string, data: Uint8Array) => Promise<void>
  /** Makes a file that grows. */
  readonly open: (path: string) => Promise<GrowingFile>
  /** The step goes on beside the others: what comes after it may begin. */
  readonly begun: () => void
  /** Nothing else is left to do: what goes on beside ends. */
  readonly over: AbortSignal
  /** The experiment is given up. */
  readonly signal: AbortSignal
}

export interface GrowingFile {
  append(data: Uint8Array): Promise<void>
  close(): Promise<void>
}

/** Carries a step out; never rejects. */
export async function carryOut(step: Step, around: Surroundings): Promise<Ended> {
  const timeout = AbortSignal.timeout(step.timeoutMs)
  const signal = AbortSignal.any([timeout, around.signal])
  let isBegun = false
  const begun = (): void => {
    isBegun = true
    around.begun()
  }
  try {
    return await act(step, { ...around, begun }, signal)
  } catch (error: unknown) {
    const why =
      timeout.aborted && !isBegun
        ? `not done in ${step.timeoutMs / 1_000} s`
        : around.signal.aborted
          ? 'given up'
          : errorData(error).message
    return { good: false, status: null, reason: why }
  }
}

async function act({ action, timeoutMs }: Step, around: Surroundings, signal: AbortSignal): Promise<Ended> {
  const { service, violin } = around
  const done: Ended = { good: true, status: null, reason: '' }
  switch (action.kind) {
    case 'exec':
      return execute(action, around, signal)
    case 'link': {
      const { entity, nic, reset, set, down } = action
      const said = {
        ...(reset ? { reset } : {}),
        ...(Object.keys(set).length > 0 ? { set } : {}),
        ...(down === null ? {} : { down })
      }
      await service.link({ violin, entity, nic, ...said, timeoutMs })
      return done
    }
    case 'power':
      for (const on of action.turns) await service.power({ violin, entity: action.entity, on, timeoutMs })
      return done
    case 'migrate': {
      const { entity, to } = action
      for await (const progress of service.move({ violin, entity, to, timeoutMs }))
        around.line('stderr', 'text' in progress ? progress.text : progress.kind)
      return done
    }
    case 'gather':
      return gather(action, around, signal)
    case 'capture':
      return capture(action, around, signal)
  }
}

/** Runs a command, again and again where it is told to, until its status is as expected. */
async function execute(
  action: Extract<Action, { kind: 'exec' }>,
  around: Surroundings,
  signal: AbortSignal
): Promise<Ended> {
  for (;;) {
    const outputs = [
      new Lines((text) => around.line('stdout', text)),
      new Lines((text) => around.line('stderr', text))
    ] as const
    const env = Object.entries(around.env).map(([key, value]) => `${key}=${value}`)
    const argv = ['env', ...env, 'sh', '-c', action.run]
    const request = { violin: around.violin, entity: action.entity, argv }
    const status = await runSession(around.service, request, {
      input: null,
      output: outputs[0],
      errors: outputs[1],
      signal
    })
    for (const output of outputs) {
      output.end()
      if (!output.writableFinished) await once(output, 'finish')
    }
    const good = action.expect === null || status === action.expect
    if (good || action.retryMs === null) return { good, status, reason: good ? '' : `status ${status}` }
    await pause(action.retryMs, undefined, { signal })
  }
}

/** Fetches all files that can be had; the step is good when that is all of them. */
async function gather(
  { entity, files }: Extract<Action, { kind: 'gather' }>,
  around: Surroundings,
  signal: AbortSignal
): Promise<Ended> {
  const missing: string[] = []
  for (const path of files)
    try {
      await around.file(`${entity}${path}`, await fetch(entity, path, around, signal))
    } catch (error: unknown) {
      if (signal.aborted) throw error
      missing.push(errorData(error).message)
    }
  return { good: missing.length === 0, status: null, reason: missing.join('; ') }
}

async function fetch(
  entity: string,
  path: string,
  around: Surroundings,
  signal: AbortSignal
): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let bytes = 0
  const output = new Writable({
    write: (chunk: Buffer, _, next) => {
      bytes += chunk.length
      if (bytes <= maxGatheredBytes) chunks.push(chunk)
      next()
    }
  })
  const errors = new Lines((text) => around.line('stderr', text))
  const status = await runSession(
    around.service,
    { violin: around.violin, entity, argv: ['cat', path] },
    { input: null, output, errors, signal }
  )
  if (status !== 0)
    throw new ViolinError('refused', `${path} of ${entity} cannot be read`, 'name a file that is there')
  if (bytes > maxGatheredBytes)
    throw new ViolinError(
      'too-large',
      `${path} of ${entity} is larger than ${maxGatheredBytes} bytes`,
      'gather less'
    )
  return Buffer.concat(chunks)
}

/** Captures until its time is over or nothing else is left to do; `signal` ends one that does not begin. */
async function capture(
  { target, forMs }: Extract<Action, { kind: 'capture' }>,
  around: Surroundings,
  signal: AbortSignal
): Promise<Ended> {
  const show = await around.service.show({ name: around.violin })
  const file = await around.open(`${target.replace(':', '-')}.pcapng`)
  const stop = new AbortController()
  const late = (): void => stop.abort()
  signal.addEventListener('abort', late, { once: true })
  const enough = new AbortController()
  let timer: NodeJS.Timeout | undefined
  try {
    const counts = await runCapture(around.service, show, captureTarget(show, target), {
      write: (bytes) => file.append(bytes),
      begun: () => {
        signal.removeEventListener('abort', late)
        if (forMs !== null) timer = setTimeout(() => enough.abort(), forMs)
        around.begun()
      },
      warn: (text) => around.line('stderr', text),
      end: AbortSignal.any([around.over, enough.signal]),
      stop: stop.signal
    })
    around.line('stdout', sayCounts(counts))
    // Short, though there is a file.
    return { good: counts.broken.length === 0, status: null, reason: counts.broken.join('; ') }
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', late)
    await file.close()
  }
}

/** What a step does, in words. */
export function sayAction(action: Action): string {
  switch (action.kind) {
    case 'exec':
      return `${action.entity}: ${action.run}`
    case 'link': {
      const said = {
        ...formatLink(action.set),
        ...(action.reset ? { reset: '' } : {}),
        ...(action.down === null ? {} : { [action.down ? 'down' : 'up']: '' })
      }
      return `link ${action.entity}:${action.nic} ${Object.entries(said)
        .map(([word, value]) => `${word} ${value}`.trim())
        .join(', ')}`
    }
    case 'power':
      return `${action.turns.length > 1 ? 'restart' : action.turns[0] === true ? 'start' : 'stop'} ${action.entity}`
    case 'migrate':
      return `migrate ${action.entity} to ${action.to}`
    case 'gather':
      return `gather ${action.files.map((file) => `${action.entity}:${file}`).join(' ')}`
    case 'capture':
      return `capture ${action.target}`
  }
}

/** Cuts a stream of bytes into lines. */
class Lines extends Writable {
  readonly #line: (text: string) => void
  readonly #decoder = new TextDecoder()
  #rest = ''

  constructor(line: (text: string) => void) {
    super()
    this.#line = line
  }

  override _write(chunk: Buffer, _: string, next: () => void): void {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split('\n')
    this.#rest = lines.pop() as string
    for (const line of lines) this.#line(line.replace(/\r$/, ''))
    while (this.#rest.length > maxLine) {
      this.#line(this.#rest.slice(0, maxLine))
      this.#rest = this.#rest.slice(maxLine)
    }
    next()
  }

  override _final(next: () => void): void {
    if (this.#rest !== '') this.#line(this.#rest)
    next()
  }
}
