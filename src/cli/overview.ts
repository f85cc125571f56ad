/** What `violin` alone says: every verb in a line, in the order in which people meet them. */
import { styleText } from 'node:util'
import type { Application } from '@stricli/core'
import type { Context } from './context.ts'

const groups: readonly { readonly title: string; readonly verbs: readonly string[] }[] = [
  {
    title: 'This host',
    verbs: ['doctor', 'init', 'join', 'daemon', 'hosts', 'events', 'image', 'drain', 'leave']
  },
  { title: 'Who is in', verbs: ['invite', 'revoke', 'refuse'] },
  {
    title: 'VIOLINs',
    verbs: [
      'import',
      'plan',
      'apply',
      'list',
      'show',
      'wait',
      'migrate',
      'nic',
      'stop',
      'start',
      'restart',
      'link',
      'delete'
    ]
  },
  { title: 'Experiments', verbs: ['run'] },
  { title: 'Inside', verbs: ['exec', 'console', 'cp', 'capture'] },
  { title: 'Real hosts and networks', verbs: ['attach', 'detach', 'offer', 'jetway'] },
  { title: 'To try', verbs: ['demo', 'lab'] }
]

const intro = `violin: virtual internetworks of User-Mode Linux machines on a mesh of ordinary hosts

`
const outro = `
Every verb takes --help, --dir DIR (the host's folder; else $VIOLIN_DIR) and --debug; most take --json.
Begin with: violin demo, or on a host of your own: violin doctor; violin init; violin daemon
`

/** The overview as text, styled where standard output is a terminal. */
export function overview(app: Application<Context>): string {
  const root = app.root as Exclude<typeof app.root, { readonly parameters: unknown }>
  const briefs = new Map(root.getAllEntries().map(({ name, target }) => [name.original, target.brief]))
  const lines = groups.flatMap(({ title, verbs }) => [
    styleText('bold', title, { stream: process.stdout }),
    ...verbs.map((verb) => `  ${verb.padEnd(9)}${briefs.get(verb) ?? ''}`)
  ])
  return `${intro}${lines.join('\n')}\n${outro}`
}
