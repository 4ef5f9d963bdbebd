/** Options of the configuration that stand apart: what is left out, who may come, how it listens and logs. */
import { describe, expect, test } from 'bun:test'
import { ConfigError, parseConfig } from '../../src/config/parse.ts'
import type { Config } from '../../src/config/schema.ts'

const parse = (config: unknown): Config => parseConfig(JSON.stringify(config), 'c.json').config

function complaint(config: unknown): string {
  try {
    parse(config)
    return ''
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
}

describe('a server that is disabled', () => {
  const on = { command: 'x' }
  const off = { command: 'y', disabled: true }

  test('is left out, and its name is kept', () => {
    const { mcpServers, disabled } = parse({ mcpServers: { on, off } })
    expect(Object.keys(mcpServers)).toEqual(['on'])
    expect(disabled).toEqual(['off'])
    expect(parse({ mcpServers: { on: { ...on, disabled: false } } }).disabled).toEqual([])
  })

  test('may be in groups, which are left out if nobody else is in them', () => {
    const groups = { both: ['on', 'off'], none: ['off'] }
    expect(parse({ mcpServers: { on, off }, groups }).groups).toEqual({ both: ['on'] })
  })

  test('may be named by a token', () => {
    const { tokens } = parse({
      auth: { tokens: [{ token: 'secret', servers: ['on', 'off'] }] },
      mcpServers: { on, off },
    }).auth
    expect(tokens[0]?.servers).toEqual(['on', 'off'])
  })

  test('collides with nobody, and may have a pool that does not fit', () => {
    const tools = { prefix: '', rename: { a: 'b' } }
    expect(complaint({ mcpServers: { on: { ...on, tools }, off: { ...off, tools } } })).toBe('')
    expect(complaint({ mcpServers: { off: { ...off, pool: { minConnections: 9 } } } })).toBe('')
    const alive = { command: 'y', tools }
    expect(complaint({ mcpServers: { on: { ...on, tools }, alive } })).toContain('becomes "b"')
  })

  test('must still be a server, in words that are known', () => {
    expect(complaint({ mcpServers: { off: { ...off, comand: 'x' } } })).toBe(
      'c.json:1: mcpServers.off.comand: unknown key; did you mean "command"?',
    )
    expect(complaint({ mcpServers: { off: { ...off, disabled: 'yes' } } })).toBe(
      'c.json:1: mcpServers.off.disabled: expected true or false, got "yes"',
    )
  })
})

describe('tokens', () => {
  const config = (...tokens: unknown[]) => ({
    auth: { tokens },
    mcpServers: { github: { command: 'x' }, fs: { command: 'y' } },
  })

  test('are texts, or objects that say what they are good for', () => {
    const { tokens } = parse(
      config(
        'first',
        { token: 'second' },
        { token: 'third', name: 'ci', servers: ['fs'], admin: true },
      ),
    ).auth
    expect(tokens.map(({ token, ...rest }) => ({ ...rest, token: token.reveal() }))).toEqual([
      { token: 'first', admin: false },
      { token: 'second', admin: false },
      { token: 'third', name: 'ci', servers: ['fs'], admin: true },
    ])
  })

  test('are none by default', () => {
    expect(parse({ mcpServers: {} }).auth.tokens).toEqual([])
  })

  const TWICE = 'is there twice; write one token with all its servers'
  test.each<[string, unknown[], string]>([
    ['one that is too short', ['abc'], 'auth.tokens[0]: must have at least 4 characters'],
    ['an empty one', [''], 'auth.tokens[0]: must not be empty'],
    [
      'a number',
      [12345],
      'auth.tokens[0]: expected a string, got a number; put it in double quotes',
    ],
    ['one twice', ['same', 'same'], `auth.tokens[1]: ${TWICE}`],
    ['one twice, as text and object', ['same', { token: 'same' }], `auth.tokens[1]: ${TWICE}`],
    [
      'one for a server that there is not',
      [{ token: 'secret', servers: ['fs', 'gihtub'] }],
      'auth.tokens[0].servers[1]: there is no server "gihtub"; did you mean "github"?',
    ],
    [
      'one for a server that is no text',
      [{ token: 'secret', servers: [5] }],
      'auth.tokens[0].servers[0]: expected a string, got a number; put it in double quotes',
    ],
    [
      'a misspelt key',
      [{ token: 'secret', admn: true }],
      'auth.tokens[0].admn: unknown key; did you mean "admin"?',
    ],
    [
      'a misspelt token',
      [{ tokn: 'secret', admin: true }],
      'auth.tokens[0].tokn: unknown key; did you mean "token"?',
    ],
    [
      'no token at all',
      [{ admin: true }],
      'auth.tokens[0].token: is missing; write "token", the token itself',
    ],
    [
      'a switch that is none',
      [{ token: 'secret', admin: 'true' }],
      'auth.tokens[0].admin: expected true or false, got a string; leave out the quotes',
    ],
  ])('are not: %s', (_, tokens, message) => {
    expect(complaint(config(...tokens))).toBe(`c.json:1: ${message}`)
  })

  test('are in a list', () => {
    expect(complaint({ auth: { tokens: {} }, mcpServers: {} })).toBe(
      'c.json:1: auth.tokens: expected an array […], got an object',
    )
    expect(complaint({ tokens: [], mcpServers: {} })).toBe(
      'c.json:1: tokens: unknown key; it belongs in "auth"',
    )
  })
})

describe('"gateway"', () => {
  const gateway = (options: unknown) => ({ gateway: options, mcpServers: {} })

  test.each<[string, unknown, string]>([
    [
      'a certificate without key',
      { tls: { cert: 'a.pem' } },
      'gateway.tls.key: is missing; write "key", the file with its private key',
    ],
    [
      'a misspelt key',
      { tls: { cert: 'a', kye: 'b' } },
      'gateway.tls.kye: unknown key; did you mean "key"?',
    ],
    [
      'a file without name',
      { tls: { cert: '', key: 'b' } },
      'gateway.tls.cert: must not be empty, got ""',
    ],
    ['a switch for TLS', { tls: true }, 'gateway.tls: expected an object {…}, got true'],
    [
      'a level that there is not',
      { logLevel: 'loud' },
      'gateway.logLevel: expected "debug", "info", "warn", "error", "silent", got "loud"',
    ],
    [
      'asking all the time',
      { pollInterval: 10 },
      'gateway.pollInterval: must be at least 1000, got 10',
    ],
    ['a directory without name', { dataDir: '' }, 'gateway.dataDir: must not be empty, got ""'],
  ])('refuses %s', (_, options, message) => {
    expect(complaint(gateway(options))).toBe(`c.json:1: ${message}`)
  })

  test.each(['debug', 'info', 'warn', 'error', 'silent'] as const)('may log %s', (logLevel) => {
    expect(parse(gateway({ logLevel })).gateway.logLevel).toBe(logLevel)
  })
})

test('variables stay as they are where nobody wants them replaced', () => {
  const a = { command: '${SHELL}', args: ['${NONE}'] }
  const text = JSON.stringify({ mcpServers: { a } })
  const { config } = parseConfig(text, 'c.json', { env: { SHELL: 'sh' }, expandEnv: false })
  expect(config.mcpServers.a).toMatchObject(a)
})
