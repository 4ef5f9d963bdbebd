/** Two channels that meet in memory: what each side says, hears and answers. */
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { GatewayError, RpcError } from '../../src/errors.ts'
import { Channel, MAX_INCOMING } from '../../src/rpc/channel.ts'
import { IncomingRequest } from '../../src/rpc/incoming.ts'
import { Json } from '../../src/rpc/json.ts'
import type { MalformedMessage } from '../../src/rpc/message.ts'
import {
  type AbortListener,
  Cancelled,
  type Handler,
  type Incoming,
  type Receiver,
  type Transport,
} from '../../src/rpc/peer.ts'

interface Sent {
  text: string
  /** Which request of the peer's it went along with, or ended. */
  relatedTo?: string | undefined
  settles?: string
}

/** A transport that writes down what is sent, and hands it to whoever is at the other end. */
class Wire implements Transport {
  readonly sent: Sent[] = []
  closed = 0
  other: Receiver | undefined

  send(text: string, relatedTo?: string): void {
    this.#pass({ text, relatedTo })
  }

  settle(id: string, text: string | undefined): void {
    this.#pass({ text: text ?? '', settles: id })
  }

  close(): void {
    this.closed++
  }

  get texts(): string[] {
    return this.sent.map(({ text }) => text)
  }

  #pass(sent: Sent): void {
    this.sent.push(sent)
    // As on a real wire, nobody hears while they speak.
    if (sent.text !== '') queueMicrotask(() => this.other?.receive(sent.text))
  }
}

/** A handler that writes down what it hears, and refuses what it was not told how to answer. */
class Recorder implements Handler {
  readonly requests: { method: string; params: string | undefined; from: Incoming }[] = []
  readonly notifications: { method: string; params: string | undefined }[] = []
  readonly malformed: { text: string; why: MalformedMessage }[] = []
  readonly closed: Error[] = []
  readonly #answer: Handler['onRequest']

  constructor(answer: Handler['onRequest'] = async () => Json.of({})) {
    this.#answer = answer
  }

  onRequest(
    method: string,
    params: Json | undefined,
    from: Incoming,
    during?: Incoming,
  ): Promise<Json> {
    this.requests.push({ method, params: params?.text, from })
    return this.#answer(method, params, from, during)
  }
  onNotification(method: string, params: Json | undefined): void {
    this.notifications.push({ method, params: params?.text })
  }
  onMalformed(text: string, why: MalformedMessage): Error {
    this.malformed.push({ text, why })
    return new Error(`malformed: ${why.message}`)
  }
  onClose(reason: Error): void {
    this.closed.push(reason)
  }
}

/** A request of somebody else's, in whose service one is made. */
class Served implements Incoming {
  readonly id = '"served"'
  readonly progress: Incoming['progress']
  readonly listeners = new Set<AbortListener>()
  aborted: Error | undefined

  constructor(progress?: Incoming['progress']) {
    this.progress = progress
  }

  onAbort(listener: AbortListener): void {
    this.listeners.add(listener)
  }

  offAbort(listener: AbortListener): void {
    this.listeners.delete(listener)
  }

  abort(reason = new Error('given up')): Error {
    this.aborted = reason
    for (const listener of this.listeners) listener.abort(reason)
    return reason
  }
}

interface Side {
  channel: Channel
  wire: Wire
  recorder: Recorder
}

/** One channel whose other end is the test. */
function alone(answer?: Handler['onRequest']): Side {
  const wire = new Wire()
  const recorder = new Recorder(answer)
  return { wire, recorder, channel: new Channel(() => wire, recorder) }
}

function pair(answerLeft?: Handler['onRequest'], answerRight?: Handler['onRequest']): [Side, Side] {
  const left = alone(answerLeft)
  const right = alone(answerRight)
  left.wire.other = right.channel
  right.wire.other = left.channel
  return [left, right]
}

/** A client, a gateway that relays everything, and a server: the way of every call. */
function relayed(serve: Handler['onRequest'], answer?: Handler['onRequest']) {
  const relay =
    (to: () => Side): Handler['onRequest'] =>
    (method, params, from) =>
      to().channel.request(method, params, { serves: from })
  const [client, down] = pair(
    answer,
    relay(() => up),
  )
  const [up, server] = pair(
    relay(() => down),
    serve,
  )
  return { client, down, up, server }
}

