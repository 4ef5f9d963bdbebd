/**
 * How values are written into HTML, so that they stay values wherever they stand.
 *
 * Where no escaping is known to be safe nothing can be put: unquoted attributes, styles, handlers, names of tags. What the
 * author of a template wrote is trusted; what is put there is not.
 */
import { MarkupError, type Place, URLS } from './markup.ts'

/** A URL that was judged where it comes from, and may lead to any program; but never to a script, whoever judged it. */
export class Target {
  readonly url: string

  constructor(url: string) {
    // Browsers leave these characters out.
    this.url = RUNNING.test(url.replace(/[\0-\x20]/g, '')) ? BLOCKED : url
  }
}

/** Schemes of which the URL itself is run, or shown as a page of whoever leads there. */
const RUNNING = /^(?:javascript|vbscript|data):/i
const BLOCKED = '#blocked'

export type Value = string | number | boolean | Target | readonly string[]

/** What values in them mean is not for data to say. */
const CLOSED =
  /^(?:on.*|style|srcdoc|srcset|http-equiv|type|rel|method|formmethod|enctype|formenctype|nonce|integrity|charset|sandbox|xmlns.*|\?)$/

/**
 * How values are written at a place, and the place behind one.
 *
 * @throws {MarkupError} if they cannot be.
 */
export function slot(place: Place): { write: (value: Value) => string; place: Place } {
  if (place.in === 'comment') return { write: () => '', place }
  if (place.in === 'text') {
    if (place.element === 'script') return scriptSlot(place)
    if (place.element === '' || place.element === 'title' || place.element === 'textarea') {
      return { write: (value) => html(textOf(value)), place }
    }
    throw new MarkupError(`no value can stand in <${place.element}>`)
  }
  const { attribute, quote, url, written } = place
  if (place.in !== 'value' && place.in !== 'equals') {
    throw new MarkupError('a value can stand in text and in attributes only')
  }
  if (quote === '') throw new MarkupError(`${attribute}=: write the value in quotes`)
  if (CLOSED.test(attribute))
    throw new MarkupError(`no value can stand in the attribute ${attribute}`)
  if (attribute === 'content') {
    if (!/^\s*\d+\s*;\s*url\s*=\s*$/i.test(written)) {
      throw new MarkupError('in the attribute content a value can only stand behind "0; url="')
    }
    return { write: (value) => html(started(value)), place: { ...place, written: '?' } }
  }
  if (!URLS.has(attribute)) return { write: (value) => html(textOf(value)), place }
  if (url === 'start') {
    return { write: (value) => html(started(value)), place: { ...place, url: 'scheme' } }
  }
  if (url === 'path') return { write: (value) => html(normalized(textOf(value))), place }
  if (url === 'query') return { write: (value) => html(component(textOf(value))), place }
  throw new MarkupError(`${attribute}=: a second value needs a "/" or a "?" before it`)
}

function scriptSlot(place: Place): { write: (value: Value) => string; place: Place } {
  if (place.script === 'code') {
    return { write: (value) => literal(value), place: { ...place, before: ')' } }
  }
  if (place.script === '"' || place.script === "'") {
    return { write: (value) => scriptText(textOf(value)), place }
  }
  throw new MarkupError('in <script> a value can stand in code and in quoted strings only')
}

export function textOf(value: Value): string {
  if (value instanceof Target) return value.url
  return typeof value === 'object' ? value.join(', ') : String(value)
}

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&#34;',
  "'": '&#39;',
  '`': '&#96;',
  '\0': '\ufffd',
}

export function html(text: string): string {
  return text.replace(/[&<>"'`\0]/g, (char) => ENTITIES[char]!)
}

/** The beginning of a URL: only those that lead to pages and mail, unless it was judged. */
function started(value: Value): string {
  const url = textOf(value)
  if (value instanceof Target || !/^[^/?#]*:/.test(url)) return normalized(url)
  return /^(?:https?|mailto):/i.test(url) ? normalized(url) : BLOCKED
}

/** All that a URL cannot hold is encoded, and the rest as it stands. */
function normalized(url: string): string {
  return url
    .toWellFormed()
    .replace(/%(?![\da-f]{2})|[^\w.~:/?#[\]@!$&*+,;=%-]/giu, (char) => component(char))
}

function component(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replace(/[!'()*]/g, (char) => {
    return `%${char.charCodeAt(0).toString(16).toUpperCase()}`
  })
}

/** Letters and digits alone: wherever in a script this really stands, it ends nothing. */
function scriptText(text: string): string {
  return text.replace(/[^a-z\d]/gi, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

function literal(value: Value): string {
  if (typeof value === 'boolean' || typeof value === 'number') return ` ${value} `
  if (typeof value === 'object' && !(value instanceof Target)) {
    return `[${value.map((one) => `"${scriptText(one)}"`).join(',')}]`
  }
  return `"${scriptText(textOf(value))}"`
}
