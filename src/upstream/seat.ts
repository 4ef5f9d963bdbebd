/**
 * One client's place at one server: its connection, what it has set up there, and what the server lists for it.
 *
 * A connection is opened when it is first needed, and again after it was lost; the client does not notice, because its
 * subscriptions and its log level are set up again. Nothing is asked twice that the server may have acted on.
 */
import type { Caller, ClientPeer } from '../caller.ts'
import { GatewayError, RpcError } from '../errors.ts'
import type { Json } from '../rpc/json.ts'
import type { Id } from '../rpc/message.ts'
import type { RequestOptions } from '../rpc/peer.ts'
import { type Connection, capabilityOf, type Introduction } from './connection.ts'
import { changedNotice, LISTS, type List, type ListMethod, walk } from './lists.ts'
import type { Upstream } from './upstream.ts'

/** How long a list is believed, in ms, of a server that does not announce changes. */
const BELIEVED = 30_000
const METHOD_NOT_FOUND = -32601

export class Seat {
  readonly upstream: Upstream
  readonly #client: ClientPeer
  readonly #timeout: number | undefined
  readonly #lists = new Map<ListMethod, Kept>()
  /** What is to be said again on a new connection, by what it is about. */
  readonly #standing = new Map<string, { method: string; params: Json | undefined }>()
  #connection: Connection | undefined
  #opening: Promise<Connection> | undefined

  constructor(upstream: Upstream, client: ClientPeer) {
    this.upstream = upstream
    this.#client = new Listening(client, (method) => this.#hear(method))
    this.#timeout = upstream.config.timeout
  }

  /** Connects if need be. The server's own answer to `initialize`. */
  async initialize(): Promise<Json> {
    return (await this.#connect()).introduction.result
  }

  /** What the server says of itself, from memory if it has met a client like this one before. */
  introduced(): Introduction | Promise<Introduction> {
    return this.#known ?? this.#connect().then(({ introduction }) => introduction)
  }

  get #known(): Introduction | undefined {
    return this.#connection?.introduction ?? this.upstream.remembered(this.#client)
  }

  /**
   * Relays a call of the client's.
   *
   * @throws {GatewayError} naming the server, if it cannot be reached, is lost before it answers, or takes too long.
   * @throws {RpcError} the server's own.
   */
  request(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    const connection = this.#connection
    if (!connection || this.#timeout !== undefined || STANDING.has(method)) {
      return this.#carefully(method, params, caller)
    }
    const answer = connection.request(method, params, caller)
    if (this.upstream.config.kind === 'command') return answer
    return answer.catch((error) => this.#again(error, method, params, caller))
  }

  /**
   * What is to hold on this connection and on those to come, and needs none to be opened for it: of effect where the
   * server has the capability.
   */
  async establish(
    capability: string,
    method: string,
    params: Json | undefined,
    caller: Caller,
  ): Promise<void> {
    this.#remember(method, params)
    if (this.offers(capability)) await this.#connection?.request(method, params, caller)
  }

  /** Tells the server what the client has to say, if they are in touch. */
  notify(method: string, params: Json | undefined): void {
    this.#connection?.notify(method, params)
  }

  /** Whether the server has said that it has a capability. Nobody is asked. */
  offers(capability: string): boolean {
    return this.#known !== undefined && capabilityOf(this.#known, capability) !== undefined
  }

  /** Whether the server could be asked without opening anything. */
  get isConnected(): boolean {
    return this.#connection !== undefined
  }

  /**
   * What the server lists; nothing if it has said that it has none. It is asked once, and believed until it says that
   * something has changed. Those who come meanwhile share the wait.
   *
   * @throws {GatewayError} `upstream_timeout` if a page takes too long, `upstream_protocol` if it is no list.
   * @throws {RpcError} the server's own.
   */
  list(method: ListMethod): List | Promise<List> {
    const kept = this.#kept(method)
    if (this.#connection && kept.isFresh) return kept.list!
    kept.asking ??= this.#walk(method, kept).finally(() => {
      kept.asking = undefined
    })
    return kept.asking
  }

  /** What the server listed last, however long ago; undefined if it never has. */
  lastList(method: ListMethod): List | undefined {
    return this.#lists.get(method)?.list
  }

