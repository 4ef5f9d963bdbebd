/** A text is taken exactly if it is one JSON value, and what is not asked to change does not. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { DuplicateMemberError, Json, keyAt, layout, MAX_DEPTH } from '../../src/rpc/json.ts'
import {
  array,
  elements,
  type Member,
  meaning,
  members,
  nesting,
  object,
  space,
  value,
} from './texts.ts'

const isJson = (text: string) => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

const isTaken = (text: string) => {
  try {
    layout(text)
    return true
  } catch (error) {
    if (error instanceof SyntaxError) return false
    throw error
  }
}

/** Told at once, so that a failure shows the text and not two booleans. */
const verdict = (text: string, taken: boolean) =>
  `${taken ? 'taken' : 'refused'}: ${JSON.stringify(text)}`

function sameVerdict(text: string) {
  expect(verdict(text, isTaken(text))).toBe(verdict(text, isJson(text)))
}

/** All texts of up to so many tokens. */
function* words(tokens: readonly string[], longest: number): Generator<string> {
  yield ''
  if (longest === 0) return
  for (const rest of words(tokens, longest - 1)) for (const token of tokens) yield token + rest
}

const thrown = (act: () => unknown): unknown => {
  try {
    act()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

describe('a text is taken if JSON.parse takes it, and refused if not:', () => {
  test('whatever is JSON', () => {
    fc.assert(
      fc.property(space, value, space, (before, text, after) => {
        expect(isJson(text)).toBe(true)
        expect(Json.parse(before + text + after).text).toBe(before + text + after)
      }),
      { numRuns: 400 },
    )
  })

  test('JSON with something wrong in it', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        ...'{}[],:"\\0123456789.eE+-tfnu /\'\n\t\0\x1f\x7f\x0b\u00a0\ufeff\u2028\ud800',
      ),
      fc.constantFrom(
        '\\u',
        '\\u12',
        '\\x',
        'null',
        'NaN',
        'Infinity',
        'undefined',
        '//',
        '01',
        '.5',
      ),
      value,
    )
    const change = fc.record({ at: fc.nat(), remove: fc.nat(3), insert: piece, cut: fc.nat(9) })
    fc.assert(
      fc.property(value, fc.array(change, { minLength: 1, maxLength: 3 }), (text, changes) => {
        for (const { at, remove, insert, cut } of changes) {
          const here = at % (text.length + 1)
          text =
            cut === 0
              ? text.slice(0, here)
              : text.slice(0, here) + insert + text.slice(here + remove)
        }
        sameVerdict(text)
      }),
      { numRuns: 2500 },
    )
  })

  test('two values after one another', () => {
    const between = fc.constantFrom('', ' ', ',', '\n', ':', '}', ']', '},', '],', '"')
    fc.assert(
      fc.property(value, between, value, (one, separator, two) => {
        sameVerdict(one + separator + two)
        sameVerdict(`[${one}${separator}${two}]`)
        sameVerdict(`{"a":${one}${separator}${two}}`)
      }),
      { numRuns: 300 },
    )
  })

  test('every beginning of a value', () => {
    fc.assert(
      fc.property(elements, (all) => {
        const text = array(all).slice(0, 300)
        for (let end = 0; end <= text.length; end++) sameVerdict(text.slice(0, end))
      }),
      { numRuns: 60 },
    )
  })

  test.each<[string, string, readonly string[], number, string]>([
    ['of all structure', '', ['{', '}', '[', ']', ',', ':', '""', '1'], 6, ''],
    ['of characters', '', [...'[]{},:"1 -'], 5, ''],
    ['in an object', '{"a":1', [...',"a:1{}[]'], 5, '}'],
    ['in an array', '[1', [...',[]"0 t{'], 5, ']'],
    ['of numbers', '', [...'01-+.eE'], 5, ''],
    ['of numbers in an array', '[', [...'01-+.e,'], 5, ']'],
    ['in a string', '"', [...'\\"u0aAn\n'], 5, '"'],
    ['in an escape', '"\\', [...'u0aFg"\\'], 5, '"'],
    ['of literals', '', ['null', 'true', 'false', 'n', 'u', 'l', 't', 'e', ' ', ','], 4, ''],
  ])('all short texts %s', (_, before, tokens, longest, after) => {
    let wrong: string | undefined
    for (const word of words(tokens, longest)) {
      const text = before + word + after
      if (isTaken(text) !== isJson(text)) wrong ??= text
    }
    expect(wrong).toBeUndefined()
  })

  test('strings with any character, plain, escaped, or in the number of an escape', () => {
    for (let code = 0; code < 0x180; code++) {
      const c = String.fromCharCode(code)
      for (const inside of [c, `\\${c}`, `\\u${c}000`, `\\u000${c}`]) sameVerdict(`"${inside}"`)
    }
  })

  // Short strings are looked through, longer ones searched: what ends one must be seen on both sides.
  test('strings of every length, with an escape or a fault at every place', () => {
    let wrong: string | undefined
    for (let length = 0; length < 60; length++) {
      for (let at = 0; at <= length; at++) {
        for (const piece of ['"', '\\"', '\\\\', '\\\\"', '\\\\\\"', '\\', '\\q', '\n', '\\u00']) {
          const string = `${'x'.repeat(at)}${piece}${'x'.repeat(length - at)}`
          for (const text of [`"${string}"`, `{"${string}":1}`, `["${string}","b"]`]) {
            if (isTaken(text) !== isJson(text)) wrong ??= text
          }
        }
      }
    }
    expect(wrong).toBeUndefined()
  })

  test.each(['\ufeff{}', '\u00a0{}', '{}\u2028', '\v1', '\f1', '', ' ', '\0', '{}\0', "{'a':1}"])(
    'what only looks like white space or quotes: %j is refused',
    (text) => {
      expect(isTaken(text)).toBe(false)
    },
  )

  test('a fault is told with its place', () => {
    expect(() => layout('{"a":nul}')).toThrow('unexpected "n" at position 5')
    expect(() => layout('[1,2')).toThrow('unexpected the end at position 4')
    expect(() => layout('["abc')).toThrow('string at position 1 does not end')
    expect(() => layout('["a\\x"]')).toThrow('unexpected "x" at position 4')
  })
})

