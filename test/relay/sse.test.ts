/** HTTP+SSE of 2024-11-05, its aliases, and what one client asks to see of an endpoint. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { connect } from 'node:net'
import { EventReader } from '../../src/rpc/eventstream.ts'
import { startGateway, stdio, type TestGateway } from '../support/gateway.ts'
import { ACCEPT, call, eventsOf, INITIALIZE, post, RawSession, request } from '../support/http.ts'

let gateway: TestGateway

beforeAll(() => {
  gateway = startGateway(
    { raw: stdio('raw'), everything: stdio('everything') },
    { maxBodySize: 100_000, baseURL: 'https://mcp.example/gw/' },
    { both: ['raw', 'everything'] },
  )
})
afterAll(() => gateway.close())

const initialize = request(0, 'initialize', INITIALIZE)
const ping = request(1, 'ping')
const at = (path: string) => new URL(path, gateway.url)

type Message = { id?: unknown; method?: string; result?: unknown; error?: unknown }

/** A client that reads its one stream and posts where it is told to. */
class SseClient {
  readonly response: Response
  readonly leave: () => void
  /** What it is to post to. */
  address = ''
  url = gateway.url
  readonly #events: { type: string; data: string }[] = []
  #onEvent = () => {}
  /** Resolves with the end of the stream. */
  readonly over: Promise<void>

  private constructor(response: Response, leave: () => void) {
    this.response = response
    this.leave = leave
    this.over = this.#read().catch(() => {})
  }

  static async connect(url: URL): Promise<SseClient> {
    const stop = new AbortController()
    const client = new SseClient(await fetch(url, { signal: stop.signal }), () => stop.abort())
    const { type, data } = await client.event()
    if (type !== 'endpoint') throw new Error(`${type}: ${data}`)
    client.address = data
    client.url = new URL(data, url)
    return client
  }

  static async open(url: URL, params: object = {}): Promise<SseClient> {
    const client = await SseClient.connect(url)
    await client.ask(request(0, 'initialize', { ...INITIALIZE, ...params }))
    await client.say('{"jsonrpc":"2.0","method":"notifications/initialized"}')
    return client
  }

  async #read(): Promise<void> {
    const event = (data: string, type: string) => {
      this.#events.push({ type, data })
      this.#onEvent()
    }
    const sink = { event, refused: (ends: string) => event(ends, 'refused') }
    const reader = new EventReader(sink, { lastId: '', retry: undefined }, 2 ** 30)
    for await (const chunk of this.response.body!) reader.push(chunk)
  }

  async event(): Promise<{ type: string; data: string }> {
    while (this.#events.length === 0) {
      await new Promise<void>((resolve) => {
        this.#onEvent = resolve
      })
    }
    return this.#events.shift()!
  }

  /** The text of the next message. */
  async heard(): Promise<string> {
    const { type, data } = await this.event()
    expect(type).toBe('message')
    return data
  }

  async message(): Promise<Message> {
    return JSON.parse(await this.heard())
  }

  async say(body: string): Promise<void> {
    const response = await post(this.url, body)
    expect(response.status).toBe(202)
    expect(await response.text()).toBe('Accepted')
  }

  async ask(body: string): Promise<Message> {
    await this.say(body)
    return this.message()
  }
}

const errorCode = async (response: Response) => {
  const { id, error } = (await response.json()) as { id: null; error: { code: number } }
  expect(id).toBeNull()
  return error.code
}

