/** Streams of rows that whoever reads them may end while they wait. */

/**
 * The rows of a generator that heeds the signal of `over`: it is aborted when the reader returns. The generator alone
 * would not do, for its `return` waits for the `next` under way.
 */
export function endable<Row>(
  begin: (over: AbortController) => AsyncGenerator<Row, void, void>
): AsyncIterableIterator<Row> {
  const over = new AbortController()
  const rows = begin(over)
  return {
    [Symbol.asyncIterator]() {
      return this
    },
    next: () => rows.next(),
    return() {
      over.abort()
      return rows.return()
    }
  }
}
