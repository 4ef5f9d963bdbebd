/** What a schema knows of the keys of a document: those it does not, and what was probably meant. */
import type * as v from 'valibot'
import { closest } from './closest.ts'
import { membersOf, type Node, offsetOf, type Path } from './document.ts'
import type { Fault } from './faults.ts'
import type { Choice } from './values.ts'

export type Schema = v.GenericSchema

/** What the schema alone would not see, or would tell of only the first: keys, and arrays instead of objects. */
export function* misplaced(
  node: Node,
  schema: Schema | undefined,
  path: Path,
  lineAt: (offset: number) => number,
): Generator<Fault> {
  const members = membersOf(node)
  const { entries, rest, value, item } = shapeOf(schema, namesIn(node))
  if (node.type === 'array') {
    if (entries || value) {
      const what = 'expected an object {…}, got an array'
      yield { path, offset: offsetOf(node), what, settles: [path] }
    }
    for (const [i, child] of (node.children ?? []).entries()) {
      yield* misplaced(child, item, [...path, i], lineAt)
    }
  }
  const seen = new Map<string, number>()
  for (const { key, offset, value: content } of members) {
    const inner = [...path, key]
    const first = seen.get(key)
    if (first === undefined) seen.set(key, offset)
    else {
      const what = `is there twice; the first is on line ${lineAt(first)}`
      yield { path: inner, offset, what, settles: [] }
    }
    if (value && RESERVED.has(key)) {
      const what = 'is a reserved name; choose another'
      yield { path: inner, offset, what, settles: [inner] }
    } else if (entries && !rest && !Object.hasOwn(entries, key)) {
      const meant = closest(key, Object.keys(entries))
      const instead = meant ? `did you mean "${meant}"?` : elsewhere(key, content, entries)
      const isMissing = meant && !members.some((member) => member.key === meant)
      const settles = isMissing ? [inner, [...path, meant]] : [inner]
      const what = `unknown key; ${instead}`
      yield { path: inner, offset, what, settles, isUnknownKey: true }
    } else yield* misplaced(content, value ?? own(entries, key), inner, lineAt)
  }
}

/** Names that valibot leaves out of a record without a word. */
const RESERVED = new Set(['__proto__', 'prototype', 'constructor'])

function elsewhere(key: string, content: Node, entries: v.ObjectEntries): string {
  const has = (schema: Schema | undefined) => Object.hasOwn(shapeOf(schema).entries ?? {}, key)
  const homes = Object.keys(entries).flatMap((name) => {
    const schema = entries[name] as Schema
    if (has(schema)) return [`"${name}"`]
    return has(shapeOf(schema).value) ? [`"${name}.NAME"`] : []
  })
  if (homes.length > 0) return `it belongs in ${homes.join(' or ')}`
  const isServer = membersOf(content).some(({ key }) => /^(command|url)$/.test(key))
  if (isServer && entries.mcpServers) return 'servers belong in "mcpServers"'
  return `known are ${Object.keys(entries).join(', ')}`
}

export interface Shape {
  /** The options of an object with fixed keys. */
  entries?: Record<string, Schema>
  /** What its other keys hold, if it may have others. */
  rest?: Schema
  /** What an object with free keys holds. */
  value?: Schema
  /** What an array holds. */
  item?: Schema
}

const namesIn = (node: Node) =>
  node.type === 'object' ? membersOf(node).map(({ key }) => key) : null

/**
 * Of what may be one thing or another, the one that is meant by these keys, else the object with fixed keys.
 *
 * @param keys of what is given; null if it is no object, undefined if it is not at hand.
 */
export function shapeOf(schema: Schema | undefined, keys?: string[] | null): Shape {
  if (!schema) return {}
  if ('wrapped' in schema) return shapeOf(schema.wrapped as Schema, keys)
  if (schema.type !== 'union') return schema as Shape
  if (keys !== undefined && 'choose' in schema)
    return shapeOf((schema as unknown as Choice).choose(keys), keys)
  const options = (schema as unknown as { options: Schema[] }).options
  return shapeOf(options.find((option) => shapeOf(option).entries !== undefined))
}

/** The schema of what is at a path. */
export function schemaAt(schema: Schema, path: Path): Schema | undefined {
  let at: Schema | undefined = schema
  for (const key of path) {
    const { entries, value, item }: Shape = shapeOf(at, [`${key}`])
    at = own(entries, key) ?? value ?? item
  }
  return at
}

/** Whether what is at a path is nobody's business. */
export function isIgnored(schema: Schema, path: Path): boolean {
  const at = schemaAt(schema, path)
  return !at || ('wrapped' in at ? (at.wrapped as Schema) : at).type === 'unknown'
}

function own(entries: Shape['entries'], key: string | number): Schema | undefined {
  return entries && Object.hasOwn(entries, key) ? entries[key] : undefined
}
