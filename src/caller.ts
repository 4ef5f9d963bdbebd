/** Who is calling. The little that upstreams may know of a client: whose call it is, and whom to ask back. */

import type { Json } from './rpc/json.ts'
import type { Incoming, Peer, RequestOptions } from './rpc/peer.ts'

/** Who a request comes from, as proved by the guard. */
export interface Principal {
  /** Unique among all principals, for as long as anything of theirs is kept. */
  readonly id: string
  readonly kind: 'anonymous' | 'token' | 'user'
  /** What they are called in logs, if that is more than the id says. */
  readonly name?: string
  /** The client that a user let in, and by which grant. */
  readonly clientId?: string
  readonly grantId?: string
  /** The servers it may use, by name; all if undefined. To it the others do not exist. */
  readonly servers?: ReadonlySet<string>
  /** Whether it may see and change what runs. */
  readonly isAdmin?: boolean
}

/** Everybody, where no authentication is configured. */
export const ANONYMOUS: Principal = { id: 'anonymous', kind: 'anonymous' }

/** A session as upstreams know it: someone to ask, who said what it can do, and who will leave one day. */
export interface ClientPeer extends Peer {
  readonly id: string
  /** Whose it is, for life. */
  readonly principal: Principal
  /** Whether it is one client, and not several that share a connection. */
  readonly isOne: boolean
  /** The params of its `initialize`: protocol version, capabilities, clientInfo. */
  readonly introduction: Json
  /** Aborted when the session ends. */
  readonly ended: AbortSignal
}

/** One call arriving from downstream, whatever carried it. */
export interface Caller extends Incoming {
  readonly principal: Principal
}

/** A client as it is seen through something that listens to what it is told. */
export class Overheard implements ClientPeer {
  readonly #client: ClientPeer

  constructor(client: ClientPeer) {
    this.#client = client
  }

  get id(): string {
    return this.#client.id
  }
  get principal(): Principal {
    return this.#client.principal
  }
  get isOne(): boolean {
    return this.#client.isOne
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
  notify(method: string, params?: Json, relatedTo?: Incoming): void {
    this.#client.notify(method, params, relatedTo)
  }
}
