import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { EMBEDDED, loadConfig, searchPath } from '../../src/config/load.ts'
import { ConfigError, parseConfig } from '../../src/config/parse.ts'
import { GatewaySchema, ServerSchema } from '../../src/config/schema.ts'
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

/** Of both, the members begin on line 3. */
const gateway = (members: string) => `{"mcpServers": {},\n"gateway": {\n${members}\n}}`
const server = (members: string) => `{"mcpServers": {\n"a": {\n${members}\n}}}`

describe('a good configuration', () => {
  test('gets a default for everything but the command', () => {
    const { gateway, mcpServers } = parseConfig('{"mcpServers": {"a": {"command": "x"}}}', 'c.json')
    expect(Object.keys(gateway)).toEqual(Object.keys(GatewaySchema.entries))
    expect(gateway).toMatchObject({ host: '127.0.0.1', port: 4298, allowUnauthenticated: false })
    expect(mcpServers).toEqual({ a: { command: 'x', args: [], env: {}, inheritEnv: false } })
  })

  test('keeps everything it says, names in lower case', () => {
    const a = {
      command: '/opt/My Server/run',
      args: ['-y', ''],
      env: { A: '', 'odd.name': 'x=y\n' },
      inheritEnv: true,
      cwd: '.',
    }
    const options = { port: 0, maxBodySize: 1, sessionTimeout: 1000, streamLifetime: 5 }
    const names = { host: '::1', allowedHosts: ['MCP.Example'], allowedOrigins: ['https://App:8'] }
    const text = JSON.stringify({
      $schema: 'x',
      gateway: { ...options, ...names, maxSessions: 1, allowUnauthenticated: true },
      mcpServers: { a, 'B_2.c-d': { command: 'y' } },
    })
    const { gateway, mcpServers } = parseConfig(text, 'c.json')
    expect(gateway).toEqual({
      ...options,
      host: '::1',
      allowedHosts: ['mcp.example'],
      allowedOrigins: ['https://app:8'],
      maxSessions: 1,
      allowUnauthenticated: true,
    })
    expect(mcpServers.a).toEqual(a)
    expect(Object.keys(mcpServers)).toEqual(['a', 'B_2.c-d'])
  })

  test('may have comments, trailing commas, a byte order mark and lines that end in CRLF', () => {
    const text =
      '\ufeff// mine\r\n{"gateway": {"port": 1,},/* two\r\nlines */"mcpServers": {},}\r\n'
    expect(parseConfig(text, 'c.json').gateway.port).toBe(1)
  })

  test.each(['localhost', 'my-host.example', '0.0.0.0', '::', 'fe80::1'])(
    'may listen on %s',
    (host) => {
      expect(parseConfig(gateway(`"host": "${host}"`), 'c.json').gateway.host).toBe(host)
    },
  )
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
const OPTIONS = Object.keys(GatewaySchema.entries).join(', ')
const KEYS = Object.keys(ServerSchema.entries).join(', ')
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
      'a server without command',
      server('"args": []'),
      '2: mcpServers.a.command: is missing; write "command", the program to start',
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
      '3: mcpServers.a.args[0]: must not contain a NUL character, got a string',
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
      `2: mcpServers.${'n'.repeat(65)}: ${NAME}`,
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
      '2: xyz: unknown key; known are $schema, gateway, mcpServers',
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
      'a URL',
      server('"command": "x", "url": "http://b"'),
      '3: mcpServers.a.url: unknown key; a server at a URL cannot be reached yet; write the "command" that starts one',
    ],
    [
      'a type',
      server('"type": "stdio", "command": "x"'),
      '3: mcpServers.a.type: unknown key; leave it out: every server here is a command',
    ],
    [
      'a switch that others have',
      server('"command": "x", "disabled": true'),
      '3: mcpServers.a.disabled: unknown key; comment the server out instead',
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

  test('one mistake makes one complaint', () => {
    expect(complaint('{"mcpServers": {"a": []}}').split('\n')).toHaveLength(1)
    expect(complaint('{"mcpServers": {"a": {"comand": "x"}}}').split('\n')).toHaveLength(1)
    expect(complaint(gateway('"port": 1e400')).split('\n')).toHaveLength(1)
  })

  test('a key cannot make a line of its own', () => {
    const text = JSON.stringify({ mcpServers: {}, 'a\nb\u001b[2J': 1 })
    expect(complaint(text)).toStartWith(String.raw`c.json:1: ["a\nb\u001b[2J"]: unknown key`)
  })
})

describe('what is configured for a server is never echoed', () => {
  const SECRET = 'hunter2'

  test.each([
    ['a variable', { command: 'x', env: { A: [SECRET] } }],
    ['a variable without object', { command: 'x', env: SECRET }],
    ['a list of variables', { command: 'x', env: [`A=${SECRET}`] }],
    ['a variable in one piece', { command: 'x', env: { [`A=${SECRET}`]: '' } }],
    ['a variable with NUL', { command: 'x', env: { A: `${SECRET}\0` } }],
    ['arguments in one string', { command: 'x', args: `--token ${SECRET}` }],
    ['an argument with NUL', { command: 'x', args: [`${SECRET}\0`] }],
    ['an unknown key', { command: 'x', token: SECRET }],
    ['a command line', `npx x --token ${SECRET}`],
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
      fc.property(fc.jsonValue(), fc.constantFrom('env', 'args', 'xyz'), (value, key) => {
        const inside = complaint(JSON.stringify({ mcpServers: { a: { [key]: hidden(value) } } }))
        const instead = complaint(JSON.stringify({ mcpServers: { a: hidden(value) } }))
        expect(inside + instead).not.toMatch(/hunter2|271828/)
      }),
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
    expect(embedded).toEqual(parseConfig(JSON.stringify(EMBEDDED), ''))
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
./config.json:1: name: unknown key; known are $schema, gateway, mcpServers
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
  const expanded = (value: string) => parseConfig(server(value), 'c.json', env).mcpServers.a!.env.V

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
    const config = parseConfig(server('${T}'), 'c.json', tricky)
    expect(config.mcpServers.a).toMatchObject({ command: 'x', env: { V: tricky.T } })
  })

  test('that are not set are told, each with its place', () => {
    expect(() => parseConfig(server('${NONE}'), 'c.json', env)).toThrow(
      'c.json:1: mcpServers.a.env.V: the variable NONE is not set; set it, or write ${NONE:-default}',
    )
  })
})
