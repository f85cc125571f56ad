/**
 * The names of a topology: what may be one, that none stands twice, and which vLAN one means.
 */
import { isName, maxNameLength } from '#core/records/name.ts'
import { nearest } from '#core/nearest.ts'
import type { TopologyFile } from './schema.ts'
import type { Path, Source } from './source.ts'

/** Names stand in shell commands, paths and host tables. */
export function checkName(
  source: Source,
  path: Path,
  text: string,
  what: string,
  at: 'key' | 'value' = 'value'
): void {
  if (isName(text)) return
  throw source.refuse(
    path,
    `${JSON.stringify(text)} is no name for ${what}`,
    `use letters a-z, digits and hyphens, at most ${maxNameLength}`,
    at
  )
}

/** Entities, jetways and vLANs share one name space. */
export function claim(source: Source, taken: Map<string, Path>, wanted: string, path: Path): void {
  if (taken.has(wanted)) {
    throw source.refuse(
      path,
      `the name ${wanted} stands twice`,
      'entities, jetways and vLANs share one name space: rename one',
      'key'
    )
  }
  taken.set(wanted, path)
}

export function checkLan(source: Source, file: TopologyFile, path: Path, lan: string): void {
  if (Object.hasOwn(file.lans, lan)) return
  const meant = nearest(lan, Object.keys(file.lans))
  throw source.refuse(
    [...path, 'lan'],
    `no vLAN ${lan}`,
    meant === null ? 'add it under `lans:`' : `did you mean ${meant}?`
  )
}
