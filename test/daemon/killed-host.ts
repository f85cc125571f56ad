/** The control plane of one host in a process of its own, which a test can kill or freeze. Argument: its folder. */
import { startHost } from './hosts.ts'

const [dir] = process.argv.slice(2) as [string]
const { mesh } = await startHost(dir)
process.stdout.write(`${mesh.self}\n`)
