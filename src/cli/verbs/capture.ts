import { type FileHandle, open } from 'node:fs/promises'
import { once } from 'node:events'
import { buildCommand, type Command } from '@stricli/core'
import { ViolinError } from '#core/errors.ts'
import type { Context } from '../context.ts'
import { captureTarget, runCapture, sayCounts } from '../capture.ts'
import { parseTarget } from '../session.ts'
import { entityArgument, lanArgument } from './common.ts'

interface Flags {
  readonly write?: string
}

export const capture: Command<Context> = buildCommand<Flags, [target: string], Context>({
  docs: {
    brief: 'Capture frames of a vNIC or a vLAN, until Ctrl-C',
    customUsage: ['NAME/ENTITY:NIC [-w FILE]', 'NAME/LAN [-w FILE]'],
    fullDescription:
      'pcapng with nanosecond stamps: of a vNIC all that its machine sends and gets, of a vLAN each frame once, at the vNIC by which it came. For its owner. violin capture NAME/LAN -w - | wireshark -k -i -'
  },
  parameters: {
    flags: {
      write: {
        kind: 'parsed',
        parse: String,
        optional: true,
        placeholder: 'FILE',
        brief: 'Where to; - or left out: standard output'
      }
    },
    aliases: { w: 'write' },
    positional: {
      kind: 'tuple',
      parameters: [
        {
          ...entityArgument,
          placeholder: 'NAME/ENTITY:NIC',
          brief: 'A vNIC, or a vLAN as NAME/LAN',
          async proposeCompletions() {
            const proposed = await Promise.all([
              entityArgument.proposeCompletions.call(this),
              lanArgument.proposeCompletions.call(this)
            ])
            return proposed.flat()
          }
        }
      ]
    }
  },
  async func({ write = '-' }, target) {
    if (write === '-' && process.stdout.isTTY)
      throw new ViolinError(
        'usage',
        'a capture is not for a terminal',
        `name a file, or pipe it: violin capture ${target} -w FILE`
      )
    const { violin, entity: part } = parseTarget(target)
    const show = await this.service.show({ name: violin, here: true })
    const what = captureTarget(show, part)
    const end = new AbortController()
    const stop = new AbortController()
    // The second time is for who does not want to wait.
    const interrupted = (): void => (end.signal.aborted ? stop.abort() : end.abort())
    process.on('SIGINT', interrupted).on('SIGTERM', interrupted).on('SIGHUP', interrupted)
    const file = write === '-' ? null : await openFile(write)
    try {
      const counts = await runCapture(this.service, show, what, {
        write: file === null ? toStandardOutput : (bytes) => append(file, write, bytes),
        begun: () => tell(`capturing ${target}; Ctrl-C ends`),
        warn: tell,
        end: end.signal,
        stop: stop.signal
      })
      tell(`${target}: ${sayCounts(counts)}`)
    } finally {
      process.off('SIGINT', interrupted).off('SIGTERM', interrupted).off('SIGHUP', interrupted)
      await file?.close()
    }
  }
})

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'w')
  } catch (error: unknown) {
    throw cannotWrite(path, error)
  }
}

async function append(file: FileHandle, path: string, bytes: Uint8Array): Promise<void> {
  try {
    await file.appendFile(bytes)
  } catch (error: unknown) {
    throw cannotWrite(path, error)
  }
}

function cannotWrite(path: string, cause: unknown): ViolinError {
  return new ViolinError(
    'refused',
    `${path} cannot be written: ${(cause as Error).message}`,
    'name another file',
    { cause }
  )
}

async function toStandardOutput(bytes: Uint8Array): Promise<void> {
  if (!process.stdout.write(bytes)) await once(process.stdout, 'drain')
}

function tell(text: string): void {
  process.stderr.write(`${text}\n`)
}
