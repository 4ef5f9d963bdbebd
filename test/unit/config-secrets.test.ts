/** Secrets of a configuration: where they may stand, and that they are shown nowhere. */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { loadConfig } from '../../src/config/load.ts'
import { ConfigError, parseConfig } from '../../src/config/parse.ts'
import type { Config } from '../../src/config/schema.ts'
import { revealed, Secret } from '../../src/secret.ts'
import { folder } from '../lifecycle/program.ts'

const HIDDEN = 'hunter2-s3cr3t'
const FILES: Record<string, string> = { 'token.txt': `${HIDDEN}\n`, 'dos.txt': `${HIDDEN}\r\n` }

const readFile = (path: string) => {
  const text = FILES[path]
  if (text !== undefined) return text
  throw Object.assign(new Error(`ENOENT: open '${path}'`), { code: 'ENOENT' })
}
const world = { env: { TOKEN: HIDDEN, EMPTY: '' }, readFile }

const parse = (config: unknown): Config =>
  parseConfig(JSON.stringify(config), 'c.json', world).config

function complaint(config: unknown): string {
  try {
    parse(config)
    return ''
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
}

const command = (env: unknown, more = {}) => ({
  mcpServers: { a: { command: 'x', env: { V: env }, ...more } },
})
const tokens = (...tokens: unknown[]) => ({
  auth: { tokens },
  mcpServers: { github: { command: 'x' }, fs: { command: 'y', disabled: true } },
})

function variable(reference: unknown): string | undefined {
  const { a } = parse(command(reference)).mcpServers
  return a?.kind === 'command' ? revealed(a.env).V : undefined
}

describe('a secret may be', () => {
  test.each<[string, unknown, string]>([
    ['a variable', { env: 'TOKEN' }, HIDDEN],
    ['a variable that is empty', { env: 'EMPTY' }, ''],
    ['a file, of which the last new line is cut', { file: 'token.txt' }, HIDDEN],
    ['a file of Windows', { file: 'dos.txt' }, HIDDEN],
    ['a file whose name is in a variable', { file: '${NAME:-token.txt}' }, HIDDEN],
  ])('%s', (_, reference, text) => {
    expect(variable(reference)).toBe(text)
  })

  test('in a file that ends in several new lines, of which one is cut', () => {
    const read = { ...world, readFile: () => 'a\n\n' }
    const text = JSON.stringify(command({ file: 'x' }))
    const { a } = parseConfig(text, 'c.json', read).config.mcpServers
    expect(a?.kind === 'command' && revealed(a.env)).toEqual({ V: 'a\n' })
  })

  test('what a file or a variable holds is taken as it is, also if it looks like a variable', () => {
    const read = { env: { A: '${TOKEN}', TOKEN: 'x' }, readFile: () => '${TOKEN}' }
    for (const reference of [{ file: 'x' }, { env: 'A' }]) {
      const text = JSON.stringify(command(reference))
      const { a } = parseConfig(text, 'c.json', read).config.mcpServers
      expect(a?.kind === 'command' && revealed(a.env)).toEqual({ V: '${TOKEN}' })
    }
  })

  test('a header, and a token in both its forms', () => {
    const a = { url: 'https://b', headers: { Authorization: { file: 'token.txt' } } }
    const remote = parse({ mcpServers: { a } }).mcpServers.a
    expect(remote?.kind === 'remote' && revealed(remote.headers)).toEqual({
      Authorization: HIDDEN,
    })
    for (const reference of [{ env: 'TOKEN' }, { file: 'token.txt' }]) {
      for (const token of [reference, { token: reference }]) {
        const { auth } = parse(tokens(token))
        expect(auth.tokens.map(({ token }) => token.reveal())).toEqual([HIDDEN])
      }
    }
  })
})

describe('a secret that is not there is told with its place', () => {
  const V = 'c.json:1: mcpServers.a.env.V'
  test.each<[string, unknown, string]>([
    ['a variable that is not set', { env: 'NONE' }, `${V}: the variable NONE is not set`],
    [
      'a file that is not there',
      { file: 'no.txt' },
      `${V}: the file cannot be read: there is no such file; it is looked for in the folder of the configuration`,
    ],
    ['a variable without name', { env: '' }, `${V}.env: must not be empty`],
    ['a reference to nothing', {}, `${V}: expected {"env": "VARIABLE"} or {"file": "PATH"}`],
    [
      'a reference to two things',
      { env: 'TOKEN', file: 'token.txt' },
      `${V}: has both "env" and "file"; keep one of them`,
    ],
    ['a misspelt reference', { fiel: 'token.txt' }, `${V}.fiel: unknown key; did you mean "file"?`],
    [
      'a number for a file',
      { file: 5 },
      `${V}.file: expected a string, got a number; put it in double quotes`,
    ],
    ['a list', ['TOKEN'], `${V}: expected a string, got an array`],
  ])('%s', (_, reference, message) => {
    expect(complaint(command(reference))).toBe(message)
  })

  test('a token that is not there, in both its forms', () => {
    const told = (at: string) => `c.json:1: auth.tokens[0]${at}: the variable NONE is not set`
    expect(complaint(tokens({ env: 'NONE' }))).toBe(told(''))
    expect(complaint(tokens({ token: { env: 'NONE' } }))).toBe(told('.token'))
  })

  test('a file, where no file can be read', () => {
    const text = JSON.stringify(command({ file: 'a.txt' }))
    expect(() => parseConfig(text, 'c.json')).toThrow(
      `${V}: the file cannot be read: files cannot be read here`,
    )
  })

  test.each([
    ['EACCES', 'permission denied'],
    ['ENAMETOOLONG', 'ENAMETOOLONG'],
  ])('a file that cannot be read: %s', (code, why) => {
    const readFile = () => {
      throw Object.assign(new Error(`${code}: open '/${HIDDEN}'`), { code })
    }
    const text = JSON.stringify(command({ file: '/run/token' }))
    expect(() => parseConfig(text, 'c.json', { readFile })).toThrow(
      new ConfigError(`${V}: the file cannot be read: ${why}`),
    )
  })

  test('but not for a server that is disabled', () => {
    const env = { command: 'x', disabled: true, env: { A: { env: 'NONE' }, B: '${NONE}' } }
    const remote = { url: 'http://b', disabled: true, headers: { A: { file: 'no.txt' } } }
    expect(parse({ mcpServers: { env, remote } }).disabled).toEqual(['env', 'remote'])
  })

  test('what it refers to must be what is wanted there', () => {
    const a = (token: string) => ({ url: 'http://b', headers: { A: token } })
    FILES['lines.txt'] = `${HIDDEN}\n${HIDDEN}\n`
    const told = complaint({
      mcpServers: { a: { ...a(''), headers: { A: { file: 'lines.txt' } } } },
    })
    expect(told).toBe(
      'c.json:1: mcpServers.a.headers.A: must be a single line of Latin-1 characters',
    )
    FILES['short.txt'] = 'abc\n'
    expect(complaint(tokens({ file: 'short.txt' }))).toBe(
      'c.json:1: auth.tokens[0]: must have at least 4 characters',
    )
  })
})

describe('a file with a secret', () => {
  test('is looked for in the folder of the configuration', async () => {
    await using place = await folder({
      'in/c.json': command({ file: 'keys/token' }),
      'in/keys/token': `${HIDDEN}\n`,
    })
    const path = join(place.path, 'in/c.json')
    const { a } = (await loadConfig(path, {})).config.mcpServers
    expect(a?.kind === 'command' && revealed(a.env)).toEqual({ V: HIDDEN })
  })

  test('may be named by an absolute path', async () => {
    await using place = await folder({ token: HIDDEN })
    const path = join(place.path, 'c.json')
    await Bun.write(path, JSON.stringify(command({ file: join(place.path, 'token') })))
    const { a } = (await loadConfig(path, {})).config.mcpServers
    expect(a?.kind === 'command' && revealed(a.env)).toEqual({ V: HIDDEN })
  })

  test('that is a folder is told as such', async () => {
    await using place = await folder({ 'c.json': command({ file: '.' }) })
    const path = join(place.path, 'c.json')
    await expect(loadConfig(path, {})).rejects.toThrow(
      'env.V: the file cannot be read: it is a directory',
    )
  })
})

describe('a secret is never shown', () => {
  const config = {
    auth: { tokens: [HIDDEN, { token: `${HIDDEN}2`, name: 'ci' }] },
    mcpServers: {
      a: { command: 'x', env: { V: HIDDEN, W: { env: 'TOKEN' } } },
      b: { url: 'https://b', headers: { Authorization: `Bearer ${HIDDEN}` } },
    },
  }

  test.each<[string, (config: Config) => string]>([
    ['JSON.stringify', (config) => JSON.stringify(config)],
    ['Bun.inspect, as console.log has it', (config) => Bun.inspect(config, { depth: 20 })],
    [
      'node:util inspect',
      (config) => require('node:util').inspect(config, { depth: 20, showHidden: true }),
    ],
    ['a template string', ({ auth }) => `${auth.tokens[0]?.token}`],
    ['being added to a string', ({ auth }) => `a${String(auth.tokens[0]?.token)}`],
    ['its own members', ({ auth }) => JSON.stringify(Object.entries(auth.tokens[0]?.token ?? {}))],
  ])('by %s', (_, shown) => {
    const parsed = parse(config)
    expect(parsed.auth.tokens[0]?.token).toBeInstanceOf(Secret)
    expect(shown(parsed)).not.toContain(HIDDEN)
  })

  test.each<[string, unknown]>([
    ['a token twice', tokens(HIDDEN, { env: 'TOKEN' })],
    ['a token with an unknown key', tokens({ token: HIDDEN, admn: true })],
    ['a token for a server that there is not', tokens({ token: HIDDEN, servers: ['x'] })],
    ['a token that is too much', tokens({ token: [HIDDEN] })],
    ['a list of lists', tokens([HIDDEN])],
    ['a token where the list is wanted', { auth: { tokens: HIDDEN }, mcpServers: {} }],
    ['a token outside of the list', { auth: { token: HIDDEN }, mcpServers: {} }],
    ['a name that is an object', tokens({ token: HIDDEN, name: { a: HIDDEN } })],
    ['a token in a misspelt section', { auht: { tokens: [HIDDEN] }, mcpServers: {} }],
    ['a secret where the name of its variable belongs', command({ env: HIDDEN })],
    ['a secret where the path of its file belongs', command({ file: HIDDEN })],
    ['a variable and a fault beside it', command(HIDDEN, { args: 5 })],
  ])('in a message: %s', (_, config) => {
    const said = complaint(config)
    expect(said).toStartWith('c.json:1: ')
    expect(said).not.toContain(HIDDEN)
  })

  test.each<[string, unknown]>([
    ['an option that is shown otherwise', { ...command('x'), gateway: { port: '${TOKEN}' } }],
    ['one that is only a part of it', { ...command('x'), gateway: { host: 'a b${TOKEN}' } }],
    ['a URL', { mcpServers: { a: { url: 'ftp://b/${TOKEN}' } } }],
    ['a member of a group', { ...command('x'), groups: { g: ['${TOKEN}'] } }],
    ['a server of a token', tokens({ token: 'abcd', servers: ['a${TOKEN}'] })],
    ['a new name', command('x', { tools: { rename: { a: 'n-${TOKEN}', b: 'n-${TOKEN}' } } })],
  ])('in a message, if it is from a variable: %s', (_, config) => {
    const said = complaint(config)
    expect(said).toStartWith('c.json:1: ')
    expect(said).not.toContain(HIDDEN)
  })
})
