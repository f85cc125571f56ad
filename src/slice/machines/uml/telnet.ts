/**
 * As much of TELNET (RFC 854, RFC 1073) as it takes to use busybox's telnetd as the maker of terminals: it
 * carries a terminal's bytes and its size on one port. Pure.
 */

const IAC = 255
const SB = 250
const SE = 240
const WILL = 251
const DONT = 254
const optionSize = 31
const carriageReturn = 13

/** What a person typed, as telnetd takes it: 255 twice, and a zero after each carriage return. */
export function encodeTelnet(bytes: Uint8Array): Uint8Array {
  const encoded = new Uint8Array(bytes.length * 2)
  let length = 0
  for (const byte of bytes) {
    encoded[length++] = byte
    if (byte === IAC) encoded[length++] = IAC
    // telnetd takes a line feed or a zero after it for a part of it.
    if (byte === carriageReturn) encoded[length++] = 0
  }
  return encoded.subarray(0, length)
}

/** Tells telnetd the terminal's size. It reads nine bytes flat, so a 255 among them is not doubled. */
export function encodeSize(rows: number, columns: number): Uint8Array {
  return Uint8Array.of(IAC, SB, optionSize, columns >>> 8, columns & 255, rows >>> 8, rows & 255, IAC, SE)
}

/** Takes the protocol out of what telnetd sends. Everything that it negotiates is what we want anyway. */
export class TelnetDecoder {
  #state: 'data' | 'command' | 'option' | 'sub' | 'sub-command' = 'data'

  /** The terminal's own bytes in `chunk`. */
  push(chunk: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(chunk.length)
    let length = 0
    for (const byte of chunk) {
      if (this.#state === 'data' && byte !== IAC) bytes[length++] = byte
      else if (this.#state === 'command' && byte === IAC) {
        bytes[length++] = IAC
        this.#state = 'data'
      } else this.#state = this.#after(byte)
    }
    return bytes.subarray(0, length)
  }

  #after(byte: number): 'data' | 'command' | 'option' | 'sub' | 'sub-command' {
    switch (this.#state) {
      case 'data':
        return 'command'
      case 'command':
        if (byte === SB) return 'sub'
        return byte >= WILL && byte <= DONT ? 'option' : 'data'
      case 'option':
        return 'data'
      case 'sub':
        return byte === IAC ? 'sub-command' : 'sub'
      case 'sub-command':
        return byte === SE ? 'data' : 'sub'
    }
  }
}