/** With which params the peer took its request back. */
const cancellation = ({ aborted }: Incoming): string | undefined => {
  expect(aborted).toBeInstanceOf(Cancelled)
  return (aborted as Cancelled).params.text
}

const never = () => new Promise<Json>(() => {})

/** Until everything that was said has been heard, and its consequences too. */
const quiet = () => new Promise<void>((resolve) => setImmediate(resolve))

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => Promise.reject(new Error('it was answered')),
    (error: unknown) => error,
  )

const member = (text: string, ...path: string[]): unknown =>
  path.reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], JSON.parse(text))

const result = (id: unknown, value: unknown) => `{"jsonrpc":"2.0","id":${id},"result":${value}}`
const error = (id: unknown, value: unknown) => `{"jsonrpc":"2.0","id":${id},"error":${value}}`
const ask = (id: unknown, method = 'm', params = '{}') =>
  `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${params}}`
const tell = (method: string, params: string) =>
  `{"jsonrpc":"2.0","method":"${method}","params":${params}}`

describe('a request', () => {
  test('is answered with the very bytes of the result', async () => {
    const [left, right] = pair(undefined, async () => Json.parse(' {"a":1.0,"a":9007199254740993}'))
    const params = Json.parse('{ "x" : 1e400 }')
    expect((await left.channel.request('m', params)).text).toBe('{"a":1.0,"a":9007199254740993}')
    expect(right.recorder.requests).toMatchObject([{ method: 'm', params: params.text }])
    expect(left.channel.waiting).toBe(0)
  })

  test('and another in the other direction may have the same id', async () => {
    const [left, right] = pair(
      async () => Json.of('from the left'),
      async () => Json.of('from the right'),
    )
    const answers = await Promise.all([
      left.channel.request('a'),
      right.channel.request('b'),
      left.channel.request('c'),
    ])
    expect(answers.map((answer) => answer.get<string>())).toEqual([
      'from the right',
      'from the left',
      'from the right',
    ])
    expect(left.recorder.requests[0]!.from.id).toBe(right.recorder.requests[0]!.from.id)
  })

  test.each([
    ['0'],
    ['-1'],
    ['""'],
    ['"0"'],
    ['9007199254740993'],
    ['1.0'],
    ['"a\u2028é"'],
    [String.raw`"\u0061\"\\"`],
    [String.raw`"\ud83d"`],
  ])('whose id is %s is answered under that id, as it was written', async (id) => {
    const { channel, wire, recorder } = alone()
    channel.receive(ask(id))
    await quiet()
    expect(recorder.requests[0]!.from.id).toBe(id)
    expect(wire.sent).toEqual([{ text: result(id, '{}'), settles: id }])
  })

  test('goes along with the request in whose course it is made', () => {
    const { channel, wire } = alone()
    channel.request('m', undefined, { relatedTo: new IncomingRequest('"x"', undefined) })
    channel.notify('n', undefined, new IncomingRequest('7', undefined))
    channel.notify('n')
    expect(wire.sent.map(({ relatedTo }) => relatedTo)).toEqual(['"x"', '7', undefined])
  })

  test('under an id that is still in use is refused; the first one keeps its id and its answer', async () => {
    const answers: ((result: Json) => void)[] = []
    const { channel, wire, recorder } = alone(() => new Promise((resolve) => answers.push(resolve)))
    channel.receive(ask(String.raw`"\u0061"`))
    channel.receive(ask('"a"'))
    expect(recorder.requests).toHaveLength(1)
    expect(member(wire.texts[0]!, 'error', 'code')).toBe(-32600)
    expect(wire.sent[0]).not.toHaveProperty('settles')
    expect(channel.isWorkingOn('"a"')).toBe(true)
    answers[0]!(Json.of(1))
    await quiet()
    expect(wire.sent[1]).toEqual({
      text: result(String.raw`"\u0061"`, 1),
      settles: String.raw`"\u0061"`,
    })
    expect(channel.isWorkingOn('"a"')).toBe(false)
    channel.receive(ask('"a"'))
    channel.receive(ask(String.raw`"\u0061"`))
    expect(recorder.requests).toHaveLength(2)
    expect(channel.isWorkingOn(String.raw`"\u0061"`)).toBe(true)
  })

  test('"1" is not the request 1', async () => {
    const { channel, wire } = alone(never)
    channel.receive(ask('1'))
    channel.receive(ask('"1"'))
    expect(wire.sent).toEqual([])
    channel.receive(tell('notifications/cancelled', '{"requestId":"1"}'))
    expect(wire.sent).toEqual([{ text: '', settles: '"1"' }])
    expect([channel.isWorkingOn('1'), channel.isWorkingOn('"1"')]).toEqual([true, false])
  })

  test('for somebody who has given up already is never sent', async () => {
    const { channel, wire } = alone()
    const serves = new Served()
    const reason = serves.abort()
    const asked = channel.request('m', undefined, { serves })
    expect(await rejection(asked)).toBe(reason)
    expect(wire.sent).toEqual([])
    expect(channel.waiting).toBe(0)
  })

  test('finds its own answer among thousands, in whatever order they come', async () => {
    await fc.assert(
      fc.asyncProperty(fc.infiniteStream(fc.nat()), async (numbers) => {
        const waiting: (() => void)[] = []
        const [left, right] = pair(undefined, (_method, params) => {
          const { promise, resolve } = Promise.withResolvers<Json>()
          waiting.push(() => resolve(params!))
          return promise
        })
        const asked = Array.from({ length: MAX_INCOMING }, (_, i) =>
          left.channel.request('echo', Json.parse(`{"i":${i}}`)),
        )
        await quiet()
        expect(waiting).toHaveLength(MAX_INCOMING)
        while (waiting.length > 0) {
          const at = numbers.next().value % waiting.length
          const [answer] = waiting.splice(at, 1)
          answer!()
        }
        const answers = await Promise.all(asked)
        expect(answers.map(({ text }) => text)).toEqual(asked.map((_, i) => `{"i":${i}}`))
        expect(left.channel.waiting).toBe(0)
        expect(right.channel.isWorkingOn('1')).toBe(false)
      }),
      { numRuns: 5 },
    )
  })
})

