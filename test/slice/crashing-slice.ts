/** A slice whose forwarding worker throws when a vLAN is taken away. */
import { startNetns } from '#slice/machines/netns/netns.ts'
import { runSlice } from '#slice/run.ts'

await runSlice({ machines: { netns: startNetns }, program: new URL('./crashing-worker.ts', import.meta.url) })
