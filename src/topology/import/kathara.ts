/**
 * A Kathará (or Netkit) lab: `lab.conf` plugs devices into collision domains, `NAME.startup` runs in the
 * device NAME, and what lies in the folder NAME is laid over its root.
 */
import { ViolinError } from '#core/errors.ts'
import { isRouting, memoryMiBOf, whyNotImage } from './container.ts'
import type {
  Folder,
  ForeignCommand,
  ForeignFile,
  ForeignLab,
  ForeignNic,
  ForeignNode,
  Notes,
  Place
} from './foreign.ts'

const confName = 'lab.conf'
/** Devices and interfaces that a lab may name: more is no lab. */
const maxDevices = 1_000
const maxInterface = 999

interface Device {
  readonly name: string
  readonly place: Place
  readonly nics: Map<number, ForeignNic>
  readonly commands: ForeignCommand[]
  readonly env: Record<string, string>
  memoryMiB: number | null
  /** Its image is one of those that route. */
  routes: boolean
}

/** Reads a lab from its folder; `label` is what messages call the folder. Throws `topology-invalid`. */
export function readKathara(folder: Folder, label: string, notes: Notes): ForeignLab {
  const devices = new Map<string, Device>()
  const at = (file: string, line: number): Place => ({ file: `${label}/${file}`, line })
  let name = label.split('/').findLast((step) => step !== '' && step !== '.' && step !== '..') ?? 'lab'
  for (const [place, line] of linesOf(folder, confName).entries()) {
    const where = at(confName, place + 1)
    const text = line.trim()
    if (text === '' || text.startsWith('#')) continue
    const meta = /^LAB_([A-Z]+)\s*=\s*(.*)$/.exec(text)
    if (meta !== null) {
      if (meta[1] === 'NAME') name = unquote(meta[2] as string) || name
      else if (!['DESCRIPTION', 'VERSION', 'AUTHOR', 'EMAIL', 'WEB'].includes(meta[1] as string))
        notes.add(where, `LAB_${meta[1]} is not taken over`)
      continue
    }
    const entry = /^([\w.-]{1,64})\s*\[\s*["']?(\w{1,32})["']?\s*\]\s*=\s*(.*)$/.exec(text)
    if (entry === null) {
      notes.add(where, `is no line of a lab.conf: ${JSON.stringify(text.slice(0, 100))}`)
      continue
    }
    const device = deviceOf(devices, entry[1] as string, where)
    takeArgument(device, entry[2] as string, unquote(entry[3] as string), where, notes)
  }
  if (devices.size === 0)
    throw new ViolinError(
      'topology-invalid',
      `${label}/${confName} names no device`,
      'write lines as `pc1[0]="A"`'
    )
  const files = filesOf(folder, devices, at, notes)
  const nodes = Array.from(devices.values(), (device): ForeignNode => ({
    name: device.name,
    place: device.place,
    kind: device.routes ? 'router' : null,
    nics: [...device.nics].toSorted(([a], [b]) => a - b).map(([, nic]) => nic),
    commands: [
      ...commandsOf(folder, 'shared.startup', at),
      ...commandsOf(folder, `${device.name}.startup`, at),
      ...device.commands
    ],
    env: device.env,
    memoryMiB: device.memoryMiB,
    files: files.get(device.name) ?? []
  }))
  return { name, title: `the Kathará lab ${name}`, nodes }
}

function deviceOf(devices: Map<string, Device>, name: string, place: Place): Device {
  const known = devices.get(name)
  if (known !== undefined) return known
  if (devices.size >= maxDevices)
    throw new ViolinError(
      'topology-invalid',
      `${place.file}:${place.line}: more than ${maxDevices} devices`,
      'make several labs of it'
    )
  const device: Device = {
    name,
    place,
    nics: new Map(),
    commands: [],
    env: {},
    memoryMiB: null,
    routes: false
  }
  devices.set(name, device)
  return device
}

function takeArgument(device: Device, argument: string, value: string, place: Place, notes: Notes): void {
  const leave = (why: string): void =>
    notes.add(place, `${device.name}[${argument}] is not taken over: ${why}`)
  if (/^\d+$/.test(argument)) {
    const [domain = '', mac] = value.split('/')
    const number = Number(argument)
    if (domain === '' || number > maxInterface) return leave('it names no collision domain')
    if (mac !== undefined)
      notes.add(
        place,
        `the MAC address ${mac.slice(0, 40)} is not taken over: vNICs have addresses of their own`
      )
    if (device.nics.has(number)) return leave('the interface stands twice')
    device.nics.set(number, { name: `eth${number}`, network: domain, place })
    return
  }
  switch (argument) {
    case 'mem': {
      const memory = memoryMiBOf(value, 'mebibytes')
      if (memory === null) return leave('it is no size')
      device.memoryMiB = memory
      return
    }
    case 'env': {
      const [key, ...rest] = value.split('=')
      if (!/^[A-Za-z]\w*$/.test(key ?? '')) return leave('it is no variable')
      device.env[key as string] = rest.join('=')
      return
    }
    case 'exec':
      device.commands.push({ text: value, place })
      return
    case 'sysctl':
      if (!/^[\w./=-]+$/.test(value)) return leave('it is no setting')
      device.commands.push({ text: `sysctl -w ${value}`, place })
      return
    case 'image':
      device.routes = isRouting(value)
      return leave(whyNotImage(value))
    case 'bridged':
    case 'port':
      return leave('a VIOLIN meets the real network at a jetway')
    default:
      return leave('VIOLIN has no such setting')
  }
}

/** What lies over each device's root; what belongs to none is noted. */
function filesOf(
  folder: Folder,
  devices: ReadonlyMap<string, Device>,
  at: (file: string, line: number) => Place,
  notes: Notes
): Map<string, ForeignFile[]> {
  const files = new Map<string, ForeignFile[]>()
  for (const { path, why } of folder.skipped) notes.add(at(path, 0), `is not taken over: ${why}`)
  for (const path of folder.files) {
    const [top, ...rest] = path.split('/')
    const place = at(path, 0)
    if (rest.length > 0 && top === 'shared') {
      notes.add(place, 'is not taken over: entities share no folder')
      continue
    }
    if (rest.length > 0 && devices.has(top as string)) {
      const laid = files.get(top as string) ?? []
      files.set(top as string, laid)
      laid.push({ path: `/${rest.join('/')}`, place, ...readFile(folder, path) })
      continue
    }
    const [base, ending] = [path.replace(/\.\w+$/, ''), path.slice(path.lastIndexOf('.') + 1)]
    if (ending === 'startup' && (devices.has(base) || base === 'shared')) continue
    if (ending === 'startup' || ending === 'shutdown')
      notes.add(
        place,
        devices.has(base) || base === 'shared'
          ? 'is not taken over: entities run nothing when they stop'
          : `is not taken over: lab.conf has no device ${base}`
      )
    else if (path === 'lab.dep') notes.add(place, 'is not taken over: entities start all at once')
    else if (rest.length > 0) notes.add(place, `is not taken over: lab.conf has no device ${top}`)
  }
  return files
}

function readFile(folder: Folder, path: string): { readonly data: Uint8Array; readonly mode: number } {
  try {
    return folder.read(path)
  } catch (error: unknown) {
    throw new ViolinError(
      'topology-invalid',
      `${path} cannot be read: ${(error as Error).message}`,
      'mend or remove it',
      { cause: error }
    )
  }
}

function commandsOf(
  folder: Folder,
  path: string,
  at: (file: string, line: number) => Place
): ForeignCommand[] {
  if (!folder.files.includes(path)) return []
  return linesOf(folder, path).map((text, place) => ({ text, place: at(path, place + 1) }))
}

function linesOf(folder: Folder, path: string): string[] {
  return new TextDecoder().decode(readFile(folder, path).data).split(/\r?\n/)
}

/** The text between quotes, or up to a comment. */
function unquote(text: string): string {
  const quoted = /^(["'])(.*?)\1/.exec(text)
  return (quoted?.[2] ?? text.replace(/\s#.*$/, '')).trim()
}