describe('nesting', () => {
  test.each([
    ['arrays', '[', '1', ']'],
    ['empty arrays', '[', '', ']'],
    ['objects', '{"a":', '1', '}'],
    ['indented arrays', '[\n', '1', '\n]'],
  ])('of %s is taken to the last permitted level, and no further', (_, open, inner, close) => {
    const text = (levels: number) => open.repeat(levels) + inner + close.repeat(levels)
    expect(isTaken(text(MAX_DEPTH))).toBe(true)
    expect(isJson(text(MAX_DEPTH + 1))).toBe(true)
    expect(() => layout(text(MAX_DEPTH + 1))).toThrow(`deeper than ${MAX_DEPTH}`)
    expect(isTaken(text(1_000_000))).toBe(false)
    // What was refused leaves nothing behind.
    expect(layout('[[{}],{}]').spans).toEqual([1, 5, 6, 8])
  })

  test('with brackets that do not match is refused at every level', () => {
    for (const levels of [1, 10, 999, MAX_DEPTH]) {
      const open = '['.repeat(levels)
      const close = ']'.repeat(levels - 1)
      expect(isTaken(`${open}${close}}`)).toBe(false)
      expect(isTaken(`${open}}${close}`)).toBe(false)
      expect(isTaken(`${open}${close}]]`)).toBe(false)
    }
  })

  test('of all kinds, thousands of levels deep, hides nothing of the outermost level', () => {
    fc.assert(
      fc.property(value, nesting(3000), value, (inner, wrap, other) => {
        const deep = wrap(inner)
        expect(Json.parse(`{"a":${deep},"b":${other}}`).member('a')?.text).toBe(deep)
        expect(Json.parse(`{"a":${deep},"b":${other}}`).member('b')?.text).toBe(other)
        sameVerdict(`${deep}]`)
        sameVerdict(deep.slice(0, -1))
      }),
      { numRuns: 100 },
    )
  })
})

