/** The report as one page that needs nothing else: rows, and plots beside them. */
import type { Measured } from './report.ts'
import { type Line, goalText } from './rows.ts'
import { grouped } from '#plot/plot.ts'
import { figureOf, pageOf } from '#plot/page.ts'
import { escape } from '#plot/svg.ts'

export function page(measured: readonly Measured[], machine: Record<string, unknown>): string {
  const lines = measured.flatMap((one) => one.lines)
  const goals = lines.filter((line) => line.goal !== null)
  const met = goals.filter((line) => line.ok).length
  const about = Object.entries(machine).map(([name, value]) => `${name} ${String(value)}`)
  return pageOf(
    'VIOLIN in simulation',
    `<p>Virtual hosts run the product's own code in virtual time. ${met} of ${goals.length} goals met. ${escape(about.join(', '))}.</p>
${measured.map(sectionOf).join('\n')}`
  )
}

function sectionOf({ section, lines, plots }: Measured): string {
  return `<h2>${escape(section.title)}</h2>
<p>${escape(section.about)}</p>
<div class="scroll"><table><thead><tr><th></th><th>figure</th><th class="number">median</th><th class="number">p99</th><th class="number">max</th><th>unit</th><th>goal</th><th class="number">of</th><th>again</th></tr></thead>
<tbody>${lines.map(rowOf).join('\n')}</tbody></table></div>
<div class="plots">${plots.map(figureOf).join('\n')}</div>`
}

function rowOf(line: Line): string {
  const one = line.count < 2
  const mark =
    line.goal === null ? '' : line.ok ? '<span class="good">✔</span>' : '<span class="bad">✖</span>'
  const note = line.note === null ? '' : `<small>${escape(line.note)}</small>`
  const number = (value: number, shown = true): string =>
    `<td class="number">${shown ? grouped(value) : ''}</td>`
  return `<tr><td>${mark}</td><td class="name">${escape(line.name)}${note}</td>${number(line.median)}${number(line.p99, !one)}${number(line.max, !one)}<td>${escape(line.unit)}</td><td${line.ok ? '' : ' class="bad"'}>${escape(goalText(line.goal))}</td>${number(line.count, !one)}<td><code>${escape(line.command ?? '')}</code></td></tr>`
}
