/** Tools without MCP: what is listed, what a call answers, and how it is refused. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { EventReader } from '../../src/rpc/eventstream.ts'
import { startGateway, stdio, type TestGateway } from '../support/gateway.ts'
import { LOSSLESS } from '../support/servers/raw.ts'
import { json, SESSION, startRemote } from '../support/servers/remote.ts'

let gateway: TestGateway

beforeAll(() => {
  gateway = startGateway(
    { raw: stdio('raw'), everything: stdio('everything') },
    { maxBodySize: 10_000, allowedOrigins: ['https://app.example'] },
  )
})
afterAll(() => gateway.close())

type Headers = Record<string, string>

const post = (body: string, headers: Headers = {}, { url } = gateway, signal?: AbortSignal) =>
  fetch(new URL('tools/call', url), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
    ...(signal ? { signal } : {}),
  })

const call = (name: string, args: unknown = {}, headers: Headers = {}, at = gateway) =>
  post(JSON.stringify({ name, arguments: args }), headers, at)

const STREAMED = { accept: 'text/event-stream' }

const textOf = async (response: Response) => {
  const { result } = (await response.json()) as { result: { content: { text: string }[] } }
  return result.content[0]!.text
}

interface Listed {
  name: string
  serverName: string
  [member: string]: unknown
}

async function list(query = '', { url } = gateway): Promise<Listed[]> {
  const response = await fetch(new URL(`tools${query}`, url))
  expect(response.headers.get('content-type')).toBe('application/json')
  const { tools } = (await response.json()) as { tools: Listed[] }
  return tools
}

/** The events of a stream as `[name, data]`. */
async function* namedEvents(response: Response): AsyncGenerator<[string, unknown]> {
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  let heard: [string, unknown][] = []
  const event = (data: string, type: string) => void heard.push([type, JSON.parse(data)])
  const reader = new EventReader({ event, refused: event }, { lastId: '', retry: undefined }, 1e6)
  for await (const chunk of response.body!) {
    reader.push(chunk)
    yield* heard
    heard = []
  }
}

describe('GET /tools', () => {
  test('lists the tools of all servers, each with its server', async () => {
    const tools = await list()
    expect(tools.map(({ serverName }) => serverName)).toEqual(
      tools.map(({ name }) => name.split('_')[0]!),
    )
    expect(tools.find(({ name }) => name === 'everything_wait')).toEqual({
      name: 'everything_wait',
      description: 'Fixture wait',
      inputSchema: expect.objectContaining({ type: 'object' }),
      serverName: 'everything',
    })
    expect(tools.find(({ name }) => name === 'everything_rich')).toMatchObject({
      title: expect.any(String),
      annotations: expect.any(Object),
      outputSchema: expect.any(Object),
    })
  })

  test('keeps what a server writes as it was written', async () => {
    const text = await (await fetch(new URL('/tools', gateway.url))).text()
    expect(text).toContain('"x-foo": {"a":1.0},"serverName":"raw"}')
  })

  test('lists those of one server', async () => {
    const tools = await list('?server=raw')
    expect(new Set(tools.map(({ serverName }) => serverName))).toEqual(new Set(['raw']))
    expect(tools.length).toBeGreaterThan(10)
  })

  test('lists what is asked for', async () => {
    const named = async (query: string) => (await list(query)).map(({ name }) => name)
    expect(await named('?tools=raw_e*,everything_pid')).toEqual(['raw_echo', 'everything_pid'])
    expect(await named('?servers=everything&tools=raw_e*,everything_pid')).toEqual([
      'everything_pid',
    ])
    expect(await named('?tools=raw_e*,everything_pid&server=raw')).toEqual(['raw_echo'])
  })

  test('lists nothing where there are no servers', async () => {
    await using empty = startGateway({})
    expect(await list('', empty)).toEqual([])
    const response = await call('x', {}, {}, empty)
    expect(response.status).toBe(404)
    expect(await response.json()).toEqual({ error: 'there are no servers' })
  })

  test('lists the others while one server is down, and leaves out a tool that nobody can read', async () => {
    const twice = '{"tools":[{"name":"a","serverName":"x","serverName":"y"},{"name":"b"}]}'
    await using odd = startRemote({
      initialize: ({ id }) => introduced(id),
      'tools/list': ({ id }) => json(`{"jsonrpc":"2.0","id":${id},"result":${twice}}`),
    })
    await using own = startGateway({
      odd: { url: odd.url },
      down: { command: '/does/not/exist' },
      raw: stdio('raw'),
    })
    const names = (await list('', own)).map(({ name }) => name)
    expect(names).toContain('raw_echo')
    expect(names).toContain('odd_b')
    expect(names).not.toContain('odd_a')
  })
})

