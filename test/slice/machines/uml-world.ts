/** Real machines for tests: made in a folder of their own, gone with it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Duplex, PassThrough } from 'node:stream'
import type { Mac, ViolinId } from '#core/ids.ts'
import { encodeSessionFrame, SessionDecoder, sessionFrame } from '#core/session.ts'
import type { SpecEntity } from '#core/spec.ts'
import { buildTiny } from '#images/tiny.ts'
import type { PortSource } from '#slice/forwarder/contract.ts'
import type { Machine, StartMachine } from '#slice/machines/contract.ts'
import { startUml } from '#slice/machines/uml/uml.ts'
import { specEntity } from '../../core/topologies.ts'

/** What a guest does not say by then it never will. */
const silentMs = 20_000

export const violin: ViolinId = 'ab'.repeat(32) as ViolinId

export interface Guest extends AsyncDisposable {
  readonly machine: Machine
  readonly folder: string
  /** Each state that was told, with its reason. */
  readonly states: readonly (readonly [string, string])[]
  /** Resolves with the reason, once it is in the state. */
  until(state: string): Promise<string>
}

export interface World extends Disposable {
  readonly folder: string
  start(
    change: Partial<SpecEntity>,
    attach?: (nic: string, mac: Mac, source: PortSource) => void
  ): Promise<Guest>
}

/** A folder with the image `tiny`, in which machines can be started. */
export async function makeWorld(): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'violin-uml-'))
  const images = join(folder, 'images')
  await buildTiny(join(images, 'tiny'))
  return {
    folder,
    start: async (change, attach) => {
      const entity = specEntity('h1', { driver: 'uml', ...change })
      const own = join(folder, entity.name)
      await mkdir(own, { mode: 0o700 })
      return startGuest(startUml, entity, own, images, attach)
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true })
  }
}

function startGuest(
  start: StartMachine,
  entity: SpecEntity,
  folder: string,
  images: string,
  attach: (nic: string, mac: Mac, source: PortSource) => void = () => undefined
): Guest {
  const macs = new Map(
    entity.nics.map(({ name }) => [
      name,
      `02:00:00:00:00:${name.slice(-1).charCodeAt(0).toString(16)}` as Mac
    ])
  )
  const states: [string, string][] = []
  const waiting = new Set<() => void>()
  const machine = start({
    violin,
    entity,
    macs,
    names: [{ name: 'other', ip: '10.0.0.9' }],
    folder,
    images,
    attach: (nic, source) => attach(nic, macs.get(nic) as Mac, source),
    detach: () => undefined,
    tap: () => Promise.reject(new Error('a virtual machine has no TAP')),
    events: {
      up: () => undefined,
      state: (state, reason) => {
        states.push([state, reason])
        for (const look of [...waiting]) look()
      }
    }
  })
  const until = (wanted: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const last = states.at(-1)
        const found = states.find(([state]) => state === wanted)
        if (found !== undefined) resolve(found[1])
        else if (last?.[0] === 'failed') reject(new Error(last[1]))
        else return
        waiting.delete(look)
      }
      waiting.add(look)
      look()
    })
  return { machine, folder, states, until, [Symbol.asyncDispose]: () => machine.stop() }
}

/** A session as its caller has it. */
export interface Caller {
  readonly stream: Duplex
  /** Ends with the session: its output, and its exit status or what it failed with. */
  readonly done: Promise<Outcome>
  stdout(): string
  stdin(bytes: Uint8Array | string): Promise<void>
  end(): void
  resize(rows: number, columns: number): void
  /** Resolves when standard output holds this. */
  says(pattern: RegExp): Promise<RegExpExecArray>
  leave(): void
}

export interface Outcome {
  readonly stdout: Buffer
  readonly stderr: Buffer
  readonly status: number | null
  readonly failed: string | null
}

/** Opens a session. */
export function call(
  machine: Machine,
  argv: readonly string[],
  terminal?: { readonly rows: number; readonly columns: number }
): Caller {
  const [up, down] = [new PassThrough(), new PassThrough()]
  const far = Duplex.from({ readable: up, writable: down })
  const out: Buffer[] = []
  const err: Buffer[] = []
  let status: number | null = null
  let failed: string | null = null
  const decoder = new SessionDecoder()
  const looks = new Set<() => void>()
  const stdout = (): string => Buffer.concat(out).toString('latin1')
  const done = new Promise<Outcome>((resolve) => {
    down.on('data', (chunk: Buffer) => {
      for (const { type, payload } of decoder.push(chunk)) {
        const bytes = Buffer.from(payload)
        if (type === sessionFrame.stdout) out.push(bytes)
        if (type === sessionFrame.stderr) err.push(bytes)
        if (type === sessionFrame.exit) status = bytes.readInt32BE()
        if (type === sessionFrame.failed) failed = bytes.toString()
      }
      for (const look of [...looks]) look()
    })
    down.once('close', () => {
      for (const look of [...looks]) look()
      resolve({ stdout: Buffer.concat(out), stderr: Buffer.concat(err), status, failed })
    })
  })
  const request = { violin, entity: 'h1', argv, ...(terminal === undefined ? {} : { terminal }) }
  machine.session(request, far)
  const send = (type: number, bytes: Uint8Array): void => void up.write(encodeSessionFrame(type, bytes))
  return {
    stream: far,
    done,
    stdout,
    stdin: async (bytes) => {
      const all = Buffer.from(bytes as string)
      for (let at = 0; at < all.length; at += 65_536) {
        send(sessionFrame.stdin, all.subarray(at, at + 65_536))
        if (up.writableNeedDrain) await new Promise<void>((resolve) => up.once('drain', resolve))
      }
    },
    end: () => send(sessionFrame.stdinEnd, new Uint8Array(0)),
    resize: (rows, columns) =>
      send(sessionFrame.resize, Uint8Array.of(rows >> 8, rows & 255, columns >> 8, columns & 255)),
    says: (pattern) =>
      new Promise((resolve, reject) => {
        const fail = (): void =>
          reject(new Error(`it never said ${pattern}, but: ${JSON.stringify(stdout())}`))
        const timer = setTimeout(fail, silentMs)
        const look = (): void => {
          const match = pattern.exec(stdout())
          if (match === null && !down.closed) return
          clearTimeout(timer)
          looks.delete(look)
          if (match === null) fail()
          else resolve(match)
        }
        looks.add(look)
        look()
      }),
    leave: () => far.destroy()
  }
}

/** Runs a program to its end. */
export async function run(
  machine: Machine,
  argv: readonly string[],
  input: Uint8Array | string = ''
): Promise<Outcome> {
  const caller = call(machine, argv)
  await caller.stdin(input)
  caller.end()
  return caller.done
}
