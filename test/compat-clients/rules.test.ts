/** Whose a file is, what of it is told, and that none of that is a secret. */
import { describe, expect, test } from 'bun:test'
import { read } from './client.ts'

const json = (value: unknown, env: Record<string, string> = {}) =>
  read(JSON.stringify(value, undefined, 1), 'c.json', env)

const toml = (text: string, env: Record<string, string> = {}) => read(text, 'c.toml', env)

const servers = (server: object, rest: object = {}) => ({ mcpServers: { a: server }, ...rest })
const entry = (server: object, env: Record<string, string> = {}) => {
  const { native, faults, warnings } = json(servers(server), env)
  const { a } = (native?.mcpServers ?? {}) as Record<string, Record<string, unknown>>
  return { a, faults, warnings }
}

describe('a file is whose it looks like', () => {
  test.each([
    ['an MCP client', servers({ command: 'x', alwaysAllow: [] })],
    ['an MCP client', servers({ url: 'https://b/', headers: { A: '${env:HOME}' } })],
    ['an MCP client', servers({ command: 'x' }, { globalShortcut: '' })],
    ['an MCP client', servers({ type: 'local', command: 'x', tools: ['*'] })],
    ['an MCP client', { projects: { '/p': { mcpServers: { a: { command: 'x' } } } } }],
    ['VS Code', { servers: { a: { command: 'x' } } }],
    ['VS Code', { servers: {}, inputs: [] }],
    ['the settings of VS Code', { 'editor.x': 1, mcp: { servers: { a: { command: 'x' } } } }],
    ['Codex', { mcp_servers: { a: { command: 'x' } } }],
    ['opencode', { mcp: { a: { type: 'local', command: ['x'] } } }],
    [undefined, servers({ command: 'x' })],
    [undefined, servers({ command: 'x', disabled: true, timeout: 60 })],
    [undefined, { $schema: 's', ...servers({ url: 'https://b/mcp', type: 'http' }) }],
  ])('%s: %j', (format, file) => {
    const read = json(file, { HOME: '/' })
    expect(read.faults).toEqual([])
    expect(read.format).toBe(format as string)
  })

  test.each([
    [
      'a slip in a server',
      servers({ comand: 'x' }),
      'comand: unknown key; did you mean "command"?',
    ],
    ['a slip in the file', servers({ command: 'x' }, { gatway: {} }), 'gatway: unknown key'],
    [
      "a client's key in a file of ours",
      servers({ command: 'x', alwaysAllow: [] }, { gateway: {} }),
      'mcpServers.a.alwaysAllow: unknown key',
    ],
    [
      "a client's key beside one of ours",
      servers({ command: 'x', trust: true, isolation: 'shared' }),
      'mcpServers.a.trust: unknown key',
    ],
    [
      "VS Code's key in a file of ours",
      { servers: { a: { command: 'x' } }, groups: {} },
      'servers:',
    ],
  ])('%s is a fault, as ever', (_, file, expected) => {
    const { faults } = json(file)
    expect(faults.join('\n')).toContain(expected)
  })
})

