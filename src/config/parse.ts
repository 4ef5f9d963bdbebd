/**
 * From text to a `Config`, or to every fault in it.
 *
 * A fault is told with file, line, option, what was found and what to write instead, all faults at once; whether options
 * fit together is judged when each is good. What is written in the words of another program is adapted first, and its
 * faults are told in those words.
 */
import * as v from 'valibot'
import type { Format, Root, Spelling } from './compat/format.ts'
import { formatOf } from './compat.ts'
import {
  lineAt,
  membersOf,
  type Node,
  offsetAt,
  offsetOf,
  type Path,
  parseJson,
  plainValue,
  SyntaxFault,
  stringAt,
  stringsIn,
} from './document.ts'
import { Draft } from './draft.ts'
import { type Fault, pathText, said } from './faults.ts'
import { isIgnored, misplaced, type Schema } from './keys.ts'
import { expand, namesIn, resolved, type Unresolved, type World } from './references.ts'
import { type Config, ConfigSchema } from './schema.ts'
import { looksLikeToml, parseToml } from './toml.ts'
import { asWritten } from './written.ts'

/** The configuration cannot be used. Its message is complete: one line per fault. */
export class ConfigError extends Error {
  override name = 'ConfigError'
  /** By absolute paths: when one of them changes, it may be another matter. */
  readonly files: readonly string[]

  constructor(message: string, files: readonly string[] = []) {
    super(message)
    this.files = files
  }
}

export interface Parsed {
  config: Config
  /** As it was written, in our words: with variables and references in it. */
  native: Root
  /** Whose words it was written in; undefined if in ours. */
  format: string | undefined
  /** What does not go on as it did in the program that it was written for, each with its place. */
  warnings: string[]
}

/** No file can be read. */
const NO_FILES: World['readFile'] = () => {
  throw new Error('files cannot be read here')
}

/**
 * Reads a configuration, in our words or in those of another program.
 *
 * @param source how the text is called in messages.
 * @throws {ConfigError}
 */
export function parseConfig(
  text: string,
  source: string,
  { env = {}, readFile = NO_FILES, expandEnv = true }: Partial<World> = {},
): Parsed {
  const world = { env, readFile, expandEnv }
  // Of a byte order mark the parser would make a symbol of its own.
  const bare = text.replace(/^\ufeff/, '')
  let held: Held | undefined
  const told = ({ offset, path, what }: Pick<Fault, 'offset' | 'path' | 'what'>) => {
    held ??= heldIn(tree, spelling, env)
    return `${source}:${lineAt(bare, offset)}: ${pathText(path)}: ${unexpanded(what, held)}`
  }
  const tree = treeOf(bare, source)
  const root = plainValue(tree)
  const format = formatOf(root)
  const spelling: Spelling = format?.spelling?.(root as Root) ?? ((written) => written)
  const faults = [...unset(tree, world, spelling, format)]
  const warnings: Fault[] = []
  const judge = new Judge(tree, bare, faults, warnings)

  const written = plainValue(
    tree,
    expandEnv ? (text, path) => expand(spelling(text, path), env).text : undefined,
  )
  const draft = format && judge.adapted(format, written, world)
  const config = format
    ? draft && judge.native(draft.native, world, (path) => draft.from(path))
    : judge.native(written, world)
  if (!config || faults.length > 0) {
    faults.sort((a, b) => a.offset - b.offset)
    throw new ConfigError(faults.slice(0, MOST).map(told).join('\n'))
  }
  return {
    config,
    native: draft ? asWritten(format!, tree, draft, world, spelling) : (root as Root),
    format: format?.name,
    warnings: warnings.sort((a, b) => a.offset - b.offset).map(told),
  }
}

/** More are not told of one document. To find the place of each takes time. */
const MOST = 200

/** Collects what is wrong with one document. */
class Judge {
  readonly #tree: Node
  readonly #lineAt: (offset: number) => number
  readonly #faults: Fault[]
  readonly #warnings: Fault[]

  constructor(tree: Node, text: string, faults: Fault[], warnings: Fault[]) {
    this.#tree = tree
    this.#lineAt = (offset) => lineAt(text, offset)
    this.#faults = faults
    this.#warnings = warnings
  }