describe('the stream', () => {
  test('says at once where to post, and cannot be buffered', async () => {
    const client = await SseClient.connect(at('/raw/sse'))
    expect(client.address).toMatch(/^\/gw\/raw\/messages\?sessionId=[0-9a-f]{32}$/)
    const { status, headers } = client.response
    expect(status).toBe(200)
    expect(headers.get('content-type')).toBe('text/event-stream')
    expect(headers.get('cache-control')).toBe('no-cache, no-transform')
    expect(headers.get('x-accel-buffering')).toBe('no')
    expect(headers.has('mcp-session-id')).toBe(false)
    client.leave()
  })

  test('carries every answer and everything said before it, in order', async () => {
    const client = await SseClient.open(at('/everything/sse'))
    await client.say(call(7, 'burst', { count: 100 }, { progressToken: 'mine' }))
    for (let progress = 1; progress <= 100; progress++) {
      expect(await client.message()).toMatchObject({
        params: { progressToken: 'mine', progress },
      })
    }
    expect(await client.message()).toMatchObject({ id: 7, result: {} })
    client.leave()
  })

  test('carries questions, whose answers are posted', async () => {
    const client = await SseClient.open(at('/everything/sse'), { capabilities: { sampling: {} } })
    await client.say(call(1, 'test_sampling', { prompt: 'hello' }))
    const question = await client.message()
    expect(question.method).toBe('sampling/createMessage')
    const result = { role: 'assistant', model: 'm', content: { type: 'text', text: 'hi' } }
    await client.say(JSON.stringify({ jsonrpc: '2.0', id: question.id, result }))
    expect(JSON.stringify(await client.message())).toContain('LLM response: hi')
    client.leave()
  })

  test('is one of all servers at /sse, and of some at the name of a group', async () => {
    for (const [path, messages] of [
      ['/sse', '/gw/messages?'],
      ['/gw/sse', '/gw/messages?'],
      ['/both/sse/', '/gw/both/messages?'],
    ] as const) {
      const client = await SseClient.open(at(path))
      expect(client.address).toStartWith(messages)
      const listed = JSON.stringify(await client.ask(request(1, 'tools/list')))
      expect(listed).toContain('"raw_lossless"')
      expect(listed).toContain('"everything_pid"')
      client.leave()
    }
  })

  test('is warmed by comments', async () => {
    const socket = await rawRequest('/raw/sse', gateway)
    let text = ''
    for await (const chunk of socket) {
      text += chunk
      if (/\n: \n\n/.test(text)) break
    }
    expect(text).toContain('event: endpoint\ndata: /gw/raw/messages?sessionId=')
    socket.destroy()
  }, 30_000)
})

