/**
 * What one client finds at an endpoint: the lists of its servers, made one, and who owns what in them.
 *
 * Servers are asked at once, each for as long as it may take. Who fails or is late is stood in for by what it listed
 * last, or left out; it is tried again in the background, and announced when it comes.
 */
import { GatewayError, RpcError } from '../errors.ts'
import type { Json } from '../rpc/json.ts'
import { type Introduction, within } from '../upstream/connection.ts'
import { type Capability, LISTS, type List, type ListMethod } from '../upstream/lists.ts'
import type { Seat } from '../upstream/seat.ts'
import { Backoff } from './backoff.ts'
import type { Item } from './catalog.ts'
import type { RulesOf } from './rules.ts'
import type { Shelf, Shelves } from './shelf.ts'

/** One server of an endpoint, and the client's seat there. */
export interface Place {
  readonly seat: Seat
  readonly rules: RulesOf
}

/** What is to be found there, and where. */
export interface Found {
  place: Place
  item: Item<number>
}

/** How long to wait before a server is tried again, in ms: doubled each time, up to the second. */
const PAUSE = 1_000
const LONGEST_PAUSE = 30_000

export class Directory {
  readonly #places: readonly Place[]
  readonly #ended: AbortSignal
  readonly #announce: (changed: Capability[]) => void
  readonly #shelves: Shelves
  /** Those that the client was shown last. */
  readonly #shown = new Map<ListMethod, Shelf>()
  /** Servers that are tried again in the background, with the lists that are wanted of them. */
  readonly #missing = new Map<Place, Set<ListMethod>>()
  #isClosed = false

  /**
   * @param places the client's, at the servers in the order of `shelves`.
   * @param announce that lists have changed because a server has come.
   */
  constructor(
    places: readonly Place[],
    shelves: Shelves,
    ended: AbortSignal,
    announce: (changed: Capability[]) => void,
  ) {
    this.#places = places
    this.#shelves = shelves
    this.#ended = ended
    this.#announce = announce
  }

  /** Nobody wants to know any more. */
  close(): void {
    this.#isClosed = true
    for (const { seat } of this.#missing.keys()) seat.upstream.backFor(this)
    this.#missing.clear()
  }

  /** What the servers say of themselves, in their order; undefined for who is not there. */
  introductions(): Promise<(Introduction | undefined)[]> {
    return Promise.all(
      this.#places.map(async (place) => {
        const said = place.seat.introduced()
        if (!(said instanceof Promise)) return said
        return this.#inTime(place, said).catch(() => {
          this.#miss(place, said)
          return undefined
        })
      }),
    )
  }

  /** What a client that asks by this method is shown. From memory, unless something may have changed. */
  async all(method: ListMethod): Promise<Found[]> {
    const { items } = (await this.#look(method)).catalog
    return items.map((item) => this.#found(item))
  }

  /** The page of the catalog that a client asks for. */
  async page(method: ListMethod, params: Json | undefined): Promise<Json> {
    const cursor = params?.member('cursor')
    return (await this.#look(method)).page(cursor)
  }

  /** What a client means by a name or URI. A miss looks again before it is one. */
  async find(method: ListMethod, exposed: string): Promise<Found | undefined> {
    const known = this.known(method, exposed)
    if (known) return known
    const item = (await this.#look(method)).catalog.find(exposed)
    return item && this.#found(item)
  }

  /** The same, as far as it is known without asking anybody. */
  known(method: ListMethod, exposed: string): Found | undefined {
    const item = this.#shown.get(method)?.catalog.find(exposed)
    return item && this.#found(item)
  }

  #found(item: Item<number>): Found {
    return { place: this.#places[item.owner]!, item }
  }

  /** Whether a server does not list just now what it may have. */
  isMissing(place: Place, method: ListMethod): boolean {
    return this.#missing.get(place)?.has(method) ?? false
  }

  #look(method: ListMethod): Shelf | Promise<Shelf> {
    const asking = this.#places.flatMap((place) => this.#ask(place, method) ?? [])
    if (asking.length === 0) return this.#shelf(method)
    return Promise.all(asking).then(() => this.#shelf(method))
  }

  /** With the latest that everybody has listed, however long ago. */
  #shelf(method: ListMethod): Shelf {
    const lists = this.#places.map(({ seat, rules }) => rules[method] && seat.lastList(method))
    const shown = this.#shown.get(method)
    if (shown?.isOf(lists)) return shown
    const shelf = this.#shelves.get(method, lists)
    this.#shown.set(method, shelf)
    return shelf
  }

  /** Resolves when the latest list of a server is there, or it is not to be waited for; undefined if that is now. */
  #ask(place: Place, method: ListMethod): Promise<void> | undefined {
    if (!place.rules[method] || this.isMissing(place, method)) return undefined
    const list = place.seat.list(method)
    return list instanceof Promise ? this.#await(place, method, list) : undefined
  }

  async #await(place: Place, method: ListMethod, listing: Promise<List>): Promise<void> {
    try {
      await this.#inTime(place, listing)
    } catch (error) {
      // Who answers with an error is there, and has no such list.
      if (!(error instanceof RpcError)) this.#miss(place, listing, method)
    }
  }

  #inTime<T>({ seat }: Place, promise: Promise<T>): Promise<T> {
    const late = () => new Error('it is late')
    return within(promise, { ms: seat.upstream.listTimeout, late })
  }

  /** @param late what may still come. */
  #miss(place: Place, late: Promise<unknown>, method?: ListMethod): void {
    if (this.#ended.aborted || this.#isClosed) return
    const { seat, rules } = place
    // Who is away may have changed everything.
    const missing = method && seat.isConnected ? [method] : LIST_METHODS.filter((one) => rules[one])
    const wanted = this.#missing.get(place)
    if (wanted) for (const one of missing) wanted.add(one)
    else void this.#seek(place, late, new Set(missing))
  }

  /** Tries a server again until it has listed what is wanted. */
  async #seek(place: Place, late: Promise<unknown>, wanted: Set<ListMethod>): Promise<void> {
    const { seat } = place
    const { upstream } = seat
    const backoff = new Backoff(PAUSE, LONGEST_PAUSE, this.#ended)
    this.#missing.set(place, wanted)
    upstream.missedBy(this)
    let isOver = await this.#catchUp(seat, late, wanted)
    if (this.#isClosed) return
    while (!isOver && !this.#isClosed && (await backoff.pause())) {
      if (this.#isClosed) return
      if (upstream.mayTry()) isOver = await this.#catchUp(seat, seat.initialize(), wanted)
    }
    this.#missing.delete(place)
    upstream.backFor(this)
  }

  /** Whether there is no more to wait for. */
  async #catchUp(seat: Seat, attempt: Promise<unknown>, wanted: Set<ListMethod>): Promise<boolean> {
    try {
      await attempt
    } catch (error) {
      return error instanceof GatewayError && error.code === 'shutting_down'
    }
    await Promise.all(
      [...wanted].map(async (method) => {
        const { capability } = LISTS[method]
        try {
          await seat.list(method)
        } catch (error) {
          if (!(error instanceof RpcError)) return
        }
        wanted.delete(method)
        if (seat.offers(capability) && !this.#isClosed) this.#announce([capability])
      }),
    )
    return wanted.size === 0
  }
}

const LIST_METHODS = Object.keys(LISTS) as ListMethod[]
