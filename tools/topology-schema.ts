/** Writes config/topology.schema.json, which editors read, from the shape by which files are checked. */
import { writeFileSync } from 'node:fs'
import { jsonSchema } from '#topology/schema.ts'

const path = new URL('../config/topology.schema.json', import.meta.url)
writeFileSync(path, `${JSON.stringify(jsonSchema(), null, 2)}\n`)
