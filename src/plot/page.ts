/** A page that needs nothing else: its style, and plots with their legends. */
import type { Plot } from './plot.ts'
import { escape, svgOf } from './svg.ts'

/** Okabe and Ito's colours, told apart by colour-blind people too; lines differ in their dashes besides. */
export const light: readonly string[] = [
  '#0072b2',
  '#d55e00',
  '#009e73',
  '#b05a8c',
  '#9a6a00',
  '#3a8fc4',
  '#5a5a5a'
]
const dark = ['#5ab4f0', '#ff8a4c', '#35c99a', '#e79cc8', '#f0b73a', '#9fd6ff', '#b8b8b8']
export const dashes: readonly string[] = ['none', '7 3', '2 3', '9 3 2 3', '4 2', '12 4', '1 2']

const style = `
:root { color-scheme: light dark; --ink: #1c2024; --dim: #5d6670; --paper: #fff; --card: #f7f8fa; --rule: #dfe3e8; --good: #14743b; --bad: #b3261e;
${light.map((colour, i) => `--s${i}: ${colour};`).join(' ')} }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --dim: #9aa4af; --paper: #14171a; --card: #1c2024; --rule: #333a42; --good: #58c98a; --bad: #ff8178;
${dark.map((colour, i) => `--s${i}: ${colour};`).join(' ')} } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; background: var(--paper); color: var(--ink); font: 15px/1.45 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.2rem; margin: 2.5rem 0 0 } h3 { font-size: .95rem; margin: 0 0 .3rem }
p { margin: .3rem 0 1rem; color: var(--dim) }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 600; color: var(--dim); font-size: .85rem }
th, td { padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; white-space: nowrap }
td.name { white-space: normal; min-width: 18rem } td small { display: block; color: var(--dim); white-space: normal }
.number { text-align: right } .good { color: var(--good) } .bad { color: var(--bad); font-weight: 600 }
code { font: .8rem ui-monospace, monospace; color: var(--dim) }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(30rem, 100%), 1fr)); gap: 1rem; margin-top: 1rem }
figure { margin: 0; padding: 1rem; background: var(--card); border: 1px solid var(--rule); border-radius: .5rem }
svg { display: block; width: 100%; height: auto } svg text { font: 12px system-ui, sans-serif; fill: var(--dim) }
svg .label { fill: var(--ink) } svg .grid { stroke: var(--rule); fill: none } svg .axis { stroke: var(--dim); fill: none }
svg path.goal { stroke: var(--dim); stroke-dasharray: 4 4; fill: none } svg text.goal { fill: var(--dim); font-style: italic }
svg .line { fill: none; stroke-width: 2.2 }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; margin: 0 0 .4rem; font-size: .85rem } .legend svg { display: inline-block; width: 28px; height: 10px; margin-right: .4rem }
${light.map((_, i) => `path.s${i} { stroke: var(--s${i}); stroke-dasharray: ${dashes[i]} } circle.s${i} { fill: var(--s${i}) }`).join('\n')}
`

/** A page of HTML; `body` is HTML already. */
export function pageOf(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escape(title)}</title><style>${style}</style></head><body>
<h1>${escape(title)}</h1>
${body}
</body></html>
`
}

export function figureOf(plot: Plot): string {
  const legend = plot.series.map(
    ({ name }, i) =>
      `<span><svg viewBox="0 0 28 10"><path class="line s${i}" d="M0 5H28"/></svg>${escape(name)}</span>`
  )
  return `<figure><h3>${escape(plot.title)}</h3><div class="legend">${legend.join('')}</div>${svgOf(plot)}</figure>`
}
