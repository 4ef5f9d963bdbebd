/**
 * What a server lists, walked to the last page and kept until it may have changed.
 *
 * Entries stay text. What a server lists amiss is left out and told, so that one odd entry spoils no list.
 */
import { GatewayError } from '../errors.ts'
import { Json } from '../rpc/json.ts'

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

/** More is taken for a list without end. */
export const MAX_PAGES = 1_000
export const MAX_ENTRIES = 50_000

/**
 * Walks all pages.
 *
 * @param ask for the page at a cursor.
 * @param complain of what is left out, and why.
 * @throws {GatewayError} `upstream_protocol` if what comes is no list, or has no end.
 */
export async function walk(
  shape: Shape,
  ask: (params: Json | undefined) => Promise<Json>,
  complain: (text: string, why: string) => void,
): Promise<List> {
  const { entries, key } = shape
  const found: Entry[] = []
  const keys = new Set<string>()
  const cursors = new Set<string>()
  let params: Json | undefined
  for (;;) {
    const page = await ask(params)
    for (const json of entriesOf(shape, page)) {
      const entry = keyOf(json, key)
      if (entry === undefined) complain(json.text, `an entry of "${entries}" without a ${key}`)
      else if (keys.has(entry)) complain(json.text, `an entry of "${entries}" that is there twice`)
      else {
        keys.add(entry)
        found.push({ key: entry, json })
      }
    }
    const cursor = page.member('nextCursor')
    if (!cursor || cursor.text === 'null') return found
    if (cursors.has(cursor.text) || cursors.size >= MAX_PAGES || found.length > MAX_ENTRIES) {
      throw new GatewayError('upstream_protocol', `its list of ${entries} has no end`)
    }
    cursors.add(cursor.text)
    params = Json.of({}).with('cursor', cursor)
  }
}

/**
 * The entries of a page.
 *
 * @throws {GatewayError} `upstream_protocol` if it holds no list of them.
 */
function entriesOf({ entries }: Shape, page: Json): Json[] {
  const list = page.member(entries)
  // Some write null where there is nothing.
  if (list?.text === 'null') return []
  const found = list?.elements()
  if (found) return found
  throw new GatewayError('upstream_protocol', `it answers without an array "${entries}"`)
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
