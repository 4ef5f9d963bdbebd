/** Which tools clients see under which names, and whose they are: the older gateways' tables, and our own. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import * as v from 'valibot'
import { ServerSchema } from '../../src/config/server.ts'
import { type Catalog, merge, settled } from '../../src/routing/catalog.ts'
import { exposed, fitted, matches, mayExpand, uriFilter } from '../../src/routing/names.ts'
import { rulesOf } from '../../src/routing/rules.ts'
import { Json } from '../../src/rpc/json.ts'
import type { List } from '../../src/upstream/lists.ts'

type Options = Partial<v.InferInput<typeof ServerSchema>>

const list = (...entries: (string | Record<string, unknown>)[]): List =>
  entries.map((entry) => {
    const whole =
      typeof entry === 'string' ? { name: entry, inputSchema: { type: 'object' } } : entry
    return { key: String(whole.name), json: Json.of(whole) }
  })

interface Server {
  tools: List
  options?: Options
}

/** What the aggregate shows of these servers. */
function aggregate(servers: Record<string, Server>, tools?: string[]): Catalog<string> {
  const isMerged = Object.keys(servers).length > 1
  const parts = Object.entries(servers).map(([owner, { tools: list, options }]) => {
    const config = v.parse(ServerSchema, { command: 'x', ...options })
    const rules = rulesOf(owner, config, { isMerged, isAggregate: true, tools })['tools/list']
    return { owner, list, rules: rules! }
  })
  return merge(parts.filter(({ rules }) => rules))
}

/** `exposed → server/original`, in the order of the list. */
const shown = ({ items }: Catalog<string>) =>
  Object.fromEntries(items.map(({ exposed, owner, original }) => [exposed, `${owner}/${original}`]))

/** A second server, so that there is something to merge. */
const OTHER: Server = { tools: list('o'), options: { tools: { prefix: '' } } }
const alone = (tools: List, options?: Options) =>
  shown(aggregate({ s: { tools, ...(options ? { options } : {}) }, other: OTHER }))

describe('the mapping of the pooling gateway (its prefix, stripPrefix, rename, include and exclude)', () => {
  test.each<[string, NonNullable<Options['tools']>, Record<string, string>]>([
    ['no mapping: as they are', { prefix: '' }, { a: 's/a', b: 's/b' }],
    ['prefix', { prefix: 'zhipu' }, { zhipu_a: 's/a', zhipu_b: 's/b' }],
    ['stripPrefix: false, which never adds it', { prefix: '' }, { a: 's/a', b: 's/b' }],
    ['rename is seen by clients', { prefix: 'p', rename: { a: 'x' } }, { p_x: 's/a', p_b: 's/b' }],
    ['rename without prefix', { prefix: '', rename: { a: 'x' } }, { x: 's/a', b: 's/b' }],
    ['include', { prefix: '', allow: ['a'] }, { a: 's/a' }],
    ['include, by original names', { prefix: 'p', allow: ['p_a'] }, {}],
    ['include, exactly', { prefix: '', allow: ['A'] }, {}],
    ['exclude', { prefix: '', block: ['a'] }, { b: 's/b' }],
    ['exclude beats include', { prefix: '', allow: ['a', 'b'], block: ['a'] }, { b: 's/b' }],
    [
      'filters look at what was renamed',
      { prefix: '', allow: ['a'], rename: { a: 'x' } },
      { x: 's/a' },
    ],
    ['another separator', { prefix: 'p', separator: '__' }, { p__a: 's/a', p__b: 's/b' }],
  ])('%s', (_, tools, wanted) => {
    const seen = alone(list('a', 'b'), { tools })
    delete seen.o
    expect(seen).toEqual(wanted)
  })

  test('a name is never taken apart: two servers, one the prefix of the other', () => {
    const seen = aggregate({ a: { tools: list('b_c') }, a_b: { tools: list('c', 'd') } })
    expect(shown(seen)).toEqual({ a_b_c: 'a/b_c', a_b_d: 'a_b/d' })
    expect(seen.notices).toEqual([
      { owner: 'a_b', text: '"c" is hidden: another is called a_b_c already' },
    ])
  })

  test('a later duplicate does not replace an earlier one', () => {
    const options = { tools: { prefix: '' } }
    const seen = aggregate({
      first: { tools: list('t'), options },
      second: { tools: list('t'), options },
    })
    expect(shown(seen)).toEqual({ t: 'first/t' })
  })
})