describe('the parts of a value', () => {
  test('of an object are its members: names without quotes, values without white space', () => {
    fc.assert(
      fc.property(space, members, space, (before, all, empty) => {
        const spans: number[] = []
        let text = `${before}{`
        for (const [i, { name, value, space }] of all.entries()) {
          text += (i > 0 ? ',' : '') + space[0]
          spans.push(text.length + 1, text.length + name.length - 1)
          text += `${name}${space[1]}:${space[2]}`
          spans.push(text.length, text.length + value.length)
          text += value + space[3]
        }
        text += `${all.length > 0 ? '' : empty}}${empty}`
        expect(text).toBe(`${before}${object(all, empty)}${empty}`)
        expect(layout(text)).toEqual({ kind: 'object', spans })
        const names = all.map((_, i) => keyAt(text, spans[i * 4]!, spans[i * 4 + 1]!))
        expect(names).toEqual(all.map(({ name }) => meaning(name)))
      }),
      { numRuns: 400 },
    )
  })

  test('of an array are its elements', () => {
    fc.assert(
      fc.property(space, elements, space, (before, all, empty) => {
        const spans: number[] = []
        let text = `${before}[`
        for (const [i, { value, space }] of all.entries()) {
          text += (i > 0 ? ',' : '') + space[0]
          spans.push(text.length, text.length + value.length)
          text += value + space[1]
        }
        text += `${all.length > 0 ? '' : empty}]${empty}`
        expect(text).toBe(`${before}${array(all, empty)}${empty}`)
        expect(layout(text)).toEqual({ kind: 'array', spans })
      }),
      { numRuns: 300 },
    )
  })

  test.each(['1', ' "{}" ', 'null', '-0.0e1', '"[1,2]"'])('of %s are none', (text) => {
    expect(layout(text)).toEqual({ kind: 'scalar', spans: [] })
  })

  test.each([
    ['without escapes', 'x'.repeat(2 ** 20)],
    ['of backslashes', '\\\\'.repeat(2 ** 19)],
    ['of quotes', '\\"'.repeat(2 ** 19)],
    ['of brackets and commas', '{"a":[,]}'.replaceAll('"', '\\"').repeat(2 ** 16)],
    ['of characters beyond ASCII', 'é\u2028😀'.repeat(2 ** 18)],
  ])('are found around a megabyte %s', (_, inside) => {
    const text = `{"${inside}":1,"s":"${inside}","t":["${inside}"],"u":2}`
    const json = Json.parse(text)
    expect(json.member('s')!.text).toHaveLength(inside.length + 2)
    expect(json.member('t')!.text.slice(0, 3)).toBe(`["${inside[0]}`)
    expect(json.member('u')!.text).toBe('2')
    expect(isTaken(`${text.slice(0, -4)}2}`)).toBe(false)
  })
})

/** A name that may be there: once, several times, or not at all. */
const asked = (all: Member[]) =>
  fc.oneof(
    fc.constantFrom('name', 'id', '_meta', '__proto__', '', 'nobody'),
    ...(all.length > 0 ? [fc.constantFrom(...all.map(({ name }) => meaning(name)))] : []),
  )
const question = members.chain((all) => fc.tuple(fc.constant(all), asked(all), space, space, space))

describe('a member', () => {
  test('is the very text that stands there; undefined if there is none; refused if there are two', () => {
    fc.assert(
      fc.property(question, ([all, name, before, empty, after]) => {
        const json = Json.parse(before + object(all, empty) + after)
        const fitting = all.filter((member) => meaning(member.name) === name)
        if (fitting.length > 1) expect(() => json.member(name)).toThrow(DuplicateMemberError)
        else expect(json.member(name)?.text).toBe(fitting[0]?.value)
      }),
      { numRuns: 400 },
    )
  })

  test.each([
    ['it is spelled with escapes', String.raw`{"\u006eame":1}`, 'name', '1'],
    ['it is deeper down', '{"a":{"name":1},"b":"name"}', 'name', undefined],
    ['another one begins like it', '{"name ":1,"names":2,"nam":3}', 'name', undefined],
    ['it is the name of a value', '{"a":"name","name":"a"}', 'name', '"a"'],
    ['it is __proto__', '{"__proto__":{"name":1}}', '__proto__', '{"name":1}'],
    ['it would be inherited', '{"a":1}', 'toString', undefined],
    ['it is a lone surrogate', String.raw`{"\ud83d":1,"\ude00":2}`, '\ude00', '2'],
    ['it has a quote in it', String.raw`{"a\"b":1}`, 'a"b', '1'],
    ['there is an array instead', '["name",1]', 'name', undefined],
    ['there is an array with such an element', '[1,2]', '1', undefined],
    ['there is a string instead', '"name"', 'name', undefined],
    ['there is null instead', 'null', 'name', undefined],
  ])('is found, or not, where %s', (_, text, name, found) => {
    expect(Json.parse(text).member(name)?.text).toBe(found)
  })

  test.each([
    ['plainly', '{"id":1,"a":2,"id":1}'],
    ['with an escape', String.raw`{"id":1,"\u0069d":1}`],
    ['with escapes alone', String.raw`{"\u0069d":1,"i\u0064":2}`],
  ])('that is there twice, %s, is refused by name', (_, text) => {
    const error = thrown(() => Json.parse(text).member('id'))
    expect(error).toBeInstanceOf(DuplicateMemberError)
    expect(error).toMatchObject({ message: 'the member "id" is there twice' })
    expect(thrown(() => Json.parse(text).with('id', 3))).toBeInstanceOf(DuplicateMemberError)
    expect(Json.parse(text).with('b', 3).text).toBe(`${text.slice(0, -1)},"b":3}`)
  })
})

