/** Remote servers: what is sent to them, what is heard of them, and how it ends when they misbehave. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Channel } from '../../src/rpc/channel.ts'
import { Json } from '../../src/rpc/json.ts'
import { notificationText, requestText } from '../../src/rpc/message.ts'
import type { Handler, Incoming, Receiver } from '../../src/rpc/peer.ts'
import {
  connectRemote,
  type Remote,
  RemoteError,
  type RemoteTransport,
} from '../../src/upstream/remote.ts'
import { Sse } from '../../src/upstream/sse.ts'
import { MAX_MESSAGE } from '../../src/upstream/wire.ts'
import {
  type Answering,
  event,
  INTRODUCTION,
  json,
  type RemoteServer,
  result,
  SESSION,
  startRemote,
  status,
  stream,
  Written,
} from '../support/servers/remote.ts'

type Heard =
  | { received: string; during?: number }
  | { refused: string; why: string }
  | { failed: number; code: string; message: string }
  | { closed: string; message: string }
  | { lost: true }
  | { found: string }

interface Dialed extends AsyncDisposable {
  transport: RemoteTransport
  /** All there was, in order. */
  all: Heard[]
  notes: string[]
  next(): Promise<Heard>
  ask(id: number, method?: string, params?: object): void
  tell(method: string, params?: object): void
}

const remote = (url: string, options: Partial<Remote> = {}): Remote => ({
  url,
  transport: 'streamable-http',
  headers: {},
  insecure: false,
  ...options,
})

/** A transport whose owner does what a channel does: closes it when it is told that it has closed. */
function dial(options: Remote, connect: typeof connectRemote = connectRemote): Dialed {
  const all: Heard[] = []
  const notes: string[] = []
  let taken = 0
  let arrived = Promise.withResolvers<void>()
  const hear = (one: Heard) => {
    all.push(one)
    arrived.resolve()
  }
  const observer = {
    onSessionLost: () => hear({ lost: true }),
    onTransport: (found: string) => hear({ found }),
    onNote: (text: string) => void notes.push(text),
  }
  const receiver: Receiver = {
    receive: (received, during) => hear({ received, ...(during === undefined ? {} : { during }) }),
    refused: (refused, why) => hear({ refused, why }),
    failed(failed, error) {
      const { code, message } = error as RemoteError
      hear({ failed, code, message })
    },
    closed(error) {
      const { code, message } = error as RemoteError
      transport.close()
      hear({ closed: code, message })
    },
  }
  const transport = connect(options, receiver, observer)
  const json = (value?: object) => (value === undefined ? undefined : Json.of(value))
  return {
    transport,
    all,
    notes,
    async next() {
      while (taken === all.length) {
        arrived = Promise.withResolvers()
        await arrived.promise
      }
      return all[taken++]!
    },
    ask: (id, method = 'tools/call', params?) =>
      transport.send(requestText(String(id), method, json(params))),
    tell: (method, params?) => transport.send(notificationText(method, json(params))),
    async [Symbol.asyncDispose]() {
      transport.close()
      await transport.gone
    },
  }
}

/** With the handshake behind it: requests go on from 2. */
async function meet(server: RemoteServer, options: Partial<Remote> = {}): Promise<Dialed> {
  const dialed = dial(remote(server.url, options))
  dialed.ask(1, 'initialize', { protocolVersion: '2025-11-25' })
  await dialed.next()
  dialed.tell('notifications/initialized')
  await server.next('notifications/initialized')
  return dialed
}

/** What the first request after the handshake meets with. */
async function answeredWith(answer: Answering, on: Record<string, Answering> = {}): Promise<Heard> {
  await using server = startRemote({ 'tools/call': answer, ...on })
  await using dialed = await meet(server)
  dialed.ask(2)
  return await dialed.next()
}

const greeting = (id: number) => result(id, INTRODUCTION)
const BROKEN = { failed: 2, code: 'broken' }

