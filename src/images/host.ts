/**
 * The image `host`: machines that are overlay hosts themselves, for a VIOLIN inside of a VIOLIN. What routers have,
 * and this very program with the Node that runs it and the jails of its slices.
 */
import { existsSync } from 'node:fs'
import { copyFile, cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ViolinError } from '#core/errors.ts'
import type { DebianImage } from './debian.ts'
import { router } from './router.ts'

/** Where the program lies in the image. */
const programFolder = 'usr/lib/violin/program'
/** Modules with machine code, which the bundle leaves in node_modules. */
const native = ['koffi', 'classic-level', '@koromix/koffi-linux-x64']
/** What of a module is read when it runs. */
const readAtRun: ReadonlySet<string> = new Set(['.js', '.cjs', '.mjs', '.json', '.node'])
/** Machine code for others than Debian's C library on this processor, sources, tests. */
const leftOut = /musl|\/(deps|doc|vendor|test|prebuilds\/(?!linux-x64))(\/|$)/

export const host: DebianImage = {
  name: 'host',
  packages: [...router.packages, 'bubblewrap', 'coreutils', 'util-linux', 'libstdc++6', 'ca-certificates'],
  async add(root) {
    const program = join(root, programFolder)
    await mkdir(program, { recursive: true })
    await copyFile(process.execPath, join(root, 'usr/bin/node'))
    const bundle = bundleFolder()
    await cp(bundle, join(program, 'dist'), { recursive: true })
    const above = dirname(bundle)
    await copyFile(join(above, 'package.json'), join(program, 'package.json'))
    for (const module of await withDependencies(join(above, 'node_modules'))) {
      const source = join(above, 'node_modules', module)
      await cp(source, join(program, 'node_modules', module), {
        recursive: true,
        filter: (path) => !leftOut.test(path.slice(source.length)) && isRead(path)
      })
    }
    const script = `#!/bin/sh\nexec node /${programFolder}/dist/violin.js "$@"\n`
    await writeFile(join(root, 'usr/bin/violin'), script, { mode: 0o755 })
  }
}

/** The bundle: this file's own folder, or the one that is built from the source. Throws `tool-missing`. */
function bundleFolder(): string {
  const source = import.meta.url.endsWith('.ts')
  const folder = fileURLToPath(new URL(source ? '../../dist' : '.', import.meta.url))
  if (existsSync(join(folder, 'violin.js'))) return folder
  throw new ViolinError('tool-missing', `${folder} has no bundle of this program`, 'npm run build')
}

/** The native modules, and all that they ask for. */
async function withDependencies(folder: string): Promise<ReadonlySet<string>> {
  const found = new Set<string>()
  const waiting = [...native]
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (found.has(name)) continue
    found.add(name)
    const text = await readFile(join(folder, name, 'package.json'), 'utf8')
    const { dependencies = {} } = JSON.parse(text) as { dependencies?: Readonly<Record<string, string>> }
    waiting.push(...Object.keys(dependencies))
  }
  return found
}

function isRead(path: string): boolean {
  const extension = extname(path)
  // Folders have none, mostly; those that look otherwise would only miss what is in them.
  return extension === '' || readAtRun.has(extension)
}
