/** Every example plays to its end by its one command, and leaves nothing. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { test } from 'node:test'
import { routerImage } from '../images/router-image.ts'

const folder = fileURLToPath(new URL('../../examples/', import.meta.url))
await routerImage()

/** What each shows, besides coming to its end. */
const shown: Readonly<Record<string, RegExp>> = {
  anycast: /this is near\n(.*\n)*near dies:\n(.*\n)*this is far\n/,
  gateway: /you are 10\.0\.0\.254\n(.*\n)*nobody answers from inside\n/,
  pim: /near heard:\n.*KBytes.*\nfar heard:\n.*KBytes/,
  ring: /longest silence: \d+ ms\n/
}

for (const name of readdirSync(folder).filter((one) => existsSync(`${folder}${one}/play.sh`)))
  test(`the example ${name} plays to its end`, async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [`${folder}play.ts`, name])
    assert.match(stdout, shown[name] as RegExp)
  })