describe('an answer', () => {
  test.each([
    ['nobody asked for', [result(99, '{}'), error(98, '{}'), result(-1, '{}'), result(0, '{}')]],
    ['to a string', [result('"1"', '{}'), result('"x"', '{}'), result('""', '{}')]],
    ['to a number that is no id of ours', [result('1.5', '0'), result('1e400', '0')]],
  ])('%s is dropped quietly', async (_, texts) => {
    const { channel, recorder, wire } = alone()
    const asked = channel.request('m')
    for (const text of texts) channel.receive(text)
    expect(channel.waiting).toBe(1)
    channel.receive(result(1, '"right"'))
    expect((await asked).text).toBe('"right"')
    expect(recorder.malformed).toEqual([])
    expect(wire.sent).toHaveLength(1)
  })

  test('that comes twice, or after its request was cancelled, is dropped quietly', async () => {
    const { channel, recorder, wire } = alone()
    const serves = new Served()
    const first = channel.request('m')
    const second = channel.request('m', undefined, { serves })
    const third = channel.request('m')
    channel.receive(result(1, '"first"'))
    channel.receive(result(1, '"again"'))
    channel.receive(error(1, '{}'))
    const reason = serves.abort()
    channel.receive(result(2, '"late"'))
    channel.receive(result(3, '"third"'))
    expect((await first).text).toBe('"first"')
    expect(await rejection(second)).toBe(reason)
    expect((await third).text).toBe('"third"')
    expect(recorder.malformed).toEqual([])
    expect(wire.texts).toHaveLength(4)
  })

  test('that is an error rejects with the very bytes of that error', async () => {
    const verbatim = '{"message":"no","code":-1.0,"data":[1e400],"x":{}}'
    const { channel } = alone()
    const asked = channel.request('m')
    channel.receive(error(1, verbatim))
    const thrown = await rejection(asked)
    expect(thrown).toBeInstanceOf(RpcError)
    expect((thrown as RpcError).error.text).toBe(verbatim)
  })

  test('in a batch is an answer like any other', async () => {
    const { channel } = alone()
    const asked = [channel.request('a'), channel.request('b')]
    channel.receive(`[${result(2, '"b"')},${result(1, '"a"')}]`)
    expect((await Promise.all(asked)).map(({ text }) => text)).toEqual(['"a"', '"b"'])
  })
})

