/**
 * Makes what is shipped: one file a program in dist/, flat, so that each finds its siblings beside itself, and
 * the scripts of guests. Native modules stay in node_modules. Run with Node 24: `npm run build`.
 */
import { cp, mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'

const root = resolve(import.meta.dirname, '..')
const out = join(root, 'dist')

/** Name in dist/ → its source. */
const programs = {
  violin: 'src/cli/main.ts',
  daemon: 'src/daemon/main.ts',
  slice: 'src/slice/main.ts',
  'forwarder-worker': 'src/slice/forwarder/worker.ts',
  'console-worker': 'src/slice/vhost/console-worker.ts',
  lab: 'src/lab/main.ts'
} as const

/** Loaded from node_modules at run time: they bring machine code. */
const native = ['koffi', 'classic-level']

/** CommonJS inside of an ES module asks for Node's own modules by `require`. */
const banner = `import { createRequire as $createRequire } from 'node:module'
const require = $createRequire(import.meta.url)`

async function bundle(): Promise<void> {
  const started = performance.now()
  const entryPoints = Object.fromEntries(
    Object.entries(programs).map(([name, source]) => [name, join(root, source)])
  )
  await mkdir(out, { recursive: true })
  await build({
    entryPoints,
    outdir: out,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    minifySyntax: true,
    minifyWhitespace: true,
    // Names stay: a stack in a bug report is worth more than the bytes.
    minifyIdentifiers: false,
    keepNames: false,
    legalComments: 'none',
    external: native,
    banner: { js: banner },
    logLevel: 'warning'
  })
  await rm(join(out, 'guest'), { recursive: true, force: true })
  await cp(join(root, 'src/guest'), join(out, 'guest'), { recursive: true })
  const sizes = await Promise.all(
    (await readdir(out))
      .filter((name) => name.endsWith('.js'))
      .map(async (name) => (await stat(join(out, name))).size)
  )
  const kilobytes = Math.round(sizes.reduce((sum, size) => sum + size, 0) / 1024)
  process.stdout.write(
    `dist/: ${sizes.length} programs, ${kilobytes} KiB, in ${Math.round(performance.now() - started)} ms\n`
  )
}

await bundle()