describe('setting a member', () => {
  test('changes that member, or adds it at the end, and no other byte', () => {
    fc.assert(
      fc.property(question, value, ([all, name, before, empty, after], set) => {
        const json = Json.parse(before + object(all, empty) + after)
        const fitting = all.filter((member) => meaning(member.name) === name)
        if (fitting.length > 1) {
          expect(() => json.with(name, 1)).toThrow(DuplicateMemberError)
          return
        }
        const { text } = json.with(name, Json.parse(set))
        const comma = all.length > 0 ? ',' : ''
        const expected =
          fitting.length === 1
            ? object(
                all.map((member) => (member === fitting[0] ? { ...member, value: set } : member)),
              )
            : `${object(all, empty).slice(0, -1)}${comma}${JSON.stringify(name)}:${set}}`
        expect(text).toBe(before + expected + after)
        expect(isTaken(text)).toBe(true)
        expect(json.text).toBe(before + object(all, empty) + after)
      }),
      { numRuns: 400 },
    )
  })

  test('twice to different values is like setting it once', () => {
    fc.assert(
      fc.property(members, value, value, (all, one, two) => {
        fc.pre(!all.some(({ name }) => meaning(name) === 'x'))
        const json = Json.parse(object(all))
        const once = json.with('x', Json.parse(two)).text
        expect(json.with('x', Json.parse(one)).with('x', Json.parse(two)).text).toBe(once)
      }),
      { numRuns: 150 },
    )
  })

  test('takes values of ours as they are', () => {
    const json = Json.parse(' { } ')
    expect(json.with('a', { b: [1, 'ü"'] }).text).toBe(' { "a":{"b":[1,"ü\\""]}} ')
    expect(json.with('a"\n', null).text).toBe(String.raw` { "a\"\n":null} `)
    expect(json.with('__proto__', 0).text).toBe(' { "__proto__":0} ')
  })

  test.each(['[]', '1', '"{}"', 'null', '[{"a":1}]'])('of %s is impossible', (text) => {
    expect(() => Json.parse(text).with('a', 1)).toThrow(TypeError)
  })

  test.each([[undefined], [() => 1], [Symbol('s')]])('to %p is impossible', (nothing) => {
    expect(() => Json.of(nothing)).toThrow(TypeError)
    expect(() => Json.parse('{"a":1}').with('a', nothing)).toThrow(TypeError)
  })
})

describe('a value that is put into an envelope stays inside of it', () => {
  test.each([
    '{},"result":{},"id":7}',
    '{}},"id":7',
    '{}}',
    '{},',
    '{} {}',
    '{"a":"},"id":7}',
    '1,"id":7',
    '"a","id":7',
    '"\\","id":7',
    '"\\\\","id":7',
    ',"id":7',
    '',
    '{}\0',
    '{}//',
    'nul',
    '{}\n{"jsonrpc":"2.0"}',
  ])('%j is refused', (text) => {
    expect(() => Json.parse(text)).toThrow(SyntaxError)
  })

  test('whatever tokens it is made of', () => {
    const tokens = fc.constantFrom(
      ...['{}', '{', '}', '[', ']', ',', ':', '"', '\\', '\\"', '""', '"a"', '"id":7', '"a":'],
      ...[',"id":7', ',"id":7}', '},"id":7', ' ', '\n', '1', '0', '-', 'true', '{"a":1}', '[1]'],
    )
    let taken = 0
    fc.assert(
      fc.property(fc.array(tokens, { minLength: 1, maxLength: 8 }), (all) => {
        const text = all.join('')
        sameVerdict(text)
        if (!isTaken(text)) return
        taken++
        const envelope = JSON.parse(`{"jsonrpc":"2.0","id":1,"result":${text}}`)
        expect(Object.keys(envelope)).toEqual(['jsonrpc', 'id', 'result'])
        expect(envelope.id).toBe(1)
      }),
      { numRuns: 3000 },
    )
    expect(taken).toBeGreaterThan(100)
  })
})

describe('a Json', () => {
  test('of a Json is that Json, of anything else its JSON', () => {
    const json = Json.parse('1.0')
    expect(Json.of(json)).toBe(json)
    expect(Json.of({ a: [undefined, 1], b: undefined }).text).toBe('{"a":[null,1]}')
    expect(Json.of('\ud800').text).toBe('"\\ud800"')
    expect(Json.parse('{"a":[1.0]}').get<unknown>()).toEqual({ a: [1] })
  })

  test.each([
    ['{}', true],
    [' \r\n\t{"a":1}', true],
    ['[{}]', false],
    ['"{"', false],
    [' 1', false],
    ['null', false],
  ])('%j: is it an object? %p', (text, is) => {
    expect(Json.parse(text).isObject).toBe(is)
  })
})
