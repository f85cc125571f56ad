/** Feeds decoders with inputs of one seed: the same seed and target give the same inputs, whatever runs beside. */
import { Random } from '../../sim/random.ts'
import { inputFrom } from './mutate.ts'
import { type Target } from './target.ts'
import { controlPlane } from './targets/control-plane.ts'
import { dataPlane } from './targets/data-plane.ts'
import { files } from './targets/files.ts'
import { guests } from './targets/guests.ts'
import { liveness } from './targets/liveness.ts'
import { local } from './targets/local.ts'

/** Every decoder of bytes that this host did not make itself. */
export const targets: readonly Target[] = [
  ...controlPlane,
  ...liveness,
  ...dataPlane,
  ...local,
  ...files,
  ...guests
]

export interface Tally {
  inputs: number
  taken: number
}

/** What broke a property, with all that it takes to see it again. */
export class Finding extends Error {
  override readonly name = 'Finding'
  readonly input: Uint8Array

  constructor(target: Target, seed: number, place: number, input: Uint8Array, cause: unknown) {
    const shown = Buffer.from(input.subarray(0, 400)).toString('hex')
    super(
      `${target.name}: ${cause instanceof Error ? cause.message : String(cause)}\n` +
        `again: bin/run test/fuzz/main.ts --seed ${seed} --only ${JSON.stringify(target.name)} --inputs ${place + 1}\n` +
        `input (${input.length} bytes): ${shown}`,
      { cause }
    )
    this.input = input
  }
}

/** Runs `count` inputs through one decoder. Throws {@link Finding}. `alive` is called now and then. */
export async function fuzz(
  target: Target,
  seed: number,
  count: number,
  alive?: (inputs: number) => void
): Promise<Tally> {
  const random = new Random(seed, target.name)
  const tally = { inputs: 0, taken: 0 }
  for (let place = 0; place < count; place++) {
    const input = inputFrom(target.samples, target.form, target.maxBytes, random)
    try {
      const taken = target.decode(input)
      if (typeof taken === 'boolean' ? taken : await taken) tally.taken++
    } catch (error: unknown) {
      throw new Finding(target, seed, place, input, error)
    }
    tally.inputs++
    if ((place & 0xff) === 0) alive?.(place)
  }
  return tally
}

/** How many of so many inputs each decoder gets, by weight; at least one. */
export function shares(inputs: number, chosen: readonly Target[]): Map<Target, number> {
  const whole = chosen.reduce((sum, { weight }) => sum + weight, 0)
  return new Map(chosen.map((target) => [target, Math.max(1, Math.ceil((inputs * target.weight) / whole))]))
}
