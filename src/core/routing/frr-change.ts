/**
 * What FRR is told when its configuration changes while it runs: the lines that are not there any more, taken back,
 * and the new ones, each within its block. What stays is not said again, so nothing of it begins anew. Pure.
 */

export interface FrrChange {
  /** Configuration that takes lines back; what went with something else may be refused. */
  readonly undo: string
  /** Configuration that adds lines. */
  readonly add: string
}

/** A line with the blocks that it stands in, outermost first. */
type Path = readonly string[]

export function frrChange(before: string, after: string): FrrChange {
  const [old, fresh] = [pathsOf(before), pathsOf(after)]
  const gone = old.filter((path) => !has(fresh, path))
  const blocks = new Set(
    fresh.flatMap((path) => path.slice(0, -1).map((_, depth) => key(path.slice(0, depth + 1))))
  )
  const ended = new Set<string>()
  const undo: Path[] = []
  for (const path of gone.toReversed()) {
    const [head, ...rest] = path as [string, ...string[]]
    // A router that is not there any more takes all of its lines along; an interface is no line of the file's.
    const isWhole = rest.length > 0 && head.startsWith('router ') && !blocks.has(key([head]))
    if (!isWhole) undo.push([...path.slice(0, -1), negated(path.at(-1) as string)])
    else if (!ended.has(head)) {
      ended.add(head)
      undo.push([`no ${head}`])
    }
  }
  return { undo: textOf(undo), add: textOf(fresh.filter((path) => !has(old, path))) }
}

function key(path: Path): string {
  return JSON.stringify(path)
}

function has(paths: readonly Path[], wanted: Path): boolean {
  return paths.some((path) => path.length === wanted.length && path.every((word, at) => word === wanted[at]))
}

function negated(line: string): string {
  return line.startsWith('no ') ? line.slice('no '.length) : `no ${line}`
}

/** Lines that say something, in order. A block is a line with deeper ones after it; FRR indents by one blank. */
function pathsOf(conf: string): Path[] {
  const lines = conf.split('\n').filter((line) => !/^\s*(!.*|#.*|exit|exit-address-family|end|)$/.test(line))
  const paths: Path[] = []
  const blocks: string[] = []
  for (const [at, line] of lines.entries()) {
    const depth = depthOf(line)
    blocks.length = Math.min(blocks.length, depth)
    const next = lines[at + 1]
    if (next !== undefined && depthOf(next) > depth) blocks.push(line.trim())
    else paths.push([...blocks, line.trim()])
  }
  return paths
}

function depthOf(line: string): number {
  return line.length - line.trimStart().length
}

function textOf(paths: readonly Path[]): string {
  return paths
    .map((path) => {
      const inside = path.map((line, depth) => `${' '.repeat(depth)}${line}\n`)
      const ends = path.slice(0, -1).map((line, depth) => {
        const end = line.startsWith('address-family ') ? 'exit-address-family' : 'exit'
        return `${' '.repeat(depth)}${end}\n`
      })
      return [...inside, ...ends.toReversed()].join('')
    })
    .join('')
}