describe('a message', () => {
  test.each([
    '/raw/messages',
    '/raw/message',
    '/gw/raw/messages',
    '/gw/raw/message',
    '/raw/messages/',
  ])('can be posted to %s', async (path) => {
    const client = await SseClient.open(at('/raw/sse'))
    client.url = new URL(path + client.url.search, gateway.url)
    expect(await client.ask(ping)).toEqual({ jsonrpc: '2.0', id: 1, result: {} } as Message)
    client.leave()
  })

  test('comes back byte for byte', async () => {
    const client = await SseClient.open(at('/raw/sse'))
    await client.say(
      '{"jsonrpc":"2.0","id":"\\u0041","method":"tools/call","params":{"name":"lossless"}}',
    )
    expect(await client.heard()).toContain(
      String.raw`{"jsonrpc":"2.0","id":"\u0041","result":{"content":[{"type":"x-unknown","value":1.0,"big":9007199254740993}`,
    )
    client.leave()
  })

  test('before initialize is refused, save a ping', async () => {
    const client = await SseClient.connect(at('/raw/sse'))
    expect(await client.ask(ping)).toMatchObject({ id: 1, result: {} })
    expect(await client.ask(request(2, 'tools/list'))).toMatchObject({
      id: 2,
      error: { code: -32600, message: 'tools/list before initialize: send that first' },
    })
    expect(await client.ask(initialize)).toMatchObject({ id: 0, result: {} })
    expect(await client.ask(request(3, 'tools/list'))).toMatchObject({ id: 3, result: {} })
    client.leave()
  })

  test('that initializes may come again only if it failed', async () => {
    const client = await SseClient.connect(at('/raw/sse'))
    expect(await client.ask(request(1, 'initialize', {}))).toMatchObject({
      error: { code: -32602 },
    })
    expect(await client.ask(initialize)).toMatchObject({ result: {} })
    expect(await client.ask(initialize)).toMatchObject({
      error: { code: -32600, message: 'this session is initialized already' },
    })
    client.leave()
  })

  test('with an id that is in flight gets an error, and the first one its answer', async () => {
    const client = await SseClient.open(at('/everything/sse'))
    await client.say(call(5, 'wait', { ms: 50 }, { progressToken: 1 }))
    expect(await client.message()).toMatchObject({ method: 'notifications/progress' })
    expect(await client.ask(call(5, 'pid'))).toMatchObject({
      id: 5,
      error: { message: 'the request id 5 is still in use' },
    })
    expect(await client.message()).toMatchObject({ id: 5, result: {} })
    client.leave()
  })

  test('cancels', async () => {
    const client = await SseClient.open(at('/everything/sse'))
    await client.say(call(5, 'wait', {}, { progressToken: 1 }))
    await client.message()
    await client.say(request(undefined, 'notifications/cancelled', { requestId: 5 }))
    await gateway.event('request', ({ outcome }) => outcome === 'cancelled')
    // A cancelled request has no answer.
    expect(await client.ask(ping)).toMatchObject({ id: 1 })
    client.leave()
  })

  test('may be a batch in 2025-03-26, and only there', async () => {
    const old = await SseClient.open(at('/raw/sse'), { protocolVersion: '2025-03-26' })
    await old.say(`[${request('a', 'ping')},${request('b', 'ping')}]`)
    const ids = [(await old.message()).id, (await old.message()).id]
    expect(ids.sort()).toEqual(['a', 'b'])
    old.leave()
    const client = await SseClient.open(at('/raw/sse'), { protocolVersion: '2024-11-05' })
    const refused = await post(client.url, `[${ping}]`)
    expect([refused.status, await errorCode(refused)]).toEqual([400, -32600])
    client.leave()
  })
})