describe('what a handler throws becomes an error answer:', () => {
  const verbatim = '{"code":1.0,"message":"theirs","data":{"a":9007199254740993}}'
  const internal = '{"code":-32603,"message":"Internal error","data":{"code":"internal"}}'

  test.each<[string, unknown, string]>([
    ['an error of a peer, verbatim', new RpcError(Json.parse(verbatim)), verbatim],
    [
      'one of ours, with its code, subject and way out',
      new GatewayError('upstream_closed', 'gone', { server: 's', hint: 'h', cause: 'secret' }),
      '{"code":-32603,"message":"gone","data":{"code":"upstream_closed","server":"s","hint":"h"}}',
    ],
    [
      "an asker's fault",
      new GatewayError('method_not_found', 'no m'),
      '{"code":-32601,"message":"no m","data":{"code":"method_not_found"}}',
    ],
    ['any other, of which nothing is told', new TypeError('secret'), internal],
    ['a text', 'secret', internal],
    ['undefined', undefined, internal],
    ['an object that looks like an error', { error: Json.of('secret'), code: 1 }, internal],
  ])('%s', async (_, thrown, told) => {
    const { channel, wire } = alone(() => Promise.reject(thrown))
    channel.receive(ask('"q"'))
    await quiet()
    expect(wire.sent).toEqual([{ text: error('"q"', told), settles: '"q"' }])
    expect(channel.isWorkingOn('"q"')).toBe(false)
  })
})

