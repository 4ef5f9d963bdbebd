/** Whose a configuration is, by its shape; and what of ours may stand in it. */
import { describe, expect, test } from 'bun:test'
import { adapted } from './adapted.ts'

const A = { url: 'https://a.example/mcp' }

describe('a file is that of', () => {
  test.each([
    ['mcp-proxy', { mcpProxy: { addr: ':1' }, mcpServers: {} }],
    ['mcp-proxy', { mcpProxy: null }],
    ['mcp-proxy', { mcpProxy: { addr: ':1' }, clients: {} }],
    ['mcp-proxy (old)', { server: { addr: ':1' }, clients: {} }],
    ['mcp-proxy (old)', { server: { globalAuthTokens: [] }, mcpServers: {} }],
    ['mcp-proxy (old)', { clients: {} }],
    ['mcp-proxy (old)', { server: { addr: ':1' }, mcpServers: {}, clients: {} }],
    ['the pooling gateway', { servers: [] }],
    ['the pooling gateway', { gateway: { port: 1 }, pool: {}, servers: [] }],
    ['the provider gateway', { mcpServer: { services: {} } }],
    ['the provider gateway', { mcpServer: { baseUrl: 'https://a.example' } }],
    ['the provider gateway', { gatewayBaseUrl: 'https://a.example' }],
    ['the provider gateway', { port: 3000, oauth: { clientId: 'x' } }],
    [undefined, { mcpServers: {} }],
    [undefined, { gateway: { port: 1 }, mcpServers: { mcpProxy: A, clients: A, server: A } }],
  ])('%s: %j', (format, written) => {
    const parsed = adapted(written)
    expect(parsed.faults).toEqual([])
    expect(parsed.format).toBe(format)
  })

  test('nobody else when one of ours has a slip', () => {
    for (const [written, fault] of [
      [{ mcpServer: { a: A } }, /unknown key; did you mean "mcpServers"\?/],
      [{ mcpServers: {}, mcpServer: { services: A } }, /mcpServer: unknown key/],
      [{ mcpServers: {}, server: { a: A } }, /server: unknown key/],
      [{ mcpServers: {}, clients: { a: A } }, /clients: unknown key/],
      [{ mcpServers: {}, oauth: { clientId: 'x' } }, /oauth: unknown key/],
      [{ port: 3000, mcpServers: {} }, /port: unknown key; it belongs in "gateway"/],
    ] as const) {
      expect(adapted(written).faults.join('\n')).toMatch(fault)
    }
  })
})

describe('what is not what it should be is told of in the words of the file', () => {
  test.each([
    [{ mcpProxy: [] }, ':2: mcpProxy: expected an object {…}, got an array'],
    [{ mcpProxy: { addr: 1 } }, ':3: mcpProxy.addr: expected a string, got a number'],
    [{ mcpProxy: { addr: ':1' }, mcpServers: { a: null } }, ':6: mcpServers.a: expected an object'],
    [
      { mcpProxy: { addr: ':1' }, mcpServers: { a: 'hunter2' } },
      ':6: mcpServers.a: expected an obj',
    ],
    [
      { mcpProxy: { addr: ':1', options: { authTokens: 'hunter2' } } },
      ':5: mcpProxy.options.authTokens: expected an array […], got a string',
    ],
    [{ servers: {}, mapping: {} }, ':2: servers: expected an array […]'],
    [{ servers: [{ type: 'local' }] }, ':3: servers[0].name: is missing'],
    [{ servers: [{ name: 'a', command: 'uvx' }] }, ':5: servers[0].command: expected an array […]'],
    [{ port: '3000', mcpServer: { services: {} } }, ':2: port: expected a number'],
    [
      { mcpServer: { services: { a: 1 } } },
      ':4: mcpServer.services.a: expected a string, got a number; put it in double quotes',
    ],
  ])('%j', (written, fault) => {
    const { faults } = adapted(written)
    expect(faults).toEqual([expect.stringContaining(`c.json${fault}`)])
    expect(faults.join()).not.toContain('hunter2')
  })

  test('of a name with a token in it only the name is shown, whatever is wrong there', () => {
    for (const server of [
      null,
      { url: 'ftp://a' },
      { ...A, headers: { 'a b': 'c' } },
      { ...A, options: { authTokens: [''] } },
      { ...A, timeout: 'x' },
      { ...A, unknown: 1 },
    ]) {
      for (const section of ['mcpServers', 'clients']) {
        const entry = section === 'clients' ? { type: 'sse', config: server } : server
        const written = { mcpProxy: { addr: ':1' }, [section]: { 'a/PathToken': entry } }
        const { warnings, faults } = adapted(written)
        expect([...warnings, ...faults].join('\n')).toContain(`${section}["a/…"]`)
        expect([...warnings, ...faults].join('\n')).not.toContain('PathToken')
      }
    }
  })
})

