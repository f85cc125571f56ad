/** The command line as a tree: one file a verb. */
import {
  type Application,
  ArgumentScannerError,
  buildApplication,
  buildRouteMap,
  formatMessageForArgumentScannerError,
  text_en
} from '@stricli/core'
import { ViolinError } from '#core/errors.ts'
import type { Context } from './context.ts'
import { version } from './version.ts'
import { apply } from './verbs/apply.ts'
import { attach, detach } from './verbs/attach.ts'
import { capture } from './verbs/capture.ts'
import { consoleVerb } from './verbs/console.ts'
import { cp } from './verbs/cp.ts'
import { daemon } from './verbs/daemon.ts'
import { deleteVerb } from './verbs/delete.ts'
import { demo, lab } from './verbs/demo.ts'
import { doctor } from './verbs/doctor.ts'
import { drain } from './verbs/drain.ts'
import { events } from './verbs/events.ts'
import { exec } from './verbs/exec.ts'
import { hosts } from './verbs/hosts.ts'
import { image } from './verbs/image.ts'
import { importVerb } from './verbs/import.ts'
import { init } from './verbs/init.ts'
import { invite } from './verbs/invite.ts'
import { jetway } from './verbs/jetway.ts'
import { join } from './verbs/join.ts'
import { leave } from './verbs/leave.ts'
import { link } from './verbs/link.ts'
import { list } from './verbs/list.ts'
import { offer } from './verbs/offer.ts'
import { migrate } from './verbs/migrate.ts'
import { nic } from './verbs/nic.ts'
import { plan } from './verbs/plan.ts'
import { restart, start, stop } from './verbs/power.ts'
import { refuse } from './verbs/refuse.ts'
import { revoke } from './verbs/revoke.ts'
import { run } from './verbs/run.ts'
import { show } from './verbs/show.ts'
import { wait } from './verbs/wait.ts'

/** Verbs of later versions: told as such, not as a slip of the pen. */
const laterVerbs: ReadonlySet<string> = new Set(['ping', 'bugreport', 'top', 'kernel', 'ui'])

/** Builds the command line. `failed` reports what a verb threw and gives the exit status. */
export function buildApp(failed: (error: unknown) => number): Application<Context> {
  const routes = {
    init,
    join,
    daemon,
    invite,
    hosts,
    revoke,
    refuse,
    drain,
    leave,
    doctor,
    apply,
    plan,
    import: importVerb,
    list,
    show,
    wait,
    exec,
    console: consoleVerb,
    cp,
    capture,
    migrate,
    jetway,
    offer,
    attach,
    detach,
    stop,
    start,
    restart,
    link,
    events,
    image,
    run,
    nic,
    delete: deleteVerb,
    demo,
    lab
  }
  const root = buildRouteMap({
    routes,
    docs: {
      brief: 'Virtual internetworks on a mesh of ordinary hosts',
      fullDescription:
        "Every verb also takes --dir DIR (the host's folder; else $VIOLIN_DIR) and --debug (where an error comes from)."
    }
  })
  return buildApplication(root, {
    name: 'violin',
    versionInfo: { currentVersion: version },
    scanner: { caseStyle: 'allow-kebab-for-camel', allowArgumentEscapeSequence: true },
    documentation: { caseStyle: 'convert-camel-to-kebab', useAliasInUsageLine: false },
    determineExitCode: failed,
    localization: {
      text: {
        ...text_en,
        noCommandRegisteredForInput: ({ input, corrections }) => unknownVerb(input, corrections),
        exceptionWhileParsingArguments: wrongUsage,
        exceptionWhileRunningCommand: () => '',
        commandErrorResult: () => ''
      }
    }
  })
}

function unknownVerb(input: string, corrections: readonly string[]): string {
  if (laterVerbs.has(input)) return `\`${input}\` is not yet supported`
  const meant = corrections.length === 0 ? '' : `, did you mean ${corrections.join(' or ')}?`
  return `no command \`${input}\`${meant}`
}

/** What the scanner refuses; a value that one of our parsers refused with what to write instead. */
function wrongUsage(error: unknown): string {
  if (!(error instanceof ArgumentScannerError)) return error instanceof Error ? error.message : String(error)
  return formatMessageForArgumentScannerError(error, {
    ArgumentParseError: ({ externalFlagNameOrPlaceholder: name, exception }) => {
      const remedy = exception instanceof ViolinError ? `: ${exception.remedy}` : ''
      return `${name}: ${exception instanceof Error ? exception.message : String(exception)}${remedy}`
    }
  })
}
