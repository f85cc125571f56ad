/** The simulator as a user runs it, with a temporary folder of its own: a run that fails leaves its scenario there. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'

const program = new URL('../../../bin/violin-sim', import.meta.url).pathname
/** Gone after the tests. */
export const folder: string = mkdtempSync(join(tmpdir(), 'violin-sim-test-'))
after(() => rmSync(folder, { recursive: true }))

export interface Run {
  readonly status: number | null
  readonly out: string
  readonly err: string
}

export function run(...args: string[]): Run {
  const env = { ...process.env, TMPDIR: folder }
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', env })
  return { status, out: stdout, err: stderr }
}
