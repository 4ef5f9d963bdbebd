/** Streamable HTTP to the letter: what is refused and how, streams, and resuming them. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { startGateway, stdio, type TestGateway } from '../support/gateway.ts'
import { ACCEPT, call, eventsOf, INITIALIZE, post, RawSession, request } from '../support/http.ts'

let gateway: TestGateway
let url: URL
let session: RawSession

beforeAll(async () => {
  gateway = startGateway(
    { raw: stdio('raw'), everything: stdio('everything') },
    {
      maxBodySize: 100_000,
      allowedHosts: ['mcp.example'],
      allowedOrigins: ['https://app.example'],
    },
  )
  url = gateway.at('everything')
  session = await RawSession.open(url)
})
afterAll(() => gateway.close())

const initialize = request(0, 'initialize', INITIALIZE)
const ping = request(1, 'ping')

describe('is refused', () => {
  const table: [string, () => Promise<Response>, number, number][] = [
    ['a body that is not JSON', () => session.post('{"jsonrpc":'), 400, -32700],
    ['a body that is not JSON-RPC', () => session.post('{"hello":1}'), 400, -32600],
    [
      'params that are a list',
      () => session.post('{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}'),
      400,
      -32600,
    ],
    ['a batch outside of 2025-03-26', () => session.post(`[${ping}]`), 400, -32600],
    ['an unknown server', () => post(gateway.at('nobody'), initialize), 404, -32600],
    ['an unknown path', () => post(new URL('/nowhere', gateway.url), initialize), 404, -32600],
    ['a request without session', () => post(url, ping), 400, -32600],
    [
      'an unknown session',
      () => post(url, ping, { 'mcp-session-id': '0'.repeat(32) }),
      404,
      -32600,
    ],
    [
      'a session at another endpoint than its own',
      () => post(gateway.at('raw'), ping, { 'mcp-session-id': session.id }),
      404,
      -32600,
    ],
    [
      'a second initialize in a session',
      () => session.post(initialize.replace('"id":0', '"id":9')),
      200,
      0,
    ],
    [
      'an unknown protocol version',
      () => session.post(ping, { 'mcp-protocol-version': '1999-01-01' }),
      400,
      -32600,
    ],
    [
      'an Accept of JSON alone',
      () => session.post(ping, { accept: 'application/json' }),
      406,
      -32600,
    ],
    [
      'an Accept of streams alone',
      () => session.post(ping, { accept: 'text/event-stream' }),
      406,
      -32600,
    ],
    [
      'a body that says it is text',
      () => session.post(ping, { 'content-type': 'text/plain' }),
      415,
      -32600,
    ],
    ['PUT', () => fetch(url, { method: 'PUT', body: ping }), 405, -32600],
    [
      'a listener that takes no stream',
      () => session.listen({ accept: 'application/json' }),
      406,
      -32600,
    ],
    [
      'a listener without session',
      () => fetch(url, { headers: { accept: 'text/event-stream' } }),
      400,
      -32600,
    ],
    ['a body over the limit', () => session.post(call(1, 'x', 'y'.repeat(100_000))), 413, -32600],
    [
      'a chunked body over the limit',
      () =>
        fetch(url, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            accept: ACCEPT,
            'mcp-session-id': session.id,
          },
          body: new ReadableStream({
            start(controller) {
              for (let i = 0; i < 11; i++) controller.enqueue(Buffer.alloc(10_000, 32))
              controller.close()
            },
          }),
        }),
      413,
      -32600,
    ],
    ['a foreign Host', () => post(url, initialize, { host: 'evil.example' }), 403, -32600],
    [
      'a name that looks like ours',
      () => post(url, initialize, { host: 'localhost.evil.example' }),
      403,
      -32600,
    ],
    [
      'a foreign Origin',
      () => post(url, initialize, { origin: 'https://evil.example' }),
      403,
      -32600,
    ],
    ['an Origin that is null', () => post(url, initialize, { origin: 'null' }), 403, -32600],
    [
      'an Origin that is an address',
      () => post(url, initialize, { origin: 'http://203.0.113.7' }),
      403,
      -32600,
    ],
  ]

  test.each(table.filter(([, , status]) => status !== 200))('%s', async (_, send, status, code) => {
    const response = await send()
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(await response.json()).toMatchObject({ jsonrpc: '2.0', id: null, error: { code } })
  })

  test('a second initialize in a session opens a session of its own', async () => {
    const response = await session.post(initialize)
    expect(response.status).toBe(200)
    expect(response.headers.get('mcp-session-id')).not.toBe(session.id)
    await response.text()
  })

  test('a Host so malformed that it would confuse the router', async () => {
    const socket = await rawRequest(`GET /health HTTP/1.1\r\nHost: a b\r\n\r\n`)
    expect(socket).toMatch(/^HTTP\/1\.1 (400|403)/)
  })
})

describe('is let in', () => {
  test.each([
    ['localhost', { host: 'localhost:4298' }],
    ['IPv6 loopback', { host: '[::1]:4298' }],
    ['a configured host', { host: 'mcp.example' }],
    ['a configured origin', { origin: 'https://app.example' }],
    ['a page from this machine', { origin: 'http://localhost:6274' }],
    ['any media type', { accept: '*/*' }],
    ['a charset', { 'content-type': 'application/json; charset=utf-8' }],
    ['an older version than was agreed', { 'mcp-protocol-version': '2025-03-26' }],
    ['media types in capitals', { accept: 'Application/JSON, Text/Event-Stream' }],
    ['JSON or else anything', { accept: 'application/json, text/plain, */*' }],
  ])('%s', async (_, headers) => {
    const response = await session.post(ping, headers)
    expect(await response.text()).toBe('{"jsonrpc":"2.0","id":1,"result":{}}')
  })
})

