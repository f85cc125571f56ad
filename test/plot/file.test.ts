/** Plots as files of their own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { svgFileOf } from '#plot/file.ts'

test('a plot in a file brings its style, title and legend, and escapes what they say', () => {
  const text = svgFileOf({
    kind: 'lines',
    title: 'a < b',
    x: { label: 'receivers', log: true },
    y: { label: 'kB/s' },
    series: [
      {
        name: 'one & all',
        points: [
          [4, 10],
          [16, 20]
        ]
      },
      { name: 'two', points: [[4, 5]] }
    ]
  })
  assert.match(text, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox="0 -62 680 402">/)
  assert.match(text, /<style>[^<]*path\.s1 \{ stroke: #d55e00/)
  assert.match(text, /<text class="title"[^>]*>a &lt; b<\/text>/)
  assert.match(text, />one &amp; all<\/text>/)
  assert.equal([...text.matchAll(/<circle /g)].length, 3)
  assert.equal([...text.matchAll(/<svg /g)].length, [...text.matchAll(/<\/svg>/g)].length)
})
