/**
 * JSON kept as the text it arrived in.
 *
 * Member order, unknown members, 64-bit integers, `1.0` and escapes survive because nothing is ever re-serialised: a
 * change is a splice. What surprises: a `Json` is *proved* to be exactly one value before it exists, because a slice
 * that closes early (`{},"id":7`) would let its author write into the message around it.
 */

/** A JSON value as text. Parsed only if somebody asks, changed only by splicing. Immutable. */
export class Json {
  readonly text: string
  /** Where the member is that was looked for last: who reads one is likely to set it next. */
  #last: { name: string; start: number; end: number } | undefined

  private constructor(text: string) {
    this.text = text
  }

  /** @throws {SyntaxError} unless `text` is exactly one JSON value (RFC 8259). */
  static parse(text: string): Json {
    layout(text)
    return new Json(text)
  }

  /**
   * The JSON of a value of our own.
   *
   * @throws {TypeError} if it has none, as `undefined`.
   */
  static of(value: unknown): Json {
    if (value instanceof Json) return value
    const text: string | undefined = JSON.stringify(value)
    if (text === undefined) throw new TypeError(`${typeof value} cannot be said in JSON`)
    return new Json(text)
  }

  /** The slice of a text that {@link layout} has found to be a value. */
  static slice(text: string, start: number, end: number): Json {
    return new Json(text.slice(start, end))
  }

  /** The parsed value. Numbers beyond 2^53 and duplicate members are lost here, and only here. */
  get<T>(): T {
    return JSON.parse(this.text) as T
  }

