/**
 * Which of a server's names are shown, and as what. Pure.
 *
 * What is decided here fills tables; nothing is ever recovered by taking an exposed name apart.
 */

/** Which names are shown: original ones, or patterns with `*`. */
export interface Filter {
  readonly allow?: readonly string[] | undefined
  readonly block: readonly string[]
}

export interface Naming extends Filter {
  /** Goes before every name, with the separator between; '' for none. */
  readonly prefix: string
  readonly separator: string
  readonly rename: Readonly<Record<string, string>>
}

/** Whether a filter lets a name through. What is blocked is hidden even if it is allowed. */
export function isShown(original: string, { allow, block }: Filter): boolean {
  if (block.some((pattern) => matches(pattern, original))) return false
  return allow === undefined || allow.some((pattern) => matches(pattern, original))
}

/**
 * The same for resources and templates, by their URIs. A pattern may be a template, and means what that gives. Servers
 * take many spellings for the same resource: one is shown if all of them are, and hidden if one of them is.
 */
export function uriFilter({ allow, block }: Filter): (uri: string) => boolean {
  if (allow === undefined && block.length === 0) return () => true
  const allowed = allow && [covering(allow), covering(allow.map(plain))]
  const blocked = [covering(block), covering(block.map(plain))]
  return (uri) => {
    const spellings = [uri, plain(uri)]
    if (blocked.some((covers, i) => covers(spellings[i]!))) return false
    return allowed === undefined || allowed.every((covers, i) => covers(spellings[i]!))
  }
}

function covering(patterns: readonly string[]): (uri: string) => boolean {
  const all = [...new Set(patterns.flatMap((pattern) => [pattern, expanded(pattern)]))]
  return (uri) => all.some((pattern) => matches(pattern, uri))
}

/** The name that clients see; undefined if they do not see it at all. */
export function exposed(original: string, naming: Naming): string | undefined {
  if (!isShown(original, naming)) return undefined
  const base = Object.hasOwn(naming.rename, original) ? naming.rename[original]! : original
  return naming.prefix === '' ? base : `${naming.prefix}${naming.separator}${base}`
}

/** What every client takes for the name of a tool. */
const FITTING = /^[\w-]{1,64}$/
const LONGEST = 64
const MARK = 8

/**
 * The name itself if every client takes it, else one that they do: short of what does not fit, and marked by a hash if
 * that took more than punctuation, so that it stays distinct. Always the same one for a name.
 */
export function fitted(name: string): string {
  if (FITTING.test(name)) return name
  const plain = name.replace(/[ ./:]/g, '_')
  if (FITTING.test(plain)) return plain
  const mark = new Bun.CryptoHasher('sha256').update(name).digest('hex').slice(0, MARK)
  return `${plain.replace(/[^\w-]+/g, '_').slice(0, LONGEST - MARK - 1)}_${mark}`
}

/** Whether a text is the pattern, in which `*` stands for anything. Takes no more time than the two are long. */
export function matches(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined) return pattern === text
  if (!text.startsWith(first)) return false
  let at = first.length
  for (const part of rest) {
    const found = text.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return text.length - last.length >= at && text.endsWith(last)
}

/**
 * Whether a URI may come from an RFC 6570 template. Of the variables nothing is asked but that the literal parts stand
 * around them: who it belongs to is for its server to say.
 */
export function mayExpand(template: string, uri: string): boolean {
  return matches(expanded(template.replaceAll('*', '')), uri)
}

function expanded(template: string): string {
  return template.replace(/\{[^{}]*\}/g, '*')
}

const URI_PARTS = /^([a-z][a-z\d+.-]*:)?(\/\/[^/?#]*)?([^?#]*)(.*)$/is

/** One spelling for those that servers may take for the same: of letters, escapes, slashes, and steps along the path. */
function plain(uri: string): string {
  const [, scheme = '', authority = '', path = '', rest = ''] = URI_PARTS.exec(uri)!
  const isFile = /^file:$/i.test(scheme) && path.startsWith('/')
  const host = isFile && /^(\/\/localhost)?$/i.test(authority) ? '//' : authority.toLowerCase()
  const [first = '', ...steps] = decoded(path).split(/[/\\]+/)
  const taken: string[] = []
  for (const step of steps) {
    if (step === '..') taken.pop()
    else if (step !== '.') taken.push(step)
  }
  return scheme.toLowerCase() + decoded(host) + [first, ...taken].join('/') + decoded(rest)
}

function decoded(text: string): string {
  return text.replace(/(?:%[\da-f]{2})+/gi, (escapes) => {
    try {
      return decodeURIComponent(escapes)
    } catch {
      return escapes
    }
  })
}
