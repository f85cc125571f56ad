/**
 * Chance from a seed: xoshiro128** (Blackman and Vigna, 2018). A part of the world has a stream of its own,
 * so that one more draw in one part changes nothing in another.
 */

export class Random {
  /** The state: four words, signed, for the engine keeps those without a box. */
  #s0 = 0
  #s1 = 0
  #s2 = 0
  #s3 = 0

  constructor(seed: number, label = '') {
    let mixed = seed >>> 0
    for (let i = 0; i < label.length; i++) mixed = Math.imul(mixed ^ label.charCodeAt(i), 0x01000193) >>> 0
    // splitmix32 fills the state, as its authors advise.
    const word = (): number => {
      mixed = (mixed + 0x9e3779b9) >>> 0
      const half = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad)
      const whole = Math.imul(half ^ (half >>> 15), 0x735a2d97)
      return whole ^ (whole >>> 15)
    }
    this.#s0 = word()
    this.#s1 = word()
    this.#s2 = word()
    this.#s3 = word()
  }

  /** 32 bits. */
  bits(): number {
    const result = Math.imul(rotl(Math.imul(this.#s1, 5), 7), 9) >>> 0
    const third = this.#s2 ^ this.#s0
    const fourth = this.#s3 ^ this.#s1
    this.#s2 = third ^ (this.#s1 << 9)
    this.#s1 ^= third
    this.#s0 ^= fourth
    this.#s3 = rotl(fourth, 11)
    return result
  }

  /** A number in [0, 1). */
  next(): number {
    return this.bits() / 2 ** 32
  }

  /** A whole number in [0, below). */
  below(below: number): number {
    return Math.floor(this.next() * below)
  }

  between(from: number, to: number): number {
    return from + this.next() * (to - from)
  }

  chance(share: number): boolean {
    return this.next() < share
  }

  /** Until the next of events that come by chance, `mean` apart. */
  exponential(mean: number): number {
    return -Math.log(1 - this.next()) * mean
  }

  pick<T>(from: readonly T[]): T {
    if (from.length === 0) throw new RangeError('nothing to choose from')
    return from[this.below(from.length)] as T
  }

  /** `count` different ones, in the order of being drawn. */
  sample<T>(from: readonly T[], count: number): T[] {
    const left = [...from]
    const drawn: T[] = []
    while (drawn.length < count && left.length > 0) {
      const place = this.below(left.length)
      drawn.push(left[place] as T)
      left[place] = left.at(-1) as T
      left.pop()
    }
    return drawn
  }
}

function rotl(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by))
}
