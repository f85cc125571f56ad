/** The word that was probably meant. */

/** More edits than this are another word. */
const maxDistance = 3

/** The nearest of `words` by edits (Levenshtein distance), or null when none is near. */
export function nearest(word: string, words: Iterable<string>): string | null {
  let best: string | null = null
  let bestDistance = Math.min(maxDistance, Math.ceil(word.length / 2)) + 1
  for (const candidate of words) {
    const distance = edits(word, candidate)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, place) => place)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(swap, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
