/**
 * Arbitrary JSON as text, together with where its parts are: values would have lost what these tests are about.
 *
 * Texts are put together from parts whose length is known, so that nothing here depends on a parser.
 */
import fc from 'fast-check'

/** A member as it is written: all white space, and the name with its quotes and escapes. */
export interface Member {
  name: string
  value: string
  /** Around the name and around the value. */
  space: [string, string, string, string]
}

export interface Element {
  value: string
  space: [string, string]
}

export const space: fc.Arbitrary<string> = fc.constantFrom('', '', '', ' ', '\n', '\t', ' \r\n\t ')

const character = fc.oneof(
  { weight: 5, arbitrary: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }) },
  fc.constantFrom('a', 'é', '\u2028', '\u2029', '\u007f', '\ufeff', '\u00a0', '😀', '/', '{', '}'),
  fc.constantFrom(',', ':', '[', ']', '"', '\\'),
)

/** As it must be written inside of a string, or in one of the ways in which it may be. */
const written = fc.oneof(
  character.map((c) => (c === '"' || c === '\\' ? `\\${c}` : c.replace(/["\\\x00-\x1f]/g, '?'))),
  fc.constantFrom('\\"', '\\\\', '\\/', '\\b', '\\f', '\\n', '\\r', '\\t'),
  fc.constantFrom('\\u0041', '\\u006e', '\\u0022', '\\u005c', '\\u005C', '\\u0000', '\\u2028'),
  fc.constantFrom('\\ud83d', '\\uDE00', '\\ud83d\\ude00', '\\ufeff'),
)

const string = fc.array(written, { maxLength: 60, size: 'max' }).map((all) => `"${all.join('')}"`)

const number = fc.oneof(
  fc.constantFrom('0', '-0', '1', '1.0', '-1', '9007199254740993', '-9223372036854775808', '1e400'),
  fc.constantFrom('18446744073709551615', '0.1e-400', '1E5', '0e0', '-0.0E+00', '123456789e-3'),
  fc.stringMatching(/^-?(0|[1-9]\d{0,30})(\.\d{1,30})?([eE][+-]?\d{1,4})?$/),
)

const name = fc.oneof(
  string,
  fc.constantFrom('"name"', '"\\u006eame"', '"nam\\u0065"', '"id"', '"\\u0069d"', '"_meta"'),
  fc.constantFrom('""', '"__proto__"', '"constructor"', '"toString"', '"a"', '"b"', '"name "'),
)

/** One value, without white space around it. */
export const { value } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'medium', maxDepth: 6, withCrossShrink: true },
    fc.oneof(fc.constantFrom('true', 'false', 'null'), number, string),
    elementsOf(tie('value')).map((elements) => array(elements)),
    membersOf(tie('value')).map((members) => object(members)),
    fc.tuple(tie('value'), nesting(30)).map(([inner, wrap]) => wrap(inner)),
  ),
}))

export const members = membersOf(value)
export const elements = elementsOf(value)

/** Puts a value inside of up to so many arrays and objects. */
export function nesting(levels: number): fc.Arbitrary<(inner: string) => string> {
  const layers = [
    ['[', ']'],
    ['{"a":', '}'],
    ['[1, ', ' ,"]"]'],
    ['{"}": "{" ,"b":', ',"c":[]}'],
    ['[\n\t', '\r ]'],
  ] as const
  const layer = fc.constantFrom(...layers)
  return fc
    .tuple(fc.array(layer, { minLength: 1, maxLength: 5 }), fc.nat(levels))
    .map(([cycle, depth]) => (inner) => {
      const all = Array.from({ length: depth }, (_, i) => cycle[i % cycle.length]!)
      const open = all.map(([before]) => before).join('')
      const close = all.map(([, after]) => after)
      return open + inner + close.reverse().join('')
    })
}

export function object(members: readonly Member[], empty = ''): string {
  const all = members.map(
    ({ name, value, space: [a, b, c, d] }) => `${a}${name}${b}:${c}${value}${d}`,
  )
  return `{${members.length > 0 ? all.join(',') : empty}}`
}

export function array(elements: readonly Element[], empty = ''): string {
  const all = elements.map(({ value, space: [a, b] }) => `${a}${value}${b}`)
  return `[${elements.length > 0 ? all.join(',') : empty}]`
}

/** What a name means. */
export function meaning(name: string): string {
  return JSON.parse(name) as string
}

function membersOf(value: fc.Arbitrary<string>): fc.Arbitrary<Member[]> {
  const member = fc.record({ name, value, space: fc.tuple(space, space, space, space) })
  return fc.array(member, { maxLength: 6 })
}

function elementsOf(value: fc.Arbitrary<string>): fc.Arbitrary<Element[]> {
  return fc.array(fc.record({ value, space: fc.tuple(space, space) }), { maxLength: 6 })
}