describe('Streamable HTTP', () => {
  describe('says', () => {
    test('who it is: configured headers first, then the session and the version that were agreed', async () => {
      await using server = startRemote()
      const headers = { Authorization: 'Bearer x', Accept: 'text/html', 'mcp-session-id': 'forged' }
      await using dialed = await meet(server, { headers })
      dialed.ask(2)
      await dialed.next()

      const [first, ...later] = [await server.next('initialize'), await server.next('tools/call')]
      const common = {
        authorization: 'Bearer x',
        accept: 'application/json, text/event-stream',
        'content-type': 'application/json',
      }
      expect(Object.fromEntries(first!.headers)).toMatchObject({
        ...common,
        'mcp-session-id': 'forged',
      })
      expect(first!.headers.has('mcp-protocol-version')).toBe(false)
      const agreed = { 'mcp-session-id': SESSION, 'mcp-protocol-version': '2025-06-18' }
      for (const { headers } of later) {
        expect(Object.fromEntries(headers)).toMatchObject({ ...common, ...agreed })
      }
      const get = await server.next('GET')
      expect(Object.fromEntries(get.headers)).toMatchObject({
        authorization: 'Bearer x',
        accept: 'text/event-stream',
        ...agreed,
      })
      expect(get.headers.has('last-event-id')).toBe(false)
    })

    test('nothing after initialize before the server has taken notifications/initialized', async () => {
      const taken = Promise.withResolvers<Response>()
      await using server = startRemote({ 'notifications/initialized': () => taken.promise })
      await using dialed = await meet(server)
      dialed.tell('notifications/first')
      dialed.ask(2)
      expect(server.seen.map(({ kind }) => kind)).toEqual([
        'initialize',
        'notifications/initialized',
      ])
      taken.resolve(status(202))
      expect(await dialed.next()).toEqual({ received: result(2), during: 2 })
      await server.next('notifications/first')
    })

    test('an answer at once: the server may need it to answer initialize', async () => {
      const greeted = new Written()
      await using server = startRemote({ initialize: () => greeted.response })
      await using dialed = dial(remote(server.url))
      dialed.ask(1, 'initialize')
      const ping = '{"jsonrpc":"2.0","id":"p","method":"ping"}'
      greeted.write(event(ping))
      expect(await dialed.next()).toEqual({ received: ping, during: 1 })
      dialed.transport.settle('"p"', '{"jsonrpc":"2.0","id":"p","result":{}}')
      expect((await server.next('answer')).text).toBe('{"jsonrpc":"2.0","id":"p","result":{}}')
      greeted.write(event(greeting(1))).end()
      expect(await dialed.next()).toEqual({ received: greeting(1), during: 1 })
    })

    test('goes on with a server that does not know notifications/initialized, and not with one that fails', async () => {
      await using knows = startRemote({ 'notifications/initialized': () => status(400, 'what?') })
      await using dialed = await meet(knows)
      dialed.ask(2)
      expect(await dialed.next()).toEqual({ received: result(2), during: 2 })
      expect(dialed.notes).toEqual([
        'notifications/initialized was not taken: it answered 400: what?',
      ])
      await using fails = startRemote({ 'notifications/initialized': () => status(503) })
      expect(await (await meet(fails)).next()).toEqual({
        closed: 'refused',
        message: 'it answered 503',
      })
    })

    test('in bytes what was said', async () => {
      await using server = startRemote()
      await using dialed = await meet(server)
      const said = String.raw`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"a":1.0,"é":"\ud83d"}}`
      dialed.transport.send(said)
      await dialed.next()
      expect((await server.next('tools/call')).text).toBe(said)
    })
  })

  describe('hears', () => {
    test('an answer as JSON, byte for byte', async () => {
      const answer = '{ "id":2,"x":1.0,\n"result":{"é":9007199254740993}, "jsonrpc":"2.0"}'
      expect(await answeredWith(() => json(answer))).toEqual({ received: answer, during: 2 })
    })

    test('whatever is said in the course of a request, wherever the portions end', async () => {
      const asked = '{"jsonrpc":"2.0","id":2,"method":"sampling/createMessage","params":{}}'
      const told = '{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"é😀"}}'
      const said = new Written()
      await using server = startRemote({ 'tools/call': () => said.response })
      await using dialed = await meet(server)
      dialed.ask(2)
      await server.next('tools/call')
      const text = `: hello\r\n\r\nevent: ping\r\ndata: x\r\n\r\ndata: ${asked}\r\n\r\n${event(told)}${event(result(2))}`
      for (const byte of Buffer.from(text)) {
        said.write(Uint8Array.of(byte))
        await new Promise(setImmediate)
      }
      said.end()
      expect([await dialed.next(), await dialed.next(), await dialed.next()]).toEqual([
        { received: asked, during: 2 },
        { received: told, during: 2 },
        { received: result(2), during: 2 },
      ])
    })

    test('requests that run at the same time, each in its own response', async () => {
      const written = new Map<number, Written>()
      await using server = startRemote({
        'tools/call': ({ id }) => {
          written.set(id, new Written())
          return written.get(id)!.response
        },
      })
      await using dialed = await meet(server)
      for (const id of [2, 3, 4]) dialed.ask(id)
      for (const _ of [2, 3, 4]) await server.next('tools/call')
      for (const id of [4, 2, 3]) {
        written
          .get(id)!
          .write(event(result(id)))
          .end()
        expect(await dialed.next()).toEqual({ received: result(id), during: id })
      }
    })

    test.each([
      ['another id', () => json(result(7))],
      ['another id, as an event', () => stream(event(result(7)))],
      ['an id that is a string', () => stream(event('{"jsonrpc":"2.0","id":"2","result":{}}'))],
      [
        'a question of the same id',
        () => stream(event('{"id":2,"params":{},"method":"x","jsonrpc":"2.0"}')),
      ],
    ])('fails a request whose response holds %s', async (_, answer) => {
      await using server = startRemote({ 'tools/call': answer })
      await using dialed = await meet(server)
      dialed.ask(2)
      expect(await dialed.next()).toMatchObject({ during: 2 })
      expect(await dialed.next()).toMatchObject({ failed: 2 })
    })

    test.each([
      ['nothing', () => status(202), 'it answered 202 with nothing'],
      ['no content', () => status(204), 'it answered 204 with nothing'],
      ['an empty body', () => status(200), 'it answered 200 with nothing'],
      ['no JSON', () => json(''), 'its response holds no answer to the request'],
      [
        'another type',
        () => new Response('<html>', { headers: { 'Content-Type': 'text/html; charset=utf-8' } }),
        'it answered 200 with text/html, neither JSON nor an event stream',
      ],
    ])('fails a request that is answered with %s', async (_, answer, message) => {
      expect(await answeredWith(answer)).toEqual({ failed: 2, code: 'protocol', message })
    })

    test('leaves garbage to the receiver, and fails the request', async () => {
      for (const body of ['oops', '[]', '{"jsonrpc":"2.0","id":2', '\0']) {
        await using server = startRemote({ 'tools/call': () => json(body) })
        await using dialed = await meet(server)
        dialed.ask(2)
        expect(await dialed.next()).toEqual({ received: body, during: 2 })
        expect(await dialed.next()).toMatchObject({ failed: 2, code: 'protocol' })
      }
    })

    test('several answers to one request, and fails it not', async () => {
      const twice = event(result(2, '{"n":1}')) + event(result(2, '{"n":2}'))
      await using server = startRemote({
        'tools/call': () => stream(twice),
        ping: () => json(result(3)),
      })
      await using dialed = await meet(server)
      dialed.ask(2)
      dialed.ask(3, 'ping')
      const heard = [await dialed.next(), await dialed.next(), await dialed.next()]
      expect(heard.filter((one) => 'failed' in one)).toEqual([])
    })

    test('an answer with a byte order mark', async () => {
      expect(await answeredWith(() => json(`\ufeff${result(2)}`))).toEqual({
        received: result(2),
        during: 2,
      })
    })

    test('a batch', async () => {
      const batch = `[${result(3)},${result(2)}]`
      expect(await answeredWith(() => stream(event(batch)))).toEqual({ received: batch, during: 2 })
    })

    test('no more of a message than there is room for', async () => {
      const long = `{"jsonrpc":"2.0","id":2,"result":"${'x'.repeat(MAX_MESSAGE)}"}`
      expect(await answeredWith(() => json(long))).toEqual({
        failed: 2,
        code: 'protocol',
        message: `its answer is longer than ${MAX_MESSAGE} bytes`,
      })
      await using server = startRemote({ 'tools/call': () => stream(event(long)) })
      await using dialed = await meet(server)
      dialed.ask(2)
      expect(await dialed.next()).toEqual({
        refused: expect.stringMatching(/^\{"jsonrpc":"2.0","id":2,.{1000,1100}"\}$/),
        why: `an event of ${long.length} characters, over ${MAX_MESSAGE}`,
      })
    })
  })

  describe('gives up', () => {
    test('a request that was cancelled, once the server knows', async () => {
      await using server = startRemote({ 'tools/call': () => new Written(': \n\n').response })
      await using dialed = await meet(server)
      dialed.ask(2)
      const { left } = await server.next('tools/call')
      dialed.tell('notifications/cancelled', { _meta: { requestId: 3 }, requestId: 2 })
      expect((await server.next('notifications/cancelled')).params.requestId).toBe(2)
      await left
      expect(dialed.all).toHaveLength(1)
    })

    test('a response that stays open long after the answer', async () => {
      await using server = startRemote({
        'tools/call': ({ id }) => new Written(event(result(id))).response,
      })
      await using dialed = await meet(server)
      dialed.ask(2)
      const { left } = await server.next('tools/call')
      expect(await dialed.next()).toEqual({ received: result(2), during: 2 })
      await left
      expect(dialed.all).toHaveLength(2)
    })

    test('nothing that comes late: an answer after the cancellation is told, and harms nobody', async () => {
      const said = new Written()
      const taken = Promise.withResolvers<Response>()
      await using server = startRemote({
        'tools/call': () => said.response,
        'notifications/cancelled': () => taken.promise,
      })
      await using dialed = await meet(server)
      dialed.ask(2)
      await server.next('tools/call')
      dialed.tell('notifications/cancelled', { requestId: 2 })
      await server.next('notifications/cancelled')
      said.write(event(result(2))).end()
      expect(await dialed.next()).toEqual({ received: result(2), during: 2 })
      taken.resolve(status(202))
    })
  })

  describe('when a response breaks', () => {
    test('before its first byte, it is unknown what became of the request', async () => {
      const cut = Bun.listen({
        hostname: '127.0.0.1',
        port: 0,
        socket: { data: (socket) => void socket.end() },
      })
      await using dialed = dial(remote(`http://127.0.0.1:${cut.port}/mcp`))
      dialed.ask(1, 'initialize')
      expect(await dialed.next()).toEqual({
        failed: 1,
        code: 'broken',
        message:
          'the connection broke (ECONNRESET) before the answer; whether it was acted on is unknown',
      })
      cut.stop(true)
    })

    test('in the middle of JSON, the request fails', async () => {
      const heard = await answeredWith(() => {
        const said = new Written('{"jsonrpc":"2.0",')
        setTimeout(() => said.breakOff())
        return new Response(said.response.body, { headers: { 'Content-Type': 'application/json' } })
      })
      expect(heard).toMatchObject(BROKEN)
    })

    test.each([
      ['ended', (said: Written) => said.end()],
      ['was cut', (said: Written) => said.breakOff()],
    ])('without a word on how to resume it, the request fails: it %s', async (_, finish) => {
      const said = new Written(': \n\n')
      await using server = startRemote({ 'tools/call': () => said.response })
      await using dialed = await meet(server)
      dialed.ask(2)
      await server.next('tools/call')
      await server.next('GET')
      finish(said)
      expect(await dialed.next()).toMatchObject({
        ...BROKEN,
        message: expect.stringMatching(/before the answer; whether it was acted on is unknown$/),
      })
      expect(server.seen.filter(({ kind }) => kind === 'GET')).toHaveLength(1)
    })

    test('it is resumed from its last event, as often as the server lets it wait', async () => {
      const gets = [
        () => stream(event('', '日-2')),
        () => stream(''),
        () => stream(event('{"jsonrpc":"2.0","method":"notifications/x"}', '3')),
        () => stream(event(result(2))),
      ]
      await using server = startRemote({
        'tools/call': () => stream(`retry: 10\n${event('', '1')}`),
        GET: ({ headers }) => (headers.has('last-event-id') ? gets.shift()!() : status(405)),
      })
      await using dialed = await meet(server)
      await server.next('GET')
      dialed.ask(2)
      expect(await dialed.next()).toMatchObject({ during: 2 })
      expect(await dialed.next()).toEqual({ received: result(2), during: 2 })
      const ids: unknown[] = []
      for (const _ of [1, 2, 3, 4]) {
        const { headers } = await server.next('GET')
        expect(headers.get('mcp-session-id')).toBe(SESSION)
        ids.push(Buffer.from(headers.get('last-event-id')!, 'latin1').toString())
      }
      expect(ids).toEqual(['1', '日-2', '日-2', '3'])
      expect(server.seen.filter(({ kind }) => kind === 'tools/call')).toHaveLength(1)
    })

    test('and is resumed in vain, the request fails', async () => {
      const answers: [Answering, RegExp, number][] = [
        [() => status(405), /it answered 405; whether/, 1],
        [() => json('{}'), /application\/json, not an event stream; whether/, 1],
        [() => status(503), /it answered 503; whether/, 5],
      ]
      for (const [answer, why, tries] of answers) {
        await using server = startRemote({
          'tools/call': () => stream(`retry: 1\n${event('', '1')}`),
          GET: (request) => (request.headers.has('last-event-id') ? answer(request) : status(405)),
        })
        await using dialed = await meet(server)
        dialed.ask(2)
        expect(await dialed.next()).toMatchObject({
          ...BROKEN,
          message: expect.stringMatching(why),
        })
        const gets = server.seen.filter(({ headers }) => headers.has('last-event-id'))
        expect(gets).toHaveLength(tries)
      }
    })

    test('after the answer, nobody minds', async () => {
      const said = new Written(event(result(2), '1'))
      await using server = startRemote({ 'tools/call': () => said.response })
      await using dialed = await meet(server)
      dialed.ask(2)
      expect(await dialed.next()).toEqual({ received: result(2), during: 2 })
      said.breakOff()
      dialed.ask(3, 'ping')
      expect(await dialed.next()).toEqual({ received: result(3), during: 3 })
    })
  })

  describe('listens', () => {
    const news = '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'

    test('to what the server says of its own accord, again whenever the stream is over', async () => {
      const first = new Written(`retry: 10\n\n`)
      const second = new Written(event(news, '7'))
      const third = new Written(event(news))
      const gets = [first, second, third]
      await using server = startRemote({ GET: () => gets.shift()!.response })
      await using dialed = await meet(server)
      expect((await server.next('GET')).headers.has('last-event-id')).toBe(false)
      first.write(event(news)).end()
      expect(await dialed.next()).toEqual({ received: news })
      expect((await server.next('GET')).headers.has('last-event-id')).toBe(false)
      expect(await dialed.next()).toEqual({ received: news })
      second.breakOff()
      expect((await server.next('GET')).headers.get('last-event-id')).toBe('7')
      expect(await dialed.next()).toEqual({ received: news })
      expect(dialed.notes).toEqual(['the connection broke (ECONNRESET): trying again'])
    })

    test('again also after a failure of the server', async () => {
      const gets: Answering[] = [
        () => stream('retry: 1\n\n'),
        () => status(500),
        () => status(429),
        () => stream(event(news)),
      ]
      await using server = startRemote({
        GET: (request) => (gets.shift() ?? (() => status(405)))(request),
      })
      await using dialed = await meet(server)
      expect(await dialed.next()).toEqual({ received: news })
    })

    test.each([404, 405, 400, 401])('not where that is not offered: %d', async (code) => {
      await using server = startRemote({
        initialize: ({ id }) => json(greeting(id)),
        GET: () => status(code),
      })
      await using dialed = await meet(server)
      await server.next('GET')
      dialed.ask(2)
      expect(await dialed.next()).toEqual({ received: result(2), during: 2 })
      expect(server.seen.filter(({ kind }) => kind === 'GET')).toHaveLength(1)
    })

    test('and takes an answer from there too', async () => {
      const own = new Written()
      const said = new Written(': \n\n')
      await using server = startRemote({
        GET: () => own.response,
        'tools/call': () => said.response,
      })
      await using dialed = await meet(server)
      await server.next('GET')
      dialed.ask(2)
      await server.next('tools/call')
      own.write(event(result(2)))
      expect(await dialed.next()).toEqual({ received: result(2) })
      said.end()
      dialed.ask(3, 'ping')
      expect(await dialed.next()).toEqual({ received: result(3), during: 3 })
    })
  })

  describe('when the session is lost', () => {
    const LOST = (body?: string) => status(404, body)
    const lost = (id: number) => ({ failed: id, code: 'session_lost' })

    test('each request hears of it once, and then it is over', async () => {
      const all = Promise.withResolvers<Response>()
      await using server = startRemote({ 'tools/call': () => all.promise.then(() => LOST()) })
      await using dialed = await meet(server)
      for (const id of [2, 3, 4]) dialed.ask(id)
      for (const _ of [2, 3, 4]) await server.next('tools/call')
      all.resolve(LOST())
      expect(await dialed.next()).toEqual({ lost: true })
      const failed: Heard[] = []
      for (const _ of [2, 3, 4]) failed.push(await dialed.next())
      expect(failed.map((one) => 'failed' in one && one.failed).sort()).toEqual([2, 3, 4])
      for (const one of failed) expect(one).toMatchObject({ code: 'session_lost' })
      expect(await dialed.next()).toMatchObject({ closed: 'session_lost' })
      await dialed.transport.gone
      expect(server.seen.filter(({ kind }) => kind === 'DELETE')).toEqual([])
    })

    test('what is in flight may still be answered, and nothing new is asked', async () => {
      const said = new Written(': \n\n')
      await using server = startRemote({ 'tools/call': () => said.response, ping: () => LOST() })
      await using dialed = await meet(server)
      dialed.ask(2)
      await server.next('tools/call')
      dialed.ask(3, 'ping')
      expect(await dialed.next()).toEqual({ lost: true })
      expect(await dialed.next()).toMatchObject(lost(3))
      dialed.ask(4, 'tools/list')
      expect(await dialed.next()).toMatchObject(lost(4))
      said.write(event(result(2)))
      expect(await dialed.next()).toEqual({ received: result(2), during: 2 })
      expect(await dialed.next()).toMatchObject({ closed: 'session_lost' })
      expect(server.seen.filter(({ kind }) => kind === 'tools/list')).toEqual([])
    })

    test('what hangs may be cancelled, and then it is over too', async () => {
      await using server = startRemote({
        'tools/call': () => new Written(': \n\n').response,
        ping: () => LOST(),
      })
      await using dialed = await meet(server)
      dialed.ask(2)
      await server.next('tools/call')
      dialed.ask(3, 'ping')
      expect(await dialed.next()).toEqual({ lost: true })
      expect(await dialed.next()).toMatchObject(lost(3))
      dialed.tell('notifications/cancelled', { requestId: 2 })
      expect(await dialed.next()).toMatchObject({ closed: 'session_lost' })
      expect(server.seen.filter(({ kind }) => kind === 'notifications/cancelled')).toEqual([])
    })

    test.each([
      ['a notification', 'notifications/x', (dialed: Dialed) => dialed.tell('notifications/x')],
      ['an answer', 'answer', ({ transport }: Dialed) => transport.settle('"p"', result(9))],
    ])('%s finds out too', async (_, kind, say) => {
      await using server = startRemote({ [kind]: () => LOST() })
      await using dialed = await meet(server)
      say(dialed)
      expect(await dialed.next()).toEqual({ lost: true })
      expect(await dialed.next()).toMatchObject({ closed: 'session_lost' })
    })

    test('the stream of its own messages finds out too', async () => {
      await using server = startRemote({ GET: () => LOST('Session not found') })
      await using dialed = await meet(server)
      expect(await dialed.next()).toEqual({ lost: true })
      expect(await dialed.next()).toEqual({
        closed: 'session_lost',
        message: 'its session is over: it answered 404: Session not found',
      })
    })

    test('a request whose response was to be resumed may have been acted on', async () => {
      await using server = startRemote({
        'tools/call': () => stream(`retry: 1\n${event('', '1')}`),
        GET: ({ headers }) => (headers.has('last-event-id') ? LOST() : status(405)),
      })
      await using dialed = await meet(server)
      dialed.ask(2)
      expect(await dialed.next()).toEqual({ lost: true })
      expect(await dialed.next()).toMatchObject(BROKEN)
      expect(await dialed.next()).toMatchObject({ closed: 'session_lost' })
    })

    const error = (id: unknown, code: number, message: string) =>
      JSON.stringify({ jsonrpc: '2.0', id, error: { code, message } })

    test.each([
      [400, 'Invalid session ID'],
      [400, error(null, -32000, 'Bad Request: No valid session ID provided')],
      [400, error('server-error', -32600, 'Bad Request: Session expired')],
      [404, error(2, -32001, 'Session not found')],
      [404, error(null, -32601, 'Method not found')],
      [404, '<html>'],
    ])('it is told by %d %s', async (code, body) => {
      await using server = startRemote({ 'tools/call': () => status(code, body) })
      await using dialed = await meet(server)
      dialed.ask(2)
      expect(await dialed.next()).toEqual({ lost: true })
      expect(await dialed.next()).toMatchObject(lost(2))
    })

    test.each([
      [400, error(2, -32602, 'unknown parameter "session"')],
      [404, error(2, -32601, 'Method not found')],
    ])('it is not told by %d %s', async (code, body) => {
      expect(await answeredWith(() => status(code, body))).toEqual({ received: body, during: 2 })
    })

    test('it is not, where there was none', async () => {
      const without = { initialize: ({ id }: { id: number }) => json(greeting(id)) }
      expect(await answeredWith(() => status(404, 'session not found'), without)).toEqual({
        failed: 2,
        code: 'refused',
        message: 'it answered 404: session not found',
      })
    })
  })

  describe('when it is refused', () => {
    test('says the status and the challenge, and nothing of our own headers', async () => {
      const challenge = `Bearer resource_metadata="https://x.example/.well-known",\r\n error="invalid_token" ${'x'.repeat(300)}`
      await using server = startRemote({
        initialize: () =>
          status(401, result(1), { 'WWW-Authenticate': challenge.replace('\r\n', '') }),
      })
      await using dialed = dial(remote(server.url, { headers: { Authorization: 'Bearer s3cret' } }))
      dialed.ask(1, 'initialize')
      const { message, ...rest } = (await dialed.next()) as { message: string }
      expect(rest).toEqual({ failed: 1, code: 'unauthorized' } as object)
      expect(message).toStartWith('it answered 401 (WWW-Authenticate: Bearer resource_metadata=')
      expect(message.length).toBeLessThan(250)
      expect(message).not.toContain('s3cret')
    })

    test('says what the body says, on one line', async () => {
      const body = `<h1>\r\n  no\u001b[31m</h1>${'x'.repeat(1_000)}`
      const heard = await answeredWith(() => status(500, body))
      expect(heard).toMatchObject({ failed: 2, code: 'refused' })
      const { message } = heard as { message: string }
      expect(message).toStartWith('it answered 500: <h1> no [31m</h1>xxx')
      expect(message).toHaveLength('it answered 500: '.length + 200)
    })

    test('does not wait for ever for an explanation', async () => {
      const heard = await answeredWith(() => {
        const { body } = new Written('because').response
        return new Response(body, { status: 500 })
      })
      expect(heard).toMatchObject({ failed: 2, message: 'it answered 500: because' })
    })

    test.each(['2', 'null', '"server-error"', '7'])(
      'takes an error answer in the body for the answer: id %s',
      async (id) => {
        const error = '{"code":-32000,"message":"Bad Request","data":1.0}'
        const body = `{"jsonrpc":"2.0","id":${id},"error":${error}}`
        for (const code of [400, 422, 500]) {
          expect(await answeredWith(() => status(code, body))).toEqual({
            received: `{"jsonrpc":"2.0","id":2,"error":${error}}`,
            during: 2,
          })
        }
      },
    )

    test('does not take a result for the answer', async () => {
      expect(await answeredWith(() => status(500, result(2)))).toMatchObject({
        failed: 2,
        code: 'refused',
      })
    })

    test('does not begin a session with an id that it could not send back', async () => {
      await using server = startRemote({
        initialize: ({ id }) => json(greeting(id), 200, { 'Mcp-Session-Id': 'a b' }),
      })
      await using dialed = dial(remote(server.url))
      dialed.ask(1, 'initialize')
      expect(await dialed.next()).toMatchObject({ failed: 1, code: 'protocol' })
    })

    test('knows when it has reached nobody', async () => {
      const closed = startRemote()
      await closed[Symbol.asyncDispose]()
      for (const url of [closed.url, 'http://nobody.invalid/mcp']) {
        await using dialed = dial(remote(url))
        dialed.ask(1, 'initialize')
        expect(await dialed.next()).toEqual({
          failed: 1,
          code: 'unreachable',
          message: expect.stringMatching(/^cannot reach http:\/\/\S+ \((ECONNREFUSED|E\w+)\)$/),
        })
      }
    })
  })

  describe('is redirected', () => {
    test.each([301, 302, 307, 308])('within the origin, with method and body: %d', async (code) => {
      await using server = startRemote({
        initialize: ({ path, id }) =>
          path === '/there?x=1' ? json(greeting(id)) : status(code, '', { Location: '/there?x=1' }),
      })
      await using dialed = dial(remote(server.url))
      dialed.ask(1, 'initialize', { x: 1 })
      expect(await dialed.next()).toEqual({ received: greeting(1), during: 1 })
      const [first, second] = [await server.next('initialize'), await server.next('initialize')]
      expect(second.text).toBe(first.text)
    })

    test('three times at most', async () => {
      await using server = startRemote({ initialize: () => status(307, '', { Location: '/on' }) })
      await using dialed = dial(remote(server.url))
      dialed.ask(1, 'initialize')
      expect(await dialed.next()).toMatchObject({ failed: 1, code: 'refused' })
      expect(server.seen).toHaveLength(4)
    })

    test('never to another origin', async () => {
      await using other = startRemote()
      const Location = `${other.url}?token=s3cret`
      await using server = startRemote({ initialize: () => status(308, '', { Location }) })
      await using dialed = dial(remote(server.url))
      dialed.ask(1, 'initialize')
      expect(await dialed.next()).toEqual({
        failed: 1,
        code: 'refused',
        message: `it redirects to another origin, ${other.url}: if that is right, write that URL into the configuration`,
      })
      expect(other.seen).toEqual([])
    })

    test.each([{ Location: 'http://' }, {}])('nowhere by %p', async (headers) => {
      await using server = startRemote({ initialize: () => status(302, '', headers) })
      await using dialed = dial(remote(server.url))
      dialed.ask(1, 'initialize')
      expect(await dialed.next()).toEqual({
        failed: 1,
        code: 'refused',
        message: 'it answered 302 and no Location',
      })
    })
  })

  describe('closes', () => {
    test('with a farewell, and leaves nothing open', async () => {
      const open = () => new Written(': \n\n').response
      await using server = startRemote({ GET: open, 'tools/call': open })
      const dialed = await meet(server)
      dialed.ask(2)
      const requests = [await server.next('GET'), await server.next('tools/call')]
      dialed.transport.close()
      dialed.transport.close()
      await dialed.transport.gone
      const { headers } = await server.next('DELETE')
      expect(headers.get('mcp-session-id')).toBe(SESSION)
      await Promise.all(requests.map(({ left }) => left))
      dialed.ask(3)
      expect(dialed.all).toHaveLength(1)
      expect(server.seen.filter(({ kind }) => kind === 'DELETE')).toHaveLength(1)
    })

    test('also where nobody says farewell in return', async () => {
      await using server = startRemote({ DELETE: () => new Promise(() => {}) })
      const { transport } = await meet(server)
      transport.close()
      await transport.gone
    })

    test('in the middle of everything that waits', async () => {
      await using server = startRemote({
        'notifications/initialized': () => new Promise(() => {}),
        GET: () => stream('retry: 600000\n\n'),
      })
      const waiting = await meet(server)
      waiting.ask(2)
      waiting.transport.close()
      await waiting.transport.gone
      server.on['notifications/initialized'] = () => status(202)
      const pausing = await meet(server)
      await server.next('GET')
      pausing.transport.close()
      await pausing.transport.gone
      expect([waiting.all.length, pausing.all.length]).toEqual([1, 1])
    })

    test('without a farewell from no session', async () => {
      await using server = startRemote({ initialize: ({ id }) => json(greeting(id)) })
      const { transport } = await meet(server)
      transport.close()
      await transport.gone
      expect(server.seen.filter(({ kind }) => kind === 'DELETE')).toEqual([])
    })
  })
})

/** A server of 2024-11-05: what is POSTed is answered by `on`, through the stream. */
function startSse(
  on: Record<string, (id: number) => string | Response> = {},
  endpoint = '/messages?session=1',
) {
  const said = new Written(`event: endpoint\ndata: ${endpoint}\n\n`)
  const answers: typeof on = { initialize: greeting, ...on }
  const answering = Object.fromEntries(
    ['initialize', 'tools/call', 'ping', 'notifications/x'].map((kind): [string, Answering] => [
      kind,
      ({ path, id }) => {
        if (path !== endpoint) return status(405)
        const answer = (answers[kind] ?? result)(id)
        if (answer instanceof Response) return answer
        said.write(event(answer))
        return new Response('Accepted', { status: 202 })
      },
    ]),
  )
  return { said, server: startRemote({ ...answering, GET: () => said.response }) }
}

const sse = { transport: 'sse' } as const

describe('HTTP+SSE', () => {
  test('speaks through one stream, and POSTs to where that says', async () => {
    const { said, server } = startSse()
    await using _ = server
    const headers = { Authorization: 'Bearer x' }
    await using dialed = dial(remote(server.url, { ...sse, headers }))
    dialed.ask(1, 'initialize')
    expect(await dialed.next()).toEqual({ received: greeting(1) })
    dialed.tell('notifications/initialized')
    dialed.ask(2)
    expect(await dialed.next()).toEqual({ received: result(2) })
    const asked = '{"jsonrpc":"2.0","id":0,"method":"roots/list"}'
    said.write(`event: ping\ndata: x\n\nevent: message\n${event(asked)}`)
    expect(await dialed.next()).toEqual({ received: asked })
    dialed.transport.settle('0', result(0))
    const answer = await server.next('answer')
    expect(answer).toMatchObject({ path: '/messages?session=1', text: result(0) })
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      authorization: 'Bearer x',
      'content-type': 'application/json',
    })
    const { headers: opening } = await server.next('GET')
    expect(Object.fromEntries(opening)).toMatchObject({
      authorization: 'Bearer x',
      accept: 'text/event-stream',
    })
  })

  test('resolves the endpoint against where it was redirected to', async () => {
    const { said, server } = startSse({}, '/there/messages')
    await using _ = server
    said.end()
    const redirected = new Written('event: endpoint\ndata: messages\n\n')
    server.on.GET = ({ path }) =>
      path === '/there/' ? redirected.response : status(307, '', { Location: '/there/' })
    server.on.initialize = () => status(202)
    await using dialed = dial(remote(server.url, sse))
    dialed.ask(1, 'initialize')
    expect((await server.next('initialize')).path).toBe('/there/messages')
  })

  test('takes an answer in the response too', async () => {
    const { server } = startSse({
      'tools/call': (id) => json(result(id)),
      ping: () => json('{"ok":true}'),
    })
    await using _ = server
    await using dialed = await meet(server, sse)
    dialed.ask(2)
    expect(await dialed.next()).toEqual({ received: result(2), during: 2 })
    dialed.ask(3, 'ping')
    dialed.ask(4)
    expect(await dialed.next()).toEqual({ received: result(4), during: 4 })
  })

  test('goes to no endpoint at another origin', async () => {
    const { server } = startSse({}, 'http://127.0.0.1:1/messages')
    await using _ = server
    await using dialed = dial(remote(server.url, sse))
    dialed.ask(1, 'initialize')
    expect(await dialed.next()).toEqual({
      closed: 'refused',
      message: 'its endpoint is at another origin, http://127.0.0.1:1',
    })
    await dialed.transport.gone
  })

  test('does not wait for ever for an endpoint', async () => {
    await using server = startRemote({ GET: () => new Written(': \n\n').response })
    await using dialed = dial(
      remote(server.url, sse),
      (remote, receiver, observer = {}) => new Sse(remote, receiver, observer, 20),
    )
    dialed.ask(1, 'initialize')
    expect(await dialed.next()).toEqual({
      closed: 'protocol',
      message: 'it never sent its endpoint: 20 ms have passed',
    })
    await (await server.next('GET')).left
    await dialed.transport.gone
  })

  test.each([
    ['ends', (said: Written) => said.end(), 'it ended its event stream'],
    ['is cut', (said: Written) => said.breakOff(), 'the connection broke (ECONNRESET)'],
  ])('is over when its stream %s', async (_, finish, message) => {
    const { said, server } = startSse({ 'tools/call': () => status(202) })
    await using __ = server
    await using dialed = await meet(server, sse)
    dialed.ask(2)
    await server.next('tools/call')
    finish(said)
    expect(await dialed.next()).toEqual({ closed: 'broken', message })
  })

  test.each([
    [() => status(404, 'Cannot GET'), 'refused', 'it answered 404: Cannot GET'],
    [() => status(401), 'unauthorized', 'it answered 401'],
    [() => json('{}'), 'protocol', 'it answered GET with application/json, not an event stream'],
  ])('fails to open: %p', async (answer, closed, message) => {
    await using server = startRemote({ GET: answer })
    await using dialed = dial(remote(server.url, sse))
    dialed.ask(1, 'initialize')
    expect(await dialed.next()).toEqual({ closed, message })
  })

  test('fails a request that is not taken', async () => {
    const { server } = startSse({ 'tools/call': () => status(500, 'oops') })
    await using _ = server
    await using dialed = await meet(server, sse)
    dialed.ask(2)
    expect(await dialed.next()).toEqual({
      failed: 2,
      code: 'refused',
      message: 'it answered 500: oops',
    })
    dialed.ask(3, 'ping')
    expect(await dialed.next()).toEqual({ received: result(3) })
  })

  test('has lost its session when its endpoint is gone', async () => {
    const { said, server } = startSse({ 'tools/call': () => status(202), ping: () => status(404) })
    await using _ = server
    await using dialed = await meet(server, sse)
    dialed.ask(2)
    await server.next('tools/call')
    dialed.ask(3, 'ping')
    expect(await dialed.next()).toEqual({ lost: true })
    expect(await dialed.next()).toMatchObject({ failed: 3, code: 'session_lost' })
    said.write(event(result(2)))
    expect(await dialed.next()).toEqual({ received: result(2) })
    expect(await dialed.next()).toMatchObject({ closed: 'session_lost' })
  })

  test('closes with requests in flight, and leaves nothing open', async () => {
    const { server } = startSse({ 'tools/call': () => status(202) })
    await using _ = server
    const dialed = await meet(server, sse)
    dialed.ask(2)
    await server.next('tools/call')
    dialed.transport.close()
    await dialed.transport.gone
    await (await server.next('GET')).left
    expect(dialed.all).toHaveLength(1)
  })
})

