import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import * as v from 'valibot'
import { DefaultsSchema } from '../../src/config/inherited.ts'
import { EMBEDDED, loadConfig, searchPath } from '../../src/config/load.ts'
import { ConfigError, parseConfig } from '../../src/config/parse.ts'
import {
  type CommandServer,
  type Config,
  ConfigSchema,
  GatewaySchema,
  type RemoteServer,
} from '../../src/config/schema.ts'
import { ServerSchema } from '../../src/config/server.ts'
import { revealed } from '../../src/secret.ts'
import { type Folder, folder } from '../lifecycle/program.ts'

/** The complaint about a configuration, or nothing. */
function complaint(text: string): string {
  try {
    parseConfig(text, 'c.json')
    return ''
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
}

/** Of each, what is given begins on line 3. */
const gateway = (members: string) => `{"mcpServers": {},\n"gateway": {\n${members}\n}}`
const server = (members: string) => `{"mcpServers": {\n"a": {\n${members}\n}}}`
const remote = (members: string) => server(`"url": "https://b/mcp", ${members}`)
const tools = (members: string) => server(`"command": "x", "tools": {${members}}`)
const pool = (members: string) => server(`"command": "x", "pool": {\n${members}\n}`)
const defaults = (members: string, a = '') =>
  `{"mcpServers": {"a": {"command": "x" ${a && `, ${a}`}}},\n"defaults": {\n${members}\n}}`
const groups = (members: string) =>
  `{"mcpServers": {"github": {"command": "x"}, "fs": {"command": "y"}},\n"groups": {\n${members}\n}}`

const parse = (config: unknown, env = {}): Config =>
  parseConfig(JSON.stringify(config), 'c.json', { env }).config

/** How the options are that every server has, if nothing is said of them. */
const ALL = { block: [] }
const PLAIN = {
  tools: { ...ALL, separator: '_', rename: {}, override: {} },
  prompts: { ...ALL, separator: '_', rename: {} },
  resources: ALL,
  timeout: undefined,
  startupTimeout: 60_000,
  maxMemory: undefined,
  maxSessionConnections: 100,
  disabled: false,
  required: false,
  public: false,
}
const POOL = { maxConnections: 5, acquireTimeout: 10_000, idleTimeout: 60_000, queueLimit: 1000 }
const COMMAND = {
  ...PLAIN,
  kind: 'command',
  isolation: 'user',
  pool: { ...POOL, minConnections: 1, concurrency: 1 },
} as const
const REMOTE = {
  ...PLAIN,
  kind: 'remote',
  isolation: 'session',
  pool: { ...POOL, minConnections: 0, concurrency: 16 },
} as const

describe('a good configuration', () => {
  test('gets a default for everything but the command', () => {
    const { gateway, mcpServers, groups } = parse({ mcpServers: { a: { command: 'x' } } })
    // No key is there without a value.
    expect(gateway).toStrictEqual({
      host: '127.0.0.1',
      port: 4298,
      allowUnauthenticated: false,
      allowedHosts: [],
      allowedOrigins: [],
      trustedProxies: [],
      pollInterval: 60_000,
      listTimeout: 10_000,
      maxBodySize: 4_194_304,
      sessionTimeout: 1_800_000,
      streamLifetime: 0,
      maxSessions: 256,
    })
    expect(mcpServers).toEqual({
      a: {
        ...{ ...COMMAND, command: 'x' },
        ...{ args: [], env: {}, inheritEnv: false, cwd: undefined },
      },
    })
    expect(groups).toEqual({})
  })

  test('or the URL', () => {
    const { a } = parse({ mcpServers: { a: { url: 'https://b/mcp' } } }).mcpServers
    expect(a).toEqual({
      ...{ ...REMOTE, url: 'https://b/mcp' },
      ...{ transport: 'auto', headers: {}, insecure: false },
    })
  })

  test('keeps everything it says, names in lower case', () => {
    const a = {
      command: '/opt/My Server/run',
      args: ['-y', ''],
      env: { A: '', 'odd.name': 'x=y\n' },
      disabled: false,
      required: true,
      public: true,
      inheritEnv: true,
      cwd: '.',
      timeout: 60_000,
      startupTimeout: 1,
      maxMemory: 2 ** 20,
      maxSessionConnections: 1,
      isolation: 'shared' as const,
      pool: {
        ...{ minConnections: 0, maxConnections: 1, acquireTimeout: 0, idleTimeout: 0 },
        ...{ concurrency: 2, maxLifetime: 1, maxCalls: 1, queueLimit: 0 },
      },
    }
    const options = {
      port: 0,
      baseURL: 'https://App.example:8/mcp/',
      tls: { cert: 'a.pem', key: '/b/key.pem' },
      dataDir: '~/x',
      logLevel: 'debug' as const,
      pollInterval: 1000,
      listTimeout: 1,
      maxBodySize: 1,
      sessionTimeout: 1000,
      streamLifetime: 5,
      maxSessions: 1,
    }
    const names = { host: '::1', allowedHosts: ['MCP.Example'], allowedOrigins: ['https://App:8'] }
    const { gateway, mcpServers, groups } = parse({
      $schema: 'x',
      gateway: { ...options, ...names, allowUnauthenticated: true },
      mcpServers: { a, 'B_2.c-d': { command: 'y' } },
      groups: { 'g.1': ['B_2.c-d', 'a'], one: ['a'] },
    })
    expect(gateway).toEqual({
      ...options,
      host: '::1',
      allowedHosts: ['mcp.example'],
      allowedOrigins: ['https://app:8'],
      allowUnauthenticated: true,
      trustedProxies: [],
    })
    const { env, ...rest } = mcpServers.a as CommandServer
    expect<unknown>(rest).toEqual({ ...COMMAND, ...a, env: undefined })
    expect(revealed(env)).toEqual(a.env)
    expect(Object.keys(mcpServers)).toEqual(['a', 'B_2.c-d'])
    expect(groups).toEqual({ 'g.1': ['B_2.c-d', 'a'], one: ['a'] })
  })

  test('keeps what it says of tools, prompts and resources', () => {
    const shown = { allow: ['get_*', 'Summarize (short)?'], block: ['*'] }
    const naming = { ...shown, prefix: '', separator: '--', rename: { 'odd name.': 'new_name' } }
    const changes = { title: '', description: 'x', annotations: { readOnlyHint: true } }
    const override = {
      t: { ...changes, defaults: { a: { b: [1] } }, pinned: { c: null } },
      'u/v': {},
    }
    const none = { annotations: {}, defaults: {}, pinned: {} }
    const a = { tools: { ...naming, override }, prompts: naming, resources: shown }
    expect(parse({ mcpServers: { a: { command: 'x', ...a } } }).mcpServers.a).toMatchObject({
      ...a,
      tools: { ...naming, override: { t: override.t, 'u/v': none } },
    })
  })

  test.each([
    ['sse', 'sse'],
    ['http', 'streamable-http'],
    ['streamable-http', 'streamable-http'],
    ['streamable_http', 'streamable-http'],
    ['streamableHttp', 'streamable-http'],
  ])('may say "type" or "transportType": %s', (spelling, transport) => {
    for (const key of ['type', 'transportType']) {
      const { a } = parse({ mcpServers: { a: { url: 'http://b', [key]: spelling } } }).mcpServers
      expect(a).toMatchObject({ kind: 'remote', transport })
      expect(a).not.toContainKey(key)
    }
  })

  test('may say that a command speaks stdio', () => {
    const a = { command: 'x', type: 'stdio', transportType: 'stdio' }
    expect(parse({ mcpServers: { a } })).toEqual(parse({ mcpServers: { a: { command: 'x' } } }))
  })

  test('may say both, if they are the same', () => {
    const a = { url: 'HTTP://b', type: 'http', transportType: 'streamable-http' }
    expect(parse({ mcpServers: { a } }).mcpServers.a).toMatchObject({
      transport: 'streamable-http',
    })
  })

  test('may say what has no effect', () => {
    const none = { args: [], env: {}, inheritEnv: false }
    expect(parse({ mcpServers: { a: { url: 'http://b', ...none } } }).mcpServers.a?.kind).toBe(
      'remote',
    )
    const nothing = { headers: {}, insecure: false }
    expect(parse({ mcpServers: { a: { command: 'x', ...nothing } } }).mcpServers.a?.kind).toBe(
      'command',
    )
  })

  test('may have comments, trailing commas, a byte order mark and lines that end in CRLF', () => {
    const text =
      '\ufeff// mine\r\n{"gateway": {"port": 1,},/* two\r\nlines */"mcpServers": {},}\r\n'
    expect(parseConfig(text, 'c.json').config.gateway.port).toBe(1)
  })

  test.each(['localhost', 'my-host.example', '0.0.0.0', '::', 'fe80::1'])(
    'may listen on %s',
    (host) => {
      expect(parseConfig(gateway(`"host": "${host}"`), 'c.json').config.gateway.host).toBe(host)
    },
  )
})

describe('what a server says nothing of', () => {
  const own = { isolation: 'shared', timeout: 1, startupTimeout: 2, maxMemory: 3_000_000 }
  const pool = {
    ...{ minConnections: 3, maxConnections: 4, acquireTimeout: 1, idleTimeout: 2, concurrency: 3 },
    ...{ maxLifetime: 4, maxCalls: 5, queueLimit: 6 },
  }
  const mcpServers = { a: { command: 'x' }, b: { url: 'https://b/mcp' } }

  test('it inherits from "defaults"', () => {
    const { a, b } = parse({ defaults: { ...own, pool }, mcpServers }).mcpServers
    for (const server of [a, b]) expect(server).toMatchObject({ ...own, pool })
  })

  test('it inherits option by option', () => {
    for (const [key, value] of Object.entries(own)) {
      const { a, b } = parse({ defaults: { [key]: value }, mcpServers }).mcpServers
      expect(a).toMatchObject({ ...COMMAND, [key]: value })
      expect(b).toMatchObject({ ...REMOTE, [key]: value })
    }
  })

  test('it inherits of the pool, too', () => {
    for (const [key, value] of Object.entries(pool)) {
      const { a, b } = parse({ defaults: { pool: { [key]: value } }, mcpServers }).mcpServers
      expect<unknown>(a?.pool).toEqual({ ...COMMAND.pool, [key]: value })
      expect<unknown>(b?.pool).toEqual({ ...REMOTE.pool, [key]: value })
    }
  })

  test('and nothing else: what it says itself counts, also beside what it inherits', () => {
    const said = {
      ...{ isolation: 'session', timeout: 7, startupTimeout: 8, maxMemory: 9_000_000 },
      pool: { maxConnections: 10, concurrency: 1 },
    }
    const a = { command: 'x', ...said }
    expect(parse({ defaults: { ...own, pool }, mcpServers: { a } }).mcpServers.a).toMatchObject({
      ...said,
      pool: { ...pool, ...said.pool },
    })
  })

  test('is filled in for a server alone', () => {
    expect(v.parse(ServerSchema, { command: 'x' })).toEqual({
      ...COMMAND,
      ...{ command: 'x', args: [], env: {}, inheritEnv: false, cwd: undefined },
    })
    expect(v.parse(ServerSchema, { url: 'https://b', pool: { maxConnections: 9 } })).toMatchObject({
      pool: { ...REMOTE.pool, maxConnections: 9 },
    })
    expect(v.safeParse(ServerSchema, { command: 'x', pool: { minConnections: 6 } })).toMatchObject({
      success: false,
      issues: [{ path: [{ key: 'pool' }, { key: 'minConnections' }] }],
    })
  })

  test('is filled in for a configuration that was no text', () => {
    const options = { timeout: undefined, pool: { maxConnections: undefined, maxCalls: 2 } }
    const a = { command: 'x', ...options }
    const config = v.parse(ConfigSchema, { defaults: { timeout: 5 }, mcpServers: { a } })
    expect(config.mcpServers.a).toMatchObject({
      timeout: 5,
      pool: { ...COMMAND.pool, maxCalls: 2 },
    })
  })

  test('may be a pool that has no effect, as each session has a connection of its own', () => {
    const a = { command: 'x', isolation: 'session', maxSessionConnections: 7, pool }
    expect(parse({ mcpServers: { a } }).mcpServers.a).toMatchObject(a)
  })

  test('may be a default that does not fit, if every server says otherwise', () => {
    const big = { pool: { minConnections: 8 } }
    const a = { command: 'x', pool: { maxConnections: 8 } }
    expect(parse({ defaults: big, mcpServers: { a } }).mcpServers.a?.pool).toMatchObject({
      minConnections: 8,
      maxConnections: 8,
    })
    const two = JSON.stringify({ defaults: big, mcpServers: { ...mcpServers, a } })
    expect(complaint(two.replace(/,"pool":\{"maxConnections":8\}/, '')).split('\n')).toHaveLength(1)
  })
})

test.each([
  [1_048_576, 1_048_576],
  ['1048576', 1_048_576],
  ['2000000B', 2_000_000],
  ['2000kb', 2_000_000],
  ['512MB', 512_000_000],
  ['512 MiB', 536_870_912],
  ['1GiB', 1_073_741_824],
  ['1.5GiB', 1_610_612_736],
  [' 1.3gb ', 1_300_000_000],
  ['1024KiB', 1_048_576],
  ['1TB', 1e12],
  ['2TiB', 2 ** 41],
])('a memory of %j is %d bytes', (maxMemory, bytes) => {
  const { a } = parse({ mcpServers: { a: { command: 'x', maxMemory } } }).mcpServers
  expect(a?.maxMemory).toBe(bytes)
})

describe('what is not JSON is told with its line and what JSON wants', () => {
  test.each([
    [
      'an empty file',
      '',
      '1: the file is empty: write {"mcpServers": {"NAME": {"command": "PROGRAM"}}}',
    ],
    [
      'a blank file',
      ' \n\n',
      '1: the file is empty: write {"mcpServers": {"NAME": {"command": "PROGRAM"}}}',
    ],
    ['nothing but a comment', '// soon\n', '1: not JSON: a value is expected'],
    [
      'YAML',
      'mcpServers:\n  a:',
      '1: not JSON: a word that JSON does not know; names and strings are written in double quotes',
    ],
    [
      'single quotes',
      "{\n'mcpServers': {}}",
      '2: not JSON: a word that JSON does not know; names and strings are written in double quotes',
    ],
    [
      'a missing comma',
      '{"gateway": {}\n"mcpServers": {}}',
      '2: not JSON: a comma is missing before this',
    ],
    ['a missing colon', '{\n"mcpServers" {}}', '2: not JSON: a colon is expected after the name'],
    ['a missing value', '{\n"mcpServers": }', '2: not JSON: a value is expected'],
    ['a missing brace', '{"mcpServers": {\n}\n\n\n', '2: not JSON: a "}" is missing'],
    ['a missing bracket', '{"mcpServers": [\n1\n', '2: not JSON: a "]" is missing'],
    [
      'a second configuration',
      '{"mcpServers": {}}\n{}',
      '2: not JSON: nothing may follow the last "}"',
    ],
    ['a comment without end', '{\n/* "mcpServers": {}}', '2: not JSON: the comment has no end'],
    [
      'an unclosed string',
      '{"mcpServers": {\n"a}}',
      '2: not JSON: a string has no closing quote on its line',
    ],
    [
      'a Windows path',
      server(String.raw`"cwd": "C:\Users"`),
      String.raw`3: not JSON: a backslash is written twice: "\\"`,
    ],
  ])('%s', (_, text, message) => {
    expect(complaint(text)).toBe(`c.json:${message}`)
  })
})

const NAME =
  'a server name has 1 to 64 letters, digits, "_", "." or "-", and does not begin with "." or "-"'
const SECTIONS = Object.keys(ConfigSchema.entries).join(', ')
const OPTIONS = Object.keys(GatewaySchema.entries).join(', ')
const KEYS = Object.keys(ServerSchema.entries).join(', ')
const INHERITED = Object.keys(DefaultsSchema.entries).join(', ')
const POOLED = Object.keys(DefaultsSchema.entries.pool.wrapped.entries).join(', ')
/** Options of a server that are not objects, and what they are. */
const SCALARS = Object.entries({
  isolation: '"user", "session", "shared"',
  timeout: 'a number',
  startupTimeout: 'a number',
  maxSessionConnections: 'a number',
  maxMemory: 'a number of bytes, or a size like "512MB"',
})
const HOST = 'must be a host name or an IP address, without scheme, port or brackets'

describe('a fault is told with line, option, what was found and what to write', () => {
  test.each([
    ['not an object at all', '[]', '1: the file: expected an object {…}, got an array'],
    ['null', '\nnull', '2: the file: expected an object {…}, got null'],
    ['no servers', '{}', '1: mcpServers: is missing; write "mcpServers", the servers by name'],
    [
      'servers as an array',
      '{\n"mcpServers": []}',
      '2: mcpServers: expected an object {…}, got an array',
    ],
    [
      'options as an array',
      '{"mcpServers": {},\n"gateway": []}',
      '2: gateway: expected an object {…}, got an array',
    ],

    [
      'a port as a string',
      gateway('"port": "80"'),
      '3: gateway.port: expected a number, got "80"; leave out the quotes',
    ],
    [
      'a port below the range',
      gateway('"port": -1'),
      '3: gateway.port: must be at least 0, got -1',
    ],
    [
      'a port above the range',
      gateway('"port": 65536'),
      '3: gateway.port: must be at most 65535, got 65536',
    ],
    ['a broken port', gateway('"port": 1.5'), '3: gateway.port: must be a whole number, got 1.5'],
    [
      'an endless port',
      gateway('"port": 1e400'),
      '3: gateway.port: must be a whole number, got Infinity',
    ],
    [
      'a size with a unit',
      gateway('"maxBodySize": "4M"'),
      '3: gateway.maxBodySize: expected a number, got "4M"',
    ],
    [
      'no body at all',
      gateway('"maxBodySize": 0'),
      '3: gateway.maxBodySize: must be at least 1, got 0',
    ],
    [
      'a timeout in seconds',
      gateway('"sessionTimeout": 30'),
      '3: gateway.sessionTimeout: must be at least 1000, got 30',
    ],
    [
      'a timer that would go off at once',
      gateway('"streamLifetime": 2147483648'),
      '3: gateway.streamLifetime: must be at most 2147483647, got 2147483648',
    ],
    [
      'a switch as a string',
      gateway('"allowUnauthenticated": "true"'),
      '3: gateway.allowUnauthenticated: expected true or false, got "true"; leave out the quotes',
    ],
    [
      'a switch as a word',
      gateway('"allowUnauthenticated": "yes"'),
      '3: gateway.allowUnauthenticated: expected true or false, got "yes"',
    ],
    ['no host', gateway('"host": ""'), '3: gateway.host: must not be empty, got ""'],
    [
      'a host with a port',
      gateway('"host": "localhost:80"'),
      `3: gateway.host: ${HOST}, got "localhost:80"`,
    ],
    ['a host that is nothing', gateway('"host": "::1::"'), `3: gateway.host: ${HOST}, got "::1::"`],
    [
      'a host that is no address',
      gateway('"host": "::1::"'),
      `3: gateway.host: ${HOST}, got "::1::"`,
    ],
    ['a host in brackets', gateway('"host": "[::1]"'), `3: gateway.host: ${HOST}, got "[::1]"`],
    [
      'a host that a terminal would obey',
      gateway(String.raw`"host": "\u001b[2J\u009b"`),
      String.raw`3: gateway.host: ${HOST}, got "\u001b[2J\u009b"`,
    ],
    [
      'a URL for a host',
      gateway('"allowedHosts": ["a",\n"https://b"]'),
      `4: gateway.allowedHosts[1]: ${HOST}, got "https://b"`,
    ],
    [
      'an origin with a path',
      gateway('"allowedOrigins": ["https://a/"]'),
      '3: gateway.allowedOrigins[0]: must be an origin as browsers send it, without path: https://app.example, got "https://a/"',
    ],

    [
      'a server that is a command line',
      '{"mcpServers": {\n"a": "npx -y x"}}',
      '2: mcpServers.a: expected an object {…}, got a string',
    ],
    [
      'an empty command',
      server('"command": ""'),
      '3: mcpServers.a.command: must not be empty, got ""',
    ],
    [
      'a command that is an array',
      server('"command": ["npx"]'),
      '3: mcpServers.a.command: expected a string, got an array',
    ],
    [
      'a command that is null',
      server('"command": null'),
      '3: mcpServers.a.command: expected a string, got null',
    ],
    [
      'a command in which a backslash became a new line',
      server(String.raw`"command": "C:\new"`),
      String.raw`3: mcpServers.a.command: must not contain a control character; a backslash is written twice, got "C:\new"`,
    ],
    [
      'arguments in one string',
      server('"command": "x", "args": "-y"'),
      '3: mcpServers.a.args: expected an array […], got a string',
    ],
    [
      'an argument that is a number',
      server('"command": "x", "args": [\n"-p",\n80]'),
      '5: mcpServers.a.args[1]: expected a string, got a number; put it in double quotes',
    ],
    [
      'an argument that no program can be given',
      server(String.raw`"command": "x", "args": ["\u0000"]`),
      '3: mcpServers.a.args[0]: must not contain a NUL character',
    ],
    [
      'a directory that is a number',
      server('"command": "x", "cwd": 5'),
      '3: mcpServers.a.cwd: expected a string, got 5; put it in double quotes',
    ],
    [
      'an environment as Compose writes it',
      server('"command": "x", "env": ["A=b"]'),
      '3: mcpServers.a.env: expected an object {…}, got an array',
    ],
    [
      'a variable that is a number',
      server('"command": "x", "env": {"PORT": 80}'),
      '3: mcpServers.a.env.PORT: expected a string, got a number; put it in double quotes',
    ],
    [
      'a variable that is null',
      server('"command": "x", "env": {"A": null}'),
      '3: mcpServers.a.env.A: expected a string, got null',
    ],
    [
      'a variable without name',
      server('"command": "x", "env": {"": "b"}'),
      '3: mcpServers.a.env[""]: the name of a variable is not empty and has no "="',
    ],
    [
      'a variable with its value in its name',
      server('"command": "x", "env": {"A=b": ""}'),
      '3: mcpServers.a.env["A=…"]: the name of a variable is not empty and has no "="',
    ],

    [
      'a server name with a space',
      '{"mcpServers": {\n"a b": {"command": "x"}}}',
      `2: mcpServers["a b"]: ${NAME}`,
    ],
    [
      'a server name that a URL would swallow',
      '{"mcpServers": {\n"..": {"command": "x"}}}',
      `2: mcpServers[".."]: ${NAME}`,
    ],
    [
      'a server name that looks like an option',
      '{"mcpServers": {\n"-a": {"command": "x"}}}',
      `2: mcpServers.-a: ${NAME}`,
    ],
    [
      'a server name that is too long',
      `{"mcpServers": {\n"${'n'.repeat(65)}": {"command": "x"}}}`,
      `2: mcpServers["${'n'.repeat(60)}"]: ${NAME}`,
    ],
    [
      'a server called __proto__',
      '{"mcpServers": {\n"__proto__": {"command": "x"}}}',
      '2: mcpServers.__proto__: is a reserved name; choose another',
    ],
    [
      'a server called constructor',
      '{"mcpServers": {\n"constructor": {"command": "x"}}}',
      '2: mcpServers.constructor: is a reserved name; choose another',
    ],
    [
      'a variable called __proto__',
      server('"command": "x", "env": {"__proto__": "y"}'),
      '3: mcpServers.a.env.__proto__: is a reserved name; choose another',
    ],
    [
      'options by way of __proto__',
      gateway('"__proto__": {"port": 1}'),
      `3: gateway.__proto__: unknown key; known are ${OPTIONS}`,
    ],
    [
      'a command by way of __proto__',
      server('"command": "x", "__proto__": {}'),
      `3: mcpServers.a.__proto__: unknown key; known are ${KEYS}`,
    ],

    [
      'an unknown key of the file',
      '{"mcpServers": {},\n"xyz": 1}',
      `2: xyz: unknown key; known are ${SECTIONS}`,
    ],
    [
      'a misspelt key of the file',
      '{\n"mcpServer": {}}',
      '2: mcpServer: unknown key; did you mean "mcpServers"?',
    ],
    ["VS Code's key", '{\n"servers": {}}', '2: servers: unknown key; did you mean "mcpServers"?'],
    [
      'an option outside of "gateway"',
      '{"mcpServers": {},\n"port": 1}',
      '2: port: unknown key; it belongs in "gateway"',
    ],
    [
      'a server outside of "mcpServers"',
      '{"mcpServers": {},\n"a": {"command": "x"}}',
      '2: a: unknown key; servers belong in "mcpServers"',
    ],
    ['an unknown option', gateway('"xyz": 1'), `3: gateway.xyz: unknown key; known are ${OPTIONS}`],
    [
      'a misspelt option',
      gateway('"prot": 1'),
      '3: gateway.prot: unknown key; did you mean "port"?',
    ],
    [
      'an option in other letters',
      gateway('"allowunauthenticated": true'),
      '3: gateway.allowunauthenticated: unknown key; did you mean "allowUnauthenticated"?',
    ],
    [
      'an option that every object has',
      gateway('"toString": 1'),
      `3: gateway.toString: unknown key; known are ${OPTIONS}`,
    ],
    [
      'an unknown key of a server',
      server('"command": "x", "xyz": 1'),
      `3: mcpServers.a.xyz: unknown key; known are ${KEYS}`,
    ],
    [
      'a misspelt key of a server',
      server('"comand": "x"'),
      '3: mcpServers.a.comand: unknown key; did you mean "command"?',
    ],
    [
      'an abbreviated key',
      server('"cmd": "x"'),
      '3: mcpServers.a.cmd: unknown key; did you mean "command"?',
    ],
    [
      'a long key',
      server('"command": "x", "environment": {}'),
      '3: mcpServers.a.environment: unknown key; did you mean "env"?',
    ],
    [
      'a key of "tools" outside of it',
      server('"command": "x", "rename": {}'),
      '3: mcpServers.a.rename: unknown key; it belongs in "tools" or "prompts"',
    ],
    [
      'a key of all three outside of them',
      server('"command": "x", "block": []'),
      '3: mcpServers.a.block: unknown key; it belongs in "tools" or "prompts" or "resources"',
    ],
    [
      'an override outside of "override"',
      tools('\n"pinned": {}'),
      '4: mcpServers.a.tools.pinned: unknown key; it belongs in "override.NAME"',
    ],
    [
      'a key of a server outside of "mcpServers"',
      '{"mcpServers": {},\n"headers": {}}',
      '2: headers: unknown key; it belongs in "mcpServers.NAME"',
    ],
    [
      'a server at a URL outside of "mcpServers"',
      '{"mcpServers": {},\n"a": {"url": "http://b"}}',
      '2: a: unknown key; servers belong in "mcpServers"',
    ],
    [
      'a misspelt key of "tools"',
      tools('"alow": []'),
      '3: mcpServers.a.tools.alow: unknown key; did you mean "allow"?',
    ],
    [
      'a misspelt key of "prompts"',
      server('"command": "x", "prompts": {"seperator": ""}'),
      '3: mcpServers.a.prompts.seperator: unknown key; did you mean "separator"?',
    ],
    [
      'an unknown key of "resources"',
      server('"command": "x", "resources": {"rename": {}}'),
      '3: mcpServers.a.resources.rename: unknown key; known are allow, block',
    ],
    [
      'a misspelt key of an override',
      tools('"override": {"t":\n{"pined": {}}}'),
      '4: mcpServers.a.tools.override.t.pined: unknown key; did you mean "pinned"?',
    ],
    [
      'what others call it',
      server('"command": "x", "transport": "sse"'),
      '3: mcpServers.a.transport: unknown key; did you mean "transportType"?',
    ],

    [
      'an option twice',
      gateway('"port": 1,\n"port": 2'),
      '4: gateway.port: is there twice; the first is on line 3',
    ],
    [
      'a server twice',
      '{"mcpServers": {\n"a": {"command": "x"},\n"a": {"command": "y"}}}',
      '3: mcpServers.a: is there twice; the first is on line 2',
    ],
    [
      'a variable twice',
      server('"command": "x", "env": {"A": "1",\n"A": "2"}'),
      '4: mcpServers.a.env.A: is there twice; the first is on line 3',
    ],

    [
      'a list timeout that is none',
      gateway('"listTimeout": 0'),
      '3: gateway.listTimeout: must be at least 1, got 0',
    ],
    [
      'a base URL without scheme',
      gateway('"baseURL": "mcp.example"'),
      '3: gateway.baseURL: must be a URL that begins with http:// or https://',
    ],
    [
      'a base URL of another scheme',
      gateway('"baseURL": "ws://mcp.example/"'),
      '3: gateway.baseURL: must be a URL that begins with http:// or https://, got "ws://mcp.example/"',
    ],
    [
      'a base URL with user, query and fragment',
      gateway('"baseURL": "https://me:pw@a/b?c#d"'),
      '3: gateway.baseURL: must be a URL without "?", "#", user or password, got "https://…@a/b?…#…"',
    ],
    [
      'a base URL that ends in "?"',
      gateway('"baseURL": "https://a/b?"'),
      '3: gateway.baseURL: must be a URL without "?", "#", user or password, got "https://a/b"',
    ],

    [
      'a server that is nothing',
      server('"args": []'),
      '2: mcpServers.a: expected "command", the program to start, or "url", where a remote server is',
    ],
    [
      'a server that is both',
      server('"command": "x", "args": ["y"],\n"url": "http://b"'),
      '4: mcpServers.a.url: a server has either "command" or "url"; keep one of them',
    ],
    ...Object.entries({
      args: ['y'],
      env: { A: 'b' },
      inheritEnv: true,
      cwd: '.',
      maxMemory: '1GB',
    }).map(([key, value]): [string, string, string] => [
      `"${key}" beside a URL`,
      remote(`\n"${key}": ${JSON.stringify(value)}`),
      `4: mcpServers.a.${key}: goes with "command", not with "url"; leave it out`,
    ]),
    ...Object.entries({ headers: { A: 'b' }, insecure: true }).map(
      ([key, value]): [string, string, string] => [
        `"${key}" beside a command`,
        server(`"command": "x",\n"${key}": ${JSON.stringify(value)}`),
        `4: mcpServers.a.${key}: goes with "url", not with "command"; leave it out`,
      ],
    ),
    [
      'an unknown transport',
      remote('"type": "htpp"'),
      '3: mcpServers.a.type: expected "stdio", "sse", "http", "streamable-http", "streamable_http", "streamableHttp", got "htpp"',
    ],
    [
      'a transport that is a switch',
      remote('"transportType": true'),
      '3: mcpServers.a.transportType: expected "stdio", "sse", "http", "streamable-http", "streamable_http", "streamableHttp", got true',
    ],
    [
      'a URL by stdio',
      remote('"transportType": "stdio"'),
      '3: mcpServers.a.transportType: does not fit: with "url" it is "streamable-http" or "sse"; leave it out, and both are tried',
    ],
    [
      'a command by SSE',
      server('"command": "x", "type": "sse"'),
      '3: mcpServers.a.type: does not fit: with "command" it is "stdio"; leave it out',
    ],
    [
      'two transports',
      remote('"type": "sse", "transportType": "http"'),
      '3: mcpServers.a.transportType: differs from "type"; keep one of them',
    ],
    [
      'a URL without scheme',
      server('"url": "localhost:80/mcp"'),
      '3: mcpServers.a.url: must be a URL that begins with http:// or https://',
    ],
    [
      'a URL of another scheme',
      server('"url": "wss://me:pw@b:1/mcp?key=k#f"'),
      '3: mcpServers.a.url: must be a URL that begins with http:// or https://, got "wss://…@b:1/mcp?…#…"',
    ],
    [
      'a URL with a slash too few',
      server('"url": "https:/b"'),
      '3: mcpServers.a.url: must be a URL that begins with http:// or https://',
    ],
    [
      'a URL that is a number',
      server('"url": 80'),
      '3: mcpServers.a.url: expected a string, got a number; put it in double quotes',
    ],
    [
      'a header with its value in its name',
      remote('"headers": {"Authorization: Bearer x": ""}'),
      '3: mcpServers.a.headers["Authorization:…"]: the name of an HTTP header has no spaces, ":" or "="',
    ],
    [
      'a header without name',
      remote('"headers": {"": "x"}'),
      '3: mcpServers.a.headers[""]: the name of an HTTP header has no spaces, ":" or "="',
    ],
    [
      'a header of two lines',
      remote(String.raw`"headers": {"A": "b\r\nC: d"}`),
      '3: mcpServers.a.headers.A: must be a single line of Latin-1 characters',
    ],
    [
      'a header that no HTTP can carry',
      remote('"headers": {"A": "“b”"}'),
      '3: mcpServers.a.headers.A: must be a single line of Latin-1 characters',
    ],
    [
      'headers in a list',
      remote('"headers": ["A: b"]'),
      '3: mcpServers.a.headers: expected an object {…}, got an array',
    ],
    [
      'a call without time',
      server('"command": "x", "timeout": 0'),
      '3: mcpServers.a.timeout: must be at least 1, got 0',
    ],

    ...SCALARS.map(([key, kind]): [string, string, string] => [
      `"${key}" that is a list`,
      server(`"command": "x", "${key}": []`),
      `3: mcpServers.a.${key}: expected ${kind}, got an array`,
    ]),
    [
      'a misspelt isolation',
      server('"command": "x",\n"isolation": "users"'),
      '4: mcpServers.a.isolation: expected "user", "session", "shared", got "users"',
    ],
    [
      'no time to start',
      server('"command": "x", "startupTimeout": 0'),
      '3: mcpServers.a.startupTimeout: must be at least 1, got 0',
    ],
    [
      'no session with a connection',
      remote('"maxSessionConnections": 0'),
      '3: mcpServers.a.maxSessionConnections: must be at least 1, got 0',
    ],
    ...['512 sheep', '512M', '512Mi', '-1GB', '1,5GB', 'GB', '', '1e9', '0x1000000'].map(
      (memory): [string, string, string] => [
        `an unreadable memory: ${memory}`,
        server(`"command": "x", "maxMemory": "${memory}"`),
        `3: mcpServers.a.maxMemory: must be a number of bytes, or one with a unit: "512MB", "1GiB", got "${memory}"`,
      ],
    ),
    [
      'a memory in megabytes',
      server('"command": "x", "maxMemory": 512'),
      '3: mcpServers.a.maxMemory: must be at least 1048576; units are written as in "512MB", got 512',
    ],
    [
      'a memory in broken bytes',
      server('"command": "x", "maxMemory": 2000000.5'),
      '3: mcpServers.a.maxMemory: must be a whole number, got 2000000.5',
    ],
    [
      'an endless memory',
      server('"command": "x", "maxMemory": "9999999TB"'),
      '3: mcpServers.a.maxMemory: must be at most 9007199254740991, got 9999999000000000000',
    ],

    [
      'a pool that is a number',
      server('"command": "x", "pool": 5'),
      '3: mcpServers.a.pool: expected an object {…}, got a number',
    ],
    [
      'a pool in a list',
      server('"command": "x", "pool": [1, 5]'),
      '3: mcpServers.a.pool: expected an object {…}, got an array',
    ],
    [
      'a misspelt key of a pool',
      pool('"maxConnection": 5'),
      '4: mcpServers.a.pool.maxConnection: unknown key; did you mean "maxConnections"?',
    ],
    [
      'an unknown key of a pool',
      pool('"maxRetries": 3'),
      `4: mcpServers.a.pool.maxRetries: unknown key; known are ${POOLED}`,
    ],
    [
      'a key of a pool outside of it',
      server('"command": "x", "concurrency": 5'),
      '3: mcpServers.a.concurrency: unknown key; it belongs in "pool"',
    ],
    [
      'a pool of nothing',
      pool('"minConnections": 0,\n"maxConnections": 0'),
      '5: mcpServers.a.pool.maxConnections: must be at least 1, got 0',
    ],
    [
      'a connection for no call',
      pool('"concurrency": 0'),
      '4: mcpServers.a.pool.concurrency: must be at least 1, got 0',
    ],
    [
      'a minimum as a string',
      pool('"minConnections": "2"'),
      '4: mcpServers.a.pool.minConnections: expected a number, got "2"; leave out the quotes',
    ],
    ...['acquireTimeout', 'idleTimeout', 'queueLimit'].map((key): [string, string, string] => [
      `"${key}" below nothing`,
      pool(`"${key}": -1`),
      `4: mcpServers.a.pool.${key}: must be at least 0, got -1`,
    ]),
    ...['maxLifetime', 'maxCalls'].map((key): [string, string, string] => [
      `"${key}" of nothing`,
      pool(`"${key}": 0`),
      `4: mcpServers.a.pool.${key}: must be at least 1, got 0`,
    ]),
    [
      'a timer of a pool that would go off at once',
      pool('"idleTimeout": 2147483648'),
      '4: mcpServers.a.pool.idleTimeout: must be at most 2147483647, got 2147483648',
    ],
    [
      'a minimum above the maximum',
      pool('"maxConnections": 2,\n"minConnections": 3'),
      '5: mcpServers.a.pool.minConnections: is more than "maxConnections", which is 2',
    ],
    [
      'a minimum above the default maximum',
      pool('"minConnections": 6'),
      '4: mcpServers.a.pool.minConnections: is more than "maxConnections", which is 5 by default',
    ],
    [
      'a minimum above the inherited maximum',
      defaults('"pool": {"maxConnections": 2}', '"pool": {"minConnections": 3}'),
      '1: mcpServers.a.pool.minConnections: is more than "maxConnections", which is 2 in "defaults"',
    ],
    [
      'a maximum below the inherited minimum',
      defaults('"pool": {"minConnections": 3}', '"pool": {"maxConnections": 2}'),
      '1: mcpServers.a.pool.maxConnections: is less than "minConnections", which is 3 in "defaults"',
    ],
    [
      'an inherited minimum above the inherited maximum',
      defaults('"pool": {"maxConnections": 2,\n"minConnections": 3}'),
      '4: defaults.pool.minConnections: is more than "maxConnections", which is 2 in "defaults"',
    ],
    [
      'an inherited minimum above the default maximum',
      defaults('"pool": {"minConnections": 6}'),
      '3: defaults.pool.minConnections: is more than "maxConnections", which is 5 by default',
    ],

    [
      'a misspelt default',
      defaults('"isolaton": "user"'),
      '3: defaults.isolaton: unknown key; did you mean "isolation"?',
    ],
    [
      'a default that is not inherited',
      defaults('"command": "x"'),
      `3: defaults.command: unknown key; known are ${INHERITED}`,
    ],
    [
      'a misspelt default of pools',
      defaults('"pool": {"idleTimout": 1}'),
      '3: defaults.pool.idleTimout: unknown key; did you mean "idleTimeout"?',
    ],
    [
      'a default isolation that there is not',
      defaults('"isolation": "none"'),
      '3: defaults.isolation: expected "user", "session", "shared", got "none"',
    ],
    [
      'an unreadable default memory',
      defaults('"maxMemory": "half"'),
      '3: defaults.maxMemory: must be a number of bytes, or one with a unit: "512MB", "1GiB", got "half"',
    ],
    [
      'a default without time',
      defaults('"timeout": 0'),
      '3: defaults.timeout: must be at least 1, got 0',
    ],
    [
      'a default connection for no call',
      defaults('"pool": {"concurrency": 0}'),
      '3: defaults.pool.concurrency: must be at least 1, got 0',
    ],
    [
      'defaults in a list',
      '{"mcpServers": {},\n"defaults": []}',
      '2: defaults: expected an object {…}, got an array',
    ],
    [
      'a default outside of "defaults"',
      '{"mcpServers": {},\n"isolation": "user"}',
      '2: isolation: unknown key; it belongs in "defaults" or "mcpServers.NAME"',
    ],

    [
      'an empty pattern',
      tools('"allow": ["a",\n""]'),
      '4: mcpServers.a.tools.allow[1]: must not be empty, got ""',
    ],
    ...['^get_', '^', 'get_.*$'].map((pattern): [string, string, string] => [
      `a regular expression: ${pattern}`,
      tools(`"block": ["${pattern}"]`),
      `3: mcpServers.a.tools.block[0]: must be a name, in which "*" may stand for anything, not a regular expression, got "${pattern}"`,
    ]),
    [
      'a pattern without list',
      server('"command": "x", "resources": {"allow": "file://*"}'),
      '3: mcpServers.a.resources.allow: expected an array […], got "file://*"',
    ],
    [
      'a pattern that is a number',
      server('"command": "x", "prompts": {"block": [5]}'),
      '3: mcpServers.a.prompts.block[0]: expected a string, got 5; put it in double quotes',
    ],
    [
      'a prefix with a dot',
      tools('"prefix": "a.b"'),
      '3: mcpServers.a.tools.prefix: must be of at most 40 letters, digits, "_" and "-", got "a.b"',
    ],
    [
      'a separator that is too long',
      tools('"separator": "_____"'),
      '3: mcpServers.a.tools.separator: must be of at most 4 letters, digits, "_" and "-", got "_____"',
    ],
    [
      'an empty new name',
      tools('"rename": {"x": ""}'),
      '3: mcpServers.a.tools.rename.x: must not be empty, got ""',
    ],
    [
      'a new name with a space',
      tools('"rename": {"get me": "who am I"}'),
      '3: mcpServers.a.tools.rename["get me"]: must be of at most 64 letters, digits, "_" and "-", got "who am I"',
    ],
    [
      'tools in a list',
      server('"command": "x", "tools": ["a"]'),
      '3: mcpServers.a.tools: expected an object {…}, got an array',
    ],
    [
      'arguments in a list',
      tools('"override": {"t": {"pinned": ["a"]}}'),
      '3: mcpServers.a.tools.override.t.pinned: expected an object {…}, got an array',
    ],
    [
      'an argument both default and pinned',
      tools('"override": {"t": {"defaults": {"a": 1, "b": 2},\n"pinned": {"b": 2}}}'),
      '4: mcpServers.a.tools.override.t.pinned.b: is in "defaults", too; keep one of them',
    ],

    [
      'a group with a misspelt server',
      groups('"dev": ["fs",\n"gihtub"]'),
      '4: groups.dev[1]: there is no server "gihtub"; did you mean "github"?',
    ],
    [
      'a group with a server that there is not',
      groups('"dev": ["a b"]'),
      '3: groups.dev[0]: there is no server "a b"; known are github, fs',
    ],
    [
      'a group where there are no servers',
      '{"mcpServers": {}, "groups": {\n"dev": ["a"]}}',
      '2: groups.dev[0]: there is no server "a"',
    ],
    [
      'a group in a group',
      groups('"dev": ["fs"], "ops":\n["dev"]'),
      '4: groups.ops[0]: there is no server "dev"; write the servers of that group instead',
    ],
    ['an empty group', groups('"dev": []'), '3: groups.dev: must name at least one server'],
    [
      'a group that is one name',
      groups('"dev": "fs"'),
      '3: groups.dev: expected an array […], got "fs"',
    ],
    [
      'a group with the name of a server',
      groups('"fs": ["github"]'),
      '3: groups.fs: is the name of a server, too; choose another',
    ],
    [
      'a server twice in a group',
      groups('"dev": ["fs", "github",\n"fs"]'),
      '4: groups.dev[2]: "fs" is there twice',
    ],
    ['a group with a bad name', groups('"a/b": ["fs"]'), `3: groups["a/b"]: ${NAME}`],
    [
      'groups in a list',
      '{"mcpServers": {},\n"groups": []}',
      '2: groups: expected an object {…}, got an array',
    ],
  ])('%s', (_, text, message) => {
    expect(complaint(text)).toBe(`c.json:${message}`)
  })

  test('all faults at once, in the order of the file', () => {
    const text = `{
      "gateway": {
        "port": "x",
        "hots": "a",
        "bots": "b"
      },
      "mcpServers": {
        "a": { "args": [], "env": [] },
        "b": { "command": "x", "args": [1, "2", true] }
      },
      "mcpServers": {}
    }`
    expect(complaint(text).split('\n')).toEqual([
      'c.json:3: gateway.port: expected a number, got "x"',
      'c.json:4: gateway.hots: unknown key; did you mean "host"?',
      `c.json:5: gateway.bots: unknown key; known are ${OPTIONS}`,
      'c.json:8: mcpServers.a.env: expected an object {…}, got an array',
      'c.json:11: mcpServers: is there twice; the first is on line 7',
    ])
  })

  test('whether servers fit together is judged when each is good', () => {
    const text = (command: string) => `{
      "mcpServers": {
        "a": { "${command}": "x", "tools": { "rename": { "s": "t", "u": "t" } } },
        "b": { "command": "x", "url": "http://c" }
      },
      "groups": { "a": ["d"] }
    }`
    expect(complaint(text('comand')).split('\n')).toEqual([
      'c.json:3: mcpServers.a.comand: unknown key; did you mean "command"?',
      'c.json:4: mcpServers.b.url: a server has either "command" or "url"; keep one of them',
    ])
    expect(complaint(text('command').replace(', "url": "http://c"', '')).split('\n')).toEqual([
      'c.json:3: mcpServers.a.tools.rename.u: becomes "t", as "s" does; choose another name',
      'c.json:6: groups.a: is the name of a server, too; choose another',
      'c.json:6: groups.a[0]: there is no server "d"; did you mean "a"?',
    ])
  })

  test('one mistake makes one complaint', () => {
    const both = { command: 'x', url: 'http://b', headers: { A: 'b' }, type: 'sse' }
    expect(complaint(JSON.stringify({ mcpServers: { a: both } })).split('\n')).toHaveLength(1)
    const types = { command: 'x', type: 'sse', transportType: 'http' }
    expect(complaint(JSON.stringify({ mcpServers: { a: types } })).split('\n')).toHaveLength(1)
    expect(complaint('{"mcpServers": {"a": []}}').split('\n')).toHaveLength(1)
    expect(complaint('{"mcpServers": {"a": {"comand": "x"}}}').split('\n')).toHaveLength(1)
    expect(complaint(gateway('"port": 1e400')).split('\n')).toHaveLength(1)
  })

  test('a key cannot make a line of its own', () => {
    const text = JSON.stringify({ mcpServers: {}, 'a\nb\u001b[2J': 1 })
    expect(complaint(text)).toStartWith(String.raw`c.json:1: ["a\nb\u001b[2J"]: unknown key`)
  })
})

describe('names that collide', () => {
  type Naming = { prefix?: string; separator?: string; rename: Record<string, string> }
  const told = (servers: Record<string, { tools?: Naming; prompts?: Naming }>) => {
    const commands = Object.entries(servers).map(([name, a]) => [name, { command: 'x', ...a }])
    return complaint(JSON.stringify({ mcpServers: Object.fromEntries(commands) }))
  }
  const merged = (at: string, exposed: string, first: string) =>
    `c.json:1: mcpServers.${at}: becomes "${exposed}" where servers are merged, as ${first} does; choose another name or prefix`

  test('on one server fail the load', () => {
    for (const kind of ['tools', 'prompts']) {
      expect(told({ a: { [kind]: { rename: { 'x y': 'n', z: 'n' } } } })).toBe(
        `c.json:1: mcpServers.a.${kind}.rename.z: becomes "n", as "x y" does; choose another name`,
      )
    }
  })

  test.each<[string, Record<string, { tools?: Naming; prompts?: Naming }>, string]>([
    [
      'without prefix',
      {
        a: { tools: { prefix: '', rename: { x: 'n' } } },
        b: { tools: { prefix: '', rename: { y: 'n' } } },
      },
      merged('b.tools.rename.y', 'n', '"x" of "a"'),
    ],
    [
      'with the same prefix',
      {
        a: { tools: { prefix: 'p', rename: { x: 'n' } } },
        b: { tools: { prefix: 'p', rename: { x: 'n' } } },
      },
      merged('b.tools.rename.x', 'p_n', '"x" of "a"'),
    ],
    [
      'with what is prefix here and name there',
      { a: { tools: { rename: { x: 'b_n' } } }, a_b: { tools: { rename: { y: 'n' } } } },
      merged('a_b.tools.rename.y', 'a_b_n', '"x" of "a"'),
    ],
    [
      'with separators',
      {
        a: { tools: { separator: '', rename: { x: '-n' } } },
        b: { tools: { prefix: 'a', separator: '-', rename: { y: 'n' } } },
      },
      merged('b.tools.rename.y', 'a-n', '"x" of "a"'),
    ],
    [
      'without prefix, and with that of the server',
      { a: { tools: { prefix: '', rename: { x: 'b_n' } } }, b: { tools: { rename: { y: 'n' } } } },
      merged('b.tools.rename.y', 'b_n', '"x" of "a"'),
    ],
    [
      'among prompts, whose prefix is that of tools',
      {
        a: { tools: { prefix: 'p', rename: {} }, prompts: { rename: { x: 'n' } } },
        b: { prompts: { prefix: 'p', rename: { y: 'n' } } },
      },
      merged('b.prompts.rename.y', 'p_n', '"x" of "a"'),
    ],
  ])('where servers are merged, too: %s', (_, servers, message) => {
    expect(told(servers)).toBe(message)
  })

  test.each<[string, Record<string, { tools?: Naming; prompts?: Naming }>]>([
    [
      'a name on two servers',
      { a: { tools: { rename: { x: 'n' } } }, b: { tools: { rename: { x: 'n' } } } },
    ],
    [
      'a prefix on two servers',
      {
        a: { tools: { prefix: 'p', rename: { x: 'n' } } },
        b: { tools: { prefix: 'p', rename: { x: 'm' } } },
      },
    ],
    [
      'a tool and a prompt',
      { a: { tools: { rename: { x: 'n' } }, prompts: { rename: { x: 'n' } } } },
    ],
    ['two that change places', { a: { tools: { rename: { x: 'y', y: 'x' } } } }],
    [
      'prompts with a prefix of their own',
      {
        a: { tools: { prefix: '', rename: {} }, prompts: { prefix: 'p', rename: { x: 'n' } } },
        b: { tools: { prefix: '', rename: {} }, prompts: { rename: { x: 'n' } } },
      },
    ],
  ])('are not these: %s', (_, servers) => {
    expect(told(servers)).toBe('')
  })
})

describe('what is configured for a server is never echoed', () => {
  const SECRET = 'hunter2'

  test.each([
    ['a variable', { command: 'x', env: { A: [SECRET] } }],
    ['a variable without object', { command: 'x', env: SECRET }],
    ['a list of variables', { command: 'x', env: [`A=${SECRET}`] }],
    ['a variable in one piece', { command: 'x', env: { [`A=${SECRET}`]: '' } }],
    ['a variable that is a URL', { command: 'x', env: { url: `ftp://b/${SECRET}\0` } }],
    ['a variable with NUL', { command: 'x', env: { A: `${SECRET}\0` } }],
    ['arguments in one string', { command: 'x', args: `--token ${SECRET}` }],
    ['an argument with NUL', { command: 'x', args: [`${SECRET}\0`] }],
    ['an unknown key', { command: 'x', token: SECRET }],
    ['a command line', `npx x --token ${SECRET}`],
    ['a header', { url: 'http://b', headers: { A: [SECRET] } }],
    ['a header of two lines', { url: 'http://b', headers: { A: `${SECRET}\n` } }],
    ['a header in one piece', { url: 'http://b', headers: { [`A: ${SECRET}`]: '' } }],
    ['a header that is none', { url: 'http://b', headers: { [`Bearer ${SECRET}`]: '' } }],
    ['headers in one string', { url: 'http://b', headers: `A: ${SECRET}` }],
    ['headers for a command', { command: 'x', headers: { A: SECRET } }],
    ['a variable for a URL', { url: 'http://b', env: { A: SECRET } }],
    ['the query of a URL', { url: `ftp://b/?key=${SECRET}` }],
    ['the fragment of a URL', { url: `ftp://b/#${SECRET}` }],
    ['the password in a URL', { url: `ftp://me:${SECRET}@b/` }],
    ['a password with a slash', { url: `http://me:x/${SECRET}@b/` }],
    ['a password with a question mark', { url: `http://me:${SECRET}?@b/` }],
    ['a password without scheme', { url: `me:${SECRET}@b` }],
    ['a password with a slash too few', { url: `https:/me:${SECRET}@b` }],
    ['a URL beside a command', { command: 'x', url: `http://b/?key=${SECRET}` }],
    ['a URL by stdio', { url: `http://b/?key=${SECRET}`, type: 'stdio' }],
    ['a pinned argument', { command: 'x', tools: { override: { t: { pinned: SECRET } } } }],
    [
      'an argument pinned twice',
      {
        command: 'x',
        tools: { override: { t: { pinned: { a: SECRET }, defaults: { a: SECRET } } } },
      },
    ],
    [
      'a description that is a list',
      { command: 'x', tools: { override: { t: { title: [SECRET] } } } },
    ],
  ])('%s', (_, a) => {
    const said = complaint(JSON.stringify({ mcpServers: { a } }))
    expect(said).toContain('c.json:1: mcpServers.a')
    expect(said).not.toContain(SECRET)
  })

  test('whatever stands where a string is wanted', () => {
    const hidden = (value: unknown): unknown => {
      if (typeof value === 'string') return SECRET
      if (typeof value === 'number') return 271828
      if (Array.isArray(value)) return value.map(hidden)
      if (value === null || typeof value !== 'object') return value
      return Object.fromEntries(Object.values(value).map((inner, i) => [`k${i}`, hidden(inner)]))
    }
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.constantFrom('env', 'args', 'url', 'headers', 'xyz'),
        (value, key) => {
          const inside = complaint(JSON.stringify({ mcpServers: { a: { [key]: hidden(value) } } }))
          const instead = complaint(JSON.stringify({ mcpServers: { a: hidden(value) } }))
          expect(inside + instead).not.toMatch(/hunter2|271828/)
        },
      ),
    )
  })

  test('a line that is not JSON', () => {
    expect(complaint(server(`"env": {"A": ${SECRET}}`))).toBe(
      'c.json:3: not JSON: a word that JSON does not know; names and strings are written in double quotes',
    )
  })
})

