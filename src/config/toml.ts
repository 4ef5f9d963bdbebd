/**
 * TOML as the same tree as JSON, so that whatever is wrong with a value is told at its line.
 *
 * It is read here and not by `Bun.TOML`, which says nothing of places, shows values in its messages, and overflows the
 * stack. Dates are taken as they are written, as strings.
 */
import { DEPTH, type Node as Known, SyntaxFault, TOO_DEEP } from './document.ts'

/** Whether a text that is no JSON was meant as TOML: its first line is a table or a `name = value`. */
export function looksLikeToml(text: string): boolean {
  return /^(?:\s*#.*\n|\s*\n)*\s*(?:\[\[?[\w\s."'-]+\]|[\w."'-]+\s*=)/.test(text)
}

/** @throws {SyntaxFault} */
export function parseToml(text: string): Known {
  return new Reader(text).document()
}

/** A part of the tree, while it grows. */
interface Node extends Omit<Known, 'length' | 'parent' | 'children'> {
  length: number
  parent?: Node
  children?: Node[]
}

/** How a table came to be, which decides how more can be written in it. */
type Origin =
  /** Something further in was named. */
  | 'implied'
  /** By a header of its own. */
  | 'headed'
  /** By a dotted key, in the table that it is written in. */
  | 'dotted'

interface Key {
  name: string
  offset: number
}

class Reader {
  readonly #text: string
  #at = 0
  /** Tables that may still grow. */
  readonly #origins = new Map<Node, { by: Origin; within?: Node }>()
  /** Arrays that are made of `[[…]]`. */
  readonly #lists = new Set<Node>()
  readonly #members = new Map<Node, Map<string, Node>>()

  constructor(text: string) {
    this.#text = text
  }

  document(): Node {
    const root = this.#table(0, { by: 'headed' })
    let table = root
    for (this.#blank(true); this.#at < this.#text.length; this.#blank(true)) {
      if (this.#peek('[')) table = this.#header(root)
      else this.#pair(table, table)
      this.#lineEnd()
    }
    root.length = this.#text.length
    return root
  }

  #header(root: Node): Node {
    const offset = this.#at
    const isList = this.#take('[[')
    if (!isList) this.#expect('[', '"["')
    const keys = this.#keys()
    this.#expect(isList ? ']]' : ']', isList ? 'a "]]"' : 'a "]"')
    const last = keys.pop()!
    let table = root
    for (const key of keys) table = this.#entered(table, key)
    const known = this.#member(table, last.name)
    if (isList) return this.#listed(table, last, known, offset)
    if (!known) return this.#add(table, last, this.#table(offset, { by: 'headed' }))
    if (this.#origins.get(known)?.by !== 'implied') throw this.#twice(last.offset)
    this.#origins.set(known, { by: 'headed' })
    return known
  }

  /** One more table of an array of tables. */
  #listed(table: Node, key: Key, known: Node | undefined, offset: number): Node {
    if (known && !this.#lists.has(known)) throw this.#twice(key.offset)
    const list = known ?? this.#add(table, key, node('array', offset, []))
    this.#lists.add(list)
    const item = this.#table(offset, { by: 'headed' })
    item.parent = list
    list.children!.push(item)
    return item
  }

  /** The table that a header goes through. */
  #entered(table: Node, key: Key): Node {
    const known = this.#member(table, key.name)
    if (!known) return this.#add(table, key, this.#table(key.offset, { by: 'implied' }))
    const inner = this.#lists.has(known) ? known.children!.at(-1)! : known
    if (!this.#origins.has(inner)) throw this.#twice(key.offset)
    return inner
  }

  /** @param within the table that dotted keys belong to: others can add nothing to theirs. */
  #pair(table: Node, within: Node, depth = 1): void {
    const keys = this.#keys()
    const last = keys.pop()!
    let inner = table
    for (const key of keys) {
      const known = this.#member(inner, key.name)
      const origin = known && this.#origins.get(known)
      if (known && (origin?.by !== 'dotted' || origin.within !== within)) {
        throw this.#twice(key.offset)
      }
      inner =
        known ?? this.#add(inner, key, this.#table(key.offset, { by: 'dotted', within: within }))
    }
    if (this.#member(inner, last.name)) throw this.#twice(last.offset)
    this.#expect('=', 'a "="')
    this.#blank()
    this.#add(inner, last, this.#value(depth + keys.length))
  }

  #keys(): Key[] {
    const keys: Key[] = []
    do {
      this.#blank()
      keys.push(this.#key())
      if (keys.length > DEPTH) throw this.#fault(TOO_DEEP, keys[0]!.offset)
      this.#blank()
    } while (this.#take('.'))
    return keys
  }

  #key(): Key {
    const offset = this.#at
    if (this.#peek('"')) return { name: this.#basic(), offset }
    if (this.#peek("'")) return { name: this.#literal(), offset }
    const name = this.#match(/[\w-]+/y)
    if (name === undefined) throw this.#fault('a name is expected')
    return { name, offset }
  }

  #value(depth: number): Node {
    if (depth > DEPTH) throw this.#fault(TOO_DEEP)
    const offset = this.#at
    const plain = (type: 'string' | 'number' | 'boolean', value: unknown): Node => ({
      ...node(type, offset),
      length: this.#at - offset,
      value,
    })
    if (this.#take('"""')) return plain('string', this.#lines('"""'))
    if (this.#take("'''")) return plain('string', this.#lines("'''"))
    if (this.#peek('"')) return plain('string', this.#basic())
    if (this.#peek("'")) return plain('string', this.#literal())
    if (this.#peek('[')) return this.#array(depth)
    if (this.#peek('{')) return this.#inline(depth)
    const word = this.#match(/[\w+.:-]+(?: \d\d:[\d:.+-]+(?:Z|\b))?/y) ?? ''
    if (word === 'true' || word === 'false') return plain('boolean', word === 'true')
    if (DATE.test(word)) return plain('string', word)
    const number = numberOf(word)
    if (number !== undefined) return plain('number', number)
    this.#at = offset
    throw this.#fault(word ? 'strings are written in quotes' : 'a value is expected')
  }

  #array(depth: number): Node {
    const array = node('array', this.#at, [])
    this.#take('[')
    for (this.#blank(true); !this.#take(']'); this.#blank(true)) {
      const item = this.#value(depth + 1)
      item.parent = array
      array.children!.push(item)
      this.#blank(true)
      if (!this.#take(',') && !this.#peek(']')) throw this.#fault('a "," or "]" is missing')
    }
    array.length = this.#at - array.offset
    return array
  }

  #inline(depth: number): Node {
    const table = this.#table(this.#at, { by: 'headed' })
    this.#take('{')
    for (this.#blank(true); !this.#take('}'); this.#blank(true)) {
      this.#pair(table, table, depth + 1)
      this.#blank(true)
      if (!this.#take(',') && !this.#peek('}')) throw this.#fault('a "," or "}" is missing')
    }
    table.length = this.#at - table.offset
    this.#close(table)
    return table
  }

  /** Nothing more can be written in a table that has ended. */
  #close(table: Node): void {
    this.#origins.delete(table)
    for (const inner of this.#members.get(table)!.values()) {
      if (this.#origins.has(inner)) this.#close(inner)
    }
  }

  #basic(): string {
    const begin = this.#at
    this.#take('"')
    // One pattern for all of it would give up on a long string, without a word.
    while (this.#match(/[^"\\\n\r]+|\\./y) !== undefined);
    if (!this.#take('"')) throw this.#fault(NO_QUOTE)
    return this.#unescaped(this.#text.slice(begin + 1, this.#at - 1), begin)
  }

  #literal(): string {
    const quoted = this.#match(/'[^'\n\r]*'/y)
    if (quoted === undefined) throw this.#fault(NO_QUOTE)
    return this.#printable(quoted.slice(1, -1), this.#at - quoted.length)
  }

  /** A string of several lines, behind its opening quotes. */
  #lines(quotes: '"""' | "'''"): string {
    const offset = this.#at
    this.#match(/\r?\n/y)
    const begin = this.#at
    const end = quotes === '"""' ? /(?<!\\)(?:\\\\)*"""(?:""?(?!"))?/g : /'''(?:''?(?!'))?/g
    end.lastIndex = begin
    const found = end.exec(this.#text)
    if (!found) throw this.#fault(NO_QUOTE, offset)
    this.#at = end.lastIndex
    const content = this.#text.slice(begin, this.#at - 3).replaceAll('\r\n', '\n')
    if (quotes === "'''") return this.#printable(content, offset)
    // A backslash at the end of a line takes all blanks up to the next word.
    return this.#unescaped(content.replace(/(?<!\\)((?:\\\\)*)\\[ \t]*\n\s*/g, '$1'), offset)
  }

  #unescaped(text: string, offset: number): string {
    return this.#printable(text, offset).replace(
      /\\(u[\da-fA-F]{4}|U[\da-fA-F]{8}|x[\da-fA-F]{2}|.|$)/gs,
      (_, code: string) => {
        const simple = ESCAPES[code]
        if (simple !== undefined) return simple
        const point = /^[uUx]./.test(code) ? Number.parseInt(code.slice(1), 16) : -1
        const isScalar = point >= 0 && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff)
        if (isScalar) return String.fromCodePoint(point)
        throw this.#fault("a backslash is written twice, or the string in ' quotes", offset)
      },
    )
  }

  #printable(text: string, offset: number): string {
    if (!/[\0-\x08\x0b-\x1f\x7f]/.test(text)) return text
    throw this.#fault(
      'a control character; it is written as "\\u" and four hexadecimal digits',
      offset,
    )
  }

  /** Goes on to the next word: on this line, or beyond it and comments. */
  #blank(isBeyond = false): void {
    this.#match(isBeyond ? /\s*(?:#.*\s*)*/y : /[ \t]*/y)
  }

  #lineEnd(): void {
    this.#blank()
    this.#match(/#.*/y)
    if (this.#at < this.#text.length && this.#match(/\r?\n/y) === undefined) {
      throw this.#fault('a new line is expected after a value')
    }
  }

  #peek(token: string): boolean {
    return this.#text.startsWith(token, this.#at)
  }

  #take(token: string): boolean {
    if (!this.#peek(token)) return false
    this.#at += token.length
    return true
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const [found] = pattern.exec(this.#text) ?? []
    if (found !== undefined) this.#at += found.length
    return found
  }

  #expect(token: string, called: string): void {
    this.#blank()
    if (!this.#take(token)) throw this.#fault(`${called} is expected`)
  }

  #table(offset: number, origin: { by: Origin; within?: Node }): Node {
    const table = node('object', offset, [])
    this.#origins.set(table, origin)
    this.#members.set(table, new Map())
    return table
  }

  #member(table: Node, name: string): Node | undefined {
    return this.#members.get(table)!.get(name)
  }

  #add(table: Node, { name, offset }: Key, value: Node): Node {
    const property = node('property', offset, [])
    const key = { ...node('string', offset), value: name, parent: property }
    property.children!.push(key, value)
    property.parent = table
    value.parent = property
    table.children!.push(property)
    this.#members.get(table)!.set(name, value)
    return value
  }

  #twice(offset: number): SyntaxFault {
    return this.#fault('this is there already; write each table and name once', offset)
  }

  #fault(what: string, offset = this.#at): SyntaxFault {
    // At the end of the file the line that counts is the last one with something on it.
    const last = this.#text.trimEnd().length
    return new SyntaxFault(Math.min(offset, last), `not TOML: ${what}`)
  }
}

function node(type: Node['type'], offset: number, children?: Node[]): Node {
  return { type, offset, length: 0, ...(children && { children }) }
}

const NO_QUOTE = 'a string has no closing quote'
const DATE = /^(?:\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d[\d:.]*(?:Z|[+-]\d\d:\d\d)?)?|\d\d:\d\d[\d:.]*)$/i
const ESCAPES: Record<string, string> = {
  ...{ b: '\b', t: '\t', n: '\n', f: '\f', r: '\r', e: '\x1b' },
  ...{ '"': '"', '\\': '\\' },
}

const INTEGER =
  /^(?:[+-]?(?:0|[1-9](?:_?\d)*)|0x[\da-f](?:_?[\da-f])*|0o[0-7](?:_?[0-7])*|0b[01](?:_?[01])*)$/i
const FLOAT = /^[+-]?(?:0|[1-9](?:_?\d)*)(?:\.\d(?:_?\d)*)?(?:e[+-]?\d(?:_?\d)*)?$/i

function numberOf(word: string): number | undefined {
  const special = /^([+-]?)(inf|nan)$/.exec(word)
  if (special) return Number(`${special[2] === 'nan' ? 'NaN' : `${special[1]}Infinity`}`)
  if (INTEGER.test(word) || FLOAT.test(word)) return Number(word.replaceAll('_', ''))
  return undefined
}
