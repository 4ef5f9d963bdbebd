/**
 * Several servers as one.
 *
 * What names something goes to its owner; what concerns everybody goes to all; what only a server could understand is
 * refused, because nobody could tell which. A server that is down takes nothing from the others.
 */
import { version } from '../../package.json'
import type { Caller, ClientPeer } from '../caller.ts'
import { GatewayError, RpcError } from '../errors.ts'
import { Json } from '../rpc/json.ts'
import type { Id } from '../rpc/message.ts'
import type { RequestOptions } from '../rpc/peer.ts'
import { type Capability, changedNotice, LISTS, walk } from '../upstream/lists.ts'
import type { Seat } from '../upstream/seat.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { Directory, inTime, type Place } from './directory.ts'
import type { Endpoint, ListedTool, View, Visit } from './endpoint.ts'
import { capabilitiesOf, instructionsOf, revisionFor } from './introduction.ts'
import { routed, type Target, unknownName } from './methods.ts'
import { mayExpand } from './names.ts'
import { type RulesOf, rulesOf, type Showing, showsResource } from './rules.ts'

interface Member {
  upstream: Upstream
  rules: RulesOf
}

export class Merged implements Endpoint {
  readonly name: string
  readonly #upstreams: readonly Upstream[]
  readonly #showing: Showing
  readonly #members: readonly Member[]

