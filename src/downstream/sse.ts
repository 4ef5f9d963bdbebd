/**
 * HTTP+SSE of revision 2024-11-05: a GET opens the event stream that is the session, messages are posted to the address
 * that its first event names, and every answer comes on the stream.
 *
 * The stream and the session end together. Nothing is kept for who comes back.
 */
import type { Principal } from '../caller.ts'
import { GatewayError } from '../errors.ts'
import type { Observer } from '../events.ts'
import type { Endpoint } from '../routing/endpoint.ts'
import type { Id } from '../rpc/message.ts'
import type { Transport } from '../rpc/peer.ts'
import { Outlet, streamed } from './outlet.ts'
import { accepts, parseMessages } from './request.ts'
import { Session } from './session.ts'
import type { Carrier, Knock, Sessions } from './sessions.ts'

export interface SseOptions {
  /** Largest request body, in bytes. */
  maxBodySize: number
}

export class Sse {
  readonly #options: () => SseOptions
  readonly #sessions: Sessions
  readonly #observe: Observer

  /** @param options as they are now. */
  constructor(options: () => SseOptions, sessions: Sessions, observe: Observer) {
    this.#options = options
    this.#sessions = sessions
    this.#observe = observe
  }

  /**
   * The stream of a new session.
   *
   * @param messagesAt where the client of a session is to post.
   * @throws {GatewayError} for what it refuses.
   */
  open(
    request: Request,
    { entrance, principal }: Knock,
    messagesAt: (session: string) => string,
  ): Response {
    if (!accepts(request.headers.get('accept') ?? '*/*', 'text/event-stream')) {
      throw new GatewayError('not_acceptable', 'Accept: expected text/event-stream')
    }
    this.#sessions.admit()
    const stream = this.#sessions.open(
      entrance,
      principal,
      (endpoint) => new SseStream(principal, endpoint, this.#observe),
    )
    return stream.open(messagesAt(stream.session.id))
  }

  /**
   * Takes what a client posts for the session that it names.
   *
   * @throws {GatewayError} for what it refuses.
   */
  async post(id: string | null, knock: Knock): Promise<Response> {
    if (!id) throw new GatewayError('session_required', 'Missing sessionId parameter')
    const body = parseMessages(await knock.body(this.#options().maxBodySize))
    this.#sessions.admit(body)
    const stream = this.#sessions.find(SseStream, id, knock.entrance, knock.principal)
    if (!stream) {
      throw new GatewayError('session_unknown', 'Session not found', {
        hint: 'a session ends with its event stream: open another one',
      })
    }
    const { session } = stream
    if (Array.isArray(body)) session.checkBatch()
    for (const message of [body].flat()) session.accept(message)
    return new Response('Accepted', { status: 202 })
  }
}

/** One session and its stream. */
class SseStream implements Transport, Carrier {
  readonly session: Session
  readonly isActive = true
  lastHeard = 0
  readonly #outlet = new Outlet((why) => this.session.end(why))

  constructor(principal: Principal, endpoint: Endpoint, observe: Observer) {
    this.session = new Session(principal, endpoint, this, observe)
  }

  open(messagesAt: string): Response {
    this.#outlet.tell('endpoint', messagesAt)
    return streamed(this.#outlet.body)
  }

  keepAlive(now: number): void {
    this.#outlet.keepAlive(now)
  }

  send(text: string): void {
    this.#outlet.tell('message', text)
  }

  settle(_id: Id, text: string | undefined): void {
    if (text !== undefined) this.send(text)
  }

  close(): void {
    this.#outlet.close()
  }
}
