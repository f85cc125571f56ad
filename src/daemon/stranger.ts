/**
 * Asking members for a place as one who has none: for a first join, for another slot, for a membership that
 * lapsed. It uses the one protocol that strangers are served, from a node that shows nothing.
 */
import type { HostId, PublicKey, Signer } from '#core/ids.ts'
import { acceptGrant, decodeJoinAnswer, firstSlot, joinRequest } from '#core/admission/join.ts'
import type { Chain } from '#core/admission/chain.ts'
import type { Token } from '#core/admission/token.ts'
import { ViolinError, errorFrom } from '#core/errors.ts'
import type { Mesh } from '#mesh/contract.ts'
import { createMesh } from '#mesh/mesh.ts'
import { crypto, signerOf } from './crypto.ts'

/** A member that does not answer within this time is passed over. */
const answerTimeoutMs = 10_000

/** The mesh, and who asks. */
export interface Place {
  readonly meshId: PublicKey
  readonly hostSeed: Uint8Array
  readonly networkKey: Uint8Array | null
}

/** What a member said, and which. */
export interface Answered<T> {
  readonly answer: T
  readonly through: HostId
  readonly address: string
}

/**
 * Asks at one address after another until a member answers; `isFinal`: its no is everyone's. Throws ViolinError: the
 * last no that was an answer, `nobody-reachable` where none was.
 */
export async function askAsStranger<T>(
  place: Place,
  addresses: readonly string[],
  ask: (request: (body: Uint8Array) => Promise<Uint8Array>) => Promise<T>,
  isFinal: (error: ViolinError) => boolean = isEveryones
): Promise<Answered<T>> {
  const mesh = await createMesh({
    ...place,
    listen: [],
    presentation: () => null,
    admit: () => false,
    remembered: () => [],
    mdns: false,
    log: () => {}
  })
  try {
    return await askOneOf(mesh, addresses, ask, isFinal)
  } finally {
    await mesh.close()
  }
}

async function askOneOf<T>(
  mesh: Mesh,
  addresses: readonly string[],
  ask: (request: (body: Uint8Array) => Promise<Uint8Array>) => Promise<T>,
  isFinal: (error: ViolinError) => boolean
): Promise<Answered<T>> {
  let refusal: ViolinError | null = null
  for (const address of addresses) {
    try {
      const through = await mesh.dial([address], AbortSignal.timeout(answerTimeoutMs))
      const answer = await ask((body) =>
        mesh.request(through, 'join', body, AbortSignal.timeout(answerTimeoutMs))
      )
      return { answer, through, address }
    } catch (error: unknown) {
      if (!(error instanceof ViolinError) || isFinal(error)) throw error
      if (refusal === null || isAnswer(error)) refusal = error
    }
  }
  if (refusal !== null && isAnswer(refusal)) throw refusal
  throw new ViolinError(
    'nobody-reachable',
    `no member of the mesh answered (${addresses.join(', ') || 'no address is known'})`,
    'see that `violin daemon` runs on the inviting host and that its port is reachable from here',
    { cause: refusal }
  )
}

function isAnswer({ code }: ViolinError): boolean {
  return code !== 'nobody-reachable' && code !== 'timeout'
}

/** A member's no is everyone's, but of one that does not know the inviter yet. */
function isEveryones(error: ViolinError): boolean {
  return isAnswer(error) && error.code !== 'unknown-host'
}

/** Takes a free slot of an invite for a host. Throws ViolinError with the reason. */
export async function redeem(
  token: Token,
  host: {
    readonly seed: Uint8Array
    readonly signer: Signer
    readonly name: string
    readonly networkKey: Uint8Array | null
  },
  addresses: readonly string[]
): Promise<Answered<Chain>> {
  return askAsStranger(
    { meshId: token.root, hostSeed: host.seed, networkKey: host.networkKey },
    addresses,
    async (request) => {
      const { publicKey } = host.signer
      const signer = signerOf(token.seed)
      let slot = firstSlot(token, publicKey, crypto)
      // Each answer names a slot that was free: as many tries as there are slots are enough.
      for (let tries = 0; tries <= token.invite.slots; tries++) {
        const body = joinRequest(token, signer, publicKey, slot, host.name)
        const answer = decodeJoinAnswer(await request(body))
        if (answer.kind === 'refused') throw errorFrom(answer.error)
        if (answer.kind === 'granted') {
          const chain = acceptGrant(token, publicKey, answer.chain, crypto)
          if (chain instanceof ViolinError) throw chain
          return chain
        }
        slot = answer.free
      }
      throw new ViolinError(
        'token-used-up',
        'others took every slot of the invite meanwhile',
        'ask an admin of the mesh for a new invite'
      )
    }
  )
}
