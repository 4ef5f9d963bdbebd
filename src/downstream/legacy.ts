/**
 * Streamable HTTP up to revision 2025-11-25: POST, GET and DELETE on one URL, with sessions.
 *
 * Every refusal is a JSON-RPC error with a status the specification names. A session answers only the principal that
 * opened it, at the endpoint it was opened on; to everyone else it does not exist.
 */
import type { Principal } from '../caller.ts'
import { GatewayError } from '../errors.ts'
import type { Observer } from '../events.ts'
import type { Endpoint } from '../routing/endpoint.ts'
import { type MalformedMessage, type Message, parseBody } from '../rpc/message.ts'
import { LEGACY_VERSIONS } from '../upstream/connection.ts'
import { Session } from './session.ts'
import { parseEventId } from './stream.ts'

export interface LegacyOptions {
  /** Largest request body, in bytes. */
  maxBodySize: number
  /** After how many ms without request or open stream a session ends. */
  sessionTimeout: number
  maxSessions: number
  streamLifetime: number
}

const TICK = 5_000
/** JSON-RPC batches exist in this revision alone. */
const BATCHES = '2025-03-26'

export class Legacy {
  readonly #options: LegacyOptions
  readonly #observe: Observer
  readonly #sessions = new Map<string, Session>()
  readonly #timer: NodeJS.Timeout
  #draining = false

  constructor(options: LegacyOptions, observe: Observer) {
    this.#options = options
    this.#observe = observe
    this.#timer = setInterval(() => this.#tick(), TICK)
    this.#timer.unref()
  }

  get sessions(): number {
    return this.#sessions.size
  }

  /** Whether any request waits for its answer. */
  get isWorking(): boolean {
    return this.#sessions.values().some((session) => session.isWorking)
  }

  /** @throws {GatewayError} for what it refuses, at once or as a rejection. */
  handle(request: Request, endpoint: Endpoint, principal: Principal): Promise<Response> {
    const version = request.headers.get('mcp-protocol-version')
    if (version !== null && !LEGACY_VERSIONS.includes(version)) {
      throw new GatewayError(
        'invalid_request',
        `MCP-Protocol-Version ${version} is not supported; supported are ${LEGACY_VERSIONS.join(', ')}`,
      )
    }
    switch (request.method) {
      case 'POST':
        return this.#post(request, endpoint, principal)
      case 'GET':
        return this.#get(request, endpoint, principal)
      case 'DELETE':
        this.#session(request, endpoint, principal).end('deleted by the client')
        return Promise.resolve(new Response(null, { status: 200 }))
      default:
        throw new GatewayError('method_not_allowed', `${request.method}: use POST, GET or DELETE`)
    }
  }

  /** From now on takes no new requests. Answers and notifications that belong to those in flight still come through. */
  drain(): void {
    this.#draining = true
  }

