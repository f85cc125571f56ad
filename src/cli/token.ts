/** A token as it is given: the text itself, `@FILE`, `-` for standard input, or $VIOLIN_TOKEN. */
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { ViolinError } from '#core/errors.ts'

/** The token's text. Throws ViolinError `usage`. */
export async function readToken(given: string | undefined): Promise<string> {
  if (given === '-') return (await text(process.stdin)).trim()
  if (given?.startsWith('@') === true) {
    try {
      return readFileSync(given.slice(1), 'utf8').trim()
    } catch (error: unknown) {
      throw new ViolinError(
        'usage',
        `the token's file cannot be read: ${(error as Error).message}`,
        'name the file that `violin invite` was written to'
      )
    }
  }
  const token = given ?? process.env['VIOLIN_TOKEN']
  if (token !== undefined && token !== '') return token
  throw new ViolinError(
    'usage',
    'no token given',
    'violin join TOKEN, or @FILE, or - for standard input, or $VIOLIN_TOKEN'
  )
}
