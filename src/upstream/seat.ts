/**
 * One client's place at one server: how it gets at a connection, and what the server lists for it.
 *
 * Calls go over connections that are shared as the server's `isolation` allows, each lent for one call. A client that wants
 * what only a connection of its own can carry (subscriptions, a log level, tasks) is given one, and keeps to it from then
 * on. Nothing is asked twice that the server may have acted on.
 */
import type { Caller, ClientPeer } from '../caller.ts'
import { GatewayError, RpcError } from '../errors.ts'
import type { Json } from '../rpc/json.ts'
import type { Deadline } from '../rpc/peer.ts'
import { type Connection, capabilityOf, type Introduction, isLate, within } from './connection.ts'
import { KeptList, LISTS, type List, type ListMethod, type Shape, walk } from './lists.ts'
import { aboutOf, Own, STANDING, subscriptionTo } from './own.ts'
import type { Share, Shared } from './share.ts'
import type { Lease } from './slot.ts'
import type { Upstream } from './upstream.ts'

/** How long a list is believed, in ms, of a server that does not announce changes, or may not be heard when it does. */
const BELIEVED = 30_000
const METHOD_NOT_FOUND = -32601
const URL_ELICITATION_REQUIRED = -32042
const ROOTS_CHANGED = 'notifications/roots/list_changed'

export class Seat {
  readonly upstream: Upstream
  readonly #client: ClientPeer
  readonly #timeout: number | undefined
  #own: Own | undefined
  #shared: Share | undefined
  #tasks: Set<string> | undefined

  constructor(upstream: Upstream, client: ClientPeer) {
    this.upstream = upstream
    this.#client = client
    this.#timeout = upstream.config.timeout
    if (upstream.config.isolation === 'session') this.#promote()
  }