describe('in a file of another program', () => {
  test.each([
    ['mcp-proxy', { mcpProxy: { addr: '0.0.0.0:9090' } }],
    ['the pooling gateway', { servers: [] }],
    ['the provider gateway', { mcpServer: { services: {} } }],
  ])('options of "gateway" may be written: %s', (_, file) => {
    const gateway = { allowUnauthenticated: true, allowedOrigins: ['https://app.example'], port: 7 }
    const { config, faults } = adapted({ ...file, gateway })
    expect(faults).toEqual([])
    expect(config?.gateway).toMatchObject({ host: '0.0.0.0', ...gateway })
    const wrong = adapted({ ...file, gateway: { allowUnauthenticated: 'yes' } })
    expect(wrong.faults).toEqual([
      expect.stringMatching(/:\d+: gateway\.allowUnauthenticated: expected true or false/),
    ])
  })

  test('no object gets what was written for a name that all of them have', () => {
    const file = {
      servers: [{ name: 'a', command: ['uvx'] }],
      mapping: { a: { prefix: 'p', rename: { polluted: '__proto__' } } },
    }
    expect(adapted(file).faults).toEqual([
      expect.stringMatching(/: mapping\.a\.rename\.polluted: stands for a name that is reserved$/),
    ])
    adapted({ servers: [{ name: '__proto__', command: ['polluted'], type: 'local' }] })
    adapted(
      '{"mcpProxy": {"addr": ":1"}, "mcpServers": {"__proto__/PathToken": {"url": "polluted"}}}',
    )
    adapted('{"mcpServer": {"services": {"__proto__": "/polluted"}}}')
    expect(({} as Record<string, unknown>).command).toBeUndefined()
    expect(({} as Record<string, unknown>).url).toBeUndefined()
  })

  test('variables are still there when it is converted', () => {
    const env = { BASE: 'https://a.example', KEY: 'hunter2' }
    const provider = adapted(
      { gatewayBaseUrl: '${BASE}', mcpServer: { baseUrl: '${BASE}', services: { a: '/a?b=c' } } },
      env,
    )
    expect(provider.config?.mcpServers.a).toMatchObject({ url: 'https://a.example/a?b=c' })
    expect(provider.native).toMatchObject({
      gateway: { baseURL: '${BASE}', servicesURL: '${BASE}' },
      mcpServers: { a: { url: '${BASE}/a?b=c' } },
    })
    const proxy = adapted(
      {
        mcpProxy: { addr: ':1', baseURL: '${BASE}', options: { authTokens: ['${KEY}'] } },
        mcpServers: { a: { url: '${BASE}', headers: { 'x-key': '${KEY}' } } },
      },
      env,
    )
    expect(proxy.faults).toEqual([])
    expect(proxy.native).toMatchObject({
      gateway: { baseURL: '${BASE}' },
      auth: { tokens: [{ token: '${KEY}' }] },
      mcpServers: { a: { url: '${BASE}', headers: { 'x-key': '${KEY}' } } },
    })
    expect(JSON.stringify(proxy.native)).not.toContain('hunter2')
  })

  test('keys that nobody knows are told of, and no more', () => {
    const { config, warnings } = adapted({
      ...{ mcpProxy: { addr: ':1', adr: ':2' } },
      ...{ mcpServers: { a: { ...A, type: 'sse', options: { toolfilter: {} } } }, extra: 1 },
    })
    expect(config).toBeDefined()
    expect(warnings).toEqual([
      'c.json:4: mcpProxy.adr: unknown key; it is ignored',
      'c.json:9: mcpServers.a.type: unknown key; it is ignored',
      'c.json:11: mcpServers.a.options.toolfilter: unknown key; it is ignored',
      'c.json:15: extra: unknown key; it is ignored',
    ])
  })

  test('a variable without braces is told of, if it is set', () => {
    const file = (text: string) => ({
      mcpProxy: { addr: ':1' },
      mcpServers: { a: { ...A, headers: { 'x-key': text } } },
    })
    const told = (text: string) => adapted(file(text), { KEY: 'hunter2' }).warnings
    expect(told('$KEY')).toEqual([
      expect.stringMatching(
        /^c\.json:9: mcpServers\.a\.headers\.x-key: has a variable .*\$\{NAME\}/,
      ),
    ])
    for (const text of ['$OTHER', 'pa$$word', '$1', '${KEY}']) expect(told(text)).toEqual([])
  })
})

