/**
 * Many lists into one, and the table of who owns what in it. Pure.
 *
 * One decision serves list and call: what is not in the catalog is neither listed nor found. In config order, the first
 * to bear an exposed name keeps it; later ones are hidden, and told of.
 */
import type { ToolOverride } from '../config/schema.ts'
import { Json } from '../rpc/json.ts'
import type { List } from '../upstream/lists.ts'

/** How the entries of one server appear. */
export interface Rules {
  /** The key as its operator wants it; undefined if it is hidden. */
  name(original: string): string | undefined
  /** The key as every client takes it. */
  fit(name: string): string
  /** The entry as it is listed; undefined if it cannot be listed beside others. */
  show(entry: Json, exposed: string, override: ToolOverride | undefined): Json | undefined
  readonly overrides?: Readonly<Record<string, ToolOverride>> | undefined
}

/** One server's part in a catalog. `List` undefined: it could not be asked. */
export interface Part<Owner> {
  owner: Owner
  list: List | undefined
  rules: Rules
}

export interface Item<Owner> {
  owner: Owner
  exposed: string
  original: string
  json: Json
  override: ToolOverride | undefined
}

export interface Catalog<Owner> {
  items: readonly Item<Owner>[]
  /** The item that a client means by an exposed key. */
  find(exposed: string): Item<Owner> | undefined
  /** What could not be shown, and why. */
  notices: readonly { owner: Owner; text: string }[]
}

export function merge<Owner>(parts: readonly Part<Owner>[]): Catalog<Owner> {
  const items = new Map<string, Item<Owner>>()
  const notices: { owner: Owner; text: string }[] = []
  for (const { owner, list, rules } of parts) {
    for (const { key: original, json } of list ?? []) {
      const name = rules.name(original)
      if (name === undefined) continue
      const tell = (what: string) =>
        notices.push({ owner, text: `${JSON.stringify(original)} ${what}` })
      const exposed = rules.fit(name)
      if (items.has(exposed)) {
        tell(`is hidden: another is called ${exposed} already`)
        continue
      }
      const override = overrideOf(rules, original)
      const shown = rules.show(json, exposed, override)
      if (!shown) {
        tell('is hidden: no client could read its entry')
        continue
      }
      if (exposed !== name) tell(`is called ${exposed}: not every client takes ${name}`)
      items.set(exposed, { owner, exposed, original, json: shown, override })
    }
  }
  return { items: [...items.values()], find: (exposed) => items.get(exposed), notices }
}

function overrideOf({ overrides }: Rules, original: string): ToolOverride | undefined {
  return overrides && Object.hasOwn(overrides, original) ? overrides[original] : undefined
}

/** A tool's entry with what its server's operator wants said otherwise. Pinned arguments are not seen. */
export function overridden(entry: Json, override: ToolOverride): Json {
  const { title, description, annotations, defaults, pinned } = override
  let shown = entry
  if (title !== undefined) shown = shown.with('title', title)
  if (description !== undefined) shown = shown.with('description', description)
  if (Object.keys(annotations).length > 0) {
    shown = shown.with('annotations', withAll(objectAt(shown, 'annotations'), annotations))
  }
  const schema = shown.member('inputSchema')
  if (!schema?.isObject) return shown
  const settled = [...Object.keys(defaults), ...Object.keys(pinned)]
  return settled.length === 0 ? shown : shown.with('inputSchema', eased(schema, override, settled))
}

/** An input schema in which what the gateway fills in need not be given. */
function eased(schema: Json, { defaults, pinned }: ToolOverride, settled: string[]): Json {
  let properties = objectAt(schema, 'properties')
  for (const name of Object.keys(pinned)) properties = properties.without(name)
  for (const [name, value] of Object.entries(defaults)) {
    const property = properties.member(name)
    if (property?.isObject) properties = properties.with(name, property.with('default', value))
  }
  const eased = schema.member('properties') ? schema.with('properties', properties) : schema
  const required = eased.member('required')?.get<unknown>()
  if (!Array.isArray(required)) return eased
  const left = required.filter((name) => !settled.includes(name))
  return left.length > 0 ? eased.with('required', left) : eased.without('required')
}

/** The arguments of a call, with those filled in that an override settles. */
export function settled(args: Json | undefined, { defaults, pinned }: ToolOverride): Json {
  let all = args?.isObject ? args : Json.of({})
  for (const [name, value] of Object.entries(defaults)) {
    if (!all.member(name)) all = all.with(name, value)
  }
  return withAll(all, pinned)
}

function objectAt(json: Json, name: string): Json {
  const member = json.member(name)
  return member?.isObject ? member : Json.of({})
}

function withAll(json: Json, members: Record<string, unknown>): Json {
  return Object.entries(members).reduce((all, [name, value]) => all.with(name, value), json)
}
