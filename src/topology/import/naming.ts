/** Names of others in the grammar of ours, each once. */
import { isName, maxNameLength } from '#core/records/name.ts'

/** Linux: IFNAMSIZ less the final zero. */
const maxNicNameLength = 15

/** Gives every name of a lab one of ours; names that are taken get a number. */
export class Naming {
  readonly #taken = new Set<string>()

  /** A name for an entity, a vLAN or a VIOLIN. */
  name(wanted: string, otherwise: string): string {
    return this.#free(plain(wanted, maxNameLength) || otherwise, maxNameLength)
  }

  /** A name for a vNIC, which begins with a letter. */
  nic(wanted: string): string {
    const text = plain(wanted, maxNicNameLength)
    const good = /^[a-z]/.test(text) && text !== 'lo'
    return this.#free(good ? text : plain(`nic-${text}`, maxNicNameLength), maxNicNameLength)
  }

  #free(base: string, maxLength: number): string {
    for (let number = 1; ; number++) {
      const tail = number === 1 ? '' : `-${number}`
      const name = `${base.slice(0, maxLength - tail.length)}${tail}`
      if (this.#taken.has(name)) continue
      this.#taken.add(name)
      return name
    }
  }
}

/** Small letters, digits and hyphens of a text: é is e, everything else a hyphen. */
function plain(text: string, maxLength: number): string {
  if (isName(text) && text.length <= maxLength) return text
  return text
    .slice(0, 4 * maxLength)
    .normalize('NFKD')
    .replaceAll(/\p{Mark}/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '')
    .slice(0, maxLength)
    .replaceAll(/-$/g, '')
}
