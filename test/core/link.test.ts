import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  changeLink,
  formatLink,
  formatLinkWord,
  linkWords,
  type LinkWord,
  parseLinkWord,
  someLink
} from '#core/link.ts'

const words = Object.keys(linkWords) as LinkWord[]

test('words of a link are numbers with a unit', () => {
  const cases: [LinkWord, string, number | null][] = [
    ['delay', '20ms', 20_000],
    ['delay', '1.5ms', 1_500],
    ['delay', '250us', 250],
    ['delay', '10s', 10_000_000],
    ['delay', '11s', null],
    ['delay', '20', null],
    ['delay', '-1ms', null],
    ['delay', '0', 0],
    ['delay', '0ms', 0],
    ['loss', '1%', 10_000],
    ['loss', '0.01%', 100],
    ['loss', '100%', 1_000_000],
    ['loss', '101%', null],
    ['loss', '0.5', null],
    ['rate', '10mbit', 10_000_000],
    ['rate', '1.5gbit', 1_500_000_000],
    ['rate', '7kbit', null],
    ['rate', '10Mbit', null],
    ['queue', '100', 100],
    ['queue', '4097', null],
    ['queue', '0', 0],
    ['queue', 'constructor', null],
    ['queue', '', null]
  ]
  for (const [word, text, value] of cases) assert.equal(parseLinkWord(word, text), value, `${word} ${text}`)
})

test('what a number is written as is read as that number', () => {
  fc.assert(
    fc.property(fc.constantFrom(...words), fc.double({ min: 0, max: 1, noNaN: true }), (word, share) => {
      const { least, max } = linkWords[word]
      const value = Math.round(least + share ** 4 * (max - least))
      if (value > 0) assert.equal(parseLinkWord(word, formatLinkWord(word, value)), value)
    })
  )
})

test('a change says more, takes back by zero, and leaves the rest', () => {
  const link = { delayUs: 20_000, lossPpm: 10_000, down: true } as const
  assert.deepEqual(changeLink(link, { lossPpm: 0, rateBps: 1_000_000 }), {
    delayUs: 20_000,
    rateBps: 1_000_000,
    down: true
  })
  assert.deepEqual(changeLink({}, {}), {})
  assert.equal(someLink(changeLink({ lossPpm: 1 }, { lossPpm: 0 })), null)
  assert.deepEqual(formatLink(link), { delay: '20ms', loss: '1%', down: 'true' })
})
