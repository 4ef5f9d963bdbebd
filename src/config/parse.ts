/**
 * From text to a `Config`, or to every fault in it.
 *
 * A fault is told with file, line, option, what was found and what to write instead, all faults at once; whether options
 * fit together is judged when each is good. Values are shown only where none can be a secret.
 */
import { type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser'
import * as v from 'valibot'
import { quoted } from '../events.ts'
import { closest } from './closest.ts'
import { type Config, ConfigSchema } from './schema.ts'

/** The configuration cannot be used. Its message is complete: one line per fault. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

type Environment = Record<string, string | undefined>

/**
 * Reads a configuration from JSON with comments and trailing commas. In its strings `${VAR}` and `${VAR:-default}` stand for
 * variables of `env`.
 *
 * @param source how the text is called in messages.
 * @throws {ConfigError}
 */
export function parseConfig(text: string, source: string, env: Environment = {}): Config {
  // Of a byte order mark the parser would make a symbol of its own.
  const bare = text.replace(/^\ufeff/, '')
  const lineAt = (offset: number) => bare.slice(0, offset).split('\n').length
  const tree = parseJson(bare, (offset, what) => `${source}:${lineAt(offset)}: ${what}`)

  const faults = [...misplaced(tree, ConfigSchema, [], lineAt), ...unset(tree, [], env)]
  const settled = new Set(faults.flatMap(({ settles }) => settles.map(pathText)))
  const result = v.safeParse(ConfigSchema, nodeValue(tree, env), { abortPipeEarly: true })
  for (const issue of result.issues ?? []) {
    const path = (issue.path ?? []).map(({ key }) => key as string | number)
    const isUnknownKey = issue.type === 'strict_object' && issue.expected === 'never'
    if (isUnknownKey || within(path).some((at) => settled.has(pathText(at)))) continue
    faults.push({ path, offset: offsetOf(tree, path), what: said(issue, path), settles: [] })
  }
  if (faults.length > 0) {
    faults.sort((a, b) => a.offset - b.offset)
    throw new ConfigError(
      faults
        .map(({ path, offset, what }) => `${source}:${lineAt(offset)}: ${pathText(path)}: ${what}`)
        .join('\n'),
    )
  }
  return result.output as Config
}

type Path = (string | number)[]
type Schema = v.GenericSchema

/** A path and all it is inside of. */
const within = (path: Path): Path[] => [path, ...path.map((_, i) => path.slice(0, i))]

interface Fault {
  path: Path
  offset: number
  what: string
  /** Of these, and what is inside, nothing more need be said. */
  settles: Path[]
}

function parseJson(text: string, at: (offset: number, what: string) => string): Node {
  const errors: ParseError[] = []
  const tree = parseTree(text, errors, { allowTrailingComma: true })
  if (!/\S/.test(text)) {
    throw new ConfigError(
      at(0, 'the file is empty: write {"mcpServers": {"NAME": {"command": "PROGRAM"}}}'),
    )
  }
  const [first] = errors
  if (!first && tree) return tree
  // At the end of the file the line that counts is the last one with something on it.
  const offset = Math.min(first?.offset ?? 0, text.trimEnd().length)
  const code = first ? printParseErrorCode(first.error) : 'ValueExpected'
  throw new ConfigError(at(offset, `not JSON: ${SYNTAX[code] ?? code}`))
}

const SYNTAX: Record<string, string> = {
  InvalidSymbol: 'a word that JSON does not know; names and strings are written in double quotes',
  InvalidNumberFormat: 'this is no number',
  PropertyNameExpected: 'a name in double quotes is expected',
  ValueExpected: 'a value is expected',
  ColonExpected: 'a colon is expected after the name',
  CommaExpected: 'a comma is missing before this',
  CloseBraceExpected: 'a "}" is missing',
  CloseBracketExpected: 'a "]" is missing',
  EndOfFileExpected: 'nothing may follow the last "}"',
  InvalidCommentToken: 'comments begin with "//" or "/*"',
  UnexpectedEndOfComment: 'the comment has no end',
  UnexpectedEndOfString: 'a string has no closing quote on its line',
  UnexpectedEndOfNumber: 'a number has no end',
  InvalidUnicode: '"\\u" needs four hexadecimal digits',
  InvalidEscapeCharacter: 'a backslash is written twice: "\\\\"',
  InvalidCharacter: 'a control character; in a string, tab is written "\\t" and a new line "\\n"',
}

/** Variables that are named and not set. */
function* unset(node: Node, path: Path, env: Environment): Generator<Fault> {
  if (node.type === 'string') {
    const [missing] = expand(node.value, env).missing
    if (missing === undefined) return
    const what = `the variable ${missing} is not set; set it, or write \${${missing}:-default}`
    yield { path, offset: offsetOfProperty(node), what, settles: [path] }
  }
  for (const [i, child] of (node.children ?? []).entries()) {
    if (node.type === 'array') yield* unset(child, [...path, i], env)
    else yield* unset(child.children![1]!, [...path, child.children![0]!.value], env)
  }
}

/** After parsing, so that what a variable holds is never taken for syntax. */
function expand(text: string, env: Environment): { text: string; missing: string[] } {
  const missing: string[] = []
  const expanded = text.replace(/\$\{(\w+)(?::-([^}]*))?\}/g, (_, name, otherwise) => {
    const value = env[name] ?? otherwise
    if (value === undefined) missing.push(name)
    return value ?? ''
  })
  return { text: expanded, missing }
}