describe('variables', () => {
  test.each([
    ['${env:KEY}', '${KEY}'],
    ['${env:KEY:-x}', '${KEY:-x}'],
    ['a${userHome}b${/}${pathSeparator}', 'a${HOME}b//'],
    ['${workspaceFolder}/x', '${WORKSPACE_FOLDER}/x'],
    ['${input:some-key}', '${SOME_KEY}'],
    ['${config:a.b}', '${CONFIG_A_B}'],
    ['${KEY:-env:x}', '${KEY:-env:x}'],
    ['$KEY ${env:} ${env', '$KEY ${env:} ${env'],
  ])('%s is %s', (written, expected) => {
    const env = { KEY: 'k', HOME: '/h', WORKSPACE_FOLDER: '/w', SOME_KEY: 's', CONFIG_A_B: 'c' }
    const { a, faults } = entry({ command: 'x', args: [written], alwaysAllow: [] }, env)
    expect(faults).toEqual([])
    expect(a?.args).toEqual([expected])
  })

  test('are replaced once: what one holds is text', () => {
    const file = servers({ command: 'x', trust: true, args: ['${env:A}'] })
    const { config } = json(file, { A: '${env:B}${B}$B', B: 'no' })
    expect(config?.mcpServers.a).toMatchObject({ args: ['${env:B}${B}$B'] })
  })

  test('with a dollar only are those of Gemini CLI', () => {
    const env = { KEY: 'k' }
    expect(entry({ command: 'x', trust: true, args: ['$KEY $k'] }, env).a?.args).toEqual([
      '${KEY} $k',
    ])
    expect(entry({ command: 'x', alwaysAllow: [], args: ['$KEY'] }, env).a?.args).toEqual(['$KEY'])
  })

  test.each([
    [
      servers({ url: 'https://b/', headers: { A: 'Bearer ${env:NONE}' } }),
      'mcpServers.a.headers.A: the variable NONE is not set',
    ],
    [
      servers({ command: 'x', args: ['${workspaceFolder}'] }),
      'mcpServers.a.args[0]: the variable WORKSPACE_FOLDER is not set',
    ],
    [
      { servers: { a: { command: 'x', env: { K: '${input:api-key}' } } }, inputs: [] },
      'servers.a.env.K: the variable API_KEY is not set',
    ],
    [
      { mcp: { a: { type: 'local', command: ['x', '{env:NONE}'] } } },
      'mcp.a.command[1]: the variable NONE is not set',
    ],
    [
      { mcp_servers: { a: { url: 'https://b/', bearer_token_env_var: 'NONE' } } },
      'mcp_servers.a.bearer_token_env_var: the variable NONE is not set',
    ],
    [
      { mcp_servers: { a: { url: 'https://b/', env_http_headers: { K: 'NONE' } } } },
      'mcp_servers.a.env_http_headers.K: the variable NONE is not set',
    ],
    [
      { mcp_servers: { a: { command: 'x', env_vars: ['NONE'] } } },
      'mcp_servers.a.env_vars[0]: the variable',
    ],
  ])('that are not set are told at their place: %j', (file, expected) => {
    const { faults } = json(file)
    expect(faults).toHaveLength(1)
    expect(faults[0]).toContain(`: ${expected}`)
  })

  test('where nobody looks, and of what is switched off, need not be set', () => {
    const files = [
      servers({ command: 'x', description: '${NONE}', trust: true }),
      servers({ command: 'x', args: ['${NONE}'], trust: true, disabled: true }),
      servers({ command: 'x', args: ['${NONE}'], trust: true, enabled: false }),
      { servers: { a: { command: 'x', dev: { watch: '${workspaceFolder}' } } } },
      { mcp: { servers: { a: { command: 'x' } } }, 'x.y': ['${env:NONE}'] },
      { mcp_servers: { a: { url: 'https://b/', enabled: false, bearer_token_env_var: 'NONE' } } },
      { mcp_servers: { a: { command: 'x' } }, notify: ['${NONE}'] },
    ]
    expect(files.flatMap((file) => json(file).faults)).toEqual([])
  })

  test('of inputs have the default of the input, if it can be written', () => {
    const file = (value: unknown) => ({
      inputs: [{ id: 'k', default: value }, null, 7],
      servers: { a: { command: '${input:k}' } },
    })
    expect(json(file('x')).config?.mcpServers.a).toMatchObject({ command: 'x' })
    expect(json(file('}')).faults[0]).toContain('the variable K is not set')
    expect(json(file(7)).faults[0]).toContain('the variable K is not set')
  })
})

describe('options', () => {
  test.each([
    [
      { url: 'https://b/', type: 'sse', trust: true },
      { url: 'https://b/', type: 'sse' },
    ],
    [{ httpUrl: 'https://b/' }, { url: 'https://b/', type: 'streamable-http' }],
    [{ serverUrl: 'https://b/' }, { url: 'https://b/' }],
    [{ url: 'https://b/', type: 'remote' }, { url: 'https://b/' }],
    [
      { command: 'x', autoApprove: [], timeout: 3600 },
      { command: 'x', timeout: 3_600_000 },
    ],
    [
      { command: 'x', autoApprove: [], timeout: 3601 },
      { command: 'x', timeout: 3601 },
    ],
    [
      { command: 'x', trust: true, timeout: 60 },
      { command: 'x', timeout: 60 },
    ],
    [
      { command: 'x', trust: true, enabled: false },
      { command: 'x', disabled: true },
    ],
    [
      { command: 'x', excludeTools: ['a'], disabledTools: ['b'] },
      { command: 'x', tools: { block: ['a', 'b'] } },
    ],
    [
      { command: 'x', includeTools: ['a(b)'], excludeTools: [] },
      { command: 'x', tools: { allow: ['a'], block: [] } },
    ],
  ])('%j is %j', (server, expected) => {
    const { a, faults, warnings } = entry(server)
    expect({ a, faults, warnings }).toEqual({ a: expected, faults: [], warnings: [] })
  })

  test('that are wrong are told in the words of the file', () => {
    const { faults } = toml(
      '[mcp_servers.a]\ncommand = 7\n\n[mcp_servers.b]\nurl = "ftp://b"\ntool_timeout_sec = "1"',
    )
    expect(faults).toEqual([
      'c.toml:2: mcp_servers.a.command: expected a string, got a number; put it in double quotes',
      'c.toml:6: mcp_servers.b.tool_timeout_sec: expected a number, got a string; leave out the quotes',
    ])
  })

  test('of ours that what was written does not make are told at its place', () => {
    const { faults } = toml('[mcp_servers.a]\nurl = "https://me:hunter2@b/"\ncommand = "x"')
    expect(faults).toEqual([
      'c.toml:2: mcp_servers.a.url: a server has either "command" or "url"; keep one of them',
    ])
  })

  test('that nobody knows are told, and ignored', () => {
    expect(entry({ command: 'x', trust: true, foo: '${NONE}' }).warnings).toEqual([
      'c.json:6: mcpServers.a.foo: unknown key; it is ignored',
    ])
    expect(json(servers({ command: 'x', trust: true }, { foo: 1 })).warnings).toEqual([
      'c.json:8: foo: unknown key; it is ignored',
    ])
    const { warnings } = json(servers({ command: 'x' }, { theme: 'x', foo: 1, group: {} }))
    expect(warnings).toEqual([
      'c.json:9: group: unknown key; it is ignored; did you mean "groups"?',
    ])
  })

  test('that mean a login, a sandbox or a file are told once', () => {
    const a = { command: 'x', envFile: '.env', sandboxEnabled: true }
    const { warnings } = json({ servers: { a, b: a } })
    expect(warnings.map((text) => text.split(': ')[1])).toEqual([
      'servers.a.envFile',
      'servers.a.sandboxEnabled',
    ])
  })
})

