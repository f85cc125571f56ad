/**
 * vNICs and consoles of User-Mode Linux machines, measured: TCP and ping between two machines on one vLAN, and
 * bytes through a port of the console each way.
 *
 *     npm run bench:vhost -- --help
 *
 * Needs Debian's user-mode-linux, bubblewrap, busybox-static and iperf3.
 */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Consoles } from '#slice/vhost/consoles.ts'
import { listenUnix } from '#syscalls/unix-socket.ts'
import { Machines, programFiles } from '../slice/vhost/machines.ts'
import { Network } from '../slice/vhost/network.ts'
import { printReport, row } from './report.ts'
import { asked, json, needs, whole } from './usage.ts'

const {
  json: asJson,
  runs,
  seconds
} = asked({
  command: 'npm run bench:vhost --',
  measures: 'vNICs and consoles of User-Mode Linux machines. Needs user-mode-linux and iperf3.',
  options: { json, runs: whole('runs of each', 3), seconds: whole('of each stream', 4) },
  check: () => needs('iperf3', 'linux.uml')
})
const consoleBytes = 128 * 1024 * 1024

/** iperf3 and the libraries that it loads. */
function iperf(): string[] {
  const listed = execFileSync('ldd', ['/usr/bin/iperf3'], { encoding: 'utf8' })
  return ['/usr/bin/iperf3', ...Array.from(listed.matchAll(/(\/lib\S+) \(/g), (match) => match[1] as string)]
}

const setUp = (number: number): string => `ip link set lo up
ip link set eth0 up
ip addr add 192.168.7.${number}/24 dev eth0
`

/** Mb/s received from the one machine by the other, and the ping's average in ms. */
async function network(into: { mbps: number[]; reverse: number[]; pingMs: number[] }): Promise<void> {
  await using net = new Network()
  await using machines = new Machines()
  const files = programFiles(iperf())
  const [first, second] = [1, 2].map((number) => net.port(machines.folder, number)) as [string, string]
  const server = machines.boot({
    script: `${setUp(1)}/usr/bin/iperf3 -s -D -I /tmp/pid\necho is up\nsleep 1000\n`,
    devices: [first],
    memoryMiB: 128,
    files
  })
  await server.line(/is up/)
  const client = machines.boot({
    script: `${setUp(2)}ping -c 1 -W 5 192.168.7.1 >/dev/null
ping -q -c 100 -i 0.02 192.168.7.1
/usr/bin/iperf3 -f m -t ${seconds} -c 192.168.7.1 | sed s/^/forward:/
/usr/bin/iperf3 -f m -R -t ${seconds} -c 192.168.7.1 | sed s/^/reverse:/
poweroff -f\n`,
    devices: [second],
    memoryMiB: 128,
    files
  })
  const number = async (pattern: RegExp): Promise<number> => Number((await client.line(pattern))[1])
  into.pingMs.push(await number(/= [\d.]+\/([\d.]+)\/[\d.]+ ms/))
  into.mbps.push(await number(/forward:.* ([\d.]+) Mbits\/sec +receiver/))
  into.reverse.push(await number(/reverse:.* ([\d.]+) Mbits\/sec +receiver/))
}

/** MB/s out of a machine and into it. */
async function console(into: { out: number[]; in: number[] }): Promise<void> {
  await using consoles = Consoles.start()
  await using machines = new Machines()
  const path = join(machines.folder, 'console')
  const device = consoles.attach(listenUnix(path, 0o600), { maxPorts: 4 })
  machines.boot({
    script: `until [ -c /dev/vport0p1 ] && command exec 4</dev/vport0p1; do usleep 10000; done
until read -r line <&4; do usleep 10000; done
dd if=/dev/zero bs=64k count=${consoleBytes / 65536} of=/dev/vport0p2
read -r line <&4
dd of=/dev/null bs=64k <&4
exec 4<&-
sleep 1000
`,
    devices: [`${path}:3`]
  })
  const [input, output] = [device.openPort(1), device.openPort(2)]
  input.write('go\n')
  await once(output, 'readable')
  const startMs = performance.now()
  output.resume()
  await once(output, 'end')
  into.out.push(consoleBytes / 1e3 / (performance.now() - startMs))
  const inputMs = performance.now()
  input.write('go\n')
  input.end(Buffer.alloc(consoleBytes))
  input.resume()
  await once(input, 'end')
  into.in.push(consoleBytes / 1e3 / (performance.now() - inputMs))
}

const net = { mbps: [] as number[], reverse: [] as number[], pingMs: [] as number[] }
const port = { out: [] as number[], in: [] as number[] }
for (let i = 0; i < runs; i++) {
  await network(net)
  await console(port)
}
printReport(
  [
    row('vNIC to vNIC, TCP', 'Mb/s', net.mbps, { atLeast: 800 }),
    row('vNIC to vNIC, TCP reversed', 'Mb/s', net.reverse, { atLeast: 800 }),
    row('vNIC to vNIC, ping', 'ms', net.pingMs, { atMost: 2 }),
    row('console, out of the machine', 'MB/s', port.out),
    row('console, into the machine', 'MB/s', port.in)
  ],
  asJson
)
