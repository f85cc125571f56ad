/** What the end-to-end tests share: overlay hosts with a mesh between them, driven by the bundle's command line. */
import assert from 'node:assert/strict'
import type { Show } from '#api/contract.ts'
import type { LabHost, Outcome } from '#lab/host.ts'
import { Lab } from '#lab/lab.ts'
import { argumentsOf } from '#lab/processes.ts'

/** One way, at each host's port: a millisecond of round trip between any two. */
export const nearMs = 0.25

/** Hosts of one mesh, near one another. Needs root. */
export async function meshOf(...names: readonly string[]): Promise<Lab> {
  const lab = await Lab.create(names.map((name) => ({ name, delayMs: nearMs })))
  try {
    await lab.found()
    return lab
  } catch (error: unknown) {
    await lab[Symbol.asyncDispose]()
    throw error
  }
}

/** Applies a topology, and waits until it runs. */
export async function apply(host: LabHost, topology: string): Promise<void> {
  succeeded(await host.try(['apply', '-'], { input: topology }))
}

export function remove(host: LabHost, name: string): Promise<string> {
  return host.violin('delete', name, '--yes')
}

/** Runs a command inside an entity. */
export function exec(host: LabHost, target: string, ...argv: readonly string[]): Promise<Outcome> {
  return host.try(['exec', target, '--', ...argv])
}

/** Runs a command inside an entity that must succeed; gives its standard output without the last newline. */
export async function inside(host: LabHost, target: string, ...argv: readonly string[]): Promise<string> {
  return succeeded(await exec(host, target, ...argv)).stdout.trimEnd()
}

export async function show(host: LabHost, name: string): Promise<Show> {
  return (await host.json('show', name)) as Show
}

export function succeeded(outcome: Outcome): Outcome {
  assert.equal(outcome.status, 0, `status ${outcome.status}: ${outcome.stderr}${outcome.stdout}`)
  return outcome
}

/** Status 1 and one line: what, why, and what to do about it. */
export function refused(outcome: Outcome, what: RegExp): void {
  assert.equal(outcome.status, 1, `status ${outcome.status}: ${outcome.stderr}${outcome.stdout}`)
  const lines = outcome.stderr.trimEnd().split('\n')
  assert.match(lines.at(-1) as string, what)
  assert.match(lines.at(-1) as string, /^violin: .+; .+$/)
}

/** What runs on a host besides its daemon: slices and machines. */
export function workload(host: LabHost): number[] {
  const daemon = new Set(host.daemonProcesses().map(({ pid }) => pid))
  return host.processes().flatMap(({ pid }) => (daemon.has(pid) ? [] : [pid]))
}

/** Slices and jails on a host; without the processes of guests, which come and go. */
export function jails(host: LabHost): number[] {
  return workload(host).filter((pid) => {
    const [program] = argumentsOf(pid)
    return program !== undefined && /(^|\/)(bwrap|node)$/.test(program)
  })
}

/** Asks until the answer is as wanted. Throws after `timeoutMs` with the last answer. */
export async function until<T>(
  what: string,
  ask: () => Promise<T>,
  good: (answer: T) => boolean,
  timeoutMs = 60_000
): Promise<T> {
  const end = performance.now() + timeoutMs
  for (;;) {
    const answer = await ask()
    if (good(answer)) return answer
    if (performance.now() > end) assert.fail(`${what} did not come: ${JSON.stringify(answer)}`)
  }
}
