/**
 * The root daemon's part in namespace entities: a TAP inside a network namespace that the slice hands over,
 * if that namespace is the slice's own.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { ViolinError } from '#core/errors.ts'
import type { ViolinId } from '#core/ids.ts'
import { type SliceEvent, sliceFiles } from '#slice/contract.ts'
import { close } from '#syscalls/libc.ts'
import { isNetworkNamespace, namespaceOwner } from '#syscalls/namespace-owner.ts'
import { inNetworkNamespaceOf } from '#syscalls/netns.ts'
import { configureLink, openTap } from '#syscalls/tap.ts'
import { bindDescriptorSocket, receiveDescriptor, sendDescriptor } from '#syscalls/descriptors.ts'

/** Frames that wait in the kernel for the forwarder; few, so that queues stay where they are managed. */
const txQueueLength = 500
/** Namespaces that wait at once; a slice that sends more forgets the eldest. */
const maxSent = 64

export interface TapMakerOptions {
  readonly violin: ViolinId
  /** User id of the slice. */
  readonly user: number
  /** Folder for the daemon's socket, and the slice's own. */
  readonly folder: string
  readonly sliceFolder: string
}

/** Makes TAPs for one slice. */
export class TapMaker {
  readonly #options: TapMakerOptions
  readonly #socket: number
  /** Namespaces that came before it was told what for. */
  readonly #sent = new Map<string, number>()

  /** Listens in `folder`, which is the daemon's alone. */
  constructor(options: TapMakerOptions) {
    this.#options = options
    const path = join(options.folder, sliceFiles.descriptors)
    rmSync(path, { force: true })
    // The slice's user may send; who else could is kept off by the folder above.
    const umask = process.umask(0)
    try {
      this.#socket = bindDescriptorSocket(path)
    } finally {
      process.umask(umask)
    }
  }

  /** Makes what is wanted and sends it to the slice. Throws ViolinError, SyscallError. */
  make(wanted: Extract<SliceEvent, { kind: 'tap-wanted' }>): void {
    const namespace = this.#namespaceOf(wanted.entity)
    if (namespace === null)
      throw new ViolinError('refused', `no namespace came for ${wanted.entity}`, 'apply the topology again')
    try {
      this.#check(namespace, wanted.entity)
      this.give(
        wanted.entity,
        wanted.nic,
        inNetworkNamespaceOf(namespace, () => openConfigured(wanted))
      )
    } finally {
      close(namespace)
    }
  }

  /** Sends a TAP to the slice and closes it here. Throws SyscallError. */
  give(entity: string, nic: string, tap: number): void {
    const { violin, sliceFolder } = this.#options
    try {
      const path = join(sliceFolder, sliceFiles.descriptors)
      sendDescriptor(this.#socket, path, `tap ${violin} ${entity} ${nic}`, tap)
    } finally {
      close(tap)
    }
  }

  close(): void {
    for (const entity of this.#sent.keys()) this.#drop(entity)
    close(this.#socket)
    rmSync(join(this.#options.folder, sliceFiles.descriptors), { force: true })
  }

  /** The namespace that was sent for an entity. */
  #namespaceOf(entity: string): number | null {
    // A slice can fill the socket as fast as it is emptied: what is beyond the bound waits for the next call.
    for (let taken = 0; taken < maxSent; taken++) {
      const got = receiveDescriptor(this.#socket)
      if (got === null) break
      const [kind, violin, name] = got.text.split(' ')
      const known = name !== undefined && kind === 'netns' && violin === this.#options.violin
      const before = known ? this.#sent.get(name) : got.fd
      if (before !== undefined) close(before)
      if (known) this.#sent.set(name, got.fd)
      if (this.#sent.size > maxSent) this.#drop(this.#sent.keys().next().value as string)
    }
    const namespace = this.#sent.get(entity) ?? null
    this.#sent.delete(entity)
    return namespace
  }

  #drop(entity: string): void {
    const fd = this.#sent.get(entity)
    this.#sent.delete(entity)
    if (fd !== undefined) close(fd)
  }

  /** Root makes interfaces in no namespace but one that a user namespace of this very slice owns. */
  #check(namespace: number, entity: string): void {
    if (isNetworkNamespace(namespace) && namespaceOwner(namespace) === this.#options.user) return
    throw new ViolinError('refused', `the namespace of ${entity} is not the slice's own`, 'stop this VIOLIN')
  }
}

function openConfigured(wanted: {
  readonly nic: string
  readonly mac: string
  readonly mtu: number
}): number {
  const fd = openTap(wanted.nic)
  try {
    configureLink(wanted.nic, { mac: wanted.mac, mtu: wanted.mtu, txQueueLength })
    return fd
  } catch (error: unknown) {
    close(fd)
    throw error
  }
}
