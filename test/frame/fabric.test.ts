import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Fabric } from '#frame/fabric.ts'

const high = 0x0200
const broadcast = [0xffff, 0xffffffff] as const

/** An Ethernet header, and where the fabric sends it: ports as `p1`, trunks as `t1/tag`. */
function frame(target: readonly [number, number], source: readonly [number, number]): Uint8Array {
  const bytes = new Uint8Array(64)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, target[0])
  view.setUint32(2, target[1])
  view.setUint16(6, source[0])
  view.setUint32(8, source[1])
  return bytes
}

function targets(fabric: Fabric, count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const place = fabric.targets[i] as number
    return place >= 0 ? `p${place}` : `t${~place}/${fabric.targetTags[i]}`
  })
}

function fromPort(fabric: Fabric, port: number, target: readonly [number, number], source: number): string[] {
  return targets(fabric, fabric.fromPort(frame(target, [high, source]), 0, port, 0))
}

function fromTrunk(
  fabric: Fabric,
  trunk: number,
  target: readonly [number, number],
  source: number,
  up = false
): string[] {
  return targets(fabric, fabric.fromTrunk(frame(target, [high, source]), 0, trunk, 0, up))
}

function withPorts(): Fabric {
  const fabric = new Fabric(256)
  fabric.addPort(1, high, 1)
  fabric.addPort(2, high, 2)
  return fabric
}

test('an edge without an uplink switches between its own ports', () => {
  const fabric = withPorts()
  assert.deepEqual(fromPort(fabric, 1, broadcast, 1), ['p2'])
  assert.deepEqual(fromPort(fabric, 1, [high, 2], 1), ['p2'])
  assert.deepEqual(fromPort(fabric, 1, [high, 1], 1), [])
})

test('an edge floods to its own other ports and up, and never back', () => {
  const fabric = withPorts()
  fabric.setEdge({ trunk: 7, tag: 4 })
  assert.deepEqual(fromPort(fabric, 1, broadcast, 1), ['p2', 't7/4'])
  assert.deepEqual(fromTrunk(fabric, 7, broadcast, 50), ['p1', 'p2'])
  assert.deepEqual(fromPort(fabric, 2, [high, 50], 2), ['t7/4'])
})

test('an edge passes nothing from one trunk to another', () => {
  const fabric = withPorts()
  fabric.setEdge({ trunk: 7, tag: 4 })
  fromTrunk(fabric, 7, broadcast, 50)
  assert.deepEqual(fromTrunk(fabric, 8, [high, 50], 60), [])
  assert.deepEqual(fromTrunk(fabric, 8, broadcast, 60), ['p1', 'p2'])
})

test('the active floods to its ports and all downlinks but the origin, and learns', () => {
  const fabric = withPorts()
  fabric.setActive([
    { trunk: 3, tag: 10 },
    { trunk: 4, tag: 11 }
  ])
  assert.deepEqual(fromPort(fabric, 1, broadcast, 1), ['p2', 't3/10', 't4/11'])
  assert.deepEqual(fromTrunk(fabric, 3, broadcast, 30, true), ['p1', 'p2', 't4/11'])
  assert.deepEqual(fromTrunk(fabric, 4, [high, 30], 40, true), ['t3/10'])
  assert.deepEqual(fromTrunk(fabric, 3, [high, 30], 31, true), [])
  assert.deepEqual(fromPort(fabric, 1, [high, 40], 1), ['t4/11'])
})

test('what another switch sends reaches the ports of a switch only, and teaches it nothing', () => {
  const fabric = withPorts()
  fabric.setActive([
    { trunk: 3, tag: 10 },
    { trunk: 4, tag: 11 }
  ])
  assert.deepEqual(fromTrunk(fabric, 3, broadcast, 40, true), ['p1', 'p2', 't4/11'])
  assert.deepEqual(fromTrunk(fabric, 4, broadcast, 40), ['p1', 'p2'])
  assert.deepEqual(fromTrunk(fabric, 4, [high, 40], 50, true), ['t3/10'])
})

test('reserved multicast passes as any frame does', () => {
  const fabric = withPorts()
  fabric.setActive([{ trunk: 3, tag: 10 }])
  assert.deepEqual(fromPort(fabric, 1, [0x0180, 0xc2000000], 1), ['p2', 't3/10'])
  assert.deepEqual(fromPort(fabric, 1, [0x0100, 0x5e000005], 1), ['p2', 't3/10'])
})

