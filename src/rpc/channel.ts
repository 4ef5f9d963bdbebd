/**
 * JSON-RPC over one transport, the same on both sides of the gateway.
 *
 * Ids and progress tokens are minted here and never leave: who relays a request awaits another channel's answer, so the
 * call stack is the map between the two. Closing answers everything that waits; answers that come late are dropped.
 */
import { GatewayError, RpcError, toRpc } from '../errors.ts'
import type { Outcome } from '../events.ts'
import { IncomingRequest } from './incoming.ts'
import { Json } from './json.ts'
import {
  type Answer,
  batchOf,
  canonicalId,
  errorText,
  type Id,
  isId,
  MalformedMessage,
  type Message,
  notificationText,
  parseMessage,
  type Request,
  requestText,
  resultText,
  seemingId,
} from './message.ts'
import {
  type AbortListener,
  Cancelled,
  type Connect,
  type Handler,
  type Incoming,
  type Peer,
  type Receiver,
  type RequestOptions,
  type Transport,
} from './peer.ts'

/** How many requests of the peer's may be worked on at once. */
export const MAX_INCOMING = 1_000

export class Channel implements Peer, Receiver {
  readonly #transport: Transport
  readonly #handler: Handler
  readonly #pending = new Map<number, Pending>()
  readonly #incoming = new Map<Id, IncomingRequest>()
  #lastId = 0
  #closed: Error | undefined

  constructor(connect: Connect, handler: Handler) {
    this.#handler = handler
    this.#transport = connect(this)
  }

  request(method: string, params?: Json, options: RequestOptions = {}): Promise<Json> {
    const { serves, relatedTo } = options
    const over = this.#closed ?? serves?.aborted
    if (over) return Promise.reject(over)

    // What serves nobody may still hold somebody's token: that of another channel must not travel.
    const hasToken = serves ? serves.progress : tokenOf(params)
    const pending = new Pending(++this.#lastId, method, options, this.#cancel)
    this.#pending.set(pending.id, pending)
    const sent = hasToken ? withProgressToken(params, pending.id) : params
    this.#transport.send(requestText(String(pending.id), method, sent), relatedTo?.id)
    return pending.promise
  }

  notify(method: string, params?: Json, relatedTo?: Incoming): void {
    this.#say(method, params, relatedTo?.id)
  }

  /** How many requests of ours wait for an answer. */
  get waiting(): number {
    return this.#pending.size
  }

  /** The requests of other peers that ours in flight serve, the oldest first. */
  get serving(): Incoming[] {
    return [...this.#pending.values()].flatMap(({ serves }) => serves ?? [])
  }

  /** How many requests of the peer's are being worked on. */
  get working(): number {
    return this.#incoming.size
  }

  /** Whether a request of the peer's with this id is being worked on. */
  isWorkingOn(id: Id): boolean {
    return this.#incoming.has(canonicalId(id))
  }

  receive(text: string, during?: number): void {
    this.#read(text, () => {
      const batch = batchOf(text)
      if (!batch) this.accept(parseMessage(text), during)
      // One that cannot be read takes none of the others with it.
      else for (const one of batch) this.#read(one, () => this.accept(parseMessage(one), during))
    })
  }

  failed(id: number, reason: Error): void {
    this.#take(id, 'failed')?.reject(reason)
  }

  refused(ends: string, why: string): void {
    this.#malformed(ends, new MalformedMessage(-32700, why))
  }

  /** Takes a message that was read already. */
  accept(message: Message, during?: number): void {
    if (this.#closed) return
    if (message.kind === 'request') this.#work(message, this.#servedBy(during))
    else if (message.kind === 'notification')
      this.#hear(message.method, message.params, this.#servedBy(during))
    else this.#settle(message)
  }

  #servedBy(id: number | undefined): Incoming | undefined {
    return id === undefined ? undefined : this.#pending.get(id)?.serves
  }

  /** Ends the conversation: what waits is rejected with `reason`, what is being worked on is aborted. */
  close(reason: Error): void {
    this.closed(reason)
  }

  closed(reason: Error): void {
    if (this.#closed) return
    this.#closed = reason
    for (const id of this.#pending.keys()) this.#take(id, 'failed')?.reject(reason)
    const told = toRpc(reason)
    for (const request of this.#incoming.values()) {
      request.abort(reason)
      this.#transport.settle(request.id, errorText(request.id, told))
    }
    this.#incoming.clear()
    this.#transport.close()
    this.#handler.onClose(reason)
  }

  #settle(answer: Answer): void {
    const id = answer.id === 'null' ? this.#onlyOne() : Number(answer.id)
    const pending = this.#take(id, answer.kind === 'result' ? 'ok' : 'error')
    if (!pending) return
    if (answer.kind === 'result') pending.resolve(answer.result)
    else pending.reject(new RpcError(answer.error))
  }

  #say(method: string, params: Json | undefined, relatedTo: Id | undefined): void {
    if (!this.#closed) this.#transport.send(notificationText(method, params), relatedTo)
  }

  readonly #cancel = ({ id, relatedTo, reject }: Pending, reason: Error) => {
    this.#take(id, 'cancelled')
    const params =
      reason instanceof Cancelled
        ? reason.params.with('requestId', id)
        : Json.of({ requestId: id, reason: reason.message })
    // It follows the way its request went.
    this.notify('notifications/cancelled', params, relatedTo)
    reject(reason)
  }

