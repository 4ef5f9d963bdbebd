/**
 * The requests of one POST on their way to its one response: plain JSON if the answer is all there is to say, an event
 * stream from the moment that something else is.
 */
import type { Delivery } from './delivery.ts'
import type { ResumableStream } from './stream.ts'

const JSON_ANSWER = { headers: new Headers({ 'content-type': 'application/json' }) }

export class Exchange {
  readonly since: number
  readonly response: Promise<Response>
  readonly #delivery: Delivery
  readonly #version: string
  #open: number
  readonly #respond: (response: Response) => void
  #stream: ResumableStream | undefined

  /** @param open how many requests are to be answered. */
  constructor(delivery: Delivery, open: number, version: string, since: number) {
    const { promise, resolve } = Promise.withResolvers<Response>()
    this.response = promise
    this.#respond = resolve
    this.#delivery = delivery
    this.#version = version
    this.#open = open
    this.since = since
  }

  get isStreamed(): boolean {
    return this.#stream !== undefined
  }

  /** From now on the answer comes as events. */
  stream(): ResumableStream {
    if (!this.#stream) {
      const [stream, response] = this.#delivery.openStream(this.#version)
      this.#stream = stream
      this.#respond(response)
    }
    return this.#stream
  }

  settle(text: string | undefined): void {
    this.#open--
    if (this.#stream) {
      if (text !== undefined) this.#stream.send(text)
      if (this.#open === 0) this.#delivery.endStream(this.#stream)
    } else if (text !== undefined) {
      this.#respond(new Response(text, JSON_ANSWER))
    } else {
      // A cancelled request has no answer (2025-11-25, basic/utilities/cancellation): an event stream without events.
      this.#respond(this.#delivery.streamed(''))
    }
  }
}