test('notifications and answers get 202 and nothing else', async () => {
  for (const body of [
    request(undefined, 'notifications/x'),
    '{"jsonrpc":"2.0","id":77,"result":{}}',
  ]) {
    const response = await session.post(body)
    expect(response.status).toBe(202)
    expect(await response.text()).toBe('')
  }
})

test('initialize negotiates the version the client asked for, or else the latest with sessions', async () => {
  for (const [asked, agreed] of [
    ['2024-11-05', '2024-11-05'],
    ['2025-06-18', '2025-06-18'],
    ['2099-01-01', '2025-11-25'],
  ]) {
    const { introduction } = await RawSession.open(gateway.at('raw'), { protocolVersion: asked })
    expect(JSON.parse(introduction).result.protocolVersion).toBe(agreed)
  }
})

test('initialize without what it must hold is refused, and leaves no session behind', async () => {
  const { sessions } = await gateway.health()
  const response = await post(url, request(1, 'initialize', { protocolVersion: '2025-11-25' }))
  expect(response.headers.get('mcp-session-id')).toBeNull()
  expect(await response.json()).toMatchObject({ id: 1, error: { code: -32602 } })
  expect((await gateway.health()).sessions).toBe(sessions)
})

test('a batch of 2025-03-26 is answered one by one on a stream', async () => {
  const old = await RawSession.open(gateway.at('raw'), { protocolVersion: '2025-03-26' })
  const note = request(undefined, 'notifications/x')
  const response = await old.post(`[${request('a', 'ping')},${note},${call('b', 'wrong_id')}]`)
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  const answers = await Array.fromAsync(eventsOf(response), ({ data }) => JSON.parse(data).id)
  expect(answers.sort()).toEqual(['a', 'b'])
})

test('a batch with one id twice is refused whole', async () => {
  const old = await RawSession.open(gateway.at('raw'), { protocolVersion: '2025-03-26' })
  for (const again of [ping, ping.replace('1', String.raw`"\u0031"`)]) {
    const first = again === ping ? ping : ping.replace('1', '"1"')
    expect((await old.post(`[${first},${again}]`)).status).toBe(400)
  }
})

test('an id that is in flight cannot be used again', async () => {
  const first = session.post(call(5, 'wait', {}, { progressToken: 1 }))
  const second = await session.post(call(5, 'pid'))
  expect(second.status).toBe(400)
  expect(await second.json()).toMatchObject({
    error: { message: 'the request id 5 is still in use' },
  })
  await session.post(request(undefined, 'notifications/cancelled', { requestId: 5 }))
  await (await first).text()
})