describe('auto', () => {
  const auto = { transport: 'auto' } as const
  const unauthorized = { failed: 1, code: 'unauthorized', message: 'it answered 403' }

  test('finds Streamable HTTP by its answer', async () => {
    await using server = startRemote()
    await using dialed = dial(remote(server.url, auto))
    dialed.ask(1, 'initialize')
    expect(await dialed.next()).toEqual({ found: 'streamable-http' })
    expect(await dialed.next()).toEqual({ received: greeting(1), during: 1 })
  })

  test.each([400, 404, 405, 410, 501])('falls back to HTTP+SSE after %d', async (code) => {
    const { said, server } = startSse()
    await using _ = server
    const answer = server.on.initialize!
    server.on.initialize = (request) =>
      request.path === '/mcp' ? status(code, 'Cannot POST /mcp') : answer(request)
    await using dialed = dial(remote(server.url, auto))
    dialed.ask(1, 'initialize')
    expect(await dialed.next()).toEqual({ found: 'sse' })
    expect(await dialed.next()).toEqual({ received: greeting(1) })
    dialed.tell('notifications/initialized')
    dialed.ask(2)
    expect(await dialed.next()).toEqual({ received: result(2) })
    said.end()
    expect(await dialed.next()).toMatchObject({ closed: 'broken' })
    await dialed.transport.gone
  })

  test('takes an error answer for Streamable HTTP', async () => {
    const error = '{"code":-32602,"message":"Unsupported protocol version"}'
    await using server = startRemote({
      initialize: () => status(400, `{"jsonrpc":"2.0","id":null,"error":${error}}`),
    })
    await using dialed = dial(remote(server.url, auto))
    dialed.ask(1, 'initialize')
    expect(await dialed.next()).toEqual({ found: 'streamable-http' })
    expect(await dialed.next()).toMatchObject({ received: expect.stringContaining(error) })
    expect(server.seen).toHaveLength(1)
  })

  test('takes no error for an answer where the method is not allowed', async () => {
    const { server } = startSse()
    await using _ = server
    const answer = server.on.initialize!
    const error =
      '{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Method not allowed"}}'
    server.on.initialize = (request) =>
      request.path === '/mcp' ? status(405, error) : answer(request)
    await using dialed = dial(remote(server.url, auto))
    dialed.ask(1, 'initialize')
    expect(await dialed.next()).toEqual({ found: 'sse' })
  })

  test.each([
    [403, unauthorized],
    [500, { failed: 1, code: 'refused', message: 'it answered 500' }],
  ])('takes %d for no evidence', async (code, heard) => {
    await using server = startRemote({ initialize: () => status(code) })
    await using dialed = dial(remote(server.url, auto))
    dialed.ask(1, 'initialize')
    expect(await dialed.next()).toEqual(heard)
    expect(server.seen).toHaveLength(1)
  })

  test('tells of both if neither works', async () => {
    await using server = startRemote({
      initialize: () => status(404, 'Not Found'),
      GET: () => status(403),
    })
    await using dialed = dial(remote(server.url, auto))
    dialed.ask(1, 'initialize')
    expect(await dialed.next()).toEqual({
      closed: 'unauthorized',
      message: 'as Streamable HTTP it answered 404: Not Found; as HTTP+SSE it answered 403',
    })
    await dialed.transport.gone
  })
})

