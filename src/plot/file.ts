/** A plot as an SVG file that needs no page: its style, title and legend are in it. */
import { dashes, light } from './page.ts'
import type { Plot } from './plot.ts'
import { escape, height, svgOf, width } from './svg.ts'

const titleHeight = 26
const rowHeight = 18

const style = `text { font: 12px system-ui, sans-serif; fill: #5d6670 } text.title { font-weight: 600; font-size: 14px }
text.title, .label { fill: #1c2024 } .grid { stroke: #dfe3e8; fill: none } .axis { stroke: #5d6670; fill: none }
path.goal { stroke: #5d6670; stroke-dasharray: 4 4; fill: none } .line { fill: none; stroke-width: 2.2 }
${light.map((colour, i) => `path.s${i} { stroke: ${colour}; stroke-dasharray: ${dashes[i]} } circle.s${i} { fill: ${colour} }`).join('\n')}`

export function svgFileOf(plot: Plot): string {
  const headHeight = titleHeight + plot.series.length * rowHeight
  const legend = plot.series.map(({ name }, i) => {
    const y = titleHeight + i * rowHeight + 8
    return `<path class="line s${i}" d="M16 ${y}h34"/><text x="58" y="${y + 4}">${escape(name)}</text>`
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 ${-headHeight} ${width} ${height + headHeight}">`,
    `<style>${style}</style>`,
    `<rect y="${-headHeight}" width="100%" height="100%" fill="#fff"/>`,
    `<g transform="translate(0 ${-headHeight})"><text class="title" x="16" y="18">${escape(plot.title)}</text>`,
    ...legend,
    '</g>',
    // Within another it keeps its size only if that is said.
    svgOf(plot).replace('<svg ', `<svg width="${width}" height="${height}" `),
    '</svg>',
    ''
  ].join('\n')
}