describe('an answer', () => {
  test('is plain JSON when nothing was said before it', async () => {
    const response = await session.post(call(1, 'pid'))
    expect(response.headers.get('content-type')).toBe('application/json')
  })

  test('is an event stream when something was, and the answer ends it', async () => {
    const response = await session.post(call(1, 'burst', { count: 3 }, { progressToken: 'mine' }))
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const events = await Array.fromAsync(eventsOf(response))
    const messages = events.slice(1).map(({ data }) => JSON.parse(data))
    expect(events[0]!.data).toBe('')
    expect(messages.map(({ params, id }) => params?.progressToken ?? id)).toEqual([
      'mine',
      'mine',
      'mine',
      1,
    ])
    expect(new Set(events.map(({ id }) => id)).size).toBe(events.length)
  })

  test('of a client older than 2025-11-25 is not preceded by an empty event', async () => {
    const response = await session.post(call(1, 'burst', { count: 1 }, { progressToken: 1 }), {
      'mcp-protocol-version': '2025-06-18',
    })
    const events = await Array.fromAsync(eventsOf(response))
    expect(events.map(({ data }) => data === '')).toEqual([false, false])
  })

  test('is an event stream from the start for a client that names that first', async () => {
    const response = await session.post(call(1, 'pid'), {
      accept: 'text/event-stream, application/json',
    })
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    await response.text()
  })
})

test('an answer that takes long comes as an event stream, so that something flows meanwhile', async () => {
  const response = await session.post(call('long', 'wait'))
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  await session.post(request(undefined, 'notifications/cancelled', { requestId: 'long' }))
  expect(await response.text()).toMatch(/^id: \d+-0\nretry: 1000\ndata: \n\n$/)
}, 30_000)

describe('a broken stream', () => {
  test('of a call is resumed where it broke, though the call has ended', async () => {
    const response = await session.post(call(1, 'burst', { count: 5 }, { progressToken: 1 }))
    const all = await Array.fromAsync(eventsOf(response))
    const resumed = await session.listen({ 'last-event-id': all[2]!.id! })
    expect(await Array.fromAsync(eventsOf(resumed))).toEqual(all.slice(3))
  })

  test('of a call still at work carries on when it is resumed', async () => {
    const leave = new AbortController()
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: ACCEPT, 'mcp-session-id': session.id },
      body: call('slow', 'wait', { ms: 50 }, { progressToken: 1 }),
      signal: leave.signal,
    })
    const first = await eventsOf(response).next()
    leave.abort()
    const resumed = await session.listen({ 'last-event-id': first.value!.id! })
    const events = await Array.fromAsync(eventsOf(resumed))
    expect(JSON.parse(events.at(-1)!.data)).toMatchObject({ id: 'slow', result: {} })
  })

  test.each(['4711-1', '0-500'])('cannot be resumed from what never was (%s)', async (id) => {
    const response = await session.listen({ 'last-event-id': id })
    expect(response.status).toBe(400)
  })

  test('is closed and resumed as often as streamLifetime has it', async () => {
    await using impatient = startGateway(
      { everything: stdio('everything') },
      { streamLifetime: 100 },
    )
    const own = await RawSession.open(impatient.at('everything'))
    const response = await own.post(call(1, 'wait', { ms: 500 }, { progressToken: 1 }))
    let events = await Array.fromAsync(eventsOf(response))
    let legs = 1
    for (let last = events.at(-1)!; !last.data.includes('"result"'); last = events.at(-1) ?? last) {
      events = await Array.fromAsync(eventsOf(await own.listen({ 'last-event-id': last.id! })))
      legs++
    }
    expect(legs).toBeGreaterThan(2)
    expect(JSON.parse(events.at(-1)!.data)).toMatchObject({ id: 1, result: {} })
  })

  test('cannot be resumed by another session', async () => {
    const response = await session.post(call(1, 'burst', { count: 2 }, { progressToken: 1 }))
    const [first] = await Array.fromAsync(eventsOf(response))
    const other = await RawSession.open(url)
    expect((await other.listen({ 'last-event-id': first!.id! })).status).toBe(400)
  })
})

