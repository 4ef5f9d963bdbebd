/**
 * Several servers as one.
 *
 * What names something goes to its owner; what concerns everybody goes to all; what only a server could understand is
 * refused, because nobody could tell which. A server that is down takes nothing from the others.
 */
import { version } from '../../package.json'
import type { Caller, ClientPeer } from '../caller.ts'
import { GatewayError } from '../errors.ts'
import { Json } from '../rpc/json.ts'
import { type Capability, changedNotice } from '../upstream/lists.ts'
import type { Seat } from '../upstream/seat.ts'
import { Directory, type Place } from './directory.ts'
import type { Endpoint, ListedTool, View, Visit } from './endpoint.ts'
import { capabilitiesOf, instructionsOf, revisionFor } from './introduction.ts'
import { knowsNothing, routed, stringAt, type Target, unknownName } from './methods.ts'
import { mayExpand } from './names.ts'
import { rulesOf, type Showing, type Shown } from './rules.ts'
import { Seats } from './seats.ts'
import { type Member, Shelves } from './shelf.ts'

export class Merged implements Endpoint {
  readonly name: string
  readonly #shown: readonly Shown[]
  readonly #showing: Showing
  readonly #members: readonly Member[]
  readonly #shelves: Shelves

  constructor(name: string, shown: readonly Shown[], showing: Showing) {
    this.name = name
    this.#shown = shown
    this.#showing = showing
    this.#members = shown.map((one) => ({
      upstream: one.upstream,
      rules: rulesOf(one.upstream.name, one.options, showing),
    }))
    this.#shelves = new Shelves(this.#members)
  }

  visit(client: ClientPeer): Visit {
    return new MergedVisit(this.#members, this.#shelves, Seats.of(client))
  }

  narrowed({ servers, tools }: View): Endpoint {
    const names = this.#shown.map(({ upstream }) => upstream.name)
    const other = servers?.find((server) => !names.includes(server))
    if (other !== undefined) {
      throw new GatewayError('invalid_request', `servers: there is no "${other}" here`, {
        hint: `known are ${names.join(', ')}`,
      })
    }
    const left = this.#shown.filter(({ upstream }) => servers?.includes(upstream.name) ?? true)
    return new Merged(this.name, left, { ...this.#showing, tools: tools ?? this.#showing.tools })
  }
}

/** How many tasks that a server has for one client are remembered. The oldest are forgotten. */
const MAX_TASKS = 10_000
/** Changes announced within so many ms are announced once. */
const COALESCED = 10

class MergedVisit implements Visit {
  readonly #client: Seats
  readonly #places: readonly Place[]
  readonly #directory: Directory
  readonly #changed = new Set<Capability>()

  constructor(members: readonly Member[], shelves: Shelves, client: Seats) {
    this.#client = client
    // That lists have changed is told once for all of them.
    client.onChanged = (capability) => this.#announce([capability])
    this.#places = members.map(({ upstream, rules }) => ({ seat: client.at(upstream), rules }))
    this.#directory = new Directory(this.#places, shelves, client.ended, (changed) =>
      this.#announce(changed),
    )
  }

  async initialize(): Promise<Json> {
    const said = await this.#directory.introductions()
    const met = this.#places.map(({ seat }, i) => ({
      server: seat.upstream.name,
      introduction: said[i],
    }))
    const instructions = instructionsOf(met)
    return Json.of({
      protocolVersion: revisionFor(this.#client),
      capabilities: capabilitiesOf(met),
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
      case 'prompts/get':
      case 'completion/complete':
      case 'resources/read':
      case 'resources/subscribe':
      case 'resources/unsubscribe':
        return this.#routed(method, params, caller)
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
    const all = await this.#directory.all('tools/list')
    return all.map(({ place, item }) => ({
      server: place.seat.upstream.name,
      name: item.exposed,
      json: item.json,
    }))
  }

  leave(): void {
    this.#directory.close()
  }

  async #routed(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    const target = routed(method, params)!
    if (target.isUri) return this.#ofOwner(method, target, params, caller)
    const { list, key } = target
    const found = this.#directory.known(list, key) ?? (await this.#directory.find(list, key))
    if (!found) throw unknownName(target)
    const { seat } = found.place
    const isTask = method === 'tools/call' && params!.member('task') !== undefined
    const result = await seat.request(method, target.params(found.item), caller)
    const id = isTask ? taskOf(result) : undefined
    if (id !== undefined) this.#own(id, seat)
    return result
  }

  /** Asks whoever may own a URI, until one does. It may be asked of several: nothing is changed by it. */
  async #ofOwner(
    method: string,
    target: Target,
    params: Json | undefined,
    caller: Caller,
  ): Promise<Json> {
    if (method === 'resources/subscribe' || method === 'resources/unsubscribe') {
      const subscribed = this.#places.find(({ seat }) => seat.isSubscribed(target.key))
      if (subscribed) return subscribed.seat.request(method, params, caller)
    }
    const { owners, others } = await this.#owners(target)
    let told: unknown
    for (const seat of [...owners, ...others]) {
      try {
        return await seat.request(method, params, caller)
      } catch (error) {
        if (caller.aborted) throw error
        // Who only might have known it has nothing to say.
        if (owners.includes(seat) || !knowsNothing(error)) told ??= error
      }
    }
    throw told ?? unknownName(target)
  }

  /**
   * The one who lists a URI or template; else those whose template fits. All others that have resources may know it, too,
   * but who does not answer is not waited for.
   */
  async #owners({ list, key }: Target): Promise<{ owners: Seat[]; others: Seat[] }> {
    const found = await this.#directory.find(list, key)
    if (found) return { owners: [found.place.seat], others: [] }
    const templates = 'resources/templates/list'
    const all = await this.#directory.all(templates)
    const isShown = ({ rules }: Place) => rules[templates]!.name(key) !== undefined
    const fitting = all.filter(({ place, item }) => isShown(place) && mayExpand(item.exposed, key))
    const owners = [...new Set(fitting.map(({ place }) => place.seat))]
    const others = this.#places.filter(
      (place) => isShown(place) && place.seat.offers('resources') && !owners.includes(place.seat),
    )
    const there = others.filter((place) => !this.#directory.isMissing(place, templates))
    const asked = there.length > 0 || owners.length > 0 ? there : others
    return { owners, others: asked.map(({ seat }) => seat) }
  }

  async #setLevel(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    stringAt(params, 'level')
    const told = await Promise.allSettled(
      this.#places.map(({ seat }) => seat.establish('logging', method, params, caller)),
    )
    const failure = told.find((result) => result.status === 'rejected')
    const isTaken = told.some((result) => result.status === 'fulfilled' && result.value)
    // A level that one server does not know may be known to others.
    if (failure && !isTaken) throw failure.reason
    return Json.of({})
  }

  async #listTasks(caller: Caller): Promise<Json> {
    const lists = await Promise.all(
      this.#places.map(async ({ seat }) => {
        if (!seat.isConnected || !seat.offers('tasks')) return []
        const tasks = await seat.walk('tasks/list', TASKS, caller).catch(() => [])
        return tasks.filter(({ key }) => this.#own(key, seat))
      }),
    )
    return Json.parse(`{"tasks":[${lists.flat().map(({ json }) => json.text)}]}`)
  }

  async #task(method: string, params: Json | undefined, caller: Caller): Promise<Json> {
    const id = stringAt(params, 'taskId')
    const owner = this.#ownerOf(id)
    if (owner) return owner.request(method, params, caller)
    throw new GatewayError('name_unknown', `Unknown task: ${id}`)
  }

  /** Remembers whose task it is. False if another server has used the id before: the first keeps it. */
  #own(id: string, seat: Seat): boolean {
    const owner = this.#ownerOf(id)
    if (owner) return owner === seat
    const { tasks } = seat
    tasks.add(id)
    const [oldest] = tasks
    if (tasks.size > MAX_TASKS) tasks.delete(oldest!)
    return true
  }

  #ownerOf(task: string): Seat | undefined {
    return this.#places.find(({ seat }) => seat.hasTask(task))?.seat
  }

  #announce(changed: Capability[]): void {
    if (this.#changed.size === 0) {
      setTimeout(() => {
        const all = [...this.#changed]
        this.#changed.clear()
        if (this.#client.ended.aborted) return
        for (const capability of all) this.#client.tell(changedNotice(capability))
      }, COALESCED).unref()
    }
    for (const capability of changed) this.#changed.add(capability)
  }
}

const TASKS = { entries: 'tasks', key: 'taskId' }

/** The id of the task that a result has begun; undefined also if that could be two. */
function taskOf(result: Json): string | undefined {
  try {
    const id = result.member('task')?.member('taskId')?.get<unknown>()
    return typeof id === 'string' ? id : undefined
  } catch {
    return undefined
  }
}
