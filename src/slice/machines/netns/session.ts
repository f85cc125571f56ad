/**
 * One `exec` or `console` session with a namespace entity: session frames to and from a program inside.
 */
import type { ChildProcess } from 'node:child_process'
import { closeSync } from 'node:fs'
import type { Duplex, Readable } from 'node:stream'
import { ReadStream } from 'node:tty'
import { errorData } from '#core/errors.ts'
import {
  encodeSessionFrame,
  maxSessionPayload,
  SessionDecoder,
  sessionFrame,
  type SessionFrame,
  type SessionRequest
} from '#core/session.ts'
import { openPseudoterminal, resizeTerminal } from '#syscalls/pty.ts'
import { hangUp, spawnInside } from './inside.ts'
import type { Jail } from './jail.ts'

/** A program whose caller went gets this long to end after SIGHUP. */
const hangUpMs = 2_000
/** Output that comes this long after the program's end is still passed on: its children may hold the pipes for ever. */
const drainMs = 200

/** Serves a session; the stream ends with `exit`, or with `failed` when the program could not be started. */
export function serveSession(
  jail: Jail,
  request: SessionRequest,
  env: Record<string, string>,
  stream: Duplex
): void {
  stream.on('error', () => stream.destroy())
  try {
    const argv = request.argv.length > 0 ? request.argv : ['/bin/sh', '-l']
    if (request.terminal === undefined) serveWithPipes(spawnInside(jail, argv, env, 'pipe'), stream)
    else serveWithTerminal(jail, argv, request.terminal, env, stream)
  } catch (error: unknown) {
    failSession(stream, error)
  }
}

/** Ends a stream with the reason why there is no session. */
export function failSession(stream: Duplex, error: unknown): void {
  stream.end(encodeSessionFrame(sessionFrame.failed, Buffer.from(JSON.stringify(errorData(error)))))
}

function serveWithPipes(child: ChildProcess, stream: Duplex): void {
  const { stdin, stdout, stderr } = child
  if (stdin === null || stdout === null || stderr === null) throw new Error('a session needs its pipes')
  stdin.on('error', () => undefined)
  stdin.on('drain', () => stream.resume())
  const outputs = [forward(stdout, sessionFrame.stdout, stream), forward(stderr, sessionFrame.stderr, stream)]
  readFrames(stream, child, ({ type, payload }) => {
    if (type === sessionFrame.stdin && !stdin.write(Buffer.from(payload))) stream.pause()
    if (type === sessionFrame.stdinEnd) stdin.end()
  })
  endWith(child, stream, Promise.all(outputs), () => {
    stdout.destroy()
    stderr.destroy()
  })
}

function serveWithTerminal(
  jail: Jail,
  argv: readonly string[],
  size: { readonly rows: number; readonly columns: number },
  env: Record<string, string>,
  stream: Duplex
): void {
  const { master, slave } = openPseudoterminal(jail.terminals)
  resizeTerminal(master, size.rows, size.columns)
  const terminal = new ReadStream(master)
  // Without a slave the kernel says EIO: that is the end of the output.
  terminal.on('error', () => terminal.destroy())
  // `setsid -c` makes the terminal the controlling one.
  const child = spawnInside(jail, [`${jail.tools}/setsid`, '-c', ...argv], env, [slave, slave, slave])
  closeSync(slave)
  terminal.on('drain', () => stream.resume())
  const output = forward(terminal, sessionFrame.stdout, stream)
  readFrames(stream, child, ({ type, payload }) => {
    if (terminal.destroyed) return
    if (type === sessionFrame.stdin && !terminal.write(Buffer.from(payload))) stream.pause()
    // Ctrl-D: what ends a terminal's input.
    if (type === sessionFrame.stdinEnd) terminal.write(Buffer.of(4))
    if (type === sessionFrame.resize && payload.length >= 4) {
      const view = Buffer.from(payload)
      resizeTerminal(master, view.readUInt16BE(0), view.readUInt16BE(2))
    }
  })
  endWith(child, stream, output, () => terminal.destroy())
}

/** Passes output on as frames, no faster than the caller takes it; resolves at its end. */
function forward(output: Readable, type: number, stream: Duplex): Promise<void> {
  output.on('data', (chunk: Buffer) => {
    if (stream.destroyed || stream.writableEnded) return
    let room = true
    for (let at = 0; at < chunk.length; at += maxSessionPayload)
      room = stream.write(encodeSessionFrame(type, chunk.subarray(at, at + maxSessionPayload)))
    if (!room) output.pause()
  })
  stream.on('drain', () => output.resume())
  return new Promise((resolve) => {
    output.once('close', resolve)
    output.once('end', resolve)
  })
}

function readFrames(stream: Duplex, child: ChildProcess, take: (frame: SessionFrame) => void): void {
  const decoder = new SessionDecoder()
  stream.on('data', (chunk: Uint8Array) => {
    try {
      for (const frame of decoder.push(chunk)) take(frame)
    } catch (error: unknown) {
      stream.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  })
  // A caller that went takes its program along.
  const leave = (): void => {
    hangUp(child, 'SIGHUP')
    const timer = setTimeout(() => hangUp(child, 'SIGKILL'), hangUpMs)
    child.once('exit', () => clearTimeout(timer))
  }
  stream.once('end', leave)
  stream.once('close', leave)
}

function endWith(child: ChildProcess, stream: Duplex, drained: Promise<unknown>, close: () => void): void {
  const end = (status: number): void => {
    close()
    const payload = Buffer.alloc(4)
    payload.writeInt32BE(status)
    if (!stream.destroyed) stream.end(encodeSessionFrame(sessionFrame.exit, payload))
  }
  child.once('error', (error) => {
    failSession(stream, error)
    close()
  })
  child.once('exit', (status, signal) => {
    const timer = setTimeout(close, drainMs)
    void drained.then(() => {
      clearTimeout(timer)
      return end(status ?? (signal === 'SIGKILL' ? 137 : 129))
    })
  })
}