describe('is refused', () => {
  let client: SseClient
  beforeAll(async () => {
    client = await SseClient.open(at('/raw/sse'))
  })
  afterAll(() => client.leave())
  const elsewhere = (path: string) => at(path + client.url.search)

  const table: [string, () => Promise<Response>, number, number, string][] = [
    [
      'no session',
      () => post(at('/raw/messages'), ping),
      400,
      -32600,
      'Missing sessionId parameter',
    ],
    [
      'an empty session',
      () => post(at('/raw/messages?sessionId='), ping),
      400,
      -32600,
      'Missing sessionId',
    ],
    [
      'an unknown session',
      () => post(at(`/raw/messages?sessionId=${'0'.repeat(32)}`), ping),
      404,
      -32600,
      'Session not found',
    ],
    [
      'another endpoint',
      () => post(elsewhere('/everything/messages'), ping),
      404,
      -32600,
      'Session not found',
    ],
    ['the aggregate', () => post(elsewhere('/messages'), ping), 404, -32600, 'Session not found'],
    [
      'the same endpoint narrowed',
      () => post(at(`/raw/messages${client.url.search}&tools=echo`), ping),
      404,
      -32600,
      'Session not found',
    ],
    [
      'an unknown server',
      () => post(elsewhere('/nobody/messages'), ping),
      404,
      -32600,
      'Session not found',
    ],
    [
      'a stream of an unknown server',
      () => fetch(at('/nobody/sse')),
      404,
      -32600,
      'there is no server "nobody"',
    ],
    [
      'a session of Streamable HTTP',
      async () => {
        const { id } = await RawSession.open(gateway.at('raw'))
        return post(at(`/raw/messages?sessionId=${id}`), ping)
      },
      404,
      -32600,
      'Session not found',
    ],
    [
      'itself as a session of Streamable HTTP',
      () =>
        post(gateway.at('raw'), ping, {
          'mcp-session-id': client.url.searchParams.get('sessionId')!,
        }),
      404,
      -32600,
      'no such session',
    ],
    ['a body that is not JSON', () => post(client.url, '{"jsonrpc":'), 400, -32700, ''],
    ['a body that is not JSON-RPC', () => post(client.url, '{"hello":1}'), 400, -32600, ''],
    ['an empty batch', () => post(client.url, '[]'), 400, -32600, 'an empty batch'],
    [
      'a body that says it is text',
      () => post(client.url, ping, { 'content-type': 'text/plain' }),
      415,
      -32600,
      'application/json',
    ],
    [
      'a body over the limit',
      () => post(client.url, call(1, 'x', 'y'.repeat(100_000))),
      413,
      -32600,
      '100000 bytes',
    ],
    [
      'a listener that takes no stream',
      () => fetch(at('/raw/sse'), { headers: { accept: 'application/json' } }),
      406,
      -32600,
      'text/event-stream',
    ],
    ['a foreign Host', () => post(client.url, ping, { host: 'evil.example' }), 403, -32600, 'Host'],
    [
      'a foreign Origin',
      () => post(client.url, ping, { origin: 'https://evil.example' }),
      403,
      -32600,
      'Origin',
    ],
    [
      'a stream for a foreign page',
      () => fetch(at('/raw/sse'), { headers: { origin: 'https://evil.example' } }),
      403,
      -32600,
      'Origin',
    ],
  ]
  test.each(table)('%s', async (_, send, status, code, reason) => {
    const response = await send()
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toBe('application/json')
    const body = await response.json()
    expect(body).toMatchObject({ jsonrpc: '2.0', id: null, error: { code } })
    expect((body as { error: { message: string } }).error.message).toContain(reason)
  })

  test.each([
    ['GET', '/raw/messages?sessionId=x', 'POST'],
    ['DELETE', '/message', 'POST'],
    ['PUT', '/raw/sse', 'POST, GET, DELETE'],
    ['PATCH', '/sse', 'POST, GET, DELETE'],
  ])('%s %s, and is told what may be', async (method, path, allow) => {
    const response = await fetch(at(path), { method })
    expect([response.status, response.headers.get('allow')]).toEqual([405, allow])
  })

  test('nothing of all that has hurt the session', async () => {
    expect(await client.ask(ping)).toMatchObject({ id: 1, result: {} })
  })
})

describe('a session', () => {
  test('ends with its stream: it is gone, and so is its server, and what was in flight', async () => {
    await using own = startGateway({ everything: stdio('everything') })
    const client = await SseClient.open(new URL('everything/sse', own.url))
    await client.say(call(1, 'wait', {}, { progressToken: 1 }))
    await client.message()
    expect((await own.health()).sessions).toBe(1)
    client.leave()
    expect(await own.event('session_ended')).toMatchObject({ reason: 'the client has left' })
    await own.event('request', ({ outcome }) => outcome === 'failed')
    await own.event('upstream_closed')
    expect((await own.health()).sessions).toBe(0)
    const late = await post(client.url, ping)
    expect(late.status).toBe(404)
    expect(await late.text()).toContain('Session not found')
  })

  test('is another one for each stream', async () => {
    const one = await SseClient.open(at('/everything/sse'))
    const other = await SseClient.open(at('/everything/sse'))
    expect(one.address).not.toBe(other.address)
    const pidOf = async (client: SseClient) =>
      JSON.stringify((await client.ask(call(1, 'pid'))).result)
    expect(await pidOf(one)).not.toBe(await pidOf(other))
    one.leave()
    expect(await other.ask(ping)).toMatchObject({ result: {} })
    other.leave()
  })

  test('ends when its client does not read', async () => {
    await using own = startGateway({ raw: stdio('raw') })
    const socket = await rawRequest('/raw/sse', own)
    socket.on('data', () => {})
    const first = await new Promise<string>((resolve) =>
      socket.once('data', (data) => resolve(String(data))),
    )
    socket.pause()
    const url = new URL(/data: (.*)\n/.exec(first)![1]!, own.url)
    await post(url, initialize)
    const answers = () => own.events.filter(({ type }) => type === 'request').length
    for (let id = 1; ; id++) {
      const before = answers()
      const { status } = await post(url, call(id, 'big', { bytes: 20_000_000 }))
      if (status !== 202) break
      await own.event('request', () => answers() > before)
    }
    await own.event('session_ended', ({ reason }) => reason === 'the client does not read')
    await own.event('upstream_closed')
    socket.destroy()
  })

  test('counts like any other, and is never ended for one', async () => {
    await using small = startGateway({ raw: stdio('raw') }, { maxSessions: 1 })
    const client = await SseClient.open(new URL('raw/sse', small.url))
    const another = await fetch(new URL('raw/sse', small.url))
    expect(another.status).toBe(503)
    expect(await another.text()).toContain('too_many_sessions')
    expect((await post(small.at('raw'), initialize)).status).toBe(503)
    client.leave()
    await small.event('session_ended')
    expect((await post(small.at('raw'), initialize)).status).toBe(200)
  })

  test('ends with the gateway, and is told what becomes of its call', async () => {
    const own = startGateway({ raw: stdio('raw') })
    const client = await SseClient.open(new URL('raw/sse', own.url))
    await client.say(call(1, 'late'))
    await own.close()
    expect(await client.message()).toMatchObject({
      id: 1,
      error: { data: { code: 'session_ended' } },
    })
    await client.over
  })
})