  constructor(name: string, upstreams: readonly Upstream[], showing: Showing) {
    this.name = name
    this.#upstreams = upstreams
    this.#showing = showing
    this.#members = upstreams.map((upstream) => ({
      upstream,
      rules: rulesOf(upstream.name, upstream.config, showing),
    }))
  }

  visit(client: ClientPeer): Visit {
    return new MergedVisit(this.#members, client)
  }

  narrowed({ servers, tools }: View): Endpoint {
    const names = this.#upstreams.map(({ name }) => name)
    const other = servers?.find((server) => !names.includes(server))
    if (other !== undefined) {
      throw new GatewayError('invalid_request', `servers: there is no "${other}" here`, {
        hint: `known are ${names.join(', ')}`,
      })
    }
    const left = this.#upstreams.filter(({ name }) => servers?.includes(name) ?? true)
    return new Merged(this.name, left, { ...this.#showing, tools: tools ?? this.#showing.tools })
  }
}

/** How many tasks of one client are remembered with their owners. The oldest are forgotten. */
const MAX_TASKS = 10_000
/** Changes announced within so many ms are announced once. */
const COALESCED = 10

class MergedVisit implements Visit {
  readonly #client: ClientPeer
  readonly #places: readonly Place[]
  readonly #directory: Directory
  readonly #tasks = new Map<string, Seat>()
  readonly #subscribed = new Map<string, Seat>()
  readonly #changed = new Set<Capability>()

  constructor(members: readonly Member[], client: ClientPeer) {
    this.#client = client
    const peer = new Coalescing(client, (capability) => this.#announce([capability]))
    this.#places = members.map(({ upstream, rules }) => ({ seat: upstream.seat(peer), rules }))
    this.#directory = new Directory(this.#places, client.ended, (changed) =>
      this.#announce(changed),
    )
  }

  async initialize(): Promise<Json> {
    const met = await Promise.all(
      this.#places.map(async ({ seat }) => {
        const said = seat.introduced()
        // Who is late is left out, and is tried again when something is asked of it.
        const late = said instanceof Promise ? inTime(said, seat.upstream.listTimeout) : said
        const introduction = await Promise.resolve(late).catch(() => undefined)
        return introduction ? [{ server: seat.upstream.name, introduction }] : []
      }),
    )
    const introductions = met.flat()
    const instructions = instructionsOf(introductions)
    return Json.of({
      protocolVersion: revisionFor(this.#client),
      capabilities: capabilitiesOf(introductions),
      serverInfo: { name: 'mcp-gateway', version },
      ...(instructions === undefined ? {} : { instructions }),
    })
  }

  async request(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    switch (method) {
      case 'tools/list':
      case 'prompts/list':
      case 'resources/list':
      case 'resources/templates/list':
        return this.#directory.page(method, params)
      case 'tools/call':
        return this.#call(method, params, caller)
      case 'prompts/get':
        return this.#named(method, routed(method, params)!, caller)
      case 'completion/complete':
        return this.#complete(method, params, caller)
      case 'resources/read':
      case 'resources/subscribe':
      case 'resources/unsubscribe':
        return this.#resource(method, params, caller)
      case 'logging/setLevel':
        return this.#setLevel(method, params, caller)
      case 'tasks/list':
        return this.#listTasks(caller)
      case 'tasks/get':
      case 'tasks/result':
      case 'tasks/cancel':
        return this.#task(method, params, caller)
      default:
        throw new GatewayError('method_not_found', `Method not found: ${method}`, {
          hint: 'ask a single server, at /NAME/mcp',
        })
    }
  }

  notify(method: string, params: Json | undefined): void {
    // Of other notifications nobody could tell for whom they are.
    if (method !== 'notifications/roots/list_changed') return
    for (const { seat } of this.#places) seat.notify(method, params)
  }

  async tools(): Promise<ListedTool[]> {
    const { items } = await this.#directory.catalog('tools/list')
    return items.map(({ owner, exposed, json }) => ({
      server: owner.seat.upstream.name,
      name: exposed,
      json,
    }))
  }

  async #named(method: string, target: Target, caller: Caller): Promise<Json> {
    const { list, key } = target
    const found = this.#directory.known(list, key) ?? (await this.#directory.find(list, key))
    if (!found) throw unknownName(target)
    return found.owner.seat.request(method, target.params(found), caller)
  }

  async #call(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    const target = routed(method, params)!
    if (!params!.member('task')) return this.#named(method, target, caller)
    const result = await this.#named(method, target, caller)
    const id = result.member('task')?.member('taskId')?.get<unknown>()
    const owner = this.#directory.known(target.list, target.key)?.owner.seat
    if (typeof id === 'string' && owner) this.#own(id, owner)
    return result
  }

  async #complete(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    const target = routed(method, params)!
    if (target.list === 'prompts/list') return this.#named(method, target, caller)
    return this.#ofOwner(method, target.key, params, caller)
  }

  async #resource(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    const { key: uri } = routed(method, params)!
    const subscribed = this.#subscribed.get(uri)
    if (method === 'resources/unsubscribe' && subscribed) {
      this.#subscribed.delete(uri)
      return subscribed.request(method, params, caller)
    }
    return this.#ofOwner(method, uri, params, caller)
  }

  /** Asks whoever may own a URI, until one does. It may be asked of several: nothing is changed by it. */
  async #ofOwner(
    method: string,
    uri: string,
    params: Json | undefined,
    caller: Caller,
  ): Promise<Json> {
    let told: unknown
    for (const seat of await this.#owners(uri)) {
      try {
        const result = await seat.request(method, params, caller)
        if (method === 'resources/subscribe') this.#subscribed.set(uri, seat)
        return result
      } catch (error) {
        if (caller.aborted) throw error
        // What a server says of a URI is nearer to the truth than that another one cannot be reached.
        if (told === undefined || error instanceof RpcError) told = error
      }
    }
    throw told ?? unknownName({ list: 'resources/list', key: uri, params: () => params! })
  }

  /** The one who lists it; else those whose template fits, then all others that have resources. */
  async #owners(uri: string): Promise<Seat[]> {
    const found =
      this.#directory.known('resources/list', uri) ??
      (await this.#directory.find('resources/list', uri))
    if (found) return [found.owner.seat]
    const { items } = await this.#directory.catalog('resources/templates/list')
    const fitting = items.filter(({ exposed }) => exposed === uri || mayExpand(exposed, uri))
    const others = this.#places.filter(({ seat }) => seat.offers('resources'))
    const all = new Set([...fitting.map(({ owner }) => owner.seat), ...others.map((at) => at.seat)])
    return [...all].filter((seat) => showsResource(seat.upstream.config, uri))
  }

  async #setLevel(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    const told = await Promise.allSettled(
      this.#places.map(({ seat }) => seat.establish('logging', method, params, caller)),
    )
    const failure = told.find((result) => result.status === 'rejected')
    // A level that one server does not know may be known to others.
    if (failure && told.every((result) => result.status === 'rejected')) throw failure.reason
    return Json.of({})
  }

  async #listTasks(caller: Caller): Promise<Json> {
    const lists = await Promise.all(
      this.#places.map(async ({ seat }) => {
        if (!seat.isConnected || !seat.offers('tasks')) return []
        const ask = (page: Json | undefined) => seat.request('tasks/list', page, caller)
        const tasks = await walk(TASKS, ask, (text, why) => seat.upstream.noise(text, why)).catch(
          () => [],
        )
        return tasks.filter(({ key }) => this.#own(key, seat))
      }),
    )
    return Json.parse(`{"tasks":[${lists.flat().map(({ json }) => json.text)}]}`)
  }

  async #task(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    const id = params?.member('taskId')?.get<unknown>()
    const owner = typeof id === 'string' ? this.#tasks.get(id) : undefined
    if (owner) return owner.request(method, params, caller)
    throw new GatewayError('name_unknown', `Unknown task: ${params?.member('taskId')?.text}`)
  }

  /** Remembers whose task it is. False if another server has used the id before: the first keeps it. */
  #own(id: string, seat: Seat): boolean {
    const owner = this.#tasks.get(id)
    if (owner) return owner === seat
    this.#tasks.set(id, seat)
    const [oldest] = this.#tasks.keys()
    if (this.#tasks.size > MAX_TASKS) this.#tasks.delete(oldest!)
    return true
  }

  #announce(changed: Capability[]): void {
    if (this.#changed.size === 0) {
      setTimeout(() => {
        const all = [...this.#changed]
        this.#changed.clear()
        if (this.#client.ended.aborted) return
        for (const capability of all) this.#client.notify(changedNotice(capability))
      }, COALESCED).unref()
    }
    for (const capability of changed) this.#changed.add(capability)
  }
}

const TASKS = { entries: 'tasks', key: 'taskId' }

/** The client as each of the servers sees it. That lists have changed is told once for all of them. */
class Coalescing implements ClientPeer {
  readonly #client: ClientPeer
  readonly #announce: (changed: Capability) => void

  constructor(client: ClientPeer, announce: (changed: Capability) => void) {
    this.#client = client
    this.#announce = announce
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
    const changed = CHANGES.get(method)
    if (changed) this.#announce(changed)
    else this.#client.notify(method, params, relatedTo)
  }
}

const CHANGES = new Map(
  Object.values(LISTS).map(({ capability }) => [changedNotice(capability) as string, capability]),
)
