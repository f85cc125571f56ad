/**
 * The last events of a run as a sequence diagram in text: a column a host, a row an event, time downwards.
 *
 *       time   host 0       host 1       host 2
 *     12.3401    ├───beat 7────▶│            │     0.4 ms
 *     12.3402    ├────────beat 7─────────×   │     lost
 *     ━━━━━━━━ kill 0 for 3000 ms ━━━━━━━━━━━━
 *     12.3500    ● dies         │            │
 *
 * Only what is new is drawn: a message that says what the last one of its kind on that way said is counted.
 */
import { type Line, describeLine } from '../sketch.ts'

const gutter = 11
/** Room behind the last column for how long a message took, or what became of it. */
const margin = 9
const minColumn = 12
const maxColumn = 22
/** Rows that repeat nothing; before the end the newest messages are drawn whatever they say. */
const maxRows = 44
const newest = 10
/** Words of one kind of message. */
const answers: ReadonlySet<string> = new Set(['with', 'lost', 'alone'])
const legend = [
  'beat N: the switch of term N; with N: an edge that follows it; lost N: one that hears it no more; ┊ stalls'
]

type Message = Extract<Line, { kind: 'message' }>
type Row = { readonly line: Line } | { readonly skipped: readonly Message[] }

/** What a diagram is about: other hosts get a column where there is room, other vLANs are left out. */
export interface Focus {
  readonly hosts: readonly number[]
  readonly lan: number | null
}

/** The hosts and the vLAN that the words of a violation name. */
export function focusOf(what: string): Focus {
  const lan = /\bvLAN (\d+)/.exec(what)?.[1]
  const hosts = what.replaceAll(/vLAN \d+/g, '').matchAll(/(?:\b(?:host|of|to|from|by|went)|>) (\d+)/g)
  return {
    hosts: [...new Set(Array.from(hosts, ([, host]) => Number(host)))],
    lan: lan === undefined ? null : Number(lan)
  }
}

/** Draws the end of `events` for a terminal of `width` columns. */
export function diagram(events: readonly Line[], width: number, focus: Focus): string[] {
  const lines = focused(events, focus.lan)
  const telling = tellingOf(lines)
  const room = Math.max(2, Math.floor((width - gutter - margin) / minColumn))
  const drawn = columnsOf(telling, focus.hosts, room)
  if (drawn.length === 0) return telling.map(describeLine)
  const column = Math.min(maxColumn, Math.floor((width - gutter - margin) / drawn.length))
  const canvas = new Canvas(drawn, column, width)
  const rows = rowsOf(lines, new Set(telling), new Set(drawn))
  const first = rows.find((row) => 'line' in row)
  for (const line of lines) {
    if (first !== undefined && line === first.line) break
    canvas.note(line)
  }
  const involved = new Set(telling.flatMap(hostsOf))
  const others = [...involved].filter((host) => !drawn.includes(host)).length
  return [
    canvas.heading(),
    ...rows.map((row) => ('line' in row ? canvas.row(row.line) : canvas.skipped(row.skipped))),
    ...(others > 0 ? [`${others} more hosts took part: a wider terminal has columns for more.`] : []),
    ...(telling.some((line) => line.kind === 'message' && /^(beat|with|lost) /.test(line.what)) ? legend : [])
  ]
}

/** Lines of one vLAN and of none; what follows from the first violation is not drawn. */
function focused(events: readonly Line[], lan: number | null): Line[] {
  const last = events.findLastIndex((line) => line.kind === 'all' && line.text.startsWith('VIOLATED'))
  return events.slice(0, last === -1 ? events.length : last + 1).flatMap((line): Line[] => {
    const text = line.kind === 'message' ? line.what : line.text
    const own = /^vLAN (\d+): /.exec(text)
    if (own === null || lan === null) return [line]
    if (Number(own[1]) !== lan) return []
    const rest = text.slice(own[0].length)
    return [line.kind === 'message' ? { ...line, what: rest } : { ...line, text: rest }]
  })
}

/** Lines that say something new, and the newest messages. */
function tellingOf(lines: readonly Line[]): Line[] {
  const last = new Map<string, string>()
  const from = lines.filter((line) => line.kind === 'message').at(-newest)
  const end = from === undefined ? 0 : lines.indexOf(from)
  return lines.filter((line, at) => {
    if (line.kind !== 'message') return true
    const way = `${line.from} ${line.to} ${kindOf(line.what)}`
    const said = `${line.what} ${line.fate}`
    const news = last.get(way) !== said && last.has(way)
    last.set(way, said)
    return (news && kindOf(line.what) !== 'frame') || at >= end
  })
}

/** The first word of what is said, behind the vLAN. */
function kindOf(what: string): string {
  const kind = what.replace(/^vLAN \d+: /, '').split(' ', 1)[0] as string
  return answers.has(kind) ? 'status' : kind
}

function hostsOf(line: Line): number[] {
  switch (line.kind) {
    case 'message':
      return [line.from, line.to]
    case 'note':
      return [line.host]
    case 'all':
      return []
  }
}

/** Those asked for, then those of the newest lines. */
function columnsOf(telling: readonly Line[], wanted: readonly number[], room: number): number[] {
  const chosen = new Set(wanted.slice(0, room))
  for (const line of telling.toReversed()) {
    for (const host of hostsOf(line)) if (chosen.size < room) chosen.add(host)
  }
  return [...chosen].toSorted((a, b) => a - b)
}

