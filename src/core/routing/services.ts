/**
 * What runs in an entity besides its script: files made from the topology's words, and a script that starts
 * what the files are for. One rule for both, whoever wrote the file: /etc/frr/frr.conf is run by FRR's
 * daemons, /etc/nftables.conf is loaded, /etc/dnsmasq.conf is served. Pure.
 */
import type { EntityFile, Spec, SpecEntity } from '../spec.ts'
import { dnsmasqFiles, type MacOf } from './dnsmasq.ts'
import { frrConf, frrDaemons } from './frr.ts'
import { multicast6Script } from './multicast6.ts'
import { natCommands, natRules } from './nat.ts'
import {
  clickPath,
  dnsmasqPath,
  firewallPath,
  frrPath,
  multicast6Path,
  natPath,
  resolvPath,
  rulesPath
} from './paths.ts'
import { resolverConf } from './resolver.ts'
import { rulesScript } from './rules.ts'

const vtyshPath = '/etc/frr/vtysh.conf'
/** One file for all daemons, and no password for whoever is inside. */
const vtyshConf = 'service integrated-vtysh-config\nusername root nopassword\n'

/** KiB of the last that a machine's programs said, for `logread`. */
const logKiB = 256
/** Before a program that ended is started again: one that cannot run takes little of a processor. */
const clickAgainSeconds = 1

/** Of its complaints the first, with the line of the user's file: the others often follow from it. */
const firewallStart = `said=$(nft -f ${firewallPath} 2>&1) || { echo "$said" | head -n 2; exit 1; }`

/** What one entity runs. */
export interface Services {
  /** Files made from the topology; one that the topology names itself stands instead. */
  readonly files: readonly EntityFile[]
  /** A shell script, run when the network is set and the files are laid; empty: nothing to start. */
  readonly start: string
}

export function servicesOf(spec: Spec, entity: SpecEntity, macOf: MacOf): Services {
  const conf = frrConf(spec, entity)
  const made: readonly (readonly [path: string, text: string | null])[] = [
    [frrPath, conf],
    [vtyshPath, conf !== null || entity.files.some(({ path }) => path === frrPath) ? vtyshConf : null],
    [natPath, natRules(entity)],
    [rulesPath, rulesScript(spec, entity)],
    [multicast6Path, multicast6Script(spec, entity)],
    ...dnsmasqFiles(spec, entity, macOf),
    [resolvPath, resolverConf(spec, entity)]
  ]
  const files = made.flatMap(([path, text]): EntityFile[] =>
    text === null || entity.files.some((file) => file.path === path)
      ? []
      : [{ path, mode: 0o644, data: encode(text) }]
  )
  return { files, start: startScript(entity, [...entity.files, ...files]) }
}

function startScript(entity: SpecEntity, files: readonly EntityFile[]): string {
  const conf = files.find(({ path }) => path === frrPath)
  const has = (path: string): boolean => files.some((file) => file.path === path)
  const lines = [
    // The user's rules first: they may begin by taking all others away.
    ...(has(firewallPath) ? [firewallStart] : []),
    ...(has(natPath) ? [`nft -f ${natPath}`] : []),
    ...natCommands(entity),
    ...(has(rulesPath) ? [`sh -e ${rulesPath}`] : []),
    ...(has(multicast6Path) ? [`sh -e ${multicast6Path}`] : []),
    ...(conf === undefined ? [] : frrStart(frrDaemons(decode(conf.data)))),
    ...(has(dnsmasqPath) ? [`dnsmasq -C ${dnsmasqPath}`] : []),
    ...(entity.click === undefined ? [] : clickStart(entity.click))
  ]
  return lines.length === 0 ? '' : ['set -e', ...lines, ''].join('\n')
}

/** A program that is started again whenever it ends. What it says is kept in the machine's log, which has a bound. */
function clickStart(program: string): string[] {
  const again = `${program} ${clickPath}; echo "it ended with status $?, and begins again"; sleep ${clickAgainSeconds}`
  return [
    `[ -x ${program} ] || { echo "there is no program ${program}"; exit 1; }`,
    `syslogd -C${logKiB}`,
    `(set +e; while :; do ${again}; done 2>&1 | logger -t click) </dev/null >/dev/null 2>&1 &`
  ]
}

/** FRR's daemons, and then the configuration of all of them. */
function frrStart(daemons: readonly string[]): string[] {
  return [
    'mkdir -p /run/frr',
    // A namespace entity has no user but root, and a machine is the router's alone.
    `for daemon in ${daemons.join(' ')}; do /usr/lib/frr/$daemon -d -u root -g root; done`,
    'vtysh -b'
  ]
}

/** Texts of the topology are ASCII, but a user's file may be anything. */
function decode(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return text
}

function encode(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0) & 0x7f)
}
