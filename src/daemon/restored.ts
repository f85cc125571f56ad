/**
 * What a host does when it hears itself say what it does not remember: it was restored from a backup, or a second
 * daemon has its key.
 */
import { errorData } from '#core/errors.ts'
import type { PublicKey } from '#core/ids.ts'
import type { Records } from './records.ts'

/** After its own record was heard a host speaks again so soon: not faster than relays pass on (authorRefillMs). */
const speakAgainMs = 5_000
/** One restored from a backup corrects itself once or twice; two daemons with one key never end. */
const corrections = 4
/** All within this time, ms. */
const withinMs = 120_000

export interface RestoredParts {
  /** The host's own key. */
  readonly self: PublicKey
  readonly records: Pick<Records, 'onChange'>
  /** Publishes the own record where what stands says something else; gives whether it did. */
  readonly say: () => Promise<boolean>
  /** What people should know. */
  readonly tell: (text: string) => void
  readonly log: (message: string, fields: Record<string, unknown>) => void
  /** Default: {@link speakAgainMs}. */
  readonly againMs?: number
}

/**
 * Speaks again soon after the own record came in from others, above what they hold, and tells where that does not end.
 * Ends when the returned function is called.
 */
export function whenRestored({ self, records, say, tell, log, againMs }: RestoredParts): () => void {
  let timer: NodeJS.Timeout | null = null
  let corrected: number[] = []
  const speak = async (): Promise<void> => {
    timer = null
    if (!(await say())) return
    const now = performance.now()
    corrected = [...corrected.filter((at) => now - at < withinMs), now]
    if (corrected.length !== corrections) return
    tell(
      'another daemon speaks with the key of this host, and each takes the place of the other: stop one of the two; if the other is not yours, the key was stolen (docs/keys.md)'
    )
  }
  const unlisten = records.onChange((changed) => {
    if (timer !== null || !changed.some(({ kind, author }) => kind === 'host' && author === self)) return
    timer = setTimeout(() => {
      speak().catch((error: unknown) => log('own record not published', { reason: errorData(error).message }))
    }, againMs ?? speakAgainMs)
  })
  return () => {
    unlisten()
    if (timer !== null) clearTimeout(timer)
  }
}
