import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parse } from 'yaml'
import { ViolinError } from '#core/errors.ts'
import type { Topology } from '#core/spec.ts'
import { isRouting, memoryMiBOf } from '#topology/import/container.ts'
import { readContainerlab } from '#topology/import/containerlab.ts'
import { type ForeignLab, Notes } from '#topology/import/foreign.ts'
import { readGraphml } from '#topology/import/graphml.ts'
import { readKathara } from '#topology/import/kathara.ts'
import { writeTopology } from '#topology/import/write.ts'
import { parseTopology } from '#topology/parse.ts'
import type { FileEntity } from '#topology/schema.ts'
import { containerlab, containerlabFiles, folderOf, graphml, kathara } from './samples.ts'

interface Imported {
  /** The YAML as data. */
  readonly file: {
    readonly name: string
    readonly lans: Readonly<Record<string, unknown>>
    readonly defaults?: { readonly routing?: string }
    readonly hosts: Readonly<Record<string, FileEntity>>
    readonly routers: Readonly<Record<string, FileEntity>>
  }
  readonly topology: Topology
  readonly notes: readonly string[]
  readonly scripts: Readonly<Record<string, string>>
}

/** Reads and writes a lab, and has our own language take what came out. */
function imported(read: (notes: Notes) => ForeignLab): Imported {
  const notes = new Notes()
  const { yaml, files } = writeTopology(read(notes), notes, { filesFolder: 'lab.files' })
  const topology = parseTopology(yaml, {
    file: 'lab.violin.yaml',
    readFile: (path) => files.get(path) ?? assert.fail(`no file ${path}`)
  })
  return {
    file: parse(yaml) as Imported['file'],
    topology,
    notes: notes.all.map(({ file, line, text }) => `${file}:${line}: ${text}`),
    scripts: Object.fromEntries(
      Array.from(files, ([path, { data }]) => [path, new TextDecoder().decode(data)])
    )
  }
}

function noted(notes: readonly string[], wanted: readonly RegExp[]): void {
  for (const one of wanted)
    assert.ok(
      notes.some((note) => one.test(note)),
      `${one} in\n${notes.join('\n')}`
    )
  assert.equal(notes.length, wanted.length, notes.join('\n'))
}