  /**
   * Connects if need be. The server's own answer to `initialize`.
   *
   * @throws {GatewayError} naming the server, if it cannot be reached.
   * @throws {RpcError} if the server refuses.
   */
  async initialize(): Promise<Json> {
    try {
      // On a shared connection it would say what it has said before.
      const known = this.#own ? undefined : this.#known
      return (known ?? (await this.#met())).result
    } catch (error) {
      throw error instanceof GatewayError && error.cause instanceof RpcError ? error.cause : error
    }
  }

  /** What the server says of itself, from memory if it has met a client like this one before. */
  introduced(): Introduction | Promise<Introduction> {
    return this.#known ?? this.#met()
  }

  /**
   * Relays a call of the client's.
   *
   * @throws {GatewayError} naming the server, if it cannot be reached, is lost before it answers, or takes too long.
   * @throws {RpcError} the server's own.
   */
  request(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    if (STANDING.has(method)) return this.#stand(method, params, caller)
    try {
      if (!this.#own && !isPersonal(method, params)) return this.#lent(method, params, caller)
    } catch (error) {
      return Promise.reject(error)
    }
    const { connection } = this.#promote()
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
    const isOffered = this.offers(capability)
    // A server that has not got it is no reason for a connection of one's own.
    if (!this.#own && this.#known && !isOffered) return false
    const own = this.#promote()
    own.remember(aboutOf(method, params), { method, params, capability })
    if (!own.connection || !isOffered) return false
    await own.connection.request(method, params, caller, this.#deadline(method))
    return true
  }

  /** The ids of tasks that the server has for the client. */
  get tasks(): Set<string> {
    this.#tasks ??= new Set()
    return this.#tasks
  }

  hasTask(id: string): boolean {
    return this.#tasks?.has(id) ?? false
  }

  /** Takes over, from a seat at a server that this one has replaced, what the client had set up there. */
  succeed(former: Seat): void {
    const standing = former.#own?.standing ?? []
    if (standing.length === 0) return
    const own = this.#promote()
    for (const [about, one] of standing) own.remember(about, one)
    // It waits to be told of changes, and may never ask again.
    own.connect().catch(() => {})
  }

  /** The client is not to be found here any more. What is in flight is answered. */
  leave(): void {
    this.#shared?.leave(this.#client)
    this.#own?.leave()
  }

  /** Whether the client is told when a resource changes. */
  isSubscribed(uri: string): boolean {
    return this.#own?.isStanding(subscriptionTo(uri)) ?? false
  }

  /** Tells the server what the client has to say, if they are in touch or about to be. */
  notify(method: string, params: Json | undefined): void {
    if (this.#own) this.#own.notify(method, params)
    else if (method === ROOTS_CHANGED) this.#shared?.rootsChanged(this.#client)
    else {
      // Nobody else is to be meant by what nobody knows the meaning of.
      const own = this.#promote()
      own.connect().then(
        (connection) => connection.notify(method, params),
        (error) => this.#demote(own, error),
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
    return this.#own ? this.#own.connection !== undefined : this.upstream.isReady
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
    const isThere = !this.#own || this.#own.connection !== undefined
    if (isThere && kept.isFresh) return kept.list!
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
    return this.#borrow(async (connection) => {
      const ask = (params: Json | undefined) =>
        connection.request(method, params, caller, this.#deadline(method))
      try {
        return await walk(shape, ask, (text, why) => this.upstream.noise(text, why))
      } catch (error) {
        throw this.#named(error)
      }
    })
  }

  get #known(): Introduction | undefined {
    return this.#own?.connection?.introduction ?? this.upstream.remembered(this.#client)
  }

  get #lists(): Map<ListMethod, KeptList> {
    return this.#own?.lists ?? this.#share.lists
  }

  get #share(): Share {
    this.#shared ??= this.upstream.share(this.#client)
    return this.#shared
  }

  /** From now on, the connection of its own. */
  #promote(): Own {
    if (!this.#own) {
      this.#own = new Own(this.upstream, this.#client, (method) => this.#deadline(method))
      this.#shared?.leave(this.#client)
    }
    return this.#own
  }

  /** Where there is no room for a connection of its own, a client is no worse off than before. */
  #demote(own: Own, error: unknown): void {
    if (this.upstream.config.isolation === 'session' || !isBusy(error)) return
    if (this.#own !== own || own.connection) return
    this.#own = undefined
    this.#shared = undefined
  }

  #met(): Promise<Introduction> {
    return this.#borrow(async ({ introduction }) => introduction)
  }

  /** Does something of our own with a connection. */
  async #borrow<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const own = this.#own
    if (own) {
      const connection = await own.connect().catch((error) => {
        this.#demote(own, error)
        if (this.#own) throw error
      })
      if (connection) return work(connection)
    }
    return this.#share.together(this.#client, work)
  }

  /** On a connection that is lent for the call. */
  #lent(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    const share = this.#share
    const lease = share.acquire(this.#client, caller)
    const isCommand = this.upstream.config.kind === 'command'
    if (!(lease instanceof Promise) && this.#timeout === undefined && isCommand) {
      return this.#use(share, lease, method, params, caller, undefined)
    }
    const deadline = this.#until(method)
    let first: Lease<Shared> | Promise<Lease<Shared>> | undefined = lease
    return onceMore(async () => {
      const leasing = Promise.resolve(first ?? share.acquire(this.#client, caller))
      first = undefined
      const got = await this.#inTime(share, leasing, caller, deadline())
      return this.#use(share, got, method, params, caller, deadline())
    })
  }

  /** A connection that comes too late is given back. */
  async #inTime(
    share: Share,
    leasing: Promise<Lease<Shared>>,
    caller: Caller,
    deadline: Deadline | undefined,
  ): Promise<Lease<Shared>> {
    try {
      return await within(leasing, deadline)
    } catch (error) {
      leasing.then(
        (late) => share.release(late, caller, false),
        () => {},
      )
      throw error
    }
  }

  async #use(
    share: Share,
    lease: Lease<Shared>,
    method: string,
    params: Json | undefined,
    caller: Caller,
    deadline: Deadline | undefined,
  ): Promise<Json> {
    let isGivenUp = false
    try {
      return await lease.connection.connection.request(method, params, caller, deadline)
    } catch (error) {
      isGivenUp = caller.aborted !== undefined || isLate(error)
      if (error instanceof RpcError) this.#expectVisits(lease.connection, error)
      throw error
    } finally {
      void share.release(lease, caller, isGivenUp)
    }
  }

  /** The client is sent to URLs, and will be told when it has been there. */
  #expectVisits(shared: Shared, { code, error }: RpcError): void {
    if (code !== URL_ELICITATION_REQUIRED) return
    try {
      const all = error.member('data')?.member('elicitations')?.elements() ?? []
      for (const one of all) shared.expect(one, this.#client)
    } catch {
      // What it says amiss is the client's to read.
    }
  }

  /** What the client wants from now on. */
  async #stand(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    // Nothing that could be meant in two ways may be acted on.
    const about = aboutOf(method, params)
    const result = await this.#carefully(method, params, caller)
    const own = this.#promote()
    if (method === 'resources/unsubscribe') own.forget(about)
    else own.remember(about, { method, params })
    return result
  }

  /** On its own connection, which may have to be opened, in no more time than there is. */
  async #carefully(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    const own = this.#promote()
    const deadline = this.#until(method)
    try {
      return await onceMore(async () => {
        const connection = await within(own.connect(), deadline())
        return connection.request(method, params, caller, deadline())
      })
    } catch (error) {
      this.#demote(own, error)
      const isLent = !this.#own && !STANDING.has(method) && !isPersonal(method, params)
      if (isLent) return this.#lent(method, params, caller)
      throw error
    }
  }

