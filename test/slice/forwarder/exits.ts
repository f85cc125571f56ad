/**
 * A program that exits with status 42 while its forwarder is blocked.
 */
import type { HostKey } from '#core/ids.ts'
import { startForwarder } from '#slice/forwarder/forwarder.ts'

startForwarder({
  self: '0011223344556677' as HostKey,
  udpFd: -1,
  program: new URL('./fixed-role-worker.ts', import.meta.url),
  onFailed: (error) => {
    throw error
  },
  onReport: (report) => {
    if (report.kind === 'ready') process.exit(42)
  }
})