describe('a Kathará lab', () => {
  const { file, notes, scripts } = imported((told) => readKathara(folderOf(kathara), 'labs/shop', told))

  it('keeps its devices, its collision domains and their addresses', () => {
    assert.equal(file.name, 'shop')
    assert.deepEqual(file.lans, {
      a: { subnet: '195.11.14.0/24' },
      b: { subnet: '100.0.0.8/30' },
      c: { subnet: '200.1.1.0/24' }
    })
    assert.deepEqual(Object.keys(file.hosts), ['pc1', 'pc2'])
    assert.deepEqual(file.routers['r1']?.nics, [
      { lan: 'a', ip: '195.11.14.1' },
      { lan: 'b', ip: '100.0.0.9' }
    ])
    assert.deepEqual(file.routers['r2']?.nics, [
      { lan: 'c', ip: '200.1.1.1' },
      { lan: 'b', ip: '100.0.0.10' }
    ])
    assert.equal(file.hosts['pc1']?.memory, '128M')
    assert.deepEqual(file.hosts['pc1']?.env, { GREETING: 'hello there' })
  })

  it('runs what is left of its scripts, in words that the topology does not trip over', () => {
    assert.equal(
      scripts['lab.files/r1/startup.sh'],
      `echo started > /started

ip address add 10.255.0.1/32 dev lo
ip route replace 200.1.1.0/24 via 100.0.0.10 dev eth1
: /etc/init.d/zebra start
true
`
    )
    assert.match(
      scripts['lab.files/r2/startup.sh'] as string,
      /^ip route replace 195.11.14.0\/24 via 100.0.0.9 dev eth1$/m
    )
    assert.equal(
      scripts['lab.files/pc2/startup.sh'],
      `echo started > /started

ip route replace default via 200.1.1.1
if true; then
  ip addr add 200.1.1.8/24 dev eth0
fi
cat > /etc/note << EOF
ip route add default via 1.2.3.4
EOF

echo ready > /ready
sysctl -w net.ipv4.tcp_syncookies=1
true
`
    )
  })

  it('lays its files in', () => {
    assert.deepEqual(file.hosts['pc1']?.files, {
      '/etc/motd': 'lab.files/pc1/etc/motd',
      '/root/run.sh': 'lab.files/pc1/root/run.sh'
    })
    assert.equal(scripts['lab.files/pc1/etc/motd'], 'welcome\n')
  })

  it('has the files of its routing daemons be one, and routers know nothing else', () => {
    assert.equal(file.routers['r2']?.frr, 'lab.files/r2/frr.conf')
    assert.equal(file.routers['r2']?.files, undefined)
    assert.equal(
      scripts['lab.files/r2/frr.conf'],
      'hostname r2\npassword zebra\n!\nrouter ospf\n network 0.0.0.0/0 area 0\n'
    )
    assert.equal(file.defaults?.routing, 'none')
  })

  it('names what it does not carry over, with its line', () => {
    noted(notes, [
      /^labs\/shop\/lab.conf:8: r1\[image\] is not taken over: .*kathara\/quagga/,
      /^labs\/shop\/lab.conf:10: the MAC address 02:00:00:00:00:07/,
      /^labs\/shop\/lab.conf:14: pc1\[port\].*jetway/,
      /^labs\/shop\/lab.conf:18: is no line of a lab.conf: "what is this"/,
      /^labs\/shop\/r1.startup:5: zebra is not started/,
      /^labs\/shop\/pc2.shutdown:0: /,
      /^labs\/shop\/pc3.startup:0: .*no device pc3/,
      /^labs\/shop\/shared\/data.txt:0: /,
      /^labs\/shop\/lab.dep:0: /
    ])
  })

  it('that takes bash, which no image has, has sh run what it can, and the rest is named', () => {
    const lab = {
      'lab.conf': 'pc[0]=A\npc[exec]="bash /root/x.sh"\n',
      'pc.startup': [
        '#!/bin/bash',
        'bash -c "ip addr add 10.77.0.9/24 dev eth0; echo bash > /name"',
        '  /usr/bin/bash -x /root/x.sh',
        '# run it with bash',
        'echo all | bash',
        'cat /etc/bash.bashrc',
        'cat > /root/y.sh <<EOF',
        '#!/usr/bin/env bash',
        'bash z.sh',
        'EOF',
        ''
      ].join('\n'),
      'pc/root/x.sh': '#!/bin/bash -e\necho x\n',
      'pc/root/w.sh': '#!/bin/sh\nbash\n'
    }
    const { notes, scripts } = imported((all) => readKathara(folderOf(lab), 'lab', all))
    noted(notes, [
      /^lab\/lab.conf:2: bash is run as sh: the guest has no bash$/,
      /^lab\/pc.startup:2: bash is run as sh/,
      /^lab\/pc.startup:3: bash is run as sh/,
      /^lab\/pc.startup:5: it takes bash, which the guest does not have$/,
      /^lab\/pc.startup:8: it is for bash, which the guest does not have$/,
      /^lab\/pc\/root\/x.sh:0: \/root\/x.sh of pc is for bash, which the guest does not have$/
    ])
    const script = scripts['lab.files/pc/startup.sh'] ?? ''
    for (const line of [
      'sh -c "ip addr add 10.77.0.9/24 dev eth0; echo bash > /name"',
      '  sh -x /root/x.sh',
      'echo all | bash',
      'bash z.sh',
      'sh /root/x.sh'
    ])
      assert.ok(script.split('\n').includes(line), `${line} in\n${script}`)
  })

  it('with a switch gives this none of the addresses that others have', () => {
    const lab = {
      'lab.conf': 'pc1[0]=A\npc2[0]=B\nsw[0]=A\nsw[1]=B\npc3[0]=A\n',
      'pc1.startup': 'ip addr add 10.0.0.1/24 dev eth0\n',
      'pc2.startup': 'ip addr add 10.0.0.254/24 dev eth0\n',
      'pc3/etc/hosts': '10.0.0.2 elsewhere\n',
      'sw.startup': 'ip link add name br0 type bridge\nip link set dev eth0 master br0\n'
    }
    const { file, topology } = imported((all) => readKathara(folderOf(lab), 'lab', all))
    assert.deepEqual(file.routers['sw']?.nics, [{ lan: 'a', ip: '10.0.0.253' }, { lan: 'b' }])
    assert.deepEqual(file.hosts['pc3']?.nics, [{ lan: 'a', ip: '10.0.0.252' }])
    assert.deepEqual(
      topology.lans.map(({ subnet }) => subnet),
      ['10.0.0.0/24', '10.128.0.0/24']
    )
  })

  it('of IPv6 keeps its addresses and prefixes, and what stays in a script is named', () => {
    const lab = {
      'lab.conf': 'pc1[0]=A\nr1[0]=A\nr1[1]=B\npc2[0]=B\npc3[0]=C\npc4[0]=D\n',
      'pc1.startup':
        'ip address add 2001:DB8:1::1/64 dev eth0\nip -6 route add default via 2001:db8:1::ff dev eth0\n',
      'r1.startup': 'ip -6 addr add 2001:db8:1::ff/64 dev eth0\nifconfig eth1 inet6 add 2001:db8:2::ff/64\n',
      'pc2.startup': 'ip address add 2001:db8:2::1/64 dev eth0\nip address add 2001:db8:2::7/64 dev eth0\n',
      'pc3.startup': 'ip address add fe80::7/64 dev eth0\n',
      'pc4.startup': 'ip address add 2001:db8:2::9/64 dev eth0\n'
    }
    const { file, topology, notes, scripts } = imported((all) => readKathara(folderOf(lab), 'lab', all))
    assert.deepEqual(
      topology.lans.map(({ ipv6 }) => ipv6),
      ['2001:db8:1::/64', '2001:db8:2::/64', undefined, undefined]
    )
    assert.deepEqual(
      topology.lans.map(({ subnet }) => subnet !== undefined),
      [false, false, true, true]
    )
    assert.deepEqual(file.hosts['pc1']?.nics, [{ lan: 'a', ipv6: '2001:db8:1::1' }])
    assert.deepEqual(file.routers['r1']?.nics, [
      { lan: 'a', ipv6: '2001:db8:1::ff' },
      { lan: 'b', ipv6: '2001:db8:2::ff' }
    ])
    assert.equal(scripts['lab.files/r1/startup.sh'], undefined)
    assert.equal(
      scripts['lab.files/pc1/startup.sh'],
      'ip -6 route replace default via 2001:db8:1::ff dev eth0\ntrue\n'
    )
    assert.equal(scripts['lab.files/pc2/startup.sh'], 'ip address add 2001:db8:2::7/64 dev eth0\ntrue\n')
    noted(notes, [
      /IPv6 of pc3 is left to its script: no vLAN of it has `ipv6:`/,
      /pc4: 2001:db8:2::9\/64 of eth0 is of a network that another vLAN has: the script adds it/,
      /IPv6 of pc4 is left to its script/
    ])
  })

  it('that has no device is refused', () => {
    assert.throws(() => readKathara(folderOf({ 'lab.conf': '# nothing\n' }), 'x', new Notes()), {
      code: 'topology-invalid'
    })
  })
})

