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
import { type Folder, folder, type Options, ROOT, start } from '../lifecycle/program.ts'
import { INITIALIZE, post, request } from '../support/http.ts'
import { startServer } from '../support/remote-servers.ts'

const EVERYTHING = join(ROOT, 'test/support/servers/everything.ts')
const TEXT = 'This is a simple text response for testing.'

/** What a golden file begins with: as the manual of the older gateway has it. */
async function manual(name: string): Promise<string> {
  const text = await Bun.file(join(import.meta.dir, 'golden', `${name}.txt`)).text()
  return text.split('\n--------------------\n')[0]!
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

const ANSWER = [{ type: 'text', text: TEXT }]
const isTold = { error: expect.any(String) }

test('mcp-proxy: the example of its manual starts, and each server asks for its tokens', async () => {
  await using where = await place(await manual('mcp-proxy-readme'), 'npx', 'uvx')
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

test('mcp-proxy: without tokens its example with logins lets only this machine in', async () => {
  await using where = await place(await manual('mcp-proxy-oauth'), 'docker')
  await using running = await gateway(where)
  expect(running.warnings).toEqual(await expectedWarnings('mcp-proxy-oauth'))
  expect(running.banner).toContain('not listening on 0.0.0.0')
  for (const path of ['/neo4j-memory/mcp', '/neo4j-memory/sse', '/mcp', '/sse']) {
    await using client = await dial(running.at(path))
    expect(await client.call('test_simple_text')).toEqual(ANSWER)
  }
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
      expect(status).toBe(200)
      expect(body.services).toMatchObject({ ecs: '/mcp/ecs', oss: '/mcp/oss' })
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
