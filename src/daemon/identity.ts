/**
 * Who this host is: its keys, its membership, its settings, in `identity/` of its folder. Keys live in files
 * outside the store, so that a damaged store costs no identity. The folder is written whole or not at all.
 */
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as z from 'zod'
import { hostIdOf } from '#core/admission/host-id.ts'
import { networkFingerprint, networkKeyBytes } from '#core/admission/token.ts'
import type { NetworkMismatch } from '#mesh/contract.ts'
import { hex, unhex } from '#core/derive.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostId, PublicKey, Signer } from '#core/ids.ts'
import { crypto, signerOf } from './crypto.ts'

const settings = z.strictObject({
  name: z.string(),
  /** The mesh: its root's public key. */
  mesh: z.string().regex(/^[0-9a-f]{64}$/),
  listen: z.array(z.string()),
  /** UDP ports of trunks. */
  ports: z.strictObject({ first: z.int().min(1).max(65_535), last: z.int().min(1).max(65_535) })
})

export interface Identity {
  readonly name: string
  readonly mesh: PublicKey
  readonly listen: readonly string[]
  readonly ports: { readonly first: number; readonly last: number }
  readonly id: HostId
  readonly hostSeed: Uint8Array
  readonly host: Signer
  readonly owner: Signer
  /** The chain from the root to this host, as it travels. */
  readonly membership: Uint8Array
  /** The key of a closed network; null: it is open. */
  readonly networkKey: Uint8Array | null
  /** Where members were, each with `/p2p/ID`. */
  readonly addresses: readonly string[]
}

export interface NewIdentity {
  readonly name: string
  readonly mesh: PublicKey
  readonly listen: readonly string[]
  readonly ports: { readonly first: number; readonly last: number }
  readonly rootSeed?: Uint8Array
  readonly hostSeed: Uint8Array
  readonly ownerSeed: Uint8Array
  readonly membership: Uint8Array
  /** Of a closed network. */
  readonly networkKey?: Uint8Array | null
  /** The invite's text, where its secret is of use after the join. */
  readonly invite?: string
  readonly addresses?: readonly string[]
}

/** Where trunks listen unless settings say otherwise. */
export const defaultPorts = { first: 4790, last: 4889 } as const
/** Where the mesh listens unless settings say otherwise. */
export const defaultListen: readonly string[] = ['/ip4/0.0.0.0/tcp/4780']

/** Of a closed network: every host of it has the same. */
const networkKeyName = 'network.key'
/** Kept while another of its slots may be needed. */
const inviteName = 'invite'
/**
 * Members by which this host finds its mesh again, an address a line. They lie here, and not in the store alone, because
 * this folder is what is copied and restored: without them a host that nobody dials could ask nobody for a renewal.
 */
const addressesName = 'addresses'
/** Most that are read of it: some eight members with a few addresses each. */
const maxAddresses = 64

const folderOf = (dir: string): string => join(dir, 'identity')

/** Where the root key of a mesh founded here lies until it is put away. */
export function rootKeyFile(dir: string): string {
  return join(folderOf(dir), 'root.key')
}

/**
 * What is wrong where files with secrets are open to other users, as a copy from a stick without modes makes them, and
 * what mends it; null: nothing. A mesh that works is not to die of it: it is told.
 */
export async function openSecrets(dir: string): Promise<{ what: string; remedy: string } | null> {
  const folder = folderOf(dir)
  const names = (await readdir(folder).catch(() => [])).filter(isSecret)
  const modes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).mode))
  const open = names.filter((_, place) => ((modes[place] as number) & 0o077) !== 0).toSorted()
  if (open.length === 0) return null
  return {
    what: `other users can read ${open.join(', ')} in ${folder}`,
    remedy: `chmod 600 ${open.map((name) => join(folder, name)).join(' ')}`
  }
}

function isSecret(name: string): boolean {
  return name.endsWith('.key') || name === inviteName
}

/** The root key's seed, if it was not put away; null otherwise. */
export async function loadRootSeed(dir: string): Promise<Uint8Array | null> {
  const seed = unhex((await readFile(rootKeyFile(dir), 'utf8').catch(() => '')).trim())
  return seed?.length === 32 ? seed : null
}

/** Puts another membership in the place of the former. */
export async function saveMembership(dir: string, membership: Uint8Array): Promise<void> {
  await replace(join(folderOf(dir), 'membership'), membership)
}

