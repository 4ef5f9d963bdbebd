/** One server of several is odd, hostile, slow or half dead: the others are served as if it were not there. */
import { describe, expect, test } from 'bun:test'
import {
  afterAMinute,
  answering,
  ask,
  askRaw,
  called,
  heard,
  introducing,
  listing,
  tool,
  toolNames,
  withTools,
} from '../support/asking.ts'
import { dialSdk1, dialSdk2 } from '../support/clients.ts'
import { startGateway, type TestGateway } from '../support/gateway.ts'
import { RawSession } from '../support/http.ts'
import { type Answering, json, result, SESSION } from '../support/servers/remote.ts'

const atAll = ({ url }: TestGateway) => RawSession.open(new URL('mcp', url))
const never: Answering = () => new Promise<Response>(() => {})
const textOf = (id: number, value: string) => json(result(id, value))
const noise = ({ events }: TestGateway) =>
  events.filter(({ type }) => type === 'upstream_noise').length

test('a server that says twice what it can do', async () => {
  const twice =
    '{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"tools":{}},"capabilities":{"tools":{}},"instructions":"a","instructions":"b","serverInfo":{"name":"x","version":"1"}}'
  await using one = withTools(['a'], {
    initialize: ({ id }) => json(result(id, twice), 200, { 'mcp-session-id': SESSION }),
  })
  await using two = withTools(['b'])
  await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
  const session = await atAll(gateway)
  expect(await toolNames(session)).toEqual(['one_a', 'two_b'])
  expect(await called(session, 'one_a')).toBe('a')
  expect((await ask(session, 'resources/read', { uri: 'x://1' })).error.code).toBe(-32002)
})

test('a server that cannot end introducing itself', async () => {
  const instructions = 'Use me. '.repeat(1_000_000)
  await using one = withTools(['a'], { initialize: introducing({ tools: {} }, instructions) })
  await using two = withTools(['b'], { initialize: introducing({ tools: {} }, 'Use me.') })
  await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
  const session = await atAll(gateway)
  expect(JSON.parse(session.introduction).result.instructions).toBe('# two\n\nUse me.')
  expect(await toolNames(session)).toEqual(['two_b'])
})

test('a list without end takes nothing from the other lists of its server', async () => {
  let page = 0
  await using one = withTools(['a'], {
    initialize: introducing({ tools: {}, prompts: {} }),
    'prompts/list': ({ id }) => textOf(id, `{"prompts":[],"nextCursor":"${page++}"}`),
  })
  await using two = withTools(['b'])
  await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
  const session = await atAll(gateway)
  expect((await ask(session, 'prompts/list')).result.prompts).toEqual([])
  expect((await gateway.health()).upstreams.one).toHaveProperty('missing')
  expect(await toolNames(session)).toEqual(['one_a', 'two_b'])
  expect(await called(session, 'one_a')).toBe('a')
})

test('a list that says twice what is in it is the fault of its server', async () => {
  const twice = `{"tools":[],"tools":[${JSON.stringify(tool('a'))}]}`
  const tools = { block: ['z'] }
  await using one = withTools([], { 'tools/list': ({ id }) => textOf(id, twice) })
  await using two = withTools(['b'])
  await using gateway = startGateway({ one: { url: one.url, tools }, two: { url: two.url } })
  const alone = await RawSession.open(gateway.at('one'))
  expect((await ask(alone, 'tools/list')).error).toMatchObject({
    code: -32603,
    message: expect.stringContaining('server "one"'),
    data: { code: 'upstream_protocol', server: 'one' },
  })
  expect(await toolNames(await atAll(gateway))).toEqual(['two_b'])
})

test('an empty cursor is the end of a list, as is none', async () => {
  await using one = withTools([], {
    'tools/list': answering({ tools: [tool('a')], nextCursor: '' }),
  })
  await using two = withTools(['b'])
  await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
  const session = await atAll(gateway)
  expect(await toolNames(session)).toEqual(['one_a', 'two_b'])
  expect(noise(gateway)).toBe(0)
  expect((await ask(session, 'tools/list', { cursor: null })).result.tools).toHaveLength(2)
})

