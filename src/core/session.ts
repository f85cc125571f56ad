/**
 * The byte protocol of one `exec`, `console` or `capture` session, the same from the command line to the entity:
 * API socket, libp2p stream and slice socket carry these frames unchanged, so hosts in between only pipe.
 *
 *     type u8 │ length u24 big-endian │ payload
 */

export const sessionFrame = {
  /** JSON {@link SessionRequest} or {@link CaptureRequest}; first frame, from the caller. */
  open: 0,
  stdin: 1,
  /** Empty payload: the caller's standard input ended. */
  stdinEnd: 2,
  stdout: 3,
  stderr: 4,
  /** u16 rows, u16 columns. */
  resize: 5,
  /** i32 exit status; last frame, from the entity. */
  exit: 6,
  /** JSON ErrorData; last frame: the session could not be had. Exit status 125. */
  failed: 7
} as const

/** Longest payload of one frame, bytes. */
export const maxSessionPayload = 65_536

/** What a caller asks of an entity. */
export interface SessionRequest {
  /** A VIOLIN's name, id or name@owner. */
  readonly violin: string
  readonly entity: string
  /** Program and arguments; empty: the entity's console shell. */
  readonly argv: readonly string[]
  /** With a terminal of this size (stdout and stderr are then one). */
  readonly terminal?: { readonly rows: number; readonly columns: number }
}

/**
 * What a caller asks of one host: frames of a vNIC, both ways, or all that come onto a vLAN there. On standard
 * output come pcapng blocks (frame/pcapng.ts) without the section's header, whole ones in each frame; the end of
 * standard input ends it.
 */
export interface CaptureRequest {
  /** A VIOLIN's name, id or name@owner. */
  readonly violin: string
  /** Id of the host. */
  readonly host: string
  readonly capture: Captured
}

/** A vLAN, or one vNIC. */
export type Captured = { readonly lan: string } | { readonly entity: string; readonly nic: string }

/** One decoded frame; `payload` is a view into the decoder's buffer and is valid until the next push. */
export interface SessionFrame {
  readonly type: number
  readonly payload: Uint8Array
}

/** Encodes one frame. Throws RangeError above {@link maxSessionPayload}. */
export function encodeSessionFrame(type: number, payload: Uint8Array): Uint8Array {
  if (payload.length > maxSessionPayload) throw new RangeError(`session frame of ${payload.length} bytes`)
  const frame = new Uint8Array(4 + payload.length)
  frame[0] = type
  frame[1] = payload.length >>> 16
  frame[2] = (payload.length >>> 8) & 0xff
  frame[3] = payload.length & 0xff
  frame.set(payload, 4)
  return frame
}

/** Cuts a byte stream into session frames. A frame of unknown type or too long makes `push` throw. */
export class SessionDecoder {
  #rest: Uint8Array = new Uint8Array(0)

  push(chunk: Uint8Array): SessionFrame[] {
    const bytes = new Uint8Array(this.#rest.length + chunk.length)
    bytes.set(this.#rest)
    bytes.set(chunk, this.#rest.length)
    const frames: SessionFrame[] = []
    let at = 0
    while (bytes.length - at >= 4) {
      const type = bytes[at] as number
      const length =
        ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)
      if (type > sessionFrame.failed) throw new RangeError(`session frame of unknown type ${type}`)
      if (length > maxSessionPayload) throw new RangeError(`session frame of ${length} bytes`)
      if (bytes.length - at - 4 < length) break
      frames.push({ type, payload: bytes.subarray(at + 4, at + 4 + length) })
      at += 4 + length
    }
    this.#rest = bytes.subarray(at)
    return frames
  }
}
