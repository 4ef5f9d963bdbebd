/**
 * What clients of one owner share at a server: its pooled connections, and what it lists for them.
 *
 * An owner is one principal, or everybody, with one set of capabilities. What a server asks in the course of a call goes to
 * the client whose call it is, and to nobody else.
 */
import type { ClientPeer, Principal } from '../caller.ts'
import { GatewayError } from '../errors.ts'
import { IncomingRequest } from '../rpc/incoming.ts'
import type { Json } from '../rpc/json.ts'
import type { Incoming, RequestOptions } from '../rpc/peer.ts'
import { type Connection, isLate, within } from './connection.ts'
import { CHANGES, type KeptList, LISTS, type ListMethod } from './lists.ts'
import type { Hold, Lease, Pooled } from './slot.ts'
import type { Upstream } from './upstream.ts'

/** How long a server may take to come back from a call that was cancelled, in ms. */
const COMEBACK = 5_000
/** How many visits to a URL are remembered, until the server says that they are completed. */
const MAX_VISITS = 1_000

const ROOTS_CHANGED = 'notifications/roots/list_changed'
const VISIT_COMPLETED = 'notifications/elicitation/complete'
/** Nobody who calls now. */
const SOMEBODY = 'somebody else'

export class Share {
  readonly lists = new Map<ListMethod, KeptList>()
  readonly #upstream: Upstream
  readonly #owner: string
  readonly #onEmpty: () => void
  /** With what is done when they end. */
  readonly #clients = new Map<ClientPeer, () => void>()
  readonly #open = new Set<Shared>()
  #together: Together | undefined

  /** @param onEmpty neither clients nor connections are left. */
  constructor(upstream: Upstream, owner: string, onEmpty: () => void) {
    this.#upstream = upstream
    this.#owner = owner
    this.#onEmpty = onEmpty
  }

  /** Lets a client share, and be told what has changed. */
  enter(client: ClientPeer): void {
    const leave = () => this.leave(client)
    this.#clients.set(client, leave)
    client.ended.addEventListener('abort', leave)
  }

  leave(client: ClientPeer): void {
    const leave = this.#clients.get(client)
    if (!leave) return
    client.ended.removeEventListener('abort', leave)
    this.#clients.delete(client)
    this.#tidy()
  }

