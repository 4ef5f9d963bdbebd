/**
 * What stands for something else: `${VAR}` in strings, and `{"env": …}` and `{"file": …}` where a secret is wanted.
 *
 * All is replaced after parsing, so that what a variable or file holds is never taken for syntax.
 */
import { isAbsolute } from 'node:path'
import type { Path } from './document.ts'
import { type Schema, shapeOf } from './keys.ts'
import { type Choice, isSecret, keysOf } from './values.ts'

/** Where what is referred to is found. */
export interface World {
  env: Readonly<Record<string, string | undefined>>
  /** The text of a file that a configuration names. Throws if it cannot be read. */
  readFile(path: string): string
  /** False leaves `${VAR}` in strings as it is. */
  expandEnv?: boolean
}

/** A text with its variables replaced by what they hold, and which of them are not set. */
export function expand(text: string, env: World['env']): { text: string; missing: string[] } {
  const missing: string[] = []
  // Behind the last "}" there is nothing to find, and from every "${" the search would go to the end.
  const end = text.lastIndexOf('}') + 1
  const expanded = text
    .slice(0, end)
    .replace(/\$\{(\w+)(?::-([^}]*))?\}/g, (_, name, otherwise) => {
      const value = variableIn(name, env) ?? otherwise
      if (value === undefined) missing.push(name)
      return value ?? ''
    })
  return { text: expanded + text.slice(end), missing }
}

/** Every object has a `constructor`, an environment seldom has. */
function variableIn(name: string, env: World['env']): string | undefined {
  return Object.hasOwn(env, name) ? env[name] : undefined
}

/** The variables that a text names. */
export function namesIn(text: string): string[] {
  const closed = text.slice(0, text.lastIndexOf('}') + 1)
  return [...closed.matchAll(/\$\{(?:\w+:)?(\w+)[^}]*\}/g)].map(([, name]) => name!)
}

export interface Unresolved {
  path: Path
  what: string
}

/**
 * A value with the secrets that it refers to in their places; those that are not there are empty. What is disabled may
 * refer to anything.
 */
export function resolved(
  value: unknown,
  schema: Schema | undefined,
  world: World,
  unresolved: Unresolved[],
  path: Path = [],
): unknown {
  const keys = keysOf(value)
  const { entries, value: free, item } = shapeOf(schema, keys)
  if (Array.isArray(value)) {
    return value.map((inner, i) => resolved(inner, item, world, unresolved, [...path, i]))
  }
  if (!keys) return value
  const members = value as Record<string, unknown>
  if (wantsSecret(schema, keys)) {
    const { text, missing } = secretOf(members, world)
    if (missing === undefined) return text ?? value
    unresolved.push({ path, what: missing })
    return ''
  }
  const lacking: Unresolved[] = []
  const entriesOf = keys.map((key) => {
    const inner = entries && Object.hasOwn(entries, key) ? entries[key] : free
    return [key, resolved(members[key], inner, world, lacking, [...path, key])]
  })
  if (members.disabled === true) return Object.fromEntries(entriesOf)
  unresolved.push(...lacking)
  return Object.fromEntries(entriesOf)
}

function wantsSecret(schema: Schema | undefined, keys: string[]): boolean {
  if (!schema) return false
  if (isSecret(schema)) return true
  if ('wrapped' in schema) return wantsSecret(schema.wrapped as Schema, keys)
  if ('choose' in schema) {
    return wantsSecret((schema as unknown as Choice).choose(keys), keys)
  }
  return false
}

/** What a reference stands for, or why it stands for nothing. Whatever is none is left for the schema to judge. */
function secretOf(
  reference: Record<string, unknown>,
  { env, readFile }: World,
): { text?: string; missing?: string } {
  const [[kind, name] = [], another] = Object.entries(reference)
  if (another || typeof name !== 'string' || name === '') return {}
  if (kind === 'env') {
    const text = variableIn(name, env)
    if (text !== undefined) return { text }
    return { missing: `${calledVariable(name)} is not set` }
  }
  if (kind !== 'file') return {}
  try {
    // Editors end every file with a new line.
    return { text: readFile(name).replace(/\r?\n$/, '') }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === undefined ? message : (REASONS[code] ?? code)
    const where = isAbsolute(name) ? '' : '; it is looked for in the folder of the configuration'
    // Its path is not shown, for the same reason.
    return { missing: `the file cannot be read: ${why}${code === undefined ? '' : where}` }
  }
}

/** Somebody may have written the secret itself where its name belongs. */
function calledVariable(name: string): string {
  return /^[A-Z_][A-Z\d_]{0,59}$/.test(name) ? `the variable ${name}` : 'the variable of that name'
}

const REASONS: Record<string, string> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EISDIR: 'it is a directory',
  EACCES: 'permission denied',
}
