/**
 * Plays an example on overlay hosts of this machine, from nothing, and leaves nothing:
 *
 *     npm run example -- NAME
 *
 * NAME is a folder here: its `net.violin.yaml` is applied, and its `play.sh` run as a user on the first host would.
 * There are two hosts, and those besides that the file names (`on:`). Needs root, the images' packages (`bin/setup tests`) and the
 * bundle (`npm run build`).
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Lab } from '#lab/lab.ts'
import { giveRouterImage } from '../test/images/router-image.ts'
import { give, hostImage } from './recursion/image.ts'

const folder = fileURLToPath(new URL('.', import.meta.url))
const delayMs = 0.25

async function play(name: string): Promise<number> {
  const text = readFileSync(join(folder, name, 'net.violin.yaml'), 'utf8')
  const names = new Set(['p1', 'p2', ...[...text.matchAll(/\bon: (\w+)/g)].map(([, host]) => host as string)])
  // Its programs need Node, which only that image has.
  const image = /\bimage: host\b/.test(text) ? hostImage() : null
  await using lab = await Lab.create([...names].toSorted().map((host) => ({ name: host, delayMs })))
  for (const host of lab.hosts) {
    await giveRouterImage(host.folder)
    if (image !== null) give(image, host.folder)
  }
  await lab.found()
  const home = lab.host('p1')
  const path = [join(folder, '../bin'), process.env['PATH'] ?? ''].join(delimiter)
  const script = 'say() { echo "\\$ $*"; "$@"; echo; }; . ./play.sh'
  const child = home.spawn(['/bin/sh', '-euc', script], { cwd: join(folder, name), env: { PATH: path } })
  child.stdin?.end()
  child.stdout?.pipe(process.stdout)
  child.stderr?.pipe(process.stderr)
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  child.once('error', reject)
  child.once('close', (status) => resolve(status ?? 1))
  // Here, so that the lab stays until then.
  return await promise
}

const [name = ''] = process.argv.slice(2)
const known = readdirSync(folder).filter((one) => existsSync(join(folder, one, 'play.sh')))
if (known.includes(name)) process.exitCode = await play(name)
else {
  process.stderr.write(`npm run example -- NAME, one of: ${known.join(', ')}\n`)
  process.exitCode = 2
}
