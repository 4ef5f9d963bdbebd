/** The text of `text/event-stream` (WHATWG HTML §9.2). */

/** A line that only keeps the connection warm. */
export const COMMENT = ': \n\n'

/** An event without data, from which a client can resume, and after how many ms it should try (SEP-1699). */
export function primingText(id: string, retry: number): string {
  return `id: ${id}\nretry: ${retry}\ndata: \n\n`
}

/** One event. Line ends inside of `data` are kept as such, however they were written. */
export function eventText(data: string, id?: string): string {
  const lines = /[\r\n]/.test(data) ? data.split(/\r\n|\r|\n/).join('\ndata: ') : data
  return `${id === undefined ? '' : `id: ${id}\n`}data: ${lines}\n\n`
}
