/**
 * One client's legacy session: its requests in flight, its streams, and the one principal it belongs to.
 *
 * To the rest of the gateway it is a peer that can be asked and told. Which stream carries what is decided here: what
 * belongs to a request goes with that request's answer, everything else to the stream the client listens on.
 */
import type { Caller, ClientPeer, Principal } from '../caller.ts'
import { GatewayError } from '../errors.ts'
import type { Observer } from '../events.ts'
import type { Endpoint } from '../routing/endpoint.ts'
import { Channel } from '../rpc/channel.ts'
import { Json } from '../rpc/json.ts'
import { canonicalId, type Id, type Message } from '../rpc/message.ts'
import type { AbortListener, Handler, Incoming, RequestOptions, Transport } from '../rpc/peer.ts'
import { Exchange } from './exchange.ts'
import { type Position, Replay, ResumableStream } from './stream.ts'

/** How long an answer may be awaited in silence before an event stream is opened, so that comments can flow. */
export const PATIENCE = 5_000
/** How often an open stream says something. Well below the minute after which proxies give up. */
export const KEEP_ALIVE = 15_000

/** From this revision on a stream opens with an empty event; older clients would take it for a message. */
const PRIMING_SINCE = '2025-11-25'
const LISTENING = 0

const STREAM_HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
}

export interface SessionOptions {
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

export class Session implements ClientPeer, Transport {
  readonly id: string
  readonly principal: Principal
  readonly endpoint: Endpoint
  /** When it last heard from its client, on `performance.now`'s clock. */
  lastHeard = performance.now()
  readonly #options: SessionOptions
  readonly #ended = new AbortController()
  readonly #channel: Channel
  readonly #replay = new Replay()
  readonly #streams = new Map<number, ResumableStream>()
  readonly #exchanges = new Map<Id, Exchange>()
  #lastStream = LISTENING
  #introduction = Json.of({})
  #protocolVersion = ''
  /** The id of the initialize that failed: with its answer, the session is over. */
  #refused: Id | undefined

  constructor(id: string, principal: Principal, endpoint: Endpoint, options: SessionOptions) {
    this.id = id
    this.principal = principal
    this.endpoint = endpoint
    this.#options = options
    this.#channel = new Channel(() => this, this.#handler())
  }

  get introduction(): Json {
    return this.#introduction
  }

  get ended(): AbortSignal {
    return this.#ended.signal
  }

  /** As agreed with the client; empty until then. */
  get protocolVersion(): string {
    return this.#protocolVersion
  }

  /** Whether a request is in flight. */
  get isWorking(): boolean {
    return this.#exchanges.size > 0
  }

