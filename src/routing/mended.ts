/**
 * What servers list, as strict clients take it: those refuse a whole list for one odd entry in it.
 *
 * Members that they know and would refuse are left out, with all else as it came. Pure.
 */
import { Json, keyAt, layout } from '../rpc/json.ts'

/** A value as strict clients take it; undefined if they do not. */
type Shape = (value: Json) => Json | undefined

/** Undefined if leaving out is not enough. */
export function mended(entry: Json, kind: 'tool' | 'prompt' | 'resource'): Json | undefined {
  const bare = changed(entry, (value) => (value.text === 'null' ? undefined : value))
  if (kind === 'tool') return mendedTool(bare)
  if (kind === 'prompt') return PROMPT(bare)
  const whole = RESOURCE(bare)!
  if (whole.member('name')) return whole
  return whole.with('name', whole.member('uri') ?? whole.member('uriTemplate'))
}

function mendedTool(entry: Json): Json | undefined {
  const tool = TOOL(entry)!
  const given = tool.member('inputSchema') ?? EMPTY
  const typed = given.isObject && !given.member('type') ? given.with('type', 'object') : given
  const schema = SCHEMA(typed)
  if (!schema) return undefined
  return schema === tool.member('inputSchema') ? tool : tool.with('inputSchema', schema)
}

const EMPTY = Json.of({})

const text: Shape = (value) => (value.text.startsWith('"') ? value : undefined)
const number: Shape = (value) => (/^[-\d]/.test(value.text) ? value : undefined)
const flag: Shape = (value) => (/^[tf]/.test(value.text) ? value : undefined)
const complex: Shape = (value) => (/^[[{]/.test(value.text) ? value : undefined)

const fitting =
  (pattern: RegExp): Shape =>
  (value) =>
    pattern.test(value.text) ? value : undefined

/** With these members, if it has them, and any others. */
const object =
  (members: Record<string, Shape>, needed?: string): Shape =>
  (value) => {
    if (!value.isObject) return undefined
    const whole = changed(value, (member, name) =>
      Object.hasOwn(members, name) ? members[name]!(member) : member,
    )
    return needed === undefined || whole.member(needed) ? whole : undefined
  }

const record =
  (one: Shape): Shape =>
  (value) =>
    value.isObject ? changed(value, one) : undefined

const list =
  (one: Shape): Shape =>
  (value) => {
    const elements = value.elements()
    if (!elements) return undefined
    const taken = elements.flatMap((element) => one(element) ?? [])
    if (elements.every((element, i) => element === taken[i])) return value
    return joined(
      '[',
      taken.map((element) => element.text),
      ']',
    )
  }

const icons = list(
  object(
    { src: text, mimeType: text, sizes: list(text), theme: fitting(/^"(light|dark)"$/) },
    'src',
  ),
)
const COMMON = { title: text, description: text, icons, _meta: object({}) }

const SCHEMA = object(
  { type: fitting(/^"object"$/), properties: record(complex), required: list(text) },
  'type',
)

const TOOL = object({
  ...COMMON,
  outputSchema: SCHEMA,
  annotations: object({
    title: text,
    readOnlyHint: flag,
    destructiveHint: flag,
    idempotentHint: flag,
    openWorldHint: flag,
  }),
  execution: object({ taskSupport: fitting(/^"(required|optional|forbidden)"$/) }),
})

const PROMPT = object({
  ...COMMON,
  arguments: list(object({ name: text, description: text, required: flag }, 'name')),
})

const RESOURCE = object({
  ...COMMON,
  name: text,
  mimeType: text,
  size: number,
  annotations: object({
    audience: list(fitting(/^"(user|assistant)"$/)),
    priority: (value) => (Math.abs(Number(value.text) - 0.5) <= 0.5 ? number(value) : undefined),
    lastModified: fitting(/^"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)"$/),
  }),
})

/** An object with every member as `change` has it, or left out. The very same if nothing changes. */
function changed(json: Json, change: (value: Json, name: string) => Json | undefined): Json {
  const { spans } = layout(json.text)
  const kept: string[] = []
  let isSame = true
  for (let i = 0; i < spans.length; i += 4) {
    const [start, end, from, to] = spans.slice(i, i + 4) as [number, number, number, number]
    const value = Json.slice(json.text, from, to)
    const now = change(value, keyAt(json.text, start, end))
    if (now !== value) isSame = false
    if (now) kept.push(`"${json.text.slice(start, end)}":${now.text}`)
  }
  return isSame ? json : joined('{', kept, '}')
}

function joined(open: string, parts: string[], close: string): Json {
  const text = open + parts.join(',') + close
  return Json.slice(text, 0, text.length)
}
