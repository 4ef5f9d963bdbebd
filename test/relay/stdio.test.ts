/** A client on stdin and stdout: lines however they are cut, nothing but MCP going out, and how it ends. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import * as v from 'valibot'
import { ANONYMOUS } from '../../src/caller.ts'
import { ConfigSchema } from '../../src/config/schema.ts'
import { serveStdio } from '../../src/downstream/stdio.ts'
import type { GatewayEvent } from '../../src/events.ts'
import { Gateway } from '../../src/gateway.ts'
import { stdio } from '../support/gateway.ts'
import { call, INITIALIZE, request } from '../support/http.ts'

let gateway: Gateway

beforeAll(() => {
  const mcpServers = { raw: stdio('raw'), everything: stdio('everything') }
  gateway = Gateway.start(v.parse(ConfigSchema, { mcpServers }), () => {})
})
afterAll(() => gateway.close())

const initialize = request(0, 'initialize', INITIALIZE)
const ping = request(1, 'ping')
const pong = '{"jsonrpc":"2.0","id":1,"result":{}}'

interface Options {
  endpoint?: string
  maxLine?: number
  write?: (text: string) => Promise<void>
}

type Message = Record<string, unknown> & { error?: { code: number; message: string } }

/** One client at the two ends of a pipe. */
class StdioClient {
  /** What came out, in whole lines. */
  readonly lines: string[] = []
  readonly observed: GatewayEvent[] = []
  /** Resolves when the conversation is over. */
  readonly over: Promise<void>
  readonly #input = new TransformStream<Uint8Array, Uint8Array>()
  readonly #writer = this.#input.writable.getWriter()
  #read = 0
  #onLine = () => {}

  constructor({ endpoint = 'raw', write, ...options }: Options = {}) {
    this.over = serveStdio(gateway.endpoint(endpoint)!, ANONYMOUS, {
      input: this.#input.readable,
      write: write ?? ((text) => this.#take(text)),
      observe: (event) => this.observed.push(event),
      ...options,
    })
  }

  static async open(options?: Options, params: object = {}): Promise<StdioClient> {
    const client = new StdioClient(options)
    await client.ask(request(0, 'initialize', { ...INITIALIZE, ...params }))
    client.say('{"jsonrpc":"2.0","method":"notifications/initialized"}')
    return client
  }

  async #take(text: string): Promise<void> {
    expect(text).toEndWith('\n')
    this.lines.push(...text.slice(0, -1).split('\n'))
    this.#onLine()
  }

  /** Writes what is not a line yet. */
  write(bytes: string | Uint8Array): void {
    this.#writer.write(Buffer.from(bytes as string)).catch(() => {})
  }

  say(line: string): void {
    this.write(`${line}\n`)
  }