describe('a containerlab file', () => {
  const read =
    (text: string) =>
    (told: Notes): ForeignLab =>
      readContainerlab(text, 'frr01.clab.yml', folderOf(containerlabFiles), told)
  const { file, notes, scripts } = imported(read(containerlab))

  it('keeps nodes, links and bridges', () => {
    assert.equal(file.name, 'frr01')
    assert.deepEqual(file.lans, {
      'router1-router2': { subnet: '192.168.1.0/24' },
      'pc1-router1': { subnet: '192.168.11.0/24' },
      switch: { subnet: '192.168.12.0/24', gateway: 'router2' },
      'router1-router2-5': { subnet: '10.128.0.0/24' }
    })
    assert.deepEqual(file.routers['router1']?.nics, [
      { name: 'eth1', lan: 'router1-router2', ip: '192.168.1.1' },
      { name: 'eth2', lan: 'pc1-router1', ip: '192.168.11.1' },
      { name: 'eth3', lan: 'router1-router2-5' }
    ])
    assert.deepEqual(file.hosts['pc2']?.nics, [{ name: 'eth1', lan: 'switch' }])
    assert.deepEqual(file.routers['srl']?.nics, [{ name: 'ethernet-1-1', lan: 'switch' }])
  })

  it('has a node take what its group, its kind and the defaults say', () => {
    assert.deepEqual(file.routers['router1']?.env, { SITE: 'north' })
    assert.deepEqual(file.hosts['pc1']?.env, { SITE: 'south', N: '1' })
    assert.equal(file.hosts['pc1']?.memory, '512M')
    assert.equal(file.routers['router1']?.files, undefined)
    assert.equal(file.routers['router1']?.frr, 'lab.files/router1/frr.conf')
    assert.equal(file.defaults?.routing, 'none')
    assert.equal(
      scripts['lab.files/pc1/startup.sh'],
      'ip route replace default via 192.168.11.1\nsh -c "echo hello > /hello"\ntrue\n'
    )
  })

  it('names what it does not carry over, with its line', () => {
    noted(notes, [
      /yml:2: `mgmt`/,
      /yml:10: entities start from an image.*alpine:3/,
      /yml:13: entities start from an image.*frr:8/,
      /yml:21: \/lib\/modules:\/lib\/modules:ro is not taken over: it lies outside/,
      /yml:31: `ports`/,
      /yml:33: "PC1" is called pc1 here/,
      /yml:39: bash is run as sh/,
      /yml:44: srl is of kind nokia_srlinux/,
      /yml:45: `startup-config`/,
      /yml:51: ethernet-1\/1 of srl is called ethernet-1-1 here/,
      /yml:52: `mtu`/,
      /yml:57: a link of type host/,
      /yml:59: `host-interface`/,
      /yml:60: the link to host/
    ])
  })

  it('that is wrong is refused with its place', () => {
    const refuses = (text: string, what: RegExp): void => {
      assert.throws(
        () => imported(read(text)),
        (error) =>
          error instanceof ViolinError && error.code === 'topology-invalid' && what.test(error.message),
        text
      )
    }
    refuses('topology: { nodes: { a: } }', /^frr01.clab.yml:1:1: is no containerlab file/)
    refuses('name: x\ntopology:\n  nodes:\n    a: { exec: 7 }', /^frr01.clab.yml:4:16: /)
    refuses(
      'name: x\ntopology:\n  nodes: { a: }\n  links:\n    - endpoints: ["a:eth1", "b:eth1"]',
      /^frr01.clab.yml:5:\d+: no node "b"/
    )
    refuses('name: x\ntopology: { nodes: { } }', /has no node/)
    refuses('a: [', /^frr01.clab.yml:/)
  })
})