function rowsOf(lines: readonly Line[], telling: ReadonlySet<Line>, drawn: ReadonlySet<number>): Row[] {
  const shown = lines.filter((line) => telling.has(line) && hostsOf(line).every((host) => drawn.has(host)))
  const kept = new Set(shown.slice(-maxRows))
  const rows: Row[] = []
  let skipped: Message[] = []
  let begun = false
  for (const line of lines) {
    if (!kept.has(line)) {
      if (begun && line.kind === 'message' && hostsOf(line).every((host) => drawn.has(host)))
        skipped.push(line)
      continue
    }
    if (skipped.length > 0) rows.push({ skipped })
    skipped = []
    begun = true
    rows.push({ line })
  }
  return rows
}

/** Columns of characters, with what each host's lifeline looks like now. */
class Canvas {
  readonly #hosts: readonly number[]
  readonly #column: number
  readonly #width: number
  readonly #dead = new Set<number>()
  readonly #stalledUntil = new Map<number, number>()
  #now = 0

  constructor(hosts: readonly number[], column: number, width: number) {
    this.#hosts = hosts
    this.#column = column
    this.#width = width
  }

  heading(): string {
    const cells = this.#hosts.map((host) => center(`host ${host}`, this.#column)).join('')
    return `${'time, s'.padStart(gutter - 2)}  ${cells}`.trimEnd()
  }

  row(line: Line): string {
    this.note(line)
    switch (line.kind) {
      case 'all':
        // The words of a violation stand above the diagram.
        return this.#across(line.atMs, line.text.replace(/^(VIOLATED [^:]*):.*/, '$1'))
      case 'note':
        return this.#told(seconds(line.atMs), this.#noted(line.host, line.text))
      case 'message':
        return this.#told(seconds(line.atMs), this.#arrow(line), aftermath(line))
    }
  }

  /** Takes notice of who lives. */
  note(line: Line): void {
    this.#now = line.atMs
    if (line.kind !== 'note') return
    const { host, text } = line
    if (text === 'dies' || text === 'loses its power') this.#dead.add(host)
    else if (text === 'starts') this.#dead.delete(host)
    const stall = /stalls for (\d+) ms$/.exec(text)
    if (stall !== null) this.#stalledUntil.set(host, line.atMs + Number(stall[1]))
  }

  skipped(messages: readonly Message[]): string {
    const counts = new Map<string, number>()
    for (const { what, fate } of messages) {
      const kind = kindOf(what)
      const name = fate === 'arrived' ? kind : `${kind} ${fate}`
      counts.set(name, (counts.get(name) ?? 0) + 1)
    }
    const text = [...counts].map(([name, count]) => `${count} ${name}`).join(', ')
    return `${' '.repeat(gutter)}  ⋮ ${fitted(text, this.#width - gutter - 4)}`
  }

  #across(atMs: number, text: string): string {
    const room = this.#width - gutter
    const told = fitted(text, room - 8)
    return `${seconds(atMs)}  ━━━ ${told} ${'━'.repeat(Math.max(3, room - told.length - 6))}`
  }

  #noted(host: number, text: string): string[] {
    const cells = this.#lifelines()
    const at = this.#center(host)
    const right = cells.length + margin - at - 2
    const told = ` ${text} `
    cells[at] = '●'
    const start = told.length <= right || at < told.length ? at + 1 : at - told.length
    put(cells, start, start > at ? fitted(told, right) : told)
    return cells
  }

  #arrow({ from, to, what, fate }: Message): string[] {
    const cells = this.#lifelines()
    const [a, b] = [this.#center(from), this.#center(to)]
    const step = b > a ? 1 : -1
    // What does not arrive ends on the way.
    const end = fate === 'arrived' || fate === 'refused' ? b - step : b - step * 3
    for (let at = a + step; at !== end + step; at += step) cells[at] = '─'
    cells[a] = step > 0 ? '├' : '┤'
    cells[end] = fate === 'arrived' ? (step > 0 ? '▶' : '◀') : '×'
    const left = Math.min(a, end) + 1
    const room = Math.abs(end - a) - 1
    const told = fitted(what, room - 2)
    put(cells, left + Math.floor((room - told.length) / 2), told)
    return cells
  }

  #lifelines(): string[] {
    const cells = Array.from({ length: this.#hosts.length * this.#column }, () => ' ')
    for (const host of this.#hosts) {
      const alive = (this.#stalledUntil.get(host) ?? 0) > this.#now ? '┊' : '│'
      cells[this.#center(host)] = this.#dead.has(host) ? ' ' : alive
    }
    return cells
  }

  #center(host: number): number {
    return this.#hosts.indexOf(host) * this.#column + Math.floor(this.#column / 2)
  }

  #told(time: string, cells: readonly string[], behind = ''): string {
    return `${time.padStart(gutter - 2)}  ${cells.join('')}${behind === '' ? '' : ` ${behind}`}`.trimEnd()
  }
}

function aftermath({ fate, tookMs }: Message): string {
  return fate === 'arrived' ? `${tookMs < 10 ? tookMs.toFixed(1) : Math.round(tookMs)} ms` : fate
}

function seconds(atMs: number): string {
  return (atMs / 1_000).toFixed(4).padStart(gutter - 2)
}

function put(cells: string[], at: number, text: string): void {
  for (let i = 0; i < text.length; i++) cells[at + i] = text[i] as string
}

function fitted(text: string, room: number): string {
  if (room <= 0) return ''
  return text.length <= room ? text : `${text.slice(0, room - 1)}…`
}

function center(text: string, width: number): string {
  const left = Math.floor(width / 2) - Math.floor(text.length / 2)
  return `${' '.repeat(Math.max(0, left))}${text}`.padEnd(width)
}
