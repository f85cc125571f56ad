/** The worker that serves the machines' consoles: one for all of a process, while there are machines. */
import { type ConsoleDevice, Consoles } from '../../vhost/consoles.ts'

export interface HeldConsoles {
  /** Serves one machine's console; takes the listening socket over. */
  attach(listenFd: number, options: { readonly maxPorts: number }): ConsoleDevice
  /** To be called once; the last ends the worker. */
  release(): Promise<void>
}

let shared: Promise<Consoles> | null = null
let holders = 0

/** Starts the worker for the first who asks. */
export async function holdConsoles(): Promise<HeldConsoles> {
  holders++
  shared ??= Consoles.start()
  try {
    const consoles = await shared
    return { attach: (listenFd, options) => consoles.attach(listenFd, options), release }
  } catch (error: unknown) {
    await release()
    throw error
  }
}

async function release(): Promise<void> {
  if (--holders > 0) return
  const last = shared
  shared = null
  // One that never started has told those who waited for it.
  const consoles = await last?.catch(() => null)
  await consoles?.stop()
}
