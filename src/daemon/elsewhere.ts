/**
 * What only a host of a VIOLIN can do: a command for one that this host does not hold, but that its owner's pointers
 * lead to, as `show` finds it, is refused with the hosts that hold it.
 */
import { ViolinError } from '#core/errors.ts'
import type { Service, Show } from '#api/contract.ts'
import { methods } from '#api/methods.ts'

/** The same service; `look` finds a VIOLIN anywhere in the mesh, null where nobody says. */
export function sayingWhere(service: Service, look: (name: string) => Promise<Show | null>): Service {
  const entries = Object.entries(service).map(([method, call]: [string, Call]) => {
    // It looks itself, unless it is asked for what is here alone.
    if (method === 'show')
      return [
        method,
        (request: { here?: boolean }) =>
          request.here === true ? answerOf(call, request, look) : call(request)
      ] as const
    const isStream = method !== 'session' && methods[method as keyof typeof methods].stream
    const wrapped: Call = isStream
      ? (request) => rowsOf(call as (request: unknown) => AsyncIterable<unknown>, request, look)
      : (request) => answerOf(call, request, look)
    return [method, wrapped] as const
  })
  return Object.fromEntries(entries) as unknown as Service
}

type Call = (request: unknown) => unknown
type Look = (name: string) => Promise<Show | null>

async function answerOf(call: Call, request: unknown, look: Look): Promise<unknown> {
  try {
    return await call(request)
  } catch (error: unknown) {
    throw await whereOf(error, request, look)
  }
}

/** Not a generator: one that waits inside `next` could not be ended from outside, as who calls it may be. */
function rowsOf(
  call: (request: unknown) => AsyncIterable<unknown>,
  request: unknown,
  look: Look
): AsyncIterableIterator<unknown> {
  const where = async (error: unknown): Promise<never> => {
    throw await whereOf(error, request, look)
  }
  let rows: AsyncIterator<unknown> | null = null
  // What it refuses it refuses when it is read, whatever kind of stream it is.
  const begun = (): AsyncIterator<unknown> => (rows ??= call(request)[Symbol.asyncIterator]())
  return {
    [Symbol.asyncIterator]() {
      return this
    },
    next: () =>
      Promise.resolve()
        .then(() => begun().next())
        .catch(where),
    return: async () => {
      const value: unknown = undefined
      return (await rows?.return?.()) ?? { done: true, value }
    }
  }
}

async function whereOf(error: unknown, request: unknown, look: Look): Promise<unknown> {
  if (!(error instanceof ViolinError) || error.code !== 'unknown-violin') return error
  const name = nameIn(request)
  const found = name === null ? null : await look(name).catch(() => null)
  if (found === null) return error
  return new ViolinError(
    'unknown-violin',
    `${name} runs elsewhere: its hosts alone can do that, and this is none of them`,
    `run this on ${(found.hosts ?? []).join(', ')} (its owner: ${found.owner})`
  )
}

/** The VIOLIN that a request is about. */
function nameIn(request: unknown): string | null {
  const fields = request as { readonly name?: unknown; readonly violin?: unknown; readonly owner?: unknown }
  const named = [fields.violin, fields.name, fields.owner].find((value) => typeof value === 'string')
  return (named as string | undefined) ?? null
}
