/** A decoder as the fuzzer sees it. */
import assert from 'node:assert/strict'
import type { Form } from './mutate.ts'

export interface Target {
  readonly name: string
  /** The functions that it enters by, `file.ts function`, relative to src/. */
  readonly enters: readonly string[]
  readonly form: Form
  /** Valid inputs, of which the others are made. */
  readonly samples: readonly Uint8Array[]
  /** Longest input worth making: somewhat above what the decoder takes, or all that one message can bring. */
  readonly maxBytes: number
  /** Share of the inputs, by what one costs. */
  readonly weight: number
  /**
   * Decodes. True when the input was taken; throws for whatever a decoder must not do: an error that it does not
   * declare, a value that does not encode to what it was decoded from.
   */
  readonly decode: (bytes: Uint8Array) => boolean | Promise<boolean>
}

export function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** Asserts that bytes are the same; deepEqual takes a hundred times as long. */
export function same(actual: Uint8Array, expected: Uint8Array): void {
  if (Buffer.compare(actual, expected) !== 0) assert.deepEqual(actual, expected)
}