describe('without a name', () => {
  const before = process.cwd()
  let place: Folder
  let env: Record<string, string>

  beforeAll(async () => {
    place = await folder({ 'named.json': config(1), 'variable.json': config(2) })
    env = { HOME: join(place.path, 'home') }
    process.chdir(place.path)
  })
  afterAll(async () => {
    process.chdir(before)
    await place[Symbol.asyncDispose]()
  })
  const config = (port: number) => ({ gateway: { port }, mcpServers: {} })
  const write = (path: string, content: unknown) => Bun.write(path, JSON.stringify(content))

  test('the places are looked at in order, then come the embedded defaults', async () => {
    const paths = searchPath(env)
    expect(paths).toEqual([
      './config.json',
      './.mcp-gateway/config.json',
      join(env.HOME!, '.config/mcp-gateway/config.json'),
      join(env.HOME!, '.mcp-gateway/config.json'),
      './config/servers.json',
    ])
    for (const [i, path] of paths.entries()) await write(path, config(3000 + i))
    for (const [i, path] of paths.entries()) {
      const { source, config } = await loadConfig(undefined, env)
      expect([source, config.gateway.port]).toEqual([path, 3000 + i])
      await rm(path)
    }
    const { source, config: embedded } = await loadConfig(undefined, env)
    expect(source).toBeUndefined()
    expect(embedded).toEqual(parseConfig(JSON.stringify(EMBEDDED), '').config)
    expect(Object.keys(embedded.mcpServers)).toEqual(['everything'])
  })

  test('$MCP_GATEWAY_CONFIG comes before all places, and a name before that', async () => {
    await write('config.json', config(3))
    const variable = { ...env, MCP_GATEWAY_CONFIG: 'variable.json' }
    expect((await loadConfig('named.json', variable)).config.gateway.port).toBe(1)
    expect((await loadConfig(undefined, variable)).config.gateway.port).toBe(2)
    expect((await loadConfig(undefined, env)).config.gateway.port).toBe(3)
    const empty = { ...env, MCP_GATEWAY_CONFIG: '' }
    expect((await loadConfig(undefined, empty)).config.gateway.port).toBe(3)
    await rm('config.json')
  })

  test('a complaint says why the file was read', async () => {
    await write('config.json', { name: "another program's" })
    await expect(loadConfig(undefined, env)).rejects.toThrow(
      new ConfigError(
        `./config.json:1: mcpServers: is missing; write "mcpServers", the servers by name
./config.json:1: name: unknown key; known are ${SECTIONS}
(it was found because none was named; --config names another)`,
      ),
    )
    await rm('config.json')
    await expect(loadConfig(undefined, { ...env, MCP_GATEWAY_CONFIG: 'gone' })).rejects.toThrow(
      new ConfigError(
        'gone: no such file; name a configuration by its path or URL\n($MCP_GATEWAY_CONFIG names it)',
      ),
    )
  })

  test('a named one must be there, and be a file', async () => {
    await expect(loadConfig('gone.json', env)).rejects.toThrow(
      new ConfigError('gone.json: no such file; name a configuration by its path or URL'),
    )
    await expect(loadConfig(place.path, env)).rejects.toThrow(
      new ConfigError(`${place.path}: is a directory; name the file in it`),
    )
  })
})

