/**
 * Jetways of a topology: which door, where, and what two of them must not do to one vLAN.
 */
import { tinyImage } from '#core/image.ts'
import { isInterface } from '#core/records/spec-body.ts'
import type { PlacedEntity } from './entities.ts'
import { checkLan, checkName, claim } from './names.ts'
import type { FileJetway, FileLan, TopologyFile } from './schema.ts'
import type { Path, Source } from './source.ts'

/** All jetways: entities of a kind of their own. Throws ViolinError `topology-invalid`. */
export function readJetways(source: Source, file: TopologyFile, taken: Map<string, Path>): PlacedEntity[] {
  return Object.entries(file.jetways ?? {}).map(([jetwayName, jetway]) => {
    const path = ['jetways', jetwayName]
    checkName(source, path, jetwayName, 'a jetway', 'key')
    claim(source, taken, jetwayName, path)
    checkLan(source, file, path, jetway.lan)
    checkMode(source, path, jetway, file.lans[jetway.lan] as FileLan)
    const { lan, on, mode, bridge = '', ip, enabled } = jetway
    return {
      entity: {
        name: jetwayName,
        kind: 'jetway',
        driver: 'tap',
        image: tinyImage.name,
        memoryMiB: 1,
        on,
        nics: [{ name: 'lan', lan, ...(ip === undefined ? {} : { ip }) }],
        env: {},
        files: [],
        jetway: { mode, bridge, ...(enabled === undefined ? {} : { enabled }) }
      },
      path,
      nicPaths: [path]
    }
  })
}

function checkMode(source: Source, path: Path, { mode, bridge, ip }: FileJetway, lan: FileLan): void {
  if (mode === 'nat') {
    if (lan.subnet === undefined)
      throw source.refuse(
        [...path, 'mode'],
        'a jetway translates IPv4, which the vLAN has not',
        'add `subnet:` to the vLAN, or write `mode: bridge`'
      )
    if (bridge === undefined) return
    throw source.refuse(
      [...path, 'bridge'],
      'mode nat joins no bridge',
      'leave it out, or write `mode: bridge`',
      'key'
    )
  }
  if (ip !== undefined)
    throw source.refuse([...path, 'ip'], 'a bridge has no address on the vLAN', 'leave it out', 'key')
  if (bridge === undefined)
    throw source.refuse([...path, 'mode'], 'which bridge of the host?', 'add `bridge: br0`', 'key')
  if (!isInterface(bridge))
    throw source.refuse(
      [...path, 'bridge'],
      `${JSON.stringify(bridge)} is no name of an interface`,
      'write it as br0'
    )
}

/** Two live bridges between one vLAN and the real network would make a loop. */
export function checkBridges(source: Source, entities: readonly PlacedEntity[]): void {
  const live = new Map<string, string>()
  for (const { entity, path } of entities) {
    const { jetway, name: jetwayName, nics } = entity
    if (jetway?.mode !== 'bridge' || jetway.enabled !== true) continue
    const lan = nics[0]?.lan as string
    const other = live.get(lan)
    if (other !== undefined)
      throw source.refuse(
        [...path, 'enabled'],
        `${lan} has a live bridge already, ${other}: two would make a loop`,
        'enable one of them'
      )
    live.set(lan, jetwayName)
  }
}