const introduced = (id: number) =>
  json(
    `{"jsonrpc":"2.0","id":${id},"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"remote","version":"1"}}}`,
    200,
    { 'mcp-session-id': SESSION },
  )

describe('POST /tools/call', () => {
  test('answers with the very bytes of the server', async () => {
    const response = await call('raw_lossless')
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(await response.text()).toBe(`{"result":${LOSSLESS}}`)
  })

  test('passes on arguments as they were written, and nothing else', async () => {
    const args = '{"big":9007199254740993,"f":1.0,"s":"\\u0041"}'
    const body = `{ "_meta":{"progressToken":"mine"}, "arguments" : ${args}, "name":"raw_\\u0065cho", "x":1 }`
    const line = await textOf(await post(body))
    expect(JSON.parse(line)).toMatchObject({ method: 'tools/call' })
    expect(line).toContain(`"arguments":${args}}}`)
    expect(line).not.toContain('mine')
    expect(line).toContain('"name":"echo"')
  })

  test('needs no arguments', async () => {
    expect(await textOf(await post('{"name":"raw_wrong_id"}'))).toBe('right')
  })

  test('brings content of every kind, and what is structured', async () => {
    const result = async (name: string) => {
      const { result } = (await (await call(name)).json()) as { result: Record<string, unknown> }
      return result
    }
    expect(await result('everything_test_image_content')).toMatchObject({
      content: [{ type: 'image', mimeType: 'image/png', data: expect.any(String) }],
    })
    expect(await result('everything_test_multiple_content_types')).toMatchObject({
      content: [{ type: 'text' }, { type: 'image' }, { type: 'resource' }],
    })
    expect(await result('everything_rich')).toMatchObject({
      structuredContent: { answer: 42, words: ['forty', 'two'] },
      _meta: {},
    })
  })

  test('that a tool fails is a result', async () => {
    const response = await call('everything_test_error_handling')
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ result: { isError: true } })
  })

  test('a tool that asks is told that nobody answers', async () => {
    const response = await call('everything_test_elicitation', { message: 'Who?' })
    expect(await response.json()).toMatchObject({ result: { isError: true } })
  })

  const required = { error: 'Tool name is required' }
  test.each<[string, string, Headers, number, object]>([
    ['no name', '{"arguments":{}}', {}, 400, required],
    ['an empty name', '{"name":""}', {}, 400, required],
    ['a name that is a number', '{"name":7}', {}, 400, required],
    ['a body that is a list', '["raw_echo"]', {}, 400, required],
    [
      'two names',
      '{"name":"raw_echo","name":"raw_big"}',
      {},
      400,
      { error: 'the member "name" is there twice' },
    ],
    [
      'arguments that are a list',
      '{"name":"raw_echo","arguments":[]}',
      {},
      400,
      { error: 'arguments: expected an object' },
    ],
    [
      'no JSON',
      '{"name":',
      {},
      400,
      { error: 'the body is not JSON: unexpected the end at position 8' },
    ],
    ['nothing', '', {}, 400, { error: 'the body is not JSON: unexpected the end at position 0' }],
    ['an unknown tool', '{"name":"raw_nothing"}', {}, 404, { error: 'Tool raw_nothing not found' }],
    ['a tool without its prefix', '{"name":"echo"}', {}, 404, { error: 'Tool echo not found' }],
    [
      'a text',
      '{"name":"raw_echo"}',
      { 'content-type': 'text/plain' },
      415,
      { error: 'Content-Type: expected application/json' },
    ],
    [
      'too much',
      `{"name":"raw_echo","arguments":{"x":"${'x'.repeat(10_000)}"}}`,
      {},
      413,
      { error: 'the request body is over 10000 bytes', hint: 'raise gateway.maxBodySize' },
    ],
  ])('of %s is refused', async (_, body, headers, status, said) => {
    const response = await post(body, headers)
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(await response.json()).toEqual(said)
  })

  test.each<[string, string, number, object]>([
    [
      '-32602',
      '{"code":-32602,"message":"a is required","data":{"a":1.0}}',
      422,
      { error: 'a is required', code: -32602, data: { a: 1 } },
    ],
    ['its own', '{"code":-32000,"message":"no"}', 500, { error: 'no', code: -32000 }],
    ['an unknown method', '{"code":-32601,"message":"no"}', 500, { error: 'no', code: -32601 }],
    [
      'nothing said',
      '{"code":"x"}',
      500,
      { error: 'the server answered with an error', code: 'x' },
    ],
  ])('a server that answers with an error (%s) is quoted', async (_, error, status, said) => {
    await using remote = startRemote({
      initialize: ({ id }) => introduced(id),
      'tools/list': ({ id }) =>
        json(`{"jsonrpc":"2.0","id":${id},"result":{"tools":[{"name":"a"}]}}`),
      'tools/call': ({ id }) => json(`{"jsonrpc":"2.0","id":${id},"error":${error}}`),
    })
    await using own = startGateway({ remote: { url: remote.url } })
    const plain = await call('a', {}, {}, own)
    expect([plain.status, await plain.json()]).toEqual([status, said])
    const events = await Array.fromAsync(namedEvents(await call('a', {}, STREAMED, own)))
    expect(events).toEqual([['error', said]])
  })

  test('a server that dies is told of as a bad gateway, and the next call meets another one', async () => {
    const pid = await textOf(await call('everything_pid'))
    const response = await call('everything_crash')
    expect(response.status).toBe(502)
    expect(await response.json()).toMatchObject({ error: expect.stringContaining('everything') })
    expect(await textOf(await call('everything_pid'))).not.toBe(pid)
  })
})