describe('the tool filter of the proxying gateway', () => {
  test.each<[string, NonNullable<Options['tools']>, string[]]>([
    ['none', {}, ['read', 'write', 'Read']],
    ['mode allow keeps exactly those listed', { allow: ['read'] }, ['read']],
    ['mode block drops exactly those listed', { block: ['read'] }, ['write', 'Read']],
    ['names that are not there change nothing', { block: ['nothing'] }, ['read', 'write', 'Read']],
    ['no trimming', { allow: [' read'] }, []],
    ['an empty block list hides nothing', { block: [] }, ['read', 'write', 'Read']],
    ['an empty allow list of our own means what it says', { allow: [] }, []],
    ['patterns, which it did not have', { allow: ['*rite', 'R*'] }, ['write', 'Read']],
  ])('%s', (_, tools, wanted) => {
    const seen = alone(list('read', 'write', 'Read'), { tools: { ...tools, prefix: '' } })
    delete seen.o
    expect(Object.keys(seen)).toEqual(wanted)
  })
})

describe('where servers are merged', () => {
  test('the name of the server goes before the names of its tools', () => {
    const seen = aggregate({ git: { tools: list('log') }, 'my.fs': { tools: list('ls') } })
    expect(shown(seen)).toEqual({ git_log: 'git/log', my_fs_ls: 'my.fs/ls' })
  })

  test('order is that of the configuration and of the servers', () => {
    const seen = aggregate({ z: { tools: list('b', 'a') }, y: { tools: list('c') } })
    expect(seen.items.map(({ exposed }) => exposed)).toEqual(['z_b', 'z_a', 'y_c'])
  })

  test('names that not every client takes are fitted, and told of', () => {
    const seen = aggregate({ s: { tools: list('a b', '🔥', '🚀', 'x'.repeat(80)) }, other: OTHER })
    const names = seen.items.map(({ exposed }) => exposed)
    expect(new Set(names).size).toBe(5)
    for (const name of names) expect(name).toMatch(/^[\w-]{1,64}$/)
    expect(names[0]).toBe('s_a_b')
    expect(seen.notices).toHaveLength(4)
    expect(seen.notices[0]!.text).toBe('"a b" is called s_a_b: not every client takes s_a b')
  })

  test('an entry that strict clients refuse is mended, or left out and told of', () => {
    const tools = list(
      { name: 'bare' },
      { name: 'nulls', description: null, annotations: null, inputSchema: { type: 'object' } },
      { name: 'typeless', inputSchema: { properties: {} } },
      { name: 'odd', inputSchema: 'none' },
      { name: 'array', inputSchema: { type: 'array' } },
    )
    const seen = aggregate({ s: { tools }, other: OTHER })
    expect(seen.items.slice(0, -1).map(({ json }) => json.get())).toEqual([
      { name: 's_bare', inputSchema: { type: 'object' } },
      { name: 's_nulls', inputSchema: { type: 'object' } },
      { name: 's_typeless', inputSchema: { properties: {}, type: 'object' } },
    ])
    expect(seen.notices.map(({ text }) => text)).toEqual([
      '"odd" is hidden: no client could read its entry',
      '"array" is hidden: no client could read its entry',
    ])
  })

  test('unknown members and numbers stay as they came', () => {
    const text = '{"x-new":[1.0,9007199254740993],"inputSchema":{"type":"object"},"name":"t"}'
    const tools = [{ key: 't', json: Json.parse(text) }]
    const [item] = aggregate({ s: { tools }, other: OTHER }).items
    expect(item!.json.text).toBe(text.replace('"name":"t"', '"name":"s_t"'))
  })

  test('a client that narrows sees what it named, by exposed names', () => {
    const seen = aggregate({ s: { tools: list('a', 'b', 'c d') }, other: OTHER }, ['s_a', 's_c*'])
    expect(shown(seen)).toEqual({ s_a: 's/a', s_c_d: 's/c d' })
  })
})