/** Puts other addresses of members in the place of the former. */
export async function saveAddresses(dir: string, addresses: readonly string[]): Promise<void> {
  await replace(join(folderOf(dir), addressesName), addressText(addresses))
}

/** Whole, or not at all, also when the power fails. */
async function replace(path: string, content: Uint8Array | string): Promise<void> {
  const fresh = `${path}.new`
  await writeFile(fresh, content, { mode: 0o600, flush: true })
  await rename(fresh, path)
}

function addressText(addresses: readonly string[]): string {
  return addresses.map((address) => `${address}\n`).join('')
}

/** What is no address of a known peer is passed over: a host works without any. */
async function loadAddresses(folder: string): Promise<readonly string[]> {
  const text = await readFile(join(folder, addressesName), 'utf8').catch(() => '')
  return text
    .split('\n', maxAddresses)
    .filter((line) => line.length <= 256 && /^\/[\x21-\x7e]+\/p2p\/[^/]+$/.test(line))
}

/** The invite by which this host joined, while another of its slots may be needed; null: none is kept. */
export async function loadInvite(dir: string): Promise<string | null> {
  return readFile(join(folderOf(dir), inviteName), 'utf8').catch(() => null)
}

/** Forgets that invite. */
export async function dropInvite(dir: string): Promise<void> {
  await rm(join(folderOf(dir), inviteName), { force: true })
}

const joinKeyFile = (dir: string): string => join(dir, 'join.key')

/** The host key that was made for a join to come, so that an invite can be for it alone; null where none waits. */
export async function loadJoinKey(dir: string): Promise<Uint8Array | null> {
  const seed = unhex((await readFile(joinKeyFile(dir), 'utf8').catch(() => '')).trim())
  return seed?.length === 32 ? seed : null
}

/** Keeps a host key for a join to come. Throws `refused` where the folder cannot be written. */
export async function saveJoinKey(dir: string, seed: Uint8Array): Promise<void> {
  try {
    await makeFolder(dir)
    await writeFile(joinKeyFile(dir), `${hex(seed)}\n`, { mode: 0o600, flush: true })
  } catch (error: unknown) {
    throw unwritable(dir, error)
  }
}

/** Forgets that key: the join came, and the identity has it. */
export async function dropJoinKey(dir: string): Promise<void> {
  await rm(joinKeyFile(dir), { force: true })
}

function unwritable(dir: string, error: unknown): ViolinError {
  return new ViolinError(
    'refused',
    `cannot write ${dir}: ${(error as Error).message}`,
    'choose a folder of yours with --dir'
  )
}

/** Throws `already-initialised` when the folder holds an identity. */
export async function assertFresh(dir: string): Promise<void> {
  const present = await readFile(join(folderOf(dir), 'host.json')).then(
    () => true,
    () => false
  )
  if (present)
    throw new ViolinError(
      'already-initialised',
      `${dir} already belongs to a host`,
      'use another folder (--dir), or `violin leave` first'
    )
}

/** Writes a fresh identity as one unit. */
export async function saveIdentity(dir: string, identity: NewIdentity): Promise<void> {
  await assertFresh(dir)
  const staging = join(dir, `identity.${process.pid}`)
  try {
    await makeFolder(dir)
    await mkdir(staging, { mode: 0o700 })
  } catch (error: unknown) {
    throw unwritable(dir, error)
  }
  try {
    const secret = async (name: string, seed: Uint8Array): Promise<void> => {
      await writeFile(join(staging, name), `${hex(seed)}\n`, { mode: 0o600 })
    }
    if (identity.rootSeed !== undefined) await secret('root.key', identity.rootSeed)
    await secret('host.key', identity.hostSeed)
    await secret('owner.key', identity.ownerSeed)
    const { networkKey = null } = identity
    if (networkKey !== null) await secret(networkKeyName, networkKey)
    await writeFile(join(staging, 'membership'), identity.membership, { mode: 0o600 })
    if (identity.invite !== undefined)
      await writeFile(join(staging, inviteName), `${identity.invite}\n`, { mode: 0o600 })
    const { name, mesh, listen, ports, addresses = [] } = identity
    await writeFile(join(staging, addressesName), addressText(addresses), { mode: 0o600 })
    await writeFile(join(staging, 'host.json'), `${JSON.stringify({ name, mesh, listen, ports }, null, 2)}\n`)
    // A folder left by `leave` holds only the owner's key, under a name of its own.
    await rename(staging, folderOf(dir))
  } catch (error: unknown) {
    await rm(staging, { recursive: true, force: true })
    throw error
  }
}

