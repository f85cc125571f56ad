/** Durations as people write them: `500ms`, `60s`, `5m`, `24h`, `7d`. */
import { ViolinError } from '#core/errors.ts'

const unitsMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** Milliseconds of a duration. Throws ViolinError `usage`. */
export function parseDuration(text: string): number {
  const match = /^([0-9]{1,9})(ms|s|m|h|d)$/.exec(text)
  if (match === null)
    throw new ViolinError('usage', `${JSON.stringify(text)} is no duration`, 'write it as 60s, 5m or 24h')
  return Number(match[1]) * unitsMs[match[2] as keyof typeof unitsMs]
}
