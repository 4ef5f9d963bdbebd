/**
 * Who moves from an older gateway starts this one with the file as it is, and clients go on at their URLs.
 *
 * The programs that the files name are stood in for by a fixture, which is found first in PATH. What lies outside of this
 * machine cannot be reached.
 */
import { expect, test } from 'bun:test'
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { type Folder, folder, type Options, ROOT, run, start } from '../lifecycle/program.ts'
import { INITIALIZE, post, request } from '../support/http.ts'
import { Person } from '../support/person.ts'
import { startServer } from '../support/remote-servers.ts'

const EVERYTHING = join(ROOT, 'test/support/servers/everything.ts')
const TEXT = 'This is a simple text response for testing.'

/** What a golden file begins with: as the manual of the older gateway has it. */
async function manual(name: string): Promise<string> {
  const text = await Bun.file(join(import.meta.dir, 'golden', `${name}.txt`)).text()
  return text.split('\n--------------------\n')[0]!
}

/** The same, with what it keeps in a folder of ours: the root of this machine is nobody's to write to. */
async function ofManual(name: string): Promise<string> {
  return (await manual(name)).replaceAll('"/custom/', '"custom/')
}

/** The warnings that a golden file ends with. */
async function expectedWarnings(name: string): Promise<string[]> {
  const text = await Bun.file(join(import.meta.dir, 'golden', `${name}.txt`)).text()
  return text.split('\n').filter((line) => line.startsWith('warning: '))
}

/** A place with a configuration, and programs by these names. */
async function place(config: unknown, ...programs: string[]): Promise<Folder> {
  const script = (name: string) =>
    `#!/bin/sh\nexec '${process.execPath}' '${EVERYTHING}' --name ${name}\n`
  const scripts = programs.map((name) => [`bin/${name}`, script(name)])
  const made = await folder({ 'c.json': config, ...Object.fromEntries(scripts) })
  for (const name of programs) await chmod(join(made.path, 'bin', name), 0o755)
  return made
}

/** The gateway at a free port of this machine. */
async function gateway(where: Folder, env: Options['env'] = {}) {
  const PATH = `${join(where.path, 'bin')}:${process.env.PATH}`
  // Where nothing listens.
  const nowhere = { HTTPS_PROXY: 'http://127.0.0.1:9', https_proxy: 'http://127.0.0.1:9' }
  const argv = ['--config', 'c.json', '--port', '0']
  const program = await start(argv, { in: where, env: { PATH, ...nowhere, ...env } })
  const { port } = program.url
  const at = (path: string) => new URL(path, `http://127.0.0.1:${port}`)
  const printed = program.stdout.text.split('\n')
  return {
    at,
    banner: program.stdout.text,
    /** Waits for a line of the log. */
    logged: (line: RegExp) => program.stderr.until(line),
    warnings: printed.filter((line) => line.startsWith('warning: ')),
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  }
}

const bearer = (token?: string): Record<string, string> =>
  token === undefined ? {} : { authorization: `Bearer ${token}` }

/** A client of Streamable HTTP, or of SSE if the URL ends so. */
async function dial(url: URL, token?: string) {
  const requestInit = { headers: bearer(token) }
  const transport = url.pathname.endsWith('/sse')
    ? new SSEClientTransport(url, { requestInit })
    : new StreamableHTTPClientTransport(url, { requestInit })
  const client = new Client({ name: 'test', version: '1' })
  await client.connect(transport as Parameters<Client['connect']>[0])
  return {
    names: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name: string) => (await client.callTool({ name })).content,
    [Symbol.asyncDispose]: () => client.close(),
  }
}

/** The status that a client is answered with who would open a session. */
async function knock(url: URL, token?: string): Promise<number> {
  const { status, body } = await post(url, request(0, 'initialize', INITIALIZE), bearer(token))
  await body?.cancel()
  return status
}

async function json(url: URL, init: RequestInit = {}) {
  const response = await fetch(url, init)
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

const toolsOf = ({ body }: { body: Record<string, unknown> }) =>
  body.tools as { name: string; serverName: string }[]

const callOf = (name: string, token?: string): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...bearer(token) },
  body: JSON.stringify({ name }),
})