describe('where one server is alone', () => {
  test('names stay as they are, however odd', () => {
    const seen = aggregate({
      s: { tools: list('a b', '🔥'), options: { tools: { block: ['x'] } } },
    })
    expect(Object.keys(shown(seen))).toEqual(['a b', '🔥'])
  })

  test('a prefix that was written down counts, and the name of the server does not', () => {
    const prefixed = aggregate({ s: { tools: list('a'), options: { tools: { prefix: 'p' } } } })
    expect(shown(prefixed)).toEqual({ p_a: 's/a' })
    expect(
      rulesOf('s', v.parse(ServerSchema, { command: 'x' }), { isMerged: false, isAggregate: true }),
    ).toEqual({})
  })
})

describe('overrides', () => {
  const schema = {
    type: 'object',
    properties: { q: { type: 'string' }, n: { type: 'integer' }, key: { type: 'string' } },
    required: ['q', 'n', 'key'],
    'x-own': 1,
  }
  const override = {
    title: 'Search',
    description: 'Finds.',
    annotations: { readOnlyHint: true },
    defaults: { n: 5 },
    pinned: { key: 'k', deep: { a: 1 } },
  }
  const options = { tools: { prefix: '', override: { find: override } } }
  const tools = list({ name: 'find', annotations: { title: 'x' }, inputSchema: schema })

  test('change what is said of a tool; pinned arguments are not seen, defaults need not be given', () => {
    const [item] = aggregate({ s: { tools, options }, other: OTHER }).items
    expect(item!.json.get<unknown>()).toEqual({
      name: 'find',
      annotations: { title: 'x', readOnlyHint: true },
      inputSchema: {
        type: 'object',
        properties: { q: { type: 'string' }, n: { type: 'integer', default: 5 } },
        required: ['q'],
        'x-own': 1,
      },
      title: 'Search',
      description: 'Finds.',
    })
  })

  test.each<[string, string | undefined, unknown]>([
    ['no arguments', undefined, { n: 5, key: 'k', deep: { a: 1 } }],
    ['arguments that are none', 'null', { n: 5, key: 'k', deep: { a: 1 } }],
    ['a default is kept away', '{"n":7}', { n: 7, key: 'k', deep: { a: 1 } }],
    ['a pinned one is not', '{"key":"mine"}', { key: 'k', n: 5, deep: { a: 1 } }],
  ])('settle arguments: %s', (_, given, wanted) => {
    const args = settled(given === undefined ? undefined : Json.parse(given), override)
    expect(args.get<unknown>()).toEqual(wanted)
  })

  test('an argument given twice is refused, whatever is pinned', () => {
    expect(() => settled(Json.parse('{"key":1,"key":2}'), override)).toThrow('there twice')
  })
})

describe('patterns', () => {
  test.each([
    ['a', 'a', true],
    ['a', 'ab', false],
    ['*', '', true],
    ['a*', 'a', true],
    ['*a', 'ba', true],
    ['a*a', 'a', false],
    ['a*b*c', 'a-b-c', true],
    ['a*b*c', 'a-c-b', false],
    ['**', 'x', true],
    ['a.c', 'abc', false],
  ])('%s, %s: %p', (pattern, text, wanted) => expect(matches(pattern, text)).toBe(wanted))

  test('agree with the regular expression they stand for', () => {
    const piece = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 8 })
    const text = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 12 })
    fc.assert(
      fc.property(piece, text, (pattern, text) => {
        const expression = new RegExp(`^${pattern.replaceAll('*', '.*')}$`)
        expect(matches(pattern, text)).toBe(expression.test(text))
      }),
      { numRuns: 1_000 },
    )
  })

  test.each([
    ['file:///{path}', 'file:///etc/passwd', true],
    ['test://template/{id}/data', 'test://template/7/data', true],
    ['test://template/{id}/data', 'test://template/7', false],
    ['db://{table}{?limit,offset}', 'db://users?limit=1', true],
    ['x://*/{a}', 'x:///1', true],
    ['x://{a', 'x://{a', true],
  ])('a template: %s, %s: %p', (template, uri, wanted) =>
    expect(mayExpand(template, uri)).toBe(wanted),
  )
})

