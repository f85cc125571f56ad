import { buildCommand, type Command } from '@stricli/core'
import { ViolinError } from '#core/errors.ts'
import { encodeSessionFrame, maxSessionPayload, sessionFrame } from '#core/session.ts'
import type { Context } from '../context.ts'
import { drain, parseTarget, resize } from '../session.ts'
import { entityArgument, type NoFlags } from './common.ts'

/** Ctrl-] */
const leaveKey = 0x1d

export const consoleVerb: Command<Context> = buildCommand<NoFlags, [target: string], Context>({
  docs: { brief: 'Open a terminal in an entity; Ctrl-] leaves' },
  parameters: { flags: {}, positional: { kind: 'tuple', parameters: [entityArgument] } },
  async func(_flags, target) {
    const { stdin, stdout } = process
    if (!stdin.isTTY || !stdout.isTTY) {
      throw new ViolinError('usage', 'a console wants a terminal', 'use violin exec for scripts')
    }
    const terminal = sizeOf(stdout)
    const stream = await this.service.session({ ...parseTarget(target), argv: [], terminal })
    const resized = (): void => resize(stream, sizeOf(stdout))
    let left = false
    const typed = (keys: Buffer): void => {
      const end = keys.indexOf(leaveKey)
      const sent = end < 0 ? keys : keys.subarray(0, end)
      for (let at = 0; at < sent.length; at += maxSessionPayload) {
        stream.write(encodeSessionFrame(sessionFrame.stdin, sent.subarray(at, at + maxSessionPayload)))
      }
      if (end < 0) return
      left = true
      stream.destroy()
    }
    process.stderr.write(`${target}; Ctrl-] leaves\n`)
    stdin.setRawMode(true)
    stdin.on('data', typed)
    stdout.on('resize', resized)
    try {
      process.exitCode = await drain(stream, { output: stdout, errors: stdout })
    } catch (error: unknown) {
      if (!left) throw error
    } finally {
      stdin.setRawMode(false)
      stdin.off('data', typed)
      stdin.pause()
      stdout.off('resize', resized)
    }
  }
})

/** Some terminals do not know their size. */
function sizeOf(terminal: NodeJS.WriteStream): { readonly rows: number; readonly columns: number } {
  return { rows: terminal.rows || 24, columns: terminal.columns || 80 }
}