describe('the listening stream', () => {
  test('says something at once', async () => {
    const response = await session.listen()
    const { value } = await response.body!.getReader().read()
    expect(Buffer.from(value!).toString()).toMatch(/^id: 0-0\nretry: \d+\ndata: \n\n$/)
  })

  test('brings what was said before anybody listened, once', async () => {
    const own = await RawSession.open(url)
    const uri = 'test://watched-resource'
    await own.post(request(1, 'resources/subscribe', { uri })).then((r) => r.text())
    await own.call(2, 'touch', { uri })
    const heard = eventsOf(await own.listen())
    await heard.next()
    expect(JSON.parse((await heard.next()).value!.data)).toMatchObject({
      method: 'notifications/resources/updated',
    })
    const again = eventsOf(await own.listen())
    await again.next()
    await own.call(3, 'touch', { uri })
    expect((await again.next()).value!.id).toBe('0-2')
  })

  test('ends with its session', async () => {
    const own = await RawSession.open(url)
    const response = await own.listen()
    expect((await own.delete()).status).toBe(200)
    expect(await response.text()).not.toContain('jsonrpc')
    expect((await own.listen()).status).toBe(404)
    expect((await own.delete()).status).toBe(404)
  })
})

describe('while the server starts', () => {
  /** Answers initialize only after a while; `never` not at all. */
  const slow = (wait: string) => {
    const { command, args } = stdio('raw')
    const script = `sleep ${wait}; exec ${command} ${args!.join(' ')}`
    return { command: 'sh', args: ['-c', script], isolation: 'session' as const }
  }
  const streamed = { accept: 'text/event-stream, application/json' }

  test('a ping is answered, and disturbs nothing', async () => {
    await using starting = startGateway({ raw: slow('0.3') })
    const opening = await post(starting.at('raw'), initialize, streamed)
    const id = { 'mcp-session-id': opening.headers.get('mcp-session-id')! }
    expect(await (await post(starting.at('raw'), ping, id)).json()).toMatchObject({ result: {} })
    const [answer] = await Array.fromAsync(eventsOf(opening))
    expect(JSON.parse(answer!.data)).toMatchObject({
      id: 0,
      result: { serverInfo: { name: 'raw' } },
    })
    expect((await post(starting.at('raw'), ping, id)).status).toBe(200)
  })

  test('a client that leaves takes its session and its server with it', async () => {
    await using starting = startGateway({ raw: slow('1000') })
    const leave = new AbortController()
    const opening = fetch(starting.at('raw'), {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: ACCEPT },
      body: initialize,
      signal: leave.signal,
    }).catch(() => {})
    await starting.event('upstream_spawned')
    leave.abort()
    await opening
    await starting.event('upstream_closed')
    expect((await starting.health()).sessions).toBe(0)
  })

  test('a session can be deleted, and its server goes at once', async () => {
    await using starting = startGateway({ raw: slow('1000') })
    const opening = await post(starting.at('raw'), initialize, streamed)
    const id = { 'mcp-session-id': opening.headers.get('mcp-session-id')! }
    expect((await fetch(starting.at('raw'), { method: 'DELETE', headers: id })).status).toBe(200)
    const [answer] = await Array.fromAsync(eventsOf(opening))
    expect(JSON.parse(answer!.data)).toMatchObject({ error: { data: { code: 'session_ended' } } })
    await starting.event('upstream_closed')
    expect(await starting.health()).toMatchObject({ sessions: 0, status: 'ok' })
  })
})

test('a session ends though a call in it hangs, when its client has left', async () => {
  await using forgetful = startGateway({ raw: stdio('raw') }, { sessionTimeout: 1000 })
  const own = await RawSession.open(forgetful.at('raw'))
  const leave = new AbortController()
  const hanging = fetch(forgetful.at('raw'), {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: ACCEPT, 'mcp-session-id': own.id },
    body: call(1, 'late'),
    signal: leave.signal,
  }).catch(() => {})
  // Answered after the call arrived.
  await own.post(ping)
  leave.abort()
  await hanging
  await forgetful.event('session_ended')
  await forgetful.event('request', ({ outcome }) => outcome === 'failed')
}, 30_000)

test('a client may call itself anything, or nothing', async () => {
  for (const name of [{ toString: null }, 7, undefined]) {
    const own = await RawSession.open(gateway.at('raw'), { clientInfo: { name, version: '1' } })
    expect((await own.post(ping)).status).toBe(200)
  }
})