describe('cancelling', () => {
  test('a relayed call reaches the server with its reason and all else, under the id that the server knows', async () => {
    const { client, up, server } = relayed(never)
    // The ids of the two hops differ.
    const before = rejection(up.channel.request('before'))
    client.channel.receive('')
    client.wire.send(ask('"mine"'))
    await quiet()
    const params = '{"x":1.0,"requestId":"mine","reason":"no \\u0041","_meta":{"y":[]}}'
    client.wire.send(tell('notifications/cancelled', params))
    await quiet()
    const [, asked] = server.recorder.requests
    expect(cancellation(asked!.from)).toBe(params.replace('"mine"', '2'))
    expect(up.wire.texts.join()).not.toContain('mine')
    // Nothing is answered, and the rest goes on.
    expect(client.recorder.malformed).toHaveLength(1)
    expect(server.recorder.requests[0]!.from.aborted).toBeUndefined()
    up.channel.close(new Error('done'))
    await before
  })

  test('by us tells the reason, and ends the wait at once', async () => {
    const [left, right] = pair(undefined, never)
    const serves = new Served()
    const asked = left.channel.request('m', undefined, { serves })
    await quiet()
    const reason = new Error('changed my mind')
    serves.abort(reason)
    expect(left.channel.waiting).toBe(0)
    expect(await rejection(asked)).toBe(reason)
    await quiet()
    const told = '{"requestId":1,"reason":"changed my mind"}'
    expect(cancellation(right.recorder.requests[0]!.from)).toBe(told)
    expect(right.wire.sent).toEqual([{ text: '', settles: '1' }])
  })

  test('goes the way that the request went', async () => {
    const { channel, wire } = alone()
    const serves = new Served()
    const relatedTo = new IncomingRequest('"way"', undefined)
    const asked = channel.request('m', undefined, { serves, relatedTo })
    serves.abort()
    await rejection(asked)
    expect(wire.sent.map(({ relatedTo }) => relatedTo)).toEqual(['"way"', '"way"'])
  })

  test('a request that was answered says nothing', async () => {
    const { channel, wire } = alone()
    const serves = new Served()
    const asked = channel.request('m', undefined, { serves })
    channel.receive(result(1, '{}'))
    await asked
    expect(serves.listeners.size).toBe(0)
    serves.abort()
    expect(wire.sent).toHaveLength(1)
  })

  test('what two requests serve leaves neither', async () => {
    const { channel, wire } = alone()
    const serves = new Served()
    const asked = ['a', 'b'].map((m) => channel.request(m, undefined, { serves }))
    const reason = serves.abort()
    for (const one of asked) expect(await rejection(one)).toBe(reason)
    expect(serves.listeners.size).toBe(0)
    expect(wire.texts.slice(2).map((text) => member(text, 'params', 'requestId'))).toEqual([1, 2])
  })

  test.each([
    ['that nobody made', '{"requestId":99}'],
    ['that was answered', '{"requestId":"done"}'],
    ['without saying which', '{"reason":"x"}'],
    ['by two ids', '{"requestId":"open","requestId":"done"}'],
    ['by two ids, one with an escape', String.raw`{"requestId":"open","r\u0065questId":"open"}`],
    ['by an id that is an object', '{"requestId":{"a":"open"}}'],
    ['by an id in a list', '{"requestId":["open"]}'],
  ])('a request %s does nothing', async (_, params) => {
    const { channel, wire, recorder } = alone((method) =>
      method === 'wait' ? never() : Promise.resolve(Json.of(1)),
    )
    channel.receive(ask('"open"', 'wait'))
    channel.receive(ask('"done"'))
    await quiet()
    const before = wire.sent.length
    channel.receive(tell('notifications/cancelled', params))
    await quiet()
    expect(wire.sent).toHaveLength(before)
    expect(channel.isWorkingOn('"open"')).toBe(true)
    expect(recorder.requests[0]!.from.aborted).toBeUndefined()
    expect(recorder.notifications).toEqual([])
  })

  test('without params does nothing', () => {
    const { channel, recorder } = alone(never)
    channel.receive(ask('1'))
    channel.receive('{"jsonrpc":"2.0","method":"notifications/cancelled"}')
    channel.receive('{"jsonrpc":"2.0","method":"notifications/progress"}')
    expect(channel.isWorkingOn('1')).toBe(true)
    expect(recorder.notifications).toEqual([])
  })

  test('finds a request whose id is spelled with escapes', () => {
    const { channel, recorder } = alone(never)
    channel.receive(ask(String.raw`"\u0061\/"`))
    channel.receive(tell('notifications/cancelled', '{"requestId":"a/"}'))
    const told = '{"requestId":"a/"}'
    expect(cancellation(recorder.requests[0]!.from)).toBe(told)
    expect(channel.isWorkingOn('"a/"')).toBe(false)
  })

  test('frees the id: what the old request still answers does not reach the new one', async () => {
    const answers: ((result: Json) => void)[] = []
    const { channel, wire } = alone(() => new Promise((resolve) => answers.push(resolve)))
    channel.receive(ask('1'))
    channel.receive(tell('notifications/cancelled', '{"requestId":1}'))
    channel.receive(ask('1'))
    answers[0]!(Json.of('old'))
    await quiet()
    answers[1]!(Json.of('new'))
    await quiet()
    expect(wire.sent).toEqual([
      { text: '', settles: '1' },
      { text: result(1, '"new"'), settles: '1' },
    ])
  })

  test('is told once to each who listens, and not to those who left', () => {
    const { channel, recorder } = alone(never)
    channel.receive(ask('1'))
    const { from } = recorder.requests[0]!
    const told: string[] = []
    const left = { abort: () => told.push('left') }
    const last = { abort: () => told.push('last') }
    from.onAbort(left)
    from.onAbort({ abort: ({ name }: Error) => told.push(name) })
    from.onAbort({ abort: () => from.offAbort(last) })
    from.onAbort(last)
    from.offAbort(left)
    channel.receive(tell('notifications/cancelled', '{"requestId":1,"reason":"r"}'))
    channel.receive(tell('notifications/cancelled', '{"requestId":1,"reason":"again"}'))
    channel.close(new Error('closed'))
    expect(told).toEqual(['Cancelled'])
    expect(cancellation(from)).toBe('{"requestId":1,"reason":"r"}')
  })
})