/** A client as the older proxy has kept it. It registered itself there. */
const CLAUDE = {
  id: 'a-client-of-thirty-two-characters',
  back: 'https://claude.ai/api/mcp/auth_callback',
}
const LOGIN = {
  ...{ Token: 'access-'.padEnd(48, 'a'), RefreshToken: 'refresh-'.padEnd(48, 'r') },
  ...{ ClientID: CLAUDE.id, Scope: 'mcp', Resource: 'https://mcp.example.com/fetch' },
  ...{ ExpiresAt: '2125-06-01T00:00:00Z', Username: 'admin' },
}
const KEPT = {
  clients: {
    [CLAUDE.id]: {
      ...{ client_id: CLAUDE.id, client_secret: 's'.repeat(48), redirect_uris: [CLAUDE.back] },
      ...{ grant_types: ['authorization_code'], client_id_issued_at: '2025-06-01T00:00:00Z' },
      client_name: 'Claude',
    },
  },
  accessTokens: { [LOGIN.Token]: LOGIN },
  savedAt: '2025-06-01T00:00:00Z',
}

type At = (path: string) => URL

const register = (at: At, headers: Record<string, string> = {}) =>
  json(at('/oauth/register'), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({
      ...{ client_name: 'Claude', redirect_uris: [CLAUDE.back] },
      token_endpoint_auth_method: 'none',
    }),
  })

/**
 * The token that a client has for a resource, after the admin of the example has logged in and agreed.
 *
 * Everything is at the loopback: there is no proxy before us that would make it what it is called.
 */
async function logIn(
  at: At,
  client: typeof CLAUDE,
  base: string,
  path: string,
  password = 'password123',
): Promise<string> {
  const resource = base + path
  const verifier = 'a-verifier-of-forty-three-characters-or-more'
  const challenge = new Bun.CryptoHasher('sha256').update(verifier).digest('base64url')
  const query = new URLSearchParams({
    ...{ response_type: 'code', client_id: client.id, redirect_uri: client.back, resource },
    ...{ code_challenge: challenge, code_challenge_method: 'S256', scope: 'mcp', state: 'st' },
  })
  const { host } = new URL(base)
  const here = (url: string | URL | Request, init: RequestInit = {}) => {
    const { pathname, search } = new URL(`${url}`)
    const headers = new Headers(init.headers)
    headers.set('host', host)
    return fetch(at(pathname + search), { ...init, headers })
  }
  const person = new Person('admin', password, here as typeof fetch)
  const back = await person.authorize(`${base}/oauth/authorize?${query}`)
  expect(back.origin + back.pathname).toBe(client.back)
  const { status, body } = await json(at('/oauth/token'), {
    method: 'POST',
    body: new URLSearchParams({
      ...{ grant_type: 'authorization_code', client_id: client.id, redirect_uri: client.back },
      ...{ code: back.searchParams.get('code')!, code_verifier: verifier, resource },
    }),
  })
  expect([status, body.token_type]).toEqual([200, 'Bearer'])
  return `${body.access_token}`
}

const ANSWER = [{ type: 'text', text: TEXT }]
const isTold = { error: expect.any(String) }

test('mcp-proxy: the example of its manual starts, and each server asks for its tokens', async () => {
  await using where = await place(await ofManual('mcp-proxy-readme'), 'npx', 'uvx')
  await using running = await gateway(where)
  const { at } = running
  expect(running.warnings).toEqual(await expectedWarnings('mcp-proxy-readme'))
  expect(running.banner).not.toMatch(/DefaultTokens|SpecificTokens|password123/)

  for (const [path, token] of [
    ['/github/mcp', 'DefaultTokens'],
    ['/github/sse', 'DefaultTokens'],
    ['/fetch/mcp', 'SpecificTokens'],
    ['/fetch/sse', 'SpecificTokens'],
    ['/fetch/SpecificTokens/mcp', undefined],
    ['/fetch/SpecificTokens/sse', undefined],
  ] as const) {
    await using client = await dial(at(path), token)
    expect(await client.names()).toContain('test_simple_text')
    expect(await client.call('test_simple_text')).toEqual(ANSWER)
  }
  for (const [path, token, status] of [
    ['/github/mcp', undefined, 401],
    ['/github/mcp', 'SpecificTokens', 404],
    ['/github/mcp', 'defaulttokens', 401],
    ['/github/SpecificTokens/mcp', undefined, 404],
    ['/fetch/mcp', 'DefaultTokens', 404],
    ['/fetch/mcp', 'password123', 401],
    ['/fetch/sse', undefined, 401],
    ['/mcp', undefined, 401],
  ] as const) {
    expect([path, token, await knock(at(path), token)]).toEqual([path, token, status])
  }

  const { status, body } = await json(at('/health'))
  expect([status, Object.keys(body)]).toEqual([200, ['status', 'version', 'ready']])
  const tools = await json(at('/tools'), { headers: bearer('SpecificTokens') })
  expect(new Set(toolsOf(tools).map(({ serverName }) => serverName))).toEqual(new Set(['fetch']))
  expect((await json(at('/tools'))).status).toBe(401)
  const call = callOf(toolsOf(tools).find(({ name }) => name.endsWith('simple_text'))!.name)
  expect(await json(at('/tools/call'), call)).toMatchObject({ status: 401, body: isTold })
})

