/** The worker that serves the machines' consoles: one for all of a process, while there are machines. */
import { type ConsoleDevice, Consoles } from '../../vhost/consoles.ts'

export interface HeldConsoles {
  /** Serves one machine's console; takes the listening socket over. */
  attach(listenFd: number, options: { readonly maxPorts: number }): ConsoleDevice
  /** To be called once; the last ends the worker. */
  release(): Promise<void>
}

let shared: Consoles | null = null
let holders = 0

/** Starts the worker for the first who asks. */
export function holdConsoles(): HeldConsoles {
  const consoles = (shared ??= Consoles.start())
  holders++
  return {
    attach: (listenFd, options) => consoles.attach(listenFd, options),
    release: async () => {
      if (--holders > 0) return
      shared = null
      await consoles.stop()
    }
  }
}
