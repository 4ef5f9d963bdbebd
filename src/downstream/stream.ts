/**
 * Event streams to one client that can be resumed where they broke.
 *
 * A stream outlives the connections that carry it: events said while nobody listens wait in the session's bounded replay
 * buffer, and whoever comes with a `Last-Event-ID` gets what came after. (2025-11-25, Streamable HTTP, Resumability)
 */
import { COMMENT, eventText, primingText } from '../rpc/eventstream.ts'

/** What a session keeps for replay, over all its streams. The oldest goes first. */
export const MAX_REPLAY_EVENTS = 1_000
export const MAX_REPLAY_SIZE = 4 * 1024 * 1024
/** What a client may leave unread before its connection is closed. It may come back and resume. */
const MAX_UNREAD = 16 * 1024 * 1024

/** After how many ms a client should try to resume. */
const RETRY = 1_000
/** How many connections may listen to one stream. */
const MAX_LISTENERS = 4

/** The recent events of all streams of one session. */
export class Replay {
  #events: { stream: number; sequence: number; data: string }[] = []
  #size = 0

  keep(stream: number, sequence: number, data: string): void {
    this.#events.push({ stream, sequence, data })
    this.#size += data.length
    while (this.#events.length > MAX_REPLAY_EVENTS || this.#size > MAX_REPLAY_SIZE) {
      this.#size -= this.#events.shift()!.data.length
    }
  }

  /** What a stream said after an event, as far back as it is kept. */
  after(stream: number, sequence: number): { sequence: number; data: string }[] {
    return this.#events.filter((event) => event.stream === stream && event.sequence > sequence)
  }
}

/** Where in which stream a client was. */
export interface Position {
  stream: number
  sequence: number
}

/** @returns undefined if the text is no event id of ours. */
export function parseEventId(text: string): Position | undefined {
  const match = /^(\d{1,9})-(\d{1,9})$/.exec(text)
  return match ? { stream: Number(match[1]), sequence: Number(match[2]) } : undefined
}

export class ResumableStream {
  readonly number: number
  readonly #replay: Replay
  readonly #priming: boolean
  // The newest carries what is said; the older ones are kept warm, and take over should it break.
  #controllers: ReadableStreamDefaultController<Uint8Array>[] = []
  #sequence = 0
  #delivered = 0
  #lastWrite = 0

  /** @param priming opens with an empty event, so that a client can resume before anything was said (SEP-1699). */
  constructor(number: number, replay: Replay, priming: boolean) {
    this.number = number
    this.#replay = replay
    this.#priming = priming
  }

  /** Whether somebody is listening. */
  get isOpen(): boolean {
    return this.#controllers.length > 0
  }

  /** A body that carries this stream, from what came after `after`, or else from what nobody has heard yet. */
  open(after?: number): ReadableStream<Uint8Array> {
    let mine: ReadableStreamDefaultController<Uint8Array>
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          mine = controller
          if (this.#controllers.push(controller) > MAX_LISTENERS) close(this.#controllers.shift())
          // Something must flow at once, or proxies and clients wait for the headers.
          const from = after ?? this.#delivered
          const prime = this.#priming && after === undefined
          this.#write(prime ? primingText(this.#id(from), RETRY) : COMMENT)
          for (const { sequence, data } of this.#replay.after(this.number, from)) {
            this.#write(eventText(data, this.#id(sequence)))
          }
          this.#delivered = this.#sequence
        },
        cancel: () => this.#drop(mine),
      },
      new ByteLengthQueuingStrategy({ highWaterMark: MAX_UNREAD }),
    )
  }

  send(data: string): void {
    const sequence = ++this.#sequence
    this.#replay.keep(this.number, sequence, data)
    if (!this.isOpen) return
    this.#delivered = sequence
    this.#write(eventText(data, this.#id(sequence)))
  }

  /** Closes what carries it. What was said meanwhile waits for whoever comes to resume. */
  close(): void {
    for (const controller of this.#controllers) close(controller)
    this.#controllers = []
  }

  /** Writes a comment if nothing was written for `silence` ms. */
  keepAlive(now: number, silence: number): void {
    if (now - this.#lastWrite < silence) return
    this.#lastWrite = now
    for (const controller of [...this.#controllers]) this.#enqueue(controller, COMMENT)
  }

  #id(sequence: number): string {
    return `${this.number}-${sequence}`
  }

  #write(text: string): void {
    const current = this.#controllers.at(-1)
    if (!current) return
    this.#lastWrite = performance.now()
    this.#enqueue(current, text)
  }

  #enqueue(controller: ReadableStreamDefaultController<Uint8Array>, text: string): void {
    try {
      controller.enqueue(Buffer.from(text))
      if ((controller.desiredSize ?? 0) >= 0) return
    } catch {
      // The client has left, and nobody told us yet.
    }
    this.#drop(controller)
    close(controller)
  }

  #drop(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#controllers = this.#controllers.filter((other) => other !== controller)
  }
}

function close(controller: ReadableStreamDefaultController<Uint8Array> | undefined): void {
  try {
    controller?.close()
  } catch {
    // Closed from the other side.
  }
}
