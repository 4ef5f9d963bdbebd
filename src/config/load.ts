/**
 * From a path, a URL or nothing at all to a `Config`.
 *
 * Whatever is wrong is told with file, line, path, value and what to write instead, all faults at once.
 */
import { homedir } from 'node:os'
import { join } from 'node:path'
import {
  findNodeAtLocation,
  type Node,
  type ParseError,
  parseTree,
  printParseErrorCode,
} from 'jsonc-parser'
import * as v from 'valibot'
import { type Config, ConfigSchema } from './schema.ts'

export interface Loaded {
  config: Config
  /** Where it came from, for people; undefined for the embedded defaults. */
  source: string | undefined
}

/** The configuration cannot be used. Its message is complete: one line per fault. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

/** What runs when there is no configuration anywhere: the reference server that shows all of MCP. */
export const EMBEDDED = {
  mcpServers: {
    everything: {
      command: 'npx',
      args: ['-y', '@modelcontextprotocol/server-everything@2026.8.31'],
    },
  },
}

/** Where a configuration is looked for, in this order, when none is named. */
export function searchPath(env: Record<string, string | undefined>): string[] {
  const home = env.HOME ?? homedir()
  return [
    './config.json',
    './.mcp-gateway/config.json',
    join(home, '.config/mcp-gateway/config.json'),
    join(home, '.mcp-gateway/config.json'),
    './config/servers.json',
  ]
}

/**
 * Loads the named configuration, else the first that is found, else the embedded one.
 *
 * @throws {ConfigError}
 */
export async function loadConfig(
  named: string | undefined,
  env: Record<string, string | undefined>,
): Promise<Loaded> {
  const wanted = named ?? env.MCP_GATEWAY_CONFIG
  if (wanted !== undefined)
    return { config: parseConfig(await read(wanted), wanted), source: wanted }
  for (const path of searchPath(env)) {
    const file = Bun.file(path)
    if (await file.exists()) return { config: parseConfig(await file.text(), path), source: path }
  }
  return { config: v.parse(ConfigSchema, EMBEDDED), source: undefined }
}

/**
 * Reads a configuration from JSON with comments and trailing commas.
 *
 * @param source how the text is called in messages.
 * @throws {ConfigError}
 */
export function parseConfig(text: string, source: string): Config {
  const errors: ParseError[] = []
  const tree = parseTree(text, errors, { allowTrailingComma: true })
  if (errors.length > 0 || !tree) {
    const [first] = errors
    const what = first
      ? printParseErrorCode(first.error).replace(/([a-z])([A-Z])/g, '$1 $2')
      : 'empty'
    throw new ConfigError(
      `${source}:${lineOf(text, first?.offset ?? 0)}: not JSON: ${what.toLowerCase()}`,
    )
  }
  const faults = duplicates(tree, []).map(({ path, node }) => ({
    path,
    offset: node.offset,
    what: 'is there twice',
  }))
  const result = v.safeParse(ConfigSchema, nodeValue(tree))
  for (const issue of result.issues ?? []) {
    const path = (issue.path ?? []).map(({ key }) => String(key))
    const missing = issue.received === 'undefined'
    const at = findNodeAtLocation(tree, missing ? path.slice(0, -1) : path) ?? tree
    faults.push({
      path,
      offset: (at.parent?.type === 'property' ? at.parent : at).offset,
      what: said(issue),
    })
  }
  if (faults.length > 0) {
    faults.sort((a, b) => a.offset - b.offset)
    throw new ConfigError(
      faults
        .map(
          ({ path, offset, what }) =>
            `${source}:${lineOf(text, offset)}: ${path.join('.') || 'the file'}: ${what}`,
        )
        .join('\n'),
    )
  }
  return result.output as Config
}

async function read(wanted: string): Promise<string> {
  if (/^https?:\/\//.test(wanted)) {
    const where = new URL(wanted)
    const called = `${where.origin}${where.pathname}`
    const response = await fetch(wanted, { signal: AbortSignal.timeout(30_000) }).catch((error) => {
      throw new ConfigError(`${called}: cannot be downloaded: ${(error as Error).message}`)
    })
    if (!response.ok)
      throw new ConfigError(`${called}: cannot be downloaded: status ${response.status}`)
    return response.text()
  }
  const file = Bun.file(wanted)
  if (!(await file.exists())) {
    throw new ConfigError(
      `${wanted}: no such file: give --config the path or URL of a configuration`,
    )
  }
  return file.text()
}

type Issue = v.InferIssue<typeof ConfigSchema>

function said(issue: Issue): string {
  const key = issue.path?.at(-1)?.key
  if (issue.type === 'strict_object' && issue.expected === 'never') {
    const known = knownKeys(issue.path?.map((step) => String(step.key)) ?? [])
    const near = closest(String(key), known)
    return `unknown key${near ? `; did you mean "${near}"?` : `; known are ${known.join(', ')}`}`
  }
  if (issue.received === 'undefined') return `is missing: expected ${issue.expected ?? 'a value'}`
  if (issue.kind === 'schema') return `expected ${issue.expected}, got ${shown(issue.input)}`
  return `${issue.message} (got ${shown(issue.input)})`
}

/** Values of `env` are secrets more often than not, and long values help nobody. */
function shown(value: unknown): string {
  if (typeof value === 'object' && value !== null)
    return Array.isArray(value) ? 'an array' : 'an object'
  return (JSON.stringify(value) ?? String(value)).slice(0, 60)
}

/** The keys of the object that holds the last step of the path. */
function knownKeys(path: string[]): string[] {
  let schema: v.GenericSchema = ConfigSchema
  for (const step of path.slice(0, -1)) {
    schema = unwrapped(schema)
    if ('entries' in schema) schema = (schema.entries as Record<string, v.GenericSchema>)[step]!
    else if ('value' in schema) schema = schema.value as v.GenericSchema
  }
  schema = unwrapped(schema)
  return 'entries' in schema ? Object.keys(schema.entries as object) : []
}

/** The schema inside of optionals and pipes. */
function unwrapped(schema: v.GenericSchema): v.GenericSchema {
  if ('wrapped' in schema) return unwrapped(schema.wrapped as v.GenericSchema)
  if ('pipe' in schema && !('entries' in schema) && !('value' in schema)) {
    return unwrapped((schema.pipe as v.GenericSchema[])[0]!)
  }
  return schema
}

function closest(word: string, candidates: string[]): string | undefined {
  const near = candidates
    .map((candidate) => ({ candidate, by: distance(word.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.by - b.by)[0]
  return near && near.by <= Math.max(2, word.length / 3) ? near.candidate : undefined
}

/** Levenshtein's. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}

/** As jsonc-parser's getNodeValue, but `__proto__` is a key like any other. */
function nodeValue(node: Node): unknown {
  if (node.type === 'array') return (node.children ?? []).map(nodeValue)
  if (node.type !== 'object') return node.value
  return Object.fromEntries(
    (node.children ?? []).map(({ children }) => [children![0]!.value, nodeValue(children![1]!)]),
  )
}

function duplicates(node: Node, path: string[]): { path: string[]; node: Node }[] {
  const seen = new Set<string>()
  return (node.children ?? []).flatMap((child, i) => {
    if (node.type !== 'object') return duplicates(child, [...path, String(i)])
    const [key, value] = child.children as [Node, Node]
    const inner = [...path, key.value as string]
    const again = seen.has(key.value) ? [{ path: inner, node: child }] : []
    seen.add(key.value)
    return [...again, ...duplicates(value, inner)]
  })
}

function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}
