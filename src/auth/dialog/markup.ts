/**
 * Where in an HTML document a place is: how browsers would read what stands before it.
 *
 * What cannot be told, as of a tag that is cut in the middle of its name, is refused. `escaping.ts` says what can be put where.
 */

/** Plain data: two that are equal member by member are the same place. */
export interface Place {
  in: 'text' | 'open' | 'tag' | 'name' | 'after' | 'equals' | 'value' | 'comment' | 'declaration'
  /** The element whose tag or raw content this is; '' outside. */
  element: string
  attribute: string
  quote: string
  /** Of the attribute, as far as it is of use: see {@link KEPT}. */
  written: string
  /** How far a URL is: whether a scheme could still be said, or whether a query has begun. */
  url: 'start' | 'scheme' | 'path' | 'query'
  script: 'code' | '"' | "'" | '`' | '//' | '/*' | '/'
  /** What code a slash would follow. */
  before: string
  /** What the tag has said of where its form is sent. */
  method: string
}

export const START: Place = {
  in: 'text',
  element: '',
  attribute: '',
  quote: '',
  written: '',
  url: 'start',
  script: 'code',
  before: '',
  method: '',
}

/** What is read of a document: text as it stands, or a place where something of ours belongs. */
export type Piece = string | { ours: 'nonce' | 'fields' | 'base' }

/** What its author did cannot be made safe, or cannot be understood. */
export class MarkupError extends Error {
  override name = 'MarkupError'
  /** Behind so many characters of what was scanned. */
  at = 0
}

/** What the attribute is called while a tag may still be in its name. No attribute is called so. */
const CUT = '<'
/** Elements whose content is not markup. */
const RAW = new Set([
  'script',
  'style',
  'title',
  'textarea',
  'xmp',
  'iframe',
  'noembed',
  'noframes',
])
/** Attributes of which more must be known than where they are. */
const KEPT = new Set(['content', 'method'])
/** Those that hold URLs. */
export const URLS = new Set(
  'action background cite codebase data formaction href icon longdesc manifest ping poster src xlink:href'.split(
    ' ',
  ),
)
/** Reads text of the template from a place on: its pieces, and the place at its end. */
export function scan(text: string, from: Place): { pieces: Piece[]; place: Place } {
  const scanner = new Scanner(text, from)
  scanner.run()
  return { pieces: scanner.pieces, place: scanner.place }
}

class Scanner {
  readonly pieces: Piece[] = []
  place: Place
  readonly #text: string
  #at = 0
  #copied = 0

  constructor(text: string, from: Place) {
    this.#text = text
    this.place = { ...from }
  }

  run(): void {
    try {
      while (this.#at < this.#text.length) this.#step()
    } catch (error) {
      if (error instanceof MarkupError) error.at = this.#at
      throw error
    }
    if (this.place.in !== 'comment') this.#copy(this.#text.length)
  }

  #copy(to: number): void {
    if (to > this.#copied) this.pieces.push(this.#text.slice(this.#copied, to))
    this.#copied = to
  }

  #insert(ours: 'nonce' | 'fields' | 'base'): void {
    this.#copy(this.#at)
    this.pieces.push({ ours })
  }

