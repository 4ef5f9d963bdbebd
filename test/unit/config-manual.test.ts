/** What the schema tells its readers, against what is taken and refused. */
import { describe, expect, test } from 'bun:test'
import { default as Ajv } from 'ajv/dist/2020.js'
import { parse as parseJsonc } from 'jsonc-parser'
import { EXAMPLE } from '../../src/commands/copy.ts'
import { jsonSchema, markdown } from '../../src/config/manual.ts'
import { parseConfig } from '../../src/config/parse.ts'
import { README, withReference } from '../support/reference.ts'

const schema = jsonSchema()
const validate = new Ajv({ strict: true, allowUnionTypes: true, validateFormats: false }).compile(
  schema as object,
)
const readme = await Bun.file(README).text()

function faults(config: unknown): string[] {
  validate(config)
  return (validate.errors ?? []).map(({ instancePath, message, params }) =>
    [instancePath, message, params.additionalProperty].filter(Boolean).join(' '),
  )
}

/** The configurations of the README. */
const examples = [...readme.matchAll(/^```jsonc?\n(.*?)^```/gms)]
  .map(([, text]) => text!)
  .filter((text) => text.includes('"mcpServers"'))
const env = { GITHUB_TOKEN: 'x', DOCS_TOKEN: 'y' }

describe('the JSON Schema', () => {
  test('is one of 2020-12, with a description for every option', () => {
    expect(schema.$schema).toBe('https://json-schema.org/draft/2020-12/schema')
    const { gateway, mcpServers } = schema.properties as Record<string, typeof schema>
    expect(gateway).toMatchObject({ additionalProperties: false })
    expect(mcpServers?.additionalProperties).toMatchObject({ additionalProperties: false })
    const text = JSON.stringify(schema)
    expect(text).toContain('"default":4298')
    expect(text).toContain('Tokens that clients may come with')
  })

  test('takes what the README shows, and so do we', () => {
    expect(examples.length).toBeGreaterThanOrEqual(2)
    for (const text of examples) {
      expect(faults(parseJsonc(text, [], { allowTrailingComma: true }))).toEqual([])
      expect(() => parseConfig(text, 'README', { env })).not.toThrow()
    }
  })

  test('takes the example that we write', () => {
    expect(faults(parseJsonc(EXAMPLE, [], { allowTrailingComma: true }))).toEqual([])
    const { config, warnings, format } = parseConfig(EXAMPLE, 'example')
    expect([config.disabled, warnings, format]).toEqual([['github', 'docs'], [], undefined])
  })

  const server = (options: object) => ({ mcpServers: { a: { command: 'x', ...options } } })

  test.each<[string, unknown]>([
    ['a secret in a variable', server({ env: { A: { env: 'B' }, C: 'd' } })],
    [
      'a secret in a file',
      { mcpServers: { a: { url: 'http://b', headers: { A: { file: 'c' } } } } },
    ],
    [
      'tokens',
      {
        auth: { tokens: ['abcd', { env: 'A' }, { token: { file: 'b' }, servers: ['a'] }] },
        mcpServers: {},
      },
    ],
    ['sizes of both kinds', server({ maxMemory: '1GiB', pool: { maxCalls: 1 } })],
    ['origins in capitals', { gateway: { allowedOrigins: ['HTTPS://A'] }, mcpServers: {} }],
    ['a schema', { $schema: './x.json', mcpServers: {} }],
  ])('takes %s', (_, config) => {
    expect(faults(config)).toEqual([])
  })

  test.each<[string, unknown, string]>([
    ['a misspelt section', { mcpServer: {} }, ' mcpServer'],
    [
      'a misspelt option',
      { gateway: { prot: 1 }, mcpServers: {} },
      '/gateway must NOT have additional properties prot',
    ],
    [
      'a misspelt option of a server',
      server({ arg: [] }),
      '/mcpServers/a must NOT have additional properties arg',
    ],
    [
      'a misspelt option inside',
      server({ pool: { max: 1 } }),
      '/mcpServers/a/pool must NOT have additional properties max',
    ],
    ['another type', server({ args: 'x' }), '/mcpServers/a/args must be array'],
    [
      'a secret in two places',
      server({ env: { A: { env: 'B', file: 'c' } } }),
      '/mcpServers/a/env/A must NOT have more than 1 properties',
    ],
    [
      'a name that no server may have',
      { mcpServers: { '../a': { command: 'x' } } },
      '/mcpServers property name must be valid',
    ],
  ])('refuses %s', (_, config, fault) => {
    expect(faults(config).some((text) => text.includes(fault.trim()))).toBe(true)
  })
})

describe('the table of options', () => {
  const options = [...markdown().matchAll(/^\| `([^`]+)` \|/gm)].map(([, option]) => option)

  test('is in the README as it is now: else `npm run reference`', () => {
    expect(withReference(readme)).toBe(readme)
  })

  test('has every option, each once', () => {
    expect(options).toContain('mcpServers.NAME.pool.maxConnections')
    expect(options).toContain('auth.tokens[].token')
    expect(new Set(options).size).toBe(options.length)
    expect(options).toEqual(expect.arrayContaining([...keysIn(schema)]))
  })

  test('says what each means', () => {
    expect(markdown()).not.toMatch(/\| +\|$/m)
  })
})

/** All options but those of references, which may stand wherever a secret may. */
function* keysIn(at: unknown, path = ''): Generator<string> {
  if (typeof at !== 'object' || at === null) return
  const {
    properties = {},
    additionalProperties,
    items,
    anyOf = [],
  } = at as {
    properties?: Record<string, unknown>
    additionalProperties?: unknown
    items?: unknown
    anyOf?: unknown[]
  }
  const isReference = 'env' in properties && 'file' in properties
  for (const [key, inner] of Object.entries(isReference ? {} : properties)) {
    const name = path ? `${path}.${key}` : key
    yield name
    yield* keysIn(inner, name)
  }
  yield* keysIn(additionalProperties, `${path}.${path.endsWith('override') ? 'TOOL' : 'NAME'}`)
  yield* keysIn(items, `${path}[]`)
  for (const one of anyOf) yield* keysIn(one, path)
}
