/**
 * One server under its own name. Every method goes to it, known or not yet invented.
 *
 * Where the configuration changes nothing, not a byte is touched; where it does, what is hidden is unknown.
 */
import type { Caller, ClientPeer } from '../caller.ts'
import { GatewayError } from '../errors.ts'
import type { Json } from '../rpc/json.ts'
import type { ListMethod } from '../upstream/lists.ts'
import type { Seat } from '../upstream/seat.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { merge } from './catalog.ts'
import { Directory, type Place } from './directory.ts'
import type { Endpoint, ListedTool, View, Visit } from './endpoint.ts'
import { routed, unknownName } from './methods.ts'
import { type RulesOf, rulesOf, type Showing } from './rules.ts'

export class Single implements Endpoint {
  readonly name: string
  readonly #upstream: Upstream
  readonly #showing: Showing
  readonly #rules: RulesOf

  constructor(name: string, upstream: Upstream, showing: Showing) {
    this.name = name
    this.#upstream = upstream
    this.#showing = showing
    this.#rules = rulesOf(upstream.name, upstream.config, showing)
  }

  visit(client: ClientPeer): Visit {
    const seat = this.#upstream.seat(client)
    if (Object.keys(this.#rules).length === 0) return new Through(seat)
    return new Ruled({ seat, rules: this.#rules }, client)
  }

  narrowed({ servers, tools }: View): Endpoint {
    const { name } = this.#upstream
    const other = servers?.find((server) => server !== name)
    if (other !== undefined) {
      throw new GatewayError('invalid_request', `servers: there is no "${other}" here`, {
        hint: `known is ${name}`,
      })
    }
    return tools ? new Single(this.name, this.#upstream, { ...this.#showing, tools }) : this
  }
}

/** Passes everything through. */
class Through implements Visit {
  readonly #seat: Seat

  constructor(seat: Seat) {
    this.#seat = seat
  }

  initialize(): Promise<Json> {
    return this.#seat.initialize()
  }

  request(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    return this.#seat.request(method, params, caller)
  }

  notify(method: string, params: Json | undefined): void {
    this.#seat.notify(method, params)
  }

  async tools(): Promise<ListedTool[]> {
    const list = await this.#seat.list('tools/list')
    const server = this.#seat.upstream.name
    return list.map(({ key, json }) => ({ server, name: key, json }))
  }
}

/** Passes on what there are no rules for. */
class Ruled implements Visit {
  readonly #place: Place
  readonly #directory: Directory

  constructor(place: Place, client: ClientPeer) {
    this.#place = place
    this.#directory = new Directory([place], client.ended, () => {})
  }

  initialize(): Promise<Json> {
    return this.#place.seat.initialize()
  }

  async request(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    const { seat, rules } = this.#place
    if (method in rules) {
      // Its failure is the client's to know: there is nothing else on this endpoint.
      await seat.list(method as ListMethod)
      return this.#directory.page(method as ListMethod, params)
    }
    const target = routed(method, params)
    if (!target || !rules[target.list]) return seat.request(method, params, caller)

    let found = this.#directory.known(target.list, target.key)
    if (!found) {
      // Without its list nobody can tell what a name stands for.
      await seat.list(target.list)
      found = await this.#directory.find(target.list, target.key)
    }
    if (found) return seat.request(method, target.params(found), caller)
    // What the list does not show may be there all the same, unless it was hidden on purpose.
    if (this.#isHidden(target.list, target.key)) throw unknownName(target)
    return seat.request(method, params, caller)
  }

  notify(method: string, params: Json | undefined): void {
    this.#place.seat.notify(method, params)
  }

  async tools(): Promise<ListedTool[]> {
    const list = await this.#place.seat.list('tools/list')
    const rules = this.#place.rules['tools/list']
    const server = this.#place.seat.upstream.name
    if (!rules) return list.map(({ key, json }) => ({ server, name: key, json }))
    const { items } = merge([{ owner: this.#place, list, rules }])
    return items.map(({ exposed, json }) => ({ server, name: exposed, json }))
  }

  /** By a filter, or behind another name. */
  #isHidden(list: ListMethod, key: string): boolean {
    const rules = this.#place.rules[list]!
    return rules.name(key) !== key
  }
}
