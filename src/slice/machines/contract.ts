/**
 * One entity behind one driver: the slice's main thread starts it from its spec, tells it what changed, and
 * ends it. `uml/` and `netns/` are the drivers; neither knows of vLANs, trunks or the daemon.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { ViolinError } from '#core/errors.ts'
import type { Mac, ViolinId } from '#core/ids.ts'
import type { SessionRequest } from '#core/session.ts'
import type { SpecEntity } from '#core/spec.ts'
import type { EntityState, SliceEntity, SliceWish } from '#slice/contract.ts'
import type { PortSource } from '#slice/forwarder/contract.ts'

/** Everything that a driver is given; whatever it makes lies in `folder` and ends with {@link Machine.stop}. */
export interface MachineSetup {
  readonly violin: ViolinId
  readonly entity: SpecEntity & Pick<SliceEntity, 'start'>
  /** MAC of each vNIC, by its name. */
  readonly macs: ReadonlyMap<string, Mac>
  /** For /etc/hosts. */
  readonly names: SliceWish['names']
  /** Its own runtime folder, made empty; the caller removes it after `stop`. */
  readonly folder: string
  /** Guest images of this host, read-only (`tiny/initrd.img`, `HASH/root/…`). */
  readonly images: string
  /** Gives the far end of a vNIC to the forwarder, once per vNIC. */
  readonly attach: (nic: string, source: PortSource) => void
  /** The vNIC's port ends; nothing is behind it any more. */
  readonly detach: (nic: string) => void
  /** A TAP inside the entity's network namespace, made by the root daemon; its open descriptor. Null: outside of the slice. */
  readonly tap: (namespaceFd: number | null, nic: string) => Promise<number>
  readonly events: MachineEvents
}

export interface MachineEvents {
  /** Its network is set, and `run` comes next: frames may go. */
  up(): void
  /** `running`: up, configured, `files` laid, `run` done. `failed`: why, and the console's last lines. */
  state(state: EntityState, reason: string): void
}

export interface Machine {
  /**
   * Serves one session over a stream of session frames (core/session.ts), its `open` frame already read;
   * ends the stream with `exit` or `failed`.
   */
  session(request: SessionRequest, stream: Duplex): void
  /** New contents for /etc/hosts. */
  rename(names: SliceWish['names']): Promise<void>
  /**
   * Takes on the vNICs, addresses and routes of a spec that differs in nothing else, while it runs. Throws where it
   * cannot, and is to be started anew then.
   */
  change(entity: SpecEntity, macs: ReadonlyMap<string, Mac>): Promise<void>
  /** Ends it in good order, by force after a bound; resolves when nothing of it is left but its folder. */
  stop(): Promise<void>
}

export type StartMachine = (setup: MachineSetup) => Machine

/** The tree that an entity's root is made of; null: its image is `tiny`. Throws ViolinError `image-missing`. */
export function imageFolder({
  entity,
  images
}: {
  readonly entity: Pick<SpecEntity, 'image'>
  readonly images: string
}): string | null {
  const { name, hash } = entity.image
  if (hash === null) return null
  const root = join(images, hash, 'root')
  if (existsSync(root)) return root
  throw new ViolinError(
    'image-missing',
    `the image ${name} (${hash.slice(0, 12)}) is not on this host`,
    'fetch it: violin image pull NAME'
  )
}