describe('progress', () => {
  const report = async (_method: string, params: Json | undefined, from: Incoming) => {
    from.progress?.(Json.parse('{"progress":1.0,"x":[9007199254740993],"progressToken":"theirs"}'))
    from.progress?.(Json.of({ progress: 2 }))
    return params ?? Json.of({})
  }

  test.each([
    ['a text', '"mine"'],
    ['zero', '0'],
    ['a big number', '9007199254740993'],
    ['a text with escapes', String.raw`"\u006d\"ine"`],
    ['an empty text', '""'],
  ])('comes back under the token of the asker, %s, which nobody else sees', async (_, token) => {
    const { client, down, up, server } = relayed(report)
    const params = (token: string) =>
      `{"a":1.0,"_meta":{"x":[1.0],"progressToken":${token},"y":2},"b":{}}`
    client.wire.send(ask('"q"', 'm', params(token)))
    await quiet()
    const minted = params('1')
    expect(server.recorder.requests).toMatchObject([{ params: minted }])
    expect(up.wire.texts).toEqual([ask('1', 'm', minted)])
    expect(down.wire.sent).toEqual([
      {
        text: tell(
          'notifications/progress',
          `{"progress":1.0,"x":[9007199254740993],"progressToken":${token}}`,
        ),
        relatedTo: '"q"',
      },
      {
        text: tell('notifications/progress', `{"progress":2,"progressToken":${token}}`),
        relatedTo: '"q"',
      },
      { text: result('"q"', minted), settles: '"q"' },
    ])
  })

  test('of what a server asks comes back to the server under its own token', async () => {
    const { server, up, down, client } = relayed(never, report)
    server.wire.send(ask('5', 'sampling', '{"_meta":{"progressToken":"of the server"}}'))
    await quiet()
    const minted = '{"_meta":{"progressToken":1}}'
    expect(client.recorder.requests).toMatchObject([{ params: minted }])
    expect(down.wire.texts).toEqual([ask('1', 'sampling', minted)])
    const progress = '{"progress":1.0,"x":[9007199254740993],"progressToken":"of the server"}'
    expect(up.wire.sent.map(({ relatedTo, settles }) => relatedTo ?? settles)).toEqual(
      Array(3).fill('5'),
    )
    expect(up.wire.texts[0]).toBe(tell('notifications/progress', progress))
    expect(up.wire.texts[2]).toBe(result('5', minted))
  })

  test('is asked for under a token of our own, whatever params there were', () => {
    const { channel, wire } = alone()
    const serves = new Served(() => {})
    channel.request('m', undefined, { serves })
    channel.request('m', Json.parse('{"a":1.0}'), { serves })
    channel.request('m', Json.parse('{"_meta":{ },"a":1.0}'), { serves })
    expect(wire.texts).toEqual([
      ask(1, 'm', '{"_meta":{"progressToken":1}}'),
      ask(2, 'm', '{"a":1.0,"_meta":{"progressToken":2}}'),
      ask(3, 'm', '{"_meta":{ "progressToken":3},"a":1.0}'),
    ])
  })

  test('is heard only by the request whose token it is, and only while that waits', async () => {
    const { channel, recorder } = alone()
    const heard: string[] = []
    const listen = (name: string) => ({
      serves: new Served((progress) => heard.push(`${name} ${progress.member('p')!.text}`)),
    })
    const first = channel.request('m', undefined, listen('first'))
    channel.request('m', undefined, listen('second'))
    channel.request('m')
    const progress = (token: string, p: number) =>
      channel.receive(tell('notifications/progress', `{"progressToken":${token},"p":${p}}`))
    progress('2', 1)
    progress('1', 2)
    for (const token of ['3', '0', '99', '"1"', 'null', '[1]', 'true', '""', '1.5'])
      progress(token, 3)
    channel.receive(tell('notifications/progress', '{"progressToken":1,"progressToken":2,"p":4}'))
    channel.receive(tell('notifications/progress', '{"p":5}'))
    channel.receive(result(1, '{}'))
    progress('1', 6)
    progress('2', 7)
    await first
    expect(heard).toEqual(['second 1', 'first 2', 'second 7'])
    expect(recorder.notifications).toEqual([])
  })

  test.each(['{}', '[1]', 'true'])('a token that is %s is refused', (token) => {
    const { channel, recorder, wire } = alone(never)
    channel.receive(ask('1', 'm', `{"_meta":{"progressToken":${token}}}`))
    expect(recorder.requests).toEqual([])
    expect(wire.sent[0]).toMatchObject({ settles: '1', text: expect.stringContaining('-32602') })
  })

  test.each([
    ['there is no _meta', '{}'],
    ['_meta is no object', '{"_meta":7}'],
    ['_meta has no token', '{"_meta":{}}'],
    ['the token is null', '{"_meta":{"progressToken":null}}'],
    ['the token is elsewhere', '{"progressToken":1}'],
  ])('is not reported where %s', (_, params) => {
    const { channel, recorder } = alone(never)
    channel.receive(ask('1', 'm', params))
    expect(recorder.requests[0]!.from.progress).toBeUndefined()
  })

  test.each([
    ['two tokens', '{"_meta":{"progressToken":1,"progressToken":2}}'],
    [
      'two tokens, one with an escape',
      String.raw`{"_meta":{"progressToken":1,"p\u0072ogressToken":1}}`,
    ],
    ['two _meta', '{"_meta":{"progressToken":1},"_meta":{}}'],
  ])('a request with %s is refused, and its handler never sees it', async (_, params) => {
    const { channel, recorder, wire } = alone()
    channel.receive(ask('1', 'm', params))
    await quiet()
    expect(recorder.requests).toEqual([])
    expect(member(wire.texts[0]!, 'error', 'code')).toBe(-32602)
    expect(wire.sent[0]!.settles).toBe('1')
    expect(channel.isWorkingOn('1')).toBe(false)
  })
})