describe('entries', () => {
  const odd = {
    name: 'odd',
    title: 5,
    description: ['x'],
    icons: [{ src: 'x://icon', mimeType: null }, { sizes: ['any'] }, 'icon'],
    inputSchema: {
      type: 'object',
      properties: { q: { type: 'string' }, any: true },
      required: null,
      $defs: { n: null },
    },
    outputSchema: { anyOf: [] },
    annotations: { title: null, readOnlyHint: 'yes', openWorldHint: true },
    execution: { taskSupport: 'sometimes' },
    _meta: null,
    'x-new': { a: 1 },
  }
  const prompt = {
    name: 'p',
    description: null,
    arguments: [{ name: 'a', description: null, required: 'no' }, { description: 'nameless' }],
  }
  const resource = {
    uri: 'x://1',
    name: 7,
    size: '1',
    annotations: { audience: ['dog'], priority: 7, lastModified: 'yesterday' },
  }

  test('that strict clients would refuse a whole list for are mended', async () => {
    await using one = withTools([], {
      initialize: introducing({ tools: {}, prompts: {}, resources: {} }),
      'tools/list': answering({ tools: [odd] }),
      'prompts/list': answering({ prompts: [prompt] }),
      'resources/list': answering({ resources: [resource] }),
      'resources/templates/list': answering({
        resourceTemplates: [{ uriTemplate: 'x://{id}', mimeType: 1 }],
      }),
    })
    await using two = withTools(['b'])
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    for (const dial of [dialSdk1, dialSdk2]) {
      await using client = await dial(new URL('mcp', gateway.url))
      expect(await client.toolNames()).toEqual(['one_odd', 'two_b'])
      expect((await client.prompts())[0]).toEqual({ name: 'one_p', arguments: [{ name: 'a' }] })
      expect((await client.resources())[0]).toEqual({
        uri: 'x://1',
        name: 'x://1',
        annotations: { audience: [] },
      })
      expect((await client.templates())[0]).toEqual({ uriTemplate: 'x://{id}', name: 'x://{id}' })
    }
    const [mended] = (await ask(await atAll(gateway), 'tools/list')).result.tools
    expect(mended).toEqual({
      name: 'one_odd',
      icons: [{ src: 'x://icon' }],
      inputSchema: {
        type: 'object',
        properties: { q: { type: 'string' } },
        $defs: { n: null },
      },
      annotations: { openWorldHint: true },
      execution: {},
      'x-new': { a: 1 },
    })
  })

  test('with members without number are read once, not once for each', async () => {
    const members = Array.from({ length: 30_000 }, (_, i) => `"m${i}":null`)
    const huge = `{"tools":[{"name":"a",${members.join(',')}}]}`
    await using one = withTools([], { 'tools/list': ({ id }) => textOf(id, huge) })
    await using two = withTools(['b'])
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    expect(await toolNames(await atAll(gateway))).toEqual(['one_a', 'two_b'])
  })

  test('with names without end fill neither /health nor the log', async () => {
    const name = 'x'.repeat(1_000_000)
    await using one = withTools([name])
    await using two = withTools(['b'])
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    expect(await toolNames(await atAll(gateway))).toHaveLength(2)
    const { notices } = (await gateway.health()).upstreams.one!
    expect(notices).toHaveLength(1)
    expect(JSON.stringify(notices).length).toBeLessThan(1_000)
    expect(JSON.stringify(gateway.events).length).toBeLessThan(10_000)
  })

  test('that are none are told of, but not without end', async () => {
    const tools = `{"tools":[${Array(20_000).fill('7').join(',')}]}`
    await using one = withTools([], { 'tools/list': ({ id }) => textOf(id, tools) })
    await using two = withTools(['b'])
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    expect(await toolNames(await atAll(gateway))).toEqual(['two_b'])
    expect(noise(gateway)).toBeGreaterThan(0)
    expect(noise(gateway)).toBeLessThan(100)
  })
})

test('a list of a size without end is left out', async () => {
  const filler = 'x'.repeat(8 * 1024 * 1024)
  let page = 0
  await using one = withTools([], {
    'tools/list': ({ id }) =>
      textOf(
        id,
        `{"tools":[{"name":"t${page}","description":"${filler}"}],"nextCursor":"${++page}"}`,
      ),
  })
  await using two = withTools(['b'])
  await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
  expect(await toolNames(await atAll(gateway))).toEqual(['two_b'])
  expect(page).toBeLessThan(20)
})

describe('a server that does not answer', () => {
  const logging = (on: Record<string, Answering> = {}) =>
    withTools(['a'], {
      initialize: introducing({ tools: {}, logging: {}, tasks: { list: {} }, resources: {} }),
      'logging/setLevel': answering({}),
      'tasks/list': answering({ tasks: [{ taskId: 't' }] }),
      'resources/list': answering({ resources: [] }),
      'resources/templates/list': answering({ resourceTemplates: [] }),
      'resources/read': answering({ contents: [] }),
      ...on,
    })
  const hung = {
    'logging/setLevel': never,
    'tasks/list': never,
    'resources/list': never,
    'resources/templates/list': never,
    'resources/read': never,
  }

  test.each([
    ['logging/setLevel', { level: 'error' }, {}],
    ['tasks/list', {}, { tasks: [{ taskId: 't' }] }],
    ['resources/read', { uri: 'x://unlisted' }, { contents: [] }],
  ])('keeps nobody from %s', async (method, params, wanted) => {
    await using one = logging(hung)
    await using two = logging()
    await using gateway = startGateway(
      { one: { url: one.url }, two: { url: two.url } },
      { listTimeout: 100 },
    )
    const session = await atAll(gateway)
    expect((await ask(session, method, params)).result).toEqual(wanted)
  })

  test('to initialize: it is missed from then on, and announced when it comes', async () => {
    const ready = Promise.withResolvers<void>()
    await using slow = withTools(['a'], {
      initialize: async (request) => {
        await ready.promise
        return introducing({ tools: {} })(request)
      },
    })
    await using two = withTools(['b'], { initialize: introducing({ prompts: {} }) })
    await using gateway = startGateway(
      { slow: { url: slow.url }, two: { url: two.url } },
      { listTimeout: 100 },
    )
    const session = await atAll(gateway)
    expect((await gateway.health()).upstreams.slow).toHaveProperty('missing')
    // It may have tools. Who is not told of any would never ask.
    expect(JSON.parse(session.introduction).result.capabilities).toEqual({
      tools: { listChanged: true },
      prompts: { listChanged: true },
    })
    ready.resolve()
    await heard(session, 'notifications/tools/list_changed')
    expect(await toolNames(session)).toEqual(['slow_a'])
  })
})