test('mcp-proxy: what the example of its manual has kept is taken over, and people log in', async () => {
  await using where = await place(await ofManual('mcp-proxy-readme'), 'npx', 'uvx')
  const kept = join(where.path, 'custom/path/oauth/oauth_clients.json')
  await Bun.write(kept, JSON.stringify(KEPT))
  await using running = await gateway(where)
  const { at } = running

  await running.logged(/oauth_clients\.json: took over 1 clients and 1 logins, left out 0/)
  const [told] = await running.logged(/"admin\W+user\W+ the configuration holds the password.*\n/)
  expect(told).not.toMatch(/password123|mypassword/)
  const { status, body } = await register(at)
  expect([status, body.error]).toEqual([403, 'access_denied'])
  const forged = await register(at, { 'x-forwarded-for': '34.162.46.92' })
  expect(forged.status).toBe(403)

  const BASE = 'https://mcp.example.com'
  const challenged = await fetch(at('/github/mcp'), { method: 'POST' })
  const named = `${BASE}/.well-known/oauth-protected-resource/github/mcp`
  expect(challenged.headers.get('www-authenticate')).toContain(`resource_metadata="${named}"`)
  expect((await json(at(new URL(named).pathname))).body).toMatchObject({
    resource: `${BASE}/github/mcp`,
    authorization_servers: [BASE],
  })

  const token = await logIn(at, CLAUDE, BASE, '/github/mcp')
  await using client = await dial(at('/github/mcp'), token)
  expect(await client.call('test_simple_text')).toEqual(ANSWER)
  expect(await knock(at('/fetch/mcp'), token)).toBe(401)

  await using before = await dial(at('/fetch/mcp'), LOGIN.Token)
  expect(await before.call('test_simple_text')).toEqual(ANSWER)
  expect(await knock(at('/github/mcp'), LOGIN.Token)).toBe(401)
  expect(await Bun.file(kept).json()).toEqual(KEPT)

  const failing = logIn(at, CLAUDE, BASE, '/github/mcp', 'password1234')
  await expect(failing).rejects.toThrow(/Sign in|Log in/i)
})

test('mcp-proxy: without "allowedIPs" clients register, and people use what filters leave them', async () => {
  const config = {
    mcpProxy: {
      ...{ baseURL: 'https://mcp.example.com/gw', addr: ':9090', type: 'sse' },
      options: {
        oauth2: { enabled: true, users: { admin: 'password123' }, persistenceDir: 'kept' },
      },
    },
    mcpServers: {
      github: { command: 'npx', inheritEnv: true },
      fetch: {
        ...{ command: 'uvx', inheritEnv: true },
        options: { userFilter: { mode: 'Block', list: ['admin'] } },
      },
    },
  }
  await using where = await place(config, 'npx', 'uvx')
  await using running = await gateway(where)
  const { at } = running
  expect(running.warnings).toEqual([
    expect.stringContaining('c.json:5: mcpProxy.type: mcp-proxy ignores "oauth2"'),
    expect.stringMatching(/mcpServers\.fetch\.options\.userFilter: limits who .* may use: fetch/),
  ])
  const BASE = 'https://mcp.example.com/gw'
  for (const path of ['/gw/github/sse', '/github/mcp', '/fetch/mcp', '/mcp', '/sse']) {
    expect([path, await knock(at(path))]).toEqual([path, 401])
  }
  const { status, body } = await register(at)
  expect(status).toBe(201)
  const registered = { id: `${body.client_id}`, back: CLAUDE.back }
  for (const path of ['/github/mcp', '/github/sse']) {
    const token = await logIn(at, registered, BASE, path)
    await using client = await dial(at(`/gw${path}`), token)
    expect(await client.call('test_simple_text')).toEqual(ANSWER)
    expect(await knock(at('/fetch/mcp'), token)).toBe(401)
  }
  const everywhere = await logIn(at, registered, BASE, '/mcp')
  const tools = await json(at('/tools'), { headers: bearer(everywhere) })
  expect(new Set(toolsOf(tools).map(({ serverName }) => serverName))).toEqual(new Set(['github']))
  expect(await Bun.file(join(where.path, 'kept/mcp-gateway.sqlite')).exists()).toBe(true)
})

test('mcp-proxy: its example with logins, once converted, starts without a word of it', async () => {
  await using where = await place(await ofManual('mcp-proxy-readme'), 'npx', 'uvx')
  const { code, stdout, stderr } = await run(['convert', 'c.json'], { in: where })
  expect(code).toBe(0)
  expect(stderr.trimEnd().split('\n')).toEqual(await expectedWarnings('mcp-proxy-readme'))
  await Bun.write(join(where.path, 'c.json'), stdout)
  await using running = await gateway(where)
  expect(running.warnings).toEqual([])
  await using client = await dial(running.at('/fetch/mcp'), 'SpecificTokens')
  expect(await client.call('test_simple_text')).toEqual(ANSWER)
  expect((await register(running.at)).status).toBe(403)
})

test('mcp-proxy: its older format starts, and a token in a name is one in the URL', async () => {
  const config = {
    server: {
      addr: ':9090',
      baseURL: 'https://mcp.example.com',
      globalAuthTokens: ['GlobalToken'],
    },
    clients: {
      fetch: { type: 'stdio', config: { command: 'uvx', args: ['mcp-server-fetch'] } },
      'github/PathToken': { type: 'stdio', config: { command: 'npx' }, authTokens: ['OwnToken'] },
    },
  }
  await using where = await place(config, 'uvx', 'npx')
  await using running = await gateway(where)
  expect(running.warnings.join('\n')).toMatch(/clients\["github\/…"\]: mcp-proxy asks for a token/)
  for (const [path, token] of [
    ['/fetch/mcp', 'GlobalToken'],
    ['/github/sse', 'GlobalToken'],
    ['/github/mcp', 'OwnToken'],
    ['/github/PathToken/mcp', undefined],
    ['/github/PathToken/sse', undefined],
  ] as const) {
    await using client = await dial(running.at(path), token)
    expect(await client.call('test_simple_text')).toEqual(ANSWER)
  }
  expect(await knock(running.at('/fetch/PathToken/mcp'))).toBe(404)
  expect(await knock(running.at('/fetch/mcp'), 'OwnToken')).toBe(404)
  expect(await knock(running.at('/github/mcp'))).toBe(401)
})

test('the pooling gateway: its servers start, are merged under their prefixes, and are called as ever', async () => {
  const config = {
    gateway: { host: '0.0.0.0', port: 4298, cors: true },
    pool: { minConnections: 1, maxConnections: 5, acquireTimeout: 10000, idleTimeout: 60000 },
    servers: [
      { name: 'minimax', type: 'local', command: ['uvx', 'x'], enabled: true, poolSize: 3 },
      { name: 'zai-mcp-server', type: 'local', command: ['npx', '-y', 'x'], env: { KEY: 'k' } },
      { name: 'searxng', type: 'local', command: ['mcp-searxng'], enabled: false },
    ],
    mapping: {
      minimax: { prefix: 'minimax', stripPrefix: true },
      'zai-mcp-server': { prefix: 'zhipu' },
      searxng: { prefix: 'searxng' },
    },
    toolFilters: { 'zai-mcp-server': { exclude: ['test_image_content'] } },
  }
  await using where = await place(config, 'uvx', 'npx')
  await using running = await gateway(where)
  const { at } = running
  expect(running.warnings).toEqual([
    expect.stringContaining('c.json:5: gateway.cors: '),
    expect.stringMatching(/c\.json:\d+: servers: servers do not get the whole environment/),
  ])
  expect(running.banner).toContain('not listening on 0.0.0.0')

  for (const path of ['/sse', '/mcp']) {
    await using client = await dial(at(path))
    const names = await client.names()
    expect(names).toContain('minimax_test_simple_text')
    expect(names).toContain('zhipu_test_simple_text')
    expect(names).toContain('minimax_test_image_content')
    expect(names).not.toContain('zhipu_test_image_content')
    expect(await client.call('zhipu_test_simple_text')).toEqual(ANSWER)
  }
  await using single = await dial(at('/minimax/mcp'))
  expect(await single.call('test_simple_text')).toEqual(ANSWER)

  const tools = toolsOf(await json(at('/tools')))
  expect(tools[0]).toMatchObject({ name: 'minimax_test_simple_text', serverName: 'minimax' })
  expect(tools).toContainEqual(
    expect.objectContaining({ name: 'zhipu_test_simple_text', serverName: 'zai-mcp-server' }),
  )
  const called = await json(at('/tools/call'), callOf('minimax_test_simple_text'))
  expect(called).toEqual({ status: 200, body: { result: { content: ANSWER } } })
  const missing = await json(at('/tools/call'), callOf('nothing'))
  expect(missing).toMatchObject({ status: 404, body: isTold })
  expect(await json(at('/health'))).toMatchObject({
    status: 200,
    body: { status: 'ok', ready: true },
  })
})

test('the pooling gateway: a message is posted to where the stream says', async () => {
  const config = { servers: [{ name: 'minimax', type: 'local', command: ['uvx'] }] }
  await using where = await place(config, 'uvx')
  await using running = await gateway(where)
  const stop = new AbortController()
  const stream = await fetch(running.at('/sse'), { signal: stop.signal })
  expect(stream.headers.get('content-type')).toContain('text/event-stream')
  const [first] = await Array.fromAsync(lines(stream, 2))
  expect(first).toBe('event: endpoint')
  stop.abort()
  expect(await knock(running.at('/messages'))).toBe(400)
  expect(await knock(running.at('/messages?sessionId=none'))).toBe(404)
})

async function* lines(response: Response, count: number): AsyncGenerator<string> {
  let text = ''
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk
    if (text.split('\n').length > count) break
  }
  yield* text.split('\n').slice(0, count)
}

