/**
 * What a server lists, walked to the last page and kept until it may have changed.
 *
 * Entries stay text. What a server lists amiss is left out and told, so that one odd entry spoils no list.
 */
import { GatewayError } from '../errors.ts'
import { Json, layout } from '../rpc/json.ts'

/** The methods that list, and where in their results the entries are, by what they are known, who announces a change. */
export const LISTS = {
  'tools/list': { entries: 'tools', key: 'name', capability: 'tools' },
  'prompts/list': { entries: 'prompts', key: 'name', capability: 'prompts' },
  'resources/list': { entries: 'resources', key: 'uri', capability: 'resources' },
  'resources/templates/list': {
    entries: 'resourceTemplates',
    key: 'uriTemplate',
    capability: 'resources',
  },
} as const

export type ListMethod = keyof typeof LISTS
export type Capability = (typeof LISTS)[ListMethod]['capability']

/** The notification by which a server says that these lists have changed. */
export const changedNotice = (capability: Capability) => `notifications/${capability}/list_changed`

/** What such a notification is about. */
export const CHANGES: ReadonlyMap<string, Capability> = new Map(
  Object.values(LISTS).map(({ capability }) => [changedNotice(capability), capability]),
)

export interface Entry {
  /** Its name or URI. */
  key: string
  json: Json
}

/** Where the entries of a page are, and by what they are known. */
export interface Shape {
  entries: string
  key: string
}

/** A list as it was at one time. Lists are compared by identity: what is the same object has not changed. */
export type List = readonly Entry[]

/** The older list if the newer one says the same, so that nobody takes that for a change, nor keeps it twice. */
export function older(list: List | undefined, newer: List): List {
  const isSame =
    list?.length === newer.length && newer.every(({ json }, i) => json.text === list[i]!.json.text)
  return isSame ? list : newer
}

/** More is taken for a list without end: so many pages, entries, and characters in all pages together. */
export const MAX_PAGES = 1_000
export const MAX_ENTRIES = 50_000
export const MAX_TEXT = 32 * 1024 * 1024
/** How many entries of one walk are told to be amiss. */
const MAX_COMPLAINTS = 20

/** Whether a method lists. */
export function isList(method: string): method is ListMethod {
  return Object.hasOwn(LISTS, method)
}

/**
 * Walks all pages.
 *
 * @param ask for the page at a cursor.
 * @param complain of what is left out, and why.
 * @throws {GatewayError} `upstream_protocol` if what comes is no list, or has no end.
 */
export async function walk(
  { entries, key }: Shape,
  ask: (params: Json | undefined) => Promise<Json>,
  complain: (text: string, why: string) => void,
): Promise<List> {
  const found = new Map<string, Entry>()
  const cursors = new Set<string>()
  let params: Json | undefined
  let left = MAX_TEXT
  let complaints = 0
  const leaveOut = ({ text }: Json, why: string) => {
    if (complaints++ < MAX_COMPLAINTS) complain(text, `an entry of "${entries}" ${why}`)
  }
  for (;;) {
    const page = await ask(params)
    left -= page.text.length
    if (left < 0) throw endless(entries)
    for (const json of elementsAt(page, entries)) {
      const name = keyOf(json, key)
      if (name === undefined) leaveOut(json, `without a ${key}`)
      else if (found.has(name)) leaveOut(json, 'that is there twice')
      else found.set(name, { key: name, json })
    }
    const cursor = memberAt(page, 'nextCursor')
    // Where there is no more, some say null, or nothing in quotes.
    if (!cursor || cursor.text === 'null' || cursor.text === '""') return [...found.values()]
    if (cursors.has(cursor.text) || cursors.size >= MAX_PAGES || found.size > MAX_ENTRIES) {
      throw endless(entries)
    }
    cursors.add(cursor.text)
    params = Json.of({}).with('cursor', cursor)
  }
}

/** One list, with how far it can be believed. */
export class KeptList {
  /** The latest there is. */
  list: List | undefined
  /** How often the server has said that it changed. */
  changes = 0
  /** How often it had when `list` was asked for. */
  #since = 0
  #believedUntil = 0
  #asking: Promise<List> | undefined

  get isFresh(): boolean {
    return performance.now() < this.#believedUntil
  }

  /** Who comes while the list is asked for shares the wait, unless it has changed since. */
  shared(ask: () => Promise<List>): Promise<List> {
    if (this.#asking) return this.#asking
    const asking = ask().finally(() => {
      if (this.#asking === asking) this.#asking = undefined
    })
    this.#asking = asking
    return asking
  }

  /** @param since how often it had changed when it was asked for: what is older than what we have is not kept. */
  keep(list: List, since: number, believed: number): List {
    if (since < this.#since) return list
    this.list = older(this.list, list)
    this.#since = since
    this.#believedUntil = since === this.changes ? performance.now() + believed : 0
    return this.list
  }

  forget(): void {
    this.changes++
    this.#believedUntil = 0
    this.#asking = undefined
  }
}

function endless(entries: string): GatewayError {
  return new GatewayError('upstream_protocol', `its list of ${entries} has no end`)
}

/** @throws {GatewayError} `upstream_protocol` if there is no list, or one without end. */
function elementsAt(page: Json, entries: string): Json[] {
  const text = memberAt(page, entries)?.text ?? ''
  // Some write null where there is nothing.
  if (text === 'null') return []
  const { kind, spans } = text === '' ? NONE : layout(text)
  if (kind !== 'array') {
    throw new GatewayError('upstream_protocol', `it answers without an array "${entries}"`)
  }
  // Looked at before they are made: to make millions of them takes more memory than there may be.
  if (spans.length / 2 > MAX_ENTRIES) throw endless(entries)
  const found: Json[] = []
  for (let i = 0; i < spans.length; i += 2) found.push(Json.slice(text, spans[i]!, spans[i + 1]!))
  return found
}

const NONE = { kind: 'scalar', spans: [] as number[] }

/** @throws {GatewayError} `upstream_protocol` if it is there twice. */
function memberAt(page: Json, name: string): Json | undefined {
  try {
    return page.member(name)
  } catch (cause) {
    const { message } = cause as Error
    throw new GatewayError('upstream_protocol', `it answers amiss: ${message}`, { cause })
  }
}

/** What an entry is known by; undefined if it cannot be said. */
function keyOf(entry: Json, key: string): string | undefined {
  try {
    const value = entry.member(key)?.get<unknown>()
    return typeof value === 'string' && value !== '' ? value : undefined
  } catch {
    return undefined
  }
}
