/**
 * The line codec of `control.sock`, for both ends: one JSON object per line, byte arrays as base64.
 */
import { maxLineBytes } from './contract.ts'

/** One message as a line, newline included. */
export function encodeLine(message: unknown): string {
  return `${JSON.stringify(message, replaceBytes)}\n`
}

/** Looks at the property itself: a Buffer has made something else of its value by then. */
function replaceBytes(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const bytes = this[key]
  return bytes instanceof Uint8Array ? { $base64: Buffer.from(bytes).toString('base64') } : value
}

/** Reads one line back. Throws SyntaxError for what is no JSON. */
export function decodeLine(line: string): unknown {
  return JSON.parse(line, (_key, value: unknown) => {
    const base64 = typeof value === 'object' && value !== null && '$base64' in value ? value.$base64 : null
    return typeof base64 === 'string' ? new Uint8Array(Buffer.from(base64, 'base64')) : value
  })
}

/** Cuts a byte stream into lines of at most {@link maxLineBytes}. */
export class LineSplitter {
  #parts: Buffer[] = []
  #length = 0
  /** Some part holds a newline. */
  #whole = false

  push(chunk: Buffer): void {
    this.#parts.push(chunk)
    this.#length += chunk.length
    this.#whole ||= chunk.includes(10)
  }

  /** The next whole line without its newline, or null. Throws RangeError when one is too long. */
  next(): string | null {
    if (!this.#whole) {
      if (this.#length > maxLineBytes) throw new RangeError(`line of more than ${maxLineBytes} bytes`)
      return null
    }
    const bytes = this.rest()
    const end = bytes.indexOf(10)
    if (end + 1 < bytes.length) this.push(bytes.subarray(end + 1))
    return bytes.toString('utf8', 0, end)
  }

  /** Takes out everything that came and was not given as a line. */
  rest(): Buffer {
    const bytes = this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts)
    this.#parts = []
    this.#length = 0
    this.#whole = false
    return bytes
  }
}
