/**
 * Streamable HTTP up to revision 2025-11-25: POST, GET and DELETE on one URL, with sessions.
 *
 * Every refusal is a JSON-RPC error with a status the specification names.
 */
import { GatewayError } from '../errors.ts'
import type { Observer } from '../events.ts'
import type { Message } from '../rpc/message.ts'
import { LEGACY_VERSIONS } from '../upstream/connection.ts'
import { Delivery } from './delivery.ts'
import { accepts, parseMessages, preferredForm } from './request.ts'
import type { Knock, Sessions } from './sessions.ts'
import { parseEventId } from './stream.ts'

export interface LegacyOptions {
  /** Largest request body, in bytes. */
  maxBodySize: number
  /** After how many ms a stream that carries an answer is closed, to be resumed; 0 for never. */
  streamLifetime: number
}

export class Legacy {
  readonly #options: () => LegacyOptions
  readonly #sessions: Sessions
  readonly #observe: Observer

  /** @param options as they are now. */
  constructor(options: () => LegacyOptions, sessions: Sessions, observe: Observer) {
    this.#options = options
    this.#sessions = sessions
    this.#observe = observe
  }

  /** @throws {GatewayError} for what it refuses, at once or as a rejection. */
  handle(request: Request, knock: Knock): Promise<Response> {
    const version = request.headers.get('mcp-protocol-version')
    if (version !== null && !LEGACY_VERSIONS.includes(version)) {
      throw new GatewayError(
        'invalid_request',
        `MCP-Protocol-Version ${version} is not supported; supported are ${LEGACY_VERSIONS.join(', ')}`,
      )
    }
    switch (request.method) {
      case 'POST':
        return this.#post(request, knock)
      case 'GET':
        return this.#get(request, knock)
      case 'DELETE':
        this.#find(request, knock).session.end('deleted by the client')
        return Promise.resolve(new Response(null, { status: 200 }))
      default:
        throw new GatewayError('method_not_allowed', `${request.method}: use POST, GET or DELETE`)
    }
  }

  async #post(request: Request, knock: Knock): Promise<Response> {
    const { headers } = request
    const form = answerForm(headers.get('accept') ?? '')
    if (!form) {
      throw new GatewayError(
        'not_acceptable',
        'Accept: expected both application/json and text/event-stream',
      )
    }
    const body = parseMessages(await knock.body(this.#options().maxBodySize))
    this.#sessions.admit(body)

    const streamed = form === 'stream'
    if (!Array.isArray(body) && body.kind === 'request' && body.method === 'initialize') {
      return this.#initialize(request, body, streamed, knock)
    }
    const delivery = this.#find(request, knock)
    const version = headers.get('mcp-protocol-version') ?? delivery.session.protocolVersion
    const answer = Array.isArray(body)
      ? delivery.postBatch(body, version)
      : delivery.post(body, { streamed, version })
    return answer ?? new Response(null, { status: 202 })
  }

  async #initialize(
    request: Request,
    message: Message,
    streamed: boolean,
    { entrance, principal }: Knock,
  ): Promise<Response> {
    const delivery = this.#sessions.open(entrance, principal, (endpoint) => {
      const { streamLifetime } = this.#options()
      return new Delivery(principal, endpoint, { streamLifetime, observe: this.#observe })
    })
    const { session } = delivery
    request.signal.addEventListener('abort', () => {
      // Its id has reached nobody.
      if (!session.isInitialized) session.end('the client left before it was initialized')
    })
    const response = await delivery.post(message, { streamed, version: '' })!
    if (!session.ended.aborted) response.headers.set('mcp-session-id', session.id)
    return response
  }

  async #get(request: Request, knock: Knock): Promise<Response> {
    if (!accepts(request.headers.get('accept') ?? '', 'text/event-stream')) {
      throw new GatewayError('not_acceptable', 'Accept: expected text/event-stream')
    }
    const delivery = this.#find(request, knock)
    const last = request.headers.get('last-event-id')
    return delivery.listen(last === null ? undefined : parseEventId(last))
  }

  #find(request: Request, { entrance, principal }: Knock): Delivery {
    const id = request.headers.get('mcp-session-id')
    if (!id) {
      throw new GatewayError('session_required', 'Mcp-Session-Id is missing: send initialize first')
    }
    const delivery = this.#sessions.find(Delivery, id, entrance, principal)
    if (delivery) return delivery
    throw new GatewayError('session_unknown', 'there is no such session: send initialize again')
  }
}

/** Undefined if the client does not take both forms, as it must. */
function answerForm(accept: string): 'json' | 'stream' | undefined {
  if (accept === 'application/json, text/event-stream') return 'json'
  const takesBoth = accepts(accept, 'application/json') && accepts(accept, 'text/event-stream')
  return takesBoth ? preferredForm(accept) : undefined
}
