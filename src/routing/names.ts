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
  return matches(template.replaceAll('*', '').replace(/\{[^{}]*\}/g, '*'), uri)
}
