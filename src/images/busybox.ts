/** The busybox of this host, which guests are made of: one file that is many commands. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { ViolinError } from '#core/errors.ts'

export const busyboxPath = '/usr/bin/busybox'

/** Its commands, in order. Throws ViolinError `tool-missing`. */
export async function busyboxCommands(): Promise<string[]> {
  const { stdout } = await promisify(execFile)(busyboxPath, ['--list']).catch((error: unknown) => {
    throw new ViolinError('tool-missing', `${busyboxPath} does not run`, 'apt-get install busybox-static', {
      cause: error
    })
  })
  return stdout
    .split('\n')
    .filter((name) => /^[\w[.-]+$/.test(name) && name !== 'busybox')
    .toSorted()
}