describe('Streamable HTTP at /sse', () => {
  test('is what a client finds that probes for it first', async () => {
    const session = await RawSession.open(at('/raw/sse'))
    expect(await (await session.post(ping)).json()).toMatchObject({ result: {} })
    const listening = await session.listen()
    expect((await eventsOf(listening).next()).value!.id).toBe('0-0')
    expect((await session.delete()).status).toBe(200)
    expect((await session.listen()).status).toBe(404)
    expect((await session.post(ping)).status).toBe(404)
  })

  test('is the same place as /mcp', async () => {
    const session = await RawSession.open(at('/sse'))
    const { status } = await post(at('/gw/mcp'), ping, { 'mcp-session-id': session.id })
    expect(status).toBe(200)
  })

  test('answers on its own response, whoever else has a stream open', async () => {
    const bystander = await SseClient.open(at('/raw/sse'))
    expect((await post(at('/raw/sse'), ping)).status).toBe(400)
    const session = await RawSession.open(at('/raw/sse'))
    expect(await (await session.post(request('mine', 'ping'))).json()).toMatchObject({ id: 'mine' })
    expect(await bystander.ask(request('theirs', 'ping'))).toMatchObject({ id: 'theirs' })
    bystander.leave()
  })
})

test('every route is also below the path of baseURL, under whose name it may be called', async () => {
  const host = { host: 'mcp.example' }
  const session = await RawSession.open(at('/gw/raw/mcp'))
  expect((await post(at('/raw/mcp'), ping, { 'mcp-session-id': session.id, ...host })).status).toBe(
    200,
  )
  for (const path of ['/health', '/gw/health', '/gw/tools?server=raw']) {
    expect((await fetch(at(path), { headers: host })).status).toBe(200)
  }
  expect((await fetch(at('/gw/health'), { method: 'HEAD' })).status).toBe(200)
  const wrong = await fetch(at('/gw/health'), { method: 'POST' })
  expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  expect((await fetch(at('/gwen/health'))).status).toBe(404)
  expect((await fetch(at('/gw'))).status).toBe(404)
})

