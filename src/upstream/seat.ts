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
import type { Deadline, RequestOptions } from '../rpc/peer.ts'
import { type Connection, capabilityOf, type Introduction, within } from './connection.ts'
import {
  changedNotice,
  KeptList,
  LISTS,
  type List,
  type ListMethod,
  type Shape,
  walk,
} from './lists.ts'
import type { Upstream } from './upstream.ts'

/** How long a list is believed, in ms, of a server that does not announce changes, or may not be heard when it does. */
const BELIEVED = 30_000
/** How many subscriptions are set up again. The oldest are not. */
const MAX_STANDING = 10_000
const METHOD_NOT_FOUND = -32601

export class Seat {
  readonly upstream: Upstream
  readonly #client: ClientPeer
  readonly #timeout: number | undefined
  readonly #lists = new Map<ListMethod, KeptList>()
  /** What is to be said again on a new connection, by what it is about. */
  readonly #standing = new Map<string, Standing>()
  #connection: Connection | undefined
  #opening: Promise<Connection> | undefined

  constructor(upstream: Upstream, client: ClientPeer) {
    this.upstream = upstream
    this.#client = new Listening(client, (method) => this.#hear(method))
    this.#timeout = upstream.config.timeout
  }

  /**
   * Connects if need be. The server's own answer to `initialize`.
   *
   * @throws {GatewayError} naming the server, if it cannot be reached.
   * @throws {RpcError} if the server refuses.
   */
  async initialize(): Promise<Json> {
    try {
      return (await this.#connect()).introduction.result
    } catch (error) {
      throw error instanceof GatewayError && error.cause instanceof RpcError ? error.cause : error
    }
  }

  /** What the server says of itself, from memory if it has met a client like this one before. */
  introduced(): Introduction | Promise<Introduction> {
    return this.#known ?? this.#connect().then(({ introduction }) => introduction)
  }

  /**
   * Relays a call of the client's.
   *
   * @throws {GatewayError} naming the server, if it cannot be reached, is lost before it answers, or takes too long.
   * @throws {RpcError} the server's own.
   */
  request(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    if (STANDING.has(method)) return this.#stand(method, params, caller)
    const connection = this.#connection
    if (!connection || this.#timeout !== undefined) return this.#carefully(method, params, caller)
    const answer = connection.request(method, params, caller)
    if (this.upstream.config.kind === 'command') return answer
    return answer.catch((error) => this.#again(error, method, params, caller))
  }

  /**
   * What is to hold on this connection and on those to come, and needs none to be opened for it: of effect where the
   * server has the capability. Resolves to whether the server was told.
   *
   * @throws {GatewayError} `upstream_timeout`, also if calls may take for ever: others may have to wait for this.
   */
  async establish(
    capability: string,
    method: string,
    params: Json | undefined,
    caller: Caller,
  ): Promise<boolean> {
    this.#remember(aboutOf(method, params), { method, params, capability })
    if (!this.#connection || !this.offers(capability)) return false
    await this.#connection.request(method, params, caller, this.#deadline(method))
    return true
  }

  /** Whether the client is told when a resource changes. */
  isSubscribed(uri: string): boolean {
    return this.#standing.has(subscriptionTo(uri))
  }

  /** Tells the server what the client has to say, if they are in touch or about to be. */
  notify(method: string, params: Json | undefined): void {
    if (this.#connection) this.#connection.notify(method, params)
    else {
      this.#opening?.then(
        (connection) => connection.notify(method, params),
        () => {},
      )
    }
  }

  /** Whether the server has said that it has a capability. Nobody is asked. */
  offers(capability: string): boolean {
    const known = this.#known
    return known !== undefined && capabilityOf(known, capability) !== undefined
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
    return kept.shared(() => onceMore(() => this.#ask(method, kept)))
  }

  /** What the server listed last, however long ago; undefined if it never has. */
  lastList(method: ListMethod): List | undefined {
    return this.#lists.get(method)?.list
  }

  /**
   * What the server lists just now, by any method.
   *
   * @throws as {@link list} does.
   */
  async walk(method: string, shape: Shape, caller?: Caller): Promise<List> {
    const connection = await this.#connect()
    const ask = (params: Json | undefined) =>
      connection.request(method, params, caller, this.#deadline(method))
    try {
      return await walk(shape, ask, (text, why) => this.upstream.noise(text, why))
    } catch (error) {
      throw this.#named(error)
    }
  }

  get #known(): Introduction | undefined {
    return this.#connection?.introduction ?? this.upstream.remembered(this.#client)
  }

  /** What the client wants from now on. */
  async #stand(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    // Nothing that could be meant in two ways may be acted on.
    const about = aboutOf(method, params)
    const result = await this.#carefully(method, params, caller)
    if (method === 'resources/unsubscribe') this.#standing.delete(about)
    else this.#remember(about, { method, params })
    return result
  }

  #carefully(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    const ms = this.#timeout
    const since = performance.now()
    const late = () => this.#late(`did not answer ${method} within its timeout of ${ms} ms`)
    const left = (): Deadline | undefined =>
      ms === undefined ? undefined : { ms: Math.max(1, ms - (performance.now() - since)), late }
    return onceMore(async () => {
      const connection = await within(this.#connect(), left())
      return connection.request(method, params, caller, left())
    })
  }

  /** The same for a call on a connection that was there. */
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
    let opened: Connection | undefined
    const connection = await this.upstream.open(this.#client, (reason) => {
      gone ??= reason
      if (this.#connection === opened) this.#connection = undefined
      for (const kept of this.#lists.values()) kept.forget()
    })
    opened = connection
    const said = new Set<Standing>()
    // The client may add to it meanwhile.
    for (let again = this.#unsaid(said, connection); again.length > 0; ) {
      // What the server refuses now, it would refuse a client that came back, too.
      await Promise.allSettled(
        again.map(({ method, params }) =>
          connection.request(method, params, undefined, this.#deadline(method)),
        ),
      )
      again = this.#unsaid(said, connection)
    }
    if (gone) throw gone
    this.#connection = connection
    return connection
  }

  /** What is to hold on a connection and was not said there yet. From now on it counts as said. */
  #unsaid(said: Set<Standing>, { introduction }: Connection): Standing[] {
    const isOfEffect = ({ capability }: Standing) =>
      capability === undefined || capabilityOf(introduction, capability) !== undefined
    const unsaid = [...this.#standing.values()].filter((one) => !said.has(one) && isOfEffect(one))
    for (const one of unsaid) said.add(one)
    return unsaid
  }

  async #ask(method: ListMethod, kept: KeptList): Promise<List> {
    const connection = await this.#connect()
    const { capability } = LISTS[method]
    const offered = capabilityOf(connection.introduction, capability)
    const { changes } = kept
    if (!offered) return kept.keep([], changes, Number.POSITIVE_INFINITY)
    const list = await this.walk(method, LISTS[method]).catch((error) => {
      // Many have resources and no notion of templates.
      if (error instanceof RpcError && error.code === METHOD_NOT_FOUND) return []
      throw error
    })
    // Behind a URL there may be no stream on which we would hear of a change, or a broken one.
    const isHeard = offered.listChanged === true && this.upstream.config.kind === 'command'
    const believed = isHeard ? Number.POSITIVE_INFINITY : BELIEVED
    return kept.keep(this.upstream.shared(method, list), changes, believed)
  }

  #kept(method: ListMethod): KeptList {
    const known = this.#lists.get(method)
    if (known) return known
    const kept = new KeptList()
    this.#lists.set(method, kept)
    return kept
  }

  #hear(method: string): void {
    for (const [list, kept] of this.#lists) {
      if (changedNotice(LISTS[list].capability) === method) kept.forget()
    }
  }

  #remember(about: string, standing: Standing): void {
    this.#standing.delete(about)
    this.#standing.set(about, standing)
    const [oldest] = this.#standing.keys()
    if (this.#standing.size > MAX_STANDING) this.#standing.delete(oldest!)
  }

  #deadline(method: string): Deadline {
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
interface Standing {
  method: string
  params: Json | undefined
  /** Without it the server need not be told. */
  capability?: string
}

/** The methods by which a client says what is to hold, or no longer. */
const STANDING = new Set(['logging/setLevel', 'resources/subscribe', 'resources/unsubscribe'])

/** What a request of those is about. @throws {DuplicateMemberError} if that could be two things. */
function aboutOf(method: string, params: Json | undefined): string {
  if (method === 'logging/setLevel') return method
  return subscriptionTo(String(params?.member('uri')?.get<unknown>()))
}

function subscriptionTo(uri: string): string {
  return `resource ${uri}`
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

/** Asks again if the server no longer knew the session: then it has not acted on what it was asked. */
function onceMore<T>(ask: () => Promise<T>): Promise<T> {
  return ask().catch((error) => {
    if (!isLost(error)) throw error
    return ask()
  })
}

function isLost(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'upstream_session_lost'
}