  /** The same for a call on a connection that was there. */
  #again(error: unknown, method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    if (!isLost(error)) throw error
    return this.#promote()
      .connect()
      .then((connection) => connection.request(method, params, caller))
  }

  async #ask(method: ListMethod, kept: KeptList): Promise<List> {
    const { capability } = LISTS[method]
    const offered = capabilityOf(await this.#introducedForList(), capability)
    const { changes } = kept
    if (!offered)
      return kept.keep([], changes, this.isConnected ? Number.POSITIVE_INFINITY : BELIEVED)
    const walked = await this.walk(method, LISTS[method]).catch((error) => {
      // Many have resources and no notion of templates.
      if (error instanceof RpcError && error.code === METHOD_NOT_FOUND) return []
      throw error
    })
    const list = this.upstream.shared(method, walked)
    // If it was promoted meanwhile, nobody would hear of changes for those it shared with.
    const now = this.#kept(method)
    if (now !== kept) return now.keep(list, now.changes, BELIEVED)
    // Behind a URL there may be no stream on which we would hear of a change, or a broken one.
    const isHeard = offered.listChanged === true && this.upstream.config.kind === 'command'
    return kept.keep(list, changes, isHeard ? Number.POSITIVE_INFINITY : BELIEVED)
  }

  /** Its own connection may know better than memory. */
  #introducedForList(): Introduction | Promise<Introduction> {
    return this.#own ? this.#met() : this.introduced()
  }

  #kept(method: ListMethod): KeptList {
    const lists = this.#lists
    const known = lists.get(method)
    if (known) return known
    const kept = new KeptList()
    lists.set(method, kept)
    return kept
  }

  /** What is left, each time it is asked, of the time that a call may take. */
  #until(method: string): () => Deadline | undefined {
    const ms = this.#timeout
    if (ms === undefined) return () => undefined
    const since = performance.now()
    const late = () => this.#late(`did not answer ${method} within its timeout of ${ms} ms`)
    return () => ({ ms: Math.max(1, ms - (performance.now() - since)), late })
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

/** Whether only a connection of the client's own can carry it: a task goes on when its call is over. */
function isPersonal(method: string, params: Json | undefined): boolean {
  if (method === 'tools/call') return params?.member('task') !== undefined
  return method.startsWith('tasks/')
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

function isBusy(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'upstream_busy'
}
