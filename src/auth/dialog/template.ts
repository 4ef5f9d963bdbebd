/**
 * Pages as templates in the spelling of Go's `html/template`, as one of the older gateways has them: values are escaped for
 * where they stand, and a template in which one cannot be is refused before anybody sees it.
 *
 * There are `{{.Name}}`, `$.Name`, `if`, `else if`, `with`, `range`, `not`, `eq`, `ne`, `and`, `or`, comments, trimming, and
 * `{{template "FILE"}}`, which stands for the text of another file. Every script and style gets the nonce of its page, every
 * form that is posted the fields that prove where it comes from, and every URL that begins with `/oauth/` the path that the
 * gateway is at.
 */
import { toError } from '../../errors.ts'
import { html, slot, textOf, type Value } from './escaping.ts'
import { MarkupError, meeting, type Piece, type Place, START, scan } from './markup.ts'

export type Data = Readonly<Record<string, Value>>

export interface Surroundings {
  nonce: string
  /** Hidden fields of forms, by name. */
  fields: Readonly<Record<string, string>>
  /** The path before ours: '' or `/gw`. */
  base: string
}

export type Template = (data: Data, surroundings: Surroundings) => string

export interface Library {
  /** The data there are. */
  names: readonly string[]
  /** The text of another file; undefined if there is none. */
  include?: (file: string) => string | undefined
}

/** The message says in which line, and what to do. */
export class TemplateError extends Error {
  override name = 'TemplateError'
}

/** @throws {TemplateError} */
export function compile(source: string, library: Library): Template {
  const nodes = new Parser(source, library).document()
  const { parts, place } = escaped(nodes, START)
  if (place.in !== 'text' || place.element !== '') {
    throw new TemplateError(`the end of the file is in the middle of <${place.element}>`)
  }
  return (data, surroundings) => {
    const text = new Output(surroundings)
    write(parts, { root: data, dot: undefined }, text)
    return text.written
  }
}

/** What names stand for: the data, and within `with` and `range` one value of them. */
interface Scope {
  root: Data
  dot: Value | undefined
}

type Expression = (scope: Scope) => Value

type Node =
  | { kind: 'text'; text: string; line: number }
  | { kind: 'value'; of: Expression; line: number }
  | { kind: Block; of: Expression; yes: Node[]; no: Node[]; line: number }

type Block = 'if' | 'with' | 'range'

const WORDS: Record<string, (...args: Value[]) => Value> = {
  not: (one) => !isTrue(one!),
  eq: (one, ...others) => others.some((other) => textOf(one!) === textOf(other)),
  ne: (one, other) => textOf(one!) !== textOf(other!),
  and: (...all) => all.find((one) => !isTrue(one)) ?? all.at(-1)!,
  or: (...all) => all.find(isTrue) ?? all.at(-1)!,
  len: (one) => (Array.isArray(one) ? one.length : textOf(one!).length),
  // All is escaped as it is.
  html: (one) => one!,
}

function isTrue(value: Value): boolean {
  return Array.isArray(value) ? value.length > 0 : Boolean(value)
}

/** How many files may stand for one another. */
const DEPTH = 4

class Parser {
  readonly #tokens: { text: string; isAction: boolean; line: number }[]
  readonly #library: Library
  readonly #depth: number
  /** How many `with` and `range` this is in. */
  #inside: number
  #at = 0

  constructor(source: string, library: Library, depth = 0, inside = 0) {
    this.#tokens = tokens(source)
    this.#library = library
    this.#depth = depth
    this.#inside = inside
  }

  document(): Node[] {
    const { nodes, end } = this.#until([])
    if (end) throw new TemplateError(`line ${end.line}: {{${end.text}}} ends nothing`)
    return nodes
  }