  /** Ends every session; what is in flight is answered with `reason`. */
  close(reason: string): void {
    clearInterval(this.#timer)
    for (const session of this.#sessions.values()) session.end(reason)
  }

  async #post(request: Request, endpoint: Endpoint, principal: Principal): Promise<Response> {
    const { headers } = request
    const form = answerForm(headers.get('accept') ?? '')
    if (!form) {
      throw new GatewayError(
        'not_acceptable',
        'Accept: expected both application/json and text/event-stream',
      )
    }
    if (!/^application\/json\s*(;|$)/i.test(headers.get('content-type') ?? '')) {
      throw new GatewayError('unsupported_media_type', 'Content-Type: expected application/json')
    }
    const limit = this.#options.maxBodySize
    const size = headers.get('content-length')
    if (Number(size) > limit) throw tooLarge(limit)
    const body = parse(size === null ? await readChunks(request, limit) : await request.text())

    if (this.#draining && [body].flat().some(({ kind }) => kind === 'request')) {
      throw new GatewayError('shutting_down', 'the gateway is shutting down')
    }
    const streamed = form === 'stream'
    if (!Array.isArray(body) && body.kind === 'request' && body.method === 'initialize') {
      return this.#initialize(request, body, streamed, endpoint, principal)
    }
    const session = this.#session(request, endpoint, principal)
    const version = headers.get('mcp-protocol-version') ?? session.protocolVersion
    if (!Array.isArray(body)) return session.post(body, { streamed, version }) ?? accepted()
    if (session.protocolVersion === BATCHES) return session.postBatch(body, version) ?? accepted()
    throw new GatewayError('invalid_request', `batches exist only in protocol version ${BATCHES}`)
  }

  async #initialize(
    request: Request,
    message: Message,
    streamed: boolean,
    endpoint: Endpoint,
    principal: Principal,
  ): Promise<Response> {
    if (this.#sessions.size >= this.#options.maxSessions) this.#makeRoom()
    const session = new Session(sessionId(), principal, endpoint, {
      streamLifetime: this.#options.streamLifetime,
      observe: this.#observe,
    })
    this.#sessions.set(session.id, session)
    session.ended.addEventListener('abort', () => this.#sessions.delete(session.id))
    request.signal.addEventListener('abort', () => {
      // Its id has reached nobody.
      if (session.protocolVersion === '') session.end('the client left before it was initialized')
    })
    const response = await session.post(message, { streamed, version: '' })!
    if (!session.ended.aborted) response.headers.set('mcp-session-id', session.id)
    return response
  }

  /** Ends the session that was silent longest. Many clients leave without a word, and come back as somebody new. */
  #makeRoom(): void {
    const idle = [...this.#sessions.values()].filter((session) => !session.isActive)
    const longest = idle.sort((a, b) => a.lastHeard - b.lastHeard)[0]
    if (!longest) {
      throw new GatewayError('too_many_sessions', `${this.#sessions.size} sessions are in use`, {
        hint: 'raise gateway.maxSessions',
      })
    }
    longest.end('room was needed for another')
  }

  async #get(request: Request, endpoint: Endpoint, principal: Principal): Promise<Response> {
    if (!accepts((request.headers.get('accept') ?? '').toLowerCase(), 'text/event-stream')) {
      throw new GatewayError('not_acceptable', 'Accept: expected text/event-stream')
    }
    const session = this.#session(request, endpoint, principal)
    const last = request.headers.get('last-event-id')
    return session.listen(last === null ? undefined : parseEventId(last))
  }

  #session(request: Request, endpoint: Endpoint, principal: Principal): Session {
    const id = request.headers.get('mcp-session-id')
    if (!id) {
      throw new GatewayError('session_required', 'Mcp-Session-Id is missing: send initialize first')
    }
    const session = this.#sessions.get(id)
    if (!session || session.principal.id !== principal.id || session.endpoint !== endpoint) {
      throw new GatewayError('session_unknown', 'there is no such session: send initialize again')
    }
    return session
  }

  #tick(): void {
    const now = performance.now()
    for (const session of this.#sessions.values()) {
      session.keepAlive(now)
      if (session.isActive) session.lastHeard = now
      else if (now - session.lastHeard > this.#options.sessionTimeout) {
        session.end(`nothing was heard for ${this.#options.sessionTimeout} ms`)
      }
    }
  }
}

function accepted(): Response {
  return new Response(null, { status: 202 })
}

/** 128 random bits, in visible ASCII. A session id is no credential, but nobody shall guess one. */
function sessionId(): string {
  return crypto.getRandomValues(new Uint8Array(16)).toHex()
}

/** @param header in lower case. */
function accepts(header: string, type: string): boolean {
  if (header.includes(type) || header.includes('*/*')) return true
  return header.includes(`${type.slice(0, type.indexOf('/'))}/*`)
}

/**
 * How a client that sent this Accept wants its answers: of the two forms it must take, it names the one it likes better
 * first. Undefined if it does not take both.
 */
function answerForm(accept: string): 'json' | 'stream' | undefined {
  if (accept === 'application/json, text/event-stream') return 'json'
  const header = accept.toLowerCase()
  if (!accepts(header, 'application/json') || !accepts(header, 'text/event-stream'))
    return undefined
  const first = /application\/json|text\/event-stream|\*\/\*/.exec(header)?.[0]
  return first === 'text/event-stream' ? 'stream' : 'json'
}

function parse(text: string): Message | Message[] {
  try {
    return parseBody(text)
  } catch (error) {
    const { code, message } = error as MalformedMessage
    throw new GatewayError(code === -32700 ? 'parse_error' : 'invalid_request', message)
  }
}

/** @throws {GatewayError} `body_too_large` before more than `limit` bytes are held. */
async function readChunks(request: Request, limit: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of request.body ?? []) {
    size += chunk.length
    if (size > limit) throw tooLarge(limit)
    chunks.push(chunk)
  }
  return new TextDecoder().decode(Buffer.concat(chunks))
}

function tooLarge(limit: number): GatewayError {
  return new GatewayError('body_too_large', `the request body is over ${limit} bytes`, {
    hint: 'raise gateway.maxBodySize',
  })
}
