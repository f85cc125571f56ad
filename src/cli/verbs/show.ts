import { buildCommand, type Command } from '@stricli/core'
import type { EntityConfig, Show } from '#api/contract.ts'
import { ViolinError } from '#core/errors.ts'
import type { Context } from '../context.ts'
import { emphasis, table } from '../print/table.ts'
import { type JsonFlag, jsonFlag, printJson, violinArgument } from './common.ts'

interface Flags extends JsonFlag {
  readonly config?: boolean
}

export const show: Command<Context> = buildCommand<Flags, [name: string], Context>({
  docs: { brief: 'Show one VIOLIN: vLANs with their vSwitches, entities, vNICs' },
  parameters: {
    flags: {
      ...jsonFlag,
      config: {
        kind: 'boolean',
        optional: true,
        withNegated: false,
        brief: 'The configuration of what its entities run: FRR, nftables, dnsmasq; of one as NAME/ENTITY'
      }
    },
    positional: { kind: 'tuple', parameters: [violinArgument] }
  },
  async func({ json, config }, name) {
    if (config === true) return showConfig(await configOf(this, name), json === true)
    const shown = await this.service.show({ name })
    if (json === true) return printJson(shown)
    process.stdout.write(showText(shown))
  }
})

/** Of all entities of a VIOLIN, or of one. */
async function configOf(context: Context, target: string): Promise<readonly EntityConfig[]> {
  const [name, entity] = target.split('/', 2) as [string, string | undefined]
  const all = await context.service.config({ name })
  if (entity === undefined) return all
  const own = all.filter((one) => one.entity === entity)
  if (own.length > 0) return own
  const known = all.map((one) => one.entity).join(', ')
  throw new ViolinError('unknown-entity', `${name} has no entity ${entity}`, `it has ${known}`)
}

function showConfig(configs: readonly EntityConfig[], json: boolean): void {
  if (json) return printJson(configs)
  const texts = configs.flatMap(({ entity, files, start }) => [
    ...files.map(({ path, text }) => `${emphasis('bold', `# ${entity}: ${path}`)}\n${text.trimEnd()}\n`),
    ...(start === '' ? [] : [`${emphasis('bold', `# ${entity}: started by`)}\n${start.trimEnd()}\n`])
  ])
  process.stdout.write(
    texts.length === 0 ? 'its entities run nothing that is configured\n' : texts.join('\n')
  )
}

function showText(shown: Show): string {
  const colour = shown.state === 'running' ? 'green' : shown.state === 'degraded' ? 'red' : 'yellow'
  const title = `${emphasis('bold', shown.name)} is ${emphasis(colour, shown.state)}, version ${shown.version}, owned by ${shown.owner}, signed until ${shown.expiresAt.slice(0, 10)}\n${shown.id}\nowner key ${shown.ownerKey}\n`
  const stale =
    shown.stale.length === 0
      ? ''
      : `no answer from ${shown.stale.join(', ')}: what only they know is not shown\n`
  const lost = shown.lost === null ? '' : `${shown.lost}\n`
  const lans = table(
    ['vlan', 'subnet', 'vswitch', 'standby', 'term', 'ports'],
    shown.lans.map(({ name, subnet, ipv6, vswitch, ports }) => [
      name,
      [subnet ?? [], ipv6 ?? []].flat().join(' '),
      vswitch.active,
      vswitch.standby,
      vswitch.term,
      ports.length
    ])
  )
  const entities = table(
    ['entity', 'kind', 'host', 'else', 'state', 'nic', 'vlan', 'address', 'mac'],
    shown.entities.flatMap((entity) => {
      const others = entity.hosts.filter((host) => host !== entity.host).join(' ')
      const own = [entity.name, entity.kind, entity.host, others, entity.state]
      const nics = entity.nics.length === 0 ? [null] : entity.nics
      return nics.map((nic, place) => [
        ...(place === 0 ? own : ['', '', '', '', '']),
        ...(nic === null ? [null, null, null, null] : [nic.name, nic.lan, nic.ips.join(' '), nic.mac])
      ])
    })
  )
  const reasons = [...shown.entities, ...shown.jetways]
    .filter(({ reason }) => reason !== '')
    .map(({ name, reason }) => `${name}: ${reason}\n`)
  const guests = [
    ...shown.offers.map(({ lan, to }) => `${lan} is offered to the owner of ${to}\n`),
    ...shown.entities.flatMap(({ name, by }) => (by === null ? [] : [`${name} is of ${by}, by an offer\n`]))
  ]
  const jetways = table(
    ['jetway', 'vlan', 'host', 'mode', 'address', 'state'],
    shown.jetways.map(({ name, lan, host, mode, bridge, ip, state }) => [
      name,
      lan,
      host,
      bridge === null ? mode : `${mode} ${bridge}`,
      ip,
      state
    ])
  )
  if (shown.lans.length === 0 && shown.entities.length === 0)
    return `${title}on ${shown.hosts.join(', ')}; what is in it is known there only\n${stale}`
  const doors = shown.jetways.length === 0 ? [] : ['\n', jetways]
  return [title, lost, stale, '\n', lans, '\n', entities, ...doors, ...guests, ...reasons].join('')
}
