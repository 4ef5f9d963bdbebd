/**
 * Tools without MCP: list them with a GET, call one with a POST.
 *
 * To servers, all REST calls of one principal at one entrance are one client, which declares nothing and cannot be asked.
 * Errors are `{"error": "…"}`. A call that its client leaves is cancelled.
 */
import type { Caller, ClientPeer, Principal } from '../caller.ts'
import { GatewayError, RpcError } from '../errors.ts'
import type { Observer } from '../events.ts'
import type { Endpoint, ListedTool, Visit } from '../routing/endpoint.ts'
import { COMMENT } from '../rpc/eventstream.ts'
import { IncomingRequest } from '../rpc/incoming.ts'
import { DuplicateMemberError, Json } from '../rpc/json.ts'
import type { Id } from '../rpc/message.ts'
import type { Incoming } from '../rpc/peer.ts'
import { Outlet, streamed } from './outlet.ts'
import { preferredForm } from './request.ts'
import { sessionId } from './session.ts'
import type { Carrier, Knock, Sessions } from './sessions.ts'

export interface RestOptions {
  /** Largest request body, in bytes. */
  maxBodySize: number
}

export class Rest {
  readonly #options: () => RestOptions
  readonly #version: string
  readonly #sessions: Sessions
  readonly #observe: Observer
  readonly #clients = new Map<string, RestClient>()

  /**
   * @param options as they are now.
   * @param version ours, for servers that want to know.
   */
  constructor(options: () => RestOptions, version: string, sessions: Sessions, observe: Observer) {
    this.#options = options
    this.#version = version
    this.#sessions = sessions
    this.#observe = observe
  }

  /**
   * `{"tools": […]}`: each as its server describes it, with `serverName`.
   *
   * @param server only the tools of this one.
   * @throws {GatewayError} for what it refuses.
   */
  async list(knock: Knock, server?: string): Promise<Response> {
    this.#sessions.admit()
    const tools = await this.#client(knock).tools()
    const shown = server === undefined ? tools : tools.filter((tool) => tool.server === server)
    return json(`{"tools":[${shown.flatMap(withServer).join(',')}]}`)
  }

