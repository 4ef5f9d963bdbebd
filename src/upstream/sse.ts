/**
 * HTTP+SSE as a client (2024-11-05): one event stream carries all that the server says, and its first event names the
 * URI to which our messages are POSTed.
 *
 * The stream is the conversation: once it ends, for whatever reason, nothing can be resumed.
 */
import { toError } from '../errors.ts'
import type { EventSink } from '../rpc/eventstream.ts'
import { parseBody } from '../rpc/message.ts'
import type { Receiver, Transport } from '../rpc/peer.ts'
import { Dialogue, type Outgoing } from './dialogue.ts'
import type { Remote, RemoteObserver } from './remote.ts'
import { discard, mediaType, RemoteError, readEvents, refusalOf, textOf, Wire } from './wire.ts'

/** How long a server may take to name its endpoint, in ms. */
const ENDPOINT_DEADLINE = 10_000

export class Sse implements Transport {
  readonly gone: Promise<void>
  readonly #wire: Wire
  readonly #dialogue: Dialogue
  readonly #endpoint = Promise.withResolvers<URL>()
  readonly #closed = Promise.withResolvers<void>()

  /** @throws {TypeError} as {@link Wire} does. */
  constructor(
    remote: Remote,
    receiver: Receiver,
    observer: RemoteObserver,
    deadline = ENDPOINT_DEADLINE,
  ) {
    this.#wire = new Wire(remote)
    this.#dialogue = new Dialogue(receiver, observer, (message) => this.#post(message))
    this.gone = this.#closed.promise
    this.#dialogue.run(this.#listen(deadline))
  }

  send(text: string): void {
    this.#dialogue.send(text)
  }

  settle(_id: string, text: string | undefined): void {
    if (text !== undefined) this.#dialogue.send(text)
  }

  close(): void {
    this.#closed.resolve(this.#dialogue.close())
  }

  async #listen(deadline: number): Promise<void> {
    const timer = setTimeout(() => {
      const message = `it never sent its endpoint: ${deadline} ms have passed`
      this.#dialogue.fail(new RemoteError('protocol', message))
    }, deadline)
    this.#endpoint.promise.then(() => clearTimeout(timer))
    try {
      await this.#hear()
    } catch (error) {
      this.#dialogue.fail(toError(error))
    } finally {
      clearTimeout(timer)
    }
  }

  /** @throws {RemoteError} always: the stream should not end. */
  async #hear(): Promise<never> {
    const { signal } = this.#dialogue
    const headers = { Accept: 'text/event-stream' }
    const response = await this.#wire.ask({ method: 'GET', headers, signal })
    if (!response.ok) throw (await refusalOf(response)).error
    const type = mediaType(response)
    if (type !== 'text/event-stream') {
      discard(response)
      throw new RemoteError(
        'protocol',
        `it answered GET with ${type || 'nothing'}, not an event stream`,
      )
    }
    const sink: EventSink = {
      event: (data, type) => {
        if (type === 'endpoint') this.#endpoint.resolve(this.#sameOrigin(data, response.url))
        else if (type === 'message' && data !== '') this.#dialogue.receive(data)
      },
      refused: (ends, why) => this.#dialogue.refused(ends, why),
    }
    await readEvents(response, sink, { lastId: '', retry: undefined })
    throw new RemoteError('broken', 'it ended its event stream')
  }

  /** Whoever names the endpoint gets our headers: it must be who we were sent to. */
  #sameOrigin(endpoint: string, base: string): URL {
    const url = URL.parse(endpoint, base)
    if (!url) throw new RemoteError('protocol', 'its endpoint is no URI')
    if (url.origin === this.#wire.url.origin) return url
    throw new RemoteError('refused', `its endpoint is at another origin, ${url.origin}`)
  }

  async #post(message: Outgoing): Promise<void> {
    const { id, text, signal } = message
    const url = await Promise.race([this.#endpoint.promise, message.over])
    if (!url) return
    const headers = { 'Content-Type': 'application/json' }
    const response = await this.#wire.ask({ method: 'POST', url, headers, body: text, signal })
    if (!response.ok) return this.#dialogue.judge(response, true, id)
    // Some servers answer here.
    if (mediaType(response) === 'application/json') this.#glean(await textOf(response), id)
    else discard(response)
    if (id !== undefined) await message.over
  }

  #glean(body: string, id: number | undefined): void {
    try {
      parseBody(body)
    } catch {
      return
    }
    this.#dialogue.receive(body, id)
  }
}
