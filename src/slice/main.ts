/** The slice's program: one process per VIOLIN and host, started by a daemon. */
import { startNetns } from './machines/netns/netns.ts'
import { startTap } from './machines/tap.ts'
import { startUml } from './machines/uml/uml.ts'
import { runSlice } from './run.ts'

await runSlice({ machines: { netns: startNetns, uml: startUml, tap: startTap } })