describe('names', () => {
  test('that do not fit into a URL become others, which nobody else has', () => {
    const { native, warnings } = json({
      servers: { 'a/b c': { command: 'x' }, toString: { command: 'y' } },
    })
    expect(Object.keys(native?.mcpServers as object)).toEqual(['a-b-c', 'toString'])
    expect(warnings).toHaveLength(1)
    const taken = json({ servers: { 'a/b': { command: 'x' }, 'a-b': { command: 'y' } } })
    expect(taken.faults[0]).toContain('a server name has 1 to 64 letters')
    expect(json({ servers: { '///': { command: 'x' } } }).faults).toHaveLength(1)
  })

  test('that every object has are no way to anything', () => {
    const text = '{"servers": {"__proto__": {"command": "x"}, "a": {"command": "y"}}}'
    expect(read(text, 'c.json').faults[0]).toContain('is a reserved name')
    expect('command' in {}).toBe(false)
  })

  test('of headers and variables that hold a secret are cut short', () => {
    const { faults } = toml(
      '[mcp_servers.a]\nurl = "https://b/"\nhttp_headers = { "K: hunter2" = 1 }',
    )
    expect(faults[0]).toContain('http_headers["K:…"]')
    expect(faults.join()).not.toContain('hunter2')
  })
})

test('no fault and no warning shows what may be a secret', () => {
  const secret = 'hunter2'
  const wrong = { args: secret, env: secret, headers: [secret], timeout: secret, cwd: [secret] }
  const told = [
    json({ servers: { a: { command: 'x', ...wrong } } }),
    json(servers({ command: 'x', alwaysAllow: [], args: [{ a: secret }], env: [secret] })),
    json({ mcp: { a: { type: 'local', command: secret, environment: { A: [secret] } } } }),
    json({ mcp_servers: { a: { url: 7, bearer_token: [secret], env_vars: [{ x: secret }] } } }),
    toml(`[mcp_servers.a]\nurl = "https://u:${secret}@b/"\nbearer_token = ${secret}`),
    json(servers({ url: `ftp://u:${secret}@b/?${secret}`, oauth: { clientSecret: secret } })),
  ]
  for (const { faults } of told) {
    expect(faults).not.toBeEmpty()
    expect(faults.join('\n')).not.toContain(secret)
  }
})

describe('TOML', () => {
  test('may be ours, too, and is known by its name or its look', () => {
    const text = '# mine\n[mcpServers.a]\ncommand = "x"\n[gateway]\nport = 0\n'
    for (const source of ['c.toml', 'C.TOML', 'http://b/c']) {
      const { config, format, faults } = read(text, source)
      expect({ faults, format }).toEqual({ faults: [], format: undefined })
      expect(config).toMatchObject({ gateway: { port: 0 }, mcpServers: { a: { command: 'x' } } })
    }
  })

  test('is told with the line of the table that lacks something, or of the value that is wrong', () => {
    const { faults } = toml('[gateway]\nport = "x"\n\n[mcpServers.a]\nargs = [\n "x",\n 7]\n')
    expect(faults).toEqual([
      'c.toml:2: gateway.port: expected a number, got "x"',
      'c.toml:7: mcpServers.a.args[1]: expected a string, got a number; put it in double quotes',
    ])
    expect(toml('\n[mcpServers.a]\ncomand = "x"').faults).toEqual([
      'c.toml:3: mcpServers.a.comand: unknown key; did you mean "command"?',
    ])
    expect(toml('\n[mcpServers.a]\n').faults[0]).toStartWith('c.toml:2: mcpServers.a: expected')
    expect(toml('').faults[0]).toStartWith('c.toml:1: mcpServers: is missing')
  })

  test('that is neither is told as JSON, unless it is called TOML', () => {
    expect(read('text', 'c.json').faults[0]).toStartWith('c.json:1: not JSON: ')
    expect(toml('{"a": 1}').faults[0]).toBe('c.toml:1: not TOML: a name is expected')
  })
})