  /**
   * `{"result": …}` to `{"name": …, "arguments": …}`, the server's own bytes; or, for a client that likes events better,
   * `progress` and `message` events and then a `result` or an `error`.
   *
   * @throws {GatewayError} for what it refuses.
   */
  async call(request: Request, knock: Knock): Promise<Response> {
    const { name, params } = parseCall(await knock.body(this.#options().maxBodySize))
    this.#sessions.admit()
    const client = this.#client(knock)
    const tools = await client.tools()
    if (!tools.some((tool) => tool.name === name)) {
      return json(JSON.stringify({ error: `Tool ${name} not found` }), 404)
    }
    const form = preferredForm(request.headers.get('accept') ?? '')
    if (form === 'stream') return client.stream(params, this.#observe)
    try {
      return json(resultText(await client.call(params, request.signal)))
    } catch (error) {
      if (!isAnswer(error)) throw error
      return json(restError(error), statusOf(error))
    }
  }

  #client({ entrance, principal }: Knock): RestClient {
    // A login that ends takes along what is its own, and nothing of another of the same person.
    const key = `${principal.id} ${principal.grantId ?? ''} ${entrance.key}`
    const known = this.#clients.get(key)
    if (known) return known
    const client = this.#sessions.open(entrance, principal, (endpoint) => {
      return new RestClient(principal, endpoint, this.#version, this.#observe)
    })
    this.#clients.set(key, client)
    client.ended.addEventListener('abort', () => this.#clients.delete(key))
    return client
  }
}

/** How any error is told. What a server says of its own keeps code and data. */
export function restError(error: unknown): string {
  if (error instanceof RpcError) {
    const said = (name: string) => memberOf(error.error, name)
    const message = said('message')?.get<unknown>()
    const text = typeof message === 'string' ? message : 'the server answered with an error'
    const rest = ['code', 'data'].map((name) =>
      said(name) ? `,"${name}":${said(name)!.text}` : '',
    )
    return `{"error":${JSON.stringify(text)}${rest.join('')}}`
  }
  if (!(error instanceof GatewayError)) return '{"error":"Internal error"}'
  return JSON.stringify({ error: error.message, hint: error.hint })
}

/** Whether an error is the answer to a call, and no fault of ours. */
function isAnswer(error: unknown): boolean {
  return error instanceof RpcError || error instanceof GatewayError
}

function statusOf(error: unknown): number {
  if (error instanceof GatewayError) return error.status
  return error instanceof RpcError && memberOf(error.error, 'code')?.text === '-32602' ? 422 : 500
}

function memberOf(error: Json, name: string): Json | undefined {
  try {
    return error.member(name)
  } catch {
    return undefined
  }
}

function resultText(result: Json): string {
  return `{"result":${result.text}}`
}

function json(text: string, status = 200): Response {
  return new Response(text, { status, headers: { 'content-type': 'application/json' } })
}

/** Nothing of a tool that names its server twice: nobody can tell which it is. */
function withServer({ json, server }: ListedTool): string[] {
  try {
    return [json.with('serverName', server).text]
  } catch (error) {
    if (error instanceof DuplicateMemberError) return []
    throw error
  }
}

/** @throws {GatewayError} `parse_error`, `invalid_params` */
function parseCall(text: string): { name: string; params: Json } {
  const { name, args } = membersOf(text)
  const given = name?.get<unknown>()
  if (typeof given !== 'string' || given === '') {
    throw new GatewayError('invalid_params', 'Tool name is required')
  }
  if (args && !args.isObject) {
    throw new GatewayError('invalid_params', 'arguments: expected an object')
  }
  const params = Json.of({}).with('name', name)
  return { name: given, params: args ? params.with('arguments', args) : params }
}

function membersOf(text: string): { name: Json | undefined; args: Json | undefined } {
  try {
    const body = Json.parse(text)
    return { name: body.member('name'), args: body.member('arguments') }
  } catch (error) {
    const { message } = error as Error
    if (error instanceof DuplicateMemberError) throw new GatewayError('invalid_params', message)
    throw new GatewayError('parse_error', `the body is not JSON: ${message}`)
  }
}

/** All calls of one principal at one entrance, as one client. */
class RestClient implements ClientPeer, Carrier {
  readonly id = sessionId()
  readonly introduction: Json
  readonly session = this
  lastHeard = performance.now()
  readonly principal: Principal
  readonly isOne = true
  readonly #endpoint: string
  readonly #observe: Observer
  readonly #visit: Visit
  readonly #ended = new AbortController()
  readonly #calls = new Map<Id, Call>()
  #lastCall = 0
  #working = 0

  constructor(principal: Principal, endpoint: Endpoint, version: string, observe: Observer) {
    const clientInfo = { name: 'mcp-gateway REST', version }
    this.introduction = Json.of({ protocolVersion: '2025-11-25', capabilities: {}, clientInfo })
    this.principal = principal
    this.#endpoint = endpoint.name
    this.#observe = observe
    this.#visit = endpoint.visit(this)
    observe({ type: 'session_opened', endpoint: endpoint.name, client: clientInfo.name })
  }

  get ended(): AbortSignal {
    return this.#ended.signal
  }

  get isWorking(): boolean {
    return this.#working > 0
  }

  /** Who leaves takes his calls along. */
  get isActive(): boolean {
    return this.isWorking
  }

  tools(): Promise<ListedTool[]> {
    return this.#work(() => this.#visit.tools())
  }

  call(params: Json, left: AbortSignal): Promise<Json> {
    const call = this.#begin()
    left.addEventListener('abort', () => call.leave())
    if (left.aborted) call.leave()
    return this.#finish(call, params)
  }

  stream(params: Json, observe: Observer): Response {
    const outlet = new Outlet(() => call.leave())
    const call = this.#begin(outlet)
    outlet.write(COMMENT)
    this.#finish(call, params)
      .then(
        (result) => outlet.tell('result', resultText(result)),
        (error) => {
          if (!isAnswer(error)) observe({ type: 'fault', error })
          outlet.tell('error', restError(error))
        },
      )
      .finally(() => outlet.close())
    return streamed(outlet.body)
  }

  request(method: string): Promise<Json> {
    return Promise.reject(
      new GatewayError('method_not_found', `${method}: a client that came by REST cannot be asked`),
    )
  }

  notify(method: string, params?: Json, relatedTo?: Incoming): void {
    if (method !== 'notifications/message' || relatedTo === undefined || !params) return
    this.#calls.get(relatedTo.id)?.outlet?.tell('message', params.text)
  }

  keepAlive(now: number): void {
    for (const { outlet } of this.#calls.values()) outlet?.keepAlive(now)
  }

  end(reason: string): void {
    if (this.ended.aborted) return
    const error = new GatewayError('session_ended', `the session has ended: ${reason}`)
    this.#ended.abort(error)
    for (const call of this.#calls.values()) call.abort(error)
    this.#observe({ type: 'session_ended', endpoint: this.#endpoint, reason })
  }

  #begin(outlet?: Outlet): Call {
    // It may have been told to leave while the tools were listed.
    this.#ended.signal.throwIfAborted()
    const call = new Call(String(++this.#lastCall), this.principal, outlet)
    this.#calls.set(call.id, call)
    return call
  }

  async #finish(call: Call, params: Json): Promise<Json> {
    try {
      return await this.#work(() => this.#visit.request('tools/call', params, call))
    } finally {
      this.#calls.delete(call.id)
    }
  }

  async #work<T>(work: () => Promise<T>): Promise<T> {
    this.#working++
    try {
      return await work()
    } finally {
      this.#working--
      this.lastHeard = performance.now()
    }
  }
}

class Call extends IncomingRequest implements Caller {
  readonly principal: Principal
  /** Where there is one, progress and log messages go there. */
  readonly outlet: Outlet | undefined

  constructor(id: Id, principal: Principal, outlet: Outlet | undefined) {
    // The token is the server's side of the conversation.
    const tell = (progress: Json) =>
      outlet?.tell('progress', progress.without('progressToken').text)
    super(id, outlet && tell)
    this.principal = principal
    this.outlet = outlet
  }

  leave(): void {
    this.abort(new GatewayError('invalid_request', 'the client left in the middle of its call'))
  }
}