test('what an edge learned behind its uplink is forgotten when it becomes the switch', () => {
  const fabric = withPorts()
  fabric.setEdge({ trunk: 3, tag: 10 })
  fromTrunk(fabric, 3, broadcast, 40)
  fabric.setActive([
    { trunk: 3, tag: 12 },
    { trunk: 4, tag: 14 }
  ])
  assert.deepEqual(fromPort(fabric, 1, [high, 40], 1), ['p2', 't3/12', 't4/14'])
  fabric.preload(4, [{ high, low: 40 }], 0)
  assert.deepEqual(fromPort(fabric, 1, [high, 40], 1), ['t4/14'])
})

test('during a handover edges are switched as before, while own frames go up to the other', () => {
  const fabric = withPorts()
  fabric.setPassing([{ trunk: 3, tag: 10 }], { trunk: 5, tag: 20 })
  assert.deepEqual(fromTrunk(fabric, 3, [high, 99], 30, true), ['p1', 'p2'])
  assert.deepEqual(fromTrunk(fabric, 6, [high, 30], 60, true), ['t3/10'])
  assert.deepEqual(fromTrunk(fabric, 5, broadcast, 50), ['p1', 'p2'])
  assert.deepEqual(fromPort(fabric, 1, [high, 50], 1), ['p2', 't5/20'])
})

test('a machine cannot take the MAC of another port of its host', () => {
  const fabric = withPorts()
  assert.deepEqual(fromPort(fabric, 1, broadcast, 2), [])
  assert.equal(fabric.spoofed, 1)
  assert.deepEqual(fromPort(fabric, 1, broadcast, 77), ['p2'])
  assert.deepEqual(fromPort(fabric, 2, [high, 77], 2), ['p1'])
})

test('a MAC that was announced behind one trunk is taken by no frame from another, nor by a port’s peer', () => {
  const fabric = withPorts()
  fabric.setActive([
    { trunk: 4, tag: 10 },
    { trunk: 5, tag: 20 }
  ])
  fabric.preload(4, [{ high, low: 50 }], 0)
  assert.deepEqual(fromTrunk(fabric, 5, broadcast, 50, true), [])
  assert.equal(fabric.spoofed, 1)
  assert.deepEqual(fromPort(fabric, 1, [high, 50], 1), ['t4/10'])
  // What is announced of a port that is here changes nothing.
  fabric.preload(5, [{ high, low: 2 }], 0)
  assert.deepEqual(fromPort(fabric, 1, [high, 2], 1), ['p2'])
  // It moves with the announcement.
  fabric.preload(4, [], 0)
  fabric.preload(5, [{ high, low: 50 }], 0)
  assert.deepEqual(fromPort(fabric, 1, [high, 50], 1), ['t5/20'])
  // To an edge it comes from whoever switches.
  fabric.setEdge({ trunk: 4, tag: 30 })
  assert.deepEqual(fromTrunk(fabric, 4, broadcast, 50), ['p1', 'p2'])
})

test('a frame never goes back where it came from, whatever was learned', () => {
  const place = fc.record({ trunk: fc.boolean(), up: fc.boolean(), number: fc.integer({ min: 1, max: 2 }) })
  const step = fc.record({
    place,
    source: fc.nat({ max: 20 }),
    target: fc.nat({ max: 20 }),
    group: fc.boolean()
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 0, max: 2 }), (steps, role) => {
      const fabric = withPorts()
      const trunks = [1, 2].map((trunk) => ({ trunk, tag: trunk }))
      if (role === 0) fabric.setEdge({ trunk: 1, tag: 1 })
      if (role === 1) fabric.setActive(trunks)
      if (role === 2) fabric.setPassing(trunks, { trunk: 2, tag: 2 })
      for (const { place, source, target, group } of steps) {
        const to = group ? broadcast : ([high, target] as const)
        const out = place.trunk
          ? fromTrunk(fabric, place.number, to, source, place.up)
          : fromPort(fabric, place.number, to, source)
        const origin = place.trunk ? `t${place.number}/${place.number}` : `p${place.number}`
        assert.ok(!out.includes(origin), `${origin} in ${out.join()}`)
        assert.equal(new Set(out).size, out.length)
        if (place.trunk && (role === 0 || !place.up)) assert.ok(out.every((name) => name.startsWith('p')))
      }
    })
  )
})
