/**
 * What is wrong with a configuration, said so that its writer can mend it: what was found, what was expected, what to do.
 *
 * Values are shown only where none can be a secret.
 */
import * as v from 'valibot'
import { quoted } from '../events.ts'
import type { Path } from './document.ts'
import { type Schema, schemaAt } from './keys.ts'

export interface Fault {
  path: Path
  offset: number
  what: string
  /** Of these, and what is inside, nothing more need be said. */
  settles: Path[]
  /** It is a key that nobody knows, and no more. */
  isUnknownKey?: true
}

type Issue = v.BaseIssue<unknown>

/**
 * What is wrong, and where it is not plain, what to do.
 *
 * @param schema of the whole document.
 * @param isHidden whether what was found must not be shown: it is from a variable.
 */
export function said(issue: Issue, path: Path, schema: Schema, isHidden = false): string {
  if (issue.type === 'strict_object' && issue.expected === 'never') return 'unknown key'
  if (issue.received === 'undefined') return `is missing; ${wanted(path, schema)}`
  const { input } = issue
  const shown = isHidden ? undefined : shownValue(input, path)
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
function wanted(path: Path, schema: Schema): string {
  const option = schemaAt(schema, path)
  const [about = ''] = (option && v.getDescription(option))?.split(/\.(?= |$)/) ?? []
  const what = about.replace(/^The /, '').replace(/^./, (first) => first.toLowerCase())
  return `write "${path.at(-1)}"${what && `, the ${what}`}`
}

/** Options of a server of which every value may be shown. Elsewhere people keep secrets, in `env` and `args` above all. */
const PLAIN =
  /^(command|cwd|inheritEnv|insecure|type|transportType|isolation|timeout|startupTimeout|maxMemory|maxSessionConnections|disabled|required|public)$/
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
  return path.length === depth && /^(url|baseURL|servicesURL)$/.test(`${path.at(-1)}`)
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

export function pathText(path: Path): string {
  if (path.length === 0) return 'the file'
  return path
    .map((key, i) => {
      if (typeof key === 'number') return `[${key}]`
      // Whoever writes NAME=VALUE as the name of a variable, or "NAME: VALUE" as that of a header, writes a secret.
      const inside = path[i - 1]
      let name = key
      if (KEEPS_SECRETS.test(`${inside}`)) name = key.replace(/([=:\s]).*$/s, '$1…')
      // One of the older gateways has servers called NAME/TOKEN.
      if (inside === 'mcpServers' || inside === 'clients') name = key.replace(/\/.*$/s, '/…')
      if (/^[\w$-]{1,64}$/.test(name)) return i === 0 ? name : `.${name}`
      return `[${quoted(name.slice(0, 60))}]`
    })
    .join('')
}

/** In our words, and in those of clients. */
const KEEPS_SECRETS = /^(env|environment|headers|http_headers|env_http_headers)$/