test('where nobody is asked for a token, one in a path changes nothing, and nobody is told of it', async () => {
  const token = 'S3CRET'
  const told: string[] = []
  for (const [path, found] of [
    [`/raw/${token}/mcp`, true],
    [`/gw/raw/${token}/mcp/?tools=x`, true],
    [`/nobody/${token}/mcp`, false],
    [`/raw/${token}`, false],
    [`/raw/${token}/`, false],
    [`/raw/mcp/${token}`, false],
    [`/x/raw/${token}/mcp`, false],
  ] as const) {
    const response = await fetch(at(path), {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: ACCEPT },
      body: initialize,
    })
    expect([path, response.status]).toEqual([path, found ? 200 : 404])
    told.push(await response.text(), JSON.stringify([...response.headers]))
  }
  expect(told.join() + JSON.stringify(gateway.events)).not.toContain(token)
})

describe('a client that asks for less', () => {
  const namesAt = async (session: RawSession) => {
    const answer = await (await session.post(request(1, 'tools/list'))).json()
    const { tools } = (answer as { result: { tools: { name: string }[] } }).result
    return tools.map(({ name }) => name)
  }

  test('sees only these servers, and only these tools', async () => {
    const servers = await RawSession.open(at('/mcp?servers=raw'))
    expect((await namesAt(servers)).every((name) => name.startsWith('raw_'))).toBe(true)
    const tools = await RawSession.open(at('/mcp?tools=raw_e*,everything_pid&x=1'))
    expect(await namesAt(tools)).toEqual(['raw_echo', 'everything_pid'])
    const one = await RawSession.open(at('/raw/mcp?tools=echo'))
    expect(await namesAt(one)).toEqual(['echo'])
    const hidden = await one.post(call(2, 'lossless'))
    expect(await hidden.text()).toContain('-32602')
  })

  test('finds its session however it writes that, and under nothing else', async () => {
    const { id } = await RawSession.open(at('/mcp?servers=raw,everything&tools=b,a'))
    const asked = async (path: string) =>
      (await post(at(path), ping, { 'mcp-session-id': id })).status
    expect(await asked('/mcp?tools=a,b,a&other=1&servers=everything,%20raw')).toBe(200)
    expect(await asked('/sse?tools=a&tools=b&servers=raw&servers=everything')).toBe(200)
    expect(await asked('/mcp')).toBe(404)
    expect(await asked('/mcp?servers=raw&tools=a,b')).toBe(404)
    expect(await asked('/mcp?servers=raw,everything')).toBe(404)
    expect(await asked('/mcp?servers=raw,everything%26tools=a,b')).toBe(404)
  })

  test('over HTTP+SSE is told to post where it asked', async () => {
    const client = await SseClient.open(at('/sse?tools=raw_e*&servers=raw'))
    expect(client.address).toMatch(
      /^\/gw\/messages\?sessionId=[0-9a-f]{32}&servers=raw&tools=raw_e\*$/,
    )
    const listed = await client.ask(request(1, 'tools/list'))
    expect(listed).toMatchObject({ result: { tools: [{ name: 'raw_echo' }] } })
    client.leave()
  })

  test.each([
    ['/mcp?servers=', 'servers', 'known are raw, everything'],
    ['/mcp?servers=raw,nobody', 'nobody', 'known are raw, everything'],
    ['/raw/mcp?servers=everything', 'everything', 'known is raw'],
    ['/both/sse?servers=nobody', 'nobody', 'known are raw, everything'],
    ['/mcp?tools=', 'tools', 'tools/list'],
    ['/mcp?tools=a,,b', 'tools', 'tools/list'],
  ])('%s is told what there is', async (path, about, hint) => {
    const streamed = path.includes('/sse')
    const response = await (streamed ? fetch(at(path)) : post(at(path), initialize))
    expect(response.status).toBe(400)
    const { error } = (await response.json()) as {
      error: { message: string; data: { hint: string } }
    }
    expect(error.message).toContain(about)
    expect(error.data.hint).toContain(hint)
  })
})

/** A GET whose response is read as it comes. */
async function rawRequest(path: string, { url }: TestGateway) {
  const socket = connect(Number(url.port), url.hostname)
  await new Promise<void>((resolve) => socket.once('connect', () => resolve()))
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${url.host}\r\n\r\n`)
  return socket
}