describe('at a URL', () => {
  let origin: string
  let stop: () => Promise<void>
  const asked: (string | null)[] = []

  beforeAll(() => {
    const server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      routes: {
        '/good': (request) => {
          asked.push(request.headers.get('authorization'))
          return new Response('// it is JSON\n{"gateway": {"port": 7}, "mcpServers": {}}')
        },
        '/bad': new Response('\n{"mcpServers": {"a": {"comand": "x"}}}'),
        '/page': new Response('<html>', { headers: { 'content-type': 'text/html' } }),
        '/cut': () => {
          const body = new ReadableStream({
            pull(stream) {
              stream.enqueue(new TextEncoder().encode('{"mcp'))
              server.stop(true)
            },
          })
          return new Response(body)
        },
      },
      fetch: () => new Response('not here', { status: 404 }),
    })
    origin = server.url.origin
    stop = () => server.stop(true)
  })
  afterAll(() => stop())

  test('it is downloaded', async () => {
    const { source, config } = await loadConfig(`${origin}/good`, {})
    expect(config.gateway.port).toBe(7)
    expect(source).toBe(`${origin}/good`)
  })

  test('user, password and query are used, and shown to nobody', async () => {
    const secret = (path: string) => `${origin.replace('//', '//me:hunter2@')}${path}?t=hunter2`
    expect((await loadConfig(secret('/good'), {})).source).toBe(`${origin}/good`)
    expect(asked.at(-1)).toBe(`Basic ${btoa('me:hunter2')}`)
    await expect(loadConfig(secret('/gone'), {})).rejects.toThrow(
      new ConfigError(`${origin}/gone: cannot be downloaded: status 404`),
    )
    await expect(loadConfig(secret('/bad'), {})).rejects.toThrow(
      new ConfigError(`${origin}/bad:2: mcpServers.a.comand: unknown key; did you mean "command"?`),
    )
  })

  test('a web page is not JSON', async () => {
    await expect(loadConfig(`${origin}/page`, {})).rejects.toThrow(
      new ConfigError(
        `${origin}/page:1: not JSON: a word that JSON does not know; names and strings are written in double quotes`,
      ),
    )
  })

  test.each(['ftp://me:hunter2@a/b', 'file:///etc/passwd', 'http://', 'https://me:hunter2@'])(
    '%s is refused',
    async (url) => {
      await expect(loadConfig(url, {})).rejects.toThrow(
        new ConfigError('the URL of the configuration must be one of http: or https:'),
      )
    },
  )

  test('a download that breaks off, or cannot begin, is told as such', async () => {
    await expect(loadConfig(`${origin}/cut`, {})).rejects.toThrow(
      `${origin}/cut: cannot be downloaded: `,
    )
    await expect(loadConfig(`${origin}/good`, {})).rejects.toThrow(
      `${origin}/good: cannot be downloaded: `,
    )
  })
})