  #take(id: number, outcome: Outcome): Pending | undefined {
    const pending = this.#pending.get(id)
    if (!pending) return undefined
    this.#pending.delete(id)
    pending.release()
    this.#handler.onOver?.(pending.method, outcome, performance.now() - pending.since)
    return pending
  }

  /** Who could not even read the id of a request answers without; if just one waits, it was that one. */
  #onlyOne(): number {
    return this.#pending.size === 1 ? [...this.#pending.keys()][0]! : 0
  }

  #malformed(text: string, why: MalformedMessage): void {
    const told = this.#handler.onMalformed(text, why)
    const id = seemingId(text)
    if (id !== undefined) this.#take(Number(id), 'failed')?.reject(told)
  }

  #read(text: string, read: () => void): void {
    try {
      read()
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error
      this.#malformed(text, error)
    }
  }

  #work({ id, method, params }: Request, during: Incoming | undefined): void {
    const key = canonicalId(id)
    if (this.#incoming.has(key)) {
      // Not settled: the request that came first keeps its id and its answer.
      const error = Json.of({ code: -32600, message: `the request id ${id} is still in use` })
      this.#transport.send(errorText(id, error))
      return
    }
    let request: IncomingRequest
    try {
      if (this.#incoming.size >= MAX_INCOMING) {
        const message = `${MAX_INCOMING} requests are waiting for their answers already`
        throw new GatewayError('too_many_requests', message)
      }
      request = new IncomingRequest(id, this.#progressFor(id, params))
    } catch (error) {
      this.#transport.settle(id, errorText(id, toRpc(error)))
      return
    }
    this.#incoming.set(key, request)
    this.#handler.onRequest(method, params, request, during).then(
      (result) => this.#answer(key, request, resultText(id, result)),
      (error) => this.#answer(key, request, errorText(id, toRpc(error))),
    )
  }

  #answer(key: Id, request: IncomingRequest, text: string): void {
    if (this.#incoming.get(key) !== request) return
    this.#incoming.delete(key)
    this.#transport.settle(request.id, text)
  }

  #progressFor(id: Id, params: Json | undefined): Incoming['progress'] {
    const token = tokenOf(params)
    if (!token || token.text === 'null') return undefined
    if (!isId(token.text)) {
      throw new GatewayError('invalid_params', 'progressToken: expected a string or a number')
    }
    return (progress) =>
      this.#say('notifications/progress', progress.with('progressToken', token), id)
  }

  #hear(method: string, params: Json | undefined, during: Incoming | undefined): void {
    switch (method) {
      case 'notifications/cancelled': {
        const id = memberText(params, 'requestId')
        const request = id === undefined ? undefined : this.#incoming.get(canonicalId(id))
        if (!request) return
        this.#incoming.delete(canonicalId(request.id))
        request.abort(new Cancelled(params!))
        this.#transport.settle(request.id, undefined)
        return
      }
      case 'notifications/progress': {
        const token = memberText(params, 'progressToken')
        this.#pending.get(Number(token))?.serves?.progress?.(params!)
        return
      }
      default:
        this.#handler.onNotification(method, params, during)
    }
  }
}

/** A request of ours that waits for its answer. */
class Pending implements AbortListener {
  readonly id: number
  readonly method: string
  readonly since = performance.now()
  readonly serves: Incoming | undefined
  readonly relatedTo: Incoming | undefined
  readonly promise: Promise<Json>
  readonly resolve: (result: Json) => void
  readonly reject: (error: Error) => void
  readonly #cancel: (pending: Pending, reason: Error) => void
  #timer: NodeJS.Timeout | undefined

  constructor(
    id: number,
    method: string,
    { serves, relatedTo, deadline }: RequestOptions,
    cancel: (pending: Pending, reason: Error) => void,
  ) {
    const { promise, resolve, reject } = Promise.withResolvers<Json>()
    this.id = id
    this.method = method
    this.serves = serves
    this.relatedTo = relatedTo
    this.promise = promise
    this.resolve = resolve
    this.reject = reject
    this.#cancel = cancel
    serves?.onAbort(this)
    if (deadline) this.#timer = setTimeout(() => this.abort(deadline.late()), deadline.ms)
  }

  /** Nothing can give it up any more. */
  release(): void {
    this.serves?.offAbort(this)
    clearTimeout(this.#timer)
  }

  abort(reason: Error): void {
    this.#cancel(this, reason)
  }
}

/** Undefined also where it is there twice: then nobody can tell what is meant. */
function memberText(params: Json | undefined, name: string): string | undefined {
  try {
    return params?.member(name)?.text
  } catch {
    return undefined
  }
}

/** @throws {DuplicateMemberError} */
function tokenOf(params: Json | undefined): Json | undefined {
  return params?.member('_meta')?.member('progressToken')
}

function withProgressToken(params: Json | undefined, token: number): Json {
  const all = params ?? Json.of({})
  return all.with('_meta', (all.member('_meta') ?? Json.of({})).with('progressToken', token))
}