describe('who may come', () => {
  const proxy = (options: object, mcpServers: object, type = 'streamable-http') =>
    adapted({ mcpProxy: { addr: ':1', type, options }, mcpServers })
  const empty = { ...A, options: { authTokens: [] } }
  const oauth2 = { enabled: true, users: { alice: 'hunter2' } }

  test.each(['streamable-http', 'sse'])('an empty list opens nothing beside logins: %s', (type) => {
    const { native, config } = proxy({ oauth2, authTokens: ['hunter2'] }, { a: empty, b: A }, type)
    expect(native).toMatchObject({
      mcpServers: { a: A, b: A },
      auth: { oauth: { users: oauth2.users }, tokens: [{ token: 'hunter2', servers: ['b'] }] },
    })
    expect(config?.mcpServers.a?.public).toBe(false)
  })

  test('nor does none at all', () => {
    const b = { ...A, options: { authTokens: ['hunter2'] } }
    const { native } = proxy({ oauth2 }, { a: A, b })
    expect(native).toMatchObject({ auth: { tokens: [{ token: 'hunter2', servers: ['b'] }] } })
  })

  test('that tokens are good beside logins is told once, and only if there are any', () => {
    const b = { ...A, options: { authTokens: ['hunter3'] } }
    const both = proxy({ oauth2, authTokens: ['hunter2'] }, { a: A, b })
    expect(both.warnings).toEqual([expect.stringMatching(/authTokens\[0\]: .* are good besides/)])
    expect(proxy({ oauth2 }, { a: A }).warnings).toEqual([])
    const sse = proxy({ oauth2, authTokens: ['hunter2'] }, { a: A }, 'sse')
    expect(sse.warnings).toEqual([expect.stringContaining('mcpProxy.type: mcp-proxy ignores')])
  })

  test('a token in a name is good beside logins, and is not told', () => {
    const { config, warnings } = proxy({ oauth2 }, { 'a/PathToken': A })
    expect(config?.auth.tokens).toMatchObject([{ servers: ['a'] }])
    expect(warnings).toEqual([expect.stringContaining('mcpServers["a/…"]: mcp-proxy takes no')])
  })

  test('with several filters each user has the servers that none of them keeps from them', () => {
    const only = (...list: string[]) => ({ ...A, options: { userFilter: { mode: 'allow', list } } })
    const not = (...list: string[]) => ({ ...A, options: { userFilter: { mode: 'block', list } } })
    const users = { alice: 'hunter2', bob: 'hunter2', eve: 'hunter2' }
    const servers = { a: only('alice', 'bob'), b: not('bob', 'eve'), c: not('eve'), 'd/Tok1': A }
    const { config, warnings } = proxy({ oauth2: { enabled: true, users } }, servers)
    expect(config?.auth.oauth?.users).toMatchObject({
      bob: { servers: ['a', 'c', 'd'] },
      eve: { servers: ['d'] },
    })
    expect(config?.auth.oauth?.users.alice).not.toHaveProperty('servers')
    const told = warnings.filter((text) => text.includes('userFilter'))
    expect(told).toEqual([expect.stringContaining('may use: a, b, c; in mcp-proxy')])
    const nobody = { oauth2: { enabled: true, users: { eve: 'hunter2' } } }
    const shut = proxy(nobody, { a: only('alice'), c: not('eve') })
    expect(shut.config?.auth.oauth?.users.eve?.servers).toEqual([])
  })

  test('no user is called as something that every object has', () => {
    for (const name of ['constructor', '__proto__']) {
      const users = JSON.parse(`{"${name}": "hunter2", "alice": "hunter2"}`)
      const { faults } = proxy({ oauth2: { enabled: true, users } }, { a: A })
      expect(faults).toEqual([expect.stringMatching(`users.${name}: is a reserved name; choose`)])
    }
    expect(({} as Record<string, unknown>).password).toBeUndefined()
  })

  test('a server that is disabled keeps its tokens', () => {
    const a = { ...A, options: { disabled: true, authTokens: ['hunter2'] } }
    const { config, faults } = proxy({}, { a, b: empty })
    expect(faults).toEqual([])
    expect(config?.auth.tokens).toMatchObject([{ servers: ['a'], admin: false }])
    expect(config?.mcpServers.b?.public).toBe(true)
  })

  test('in the old format a server without tokens takes any there are', () => {
    const { native, warnings } = adapted({
      server: { addr: ':1' },
      clients: {
        a: { type: 'sse', config: A, authTokens: ['hunter2'] },
        b: { type: 'sse', config: A, authTokens: [] },
      },
    })
    expect(native).toMatchObject({
      mcpServers: { b: A },
      auth: { tokens: [{ token: 'hunter2', servers: ['a', 'b'] }] },
    })
    expect(warnings).toEqual([
      expect.stringMatching(/clients\.b: mcp-proxy asks for no token .* is asked for$/),
    ])
  })

  test('a name with and without a token is one server, if it is the same', () => {
    const options = { toolFilter: { mode: 'block', list: ['x'] } }
    const named = { ...A, options: { ...options, authTokens: ['PathToken'] } }
    const good = proxy({}, { 'a/PathToken': named, a: { ...A, options } })
    expect(good.native).toMatchObject({
      mcpServers: { a: { ...A, tools: { block: ['x'] } } },
      auth: { tokens: [{ token: 'PathToken', servers: ['a'] }] },
    })
    for (const a of [
      { ...A, options: {} },
      { url: 'https://b.example', options },
    ]) {
      const { faults } = proxy({}, { 'a/PathToken': named, a })
      expect(faults).toEqual([
        expect.stringContaining(': mcpServers.a: another server has this name'),
      ])
    }
  })

  test('no token changes anything, under /config', () => {
    const { config } = proxy({ authTokens: ['hunter2', 'hunter3'] }, { a: A })
    expect(config?.auth.tokens.map(({ admin }) => admin)).toEqual([false, false])
  })
})
