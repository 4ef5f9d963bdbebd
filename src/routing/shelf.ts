/** A catalog as clients get it: in pages, whose cursors are good until it changes. */
import { GatewayError } from '../errors.ts'
import { Json } from '../rpc/json.ts'
import { LISTS, type List, type ListMethod } from '../upstream/lists.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { type Catalog, merge } from './catalog.ts'
import type { RulesOf } from './rules.ts'

/** One server of an endpoint. */
export interface Member {
  readonly upstream: Upstream
  readonly rules: RulesOf
}

/** How many entries a page has. Whole lists are what clients expect; the bound is for their sake. */
const PAGE = 1_000

/** What the members of an endpoint have listed, in their order; undefined for who has not. */
export type Lists = readonly (List | undefined)[]

/** The shelves of one endpoint. Clients for whom its servers list the same share them. */
export class Shelves {
  readonly #members: readonly Member[]
  readonly #latest = new Map<ListMethod, Shelf>()
  #serial = 0

  constructor(members: readonly Member[]) {
    this.#members = members
  }

  get(method: ListMethod, lists: Lists): Shelf {
    const latest = this.#latest.get(method)
    if (latest?.isOf(lists)) return latest
    const parts = this.#members.flatMap(({ rules: { [method]: rules } }, owner) =>
      rules ? { owner, list: lists[owner], rules } : [],
    )
    const catalog = merge(parts)
    for (const { owner, text } of catalog.notices) {
      this.#members[owner]!.upstream.notice(`${LISTS[method].entries}: ${text}`)
    }
    const shelf = new Shelf(method, catalog, lists, ++this.#serial)
    this.#latest.set(method, shelf)
    return shelf
  }
}

export class Shelf {
  readonly #method: ListMethod
  /** Owners are the members by their numbers. */
  readonly catalog: Catalog<number>
  readonly #lists: Lists
  /** No other shelf of the endpoint has it. */
  readonly #serial: number
  #first: Json | undefined

  constructor(method: ListMethod, catalog: Catalog<number>, lists: Lists, serial: number) {
    this.#method = method
    this.catalog = catalog
    this.#lists = lists
    this.#serial = serial
  }

  /** Whether the catalog was made of these. */
  isOf(lists: Lists): boolean {
    return this.#lists.every((list, i) => list === lists[i])
  }

  /** @throws {GatewayError} `invalid_params` for a cursor that was not given here. */
  page(cursor: Json | undefined): Json {
    if (cursor && cursor.text !== 'null') return this.#page(this.#position(cursor))
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
    return Buffer.from(`${this.#serial} ${position}`).toString('base64url')
  }

  #position(cursor: Json): number {
    const given = cursor.get<unknown>()
    const text = typeof given === 'string' ? Buffer.from(given, 'base64url').toString() : ''
    const [, serial, position] = /^(\d{1,9}) (\d{1,9})$/.exec(text) ?? []
    if (serial === undefined) {
      throw new GatewayError('invalid_params', `cursor: ${cursor.text} is none that was given here`)
    }
    if (Number(serial) === this.#serial) return Number(position)
    throw new GatewayError('invalid_params', 'cursor: the list has changed since it was given', {
      hint: `ask for ${this.#method} without a cursor`,
    })
  }
}