  get isObject(): boolean {
    return this.text.charCodeAt(0) === OPEN_BRACE || /^\s*\{/.test(this.text)
  }

  /**
   * A member of this object; undefined if there is none, or this is no object.
   *
   * @throws {DuplicateMemberError} if it is there twice: whoever reads the text next might take the other one.
   */
  member(name: string): Json | undefined {
    const at = this.#find(name)
    return at && Json.slice(this.text, at.start, at.end)
  }

  /**
   * This object with one member set, in its place or else at the end. All other bytes stay.
   *
   * @throws {DuplicateMemberError} if the member is there twice.
   * @throws {TypeError} if this is no object.
   */
  with(name: string, value: unknown): Json {
    const { text } = this
    const set = Json.of(value).text
    const at = this.#find(name)
    if (at) return new Json(text.slice(0, at.start) + set + text.slice(at.end))
    if (!this.isObject) throw new TypeError(`cannot set "${name}": not a JSON object`)
    const close = text.lastIndexOf('}')
    const comma = layout(text).spans.length > 0 ? ',' : ''
    return new Json(
      `${text.slice(0, close)}${comma}${JSON.stringify(name)}:${set}${text.slice(close)}`,
    )
  }

  /**
   * This object without one member.
   *
   * @throws {DuplicateMemberError} if the member is there twice.
   */
  without(name: string): Json {
    if (!this.#find(name)) return this
    const { text } = this
    const { spans } = layout(text)
    const kept: string[] = []
    for (let i = 0; i < spans.length; i += 4) {
      const key = text.slice(spans[i]!, spans[i + 1]!)
      if (keyAt(text, spans[i]!, spans[i + 1]!) === name) continue
      kept.push(`"${key}":${text.slice(spans[i + 2]!, spans[i + 3]!)}`)
    }
    return new Json(`{${kept.join(',')}}`)
  }

  /** The elements of this array; undefined if it is none. */
  elements(): Json[] | undefined {
    const { kind, spans } = layout(this.text)
    if (kind !== 'array') return undefined
    const found: Json[] = []
    for (let i = 0; i < spans.length; i += 2)
      found.push(Json.slice(this.text, spans[i]!, spans[i + 1]!))
    return found
  }

  /** The names of this object's members; none if it is no object. */
  names(): string[] {
    const { kind, spans } = layout(this.text)
    const found: string[] = []
    if (kind !== 'object') return found
    for (let i = 0; i < spans.length; i += 4) found.push(keyAt(this.text, spans[i]!, spans[i + 1]!))
    return found
  }

  #find(name: string): { start: number; end: number } | undefined {
    const { text } = this
    if (this.#last?.name === name) return this.#last
    // Most objects asked for a member lack it: a native search is a tenth of a scan. An escape could spell the name.
    if (!text.includes(name) && !text.includes('\\')) return undefined
    const { kind, spans } = layout(text)
    if (kind !== 'object') return undefined
    let found: { name: string; start: number; end: number } | undefined
    for (let i = 0; i < spans.length; i += 4) {
      if (keyAt(text, spans[i]!, spans[i + 1]!) !== name) continue
      if (found) throw new DuplicateMemberError(name)
      found = { name, start: spans[i + 2]!, end: spans[i + 3]! }
    }
    this.#last = found
    return found
  }
}

/** Two members of one object bear the name that somebody decides by. */
export class DuplicateMemberError extends Error {
  override name = 'DuplicateMemberError'
  constructor(member: string) {
    super(`the member "${member}" is there twice`)
  }
}

/** Where the parts of a value lie in its text, one level deep. */
export interface Layout {
  kind: 'object' | 'array' | 'scalar'
  /** Object: `key start, key end, value start, value end` per member, keys without quotes. Array: `start, end`. */
  spans: number[]
}

/** A member's name, from its place in a {@link Layout}. */
export function keyAt(text: string, start: number, end: number): string {
  const key = text.slice(start, end)
  return key.includes('\\') ? (JSON.parse(`"${key}"`) as string) : key
}

/** Deeper nesting is refused: parsers behind us recurse. */
export const MAX_DEPTH = 10_000

/**
 * Proves that a text is exactly one JSON value, and says where its members or elements lie.
 *
 * Costs about half of `JSON.parse`, since it builds nothing and leaps over long strings with native searches. It is one
 * flat loop because that is what the compiler makes fast: cut into functions it takes three times as long.
 *
 * @throws {SyntaxError} naming the position of the first fault.
 */
export function layout(text: string): Layout {
  // The leaps below look at neither: control characters are rare (indented JSON), escapes common.
  if (CONTROL.test(text)) JSON.parse(text)
  checkEscapes(text)

  const end = text.length
  const spans: number[] = []
  let depth = 0
  let container = 0
  let kind: Layout['kind'] = 'scalar'
  let expected = VALUE
  let start = 0
  let at = 0

  while (at < end) {
    const c = text.charCodeAt(at)
    if (c === SPACE || c === NEWLINE || c === RETURN || c === TAB) {
      at++
      continue
    }
    if (c === QUOTE) {
      if (expected === SEPARATOR) throw unexpected(text, at)
      const string = at++
      // Names and short values end soon: looking costs less than a native search.
      let near = 0
      for (const limit = at + 24; at < limit; at++) {
        near = text.charCodeAt(at)
        if (near === QUOTE || near === BACKSLASH) break
      }
      if (near !== QUOTE) at = closingQuote(text, string, at)
      at++
      if (expected === NAME || expected === FIRST_NAME) {
        if (depth === 1) spans.push(string + 1, at - 1)
        while (isSpace(text.charCodeAt(at))) at++
        if (text.charCodeAt(at) !== COLON) throw unexpected(text, at)
        at++
        if (depth === 1) start = at
        expected = VALUE
        continue
      }
    } else if (c === COMMA) {
      if (expected !== SEPARATOR || container === 0) throw unexpected(text, at)
      at++
      if (depth === 1) start = at
      expected = container === OPEN_BRACE ? NAME : VALUE
      continue
    } else if (c === OPEN_BRACE || c === OPEN_BRACKET) {
      if (expected !== VALUE && expected !== FIRST_VALUE) throw unexpected(text, at)
      if (depth === MAX_DEPTH) throw new SyntaxError(`nested deeper than ${MAX_DEPTH}`)
      if (depth === 0) kind = c === OPEN_BRACE ? 'object' : 'array'
      around[depth++] = container
      container = c
      expected = c === OPEN_BRACE ? FIRST_NAME : FIRST_VALUE
      at++
      if (depth === 1) start = at
      continue
    } else if (c === CLOSE_BRACE || c === CLOSE_BRACKET) {
      // In ASCII the closing brackets follow their opening ones by two.
      if (expected === VALUE || expected === NAME || c !== container + 2) throw unexpected(text, at)
      container = around[--depth]!
      at++
    } else {
      if (expected !== VALUE && expected !== FIRST_VALUE) throw unexpected(text, at)
      at = endOfScalar(text, at, c)
    }
    expected = SEPARATOR
    if (depth === 1) {
      while (isSpace(text.charCodeAt(start))) start++
      spans.push(start, at)
    }
  }
  if (expected !== SEPARATOR || depth > 0) throw unexpected(text, end)
  return { kind, spans }
}

/** The containers around the current one. Scratch space of one call: a fresh array would be a third of a small text's cost. */
const around = new Uint8Array(MAX_DEPTH)

// What may come next, white space aside.
const VALUE = 0
const FIRST_VALUE = 1 // or the end of the array
const NAME = 2
const FIRST_NAME = 3 // or the end of the object
const SEPARATOR = 4 // a comma, or the end of whatever is open

const TAB = 9
const NEWLINE = 10
const RETURN = 13
const SPACE = 32
const QUOTE = 34
const PLUS = 43
const COMMA = 44
const MINUS = 45
const DOT = 46
const ZERO = 48
const NINE = 57
const COLON = 58
const OPEN_BRACKET = 91
const BACKSLASH = 92
const CLOSE_BRACKET = 93
const OPEN_BRACE = 123
const CLOSE_BRACE = 125

const CONTROL = /[\x00-\x1f]/
const ESCAPE = /["\\/bfnrt]|u[\dA-Fa-f]{4}/y

function isSpace(c: number): boolean {
  return c === SPACE || c === NEWLINE || c === RETURN || c === TAB
}

/** Wherever they stand: outside of strings a backslash is no JSON at all. */
function checkEscapes(text: string): void {
  for (let at = text.indexOf('\\'); at >= 0; at = text.indexOf('\\', at + 2)) {
    const c = text.charCodeAt(at + 1)
    if (c === 110 || c === QUOTE || c === BACKSLASH) continue // n: these three are nearly all there are
    ESCAPE.lastIndex = at + 1
    if (!ESCAPE.test(text)) throw unexpected(text, at + 1)
  }
}

/** The first quote from `at` on that no backslash escapes. */
function closingQuote(text: string, string: number, at: number): number {
  for (let quote = text.indexOf('"', at); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let slashes = quote
    while (text.charCodeAt(slashes - 1) === BACKSLASH) slashes--
    if ((quote - slashes) % 2 === 0) return quote
  }
  throw new SyntaxError(`the string at position ${string} does not end`)
}

function endOfScalar(text: string, at: number, first: number): number {
  if (first === 116 && text.startsWith('true', at)) return at + 4
  if (first === 102 && text.startsWith('false', at)) return at + 5
  if (first === 110 && text.startsWith('null', at)) return at + 4

  const whole = first === MINUS ? at + 1 : at
  at = endOfDigits(text, whole)
  if (text.charCodeAt(whole) === ZERO && at > whole + 1) throw unexpected(text, whole + 1)
  if (text.charCodeAt(at) === DOT) at = endOfDigits(text, at + 1)
  if ((text.charCodeAt(at) | 32) === 101) {
    const sign = text.charCodeAt(at + 1)
    at = endOfDigits(text, sign === PLUS || sign === MINUS ? at + 2 : at + 1)
  }
  return at
}

function endOfDigits(text: string, at: number): number {
  const first = at
  let c = text.charCodeAt(at)
  while (c >= ZERO && c <= NINE) c = text.charCodeAt(++at)
  if (at === first) throw unexpected(text, at)
  return at
}

function unexpected(text: string, at: number): SyntaxError {
  const found = at < text.length ? JSON.stringify(text[at]) : 'the end'
  return new SyntaxError(`unexpected ${found} at position ${at}`)
}