  async line(): Promise<string> {
    while (this.lines.length === this.#read) {
      await new Promise<void>((resolve) => {
        this.#onLine = resolve
      })
    }
    return this.lines[this.#read++]!
  }

  async message(): Promise<Message> {
    return JSON.parse(await this.line())
  }

  ask(line: string): Promise<Message> {
    this.say(line)
    return this.message()
  }

  /** Ends the input, and waits for the end of it all. */
  async end(): Promise<void> {
    this.#writer.close().catch(() => {})
    await this.over
  }
}

describe('lines', () => {
  test('may come in pieces, and several at once', async () => {
    const client = await StdioClient.open()
    const ü = Buffer.from(`${request('ü', 'ping')}\n`)
    const at = ü.indexOf(0xc3) + 1
    client.write(ü.subarray(0, at))
    await Bun.sleep(0)
    client.write(ü.subarray(at))
    expect(await client.message()).toMatchObject({ id: 'ü' })
    client.write(`${ping}\n${request(2, 'ping')}\n${ping.slice(0, 9)}`)
    expect(await client.message()).toMatchObject({ id: 1 })
    expect(await client.message()).toMatchObject({ id: 2 })
    client.write(`${ping.slice(9)}\n`)
    expect(await client.line()).toBe(pong)
    await client.end()
  })

  test('may end as on Windows, be empty, and begin with a byte order mark', async () => {
    const client = await StdioClient.open()
    client.write(`\ufeff${request(2, 'ping')}\r\n\r\n\n${ping}\r\n`)
    expect(await client.message()).toMatchObject({ id: 2 })
    expect(await client.line()).toBe(pong)
    await client.end()
    expect(client.lines).toHaveLength(3)
  })

  test('need no end if they are the last', async () => {
    const client = await StdioClient.open()
    client.write(ping)
    await client.end()
    expect(client.lines.at(-1)).toBe(pong)
  })

  test.each([
    ['no JSON', 'hello', -32700, null],
    ['half a message', '{"jsonrpc":"2.0","id":7', -32700, null],
    ['no message', '{"hello":1}', -32600, null],
    [
      'a request with odd params',
      '{"jsonrpc":"2.0","id":7,"method":"ping","params":[]}',
      -32600,
      7,
    ],
    ['a request with an odd id', '{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600, null],
    ['an answer that is none', '{"jsonrpc":"2.0","id":7,"result":{},"error":{}}', -32600, null],
    ['an empty batch', '[]', -32600, null],
    ['half a batch', '[', -32700, null],
    ['a batch in 2025-11-25', `[${ping}]`, -32600, null],
  ])('that are %s are refused, and hurt nobody', async (_, line, code, id) => {
    const client = await StdioClient.open()
    expect(await client.ask(line)).toMatchObject({ jsonrpc: '2.0', id, error: { code } })
    expect(await client.ask(ping)).toMatchObject({ id: 1, result: {} })
    await client.end()
  })

  test('that are too long are refused without being held', async () => {
    const client = await StdioClient.open({ maxLine: 1000 })
    client.write(`{"jsonrpc":"2.0","id":7,"method":"ping","params":{"x":"`)
    for (let i = 0; i < 100; i++) client.write('x'.repeat(100))
    expect(await client.ask('"}}')).toMatchObject({
      id: 7,
      error: { code: -32700, message: 'a message of 10058 bytes, over 1000' },
    })
    expect(await client.ask(ping)).toMatchObject({ id: 1, result: {} })
    await client.end()
  })

  test('may be batches in 2025-03-26', async () => {
    const client = await StdioClient.open({}, { protocolVersion: '2025-03-26' })
    client.say(`[${request('a', 'ping')},{"no":1},${request('b', 'ping')}]`)
    const answers = [await client.message(), await client.message(), await client.message()]
    expect(answers.map(({ id }) => id).sort()).toEqual(['a', 'b', null].sort())
    await client.end()
  })

  test('going out have no line ends inside', async () => {
    const client = await StdioClient.open()
    const params = '{"name":"echo",\n"arguments":{"text":"a\\nb"}}'.replace('\n', '\r')
    client.say(`{"jsonrpc":"2.0","id":1,\r"method":"tools/call","params":${params}}`)
    expect(JSON.stringify(await client.message())).toContain('tools/call')
    await client.end()
    for (const line of client.lines) expect(JSON.parse(line)).toMatchObject({ jsonrpc: '2.0' })
  })
})

test.each([
  ['a number', '7'],
  ['zero', '0'],
  ['negative', '-7'],
  ['beyond 2^53', '9007199254740993'],
  ['a string', '"abc"'],
  ['an empty string', '""'],
  ['a string with escapes', String.raw`"\u00e9\"\\"`],
])('an id that is %s comes back as it was written', async (_, id) => {
  const client = await StdioClient.open()
  client.say(`{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"wrong_id"}}`)
  expect(await client.line()).toBe(
    `{"jsonrpc":"2.0","id":${id},"result":{"content":[{"type":"text","text":"right"}]}}`,
  )
  await client.end()
})

describe('a conversation', () => {
  test('begins with initialize, once', async () => {
    const client = new StdioClient()
    expect(await client.ask(ping)).toMatchObject({ result: {} })
    expect(await client.ask(request(2, 'tools/list'))).toMatchObject({
      error: { code: -32600, message: 'tools/list before initialize: send that first' },
    })
    expect(await client.ask(request(3, 'initialize', {}))).toMatchObject({
      error: { code: -32602 },
    })
    expect(await client.ask(initialize)).toMatchObject({
      result: { serverInfo: { name: 'raw' } },
    })
    expect(await client.ask(initialize)).toMatchObject({
      error: { code: -32600, message: 'this session is initialized already' },
    })
    await client.end()
    expect(client.observed.map(({ type }) => type)).toEqual(['session_opened', 'session_ended'])
  })

  test('has progress before its answers, and questions in between', async () => {
    const client = await StdioClient.open(
      { endpoint: 'everything' },
      { capabilities: { sampling: {} } },
    )
    client.say(call(1, 'burst', { count: 50 }, { progressToken: 'mine' }))
    for (let progress = 1; progress <= 50; progress++) {
      expect(await client.message()).toMatchObject({ params: { progressToken: 'mine', progress } })
    }
    expect(await client.message()).toMatchObject({ id: 1 })

    const { id, method } = await client.ask(call(2, 'test_sampling', { prompt: 'hello' }))
    expect(method).toBe('sampling/createMessage')
    const result = { role: 'assistant', model: 'm', content: { type: 'text', text: 'hi' } }
    const answer = await client.ask(JSON.stringify({ jsonrpc: '2.0', id, result }))
    expect(JSON.stringify(answer)).toContain('LLM response: hi')
    await client.end()
  })

  test('may use an id again once it was answered, not before', async () => {
    const client = await StdioClient.open({ endpoint: 'everything' })
    client.say(call(5, 'wait', { ms: 50 }, { progressToken: 1 }))
    await client.message()
    expect(await client.ask(call(5, 'pid'))).toMatchObject({ id: 5, error: { code: -32600 } })
    expect(await client.message()).toMatchObject({ id: 5, result: {} })
    expect(await client.ask(call(5, 'pid'))).toMatchObject({ id: 5, result: {} })
    await client.end()
  })

  test('carries what is large, both ways', async () => {
    const client = await StdioClient.open()
    const text = 'x'.repeat(5_000_000)
    expect(await client.ask(call(1, 'echo', { text }))).toMatchObject({ id: 1, result: {} })
    client.say(call(2, 'big', { bytes: 20_000_000 }))
    expect((await client.line()).length).toBeGreaterThan(20_000_000)
    await client.end()
  })
})

describe('the end', () => {
  test('of the input leaves time for what is in flight', async () => {
    const client = await StdioClient.open({ endpoint: 'everything' })
    client.say(call(1, 'wait', { ms: 100 }))
    client.say(call(2, 'pid'))
    await client.end()
    const ids = client.lines.map((line) => JSON.parse(line).id)
    expect(ids.sort()).toEqual([0, 1, 2])
    expect(client.observed.at(-1)).toMatchObject({ reason: 'its input has ended' })
  })

  test('of the input does not wait for ever', async () => {
    const client = await StdioClient.open()
    client.say(call(1, 'late'))
    await client.end()
    expect(JSON.parse(client.lines.at(-1)!)).toMatchObject({
      id: 1,
      error: { data: { code: 'session_ended' } },
    })
  }, 30_000)

  test('of the output is the end of it all', async () => {
    let written = 0
    const write = () =>
      ++written > 1 ? Promise.reject(new Error('write EPIPE')) : Promise.resolve()
    const client = new StdioClient({ write })
    client.say(initialize)
    client.say(call(1, 'wrong_id'))
    await client.over
    expect(client.observed.at(-1)).toMatchObject({ reason: 'nobody reads its output' })
    expect(written).toBe(2)
  })

  test('comes for who does not read', async () => {
    const { promise: stuck, resolve } = Promise.withResolvers<void>()
    const client = new StdioClient({ write: () => stuck })
    client.say(initialize)
    for (let id = 1; id < 5; id++) client.say(call(id, 'big', { bytes: 20_000_000 }))
    while (!client.observed.some(({ type }) => type === 'session_ended')) await Bun.sleep(1)
    expect(client.observed.at(-1)).toMatchObject({ reason: 'its client does not read' })
    resolve()
    await client.over
  })

  test('closes what the client had opened', async () => {
    const client = await StdioClient.open({ endpoint: 'everything' })
    const before = gateway.status.everything!.processes
    expect(before).toBeGreaterThan(0)
    await client.end()
    while (gateway.status.everything!.processes >= before) await Bun.sleep(1)
  })
})
