/**
 * Event streams to one client that can be resumed where they broke.
 *
 * A stream outlives the connections that carry it: events said while nobody listens wait in the session's bounded replay
 * buffer, and whoever comes with a `Last-Event-ID` gets what came after. (2025-11-25, Streamable HTTP, Resumability)
 */
import { COMMENT, eventText, primingText } from '../rpc/eventstream.ts'
import { Outlet } from './outlet.ts'

/** What a session keeps for replay, over all its streams. The oldest goes first. */
export const MAX_REPLAY_EVENTS = 1_000
export const MAX_REPLAY_SIZE = 4 * 1024 * 1024
/** After how many ms a client should try to resume. */
const RETRY = 1_000
/** How many connections may carry one stream. */
const MAX_OUTLETS = 4

/** The recent events of all streams of one session. */
export class Replay {
  #events: { stream: number; sequence: number; data: string }[] = []
  #size = 0

  /** @param isHeard whether somebody is listening. What nobody has heard stays until the next event, however big. */
  keep(stream: number, sequence: number, data: string, isHeard: boolean): void {
    this.#events.push({ stream, sequence, data })
    this.#size += data.length
    const least = isHeard ? 0 : 1
    while (
      this.#events.length > MAX_REPLAY_EVENTS ||
      (this.#size > MAX_REPLAY_SIZE && this.#events.length > least)
    ) {
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
  /** Whether its client knows how to come back for the rest. */
  readonly isResumable: boolean
  readonly #replay: Replay
  // The newest carries what is said; the older ones are kept warm, and take over should it break.
  #outlets: Outlet[] = []
  #sequence = 0
  #delivered = 0

  /** @param isResumable opens with an empty event, so that a client can resume before anything was said (SEP-1699). */
  constructor(number: number, replay: Replay, isResumable: boolean) {
    this.number = number
    this.isResumable = isResumable
    this.#replay = replay
  }

  /** The last thing it said. */
  get sequence(): number {
    return this.#sequence
  }

  /** Whether somebody is listening. */
  get isOpen(): boolean {
    return this.#outlets.length > 0
  }

  /** A body that carries this stream, from what came after `after`, or else from what nobody has heard yet. */
  open(after?: number): ReadableStream<Uint8Array> {
    const outlet = new Outlet(() => this.#drop(outlet))
    if (this.#outlets.push(outlet) > MAX_OUTLETS) this.#outlets.shift()!.close()
    const from = after ?? this.#delivered
    const prime = this.isResumable && after === undefined
    outlet.write(prime ? primingText(this.#id(from), RETRY) : COMMENT)
    for (const { sequence, data } of this.#replay.after(this.number, from)) {
      outlet.write(eventText(data, this.#id(sequence)))
    }
    this.#delivered = this.#sequence
    return outlet.body
  }

  send(data: string): void {
    const sequence = ++this.#sequence
    this.#replay.keep(this.number, sequence, data, this.isOpen)
    const text = eventText(data, this.#id(sequence))
    // Who cannot take it is let go, and the one before takes over.
    for (let last = this.#outlets.at(-1); last; last = this.#outlets.at(-1)) {
      if (!last.write(text)) continue
      this.#delivered = sequence
      return
    }
  }

  /** Closes what carries it. What was said meanwhile waits for whoever comes to resume. */
  close(): void {
    for (const outlet of this.#outlets) outlet.close()
    this.#outlets = []
  }

  /** Writes a comment wherever nothing was written for `silence` ms. */
  keepAlive(now: number, silence?: number): void {
    for (const outlet of [...this.#outlets]) outlet.keepAlive(now, silence)
  }

  #id(sequence: number): string {
    return `${this.number}-${sequence}`
  }

  #drop(outlet: Outlet): void {
    this.#outlets = this.#outlets.filter((other) => other !== outlet)
  }
}
