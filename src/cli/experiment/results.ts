/**
 * The folder that an experiment leaves: what happened as JSON lines, written as it happens, what was gathered,
 * a page with plots, and all that is needed to run it again.
 */
import { createWriteStream, type WriteStream } from 'node:fs'
import { mkdir, open, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { once } from 'node:events'
import type { Step } from '#core/experiment.ts'
import type { GrowingFile } from './actions.ts'
import type { Plot } from '#plot/plot.ts'
import { figureOf, pageOf } from '#plot/page.ts'
import { escape } from '#plot/svg.ts'
import { type Line, measuredIn } from './measured.ts'

/** Lines of output that are kept in memory for the plots; all are in the file. */
const maxLines = 200_000

export const names = {
  results: 'results.jsonl',
  page: 'index.html',
  environment: 'environment.json',
  /** Files gathered, a folder for each step. */
  files: 'files',
  /** The scenario and its topology, to run again. */
  experiment: 'experiment'
} as const

/** Steps that change nothing, and have no mark in the plots. */
const quiet: ReadonlySet<string> = new Set<Step['action']['kind']>(['exec', 'gather', 'capture'])

/** One line of `results.jsonl`. Times are ms since the VIOLIN ran. */
export type Entry =
  | { readonly kind: 'began'; readonly atMs: number; readonly step: string; readonly does: string }
  | {
      readonly kind: 'output'
      readonly atMs: number
      readonly step: string
      readonly stream: 'stdout' | 'stderr'
      readonly text: string
    }
  | {
      readonly kind: 'ended'
      readonly atMs: number
      readonly step: string
      readonly good: boolean
      /** Of a command: its exit status. */
      readonly status: number | null
      readonly reason: string
    }
  | { readonly kind: 'never'; readonly atMs: number; readonly step: string; readonly reason: string }

export class Results {
  readonly folder: string
  readonly #stream: WriteStream
  readonly #entries: Exclude<Entry, { kind: 'output' }>[] = []
  readonly #lines: Line[] = []
  #broken: Error | null = null

  /** The folder must be there. */
  constructor(folder: string) {
    this.folder = folder
    this.#stream = createWriteStream(join(folder, names.results), { flags: 'wx' })
    this.#stream.on('error', (error) => {
      this.#broken = error
    })
  }

  add(entry: Entry): void {
    this.#stream.write(`${JSON.stringify(entry)}\n`)
    if (entry.kind !== 'output') this.#entries.push(entry)
    else if (entry.stream === 'stdout' && this.#lines.length < maxLines) this.#lines.push(entry)
  }

  /** Writes a file of the folder. */
  async file(path: string, data: Uint8Array | string): Promise<void> {
    await mkdir(dirname(join(this.folder, path)), { recursive: true })
    await writeFile(join(this.folder, path), data)
  }

  /** Makes a file of the folder that grows. */
  async open(path: string): Promise<GrowingFile> {
    await mkdir(dirname(join(this.folder, path)), { recursive: true })
    const file = await open(join(this.folder, path), 'w')
    return { append: (data) => file.appendFile(data), close: () => file.close() }
  }

  /** Writes the page. Throws what kept lines from being written. */
  async close(title: string, about: string, steps: readonly Step[]): Promise<void> {
    await this.file(names.page, this.#page(title, about, steps))
    this.#stream.end()
    if (!this.#stream.writableFinished) await once(this.#stream, 'close')
    if (this.#broken !== null) throw this.#broken
  }

  #page(title: string, about: string, steps: readonly Step[]): string {
    const began = new Map(
      this.#entries.flatMap((one) => (one.kind === 'began' ? [[one.step, one.atMs] as const] : []))
    )
    const { roundTrips, rates } = measuredIn(this.#lines, began)
    const marks = steps
      .filter(({ action, name }) => !quiet.has(action.kind) && began.has(name))
      .map(({ name }) => ({ axis: 'x' as const, at: (began.get(name) as number) / 1_000, label: name }))
    const x = { label: 'seconds' }
    const plots: Plot[] = [
      { kind: 'lines', title: 'Round trips', x, y: { label: 'ms' }, series: roundTrips, goals: marks },
      { kind: 'lines', title: 'Rates', x, y: { label: 'Mbit/s' }, series: rates, goals: marks }
    ]
    const drawn = plots.filter(({ series }) => series.length > 0)
    const rows = steps.map(({ name }) => {
      const ended = this.#entries.find((one) => one.kind !== 'began' && one.step === name)
      const from = began.get(name)
      const good = ended?.kind === 'ended' && ended.good
      const said =
        ended === undefined
          ? ''
          : ended.kind === 'ended'
            ? ended.reason
            : 'reason' in ended
              ? ended.reason
              : ''
      const does = this.#entries.find((one) => one.kind === 'began' && one.step === name)
      const seconds = (ms: number | undefined): string => (ms === undefined ? '' : (ms / 1_000).toFixed(3))
      return `<tr><td><span class="${good ? 'good' : 'bad'}">${good ? '✔' : '✖'}</span></td><td>${escape(name)}</td><td class="name"><code>${escape(does?.kind === 'began' ? does.does : '')}</code></td><td class="number">${seconds(from)}</td><td class="number">${ended?.kind === 'ended' ? seconds(ended.atMs) : ''}</td><td>${escape(said)}</td></tr>`
    })
    return pageOf(
      title,
      `<p>${escape(about)}</p>
<div class="plots">${drawn.map(figureOf).join('\n')}</div>
<div class="scroll"><table><thead><tr><th></th><th>step</th><th>does</th><th class="number">began, s</th><th class="number">ended, s</th><th></th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div>`
    )
  }
}