/** Makes a folder and those above it. Node's own recursive mkdir never ends where a file system takes none. */
async function makeFolder(dir: string): Promise<void> {
  try {
    await mkdir(dir, { mode: 0o755 })
  } catch (error: unknown) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    const above = dirname(dir)
    const isThere = await stat(above).then(
      () => true,
      () => false
    )
    if (code !== 'ENOENT' || isThere) throw error
    await makeFolder(above)
    await mkdir(dir, { mode: 0o755 })
  }
}

/** Reads the identity. Throws `not-initialised`, or `store-damaged` when a file is not as it was written. */
export async function loadIdentity(dir: string): Promise<Identity> {
  const folder = folderOf(dir)
  const text = await readFile(join(folder, 'host.json'), 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'EACCES')
      throw new ViolinError(
        'needs-root',
        `${folder} belongs to another user`,
        'run as that user, or use --dir'
      )
    throw new ViolinError(
      'not-initialised',
      `${dir} holds no host yet`,
      'found a mesh with `violin init`, or join one with `violin join TOKEN`'
    )
  })
  const parsed = settings.safeParse(parseJson(text))
  if (!parsed.success)
    throw new ViolinError(
      'store-damaged',
      `${join(folder, 'host.json')} is not as it was written`,
      'restore it from a backup, or join again in a new folder'
    )
  const { name, mesh, listen, ports } = parsed.data
  const hostSeed = await loadSeed(join(folder, 'host.key'))
  const host = signerOf(hostSeed)
  const owner = signerOf(await loadSeed(join(folder, 'owner.key')))
  const membership = await readFile(join(folder, 'membership')).catch(() => {
    throw new ViolinError(
      'store-damaged',
      `${join(folder, 'membership')} is missing`,
      'restore it from a backup, or join again in a new folder'
    )
  })
  await chmod(folder, 0o700)
  return {
    name,
    mesh: mesh as PublicKey,
    listen,
    ports,
    id: hostIdOf(host.publicKey),
    hostSeed,
    host,
    owner,
    membership,
    networkKey: await loadNetworkKey(folder),
    addresses: await loadAddresses(folder)
  }
}

/**
 * Forgets the host and all that it kept; the owner's key stays beside, since VIOLINs elsewhere may hang on it.
 * Gives its path.
 */
export async function forgetIdentity(dir: string): Promise<string> {
  const kept = join(dir, `owner-${Date.now()}.key`)
  await rename(join(folderOf(dir), 'owner.key'), kept)
  for (const name of ['identity', 'store', 'slices', 'images'])
    await rm(join(dir, name), { recursive: true, force: true })
  return kept
}

async function loadNetworkKey(folder: string): Promise<Uint8Array | null> {
  const path = join(folder, networkKeyName)
  const isThere = await stat(path).then(
    () => true,
    () => false
  )
  return isThere ? loadSeed(path) : null
}

/** What a host says that has another network key than those whom it dials. */
export function wrongNetworkKey({ networkKey }: Identity, mismatch: NetworkMismatch): string {
  const print = networkKey === null ? '' : ` (${hex(networkFingerprint(networkKey, crypto))})`
  const file = `identity/${networkKeyName}`
  switch (mismatch) {
    case 'open':
      return `members have no network key, and this host has one${print}; move ${file} away, and start the daemon again`
    case 'closed':
      return `members have a network key, and this host has none; copy ${file} from another host, and start the daemon again`
    case 'other-key':
      return `members have another network key than this host's${print}; copy ${file} from another host, and start the daemon again`
  }
}

/** A network key from a file that a person names: 64 hex digits. Throws ViolinError `usage`. */
export async function readNetworkKey(path: string): Promise<Uint8Array> {
  const key = unhex((await readFile(path, 'utf8').catch(() => '')).trim())
  if (key?.length === networkKeyBytes) return key
  throw new ViolinError(
    'usage',
    `${path} is missing or holds no network key`,
    'name a file with 64 hex digits, such as identity/network.key of a host of the mesh'
  )
}

async function loadSeed(path: string): Promise<Uint8Array> {
  const seed = unhex((await readFile(path, 'utf8').catch(() => '')).trim())
  if (seed === null || seed.length !== 32)
    throw new ViolinError(
      'store-damaged',
      `${path} is missing or holds no key`,
      'restore it from a backup, or join again in a new folder'
    )
  return seed
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
