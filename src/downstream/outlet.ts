/**
 * One response that carries events, for as long as its client reads them.
 *
 * What a client leaves unread is bounded: who reads too slowly is let go like who has left.
 */
import { COMMENT, eventText } from '../rpc/eventstream.ts'

/** How often an open stream says something, in ms. Well below the minute after which proxies give up. */
export const KEEP_ALIVE = 15_000
/** What a client may leave unread before it is let go. */
export const MAX_UNREAD = 16 * 1024 * 1024

const HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
}

/** A response whose body is an event stream. */
export function streamed(
  body: ReadableStream<Uint8Array> | '',
  headers: Record<string, string> = {},
): Response {
  return new Response(body, { headers: { ...HEADERS, ...headers } })
}

/** Its owner should write something at once: proxies and clients wait until then, even for the headers. */
export class Outlet {
  readonly body: ReadableStream<Uint8Array>
  readonly #onGone: (why: string) => void
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #lastWrite = 0

  /** @param onGone the client has left, or was let go. Not told of `close`. */
  constructor(onGone: (why: string) => void) {
    this.#onGone = onGone
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        cancel: () => this.#leave(LEFT),
      },
      // Bun's memory for a response grows with this mark: 12 KB from none to the bound.
      new ByteLengthQueuingStrategy({ highWaterMark: 0 }),
    )
  }

  /** False if nobody takes it any more. */
  write(text: string): boolean {
    const controller = this.#controller
    if (!controller) return false
    let why = 'the client does not read'
    try {
      if ((controller.desiredSize ?? -MAX_UNREAD) > -MAX_UNREAD) {
        controller.enqueue(Buffer.from(text))
        this.#lastWrite = performance.now()
        return true
      }
    } catch {
      // Nobody told us yet.
      why = LEFT
    }
    this.#leave(why)
    return false
  }

  /** Writes an event that has a name. */
  tell(event: string, data: string): boolean {
    return this.write(`event: ${event}\n${eventText(data)}`)
  }

  /** Writes a comment if nothing was written for `silence` ms. */
  keepAlive(now: number, silence = KEEP_ALIVE): void {
    if (now - this.#lastWrite < silence) return
    this.write(COMMENT)
    this.#lastWrite = now
  }

  /** What was written still arrives. Idempotent. */
  close(): void {
    const controller = this.#controller
    this.#controller = undefined
    try {
      controller?.close()
    } catch {
      // Closed from the other side.
    }
  }

  #leave(why: string): void {
    if (!this.#controller) return
    this.close()
    this.#onGone(why)
  }
}

const LEFT = 'the client has left'
