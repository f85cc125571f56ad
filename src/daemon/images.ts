/** The guest images of this host: what their names mean here. */
import { type ImageHash, tinyImage } from '#core/image.ts'
import type { Topology } from '#core/spec.ts'
import type { ImageStore } from '#images/store.ts'

export class Images {
  readonly #store: ImageStore

  constructor(store: ImageStore) {
    this.#store = store
  }

  /** The images that a topology names and this host has. */
  async named(topology: Topology): Promise<ReadonlyMap<string, ImageHash>> {
    const names = new Set(topology.entities.map(({ image }) => image))
    names.delete(tinyImage.name)
    const found = await Promise.all(
      Array.from(names, async (name) => [name, await this.#store.find(name)] as const)
    )
    return new Map(found.flatMap(([name, hash]) => (hash === null ? [] : [[name, hash]])))
  }
}
