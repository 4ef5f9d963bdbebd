/**
 * One server under its own name. Every method goes to it, known or not yet invented.
 *
 * Where the configuration changes nothing, not a byte is touched; where it does, what is hidden is unknown.
 */
import type { Caller, ClientPeer } from '../caller.ts'
import { GatewayError } from '../errors.ts'
import type { Json } from '../rpc/json.ts'
import { isList } from '../upstream/lists.ts'
import type { Seat } from '../upstream/seat.ts'
import { Directory, type Found, type Place } from './directory.ts'
import type { Endpoint, ListedTool, View, Visit } from './endpoint.ts'
import { routed, type Target, unknownName } from './methods.ts'
import { type RulesOf, rulesOf, type Showing, type Shown } from './rules.ts'
import { Seats } from './seats.ts'
import { Shelves } from './shelf.ts'

export class Single implements Endpoint {
  readonly name: string
  readonly #shown: Shown
  readonly #showing: Showing
  readonly #rules: RulesOf
  readonly #shelves: Shelves

  constructor(name: string, shown: Shown, showing: Showing) {
    this.name = name
    this.#shown = shown
    this.#showing = showing
    this.#rules = rulesOf(shown.upstream.name, shown.options, showing)
    this.#shelves = new Shelves([{ upstream: shown.upstream, rules: this.#rules }])
  }

  visit(client: ClientPeer): Visit {
    const seats = Seats.of(client)
    const seat = seats.at(this.#shown.upstream)
    if (Object.keys(this.#rules).length === 0) return new Through(seat)
    return new Ruled({ seat, rules: this.#rules }, this.#shelves, seats)
  }

  narrowed({ servers, tools }: View): Endpoint {
    const { name } = this.#shown.upstream
    const other = servers?.find((server) => server !== name)
    if (other !== undefined) {
      throw new GatewayError('invalid_request', `servers: there is no "${other}" here`, {
        hint: `known is ${name}`,
      })
    }
    return tools ? new Single(this.name, this.#shown, { ...this.#showing, tools }) : this
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

  leave(): void {}
}

/** Passes on what there are no rules for. */
class Ruled implements Visit {
  readonly #place: Place
  readonly #directory: Directory

  constructor(place: Place, shelves: Shelves, client: ClientPeer) {
    this.#place = place
    this.#directory = new Directory([place], shelves, client.ended, () => {})
  }

  initialize(): Promise<Json> {
    return this.#place.seat.initialize()
  }

  async request(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    const { seat, rules } = this.#place
    if (isList(method) && rules[method]) {
      // Its failure is the client's to know: there is nothing else on this endpoint.
      await seat.list(method)
      return this.#directory.page(method, params)
    }
    const target = routed(method, params)
    if (!target || !rules[target.list]) return seat.request(method, params, caller)
    const found = this.#directory.known(target.list, target.key) ?? (await this.#look(target))
    if (found) return seat.request(method, target.params(found.item), caller)
    // What the list does not show may be there all the same, unless it was hidden on purpose.
    if (rules[target.list]!.name(target.key) !== target.key) throw unknownName(target)
    return seat.request(method, params, caller)
  }

  notify(method: string, params: Json | undefined): void {
    this.#place.seat.notify(method, params)
  }

  async tools(): Promise<ListedTool[]> {
    const { seat, rules } = this.#place
    const server = seat.upstream.name
    const list = await seat.list('tools/list')
    if (!rules['tools/list']) return list.map(({ key, json }) => ({ server, name: key, json }))
    const all = await this.#directory.all('tools/list')
    return all.map(({ item: { exposed, json } }) => ({ server, name: exposed, json }))
  }

  leave(): void {
    this.#directory.close()
  }

  async #look({ list, key, isUri }: Target): Promise<Found | undefined> {
    // URIs are what they are at the server: there is nothing to look up.
    if (isUri) return undefined
    // Without its list nobody can tell what a name stands for.
    await this.#place.seat.list(list)
    return this.#directory.find(list, key)
  }
}
