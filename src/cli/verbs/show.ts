import { buildCommand, type Command } from '@stricli/core'
import type { Show } from '#api/contract.ts'
import type { Context } from '../context.ts'
import { emphasis, table } from '../print/table.ts'
import { type JsonFlag, jsonFlag, printJson, violinArgument } from './common.ts'

export const show: Command<Context> = buildCommand<JsonFlag, [name: string], Context>({
  docs: { brief: 'Show one VIOLIN: vLANs with their vSwitches, entities, vNICs' },
  parameters: { flags: jsonFlag, positional: { kind: 'tuple', parameters: [violinArgument] } },
  async func({ json }, name) {
    const shown = await this.service.show({ name })
    if (json === true) return printJson(shown)
    process.stdout.write(showText(shown))
  }
})

function showText(shown: Show): string {
  const colour = shown.state === 'running' ? 'green' : shown.state === 'degraded' ? 'red' : 'yellow'
  const title = `${emphasis('bold', shown.name)} is ${emphasis(colour, shown.state)}, version ${shown.version}, owned by ${shown.owner}, signed until ${shown.expiresAt.slice(0, 10)}\n${shown.id}\nowner key ${shown.ownerKey}\n`
  const stale =
    shown.stale.length === 0
      ? ''
      : `no answer from ${shown.stale.join(', ')}: what only they know is not shown\n`
  const twice = shown.signedTwice.map(
    ({ owner, at }) =>
      `signed twice: version ${shown.version} was also signed by ${owner}, at ${at}; that one lost\n`
  )
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
  const reasons = shown.entities
    .filter(({ reason }) => reason !== '')
    .map(({ name, reason }) => `${name}: ${reason}\n`)
  if (shown.lans.length === 0 && shown.entities.length === 0)
    return `${title}on ${shown.hosts.join(', ')}; what is in it is known there only\n${stale}`
  return [title, ...twice, stale, '\n', lans, '\n', entities, ...reasons].join('')
}
