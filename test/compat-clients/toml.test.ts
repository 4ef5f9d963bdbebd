import { describe, expect, test } from 'bun:test'
import { lineAt, plainValue, SyntaxFault } from '../../src/config/document.ts'
import { looksLikeToml, parseToml } from '../../src/config/toml.ts'

/** The line and what is wrong there, or nothing. */
function fault(text: string): string | undefined {
  try {
    parseToml(text)
    return undefined
  } catch (error) {
    if (!(error instanceof SyntaxFault)) throw error
    return `${lineAt(text, error.offset)}: ${error.message}`
  }
}

describe('is read as Bun reads it', () => {
  test.each([
    '',
    'a=1\nb="x"\n[t.u]\nc=[1,2,\n3]\nd={e=1,"f g"=2}\n[[arr]]\nx=1\n[[arr]]\nx=2\n[arr.sub]\ny=1',
    '[a.b]\nc=1\n[a]\nd=2',
    '[a]\nb.c=1\n[a.b.d]\ne=1',
    '"a\\nb"=1\n\'q.r\'.s = 2\n a . "b" \t= 1',
    'a=0xff\nb=1_000\nc=0o7\nd=1e3\ne=-0\nf=+1.5e-3\ng=0b101\nh=9.0\ni=1e06',
    'a="""x\ny"""\nb=\'\'\'z\'\'\'\nc="""\nfirst\n"""',
    'a="""\nx \\\n   y""""\nb="""a\\"""b"""\nc="""a\\\\"""\nd=\'\'\'x\'\'\'\'\'\ne=""""""',
    'a="\\u00e9\\U0001F600\\t\\"\\\\"\nb=\'\\n\'',
    '# c\r\na=1\r\n[b] # d\r\nc=2 # "',
    'a = [ # one\n 1, # two\n\n]\nb = [[1], ["x", {y = true}]]',
    'a = {b.c = 1, d = [ {e=1} ],}\n[x."y z".w]\nv = false',
    '__proto__ = {a=1}\n[x.__proto__]\ny=1',
    `a = "${'\\n'.repeat(300_000)}"`,
  ])('%j', (text) => {
    expect(JSON.stringify(plainValue(parseToml(text)))).toBe(JSON.stringify(Bun.TOML.parse(text)))
  })

  test('and what it lets go through the prototype of an object is kept', () => {
    const value = plainValue(parseToml('constructor.prototype.x = 1'))
    expect(value).toEqual({ constructor: { prototype: { x: 1 } } })
    expect('x' in {}).toBe(false)
  })

  test('but dates are the text that is written, and there are no bounds to numbers', () => {
    const text =
      'a = 1979-05-27T07:32:00Z\nb = 07:32:00\nc = [inf, -inf, nan]\nd = 2020-01-01 10:00:00'
    expect(plainValue(parseToml(text))).toEqual({
      a: '1979-05-27T07:32:00Z',
      b: '07:32:00',
      c: [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN],
      d: '2020-01-01 10:00:00',
    })
  })
})

const TWICE = 'not TOML: this is there already; write each table and name once'

test.each([
  ['a=1\na=2', `2: ${TWICE}`],
  ['[a]\nx=1\n[a]\nx=2', `3: ${TWICE}`],
  ['[a]\nb=1\n[a.b]\nc=1', `3: ${TWICE}`],
  ['[a]\nb.c=1\n[a.b]\nd=1', `3: ${TWICE}`],
  ['a={b=1}\na.c=2', `2: ${TWICE}`],
  ['a={b={c=1}}\n[a.b]\nd=1', `2: ${TWICE}`],
  ['a=[{b=1}]\n[[a]]\nc=1', `2: ${TWICE}`],
  ['[a.b.c]\nz=1\n[a]\nb.d=2', `4: ${TWICE}`],
  ['\na = ', '2: not TOML: a value is expected'],
  ['a=\n1', '1: not TOML: a value is expected'],
  ['a = [1,\n\n', '1: not TOML: a value is expected'],
  ['a = [1\n2]', '2: not TOML: a "," or "]" is missing'],
  ['a = {x = 1 y = 2}', '1: not TOML: a "," or "}" is missing'],
  ['[a', '1: not TOML: a "]" is expected'],
  ['[[a]\nx=1', '1: not TOML: a "]]" is expected'],
  ['[]', '1: not TOML: a name is expected'],
  ['a..b=1', '1: not TOML: a name is expected'],
  ['x y = 1', '1: not TOML: a "=" is expected'],
  ['a=1 b=2', '1: not TOML: a new line is expected after a value'],
  ['a="x"y', '1: not TOML: a new line is expected after a value'],
  ['a="x\n"', '1: not TOML: a string has no closing quote'],
  ['\na="""x\n\n', '2: not TOML: a string has no closing quote'],
  ['a=hunter2', '1: not TOML: strings are written in quotes'],
  ['a=01', '1: not TOML: strings are written in quotes'],
  ['a=1__0', '1: not TOML: strings are written in quotes'],
  ['a="\\z"', "1: not TOML: a backslash is written twice, or the string in ' quotes"],
  ['a="\\ud800"', "1: not TOML: a backslash is written twice, or the string in ' quotes"],
  [
    'a="\0"',
    '1: not TOML: a control character; it is written as "\\u" and four hexadecimal digits',
  ],
  [`x = ${'['.repeat(100_000)}`, deep(1)],
  [`\n${'a.'.repeat(100_000)}b=1`, deep(2)],
  [`a = ${'{a='.repeat(100_000)}`, deep(1)],
])('%.40j is refused at its line, and nothing of it is shown', (text, expected) => {
  expect(fault(text)).toBe(expected)
  expect(() => Bun.TOML.parse(text)).toThrow()
})

function deep(line: number): string {
  return `${line}: not TOML: more than 100 objects and arrays inside one another`
}

test('a text is taken for TOML by its first line', () => {
  const isToml = ['# x\n\n[mcp_servers.a]', '[[a]]', 'model = "x"', '"a".b = 1', '\n [ a ] # x']
  const isNot = ['', '{"a": 1}', '// x\n{}', '[1, 2', 'text', '<html>', '{a = 1}']
  expect(isToml.map(looksLikeToml)).toEqual(isToml.map(() => true))
  expect(isNot.map(looksLikeToml)).toEqual(isNot.map(() => false))
})