describe('a channel over it', () => {
  const handler: Handler = {
    onRequest: async () => Json.of({}),
    onNotification: () => {},
    onMalformed: (_, why) => why,
    onClose: () => {},
  }

  test('hears during which call something was said', async () => {
    const told = '{"jsonrpc":"2.0","method":"notifications/message","params":{}}'
    await using server = startRemote({
      'tools/call': ({ id }) => stream(event(told) + event(result(id))),
    })
    const heard: (string | undefined)[] = []
    const onNotification: Handler['onNotification'] = (_m, _p, during) =>
      void heard.push(during?.id)
    const channel = new Channel((receiver) => connectRemote(remote(server.url), receiver), {
      ...handler,
      onNotification,
    })
    await channel.request('initialize')
    channel.notify('notifications/initialized')
    const serves: Incoming = {
      id: '"mine"',
      aborted: undefined,
      onAbort: () => {},
      offAbort: () => {},
      progress: undefined,
    }
    await channel.request('tools/call', undefined, { serves })
    expect(heard).toEqual(['"mine"'])
    channel.close(new Error('done'))
  })

  test('rejects each call with its own reason, and all with the reason of the end', async () => {
    await using server = startRemote({
      'tools/call': () => status(404),
      'tools/list': () => json('{"jsonrpc":"2.0","id":99,"result":{}}'),
      ping: () => new Written(': \n\n').response,
    })
    const channel = new Channel((receiver) => connectRemote(remote(server.url), receiver), handler)
    await channel.request('initialize')
    channel.notify('notifications/initialized')
    expect(await channel.request('tools/list').catch((error) => error)).toMatchObject({
      code: 'protocol',
    })
    expect(await channel.request('tools/call').catch((error) => error)).toBeInstanceOf(RemoteError)
    expect(await channel.request('tools/call').catch((error) => error)).toMatchObject({
      code: 'session_lost',
    })
  })
})

describe.skipIf(!Bun.which('openssl'))('a certificate of its own', () => {
  let directory: string
  let tls: { key: string; cert: string }
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'remote-test-'))
    const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
    const made = Bun.spawnSync(
      `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ${key} -out ${cert} -days 2 -subj /CN=127.0.0.1`.split(
        ' ',
      ),
    )
    expect(made.success).toBe(true)
    tls = { key: await Bun.file(key).text(), cert: await Bun.file(cert).text() }
  })
  afterAll(() => rm(directory, { recursive: true }))

  test('is not trusted', async () => {
    await using server = startRemote({}, tls)
    await using dialed = dial(remote(server.url))
    dialed.ask(1, 'initialize')
    expect(await dialed.next()).toMatchObject({
      failed: 1,
      code: 'unreachable',
      message: expect.stringContaining('DEPTH_ZERO_SELF_SIGNED_CERT'),
    })
    expect(server.seen).toEqual([])
  })

  test('is, if that was asked for', async () => {
    await using server = startRemote({}, tls)
    await using dialed = dial(remote(server.url, { insecure: true }))
    dialed.ask(1, 'initialize')
    expect(await dialed.next()).toEqual({ received: greeting(1), during: 1 })
  })
})