test('the provider gateway: the examples of its manual start, and each service is at its URL', async () => {
  await using one = await startServer(['--http', '--name', 'one'])
  // Services are told apart by their paths, and the fixture has only one.
  const provider = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    idleTimeout: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url)
      if (!['/mcp/ecs', '/mcp/oss'].includes(pathname)) return new Response(null, { status: 404 })
      const headers = new Headers(request.headers)
      headers.delete('host')
      const { method, body } = request
      return fetch(one.url, { method, headers, body, signal: request.signal })
    },
  })
  try {
    for (const name of ['provider-readme-short', 'provider-readme-full']) {
      await using where = await place(await manual(name))
      await using running = await gateway(where, {
        OAUTH_CLIENT_ID: 'me',
        MCP_SERVER_BASE_URL: provider.url.href,
      })
      const { at } = running
      expect(running.warnings).toEqual(await expectedWarnings(name))
      expect(running.banner).toContain('not listening on 0.0.0.0')
      for (const path of ['/ecs/mcp', '/oss/mcp']) {
        await using client = await dial(at(path))
        expect(await client.names()).toContain('test_simple_text')
        expect(await client.call('test_simple_text')).toEqual(ANSWER)
      }
      expect(await knock(at('/nothing/mcp'))).toBe(404)
      expect((await json(at('/health'))).body).toMatchObject({
        version: expect.any(String),
        timestamp: expect.any(String),
      })
      const { status, body } = await json(at('/config/services'))
      // Who has a URL elsewhere has a proxy in front, behind which everybody looks like somebody on this machine.
      const isFronted = name === 'provider-readme-full'
      expect(status).toBe(isFronted ? 403 : 200)
      if (!isFronted) expect(body.services).toMatchObject({ ecs: '/mcp/ecs', oss: '/mcp/oss' })
    }
  } finally {
    await provider.stop(true)
  }
})

test('the provider gateway: its port is that of its variable, which must be one', async () => {
  await using where = await place(await manual('provider-readme-short'))
  const failing = gateway(where, { MCP_GATEWAY_PORT: 'hunter2' })
  await expect(failing).rejects.toThrow(/c\.json:2: port: the variable MCP_GATEWAY_PORT must be/)
  await expect(failing).rejects.not.toThrow(/hunter2/)
})
