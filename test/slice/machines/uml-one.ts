/** Starts one machine, asks it who it is, and ends it: run by a test as another user. */
import { makeWorld, run } from './uml-world.ts'

using world = await makeWorld()
const guest = await world.start({})
await guest.until('running')
process.stdout.write((await run(guest.machine, ['id'])).stdout)
await guest.machine.stop()
process.stdout.write('stopped\n')
