import assert from 'node:assert/strict'
import { test } from 'node:test'
import { measuredIn } from '../../src/cli/experiment/measured.ts'

test('round trips and rates are read from what ping and iperf3 print', () => {
  const line = (atMs: number, step: string, text: string): Parameters<typeof measuredIn>[0][number] => ({
    atMs,
    step,
    text
  })
  const { roundTrips, rates } = measuredIn(
    [
      line(0, 'p', 'PING b (10.0.2.2): 56 data bytes'),
      line(500, 'p', '64 bytes from 10.0.2.2: seq=0 ttl=63 time=10.501 ms'),
      line(1_500, 'p', '64 bytes from 10.0.2.2: icmp_seq=2 ttl=63 time=11 ms'),
      line(9_000, 'i', '[  5]   0.00-1.00   sec  1.10 MBytes  9.20 Mbits/sec    0   56.6 KBytes'),
      line(9_001, 'i', '[SUM]   1.00-2.00   sec  1.10 GBytes  1.50 Gbits/sec'),
      line(9_002, 'i', '[  5]   0.00-2.00   sec  2.20 MBytes  9.20 Mbits/sec                  receiver'),
      line(9_003, 'x', 'time=5 ms')
    ],
    new Map([['i', 7_000]])
  )
  assert.deepEqual(roundTrips, [
    {
      name: 'p',
      points: [
        [0.5, 10.501],
        [1.5, 11]
      ]
    }
  ])
  assert.deepEqual(rates, [
    {
      name: 'i',
      points: [
        [8, 9.2],
        [9, 1_500]
      ]
    }
  ])
})
