/**
 * A slice as a process: what starts it, what ends it. Its start comes as JSON in VIOLIN_SLICE (SliceStart),
 * log lines go to stderr, one line on stdout says that it serves.
 */
import { existsSync, watch } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { sliceFiles, type SliceStart } from './contract.ts'
import { Slice, type SliceParts } from './slice.ts'

/** A slice that no daemon asked about for this long belongs to nobody. */
const orphanMs = 24 * 3600 * 1000

/** Runs this process's slice until it ends by `stop`, by a signal, without its folder, or without a daemon. */
export async function runSlice(parts: Pick<SliceParts, 'machines' | 'program'>): Promise<void> {
  // Only this user may connect to what is made here.
  process.umask(0o077)
  const start = readStart(process.env['VIOLIN_SLICE'])
  await mkdir(join(start.folder, sliceFiles.entities), { recursive: true })
  const abandon = (): void => {
    log('no daemon for a day', {})
    void slice.stop()
  }
  let orphan = setTimeout(abandon, orphanMs)
  const slice = new Slice({
    ...parts,
    start,
    log,
    ended: (error) => {
      log('ended', { error: error?.message ?? null })
      process.exit(error === null ? 0 : 1)
    },
    attended: (by) => {
      clearTimeout(orphan)
      if (!by) orphan = setTimeout(abandon, orphanMs)
    }
  })
  process.on('SIGTERM', () => void slice.stop())
  process.on('SIGINT', () => void slice.stop())
  await slice.listening()
  watch(start.folder, () => {
    if (existsSync(join(start.folder, sliceFiles.control))) return
    log('the folder is gone', {})
    void slice.stop()
  })
  log('serving', { violin: start.violin })
  // The daemon that reads this may be gone by now.
  process.stdout.on('error', () => undefined)
  process.stdout.write('serving\n')
}

/** The start comes from the daemon that spawned this process; what is missing shows at once. */
function readStart(text: string | undefined): SliceStart {
  if (text === undefined) throw new Error('VIOLIN_SLICE is not set: a daemon starts this program')
  const parsed = JSON.parse(text) as SliceStart
  if (typeof parsed.folder !== 'string' || typeof parsed.violin !== 'string')
    throw new Error('VIOLIN_SLICE is no SliceStart')
  return parsed
}

function log(message: string, fields: Record<string, unknown>): void {
  process.stderr.write(`${JSON.stringify({ at: new Date().toISOString(), message, ...fields })}\n`)
}
