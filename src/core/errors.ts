/**
 * Every way in which VIOLIN refuses. A refusal names the thing, says why, and says what to do; it is data
 * that survives a socket, so the same line reaches the person whichever process refused.
 */
import { printable } from './printable.ts'

/** The catalogue: code → exit status of the command line (1 refused or failed, 2 wrong usage). */
export const errorCodes = {
  usage: 2,
  'not-running': 1,
  'already-running': 1,
  'not-initialised': 1,
  'already-initialised': 1,
  'needs-root': 1,
  'tool-missing': 1,
  'image-missing': 1,
  'kernel-feature-missing': 1,
  'port-taken': 1,
  'token-malformed': 1,
  'token-expired': 1,
  'token-used-up': 1,
  'token-revoked': 1,
  'token-other-mesh': 1,
  'nobody-reachable': 1,
  'not-a-member': 1,
  revoked: 1,
  'topology-invalid': 1,
  'no-placement': 1,
  'unknown-host': 1,
  'ambiguous-name': 1,
  'name-taken': 1,
  'unknown-violin': 1,
  'unknown-entity': 1,
  'unknown-lan': 1,
  'not-owner': 1,
  'not-running-here': 1,
  'entities-running': 1,
  'boot-failed': 1,
  timeout: 1,
  'store-damaged': 1,
  'disk-full': 1,
  'too-large': 1,
  refused: 1,
  internal: 1
} as const

export type ErrorCode = keyof typeof errorCodes

/** What a refusal is on a wire: a {@link ViolinError} without its stack. */
export interface ErrorData {
  readonly code: ErrorCode
  /** One line: what was refused, where, and why. */
  readonly message: string
  /** One line: what the reader can do about it. */
  readonly remedy: string
}

/** A refusal. `message` is one line for a person; `remedy` is what to do. */
export class ViolinError extends Error {
  override readonly name = 'ViolinError'
  readonly code: ErrorCode
  readonly remedy: string

  constructor(code: ErrorCode, message: string, remedy: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.remedy = remedy
  }

  toData(): ErrorData {
    return { code: this.code, message: this.message, remedy: this.remedy }
  }
}

/** What the kernel says (errno(3)) when a disk or a quota is full. */
const fullDisk: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT'])

/** Turns anything thrown into data; what is no refusal and no full disk is a defect and is called `internal`. */
export function errorData(error: unknown): ErrorData {
  if (error instanceof ViolinError) return error.toData()
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof Error && fullDisk.has(Reflect.get(error, 'code')))
    return {
      code: 'disk-full',
      message,
      remedy: 'make room on the disk of this host’s folder (df -h), then try again'
    }
  return { code: 'internal', message, remedy: 'run the command again with --debug and report what it prints' }
}

/** Longest message or remedy that comes from elsewhere, characters. */
const maxLine = 4_000

/** The reverse of {@link errorData}. What another process says goes to a terminal: it is made printable. */
export function errorFrom(data: ErrorData): ViolinError {
  return new ViolinError(
    Object.hasOwn(errorCodes, data.code) ? data.code : 'internal',
    printable(data.message, maxLine),
    printable(data.remedy, maxLine)
  )
}

/** The refusal that another process wrote as JSON; null for whatever else stands there. */
export function readError(json: string): ViolinError | null {
  let data: unknown
  try {
    data = JSON.parse(json)
  } catch {
    return null
  }
  const line = (name: string): unknown =>
    typeof data === 'object' && data !== null ? Reflect.get(data, name) : undefined
  const [code, message, remedy] = [line('code'), line('message'), line('remedy')]
  if (typeof code !== 'string' || typeof message !== 'string' || typeof remedy !== 'string') return null
  return errorFrom({ code: code as ErrorCode, message, remedy })
}