describe('tasks', () => {
  const TASKS = { list: {}, requests: { tools: { call: {} } } }
  const withTasks = (id: string, on: Record<string, Answering> = {}) =>
    withTools(['t'], {
      initialize: introducing({ tools: {}, tasks: TASKS }),
      'tools/call': answering({ task: { taskId: id, status: 'working' } }),
      'tasks/get': answering({ taskId: id, status: 'working' }),
      'tasks/list': answering({ tasks: [{ taskId: id }] }),
      ...on,
    })
  const start = (session: RawSession, name: string) =>
    ask(session, 'tools/call', { name, arguments: {}, task: {} })
  const get = (session: RawSession, taskId: string) => ask(session, 'tasks/get', { taskId })

  test('of one server are not forgotten for those that another lists', async () => {
    const tasks = Array.from({ length: 20_000 }, (_, i) => ({ taskId: `flood-${i}` }))
    await using one = withTasks('1', { 'tasks/list': answering({ tasks }) })
    await using two = withTasks('2', { 'tasks/list': answering({ tasks: [] }) })
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    const session = await atAll(gateway)
    await toolNames(session)
    await start(session, 'two_t')
    await ask(session, 'tasks/list')
    expect((await get(session, '2')).result).toMatchObject({ taskId: '2' })
  })

  test('belong to who has issued them, also if the tool is called after another one by then', async () => {
    const answered = Promise.withResolvers<void>()
    const lists = { one: ['t'], two: [] as string[] }
    await using one = withTasks('1', {
      'tools/list': (request) => listing(...lists.one)(request),
      'tools/call': async (request) => {
        await answered.promise
        return answering({ task: { taskId: '1', status: 'working' } })(request)
      },
    })
    await using two = withTasks('2', {
      'tools/list': (request) => listing(...lists.two)(request),
    })
    const tools = { prefix: '' }
    await using gateway = startGateway({
      one: { url: one.url, tools },
      two: { url: two.url, tools },
    })
    const session = await atAll(gateway)
    expect(await toolNames(session)).toEqual(['t'])
    const task = start(session, 't')
    await one.next('tools/call')
    Object.assign(lists, { one: [], two: ['t'] })
    await afterAMinute(async () => expect(await toolNames(session)).toEqual(['t']))
    answered.resolve()
    await task
    await get(session, '1')
    expect(one.seen.filter(({ kind }) => kind === 'tasks/get')).toHaveLength(1)
    expect(two.seen.filter(({ kind }) => kind === 'tasks/get')).toEqual([])
  })

  test('that cannot be told apart belong to nobody; their result is passed on', async () => {
    const twice = '{"task":{"taskId":"1"},"task":{"taskId":"2"}}'
    await using one = withTasks('1', { 'tools/call': ({ id }) => textOf(id, twice) })
    await using two = withTasks('2')
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    const session = await atAll(gateway)
    expect((await start(session, 'one_t')).result).toEqual({ task: { taskId: '2' } })
    expect((await get(session, '2')).error).toEqual({
      code: -32602,
      message: 'Unknown task: 2',
      data: { code: 'name_unknown' },
    })
    expect((await ask(session, 'tasks/get', {})).error).toMatchObject({
      code: -32602,
      message: 'taskId: expected a string',
    })
    const begun = '{"name":"one_t","task":{},"task":{"ttl":1}}'
    expect((await askRaw(session, 'tools/call', begun)).error).toMatchObject({
      code: -32602,
      message: 'the member "task" is there twice',
    })
    expect(one.seen.filter(({ kind }) => kind === 'tools/call')).toHaveLength(1)
  })
})

test('a log level is refused if nobody who has a log takes it, or if it is none', async () => {
  await using one = withTools(['a'], {
    initialize: introducing({ tools: {}, logging: {} }),
    'logging/setLevel': ({ id }) =>
      json(`{"jsonrpc":"2.0","id":${id},"error":{"code":-32602,"message":"no such level"}}`),
  })
  await using two = withTools(['b'])
  await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
  const session = await atAll(gateway)
  expect((await ask(session, 'logging/setLevel', { level: 'loud' })).error).toEqual({
    code: -32602,
    message: 'no such level',
  })
  expect((await ask(session, 'logging/setLevel')).error).toMatchObject({
    code: -32602,
    message: 'level: expected a string',
  })
})
