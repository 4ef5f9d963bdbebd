/** The text of `text/event-stream` (WHATWG HTML §9.2): written, and read wherever its portions end. */

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

/** Where one is in a stream, and how to come back. It outlives the connections that carry the stream. */
export interface Bookmark {
  /** As for `Last-Event-ID`; empty if there is none. */
  lastId: string
  /** After how many ms to come back, if the stream has said so. */
  retry: number | undefined
}

export interface EventSink {
  /** An event. Its type is `message` unless it says otherwise. */
  event(data: string, type: string): void
  /** An event over the limit: how its data begins and ends, and why. */
  refused(ends: string, why: string): void
}

/** Reads what one connection carries. An event that it breaks off is as if it had never begun. */
export class EventReader {
  readonly #sink: EventSink
  readonly #bookmark: Bookmark
  readonly #limit: number
  // It takes a byte order mark off.
  readonly #decoder = new TextDecoder()
  readonly #line: Excerpt
  readonly #data: Excerpt
  #hasData = false
  #type = ''
  #id: string | undefined
  #endsInReturn = false

  /** @param limit of an event's data, in UTF-16 code units. */
  constructor(sink: EventSink, bookmark: Bookmark, limit: number) {
    this.#sink = sink
    this.#bookmark = bookmark
    this.#limit = limit
    this.#line = new Excerpt(limit + 'data: '.length)
    this.#data = new Excerpt(limit)
  }

  push(bytes: Uint8Array): void {
    let text = this.#decoder.decode(bytes, { stream: true })
    if (text === '') return
    // The end of the line was told at its carriage return: the line feed may never come.
    if (this.#endsInReturn && text.startsWith('\n')) text = text.slice(1)
    this.#endsInReturn = text.endsWith('\r')
    const lines = text.split(/\r\n?|\n/)
    const begun = lines.pop()!
    for (const line of lines) {
      this.#line.add(line)
      if (this.#line.length > 0) this.#field(this.#line)
      else this.#dispatch()
      this.#line.clear()
    }
    this.#line.add(begun)
  }

  #field({ text, length }: Excerpt): void {
    const colon = text.indexOf(':')
    const name = colon < 0 ? text : text.slice(0, colon)
    const start = colon < 0 ? length : colon + (text[colon + 1] === ' ' ? 2 : 1)
    const value = text.slice(start)
    switch (name) {
      case 'data':
        if (this.#hasData) this.#data.add('\n')
        this.#data.add(value, length - start)
        this.#hasData = true
        break
      case 'event':
        this.#type = value
        break
      case 'id':
        if (!value.includes('\0')) this.#id = value
        break
      case 'retry':
        if (/^\d+$/.test(value)) this.#bookmark.retry = Number(value)
        break
    }
  }

  #dispatch(): void {
    const { text, length } = this.#data
    const type = this.#type || 'message'
    const hasData = this.#hasData
    this.#data.clear()
    this.#type = ''
    this.#hasData = false
    if (this.#id !== undefined) this.#bookmark.lastId = this.#id
    if (!hasData) return
    if (length <= this.#limit) this.#sink.event(text, type)
    else this.#sink.refused(text, `an event of ${length} characters, over ${this.#limit}`)
  }
}

/** Of a text over the limit, how much is kept: enough to see which request it answers. */
const BEGINNING = 1024
const END = 64

/** A text that grows. Once it is over its limit only its two ends are kept. */
class Excerpt {
  readonly #limit: number
  text = ''
  /** Of the whole. */
  length = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** @param length of the whole part, if it is an excerpt itself. */
  add(part: string, length = part.length): void {
    this.text += part
    this.length += length
    if (this.length <= this.#limit) return
    const rest = this.text.slice(BEGINNING)
    this.text = this.text.slice(0, BEGINNING) + rest.slice(-END)
  }

  clear(): void {
    this.text = ''
    this.length = 0
  }
}