  /**
   * Whether the client is there: it holds a stream open, or has asked something a moment ago. A call in flight alone
   * does not count, or sessions of clients that left during a call that hangs would stay for ever.
   */
  get isActive(): boolean {
    for (const stream of this.#streams.values()) if (stream.isOpen) return true
    for (const exchange of this.#exchanges.values()) if (!exchange.isStreamed) return true
    return false
  }

  request(method: string, params?: Json, options?: RequestOptions): Promise<Json> {
    return this.#channel.request(method, params, options)
  }

  notify(method: string, params?: Json, relatedTo?: Id): void {
    this.#channel.notify(method, params, relatedTo)
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
    this.#channel.accept(message)
    return exchange?.response
  }

  /** The same for a batch. Its answers come one by one, on an event stream. */
  postBatch(messages: Message[], version: string): Promise<Response> | undefined {
    this.lastHeard = performance.now()
    const ids = messages.flatMap((message) => (message.kind === 'request' ? message.id : []))
    const exchange = ids.length > 0 ? this.#expect(ids, { streamed: true, version }) : undefined
    for (const message of messages) this.#channel.accept(message)
    return exchange?.response
  }

  #expect(ids: Id[], { streamed, version }: Form): Exchange {
    const taken = ids.find((id) => this.#channel.isWorkingOn(id))
    const isTwice = ids.length > 1 && new Set(ids.map(canonicalId)).size < ids.length
    if (taken !== undefined || isTwice) {
      throw new GatewayError('invalid_request', `the request id ${taken ?? ids} is still in use`)
    }
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

  /** Idempotent. Cancels what is in flight, closes every stream; whoever serves this session learns it by `ended`. */
  end(reason: string): void {
    if (this.#ended.signal.aborted) return
    const error = new GatewayError('session_ended', `the session has ended: ${reason}`)
    this.#ended.abort(error)
    this.#channel.close(error)
    if (this.#protocolVersion === '') return
    this.#options.observe({ type: 'session_ended', endpoint: this.endpoint.name, reason })
  }

  /** Keeps open streams warm, and opens one for whoever has waited long enough. */
  keepAlive(now: number): void {
    for (const exchange of this.#exchanges.values()) {
      if (now - exchange.since >= PATIENCE) exchange.stream()
    }
    for (const stream of this.#streams.values()) stream.keepAlive(now, KEEP_ALIVE)
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
    if (id === this.#refused) this.end('it was never initialized')
  }

  close(): void {
    for (const exchange of this.#exchanges.values()) exchange.settle(undefined)
    this.#exchanges.clear()
    for (const stream of this.#streams.values()) stream.close()
  }

  /** The id goes along because the answer to initialize may have to start before it is known. */
  streamed(body: ReadableStream<Uint8Array> | ''): Response {
    return new Response(body, { headers: { ...STREAM_HEADERS, 'mcp-session-id': this.id } })
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
    const { streamLifetime } = this.#options
    if (streamLifetime > 0 && stream.number !== LISTENING && stream.isResumable) {
      setTimeout(() => stream.close(), streamLifetime).unref()
    }
    return body
  }

  #listening(): ResumableStream {
    return this.#streams.get(LISTENING) ?? this.#addStream(LISTENING, this.#protocolVersion)
  }

  #addStream(number: number, version: string): ResumableStream {
    const stream = new ResumableStream(number, this.#replay, version >= PRIMING_SINCE)
    this.#streams.set(number, stream)
    return stream
  }

  #handler(): Handler {
    return {
      onRequest: (method, params, from) => this.#work(method, params, from),
      onNotification: (method, params) => {
        if (method !== 'notifications/initialized') this.endpoint.notify(method, params, this)
      },
      // Bodies are read before they come here, so nothing malformed does.
      onMalformed: (_text, why) => why,
      onClose: () => {},
    }
  }

  #work(method: string, params: Json | undefined, from: Incoming): Promise<Json> {
    const caller = new SessionCaller(from, this)
    switch (method) {
      case 'ping':
        return Promise.resolve(Json.of({}))
      case 'initialize':
        return this.#initialize(params, caller)
      default:
        return this.endpoint.request(method, params, caller)
    }
  }

  async #initialize(params: Json | undefined, caller: Caller): Promise<Json> {
    try {
      return await this.#introduce(params, caller)
    } catch (error) {
      this.#refused = caller.id
      throw error
    }
  }

  async #introduce(params: Json | undefined, caller: Caller): Promise<Json> {
    if (this.#protocolVersion !== '') {
      throw new GatewayError('invalid_request', 'this session is initialized already')
    }
    if (!params?.member('protocolVersion') || !params.member('capabilities')?.isObject) {
      throw new GatewayError(
        'invalid_params',
        'initialize: expected protocolVersion and capabilities',
      )
    }
    this.#introduction = params
    const result = await this.endpoint.initialize(caller)
    this.#ended.signal.throwIfAborted()
    this.#protocolVersion = result.member('protocolVersion')!.get<string>()
    const name = params.member('clientInfo')?.member('name')?.get<unknown>()
    const client = typeof name === 'string' ? name : 'unnamed'
    this.#options.observe({ type: 'session_opened', endpoint: this.endpoint.name, client })
    return result
  }
}

class SessionCaller implements Caller {
  readonly session: Session
  readonly #from: Incoming

  constructor(from: Incoming, session: Session) {
    this.#from = from
    this.session = session
  }

  get id(): Id {
    return this.#from.id
  }
  get principal(): Principal {
    return this.session.principal
  }
  get aborted(): Error | undefined {
    return this.#from.aborted
  }
  get progress(): Incoming['progress'] {
    return this.#from.progress
  }
  onAbort(listener: AbortListener): void {
    this.#from.onAbort(listener)
  }
  offAbort(listener: AbortListener): void {
    this.#from.offAbort(listener)
  }
}
