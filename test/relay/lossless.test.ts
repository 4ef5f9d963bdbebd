/** What the gateway need not change leaves as the bytes that came. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startGateway, stdio, type TestGateway } from '../support/gateway.ts'
import { call, eventsOf, RawSession, request } from '../support/http.ts'
import { LOSSLESS, TOOLS_LIST } from '../support/servers/raw.ts'

let gateway: TestGateway
let session: RawSession

beforeAll(async () => {
  gateway = startGateway({ raw: stdio('raw') })
  session = await RawSession.open(gateway.at('raw'))
})
afterAll(() => gateway.close())

const answer = (id: string, result: string) => `{"jsonrpc":"2.0","id":${id},"result":${result}}`

/** The line that the server was sent. */
const echoed = async (body: string) => {
  const text = await (await session.post(body)).text()
  return JSON.parse(text).result.content[0].text as string
}

test('a result keeps its 64-bit integers, unknown content types, escapes and odd members', async () => {
  expect(LOSSLESS).toContain('9007199254740993')
  expect(await session.call(1, 'lossless')).toBe(answer('1', LOSSLESS))
})

test('a tool keeps top-level fields that nobody knows', async () => {
  const response = await session.post(request(2, 'tools/list'))
  expect(TOOLS_LIST).toContain('"x-foo": {"a":1.0}')
  expect(await response.text()).toBe(answer('2', TOOLS_LIST))
})

test.each([
  ['0', '0'],
  ['a string', '"abc"'],
  ['an empty string', '""'],
  ['a string with escapes', String.raw`"\u00e9\"\\"`],
  ['negative', '-7'],
  ['beyond 2^53', '9007199254740993'],
])('a request id that is %s comes back as it was written', async (_, id) => {
  const params = '{"name":"lossless"}'
  const body = `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":${params}}`
  expect(await (await session.post(body)).text()).toBe(answer(id, LOSSLESS))
})

test('params arrive as they were written, whatever the order and spelling', async () => {
  const params = String.raw`{ "arguments" : {"big":9007199254740993,"f":1.0,"s":"\u0041\ud83d","__proto__":[1e400]},"name":"echo","x":null }`
  const line = await echoed(
    `{"params":${params},"method":"tools/call","id":"mine","jsonrpc":"2.0"}`,
  )
  expect(line).toContain(`"params":${params}}`)
  expect(line).not.toContain('mine')
})

test('the id of a request never reaches the server, nor does its progress token', async () => {
  const response = await session.post(
    '{"jsonrpc":"2.0","id":"secret-id","method":"tools/call","params":{"_meta":{"x":1.0,"progressToken":"secret-token","y":[]},"name":"echo"}}',
  )
  const line: string = JSON.parse(await response.text()).result.content[0].text
  expect(line).toMatch(
    /"params":\{"_meta":\{"x":1\.0,"progressToken":\d+,"y":\[\]\},"name":"echo"\}\}$/,
  )
  expect(line).not.toContain('secret')
})

/** A server whose instructions are the line that it was sent. */
const REPEATS_ITS_INTRODUCTION = `for await (const line of console) {
  const { id } = JSON.parse(line)
  const serverInfo = { name: 'echo', version: '1' }
  const result = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo, instructions: line }
  if (id !== undefined) console.log(JSON.stringify({ jsonrpc: '2.0', id, result }))
}`

test('the progress token of initialize stays here', async () => {
  await using other = startGateway({
    echo: { command: process.execPath, args: ['-e', REPEATS_ITS_INTRODUCTION] },
  })
  const { introduction } = await RawSession.open(other.at('echo'), {
    _meta: { progressToken: 'secret-token', kept: 1 },
  })
  expect(introduction).toContain(String.raw`\"kept\":1`)
  expect(introduction).not.toContain('secret-token')
})

test('a progress token of no legal kind is refused, and not passed on', async () => {
  const response = await session.post(call(9, 'echo', {}, { progressToken: true }))
  expect(await response.json()).toMatchObject({ id: 9, error: { code: -32602 } })
})

test('an error of the server arrives with its own code and message', async () => {
  const response = await session.post(request(3, 'no/such/method', {}))
  expect(await response.text()).toBe(
    '{"jsonrpc":"2.0","id":3,"error":{"code":-32601,"message":"Method not found"}}',
  )
})

test('a name that is there twice is refused, however it is spelled', async () => {
  const twice = String.raw`{"_meta":{"progressToken":1},"\u005fmeta":{},"name":"echo"}`
  const response = await session.post(
    `{"jsonrpc":"2.0","id":4,"method":"tools/call","params":${twice}}`,
  )
  expect(await response.json()).toMatchObject({
    error: { code: -32602, message: 'the member "_meta" is there twice' },
  })
})

test.each([200, 10_000, 1_000_000, 20_000_000])(
  'a result of %d bytes arrives whole',
  async (bytes) => {
    const text = await session.call(5, 'big', { bytes })
    expect(text).toBe(answer('5', `{"content":[{"type":"text","text":"${'x'.repeat(bytes)}"}]}`))
  },
)

test('a message that contains line separators survives an event stream', async () => {
  const text = 'a\u2028b\u2029c\u0085d\r\ne'
  const response = await session.post(call(6, 'echo', { text }), {
    accept: 'text/event-stream, application/json',
  })
  const events = await Array.fromAsync(eventsOf(response))
  const line: string = JSON.parse(events.at(-1)!.data).result.content[0].text
  expect(JSON.parse(line).params.arguments.text).toBe(text)
})