  async #carefully(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    const ms = this.#timeout
    const since = performance.now()
    const late = () => this.#late(`did not answer ${method} within its timeout of ${ms} ms`)
    const ask = async () => {
      const connecting = this.#connect()
      const connection = await (ms === undefined ? connecting : within(ms, connecting, late))
      const left = ms === undefined ? undefined : Math.max(1, ms - (performance.now() - since))
      return connection.request(
        method,
        params,
        caller,
        left === undefined ? left : { ms: left, late },
      )
    }
    const result = await ask().catch((error) => {
      if (!isLost(error)) throw error
      return ask()
    })
    if (STANDING.has(method)) this.#remember(method, params)
    return result
  }

  /** A server that no longer knew the session has not acted on the call. */
  #again(error: unknown, method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    if (!isLost(error)) throw error
    return this.#connect().then((connection) => connection.request(method, params, caller))
  }

  #connect(): Promise<Connection> {
    if (this.#connection) return Promise.resolve(this.#connection)
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #open(): Promise<Connection> {
    this.#client.ended.throwIfAborted()
    let gone: Error | undefined
    let connection: Connection | undefined
    connection = await this.upstream.open(this.#client, (reason) => {
      gone ??= reason
      if (this.#connection === connection) this.#connection = undefined
      for (const kept of this.#lists.values()) kept.forget()
    })
    const opened = connection
    const again = [...this.#standing.values()].map(({ method, params }) =>
      opened.request(method, params, undefined, this.#deadline(method)),
    )
    // What the server refuses now, it would refuse a client that came back, too.
    await Promise.allSettled(again)
    if (gone) throw gone
    this.#connection = connection
    return connection
  }

  async #walk(method: ListMethod, kept: Kept): Promise<List> {
    const connection = await this.#connect()
    const { capability } = LISTS[method]
    const offered = capabilityOf(connection.introduction, capability)
    if (!offered) return kept.keep([], Number.POSITIVE_INFINITY)
    const seen = kept.changes
    const list = await walk(
      LISTS[method],
      (params) => connection.request(method, params, undefined, this.#deadline(method)),
      (text, why) => this.upstream.noise(text, why),
    ).catch((error) => {
      // Many have resources and no notion of templates.
      if (error instanceof RpcError && error.code === METHOD_NOT_FOUND) return []
      throw this.#named(error)
    })
    const announces = offered.listChanged === true
    const believed = kept.changes === seen ? (announces ? Number.POSITIVE_INFINITY : BELIEVED) : 0
    return kept.keep(list, believed)
  }

  #kept(method: ListMethod): Kept {
    const known = this.#lists.get(method)
    if (known) return known
    const kept = new Kept()
    this.#lists.set(method, kept)
    return kept
  }

  #hear(method: string): void {
    for (const [list, kept] of this.#lists) {
      if (changedNotice(LISTS[list].capability) === method) kept.forget()
    }
  }

  #remember(method: string, params: Json | undefined): void {
    const uri = params?.member('uri')?.text ?? ''
    if (method === 'resources/unsubscribe') this.#standing.delete(`resources/subscribe ${uri}`)
    else this.#standing.set(`${method} ${uri}`, { method, params })
  }

  #deadline(method: string) {
    const ms = this.upstream.listTimeout
    return { ms, late: () => this.#late(`did not answer ${method} within ${ms} ms`) }
  }

  #named(error: unknown): unknown {
    if (!(error instanceof GatewayError) || error.server) return error
    const { name } = this.upstream
    return new GatewayError(error.code, `server "${name}": ${error.message}`, { server: name })
  }

  #late(what: string): GatewayError {
    const { name } = this.upstream
    return new GatewayError('upstream_timeout', `server "${name}" ${what}`, { server: name })
  }
}

/** What holds for as long as the client stays, whatever becomes of the connection. */
const STANDING = new Set(['logging/setLevel', 'resources/subscribe', 'resources/unsubscribe'])

/** One list, with how far it can be believed. */
class Kept {
  list: List | undefined
  asking: Promise<List> | undefined
  /** How often the server has said that it changed. */
  changes = 0
  #believedUntil = 0

  get isFresh(): boolean {
    return performance.now() < this.#believedUntil
  }

  keep(list: List, believed: number): List {
    this.list = list
    this.#believedUntil = performance.now() + believed
    return list
  }

  forget(): void {
    this.changes++
    this.#believedUntil = 0
  }
}

/** The client as the server sees it, with an ear on what it is told. */
class Listening implements ClientPeer {
  readonly #client: ClientPeer
  readonly #heard: (method: string) => void

  constructor(client: ClientPeer, heard: (method: string) => void) {
    this.#client = client
    this.#heard = heard
  }

  get id(): string {
    return this.#client.id
  }
  get introduction(): Json {
    return this.#client.introduction
  }
  get ended(): AbortSignal {
    return this.#client.ended
  }
  request(method: string, params?: Json, options?: RequestOptions): Promise<Json> {
    return this.#client.request(method, params, options)
  }
  notify(method: string, params?: Json, relatedTo?: Id): void {
    this.#heard(method)
    this.#client.notify(method, params, relatedTo)
  }
}

function isLost(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'upstream_session_lost'
}

async function within<T>(ms: number, promise: Promise<T>, late: () => Error): Promise<T> {
  const { promise: deadline, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(late()), ms)
  try {
    return await Promise.race([promise, deadline])
  } finally {
    clearTimeout(timer)
  }
}