describe('a call whose answer may be an event stream', () => {
  test('brings progress as it comes, and then the result', async () => {
    const events = await Array.fromAsync(
      namedEvents(await call('everything_test_tool_with_progress', {}, STREAMED)),
    )
    expect(events).toEqual([
      ['progress', { progress: 0, total: 100 }],
      ['progress', { progress: 50, total: 100 }],
      ['progress', { progress: 100, total: 100 }],
      [
        'result',
        { result: { content: [{ type: 'text', text: 'Reported progress three times.' }] } },
      ],
    ])
  })

  test('brings what the tool logs', async () => {
    const events = await Array.fromAsync(
      namedEvents(await call('everything_test_tool_with_logging', {}, STREAMED)),
    )
    expect(events.map(([name]) => name)).toEqual(['message', 'message', 'message', 'result'])
    expect(events[0]![1]).toMatchObject({ level: 'info', data: 'Tool execution started' })
  })

  test.each([
    ['text/event-stream', 'text/event-stream'],
    ['text/event-stream, application/json', 'text/event-stream'],
    ['application/json, text/event-stream', 'application/json'],
    ['application/json', 'application/json'],
    ['*/*', 'application/json'],
  ])('is one for a client that takes %s: %s', async (accept, type) => {
    const response = await call('raw_wrong_id', {}, { accept })
    expect(response.headers.get('content-type')).toBe(type)
    expect(await response.text()).toContain('right')
  })

  test('is refused before it begins', async () => {
    expect((await call('raw_nothing', {}, STREAMED)).status).toBe(404)
    expect((await post('{}', STREAMED)).status).toBe(400)
  })
})