describe('closing', () => {
  test('answers everything that waits with the reason, on both sides, and then tells the handler once', async () => {
    const { channel, wire, recorder } = alone(never)
    const asked = [channel.request('a'), channel.request('b')]
    channel.receive(ask('7'))
    channel.receive(ask('"x"'))
    const reason = new GatewayError('upstream_closed', 'it is gone')
    let waitingAtClose: number | undefined
    recorder.onClose = (told) => {
      recorder.closed.push(told)
      waitingAtClose = channel.waiting
    }
    channel.close(reason)
    channel.close(new Error('again'))
    channel.closed(new Error('and again'))
    for (const one of asked) expect(await rejection(one)).toBe(reason)
    expect(waitingAtClose).toBe(0)
    expect(recorder.closed).toEqual([reason])
    expect(wire.closed).toBe(1)
    for (const { from } of recorder.requests) expect(from.aborted).toBe(reason)
    const told = '{"code":-32603,"message":"it is gone","data":{"code":"upstream_closed"}}'
    expect(wire.sent.slice(2)).toEqual([
      { text: error(7, told), settles: '7' },
      { text: error('"x"', told), settles: '"x"' },
    ])
  })

  test('is the end: nothing is sent, heard or answered any more', async () => {
    const answers: ((result: Json) => void)[] = []
    const { channel, wire, recorder } = alone(() => new Promise((resolve) => answers.push(resolve)))
    const heard: Json[] = []
    const serves = new Served((progress) => heard.push(progress))
    const asked = channel.request('m', undefined, { serves })
    channel.receive(ask('1', 'm', '{"_meta":{"progressToken":1}}'))
    const reason = new Error('the end')
    channel.close(reason)
    await rejection(asked)
    const before = wire.sent.length

    expect(await rejection(channel.request('m'))).toBe(reason)
    channel.notify('n')
    channel.receive(ask('2'))
    channel.receive(tell('n', '{}'))
    channel.receive(tell('notifications/progress', '{"progressToken":1}'))
    recorder.requests[0]!.from.progress!(Json.of({ progress: 1 }))
    answers[0]!(Json.of('late'))
    await quiet()
    expect(wire.sent).toHaveLength(before)
    expect(recorder.requests).toHaveLength(1)
    expect(recorder.notifications).toEqual([])
    expect(heard).toEqual([])
  })

  test('when the other side leaves is closing all the same', async () => {
    const [left, right] = pair(undefined, never)
    const serves = new Served()
    const asked = left.channel.request('m', undefined, { serves })
    await quiet()
    const reason = new Error('hung up')
    left.channel.closed(reason)
    expect(await rejection(asked)).toBe(reason)
    serves.abort()
    await quiet()
    expect(left.wire.sent).toHaveLength(1)
    expect(right.recorder.requests[0]!.from.aborted).toBeUndefined()
  })
})