/** What the schema alone would not see, or would tell of only the first: keys, and arrays instead of objects. */
function* misplaced(
  node: Node,
  schema: Schema | undefined,
  path: Path,
  lineAt: (offset: number) => number,
): Generator<Fault> {
  const { entries, value, item } = shapeOf(schema)
  const children = node.children ?? []
  if (node.type === 'array') {
    if (entries || value) {
      const what = 'expected an object {…}, got an array'
      yield { path, offset: offsetOfProperty(node), what, settles: [path] }
    }
    for (const [i, child] of children.entries()) {
      yield* misplaced(child, item, [...path, i], lineAt)
    }
  }
  if (node.type !== 'object') return
  const seen = new Map<string, number>()
  for (const { offset, children: pair } of children) {
    const [{ value: key }, content] = pair as [Node, Node]
    const inner = [...path, key as string]
    const first = seen.get(key)
    if (first === undefined) seen.set(key, offset)
    else {
      const what = `is there twice; the first is on line ${lineAt(first)}`
      yield { path: inner, offset, what, settles: [] }
    }
    if (value && RESERVED.has(key)) {
      const what = 'is a reserved name; choose another'
      yield { path: inner, offset, what, settles: [inner] }
    } else if (entries && !Object.hasOwn(entries, key)) {
      const meant = closest(key, Object.keys(entries))
      const instead = meant ? `did you mean "${meant}"?` : elsewhere(key, content, path, entries)
      const isMissing = meant && !children.some(({ children }) => children?.[0]?.value === meant)
      const settles = isMissing ? [inner, [...path, meant]] : [inner]
      yield { path: inner, offset, what: `unknown key; ${instead}`, settles }
    } else yield* misplaced(content, value ?? entries?.[key], inner, lineAt)
  }
}

/** Names that valibot leaves out of a record without a word. */
const RESERVED = new Set(['__proto__', 'prototype', 'constructor'])

function elsewhere(key: string, content: Node, path: Path, entries: v.ObjectEntries): string {
  if (key === 'disabled' && path.length === 2) return 'comment the server out instead'
  const has = (schema: Schema | undefined) => Object.hasOwn(shapeOf(schema).entries ?? {}, key)
  const homes = Object.keys(entries).flatMap((name) => {
    const schema = entries[name] as Schema
    if (has(schema)) return [`"${name}"`]
    return has(shapeOf(schema).value) ? [`"${name}.NAME"`] : []
  })
  if (homes.length > 0) return `it belongs in ${homes.join(' or ')}`
  const isServer = content.children?.some(({ children }) =>
    /^(command|url)$/.test(children?.[0]?.value),
  )
  if (isServer && entries.mcpServers) return 'servers belong in "mcpServers"'
  return `known are ${Object.keys(entries).join(', ')}`
}

interface Shape {
  /** The options of an object with fixed keys. */
  entries?: Record<string, Schema>
  /** What an object with free keys holds. */
  value?: Schema
  /** What an array holds. */
  item?: Schema
}

function shapeOf(schema: Schema | undefined): Shape {
  if (!schema) return {}
  return 'wrapped' in schema ? shapeOf(schema.wrapped as Schema) : (schema as Shape)
}

type Issue = v.InferIssue<typeof ConfigSchema>

/** What is wrong, and where it is not plain, what to do. */
function said(issue: Issue, path: Path): string {
  if (issue.received === 'undefined') return `is missing; ${wanted(path)}`
  const { input } = issue
  const shown = shownValue(input, path)
  if (issue.kind !== 'schema') {
    // Of a key that is wrong nothing need be shown twice.
    const isKey = (issue.path?.at(-1) as { origin?: string } | undefined)?.origin === 'key'
    return `${issue.message}${isKey || !shown ? '' : `, got ${shown}`}`
  }
  const fault = `expected ${expected(issue.expected ?? '')}, got ${shown ?? kindOf(input)}`
  const isBare = typeof input === 'number' || typeof input === 'boolean'
  if (issue.expected === 'string' && isBare) return `${fault}; put it in double quotes`
  const isQuoted = typeof input === 'string' && /^(\d+|true|false)$/.test(input)
  if (/^(number|boolean)$/.test(issue.expected ?? '') && isQuoted)
    return `${fault}; leave out the quotes`
  return fault
}

