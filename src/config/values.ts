/** What single options hold: texts, names, numbers and URLs, and why one is refused. */
import * as v from 'valibot'
import { parseRange } from '../addresses.ts'
import { Secret } from '../secret.ts'

export const text = v.pipe(v.string(), v.nonEmpty('must not be empty'))

/** What the operating system takes for a program, an argument, a directory or the value of a variable. */
export const word = v.pipe(v.string(), v.regex(/^[^\0]*$/, 'must not contain a NUL character'))
export const file = v.pipe(
  text,
  v.regex(/^[^\x00-\x1f]*$/, 'must not contain a control character; a backslash is written twice'),
)
export const variable = v.pipe(
  v.string(),
  v.regex(/^[^=\0]+$/, 'the name of a variable is not empty and has no "="'),
)

export const count = (least: number, most = Number.MAX_SAFE_INTEGER) =>
  v.pipe(
    v.number(),
    v.integer('must be a whole number'),
    v.minValue(least, `must be at least ${least}`),
    v.maxValue(most, `must be at most ${most}`),
  )
/** Longer ones would make a timer go off at once. */
export const duration = (least: number) => count(least, 2 ** 31 - 1)

/** In bytes. So little that a missing unit is told, and not taken for a limit. */
const LEAST_SIZE = 2 ** 20
const UNITS = ['b', 'kb', 'mb', 'gb', 'tb']
/** Bytes, or a number with a unit, as `1.5 GiB`. Of "512M" half the world makes powers of ten, the other half of two. */
export const size = v.pipe(
  v.union([v.number(), v.string()]),
  v.check(
    (given) => !Number.isNaN(bytes(given)),
    'must be a number of bytes, or one with a unit: "512MB", "1GiB"',
  ),
  v.transform(bytes),
  v.integer('must be a whole number'),
  v.minValue(LEAST_SIZE, `must be at least ${LEAST_SIZE}; units are written as in "512MB"`),
  v.maxValue(Number.MAX_SAFE_INTEGER, `must be at most ${Number.MAX_SAFE_INTEGER}`),
)

/** NaN if it is none. */
function bytes(given: number | string): number {
  if (typeof given === 'number') return given
  const [, number, unit = 'b'] = /^(\d+(?:\.\d+)?)\s*((?:[kmgt]i?)?b)?$/i.exec(given.trim()) ?? []
  const base = /i/i.test(unit) ? 1024 : 1000
  const power = UNITS.indexOf(unit.toLowerCase().replace('i', ''))
  return Math.round(Number(number) * base ** power)
}

export const host = v.pipe(
  text,
  v.check(
    (name) => /^[\w-]+(\.[\w-]+)*$/.test(name) || isIPv6(name),
    'must be a host name or an IP address, without scheme, port or brackets',
  ),
  v.toLowerCase(),
)
/** `node:net` has one, too, and half a millisecond of every start goes into loading that. */
const isIPv6 = (name: string) => /^[\da-f:.]+$/i.test(name) && URL.canParse(`http://[${name}]`)

/** An address, or those that begin with the same bits. */
export const addressRange = v.pipe(
  v.string(),
  v.check(
    (given) => parseRange(given) !== undefined,
    'must be an IP address, or a range of them: 10.0.0.0/8',
  ),
)

export const origin = v.pipe(
  text,
  v.regex(
    /^[a-z][a-z\d+.-]*:\/\/[^/?#\s]+$/i,
    'must be an origin as browsers send it, without path: https://app.example',
  ),
  v.toLowerCase(),
)
export const httpURL = v.pipe(
  text,
  v.check(
    (url) => /^https?:\/\//i.test(url) && URL.canParse(url),
    'must be a URL that begins with http:// or https://',
  ),
)
/** One that more can be written behind. */
export const baseURL = v.pipe(
  httpURL,
  v.check((text) => {
    const url = URL.parse(text)
    return !/[?#]/.test(text) && !url?.username && !url?.password
  }, 'must be a URL without "?", "#", user or password'),
)

export const headerName = v.pipe(
  v.string(),
  v.regex(/^[!#$%&'*+.^`|~\w-]+$/, 'the name of an HTTP header has no spaces, ":" or "="'),
)
export const headerValue = v.pipe(
  v.string(),
  v.regex(/^[\t\x20-\x7e\x80-\xff]*$/, 'must be a single line of Latin-1 characters'),
)

export const serverName = v.pipe(
  v.string(),
  v.regex(
    /^\w[\w.-]{0,63}$/,
    'a server name has 1 to 64 letters, digits, "_", "." or "-", and does not begin with "." or "-"',
  ),
)

/** What every client takes in the name of a tool. */
export const namePart = (most: number) =>
  v.pipe(
    v.string(),
    v.regex(
      new RegExp(`^[\\w-]{0,${most}}$`),
      `must be of at most ${most} letters, digits, "_" and "-"`,
    ),
  )
export const newName = v.pipe(namePart(64), v.nonEmpty('must not be empty'))

/** An exact name, or one in which `*` stands for anything. A regular expression would match nothing, without a word. */
export const pattern = v.pipe(
  text,
  v.regex(
    /^(?!\^).*(?<!\$)$/s,
    'must be a name, in which "*" may stand for anything, not a regular expression',
  ),
)

/**
 * One of two, told apart by the keys of what is given: its faults are then those of the one that was meant, where
 * `v.union` would only say that it is neither.
 *
 * @param isObject whether what has these keys is meant as the second; what has none is the first.
 */
export function either<A extends v.GenericSchema, B extends v.GenericSchema>(
  plain: A,
  object: B,
  isObject: (keys: string[]) => boolean = () => true,
): v.UnionSchema<[A, B], undefined> & Choice {
  const choose = (keys: string[] | null) => (keys && isObject(keys) ? object : plain)
  return {
    ...v.union([plain, object]),
    choose,
    '~run': (dataset, config) => choose(keysOf(dataset.value))['~run'](dataset, config),
  } as v.UnionSchema<[A, B], undefined> & Choice
}

/** A schema that is one of several. */
export interface Choice {
  choose(keys: string[] | null): v.GenericSchema
}

/** The keys of an object; null for everything else. */
export function keysOf(value: unknown): string[] | null {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isObject ? Object.keys(value) : null
}

/** Where a secret is to be found. */
export const reference = v.pipe(
  v.strictObject({
    env: v.pipe(v.optional(text), v.description('The variable that holds it.')),
    file: v.pipe(v.optional(file), v.description('The file that holds it.')),
  }),
  v.minEntries(1, 'expected {"env": "VARIABLE"} or {"file": "PATH"}'),
  v.maxEntries(1, 'has both "env" and "file"; keep one of them'),
)

/** What editors are told of it: it is not to be shown. */
const SECRET = { writeOnly: true }

/**
 * A text that nobody is to see: as it is, or as a `reference`, which must have been resolved before this is asked.
 *
 * @param checked what the text must be.
 */
export const secret = (checked: v.GenericSchema<string, string>) =>
  v.pipe(
    either(checked, reference),
    v.metadata(SECRET),
    v.check((given) => typeof given === 'string', 'nothing is known of variables or files here'),
    v.transform((given) => new Secret(given as string)),
  )

export function isSecret(schema: v.GenericSchema): boolean {
  const { pipe = [] } = schema as { pipe?: readonly (v.GenericSchema | object)[] }
  return pipe.some(
    (item) =>
      ('metadata' in item && item.metadata === SECRET) ||
      ('pipe' in item && isSecret(item as v.GenericSchema)),
  )
}