describe('a text that is no message', () => {
  test.each([
    ['closes its envelope early', '{"jsonrpc":"2.0","id":2,"result":{}},"id":1}'],
    ['has two ids', '{"jsonrpc":"2.0","id":2,"result":{},"id":1}'],
    ['has two results', '{"jsonrpc":"2.0","id":2,"result":{},"result":{}}'],
    ['is result and error', '{"jsonrpc":"2.0","id":2,"result":{},"error":{}}'],
    ['has a raw control character', '{"jsonrpc":"2.0","id":2,"result":"a\tb"}'],
    ['is two messages', `${result(2, '{}')} ${result(1, '{}')}`],
    ['ends with its id', '{"result":nul,"jsonrpc":"2.0","id":2}'],
  ])('and %s fails the one request that it seems to answer', async (_, text) => {
    const { channel, recorder, wire } = alone()
    const [first, second, third] = ['a', 'b', 'c'].map((method) => channel.request(method))
    channel.receive(text)
    expect(channel.waiting).toBe(2)
    expect(await rejection(second!)).toMatchObject({
      message: expect.stringMatching(/^malformed: /),
    })
    expect(recorder.malformed).toMatchObject([{ text }])
    channel.receive(result(2, '"late"'))
    channel.receive(result(1, '"one"'))
    channel.receive(result(3, '"three"'))
    expect([(await first!).text, (await third!).text]).toEqual(['"one"', '"three"'])
    expect(wire.sent).toHaveLength(3)
  })

  test('and seems to answer nobody fails nobody', async () => {
    const { channel, recorder } = alone()
    const asked = channel.request('m')
    const texts = [
      'hello',
      '',
      '{"jsonrpc":"2.0","id":9,"result":nul}',
      '{"jsonrpc":"2.0","id":"1","result":nul}',
      '{"jsonrpc":"2.0","id":1,"method":"m","params":[]}',
    ]
    for (const text of texts) channel.receive(text)
    expect(recorder.malformed.map(({ text }) => text)).toEqual(texts)
    expect(recorder.malformed.map(({ why }): number => why.code)).toEqual([
      ...[-32700, -32700, -32700, -32700],
      -32600,
    ])
    channel.receive(result(1, '"right"'))
    expect((await asked).text).toBe('"right"')
  })

  test('because it was too long to be read fails the request that it seems to answer', async () => {
    const { channel, recorder } = alone()
    const asked = channel.request('m')
    channel.refused('{"jsonrpc":"2.0","id":1,"result":{"a":"xxx', 'too long')
    expect(await rejection(asked)).toMatchObject({ message: 'malformed: too long' })
    expect(recorder.malformed).toMatchObject([{ why: { code: -32700, message: 'too long' } }])
  })
})

describe('a notification', () => {
  test.each([
    ['{ "a" : 1.0 }'],
    ['{"a":1,"a":2}'],
    ['{"uri":"x","uri":"y","_meta":{},"_meta":{}}'],
    ['{"__proto__":{"a":1},"toString":2}'],
  ])('arrives with its params as they are: %s', async (params) => {
    const [left, right] = pair()
    left.channel.notify('n', Json.parse(params))
    left.channel.notify('n')
    await quiet()
    expect(right.recorder.notifications).toEqual([
      { method: 'n', params },
      { method: 'n', params: undefined },
    ])
    expect(right.wire.sent).toEqual([])
  })
})

test('who asks too much at once is told so at once, and what waits goes on', async () => {
  const { channel, wire } = alone(never)
  for (let id = 1; id <= MAX_INCOMING + 1; id++) channel.receive(ask(String(id)))
  await quiet()
  expect(wire.sent).toHaveLength(1)
  expect(wire.sent[0]).toMatchObject({ settles: String(MAX_INCOMING + 1) })
  expect(wire.sent[0]!.text).toContain('-32603')
  expect(channel.isWorkingOn('1')).toBe(true)
})

describe('a batch', () => {
  test('of which one message is malformed brings the others all the same', async () => {
    const { channel } = alone()
    const answer = channel.request('m')
    channel.receive(`[${result(1, '"good"')},{"jsonrpc":"2.0","id":9}]`)
    expect((await answer).text).toBe('"good"')
  })

  test('in a batch is malformed', async () => {
    const { channel, recorder } = alone()
    const answer = channel.request('m')
    channel.receive(`[[${result(1, '"nested"')}],${result(1, '"flat"')}]`)
    expect((await answer).text).toBe('"flat"')
    expect(recorder.malformed).toHaveLength(1)
  })
})

describe('an error that names no request', () => {
  const error = '{"code":-32700,"message":"Parse error"}'

  test('answers the one that waits', async () => {
    const { channel } = alone()
    const answer = channel.request('m').catch((thrown: RpcError) => thrown.error.text)
    channel.receive(`{"jsonrpc":"2.0","id":null,"error":${error}}`)
    expect(await answer).toBe(error)
  })

  test('answers none of several', async () => {
    const { channel } = alone()
    const answers = Promise.all([channel.request('m'), channel.request('n')])
    channel.receive(`{"jsonrpc":"2.0","id":null,"error":${error}}`)
    channel.receive(result(1, '1'))
    channel.receive(result(2, '2'))
    expect((await answers).map(({ text }) => text)).toEqual(['1', '2'])
  })
})