describe('resources by their URIs', () => {
  test.each([
    ['secret://*', 'secret://1', false],
    ['secret://*', 'SECRET://1', false],
    ['secret://*', 'public://secret://1', true],
    ['file:///a/*', 'file:///b/../a/1', false],
    ['file:///a/*', 'file:///b/%2e%2e/a/1', false],
    ['file:///a/*', 'file:///b%2F..%2fa/1', false],
    ['file:///a/*', 'file:///b\\..\\a\\1', false],
    ['file:///a/*', 'file:/a/1', false],
    ['file:///a/*', 'file:////a/1', false],
    ['file:///a/*', 'file://LOCALHOST/a/1', false],
    ['file:///a/*', 'file:///./a/1', false],
    ['file:///%61/*', 'file:///a/1', false],
    ['db://{table}/rows', 'db://users/rows', false],
    ['db://{table}/rows', 'db://{table}/rows', false],
    ['db://{table}/rows', 'db://users', true],
    ['db://*/{id}', 'db://users/7', false],
    ['x', 'x://%zz%ff', true],
  ])('block %s, %s: %p', (pattern, uri, wanted) =>
    expect(uriFilter({ block: [pattern] })(uri)).toBe(wanted),
  )

  test.each([
    ['file:///a/*', 'file:///a/1', true],
    ['file:///a/*', 'file:///a/../b', false],
    ['file:///a/*', 'file:///a/%2e%2e/b', false],
    ['file:///a/*', 'file:///a/..%2Fb', false],
    ['file:///a/*', 'file:///a/b/../1', true],
    ['file:///a/', 'file:///a/', true],
    ['file:///a%20b/*', 'file:///a%20b/1', true],
    ['https://*.example.com/*', 'https://www.example.com/a?b=../..#c', true],
    ['https://h', 'https://h', true],
    ['docs://{page}', 'docs://intro', true],
    ['docs://{page}', 'docs://{page}', true],
    ['*secret*', 'file:///etc/secrets', true],
    ['urn:a:*', 'urn:a:1', true],
    ['no uri', 'no uri', true],
  ])('allow %s, %s: %p', (pattern, uri, wanted) =>
    expect(uriFilter({ allow: [pattern], block: [] })(uri)).toBe(wanted),
  )
})

test('fitted names fit, are always the same, and stay as they are if they can', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 100 }), (name) => {
      const fit = fitted(name)
      expect(fit).toMatch(/^[\w-]{1,64}$/)
      expect(fitted(name)).toBe(fit)
      expect(fitted(fit)).toBe(fit)
    }),
  )
  expect(fitted('read-file_2')).toBe('read-file_2')
})

test('what is exposed under a name leads back to it, by table', () => {
  const names = fc.uniqueArray(fc.string({ maxLength: 6 }), { maxLength: 8 })
  fc.assert(
    fc.property(names, names, (first, second) => {
      const seen = aggregate({
        a: { tools: list(...first.filter(Boolean)) },
        b: { tools: list(...second.filter(Boolean)) },
      })
      for (const item of seen.items) expect(seen.find(item.exposed)).toBe(item)
      expect(new Set(seen.items.map(({ exposed }) => exposed)).size).toBe(seen.items.length)
    }),
  )
})

test('a name of Object.prototype is a name like any other', () => {
  const naming = { block: [], prefix: '', separator: '_', rename: {} }
  expect(exposed('constructor', naming)).toBe('constructor')
  expect(
    shown(aggregate({ s: { tools: list('toString', '__proto__') }, other: OTHER })),
  ).toMatchObject({
    s_toString: 's/toString',
    s___proto__: 's/__proto__',
  })
})