  /** Moves behind what matches here. */
  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    if (found === undefined || found === '') return undefined
    this.#at += found.length
    return found
  }

  #step(): void {
    const { place } = this
    if (place.in === 'text' && RAW.has(place.element)) this.#raw()
    else if (place.in === 'text') this.#content()
    else if (place.in === 'open') this.#open()
    else if (place.in === 'value') this.#value()
    else if (place.in === 'comment') this.#comment()
    else if (place.in !== 'declaration') this.#tag()
    else if (this.#take(/[^>]*>/y)) place.in = 'text'
    else this.#at = this.#text.length
  }

  /** Comments are for who writes the template. */
  #comment(): void {
    const end = this.#text.indexOf('-->', this.#at)
    this.#at = end === -1 ? this.#text.length : end + 3
    this.#copied = this.#at
    if (end !== -1) this.place.in = 'text'
  }

  #content(): void {
    this.#take(/[^<]+/y)
    if (!this.#text.startsWith('<', this.#at)) return
    if (this.#text.startsWith('<!--', this.#at)) {
      this.#copy(this.#at)
      this.#at += 4
      this.place.in = 'comment'
    } else {
      this.#at++
      this.place.in = 'open'
    }
  }

  /** Behind `<`. */
  #open(): void {
    const { place } = this
    if (this.#take(/[!?]/y)) {
      place.in = 'declaration'
      return
    }
    const name = this.#take(/\/?[a-z][^\s/>]*/iy)?.toLowerCase()
    if (name === undefined) {
      place.in = 'text'
      return
    }
    Object.assign(place, { ...START, in: 'tag', element: name })
    if (this.#at === this.#text.length) Object.assign(place, { in: 'name', attribute: CUT })
    if (name === 'base') throw new MarkupError('<base> would lead forms elsewhere')
    if (name === 'script' || name === 'style') this.#insert('nonce')
  }

  /** Between the name of a tag and its end, but for the values of attributes. */
  #tag(): void {
    const { place } = this
    if (this.#take(/\s+/y)) {
      if (place.in === 'name') place.in = 'after'
      return
    }
    if (this.#take(/>/y)) {
      this.#endTag()
      return
    }
    if (place.in === 'equals') {
      place.quote = this.#take(/["']/y) ?? ''
      Object.assign(place, { in: 'value', written: '', url: 'start' })
      const isOurs = this.#text.startsWith('/oauth/', this.#at)
      if (isOurs && URLS.has(place.attribute) && place.quote) this.#insert('base')
      return
    }
    if ((place.in === 'name' || place.in === 'after') && this.#take(/=/y)) {
      place.in = 'equals'
      return
    }
    if (this.#take(/\//y)) {
      place.in = 'tag'
      return
    }
    const name = this.#take(/[^\s/>=]+|=/y)!.toLowerCase()
    if (place.in === 'name' && place.attribute === CUT) {
      throw new MarkupError(`the tag <${place.element} is cut in its name`)
    }
    // One that a branch has begun is not known.
    place.attribute = place.in === 'name' ? '?' : name
    place.in = 'name'
  }

  #value(): void {
    const { place } = this
    const ends = { '"': /[^"]+/y, "'": /[^']+/y }[place.quote] ?? /[^\s>]+/y
    const part = this.#take(ends) ?? ''
    if (KEPT.has(place.attribute)) place.written += part
    place.url = urlAfter(place.url, part)
    const isEnd = place.quote
      ? this.#take(place.quote === '"' ? /"/y : /'/y) !== undefined
      : this.#at < this.#text.length
    if (!isEnd) return
    if (place.attribute === 'method') place.method = place.written.trim().toLowerCase()
    Object.assign(place, { in: 'tag', attribute: '', quote: '', written: '', url: 'start' })
  }

  #endTag(): void {
    const { element, method } = this.place
    if (element === 'form' && method === 'post') this.#insert('fields')
    this.place = { ...START, element: RAW.has(element) ? element : '' }
  }

  /** Content that ends with its end tag only. */
  #raw(): void {
    const { place } = this
    const { element } = place
    if (!this.#text.startsWith('<', this.#at)) {
      if (element === 'script') this.#script()
      else this.#take(/[^<]+/y)
      return
    }
    const end = new RegExp(`</${element}(?=[\\s/>])`, 'giy')
    if (this.#take(end)) {
      this.place = { ...START, in: 'tag', element: `/${element}` }
      return
    }
    // A value, or nothing, in the middle of an end tag could make it one.
    if (/^<[!/]?[\w-]*$/.test(this.#text.slice(this.#at))) {
      throw new MarkupError(`in <${element}>: "<" at the end of a piece`)
    }
    if (element !== 'script') this.#at++
    else if (!this.#text.startsWith('<!--', this.#at)) this.#script()
    else throw new MarkupError('in <script>: "<!--"')
  }

  #script(): void {
    const { place } = this
    const char = this.#text[this.#at]!
    if (place.script === 'code') {
      const opened = this.#take(/\/\/|\/\*|["'`]/y)
      if (opened) place.script = opened as Place['script']
      else if (char === '/' && isRegExpAfter(place.before)) {
        this.#at++
        place.script = '/'
      } else {
        const code = this.#take(/[\w$]+|\s+|./sy)!
        if (/\S/.test(code)) place.before = code
      }
      return
    }
    this.#at++
    if (place.script === '//') {
      if (/[\n\r\u2028\u2029]/.test(char)) place.script = 'code'
    } else if (place.script === '/*') {
      if (char === '*' && this.#take(/\//y)) place.script = 'code'
    } else if (char === '\\') {
      if (this.#at === this.#text.length) throw new MarkupError('in <script>: "\\" before a value')
      this.#at++
    } else if (place.script === '/' && char === '[') {
      this.#take(/(?:[^\]\\\n]|\\.)*\]/y)
    } else if (char === place.script) {
      Object.assign(place, { script: 'code', before: ')' })
    }
  }
}

function urlAfter(url: Place['url'], part: string): Place['url'] {
  if (url === 'query' || part === '') return url
  if (url === 'start' && /^\s*(?:javascript|vbscript|data):/i.test(part)) return 'scheme'
  if (/[?#]/.test(part)) return 'query'
  if (url === 'start' && part.includes(':')) return 'path'
  // As long as no slash has come, what follows may still be the rest of a scheme.
  return url !== 'path' && !part.includes('/') ? 'scheme' : 'path'
}

/** Whether a slash there begins a regular expression, as far as one can say without parsing. */
function isRegExpAfter(code: string): boolean {
  return /^(?:[^\w$)\]}]|return|typeof|case|in|of|delete|void|throw|new|do|else)?$/.test(code)
}

/** The place where two branches meet again. Undefined if they do not. */
export function meeting(one: Place, other: Place): Place | undefined {
  const [a, b] = [settled(one), settled(other)]
  if (BETWEEN.has(a.in) && BETWEEN.has(b.in) && a.element === b.element && a.method === b.method) {
    // An attribute that only one of them has may still go on behind both.
    const isOpen = a.in === 'name' || b.in === 'name'
    const isCut = [a, b].some((place) => place.in === 'name' && place.attribute === CUT)
    return { ...a, in: isOpen ? 'name' : 'after', attribute: isCut ? CUT : '?' }
  }
  return Object.keys(a).every((key) => a[key as keyof Place] === b[key as keyof Place])
    ? a
    : undefined
}

/** Between the name of a tag and its end, where no value of an attribute is open. */
const BETWEEN = new Set<Place['in']>(['tag', 'name', 'after'])

function settled(place: Place): Place {
  if (place.in === 'text') return { ...place, before: place.script === 'code' ? ')' : '' }
  return place
}