  #until(ends: string[]): { nodes: Node[]; end: { text: string; line: number } | undefined } {
    const nodes: Node[] = []
    while (this.#at < this.#tokens.length) {
      const { text, isAction, line } = this.#tokens[this.#at++]!
      if (!isAction) {
        if (text !== '') nodes.push({ kind: 'text', text, line })
        continue
      }
      const [word = ''] = /^[a-z]+\b/i.exec(text) ?? []
      if (word === 'end' || word === 'else') {
        if (ends.includes(word)) return { nodes, end: { text, line } }
        throw new TemplateError(`line ${line}: {{${text}}} ends nothing`)
      }
      if (word === 'if' || word === 'with' || word === 'range') {
        nodes.push(this.#block(word, text.slice(word.length), line))
      } else if (word === 'template') nodes.push(...this.#included(text, line))
      else nodes.push({ kind: 'value', of: this.#expression(text, line), line })
    }
    if (ends.length > 0) throw new TemplateError('an {{end}} is missing at the end of the file')
    return { nodes, end: undefined }
  }

  #block(kind: Block, condition: string, line: number): Node {
    const of = this.#expression(condition, line)
    const shifts = kind === 'if' ? 0 : 1
    this.#inside += shifts
    const { nodes: yes, end } = this.#until(['end', 'else'])
    this.#inside -= shifts
    if (end!.text === 'end') return { kind, of, yes, no: [], line }
    const [, otherwise] = /^else(?:\s+if\b(.*))?$/s.exec(end!.text) ?? []
    if (otherwise !== undefined) {
      return { kind, of, yes, no: [this.#block('if', otherwise, end!.line)], line }
    }
    if (end!.text !== 'else') throw new TemplateError(`line ${end!.line}: expected {{else}}`)
    return { kind, of, yes, no: this.#until(['end']).nodes, line }
  }

  #included(action: string, line: number): Node[] {
    const [, file] = /^template\s+"([^"]+)"\s*[.$]?$/.exec(action) ?? []
    const text = file === undefined ? undefined : this.#library.include?.(file)
    if (text === undefined || this.#depth === DEPTH) {
      throw new TemplateError(`line ${line}: {{${action}}}: there is no such file`)
    }
    return new Parser(text, this.#library, this.#depth + 1, this.#inside).document()
  }

  #expression(text: string, line: number): Expression {
    try {
      return new Pipeline(text, this.#library.names, this.#inside > 0).whole()
    } catch (error) {
      throw new TemplateError(`line ${line}: {{${text.trim()}}}: ${toError(error).message}`)
    }
  }
}

/** Text and actions in turn, trimmed where `{{-` and `-}}` say so. */
function tokens(source: string) {
  const found: { text: string; isAction: boolean; line: number }[] = []
  const action =
    /\{\{(-\s)?(?:(\s*\/\*[\s\S]*?\*\/\s*?)|((?:"(?:[^"\\\n]|\\.)*"|`[^`]*`|(?!\}\})[\s\S])*?))(\s-)?\}\}/g
  let at = 0
  let line = 1
  let isTrimmed = false
  const add = (text: string, isAction: boolean) => {
    found.push({ text, isAction, line })
  }
  for (const match of source.matchAll(action)) {
    const [whole, trimsBefore, , inner, trimsAfter] = match
    const text = source.slice(at, match.index)
    const start = isTrimmed ? text.trimStart() : text
    add(trimsBefore ? start.trimEnd() : start, false)
    line += lines(text)
    if (inner !== undefined) add(inner.trim(), true)
    line += lines(whole)
    at = match.index + whole.length
    isTrimmed = trimsAfter !== undefined
  }
  const rest = source.slice(at)
  if (rest.includes('{{')) {
    throw new TemplateError(`line ${line + lines(rest.split('{{')[0]!)}: a "}}" is missing`)
  }
  add(isTrimmed ? rest.trimStart() : rest, false)
  return joined(found)
}

/** Text on both sides of a comment is one. */
function joined(found: { text: string; isAction: boolean; line: number }[]) {
  return found.reduce<typeof found>((all, token) => {
    const last = all.at(-1)
    if (last && !last.isAction && !token.isAction) last.text += token.text
    else all.push({ ...token })
    return all
  }, [])
}

function lines(text: string): number {
  return text.split('\n').length - 1
}

/** `eq .Scope "mcp" | not` and the like. */
class Pipeline {
  readonly #names: readonly string[]
  readonly #isInside: boolean
  readonly #words: string[]

  constructor(text: string, names: readonly string[], isInside: boolean) {
    this.#names = names
    this.#isInside = isInside
    this.#words = text.match(/"(?:[^"\\]|\\.)*"|`[^`]*`|[()|]|[^\s()|"`]+|["`]/g) ?? []
  }

  whole(): Expression {
    const expression = this.#pipeline()
    if (this.#words.length > 0) throw new Error(`did not expect ${this.#words[0]}`)
    return expression
  }

  #pipeline(): Expression {
    let expression = this.#command(undefined)
    while (this.#words[0] === '|') {
      this.#words.shift()
      expression = this.#command(expression)
    }
    return expression
  }

  /** @param last what comes through the pipe, as the last argument. */
  #command(last: Expression | undefined): Expression {
    const [first] = this.#words
    if (first === undefined) throw new Error('expected a value')
    if (!/^[a-z]\w*$/i.test(first) || first === 'true' || first === 'false') {
      if (last) throw new Error(`${first} takes nothing from a pipe`)
      return this.#operand()
    }
    if (!Object.hasOwn(WORDS, first)) throw new Error(`"${first}" is not known here`)
    this.#words.shift()
    const args: Expression[] = []
    while (this.#words.length > 0 && !/^[)|]$/.test(this.#words[0]!)) args.push(this.#operand())
    if (last) args.push(last)
    const isBinary = first === 'eq' || first === 'ne'
    if (args.length < (isBinary ? 2 : 1)) throw new Error(`${first} needs more values`)
    return (scope) => WORDS[first]!(...args.map((arg) => arg(scope)))
  }

  #operand(): Expression {
    const word = this.#words.shift()!
    if (word === '(') {
      const inner = this.#pipeline()
      if (this.#words.shift() !== ')') throw new Error('a ")" is missing')
      return inner
    }
    if (word === '.' && this.#isInside) return ({ dot }) => dot!
    const [, root, name] = /^(\$?)\.(\w+)$/.exec(word) ?? []
    if (name !== undefined) return this.#field(name, root !== '')
    if (word === 'true' || word === 'false') return () => word === 'true'
    if (/^-?\d+$/.test(word)) return () => Number(word)
    const text =
      /^`([^`]*)`$/.exec(word)?.[1] ?? (/^".*"$/s.test(word) ? JSON.parse(word) : undefined)
    if (typeof text !== 'string') throw new Error(`did not expect ${word}`)
    return () => text
  }

  #field(name: string, isOfRoot: boolean): Expression {
    if (this.#isInside && !isOfRoot) throw new Error(`write $.${name} within "with" and "range"`)
    if (!this.#names.includes(name)) {
      throw new Error(`there is no ${name} here; there are ${this.#names.join(', ')}`)
    }
    return ({ root }) => root[name] ?? ''
  }
}

/** A template with what was found out about its places: what is left is to fill it. */
type Part =
  | Piece
  | { of: Expression; write: (value: Value) => string }
  | { kind: Block; of: Expression; yes: Part[]; no: Part[] }

function escaped(nodes: Node[], from: Place): { parts: Part[]; place: Place } {
  let place = from
  const parts: Part[] = []
  for (const node of nodes) {
    try {
      if (node.kind === 'text') {
        const scanned = scan(node.text, place)
        parts.push(...scanned.pieces)
        place = scanned.place
      } else if (node.kind === 'value') {
        const { write, place: next } = slot(place)
        parts.push({ of: node.of, write })
        place = next
      } else {
        const { kind, of } = node
        const yes = escaped(node.yes, place)
        const no = escaped(node.no, place)
        const end = meeting(yes.place, no.place)
        // It may be repeated.
        const again = kind === 'range' ? meeting(yes.place, place) : end
        if (!end || !again) {
          throw new Error(`after the branches of {{${kind}}} the text is not in the same place`)
        }
        parts.push({ kind, of, yes: yes.parts, no: no.parts })
        place = end
      }
    } catch (error) {
      if (error instanceof TemplateError) throw error
      const at = error instanceof MarkupError && node.kind === 'text' ? error.at : 0
      const line = node.line + (node.kind === 'text' ? lines(node.text.slice(0, at)) : 0)
      throw new TemplateError(`line ${line}: ${toError(error).message}`)
    }
  }
  return { parts, place }
}

class Output {
  written = ''
  readonly #ours: Record<'nonce' | 'fields' | 'base', string>

  constructor({ nonce, fields, base }: Surroundings) {
    const hidden = Object.entries(fields).map(
      ([name, value]) => `<input type="hidden" name="${html(name)}" value="${html(value)}">`,
    )
    this.#ours = { nonce: ` nonce="${html(nonce)}"`, fields: hidden.join(''), base: html(base) }
  }

  add(piece: Piece): void {
    this.written += typeof piece === 'string' ? piece : this.#ours[piece.ours]
  }
}

function write(parts: readonly Part[], scope: Scope, output: Output): void {
  for (const part of parts) {
    if (typeof part === 'string' || 'ours' in part) output.add(part)
    else if ('write' in part) output.add(part.write(part.of(scope)))
    else writeBlock(part, scope, output)
  }
}

function writeBlock(
  { kind, of, yes, no }: Extract<Part, { kind: Block }>,
  scope: Scope,
  output: Output,
): void {
  const value = of(scope)
  if (!isTrue(value)) write(no, scope, output)
  else if (kind === 'if') write(yes, scope, output)
  else if (kind === 'with') write(yes, { ...scope, dot: value }, output)
  else
    for (const dot of Array.isArray(value) ? value : [value]) write(yes, { ...scope, dot }, output)
}