describe('a web page', () => {
  const origin = 'https://app.example'

  test('that is allowed may ask beforehand, call, and read the session id', async () => {
    const asked = await fetch(url, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST' },
    })
    expect(asked.status).toBe(204)
    expect(asked.headers.get('access-control-allow-origin')).toBe(origin)
    expect(asked.headers.get('access-control-allow-headers')).toContain('mcp-session-id')
    const opened = await post(url, initialize, { origin })
    expect(opened.headers.get('access-control-allow-origin')).toBe(origin)
    expect(opened.headers.get('access-control-expose-headers')).toContain('mcp-session-id')
    const failed = await post(url, '{', { origin })
    expect(failed.headers.get('access-control-allow-origin')).toBe(origin)
  })

  test('that is not is refused beforehand, and learns nothing', async () => {
    const asked = await fetch(url, {
      method: 'OPTIONS',
      headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' },
    })
    expect(asked.status).toBe(403)
    expect(asked.headers.get('access-control-allow-origin')).toBeNull()
  })
})

test('a call in flight is answered when its session is deleted, and cancelled on the server', async () => {
  const own = await RawSession.open(gateway.at('raw'))
  const waiting = own.post(call(1, 'late'))
  await own.delete()
  expect(await (await waiting).json()).toMatchObject({
    id: 1,
    error: { data: { code: 'session_ended' } },
  })
})

test('the aggregate of one server is that server', async () => {
  await using single = startGateway({ raw: stdio('raw') })
  const one = await RawSession.open(new URL('/mcp', single.url))
  expect(JSON.parse(one.introduction).result.serverInfo.name).toBe('raw')
})

test('of more sessions than configured, the one that was silent longest makes room', async () => {
  await using small = startGateway({ raw: stdio('raw') }, { maxSessions: 2 })
  const [first, second] = [
    await RawSession.open(small.at('raw')),
    await RawSession.open(small.at('raw')),
  ]
  await first.call(1, 'wrong_id')
  const third = await RawSession.open(small.at('raw'))
  expect((await second.post(ping)).status).toBe(404)
  expect((await first.post(ping)).status).toBe(200)
  expect((await third.post(ping)).status).toBe(200)
  expect((await small.health()).sessions).toBe(2)
})

test('after many clients came and went, with and without a word, no process is left', async () => {
  await using busy = startGateway({ raw: stdio('raw') }, { maxSessions: 8 })
  const sessions: RawSession[] = []
  for (let i = 0; i < 40; i++) {
    const own = await RawSession.open(busy.at('raw'))
    await own.call(1, 'wrong_id')
    sessions.push(own)
    if (i % 2) await own.delete()
  }
  for (const own of sessions) await own.delete()
  // The last of them may still be on its way out.
  while ((await busy.health()).upstreams.raw!.processes > 0) await Bun.sleep(10)
  expect((await busy.health()).sessions).toBe(0)
  expect(busy.events.filter(({ type }) => type === 'upstream_spawned')).toHaveLength(40)
  expect(busy.events.filter(({ type }) => type === 'upstream_closed')).toHaveLength(40)
})

test('no session that is in use is ended for another', async () => {
  await using small = startGateway({ raw: stdio('raw') }, { maxSessions: 1 })
  const only = await RawSession.open(small.at('raw'))
  await only.listen()
  const response = await post(small.at('raw'), initialize)
  expect(response.status).toBe(503)
  expect(await response.json()).toMatchObject({ error: { data: { code: 'too_many_sessions' } } })
})

test('health tells what runs', async () => {
  const health = await gateway.health()
  expect(health).toMatchObject({ status: 'ok', version: 'test', ready: true })
  expect(health.uptime).toBeGreaterThanOrEqual(0)
  expect(health.sessions).toBeGreaterThan(0)
  expect(health.upstreams.everything).toMatchObject({ state: 'ready' })
})

async function rawRequest(text: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  let answer = ''
  const socket = await Bun.connect({
    hostname: gateway.url.hostname,
    port: Number(gateway.url.port),
    socket: {
      data(_, chunk) {
        answer += chunk.toString()
        if (answer.includes('\r\n\r\n')) resolve(answer)
      },
      close: () => resolve(answer),
    },
  })
  socket.write(text)
  const result = await promise
  socket.end()
  return result
}
