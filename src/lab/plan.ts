/** What a lab is made of, where it lies, and how its parts are named: all that is needed to take it down. */
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ProcessId, Territory } from './processes.ts'

/** An overlay host's place: what its link to the underlay adds to each frame, one way. */
export interface Place {
  readonly name: string
  readonly delayMs: number
}

export interface HostPlan extends Place {
  readonly namespace: string
  /** Address on the underlay. */
  readonly address: string
  /** The host's folder (VIOLIN_DIR). */
  readonly folder: string
}

export interface LabPlan {
  readonly name: string
  readonly folder: string
  readonly hosts: readonly HostPlan[]
}

/** What stands in `lab.json`. */
export interface LabState extends LabPlan {
  /** The process that holds the underlay. */
  readonly keeper: ProcessId
  /** Made to stay until it is taken down; else it goes with the process that made it. */
  readonly lingers: boolean
}

/** Hosts of one lab: the underlay is one /24. */
export const maxHosts = 200

/** All labs of this machine. */
export const labsFolder: string = join(tmpdir(), 'violin-labs')
const stateName = 'lab.json'

/**
 * The paper's sites and two more. Round trips are twice the sum of two delays: about 10 ms from Princeton to
 * Purdue, 7 to Washington, 55 to Seattle.
 */
export const sites: readonly Place[] = [
  { name: 'princeton', delayMs: 2.5 },
  { name: 'purdue', delayMs: 2.5 },
  { name: 'washington', delayMs: 1 },
  { name: 'chicago', delayMs: 1.5 },
  { name: 'seattle', delayMs: 25 }
]

/** Names everything of a lab. `name` is short (paths of sockets are) and nobody else's. */
export function planLab(name: string, places: readonly Place[]): LabPlan {
  if (places.length > maxHosts) throw new RangeError(`at most ${maxHosts} hosts`)
  const folder = join(labsFolder, name)
  const hosts = places.map((place, index) => ({
    ...place,
    namespace: `vl-${name}-${place.name}`,
    address: `10.77.0.${index + 1}`,
    folder: join(folder, place.name)
  }))
  return { name, folder, hosts }
}

/** By what processes of a host are known. */
export function territoryOf(lab: LabPlan, host: HostPlan): Territory {
  return { namespacePath: `/run/netns/${host.namespace}`, mounted: `/${lab.name}/${host.name}/` }
}

export function writeState(state: LabState): void {
  const path = join(state.folder, stateName)
  writeFileSync(`${path}.new`, JSON.stringify(state))
  renameSync(`${path}.new`, path)
}

/** Every lab that lies on this machine, whether its keeper lives or not. */
export function readStates(): LabState[] {
  const states: LabState[] = []
  for (const name of entries(labsFolder)) {
    const text = read(join(labsFolder, name, stateName))
    if (text !== null) states.push(JSON.parse(text) as LabState)
  }
  return states
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error: unknown) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error: unknown) {
    // Another process takes that lab down, or has not finished making it.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