describe('addresses in the configuration of FRR', () => {
  const conf = `hostname r1
interface eth0
 description to the hosts
 ip address 10.1.0.2/24
exit
!
interface eth1
 ip address 10.2.0.1/30
 ip address 10.3.0.1/24
 ipv6 address fd00::1/64
interface eth7 vrf red
 ip address 10.7.0.1/24
interface lo
 ip address 10.255.0.1/32
router ospf
 ospf router-id 10.255.0.1
`
  const other = 'interface eth1\nip address 10.2.0.2/30\n!\ninterface eth0\n ip address 10.9.0.1/31\n'
  const told = [
    /10\.3\.0\.1\/24 of eth1: it has 10\.2\.0\.1\/30 already/,
    /10\.7\.0\.1\/24 of eth7: the lab plugs it into no network/,
    /10\.9\.0\.1\/31 of eth0: a vLAN has no such network/
  ]

  it('are those of a Kathará lab’s vNICs, and what does not fit is named with its line', () => {
    const lab = {
      'lab.conf': 'r1[0]=A\nr1[1]=B\nr2[1]=B\nr2[0]=C\npc[0]=A\n',
      'pc.startup': 'ip addr add 10.1.0.9/24 dev eth0\nip route add default via 10.1.0.2\n',
      'r1/etc/frr/frr.conf': conf,
      'r2/etc/quagga/zebra.conf': other
    }
    const { file, notes } = imported((all) => readKathara(folderOf(lab), 'lab', all))
    assert.deepEqual(file.lans, {
      a: { subnet: '10.1.0.0/24' },
      b: { subnet: '10.2.0.0/30', ipv6: 'fd00::/64' },
      c: { subnet: '10.128.0.0/24' }
    })
    assert.deepEqual(file.routers['r1']?.nics, [
      { lan: 'a', ip: '10.1.0.2' },
      { lan: 'b', ip: '10.2.0.1', ipv6: 'fd00::1' }
    ])
    assert.deepEqual(file.routers['r2']?.nics?.[1], { lan: 'b', ip: '10.2.0.2' })
    noted(notes, told)
    const place = 'lab/r1/etc/frr/frr.conf:9: '
    assert.ok(
      notes.some((note) => note.startsWith(place)),
      notes.join('\n')
    )
  })

  it('are those of a containerlab node that binds it; one that two have, or its script says otherwise, is named', () => {
    const text = `name: x
topology:
  defaults: { kind: linux, image: frrouting/frr }
  nodes:
    r1: { binds: ['r1.conf:/etc/frr/frr.conf'] }
    r2: { binds: ['r2.conf:/etc/frr/frr.conf'], exec: [ip addr add 10.1.0.3/24 dev eth0] }
  links:
    - endpoints: ["r1:eth0", "r2:eth0"]
    - endpoints: ["r1:eth1", "r2:eth1"]
`
    const same = 'interface eth0\n ip address 10.1.0.2/24\ninterface eth1\n ip address 10.2.0.1/30\n'
    const folder = folderOf({ 'r1.conf': same, 'r2.conf': same })
    const { file, notes } = imported((all) => readContainerlab(text, 'x.clab.yml', folder, all))
    assert.deepEqual(file.routers['r1']?.nics, [
      { lan: 'r1-r2', ip: '10.1.0.2' },
      { lan: 'r1-r2-1', ip: '10.2.0.1' }
    ])
    assert.deepEqual(file.routers['r2']?.nics, [{ lan: 'r1-r2', ip: '10.1.0.3' }, { lan: 'r1-r2-1' }])
    noted(notes, [
      /yml:3: entities start from an image/,
      /r2: FRR alone knows 10\.1\.0\.2\/24 of eth0: its script says 10\.1\.0\.3\/24/,
      /r2: 10\.2\.0\.1 of eth1 is taken on r1-r2-1: eth1 has an address of r1-r2-1, and FRR adds this one/
    ])
  })
})

