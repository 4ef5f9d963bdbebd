/** What the schema tells its readers: editors as a JSON Schema, people as a table. */
import { type JsonSchema, toJsonSchema } from '@valibot/to-json-schema'
import * as v from 'valibot'
import { ConfigSchema } from './schema.ts'

/** Of the configuration as it is written. What options forbid one another is not in it. */
export function jsonSchema(): JsonSchema {
  return toJsonSchema(ConfigSchema, {
    target: 'draft-2020-12',
    typeMode: 'input',
    // Checks are code, which a JSON Schema does not have.
    errorMode: 'ignore',
    overrideSchema: ({ valibotSchema, jsonSchema }) => {
      if (valibotSchema.type !== 'strict_object') return undefined
      const { entries } = valibotSchema as v.StrictObjectSchema<v.ObjectEntries, undefined>
      const { properties = {}, required, ...schema } = jsonSchema
      const described = Object.entries(properties).map(([key, option]) => {
        const description = v.getDescription(entries[key]! as v.GenericSchema)
        return [key, { ...(option as JsonSchema), ...(description && { description }) }]
      })
      return {
        ...schema,
        properties: Object.fromEntries(described),
        ...(required?.length && { required }),
      }
    },
    // A JSON Schema has no flags, and without them the pattern would be another.
    overrideAction: ({ valibotAction, jsonSchema }) => {
      const { type, requirement } = valibotAction as { type: string; requirement?: RegExp }
      if (type !== 'regex' || !requirement?.flags) return undefined
      const { pattern, ...rest } = jsonSchema
      return rest
    },
  })
}

interface Row {
  option: string
  initial: string
  meaning: string
}

/** What people look for first. */
const ORDER = ['mcpServers', 'groups', 'defaults', 'auth', 'gateway']

/** Every option, with its default and what it means. */
export function markdown(): string {
  const { properties = {} } = jsonSchema()
  const rank = (key: string) => (ORDER.indexOf(key) + ORDER.length + 1) % (ORDER.length + 1)
  const sections = Object.entries(properties).sort(([a], [b]) => rank(a) - rank(b))
  const rows = sections.flatMap(([key, schema]) => [...rowsOf(key, schema as JsonSchema)])
  const known = new Map<string, string>()
  const lines = rows.map(({ option, initial, meaning }) => {
    const first = known.get(`${tail(option)} ${meaning}`)
    if (!first) known.set(`${tail(option)} ${meaning}`, option)
    return `| \`${option}\` | ${initial} | ${first ? `as \`${first}\`` : meaning} |`
  })
  return ['| option | default | meaning |', '|---|---|---|', ...lines, ''].join('\n')
}

const tail = (option: string) => option.slice(option.lastIndexOf('.') + 1)

/** An option, and those inside of it. */
function* rowsOf(option: string, schema: JsonSchema): Generator<Row> {
  const { description = '' } = schema
  const [said = '', initial] = /(?:^| )By default (.*?)\.(?= |$)/.exec(description) ?? []
  const meaning = description.replace(said, '').trim().replace(/\.$/, '')
  const shown = initial?.replace(/^\d+$/, '`$&`') ?? shownDefault(schema)
  if (meaning) yield { option, initial: shown, meaning: escaped(meaning) }
  const [at, inner] = insideOf(option, schema)
  for (const [key, value] of Object.entries(inner.properties ?? {})) {
    yield* rowsOf(`${at}.${key}`, value as JsonSchema)
  }
}

/** What holds options of its own: itself, what it holds by free names, or what it is a list of. */
function insideOf(option: string, schema: JsonSchema): [string, JsonSchema] {
  const { additionalProperties: named, items } = schema
  const byName = optionsOf(named)
  if (byName) return [`${option}.${nameIn(option)}`, byName]
  const listed = optionsOf(Array.isArray(items) ? undefined : items)
  return listed ? [`${option}[]`, listed] : [option, schema]
}

/** What has options of its own, be it one of several things that may stand there. References are not told of. */
function optionsOf(schema: JsonSchema | boolean | undefined): JsonSchema | undefined {
  if (typeof schema !== 'object') return undefined
  if (schema.properties) return schema.writeOnly ? undefined : schema
  if (schema.writeOnly) return undefined
  return schema.anyOf?.map(optionsOf).find((one) => one !== undefined)
}

/** How a free name is written. */
const nameIn = (option: string) => (option.endsWith('.override') ? 'TOOL' : 'NAME')

function shownDefault({ default: initial }: JsonSchema): string {
  return initial === undefined ? '' : `\`${JSON.stringify(initial)}\``
}

/** In a cell of a table. */
const escaped = (text: string) => text.replaceAll('|', '\\|')
