/**
 * One MCP client as a peer, whatever transport carries its messages.
 *
 * It introduces itself with `initialize`; before that only a ping is answered. All else goes to the endpoint it visits,
 * and what servers ask and tell comes back through it. It belongs to one principal for life.
 */
import type { Caller, ClientPeer, Principal } from '../caller.ts'
import { GatewayError, toRpc } from '../errors.ts'
import type { Observer } from '../events.ts'
import type { Endpoint, Visit } from '../routing/endpoint.ts'
import { Channel } from '../rpc/channel.ts'
import { Json } from '../rpc/json.ts'
import {
  batchOf,
  errorText,
  type Id,
  isId,
  MalformedMessage,
  type Message,
} from '../rpc/message.ts'
import type { AbortListener, Handler, Incoming, RequestOptions, Transport } from '../rpc/peer.ts'

/** JSON-RPC batches exist in this revision alone. */
const BATCHES = '2025-03-26'

const NOTHING = Json.of({})

export class Session implements ClientPeer {
  readonly id = sessionId()
  readonly principal: Principal
  readonly isOne = true
  readonly #endpoint: string
  readonly #transport: Transport
  readonly #observe: Observer
  readonly #channel: Channel
  readonly #visit: Visit
  readonly #ended = new AbortController()
  #introduction: Json | undefined
  #protocolVersion = ''

  /** @param transport is closed with the session; when it breaks, it is for it to end the session. */
  constructor(principal: Principal, endpoint: Endpoint, transport: Transport, observe: Observer) {
    this.principal = principal
    this.#endpoint = endpoint.name
    this.#transport = transport
    this.#observe = observe
    this.#channel = new Channel(() => transport, this.#handler())
    this.#visit = endpoint.visit(this)
  }

  get introduction(): Json {
    return this.#introduction ?? NOTHING
  }

  get ended(): AbortSignal {
    return this.#ended.signal
  }

  /** As agreed with the client; empty until then. */
  get protocolVersion(): string {
    return this.#protocolVersion
  }

  get isInitialized(): boolean {
    return this.#protocolVersion !== ''
  }

  /** Whether a request of the client's is in flight. */
  get isWorking(): boolean {
    return this.#channel.working > 0
  }

  isWorkingOn(id: Id): boolean {
    return this.#channel.isWorkingOn(id)
  }

  request(method: string, params?: Json, options?: RequestOptions): Promise<Json> {
    return this.#channel.request(method, params, options)
  }

  notify(method: string, params?: Json, relatedTo?: Incoming): void {
    this.#channel.notify(method, params, relatedTo)
  }

  /** Takes a message of the client's. */
  accept(message: Message): void {
    this.#channel.accept(message)
  }

  /** @throws {GatewayError} `invalid_request` unless the client speaks the one revision that has batches. */
  checkBatch(): void {
    if (this.#protocolVersion === BATCHES) return
    throw new GatewayError('invalid_request', `batches exist only in protocol version ${BATCHES}`)
  }

  /** Takes a text that should be a message, from a transport that cannot refuse it. */
  receive(text: string): void {
    try {
      if (batchOf(text)) this.checkBatch()
    } catch (error) {
      this.#complain('null', error)
      return
    }
    this.#channel.receive(text)
  }

  /** A message could not be read whole: how it begins and ends, and why. */
  refused(ends: string, why: string): void {
    this.#channel.refused(ends, why)
  }

  /** Idempotent. Cancels what is in flight; whoever serves this session learns it by `ended`. */
  end(reason: string): void {
    if (this.#ended.signal.aborted) return
    const error = new GatewayError('session_ended', `the session has ended: ${reason}`)
    this.#ended.abort(error)
    this.#channel.close(error)
    if (this.isInitialized) {
      this.#observe({ type: 'session_ended', endpoint: this.#endpoint, reason })
    }
  }

  #handler(): Handler {
    return {
      onRequest: (method, params, from) => this.#work(method, params, from),
      onNotification: (method, params) => {
        const isForUs = method === 'notifications/initialized'
        if (this.#introduction && !isForUs) this.#visit.notify(method, params)
      },
      onMalformed: (text, why) => {
        this.#complain(idOf(text), why)
        return why
      },
      onClose: () => {},
    }
  }

  #complain(id: Id, error: unknown): void {
    const { code, message } = error as MalformedMessage
    const told = error instanceof MalformedMessage ? Json.of({ code, message }) : toRpc(error)
    this.#transport.send(errorText(id, told))
  }

  #work(method: string, params: Json | undefined, from: Incoming): Promise<Json> {
    switch (method) {
      case 'ping':
        return Promise.resolve(NOTHING)
      case 'initialize':
        return this.#initialize(params)
      default:
        if (this.#introduction) {
          return this.#visit.request(method, params, new SessionCaller(from, this.principal))
        }
        return Promise.reject(
          new GatewayError('invalid_request', `${method} before initialize: send that first`),
        )
    }
  }

  async #initialize(params: Json | undefined): Promise<Json> {
    if (this.#introduction) {
      throw new GatewayError('invalid_request', 'this session is initialized already')
    }
    if (!params?.member('protocolVersion') || !params.member('capabilities')?.isObject) {
      throw new GatewayError(
        'invalid_params',
        'initialize: expected protocolVersion and capabilities',
      )
    }
    this.#introduction = params
    try {
      const result = await this.#visit.initialize()
      this.#ended.signal.throwIfAborted()
      this.#protocolVersion = result.member('protocolVersion')!.get<string>()
      const name = params.member('clientInfo')?.member('name')?.get<unknown>()
      const client = typeof name === 'string' ? name : 'unnamed'
      this.#observe({ type: 'session_opened', endpoint: this.#endpoint, client })
      return result
    } catch (error) {
      // It may try again.
      this.#introduction = undefined
      throw error
    }
  }
}

/** 128 random bits, in visible ASCII. A session id is no credential, but nobody shall guess one. */
export function sessionId(): string {
  return crypto.getRandomValues(new Uint8Array(16)).toHex()
}

/** Under which id its author waits for an answer to a text that is no message: of his requests only. */
function idOf(text: string): Id | 'null' {
  try {
    const sent = Json.parse(text)
    const id = sent.member('method') && sent.member('id')
    return id && isId(id.text) ? id.text : 'null'
  } catch {
    return 'null'
  }
}

class SessionCaller implements Caller {
  readonly principal: Principal
  readonly #from: Incoming

  constructor(from: Incoming, principal: Principal) {
    this.#from = from
    this.principal = principal
  }

  get id(): Id {
    return this.#from.id
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
