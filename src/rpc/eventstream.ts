/** The text of `text/event-stream` (WHATWG HTML §9.2). */

/** A line that only keeps the connection warm. */
export const COMMENT = ': \n\n'

/** One event. Line ends inside of `data` are kept as such, however they were written. */
export function eventText(data: string, id?: string): string {
  const lines = /[\r\n]/.test(data) ? data.split(/\r\n|\r|\n/).join('\ndata: ') : data
  return `${id === undefined ? '' : `id: ${id}\n`}data: ${lines}\n\n`
}
