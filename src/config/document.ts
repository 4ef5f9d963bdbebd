/**
 * A text as a tree of values that know where they were written.
 *
 * JSON may have comments and trailing commas. TOML becomes the same tree; its places are those of its tables and keys.
 */
import { type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser'

export type { Node } from 'jsonc-parser'
export type Path = (string | number)[]

/** The text is not in its language. */
export class SyntaxFault extends Error {
  override name = 'SyntaxFault'
  readonly offset: number

  constructor(offset: number, what: string) {
    super(what)
    this.offset = offset
  }
}

/** Objects and arrays inside one another, more than anybody means: readers that go in step by step need an end. */
export const DEPTH = 100
export const TOO_DEEP = `more than ${DEPTH} objects and arrays inside one another`

/** @throws {SyntaxFault} */
export function parseJson(text: string): Node {
  refuseDepth(text)
  const errors: ParseError[] = []
  const tree = parseTree(text, errors, { allowTrailingComma: true })
  if (!/\S/.test(text)) {
    throw new SyntaxFault(
      0,
      'the file is empty: write {"mcpServers": {"NAME": {"command": "PROGRAM"}}}',
    )
  }
  const [first] = errors
  if (!first && tree) return tree
  // At the end of the file the line that counts is the last one with something on it.
  const offset = Math.min(first?.offset ?? 0, text.trimEnd().length)
  const code = first ? printParseErrorCode(first.error) : 'ValueExpected'
  throw new SyntaxFault(offset, `not JSON: ${SYNTAX[code] ?? code}`)
}

/** @throws {SyntaxFault} where brackets that are in no string or comment go deeper than `DEPTH`. */
function refuseDepth(text: string): void {
  let depth = 0
  let isString = false
  const tokens = /\\.|["\n[\]{}]|\/\/.*|\/\*/g
  for (let found = tokens.exec(text); found; found = tokens.exec(text)) {
    const [token] = found
    if (token === '"') isString = !isString
    else if (token === '\n') isString = false
    else if (isString && token.startsWith('/')) tokens.lastIndex = found.index + 1
    else if (isString) continue
    else if (token === '/*') tokens.lastIndex = endOf(text, '*/', found.index + 2)
    else if (token === '{' || token === '[') depth++
    else if (token === '}' || token === ']') depth--
    if (depth > DEPTH)
      throw new SyntaxFault(found.index, `not JSON for a configuration: ${TOO_DEEP}`)
  }
}

function endOf(text: string, token: string, from: number): number {
  const at = text.indexOf(token, from)
  return at < 0 ? text.length : at + token.length
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

/** The members of an object, in the order they are written, each with its node and where it begins. */
export function membersOf(node: Node): { key: string; offset: number; value: Node }[] {
  if (node.type !== 'object') return []
  return (node.children ?? []).map(({ offset, children }) => ({
    key: children![0]!.value as string,
    offset,
    value: children![1]!,
  }))
}

/** As jsonc-parser's getNodeValue, but each string through `text`, and `__proto__` is a key like any other. */
export function plainValue(
  node: Node,
  text: (written: string, path: Path) => string = (same) => same,
  path: Path = [],
): unknown {
  if (node.type === 'string') return text(node.value, path)
  const inner = (value: Node, key: string | number) => plainValue(value, text, [...path, key])
  if (node.type === 'array') return (node.children ?? []).map(inner)
  if (node.type !== 'object') return node.value
  return Object.fromEntries(membersOf(node).map(({ key, value }) => [key, inner(value, key)]))
}

/** Every string, and where it is. */
export function* stringsIn(node: Node, path: Path = []): Generator<{ path: Path; node: Node }> {
  if (node.type === 'string') yield { path, node }
  if (node.type === 'array') {
    for (const [i, child] of (node.children ?? []).entries()) yield* stringsIn(child, [...path, i])
  }
  for (const { key, value } of membersOf(node)) yield* stringsIn(value, [...path, key])
}

/** The string at a path, if there is one. */
export function stringAt(tree: Node, path: Path): string | undefined {
  let at: Node | undefined = tree
  for (const key of path) {
    at =
      typeof key === 'number'
        ? at?.children?.[key]
        : at && membersOf(at).findLast((member) => member.key === key)?.value
  }
  return at?.type === 'string' ? at.value : undefined
}

/** Where the value at a path begins with its key, or else the object it is missing in. */
export function offsetAt(tree: Node, path: Path): number {
  let at = tree
  for (const key of path) {
    const inner: Node | undefined =
      typeof key === 'number'
        ? at.children?.[key]
        : membersOf(at).findLast((member) => member.key === key)?.value
    if (!inner) break
    at = inner
  }
  return offsetOf(at)
}

export function offsetOf(node: Node): number {
  return node.parent?.type === 'property' ? node.parent.offset : node.offset
}

/** Counted from 1. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}
