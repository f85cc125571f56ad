/** Every example plays to its end by its one command, and leaves nothing. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { test } from 'node:test'
import { hostImage } from '../../examples/recursion/image.ts'
import { routerImage } from '../images/router-image.ts'

const folder = fileURLToPath(new URL('../../examples/', import.meta.url))
await routerImage()
hostImage()

/** What each shows, besides coming to its end. */
const shown: Readonly<Record<string, RegExp>> = {
  anycast: /this is near\n(.*\n)*near dies:\n(.*\n)*this is far\n/,
  gateway: /you are 10\.0\.0\.254\n(.*\n)*nobody answers from inside\n/,
  pim: /near heard:\n.*KBytes.*\nfar heard:\n.*KBytes/,
  pubsub:
    /farmer: weather of station: \d\d came(.*\n)+reader: news of agency: \d\d came(.*\n)+editor: (weather|news) of .*\neditor: (news|weather) of /,
  ring: /longest silence: \d+ ms\n/,
  // What waits for the way to be found may be lost; what is shown is one of the last pictures.
  streaming:
    /monitor: [78]\d\d came(.*\n)+tv1: [78]\d\d came(.*\n)+tv2: [78]\d\d came(.*\n)+tv3: [78]\d\d came.*; [45]\d pictures whole\n(@{6}%{6}\*{6}\+{6}={6}-{6}\.{6} *\n){3}/
}

for (const name of readdirSync(folder).filter((one) => existsSync(`${folder}${one}/play.sh`)))
  test(`the example ${name} plays to its end`, async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [`${folder}play.ts`, name])
    assert.match(stdout, shown[name] as RegExp)
  })