describe('a graph', () => {
  const { file, notes, topology } = imported((told) => readGraphml(graphml, 'zoo/little.graphml', told))

  it('becomes routers, with a vLAN for each edge and each shared medium', () => {
    assert.equal(file.name, 'little-net')
    assert.deepEqual(Object.keys(file.routers), ['new-york', 'chicago', 'zurich', 'new-york-2', 'node-4'])
    assert.deepEqual(file.lans, {
      'new-york-chicago': { subnet: '10.128.0.0/30' },
      'new-york-chicago-2': { subnet: '10.128.0.4/30' },
      'chicago-zurich': { subnet: '10.128.0.8/30' },
      'ix-5': { subnet: '10.128.1.0/24' }
    })
    assert.equal(file.defaults, undefined)
    // 1,146 km at two thirds of the speed of light.
    assert.deepEqual(file.routers['new-york']?.nics, [
      { lan: 'new-york-chicago', link: { delay: '5.729ms', rate: '10gbit' } },
      { lan: 'new-york-chicago-2', link: { delay: '5.729ms' } }
    ])
    assert.deepEqual(file.routers['chicago']?.nics?.[0], { lan: 'new-york-chicago' })
    assert.deepEqual(
      topology.entities.map(({ nics }) => nics.length),
      [2, 3, 2, 1, 1]
    )
  })

  it('names what it does not carry over, with its line', () => {
    noted(notes, [
      /graphml:10: "New York" is called new-york here/,
      /graphml:11: "Chicago" is called chicago/,
      /graphml:12: "Zürich" is called zurich/,
      /graphml:13: "New York" is called new-york-2/,
      /graphml:19: the edge from Zürich to itself/,
      /graphml:23: the edge is left out: no node "77"/
    ])
  })

  it('of more networks than a router can be told ways to has its routers speak OSPF', () => {
    const count = 100
    const nodes = Array.from({ length: count }, (_, place) => `<node id="${place}"/>`)
    const edges = nodes.map((_, place) => `<edge source="${place}" target="${(place + 1) % count}"/>`)
    const ring = `<graphml><graph>${nodes.join('')}${edges.join('')}</graph></graphml>`
    const large = imported((told) => readGraphml(ring, 'ring.graphml', told))
    assert.equal(large.file.defaults?.routing, 'ospf')
    assert.equal(large.topology.lans.length, count)
    noted(large.notes, [/ways to 100 networks do not fit/])
  })

  it('that is none is refused with its line', () => {
    const cases: [string, RegExp][] = [
      ['<svg/>', /g.graphml:1: is no GraphML/],
      ['<graphml>\n<graph><node id="1"></graph>', /g.graphml:2: is no XML/],
      ['<graphml>&bomb;</graphml>', /g.graphml:1: is no XML/],
      ['', /g.graphml:1: is no XML/],
      ['<graphml><graph/></graphml>', /has no node/],
      ['<graphml><graph><node id="1"><graph/></node></graph></graphml>', /a graph within a graph/],
      [`<graphml>${'<desc>'.repeat(100)}`, /nested too deeply/]
    ]
    for (const [text, what] of cases) {
      assert.throws(
        () => readGraphml(text, 'g.graphml', new Notes()),
        (error) => error instanceof ViolinError && what.test(error.message),
        text
      )
    }
  })
})

it('images and sizes of containers mean the same in every lab, but for the unit of a bare number', () => {
  for (const image of ['frrouting/frr:8', 'kathara/quagga', 'osrg/gobgp', 'my/ospf'])
    assert.ok(isRouting(image))
  assert.equal(isRouting('alpine:3'), false)
  assert.deepEqual(
    ['64m', '64Mb', '64MiB', '1g', '65536k', '1048576b', '0'].map((size) => memoryMiBOf(size, 'bytes')),
    [64, 64, 64, 1024, 64, 1, 1]
  )
  assert.deepEqual([memoryMiBOf('64', 'mebibytes'), memoryMiBOf('67108864', 'bytes')], [64, 64])
  for (const size of ['', 'm', '64t', '-1', '1e9', '64 m m']) assert.equal(memoryMiBOf(size, 'bytes'), null)
})
