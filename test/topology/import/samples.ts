/** Labs as people write them, in other programs' words. */
import type { Folder } from '#topology/import/foreign.ts'

/** A folder in memory. */
export function folderOf(files: Readonly<Record<string, string>>): Folder {
  return {
    files: Object.keys(files).toSorted(),
    skipped: [],
    read: (path) => ({ data: new TextEncoder().encode(files[path]), mode: 0o644 })
  }
}

/** Two networks behind two routers, with static routes. */
export const kathara: Readonly<Record<string, string>> = {
  'lab.conf': `LAB_DESCRIPTION="Static routing"
LAB_VERSION=1.0
LAB_AUTHOR="somebody"

# the routers
r1[0]="A"
r1[1]="B"
r1[image]="kathara/quagga"
r2[0]="C"
r2[1]="B/02:00:00:00:00:07"   # towards r1
pc1[0]=A
pc1[mem]="128m"
pc1[env]="GREETING=hello there"
pc1[port]="8080:80/tcp"
pc2[0]="C"
pc2[exec]="echo ready > /ready"
pc2[sysctl]="net.ipv4.tcp_syncookies=1"
what is this
`,
  'shared.startup': 'echo started > /started\n',
  'r1.startup': `ip address add 195.11.14.1/24 dev eth0
ip address add 100.0.0.9/30 dev eth1
ip address add 10.255.0.1/32 dev lo
ip route add 200.1.1.0/24 via 100.0.0.10 dev eth1
/etc/init.d/zebra start
`,
  'r2.startup': `ifconfig eth0 200.1.1.1 netmask 255.255.255.0 broadcast 200.1.1.255 up
ifconfig eth1 100.0.0.10/30 up
route add -net 195.11.14.0/24 gw 100.0.0.9 dev eth1
`,
  'pc1.startup': `ip addr add 195.11.14.5/24 dev eth0
ip route add default via 195.11.14.1
`,
  'pc2.startup': `ip link set eth0 up
ip addr add 200.1.1.7/24 dev eth0
route add default gw 200.1.1.1
if true; then
  ip addr add 200.1.1.8/24 dev eth0
fi
cat > /etc/note << EOF
ip route add default via 1.2.3.4
EOF
`,
  'r2/etc/quagga/daemons': 'zebra=yes\nospfd=yes\n',
  'r2/etc/quagga/zebra.conf': 'hostname r2\npassword zebra\n',
  'r2/etc/quagga/ospfd.conf': 'router ospf\n network 0.0.0.0/0 area 0\n',
  'pc1/etc/motd': 'welcome\n',
  'pc1/root/run.sh': '#!/bin/sh\n',
  'pc2.shutdown': 'echo bye\n',
  'pc3.startup': 'echo nobody\n',
  'shared/data.txt': 'all\n',
  'lab.dep': 'pc2: pc1\n'
}

/** Two FRR routers, a bridge with two clients, and what belongs to containerlab alone. */
export const containerlab: string = `name: frr01
mgmt:
  network: frr01-mgmt
topology:
  defaults:
    kind: linux
    env: { SITE: north }
  kinds:
    linux:
      image: alpine:3
  groups:
    routers:
      image: quay.io/frrouting/frr:8.4.1
      binds:
        - ./daemons:/etc/frr/daemons
  nodes:
    router1:
      group: routers
      binds:
        - router1/frr.conf:/etc/frr/frr.conf
        - /lib/modules:/lib/modules:ro
      exec:
        - ip addr add 192.168.1.1/24 dev eth1
        - ip addr add 192.168.11.1/24 dev eth2
    router2:
      group: routers
      binds: ['router2/frr.conf:/etc/frr/frr.conf']
      exec:
        - ip addr add 192.168.1.2/24 dev eth1
        - ip addr add 192.168.12.1/24 dev eth2
      ports:
        - 8080:80
    PC1:
      memory: 512MB
      env: { SITE: south, N: 1 }
      exec:
        - ip addr add 192.168.11.2/24 dev eth1
        - ip route replace default via 192.168.11.1
        - bash -c "echo hello > /hello"
    pc2:
    switch:
      kind: bridge
    srl:
      kind: nokia_srlinux
      startup-config: srl.cli
  links:
    - endpoints: ["router1:eth1", "router2:eth1"]
    - endpoints: ["PC1:eth1", "router1:eth2"]
    - endpoints: ["switch:p1", "router2:eth2"]
    - endpoints: ["switch:p2", "pc2:eth1"]
    - endpoints: ["switch:p3", "srl:ethernet-1/1"]
      mtu: 9000
    - type: veth
      endpoints:
        - { node: router1, interface: eth3 }
        - { node: router2, interface: eth3 }
    - type: host
      endpoint: { node: pc2, interface: eth9 }
      host-interface: veth0
    - endpoints: ["pc2:eth8", "host:pc2-eth8"]
`

const ospf = `router ospf
 network 192.168.0.0/16 area 0
`

export const containerlabFiles: Readonly<Record<string, string>> = {
  daemons: 'zebra=yes\n',
  'router1/frr.conf': `hostname router1
${ospf}`,
  'router2/frr.conf': `hostname router2
${ospf}`
}

/** In the form of the Topology Zoo, with a shared medium, a double edge and a loop. */
export const graphml: string = `<?xml version="1.0" encoding="utf-8"?><graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key attr.name="Network" attr.type="string" for="graph" id="d10" />
  <key attr.name="label" attr.type="string" for="node" id="d32" />
  <key attr.name="Longitude" attr.type="double" for="node" id="d31" />
  <key attr.name="Latitude" attr.type="double" for="node" id="d28" />
  <key attr.name="hyperedge" attr.type="int" for="node" id="d27" />
  <key attr.name="LinkSpeedRaw" attr.type="double" for="edge" id="d36" />
  <graph edgedefault="undirected">
    <data key="d10">Little Net</data>
    <node id="0"><data key="d32">New York</data><data key="d31">-74.00597</data><data key="d28">40.71427</data></node>
    <node id="1"><data key="d32">Chicago</data><data key="d31">-87.65005</data><data key="d28">41.85003</data></node>
    <node id="2"><data key="d32">Zürich</data></node>
    <node id="3"><data key="d32">New York</data></node>
    <node id="4"><data key="d32">None</data></node>
    <node id="5"><data key="d32">IX</data><data key="d27">1</data></node>
    <edge source="0" target="1"><data key="d36">10000000000.0</data></edge>
    <edge source="0" target="1" />
    <edge source="1" target="2" />
    <edge source="2" target="2" />
    <edge source="2" target="5" />
    <edge source="3" target="5" />
    <edge source="4" target="5" />
    <edge source="4" target="77" />
  </graph>
</graphml>
`
