/** Asking admins to prolong a membership: this host's own, or that of one which asked here. */
import type { Chain } from '#core/admission/chain.ts'
import { hostIdOf } from '#core/admission/host-id.ts'
import { decodeJoinAnswer } from '#core/admission/join.ts'
import { acceptRenewal, renewRequest, renewersOf } from '#core/admission/renewal.ts'
import { ViolinError, errorData, errorFrom } from '#core/errors.ts'
import type { Mesh } from '#mesh/contract.ts'
import { shuffled } from '#mesh/redial.ts'
import { crypto } from './crypto.ts'
import type { Peers } from './peers.ts'
import type { Records } from './records.ts'

/** Most admins that are asked at one time, of those that are connected. */
const maxConnected = 8
/** Most that are dialled for it, drawn anew each time: who is away costs some seconds. */
const maxDialled = 2
const answerTimeoutMs = 5_000
const maxAskingMs = 30_000

export interface Asking {
  readonly records: Records
  readonly mesh: Mesh
  readonly peers: Pick<Peers, 'reach' | 'isConnected'>
  readonly log: (message: string, fields: Record<string, unknown>) => void
}

/**
 * The first renewal of a member's chain that an admin gives, those asked first that are connected; null: none before
 * the signal, after which no other is asked.
 */
export async function askAdmins(
  asking: Asking,
  member: Chain,
  asked: AbortSignal = AbortSignal.timeout(maxAskingMs)
): Promise<Chain | null> {
  const { records, mesh, peers, log } = asking
  const chains = Array.from(records.view.members.values(), ({ record }) => record.chain as Chain)
  const admins = renewersOf(member, chains).map(({ subject }) => hostIdOf(subject))
  const others = admins.filter((admin) => admin !== mesh.self)
  const away = others.filter((admin) => !peers.isConnected(admin))
  const near = others.filter((admin) => peers.isConnected(admin)).slice(0, maxConnected)
  for (const admin of [...near, ...shuffled(away).slice(0, maxDialled)]) {
    if (asked.aborted) return null
    try {
      await peers.reach(admin)
      const signal = AbortSignal.any([asked, AbortSignal.timeout(answerTimeoutMs)])
      const renewed = renewalIn(member, await mesh.request(admin, 'join', renewRequest(member), signal))
      if (!records.set.isRevoked(renewed)) return renewed
    } catch (error: unknown) {
      log('not renewed by an admin', { admin, reason: errorData(error).message })
    }
  }
  return null
}

/** The renewal that an answer holds. Throws ViolinError with the reason where it holds none. */
export function renewalIn(member: Chain, answer: Uint8Array): Chain {
  const said = decodeJoinAnswer(answer)
  if (said.kind === 'refused') throw errorFrom(said.error)
  const chain = acceptRenewal(member, said.kind === 'granted' ? said.chain : new Uint8Array(), crypto)
  if (chain instanceof ViolinError) throw chain
  return chain
}
