/** The real network beyond overlay hosts, played by a namespace: routers and servers that no VIOLIN is told of. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { LabHost } from '#lab/host.ts'

/** Where its server is: no host has a route to it but the default one. */
export const serverAddress = '203.0.113.1'
export const serverPort = 8080

export class Outside implements AsyncDisposable {
  readonly namespace: string = `vout-${randomBytes(3).toString('hex')}`
  readonly #children: ChildProcess[] = []
  #links = 0

  /** Makes it, with a server that answers every connection with `hello from outside` and holds it. */
  static async create(): Promise<Outside> {
    const outside = new Outside()
    ip('netns', 'add', outside.namespace)
    outside.ip('link', 'set', 'lo', 'up')
    outside.ip('address', 'add', `${serverAddress}/32`, 'dev', 'lo')
    const server = outside.spawn([process.execPath, '-e', serverProgram])
    await once(server.stdout as NodeJS.ReadableStream, 'data')
    return outside
  }

  /** Connects a host: its default route leads here from now on. Gives both ends' addresses. */
  connect(
    host: LabHost,
    subnet = `192.0.${2 + this.#links}`
  ): { readonly host: string; readonly gateway: string } {
    const [inner, outer] = [`wan${this.#links}`, `to${this.#links}`]
    this.#links++
    ip(
      '-n',
      host.namespace,
      'link',
      'add',
      inner,
      'type',
      'veth',
      'peer',
      'name',
      outer,
      'netns',
      this.namespace
    )
    ip('-n', host.namespace, 'address', 'add', `${subnet}.2/24`, 'dev', inner)
    ip('-n', host.namespace, 'link', 'set', inner, 'up')
    this.ip('address', 'add', `${subnet}.1/24`, 'dev', outer)
    this.ip('link', 'set', outer, 'up')
    ip('-n', host.namespace, 'route', 'add', 'default', 'via', `${subnet}.1`)
    return { host: `${subnet}.2`, gateway: `${subnet}.1` }
  }

  /** A bridge of a host, with an address of the host's own, that leads here; `address` is the one here. */
  bridge(host: LabHost, name: string, address: string): void {
    const [port, outer] = [`port${this.#links}`, `lan${this.#links}`]
    this.#links++
    ip('-n', host.namespace, 'link', 'add', name, 'type', 'bridge')
    ip(
      '-n',
      host.namespace,
      'link',
      'add',
      port,
      'type',
      'veth',
      'peer',
      'name',
      outer,
      'netns',
      this.namespace
    )
    ip('-n', host.namespace, 'link', 'set', port, 'master', name, 'up')
    ip('-n', host.namespace, 'address', 'add', address.replace(/\.\d+\//, '.250/'), 'dev', name)
    ip('-n', host.namespace, 'link', 'set', name, 'up')
    this.ip('address', 'add', address, 'dev', outer)
    this.ip('link', 'set', outer, 'up')
  }

  /** A router that no VIOLIN is told of: FRR's daemons and their configuration, on files of the image `router`. */
  async router(image: string, daemons: readonly string[], configuration: string): Promise<void> {
    const script = `cd /etc/frr; printf %s "$1" > frr.conf; mkdir -p /run/frr
printf 'service integrated-vtysh-config\\nusername root nopassword\\n' > vtysh.conf
for daemon in ${daemons.join(' ')}; do /usr/lib/frr/$daemon -d -u root -g root; done
vtysh -b >&2 && echo up && exec sleep infinity`
    const jail = ['--die-with-parent', '--unshare-pid', '--cap-add', 'ALL', '--ro-bind', image, '/']
    const own = ['/run', '/tmp', '/var/tmp', '/etc/frr', '/var/log'].flatMap((path) => ['--tmpfs', path])
    const inside = ['--proc', '/proc', '--dev', '/dev', '--', '/bin/sh', '-c', script, 'sh', configuration]
    const child = this.spawn(['/usr/bin/bwrap', ...jail, ...own, ...inside])
    const failed = once(child, 'exit').then(([status]) => {
      throw new Error(`the router outside ended with status ${String(status)}`)
    })
    failed.catch(() => undefined)
    await Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data'), failed])
  }

  /** Runs a program outside to its end. */
  async run(argv: readonly string[]): Promise<{ readonly status: number | null; readonly stdout: string }> {
    const child = this.spawn(argv)
    let stdout = ''
    child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    const [status] = (await once(child, 'close')) as [number | null]
    return { status, stdout }
  }

  ip(...args: readonly string[]): void {
    ip('-n', this.namespace, ...args)
  }

  spawn(argv: readonly string[]): ChildProcess {
    const child = spawn('/usr/bin/nsenter', [`--net=/run/netns/${this.namespace}`, '--', ...argv], {
      stdio: ['ignore', 'pipe', 'inherit']
    })
    this.#children.push(child)
    return child
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    ip('netns', 'del', this.namespace)
  }
}

/** Greets with the address that it sees, then says a line whenever it hears one. */
const serverProgram = `
require('node:net')
  .createServer((socket) => {
    socket.on('error', () => undefined)
    socket.write('hello ' + socket.remoteAddress.replace('::ffff:', '') + '\\n')
    socket.pipe(socket)
  })
  .listen(${serverPort}, () => console.log('up'))
`

function ip(...args: readonly string[]): void {
  execFileSync('/usr/sbin/ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}