test.each<[string, Headers]>([
  ['as JSON', {}],
  ['as events', STREAMED],
])('a call that its client leaves is cancelled on the server (%s)', async (_, headers) => {
  await using own = startGateway({ everything: stdio('everything') })
  const { promise: started, resolve } = Promise.withResolvers<void>()
  const stop = new AbortController()
  const body = JSON.stringify({ name: 'wait', arguments: {} })
  await list('', own)
  const left = post(body, headers, own, stop.signal)
    .then(async (response) => {
      for await (const _ of response.body!) resolve()
    })
    .catch(() => {})
  if (headers === STREAMED) await started
  // Answered after the call arrived.
  await call('pid', {}, {}, own)
  stop.abort()
  await left
  await own.event('request', ({ outcome }) => outcome === 'cancelled')
  while ((await textOf(await call('last_cancelled', {}, {}, own))) !== 'wait') await Bun.sleep(1)
  expect(own.events.filter(({ type }) => type === 'fault')).toEqual([])
})

describe('is refused', () => {
  test.each([
    ['POST', '/tools', 'GET, HEAD'],
    ['DELETE', '/tools?server=raw', 'GET, HEAD'],
    ['GET', '/tools/call', 'POST'],
    ['PUT', '/tools/call', 'POST'],
  ])('%s %s, and told what may be', async (method, path, allow) => {
    const response = await fetch(new URL(path, gateway.url), { method })
    expect([response.status, response.headers.get('allow')]).toEqual([405, allow])
    expect(await response.json()).toEqual({ error: expect.stringContaining(`${method}: use`) })
  })

  test.each([
    ['/tools?server=nobody', 404, 'there is no server "nobody"'],
    ['/tools?servers=nobody', 400, 'nobody'],
    ['/tools?servers=', 400, 'servers'],
    ['/tools?tools=', 400, 'tools'],
  ])('%s', async (path, status, about) => {
    const response = await fetch(new URL(path, gateway.url))
    expect(response.status).toBe(status)
    expect(((await response.json()) as { error: string }).error).toContain(about)
  })

  test('a page that is not ours', async () => {
    const origin = 'https://evil.example'
    expect((await call('raw_echo', {}, { origin })).status).toBe(403)
    expect((await fetch(new URL('/tools', gateway.url), { headers: { origin } })).status).toBe(403)
    const allowed = await call('raw_wrong_id', {}, { origin: 'https://app.example' })
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://app.example')
  })
})

describe('to servers', () => {
  test('all calls at one place are one client, which says who it is and what it cannot', async () => {
    await using remote = startRemote({
      initialize: ({ id }) => introduced(id),
      'tools/list': ({ id }) =>
        json(`{"jsonrpc":"2.0","id":${id},"result":{"tools":[{"name":"a"}]}}`),
    })
    await using own = startGateway({ remote: { url: remote.url } })
    await Promise.all([list('', own), call('a', {}, {}, own), call('a', {}, STREAMED, own)])
    const { params } = await remote.next('initialize')
    expect(params).toEqual({
      protocolVersion: '2025-11-25',
      capabilities: {},
      clientInfo: { name: 'mcp-gateway REST', version: 'test' },
    })
    expect(remote.seen.filter(({ kind }) => kind === 'initialize')).toHaveLength(1)
    expect((await own.health()).sessions).toBe(1)
    await list('?tools=a', own)
    expect((await own.health()).sessions).toBe(2)
  })

  test('it leaves when it has had nothing to say for long, and comes back', async () => {
    await using own = startGateway({ everything: stdio('everything') }, { sessionTimeout: 1000 })
    const pid = await textOf(await call('pid', {}, {}, own))
    await own.event('session_ended')
    await own.event('upstream_closed')
    expect((await own.health()).sessions).toBe(0)
    expect(await textOf(await call('pid', {}, {}, own))).not.toBe(pid)
  }, 30_000)
})

test('a call in flight is answered when the gateway ends, and cancelled', async () => {
  const own = startGateway({ everything: stdio('everything') })
  await list('', own)
  const waiting = call('wait', {}, {}, own)
  await call('pid', {}, {}, own)
  await own.close()
  const response = await waiting
  expect(response.status).toBe(503)
  expect(await response.json()).toMatchObject({ error: expect.stringContaining('shutting down') })
})
