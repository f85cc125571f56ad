/** The example of a VIOLIN on a VIOLIN, as a user runs it: it measures by itself what each level is like. */
import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { outcomeOf } from '#lab/host.ts'
import { leftoversOf } from '#lab/lab.ts'
import { planLab } from '#lab/plan.ts'

interface Played {
  readonly ok: boolean
  readonly levels: readonly {
    readonly level: string
    readonly hops: readonly string[]
    readonly mtu: number
    readonly pingMs: number
    readonly rateMbps: number
  }[]
}

/** Every command starts a program in User-Mode Linux, which takes seconds: five minutes in all where nothing else runs. */
const timeout = 1_200_000

test(
  'a network of machines that are machines of another: each level sees its own routers, and full packets',
  { timeout },
  async () => {
    const play = resolve(import.meta.dirname, '../../examples/recursion/play.ts')
    const child = spawn(process.execPath, [play, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] })
    const { status, stdout, stderr } = await outcomeOf(child, '')
    assert.equal(status, 0, stderr)
    const { ok, levels } = JSON.parse(stdout) as Played
    assert.ok(ok)
    assert.deepEqual(
      levels.map(({ level, hops, mtu }) => [level, ...hops, mtu]),
      [
        ['the underlay', '10.77.0.2', 1500],
        ['level 1', '10.1.1.2', '10.1.2.1', 1500],
        ['level 2', '10.2.1.2', '10.2.2.1', 1500],
        ['level 3', '10.3.1.2', '10.3.2.1', 1500]
      ]
    )
    assert.ok(levels.every(({ pingMs, rateMbps }) => pingMs > 0 && rateMbps > 0))
    const lab = /^ *lab ([0-9a-f]+)$/m.exec(stderr)?.[1] as string
    const places = ['princeton', 'purdue'].map((name) => ({ name, delayMs: 1 }))
    assert.deepEqual(leftoversOf(planLab(lab, places)), [])
  }
)
