/**
 * How Streamable HTTP carries a session: which POST's response, or which event stream, takes what is said.
 *
 * What belongs to a request goes with that request's answer, everything else to the stream the client listens on.
 */
import type { Principal } from '../caller.ts'
import { GatewayError } from '../errors.ts'
import type { Observer } from '../events.ts'
import type { Endpoint } from '../routing/endpoint.ts'
import { canonicalId, type Id, type Message } from '../rpc/message.ts'
import type { Transport } from '../rpc/peer.ts'
import { Exchange } from './exchange.ts'
import { streamed } from './outlet.ts'
import { Session } from './session.ts'
import type { Carrier } from './sessions.ts'
import { type Position, Replay, ResumableStream } from './stream.ts'

/** How long an answer may be awaited in silence before an event stream is opened, so that comments can flow. */
const PATIENCE = 5_000

/** From this revision on a stream opens with an empty event; older clients would take it for a message. */
const PRIMING_SINCE = '2025-11-25'
const LISTENING = 0

export interface DeliveryOptions {
  /** After how many ms a stream that carries an answer is closed, to be resumed; 0 for never. */
  streamLifetime: number
  observe: Observer
}

/** How the answers to one POST are wanted. */
export interface Form {
  /** As an event stream even if nothing comes before the answer. */
  streamed: boolean
  /** The protocol version that the POST is in. */
  version: string
}

export class Delivery implements Transport, Carrier {
  readonly session: Session
  lastHeard = performance.now()
  readonly #streamLifetime: number
  readonly #replay = new Replay()
  readonly #streams = new Map<number, ResumableStream>()
  readonly #exchanges = new Map<Id, Exchange>()
  /** The request it was opened with: if that did not initialize it, nobody has learned its id. */
  #opening: Id | undefined
  #lastStream = LISTENING

  constructor(principal: Principal, endpoint: Endpoint, options: DeliveryOptions) {
    this.#streamLifetime = options.streamLifetime
    this.session = new Session(principal, endpoint, this, options.observe)
  }

  /** A call in flight alone does not count, or sessions of clients that left during a call that hangs would stay for ever. */
  get isActive(): boolean {
    for (const stream of this.#streams.values()) if (stream.isOpen) return true
    for (const exchange of this.#exchanges.values()) if (!exchange.isStreamed) return true
    return false
  }

  /**
   * Takes what one POST brought.
   *
   * @returns the answer once there is one, as JSON if nothing was said before it, else as an event stream; undefined if
   *   there is nothing to answer.
   * @throws {GatewayError} `invalid_request` for an id that is still in use.
   */
  post(message: Message, form: Form): Promise<Response> | undefined {
    this.lastHeard = performance.now()
    const exchange = message.kind === 'request' ? this.#expect([message.id], form) : undefined
    this.session.accept(message)
    return exchange?.response
  }

  /**
   * The same for a batch. Its answers come one by one, on an event stream.
   *
   * @throws {GatewayError} `invalid_request` also if the session has no batches.
   */
  postBatch(messages: Message[], version: string): Promise<Response> | undefined {
    this.session.checkBatch()
    this.lastHeard = performance.now()
    const ids = messages.flatMap((message) => (message.kind === 'request' ? message.id : []))
    const exchange = ids.length > 0 ? this.#expect(ids, { streamed: true, version }) : undefined
    for (const message of messages) this.session.accept(message)
    return exchange?.response
  }

  #expect(ids: Id[], { streamed, version }: Form): Exchange {
    const taken = ids.find((id) => this.session.isWorkingOn(id))
    const isTwice = ids.length > 1 && new Set(ids.map(canonicalId)).size < ids.length
    if (taken !== undefined || isTwice) {
      throw new GatewayError('invalid_request', `the request id ${taken ?? ids} is still in use`)
    }
    this.#opening ??= ids[0]!
    const exchange = new Exchange(this, ids.length, version, this.lastHeard)
    for (const id of ids) this.#exchanges.set(id, exchange)
    if (streamed) exchange.stream()
    return exchange
  }

  /**
   * The stream on which the client listens, or the one it wants to resume.
   *
   * @throws {GatewayError} `invalid_request` if what should be resumed is no longer known.
   */
  listen(from: Position | undefined): Response {
    this.lastHeard = performance.now()
    const number = from?.stream ?? LISTENING
    const stream = number === LISTENING ? this.#listening() : this.#streams.get(number)
    const isKnown = !stream || !from || from.sequence <= stream.sequence
    if (stream && isKnown) return this.streamed(this.#open(stream, from?.sequence))

    if (stream || !from || this.#replay.after(number, from.sequence).length === 0) {
      throw new GatewayError('invalid_request', 'Last-Event-ID: there is nothing to resume there')
    }
    const ended = new ResumableStream(number, this.#replay, false)
    const response = this.streamed(ended.open(from.sequence))
    ended.close()
    return response
  }

  /** Keeps open streams warm, and opens one for whoever has waited long enough. */
  keepAlive(now: number): void {
    for (const exchange of this.#exchanges.values()) {
      if (now - exchange.since >= PATIENCE) exchange.stream()
    }
    for (const stream of this.#streams.values()) stream.keepAlive(now)
  }

  send(text: string, relatedTo?: Id): void {
    const exchange = relatedTo === undefined ? undefined : this.#exchanges.get(relatedTo)
    if (exchange) exchange.stream().send(text)
    else this.#listening().send(text)
  }

  settle(id: Id, text: string | undefined): void {
    const exchange = this.#exchanges.get(id)
    this.#exchanges.delete(id)
    exchange?.settle(text)
    if (!this.session.isInitialized && id === this.#opening) {
      this.session.end('it was never initialized')
    }
  }

  close(): void {
    for (const exchange of this.#exchanges.values()) exchange.settle(undefined)
    this.#exchanges.clear()
    for (const stream of this.#streams.values()) stream.close()
  }

  /** The id goes along because the answer to initialize may have to start before it is known. */
  streamed(body: ReadableStream<Uint8Array> | ''): Response {
    return streamed(body, { 'mcp-session-id': this.session.id })
  }

  openStream(version: string): [ResumableStream, Response] {
    const stream = this.#addStream(++this.#lastStream, version)
    return [stream, this.streamed(this.#open(stream))]
  }

  endStream(stream: ResumableStream): void {
    stream.close()
    this.#streams.delete(stream.number)
  }

  #open(stream: ResumableStream, after?: number): ReadableStream<Uint8Array> {
    const body = stream.open(after)
    const lifetime = this.#streamLifetime
    if (lifetime > 0 && stream.number !== LISTENING && stream.isResumable) {
      setTimeout(() => stream.close(), lifetime).unref()
    }
    return body
  }

  #listening(): ResumableStream {
    return this.#streams.get(LISTENING) ?? this.#addStream(LISTENING, this.session.protocolVersion)
  }

  #addStream(number: number, version: string): ResumableStream {
    const stream = new ResumableStream(number, this.#replay, version >= PRIMING_SINCE)
    this.#streams.set(number, stream)
    return stream
  }
}