/** `("a" | "b")` is what valibot says if it knows all words. */
function expected(type: string): string {
  return EXPECTED[type] ?? type.replace(/^\((.*)\)$/, '$1').replaceAll(' | ', ', ')
}

const EXPECTED: Record<string, string> = {
  string: 'a string',
  number: 'a number',
  boolean: 'true or false',
  Object: 'an object {…}',
  Array: 'an array […]',
  '(number | string)': 'a number of bytes, or a size like "512MB"',
}

/** `write "command", the ...`: by the first sentence of the option's description. */
function wanted(path: Path): string {
  let schema: Schema | undefined = ConfigSchema
  for (const key of path) {
    const { entries, value, item }: Shape = shapeOf(schema)
    schema = entries?.[key] ?? value ?? item
  }
  const [about = ''] = (schema && v.getDescription(schema))?.split(/\.(?= |$)/) ?? []
  const what = about.replace(/^The /, '').replace(/^./, (first) => first.toLowerCase())
  return `write "${path.at(-1)}"${what && `, the ${what}`}`
}

/** Options of a server of which every value may be shown. Elsewhere people keep secrets, in `env` and `args` above all. */
const PLAIN =
  /^(command|cwd|inheritEnv|insecure|type|transportType|isolation|timeout|startupTimeout|maxMemory|maxSessionConnections)$/
/** Of these, what is inside, but not what `override` holds. */
const OPEN = /^(pool|tools|prompts|resources)$/

function isPlain([section, , option = '', ...inner]: Path): boolean {
  if (section !== 'mcpServers') return /^(gateway|defaults|groups)$/.test(`${section}`)
  if (inner.length === 0) return PLAIN.test(`${option}`)
  return OPEN.test(`${option}`) && inner[0] !== 'override'
}

/** The value, if it is one and may be shown. */
function shownValue(value: unknown, path: Path): string | undefined {
  if (value === null) return 'null'
  if (typeof value === 'object') return undefined
  if (typeof value === 'string' && isURL(path)) return shownURL(value)
  if (!isPlain(path)) return undefined
  return typeof value === 'string' ? quoted(value.slice(0, 60)) : String(value)
}

function isURL(path: Path): boolean {
  const depth = path[0] === 'mcpServers' ? 3 : 2
  return path.length === depth && /^(url|baseURL)$/.test(`${path.at(-1)}`)
}

/** Only where it leads: its user, password, query and fragment may be secrets. */
function shownURL(text: string): string | undefined {
  const url = URL.parse(text)
  // Without "//" there is no telling what is what.
  if (!url || !text.startsWith(`${url.protocol}//`)) return undefined
  const user = url.username || url.password ? '…@' : ''
  const rest = `${url.search && '?…'}${url.hash && '#…'}`
  return quoted(`${url.protocol}//${user}${url.host}${url.pathname.slice(0, 60)}${rest}`)
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

function pathText(path: Path): string {
  if (path.length === 0) return 'the file'
  return path
    .map((key, i) => {
      if (typeof key === 'number') return `[${key}]`
      // Whoever writes NAME=VALUE as the name of a variable, or "NAME: VALUE" as that of a header, writes a secret.
      const inside = path[i - 1]
      const name =
        inside === 'env' || inside === 'headers' ? key.replace(/([=:\s]).*$/s, '$1…') : key
      if (/^[\w$-]+$/.test(name)) return i === 0 ? name : `.${name}`
      return `[${quoted(name.slice(0, 60))}]`
    })
    .join('')
}

/** Where the option is, or the object it is missing in. */
function offsetOf(tree: Node, path: Path): number {
  let at = tree
  for (const key of path) {
    const inner =
      typeof key === 'number'
        ? at.children?.[key]
        : at.children?.findLast(({ children }) => children?.[0]?.value === key)?.children?.[1]
    if (!inner) break
    at = inner
  }
  return offsetOfProperty(at)
}

function offsetOfProperty(node: Node): number {
  return node.parent?.type === 'property' ? node.parent.offset : node.offset
}

/** As jsonc-parser's getNodeValue, but with variables, and `__proto__` is a key like any other. */
function nodeValue(node: Node, env: Environment): unknown {
  if (node.type === 'string') return expand(node.value, env).text
  if (node.type === 'array') return (node.children ?? []).map((item) => nodeValue(item, env))
  if (node.type !== 'object') return node.value
  return Object.fromEntries(
    (node.children ?? []).map(({ children }) => [
      children![0]!.value,
      nodeValue(children![1]!, env),
    ]),
  )
}
