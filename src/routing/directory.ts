/**
 * What one client finds at an endpoint: the lists of its servers, made one, and who owns what in them.
 *
 * Servers are asked at once, each for as long as it may take. Who fails or is late is stood in for by what it listed
 * last, or left out; it is tried again in the background, and announced when it comes.
 */
import { GatewayError, RpcError } from '../errors.ts'
import { Json } from '../rpc/json.ts'
import { type Capability, LISTS, type List, type ListMethod } from '../upstream/lists.ts'
import type { Seat } from '../upstream/seat.ts'
import { type Catalog, type Item, merge } from './catalog.ts'
import type { RulesOf } from './rules.ts'

/** One server of an endpoint, and the client's seat there. */
export interface Place {
  readonly seat: Seat
  readonly rules: RulesOf
}

export type Found = Item<Place>

/** How many entries a page has. Whole lists are what clients expect; the bound is for their sake. */
const PAGE = 1_000
/** How long to wait before a server is tried again, in ms: doubled each time, up to the second. */
const PAUSE = 1_000
const LONGEST_PAUSE = 30_000

export class Directory {
  readonly #places: readonly Place[]
  readonly #ended: AbortSignal
  readonly #announce: (changed: Capability[]) => void
  readonly #shelves = new Map<ListMethod, Shelf>()
  /** Servers that are tried again in the background. */
  readonly #missing = new Set<Place>()

  /** @param announce that lists have changed because a server has come. */
  constructor(
    places: readonly Place[],
    ended: AbortSignal,
    announce: (changed: Capability[]) => void,
  ) {
    this.#places = places
    this.#ended = ended
    this.#announce = announce
  }

  /** What a client that asks by this method is shown. From memory, unless something may have changed. */
  catalog(method: ListMethod): Catalog<Place> | Promise<Catalog<Place>> {
    const lists = this.#places.map((place) => this.#list(place, method))
    if (lists.some((list) => list instanceof Promise)) {
      return Promise.all(lists).then((all) => this.#shelf(method, all).catalog)
    }
    return this.#shelf(method, lists as (List | undefined)[]).catalog
  }

  /** The page of the catalog that a client asks for. */
  async page(method: ListMethod, params: Json | undefined): Promise<Json> {
    const cursor = params?.member('cursor')
    await this.catalog(method)
    return this.#shelves.get(method)!.page(cursor)
  }

  /** What a client means by a name or URI. A miss looks again before it is one. */
  async find(method: ListMethod, exposed: string): Promise<Found | undefined> {
    return this.known(method, exposed) ?? (await this.catalog(method)).find(exposed)
  }

  /** The same, as far as it is known without asking anybody. */
  known(method: ListMethod, exposed: string): Found | undefined {
    return this.#shelves.get(method)?.catalog.find(exposed)
  }

  #shelf(method: ListMethod, lists: (List | undefined)[]): Shelf {
    const old = this.#shelves.get(method)
    if (old?.lists.every((list, i) => list === lists[i])) return old
    const parts = this.#places.flatMap((owner, i) => {
      const rules = owner.rules[method]
      return rules ? { owner, list: lists[i], rules } : []
    })
    const shelf = new Shelf(method, merge(parts), lists, (old?.serial ?? 0) + 1)
    for (const { owner, text } of shelf.catalog.notices) {
      owner.seat.upstream.notice(`${LISTS[method].entries}: ${text}`)
    }
    this.#shelves.set(method, shelf)
    return shelf
  }

  /** Undefined for who has never been there. */
  #list(place: Place, method: ListMethod): List | undefined | Promise<List | undefined> {
    const { seat } = place
    if (!place.rules[method]) return undefined
    if (this.#missing.has(place)) return seat.lastList(method)
    const list = seat.list(method)
    return list instanceof Promise ? this.#inTime(place, method, list) : list
  }

  async #inTime(
    place: Place,
    method: ListMethod,
    listing: Promise<List>,
  ): Promise<List | undefined> {
    const { seat } = place
    try {
      return await inTime(listing, seat.upstream.listTimeout)
    } catch (error) {
      // It is there, and has no such list.
      if (error instanceof RpcError) return seat.lastList(method)
      this.#await(place, method, listing)
      return seat.lastList(method)
    }
  }

  /** Tries a server again until it lists, and tells that it does. */
  async #await(place: Place, method: ListMethod, listing: Promise<List>): Promise<void> {
    const { seat } = place
    if (this.#missing.has(place) || this.#ended.aborted) return
    this.#missing.add(place)
    seat.upstream.missedBy(this)
    let attempt = listing
    for (let pause = PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      try {
        await attempt
        break
      } catch {
        await delay(pause, this.#ended)
        if (this.#ended.aborted) break
        attempt = Promise.resolve(seat.list(method))
      }
    }
    this.#missing.delete(place)
    seat.upstream.backFor(this)
    if (this.#ended.aborted) return
    this.#announce((['tools', 'prompts', 'resources'] as const).filter((one) => seat.offers(one)))
  }
}

/** A catalog with the lists that it was made of, and its pages. */
class Shelf {
  readonly #method: ListMethod
  readonly catalog: Catalog<Place>
  readonly lists: readonly (List | undefined)[]
  readonly serial: number
  #first: Json | undefined

  constructor(
    method: ListMethod,
    catalog: Catalog<Place>,
    lists: readonly (List | undefined)[],
    serial: number,
  ) {
    this.#method = method
    this.catalog = catalog
    this.lists = lists
    this.serial = serial
  }

  page(cursor: Json | undefined): Json {
    if (cursor) return this.#page(this.#position(cursor))
    this.#first ??= this.#page(0)
    return this.#first
  }

  #page(start: number): Json {
    const { items } = this.catalog
    const end = Math.min(start + PAGE, items.length)
    const entries = items.slice(start, end).map(({ json }) => json.text)
    const next = end < items.length ? `,"nextCursor":"${this.#cursor(end)}"` : ''
    const text = `{"${LISTS[this.#method].entries}":[${entries.join(',')}]${next}}`
    return Json.slice(text, 0, text.length)
  }

  #cursor(position: number): string {
    return Buffer.from(`${this.serial} ${position}`).toString('base64url')
  }

  #position(cursor: Json): number {
    const given = cursor.get<unknown>()
    const text = typeof given === 'string' ? Buffer.from(given, 'base64url').toString() : ''
    const [, serial, position] = /^(\d{1,9}) (\d{1,9})$/.exec(text) ?? []
    if (serial === undefined) {
      throw new GatewayError('invalid_params', `cursor: ${cursor.text} is none that was given here`)
    }
    if (Number(serial) === this.serial) return Number(position)
    throw new GatewayError('invalid_params', 'cursor: the list has changed since it was given', {
      hint: `ask for ${this.#method} without a cursor`,
    })
  }
}

/** @throws when it takes more than `ms`. */
export function inTime<T>(promise: Promise<T>, ms: number): Promise<T> {
  const { promise: result, resolve, reject } = Promise.withResolvers<T>()
  const timer = setTimeout(() => reject(new Error(`it took more than ${ms} ms`)), ms)
  promise.then(resolve, reject).finally(() => clearTimeout(timer))
  return result
}

/** Resolves early when the signal is aborted. */
function delay(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  timer.unref()
  const stop = () => resolve()
  signal.addEventListener('abort', stop, { once: true })
  return promise.finally(() => {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  })
}
