/**
 * The daemon's program. `run --dir DIR [--listen MULTIADDR]...` is the host itself, in the foreground;
 * `init|id|join|doctor|build --dir DIR` do their work once, with options as JSON on standard input and one JSON line
 * `{"ok":…}` or `{"error":…}` on standard output.
 */
import { text } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import pino from 'pino'
import * as z from 'zod'
import { ViolinError, errorCodes, errorData } from '#core/errors.ts'
import { startDaemon } from './daemon.ts'
import { buildable, buildImage } from './build.ts'
import { doctor } from './doctor.ts'
import { found, identifyBeforeJoin, join } from './founding.ts'

const founding = z.strictObject({
  name: z.string().optional(),
  listen: z.array(z.string()).optional(),
  networkKey: z.string().max(4_096).optional()
})
const building = z.strictObject({
  image: z.enum(buildable),
  own: z
    .strictObject({
      name: z.string(),
      packages: z.array(z.string()),
      copies: z.array(z.strictObject({ from: z.string(), to: z.string() }))
    })
    .nullable()
})
const joining = founding.extend({ token: z.string().max(64 * 1024) })

async function run(dir: string, listen: readonly string[], debug: boolean): Promise<void> {
  const logger = pino(
    { level: debug ? 'debug' : 'warn', base: null },
    pino.destination({ dest: 2, sync: true })
  )
  const daemon = await startDaemon(dir, {
    listen,
    log: (message, fields) => logger.debug(fields, message),
    warn: (text) => void process.stderr.write(`violin: ${text}\n`)
  })
  const { name, id } = daemon.identity
  process.stdout.write(`${name} (${id}) is up at ${daemon.mesh.addresses().join(', ')}\n`)
  const asked = new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve())
    process.once('SIGINT', () => resolve())
  })
  await Promise.race([asked, daemon.left])
  await daemon.close()
}

async function once<T>(work: () => Promise<T>): Promise<void> {
  try {
    process.stdout.write(`${JSON.stringify({ ok: await work() })}\n`)
  } catch (error: unknown) {
    process.stdout.write(`${JSON.stringify({ error: errorData(error) })}\n`)
    process.exitCode = 1
  }
}

async function options<T>(schema: z.ZodType<T>): Promise<T> {
  const given = await text(process.stdin)
  return schema.parse(given.trim() === '' ? {} : JSON.parse(given))
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      dir: { type: 'string' },
      listen: { type: 'string', multiple: true, default: [] },
      debug: { type: 'boolean', default: false }
    }
  })
  const dir = values.dir
  if (dir === undefined) throw new ViolinError('usage', 'no folder given', 'daemon run --dir DIR')
  switch (positionals[0]) {
    case 'run':
      return run(dir, values.listen, values.debug)
    case 'init':
      return once(async () => found(dir, await options(founding)))
    case 'id':
      return once(async () => identifyBeforeJoin(dir))
    case 'join':
      return once(async () => {
        const { token, ...rest } = await options(joining)
        return join(dir, token, rest)
      })
    case 'build':
      return once(async () => {
        const { image, own } = await options(building)
        return buildImage(dir, image, own)
      })
    case 'doctor':
      return once(async () => ({ checks: await doctor(dir) }))
    default:
      throw new ViolinError(
        'usage',
        `no mode ${positionals[0] ?? ''}`,
        'run, init, id, join, build or doctor'
      )
  }
}

main().then(
  () => process.exit(),
  (error: unknown) => {
    const data = errorData(error)
    process.stderr.write(`violin: ${data.message}; ${data.remedy}\n`)
    if (process.argv.includes('--debug'))
      process.stderr.write(`${error instanceof Error ? (error.stack ?? '') : ''}\n`)
    process.exit(errorCodes[data.code])
  }
)