  /**
   * Lends a connection for one call of a client's.
   *
   * @param isCall whether it counts for `maxCalls`.
   * @throws {GatewayError} `upstream_busy`, or why none can be opened.
   */
  acquire(
    client: ClientPeer,
    caller: Incoming,
    isCall = true,
  ): Lease<Shared> | Promise<Lease<Shared>> {
    const open = (hold: Hold) => this.#connect(client, caller, hold)
    const lease = this.#upstream.pool.acquire(this.#owner, open, caller, isCall)
    if (lease instanceof Promise) return lease.then((got) => this.#begin(got, client, caller))
    return this.#begin(lease, client, caller)
  }

  /**
   * Does something of our own, as listing, on behalf of a client. All that is done at the same time shares one connection:
   * to look around takes no process each.
   */
  async together<T>(client: ClientPeer, work: (connection: Connection) => Promise<T>): Promise<T> {
    let together = this.#together
    if (!together) {
      // No call of the client's has this id.
      const nobody = new IncomingRequest('', undefined)
      const lease = Promise.resolve(this.acquire(client, nobody, false))
      together = { nobody, lease, working: 0, isLate: false }
      this.#together = together
    }
    const { nobody, lease } = together
    together.working++
    try {
      const { connection } = await lease
      return await work(connection.connection)
    } catch (error) {
      // Nobody else is to join where something went wrong.
      if (this.#together === together) this.#together = undefined
      together.isLate ||= isLate(error)
      throw error
    } finally {
      if (--together.working === 0) {
        if (this.#together === together) this.#together = undefined
        const { isLate } = together
        lease.then(
          (got) => this.release(got, nobody, isLate),
          () => {},
        )
      }
    }
  }

  /** Gives back what was lent for a call. A server that may still be at work on one that was given up is asked first. */
  async release(lease: Lease<Shared>, caller: Incoming, isGivenUp: boolean): Promise<void> {
    const shared = lease.connection
    if (isGivenUp && this.#upstream.config.kind === 'command' && !shared.connection.closed) {
      const { name } = this.#upstream
      const late = () =>
        new GatewayError(
          'upstream_closed',
          `server "${name}" did not come back from a call that was given up`,
          { server: name },
        )
      const ping = shared.connection.request('ping', undefined, undefined, { ms: COMEBACK, late })
      await ping.catch((error) => {
        if (!(error instanceof GatewayError)) return
        // Others may have it at work: they are waited for.
        if (shared.calls.size === 1) shared.close(error)
        else this.#upstream.pool.retire(shared, error)
      })
    }
    shared.calls.delete(caller)
    lease[Symbol.dispose]()
  }

  /** A client's roots are others than those that servers may have seen. */
  rootsChanged(client: ClientPeer): void {
    for (const shared of this.#open) if (shared.last === client) shared.last = SOMEBODY
  }

  #begin(
    lease: Lease<Shared>,
    client: ClientPeer,
    caller: Incoming,
  ): Lease<Shared> | Promise<Lease<Shared>> {
    const shared = lease.connection
    shared.calls.set(caller, client)
    const { last } = shared
    shared.last = client
    if (!last || last === client || !declaresRoots(client)) return lease
    return this.#handOver(shared).then(() => lease)
  }

  /** To the server it is the same client, whose roots are others now. It may want to know them before it goes on. */
  async #handOver(shared: Shared): Promise<void> {
    shared.connection.notify(ROOTS_CHANGED, undefined)
    const late = () => new Error('it is slow')
    await shared.connection
      .request('ping', undefined, undefined, { ms: COMEBACK, late })
      .catch(() => {})
    await within(shared.answered(), { ms: COMEBACK, late }).catch(() => {})
  }

  async #connect(client: ClientPeer, caller: Incoming, hold: Hold): Promise<Shared> {
    const shared = new Shared(client, (method) => this.#changed(method))
    // It may have questions before it is asked anything.
    shared.calls.set(caller, client)
    shared.last = client
    const leave = () => {
      this.#open.delete(shared)
      this.#tidy()
    }
    this.#open.add(shared)
    try {
      const onGone = (reason: Error) => {
        shared.closed ??= reason
        leave()
        for (const list of this.lists.values()) list.forget()
        this.#upstream.pool.remove(shared)
      }
      const { connection, gone } = await this.#upstream.open(shared, onGone, hold)
      shared.take(connection, gone)
      return shared
    } catch (error) {
      leave()
      throw error
    }
  }

  #tidy(): void {
    if (this.#clients.size === 0 && this.#open.size === 0) this.#onEmpty()
  }

  #changed(method: string): void {
    const capability = CHANGES.get(method)
    for (const [list, kept] of this.lists) {
      if (LISTS[list].capability === capability) kept.forget()
    }
    for (const client of this.#clients.keys()) client.notify(method)
  }
}

/** What is done at the same time on one connection. */
interface Together {
  nobody: Incoming
  lease: Promise<Lease<Shared>>
  working: number
  /** Something took too long. */
  isLate: boolean
}

/** A pooled connection, and the clients whose calls are in flight on it, as the one client that the server sees. */
export class Shared implements ClientPeer, Pooled {
  readonly id = 'shared'
  readonly isOne = false
  readonly principal: Principal
  readonly introduction: Json
  readonly ended = new AbortController().signal
  /** Whose call is which. */
  readonly calls = new Map<Incoming, ClientPeer>()
  /** Who used it last. */
  last: ClientPeer | typeof SOMEBODY | undefined
  closed: Error | undefined
  readonly #onChanged: (method: string) => void
  readonly #visits = new Map<unknown, ClientPeer>()
  readonly #asked = new Set<Promise<Json>>()
  #connection: Connection | undefined
  #gone: Promise<void> | undefined

  constructor(client: ClientPeer, onChanged: (method: string) => void) {
    this.principal = client.principal
    this.introduction = client.introduction
    this.#onChanged = onChanged
  }

  take(connection: Connection, gone: Promise<void>): void {
    this.#connection = connection
    this.#gone = gone
  }

  get connection(): Connection {
    return this.#connection!
  }

  get gone(): Promise<void> {
    return this.#gone!
  }

  close(reason: Error): void {
    this.connection.close(reason)
  }

  async request(method: string, params?: Json, options: RequestOptions = {}): Promise<Json> {
    const caller = this.#callerOf(options.relatedTo)
    const client = caller && this.calls.get(caller)
    if (!client) {
      throw new GatewayError('method_not_found', `${method}: there is no call that this belongs to`)
    }
    if (method === 'elicitation/create') this.expect(params, client)
    const asked = client.request(method, params, { ...options, relatedTo: caller })
    this.#asked.add(asked)
    return asked.finally(() => this.#asked.delete(asked))
  }

  notify(method: string, params?: Json, relatedTo?: Incoming): void {
    if (CHANGES.has(method)) {
      this.#onChanged(method)
      return
    }
    const visitor = method === VISIT_COMPLETED && this.#visits.get(visitOf(params))
    if (visitor) {
      visitor.notify(method, params)
      return
    }
    const caller = this.#callerOf(relatedTo)
    if (caller) this.calls.get(caller)!.notify(method, params, caller)
  }

  /** Resolves when nothing is left that the server has asked so far. */
  async answered(): Promise<void> {
    await Promise.allSettled(this.#asked)
  }

  /** Remembers who is sent to a URL: that the visit is completed is told when the call may be over. */
  expect(elicitation: Json | undefined, client: ClientPeer): void {
    const id = visitOf(elicitation)
    if (id === undefined) return
    this.#visits.set(id, client)
    const [oldest] = this.#visits.keys()
    if (this.#visits.size > MAX_VISITS) this.#visits.delete(oldest)
  }

  /** The call that something belongs to: the one that the transport knows of, or the only one there is. */
  #callerOf(known: Incoming | undefined): Incoming | undefined {
    if (known && this.calls.has(known)) return known
    if (this.calls.size !== 1) return undefined
    const [only] = this.calls.keys()
    return only
  }
}

/** Undefined where it is not there, or twice: then nobody can tell which is meant. */
function visitOf(elicitation: Json | undefined): unknown {
  try {
    return elicitation?.member('elicitationId')?.get()
  } catch {
    return undefined
  }
}

function declaresRoots({ introduction }: ClientPeer): boolean {
  try {
    const roots = introduction.member('capabilities')?.member('roots')
    return roots?.member('listChanged')?.get() === true
  } catch {
    // Twice is as good as not at all.
    return false
  }
}