describe('variables', () => {
  const env = { TOKEN: 's3cr3t', EMPTY: '' }
  const server = (value: unknown) =>
    JSON.stringify({ mcpServers: { a: { command: 'x', env: { V: value } } } })
  const expanded = (value: string) => {
    const { a } = parseConfig(server(value), 'c.json', { env }).config.mcpServers
    return a?.kind === 'command' ? a.env.V?.reveal() : undefined
  }

  test.each([
    ['${TOKEN}', 's3cr3t'],
    ['Bearer ${TOKEN}!', 'Bearer s3cr3t!'],
    ['${NONE:-other}', 'other'],
    ['${NONE:-}', ''],
    ['${EMPTY}', ''],
    ['${TOKEN}${NONE:-x}', 's3cr3tx'],
    ['$TOKEN ${} ${a-b}', '$TOKEN ${} ${a-b}'],
  ])('%s is %j', (value, result) => {
    expect(expanded(value)).toBe(result)
  })

  test('hold text, never syntax', () => {
    const tricky = { T: '", "command": "evil' }
    const { a } = parseConfig(server('${T}'), 'c.json', { env: tricky }).config.mcpServers
    expect(a).toMatchObject({ command: 'x' })
    expect(revealed((a as CommandServer).env)).toEqual({ V: tricky.T })
  })

  test('work in URLs and headers', () => {
    const a = {
      url: 'https://${HOST:-b}/mcp?key=${TOKEN}',
      headers: { Authorization: 'Bearer ${TOKEN}' },
    }
    const { url, headers } = parse({ mcpServers: { a } }, env).mcpServers.a as RemoteServer
    expect(url).toBe('https://b/mcp?key=s3cr3t')
    expect(revealed(headers)).toEqual({ Authorization: 'Bearer s3cr3t' })
    const lost = { url: '${URL}', headers: { Authorization: 'Bearer ${NONE}' } }
    expect(() => parse({ mcpServers: { a: lost } }, env)).toThrow(
      new ConfigError(
        `c.json:1: mcpServers.a.url: the variable URL is not set; set it, or write \${URL:-default}
c.json:1: mcpServers.a.headers.Authorization: the variable NONE is not set; set it, or write \${NONE:-default}`,
      ),
    )
    const wrong = { url: '${TOKEN}', headers: { A: '${LINES}' } }
    expect(() => parse({ mcpServers: { a: wrong } }, { ...env, LINES: 's3cr3t\n' })).toThrow(
      new ConfigError(
        `c.json:1: mcpServers.a.url: must be a URL that begins with http:// or https://
c.json:1: mcpServers.a.headers.A: must be a single line of Latin-1 characters`,
      ),
    )
  })

  test('that are not set are told, each with its place', () => {
    expect(() => parseConfig(server('${NONE}'), 'c.json', { env })).toThrow(
      'c.json:1: mcpServers.a.env.V: the variable NONE is not set; set it, or write ${NONE:-default}',
    )
  })
})
