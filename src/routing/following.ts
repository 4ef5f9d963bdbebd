/**
 * An endpoint that stays while the configuration changes what is there.
 *
 * Its clients are moved along: they keep their seats at servers that stay, and are told that lists have changed.
 */
import type { Caller, ClientPeer } from '../caller.ts'
import { GatewayError } from '../errors.ts'
import type { Json } from '../rpc/json.ts'
import { type Capability, CHANGES, changedNotice } from '../upstream/lists.ts'
import type { Endpoint, ListedTool, View, Visit } from './endpoint.ts'
import { Seats } from './seats.ts'

/** How many ways of narrowing it are kept. */
const MAX_NARROWED = 1_000

export class Following implements Endpoint {
  readonly name: string
  #now: Endpoint | undefined
  readonly #visits = new Set<FollowingVisit>()
  #narrowed = new Map<string, Endpoint>()

  constructor(name: string, now: Endpoint) {
    this.name = name
    this.#now = now
  }

  visit(client: ClientPeer): Visit {
    return this.#enter(client, [])
  }

  narrowed(view: View): Endpoint {
    return this.#at([view])
  }

  /** From now on this is there; nothing if it is undefined. */
  move(next: Endpoint | undefined): void {
    this.#now = next
    this.#narrowed = new Map()
    for (const visit of this.#visits) visit.move(this.#tried(visit.views))
  }

  /** Through these views, the outermost first. */
  #at(views: readonly View[]): Endpoint {
    this.#seen(views)
    return {
      name: this.name,
      visit: (client) => this.#enter(client, views),
      narrowed: (view) => this.#at([...views, view]),
    }
  }

  #enter(client: ClientPeer, views: readonly View[]): Visit {
    const visit = new FollowingVisit(this.name, client, views, this.#seen(views))
    this.#visits.add(visit)
    client.ended.addEventListener('abort', () => this.#visits.delete(visit))
    return visit
  }

  #tried(views: readonly View[]): Endpoint | undefined {
    try {
      return this.#seen(views)
    } catch {
      // It was narrowed to what is not there any more.
      return undefined
    }
  }

  /** @throws {GatewayError} `endpoint_unknown`, `invalid_request` */
  #seen(views: readonly View[]): Endpoint {
    if (!this.#now) throw gone(this.name)
    if (views.length === 0) return this.#now
    const key = JSON.stringify(views)
    const known = this.#narrowed.get(key)
    if (known) return known
    const narrowed = views.reduce((endpoint, view) => endpoint.narrowed(view), this.#now)
    if (this.#narrowed.size < MAX_NARROWED) this.#narrowed.set(key, narrowed)
    return narrowed
  }
}

class FollowingVisit implements Visit {
  readonly views: readonly View[]
  readonly #name: string
  readonly #seats: Seats
  #visit: Visit
  /** The lists whose changes the client expects to be told of. */
  #listed: readonly Capability[] = []

  constructor(name: string, client: ClientPeer, views: readonly View[], now: Endpoint) {
    this.#name = name
    this.views = views
    this.#seats = new Seats(client)
    this.#visit = now.visit(this.#seats)
  }

  move(next: Endpoint | undefined): void {
    const former = this.#visit
    this.#visit = this.#seats.moved(() => next?.visit(this.#seats) ?? new Nowhere(this.#name))
    former.leave()
    for (const capability of this.#listed) this.#seats.tell(changedNotice(capability))
  }

  async initialize(): Promise<Json> {
    const result = await this.#visit.initialize()
    this.#listed = listedBy(result)
    return result
  }

  request(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    return this.#visit.request(method, params, caller)
  }

  notify(method: string, params: Json | undefined): void {
    this.#visit.notify(method, params)
  }

  tools(): Promise<ListedTool[]> {
    return this.#visit.tools()
  }

  leave(): void {
    this.#visit.leave()
  }
}

/** There was something. */
class Nowhere implements Visit {
  readonly #name: string

  constructor(name: string) {
    this.#name = name
  }

  initialize(): Promise<never> {
    return Promise.reject(gone(this.#name))
  }

  request(): Promise<never> {
    return this.initialize()
  }

  notify(): void {}

  tools(): Promise<never> {
    return this.initialize()
  }

  leave(): void {}
}

function gone(name: string): GatewayError {
  return new GatewayError('endpoint_unknown', `"${name}" is not in the configuration any more`)
}

const ALL: readonly Capability[] = [...new Set(CHANGES.values())]
/** Most clients share what they were told. */
const SUBSETS = new Map<string, readonly Capability[]>()
for (let bits = 0; bits < 2 ** ALL.length; bits++) {
  const subset = ALL.filter((_, i) => bits & (1 << i))
  SUBSETS.set(subset.join(), subset)
}

function listedBy(introduction: Json): readonly Capability[] {
  try {
    const capabilities = introduction.member('capabilities')
    const listed = ALL.filter((capability) => capabilities?.member(capability) !== undefined)
    return SUBSETS.get(listed.join())!
  } catch {
    return ALL
  }
}