  /** What a document of another program is in our words; undefined if it is wrong in its own. */
  adapted(format: Format, written: unknown, { env }: World): Draft | undefined {
    for (const fault of misplaced(this.#tree, format.schema, [], this.#lineAt)) {
      if (!fault.isUnknownKey) this.#faults.push(fault)
      else if (this.#warnings.length < MOST)
        this.#warnings.push({ ...fault, what: 'unknown key; it is ignored' })
    }
    const output = this.#checked(format.schema, written, (path) => path)
    if (output === undefined || this.#faults.length > 0) return undefined
    const draft = new Draft()
    format.adapt(output, draft, env)
    const placed = ({ path, what }: { path: Path; what: string }): Fault => ({
      path,
      what,
      offset: offsetAt(this.#tree, path),
      settles: [path],
    })
    this.#faults.push(...draft.refusals.slice(0, MOST).map(placed))
    this.#warnings.push(...draft.warnings.slice(0, MOST).map(placed))
    return draft
  }

  /** @param from where in the document an option of ours was written, if it is not a document of ours. */
  native(written: unknown, world: World, from?: (path: Path) => Path): Config | undefined {
    if (!from) this.#faults.push(...misplaced(this.#tree, ConfigSchema, [], this.#lineAt))
    const unresolved: Unresolved[] = []
    const value = resolved(written, ConfigSchema, world, unresolved)
    for (const { path, what } of unresolved) {
      const at = from ? from(path) : path
      this.#faults.push({ path: at, what, offset: offsetAt(this.#tree, at), settles: [at] })
    }
    return this.#checked(ConfigSchema, value, from ?? ((path) => path)) as Config | undefined
  }

  #checked(schema: Schema, value: unknown, from: (path: Path) => Path): unknown {
    const settled = new Set(this.#faults.flatMap(({ settles }) => settles.map(identity)))
    const result = v.safeParse(schema, value, { abortPipeEarly: true })
    for (const issue of result.issues?.slice(0, MOST) ?? []) {
      const path = (issue.path ?? []).map(({ key }) => key as string | number)
      const at = from(path)
      if (within(at).some((outer) => settled.has(identity(outer)))) continue
      const isExpanded = namesIn(stringAt(this.#tree, at) ?? '').length > 0
      const what = said(issue, path, schema, isExpanded)
      this.#faults.push({ path: at, offset: offsetAt(this.#tree, at), what, settles: [] })
    }
    return result.success ? result.output : undefined
  }
}

const identity = (path: Path) => JSON.stringify(path)

/** A path and all it is inside of. */
const within = (path: Path): Path[] => [path, ...path.map((_, i) => path.slice(0, i))]

/** @throws {ConfigError} */
function treeOf(text: string, source: string): Node {
  try {
    return /\.toml$/i.test(source) ? parseToml(text) : parseJsonOrToml(text)
  } catch (error) {
    if (!(error instanceof SyntaxFault)) throw error
    throw new ConfigError(`${source}:${lineAt(text, error.offset)}: ${error.message}`)
  }
}

/** @throws {SyntaxFault} */
function parseJsonOrToml(text: string): Node {
  try {
    return parseJson(text)
  } catch (error) {
    if (looksLikeToml(text)) return parseToml(text)
    throw error
  }
}

/** Variables that are named and not set. What is disabled may name any. */
function* unset(
  tree: Node,
  { env, expandEnv }: World,
  spelling: Spelling,
  format: Format | undefined,
): Generator<Fault> {
  if (expandEnv === false) return
  for (const { path, node } of stringsIn(tree)) {
    const [missing] = expand(spelling(node.value, path), env).missing
    if (missing === undefined || isDisabled(node)) continue
    if (format && isIgnored(format.schema, path)) continue
    const what = `the variable ${missing} is not set; set it, or write \${${missing}:-default}`
    yield { path, offset: offsetOf(node), what, settles: [path] }
  }
}

/** A message in which the values of variables are not to be seen, as they may be secrets. */
function unexpanded(message: string, held: Held): string {
  let text = message
  for (const [name, value] of held) text = text.replaceAll(value, () => `\${${name}}`)
  return text
}

/** What variables that are named hold, by their names. */
type Held = ReadonlyMap<string, string>

function heldIn(tree: Node, spelling: Spelling, env: World['env']): Held {
  const names = [...stringsIn(tree)].flatMap(({ path, node }) => [
    ...namesIn(node.value),
    ...namesIn(spelling(node.value, path)),
  ])
  // What is shorter is in many words.
  const isTold = (value: string | undefined) => value !== undefined && value.length >= 4
  const held = names.filter((name) => Object.hasOwn(env, name) && isTold(env[name]))
  return new Map(held.map((name) => [name, env[name]!]))
}

function isDisabled(node: Node | undefined): boolean {
  if (!node) return false
  const isOff = membersOf(node).some(
    ({ key, value }) =>
      (key === 'disabled' || key === 'enabled') && value.value === (key === 'disabled'),
  )
  return isOff || isDisabled(node.parent)
}
