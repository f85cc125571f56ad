/** The wall clock in nanoseconds (clock_gettime(2), CLOCK_REALTIME), which no clock of the language tells. */
import { allocate, check, libc } from './libc.ts'

const CLOCK_REALTIME = 0

const gettimeCall = libc.func('int clock_gettime(int clock, uint64_t time)')

const time = allocate(16)

/** Seconds and nanoseconds since 1970; the object is the same each time. */
export function wallClock(): { readonly seconds: number; readonly nanoseconds: number } {
  check(gettimeCall(CLOCK_REALTIME, time.address) as number, 'clock_gettime')
  // Below 2³² until 2106.
  told.seconds = time.view.getUint32(0, true)
  told.nanoseconds = time.view.getUint32(8, true)
  return told
}

const told = { seconds: 0, nanoseconds: 0 }
