/** Runs one section of the report and sends what it measured to the process that asked. */
import { sections } from './sections/list.ts'

const [name, long] = process.argv.slice(2)
const section = sections.find((one) => one.name === name)
if (typeof section?.measure !== 'function' || process.send === undefined)
  throw new Error(`section ${name} for nobody`)
const result = await section.measure(long === 'long')
process.send(result, () => process.disconnect())
