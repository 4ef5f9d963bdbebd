/** Several servers behind one URL: what a client sees of them, and what it does not see of their troubles. */
import { describe, expect, test } from 'bun:test'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  ask,
  called,
  heard,
  introducing,
  listing,
  tool,
  toolNames,
  withTools,
} from '../support/asking.ts'
import { dialSdk1 } from '../support/clients.ts'
import { startGateway, stdio } from '../support/gateway.ts'
import { RawSession } from '../support/http.ts'
import { type Answering, json, result, startRemote } from '../support/servers/remote.ts'

const everything = (name: string) =>
  stdio('everything', { args: [...stdio('everything').args!, '--name', name] })

describe('merged', () => {
  test('tools come in the order of the configuration, under the names of their servers', async () => {
    await using one = withTools(['b', 'a'])
    await using two = withTools(['c'])
    await using gateway = startGateway({ z: { url: one.url }, y: { url: two.url } })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    expect(await toolNames(session)).toEqual(['z_b', 'z_a', 'y_c'])
    expect(await called(session, 'y_c')).toBe('c')
    expect(await called(session, 'z_a')).toBe('a')
  })

  test('the list is the same text for everybody, and asked for once', async () => {
    await using one = withTools(['a'])
    await using two = withTools(['b'])
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    const first = await ask(session, 'tools/list')
    expect(await ask(session, 'tools/list')).toEqual(first)
    expect(one.seen.filter(({ kind }) => kind === 'tools/list')).toHaveLength(1)
  })

  test('instructions stand under the names of their servers; capabilities are those that somebody has', async () => {
    await using one = startRemote({
      initialize: introducing({ tools: {}, logging: {} }, 'Use me.'),
    })
    await using two = startRemote({ initialize: introducing({ resources: { subscribe: true } }) })
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    expect(JSON.parse(session.introduction).result).toMatchObject({
      protocolVersion: '2025-11-25',
      serverInfo: { name: 'mcp-gateway' },
      instructions: '# one\n\nUse me.',
    })
    expect(JSON.parse(session.introduction).result.capabilities).toEqual({
      tools: { listChanged: true },
      resources: { listChanged: true, subscribe: true },
      logging: {},
    })
  })

  test.each([
    ['capabilities that are there twice', '"capabilities":{},"capabilities":{"tools":{}}'],
    ['a capability that is there twice', '"capabilities":{"tools":{},"tools":{}}'],
    ['capabilities that are none', '"capabilities":[7],"instructions":{"a":1}'],
    ['a name that is none', '"capabilities":null,"serverInfo":null'],
  ])('%s take nothing from the others', async (_, members) => {
    const odd = `{"protocolVersion":"2025-11-25",${members}}`
    await using one = withTools(['a'], { initialize: ({ id }) => json(result(id, odd)) })
    await using two = withTools(['b'])
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    expect(await toolNames(session)).toContain('two_b')
    expect(await called(session, 'two_b')).toBe('b')
    expect(gateway.events.filter(({ type }) => type === 'fault')).toEqual([])
  })

  test('servers are asked at once: each answers only when all were asked', async () => {
    const all = Promise.withResolvers<void>()
    let asked = 0
    const servers = Array.from({ length: 10 }, (_, i) =>
      withTools([], {
        'tools/list': async (request) => {
          if (++asked === 10) all.resolve()
          await all.promise
          return listing(`t${i}`)(request)
        },
      }),
    )
    const config = Object.fromEntries(servers.map(({ url }, i) => [`s${i}`, { url }]))
    await using gateway = startGateway(config)
    const session = await RawSession.open(new URL('mcp', gateway.url))
    expect(await toolNames(session)).toHaveLength(10)
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()))
  })

  test('a method that only one server could understand is not found', async () => {
    await using one = withTools(['a'])
    await using two = withTools(['b'])
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    expect((await ask(session, 'x/echo', {})).error.code).toBe(-32601)
  })

  test('one server alone is passed through: no prefix, and methods nobody has invented yet', async () => {
    await using gateway = startGateway({ only: everything('only') })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    expect(await toolNames(session)).toContain('whoami')
    expect((await ask(session, 'x/echo', { a: 1 })).result).toMatchObject({ a: 1 })
  })
})

describe('a server that is down', () => {
  test('is left out of a list, and takes nothing from the others', async () => {
    await using one = withTools(['a'])
    await using gateway = startGateway({
      dead: { command: 'no-such-command' },
      one: { url: one.url },
    })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    expect(await toolNames(session)).toEqual(['one_a'])
    expect(await called(session, 'one_a')).toBe('a')
    expect((await gateway.health()).upstreams.dead).toMatchObject({
      state: 'failing',
      missing: true,
    })
  })

  test('is announced when it comes', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'gateway-'))
    const [script] = stdio('everything').args!
    const start = `test -f ${folder}/go && exec ${process.execPath} ${script} --name late`
    await using one = withTools(['a'])
    await using gateway = startGateway({
      one: { url: one.url },
      late: { command: 'sh', args: ['-c', start] },
    })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    expect(await toolNames(session)).toEqual(['one_a'])
    await writeFile(join(folder, 'go'), '')
    await heard(session, 'notifications/tools/list_changed')
    expect(await toolNames(session)).toContain('late_whoami')
    expect(await called(session, 'late_whoami')).toBe('late')
    expect((await gateway.health()).upstreams.late).not.toHaveProperty('missing')
    await rm(folder, { recursive: true })
  })

  test('is not waited for longer than listTimeout, and announced when it is there', async () => {
    const ready = Promise.withResolvers<void>()
    await using fast = withTools(['a'])
    await using slow = withTools(['b'], {
      initialize: async (request) => {
        await ready.promise
        return introducing({ tools: {} })(request)
      },
    })
    await using gateway = startGateway(
      { slow: { url: slow.url }, fast: { url: fast.url } },
      { listTimeout: 100 },
    )
    const session = await RawSession.open(new URL('mcp', gateway.url))
    expect(await toolNames(session)).toEqual(['fast_a'])
    ready.resolve()
    await heard(session, 'notifications/tools/list_changed')
    expect(await toolNames(session)).toEqual(['slow_b', 'fast_a'])
  })

  test('is stood in for by what it listed last; its calls fail at once, with its name', async () => {
    await using one = withTools(['a'])
    const two = withTools(['b'])
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    expect(await toolNames(session)).toEqual(['one_a', 'two_b'])
    await two[Symbol.asyncDispose]()
    const error = await called(session, 'two_b')
    expect(error.message).toContain('server "two"')
    expect(error.data).toMatchObject({ code: 'upstream_unreachable', server: 'two' })
    expect(await toolNames(session)).toEqual(['one_a', 'two_b'])
    expect(await called(session, 'one_a')).toBe('a')
  })
})

describe('names', () => {
  const raw = (tools: object) => ({ ...stdio('raw'), tools })

  test('what is hidden is answered like what does not exist, alone and merged', async () => {
    await using gateway = startGateway({
      raw: raw({ block: ['big'], rename: { noise: 'quiet' } }),
      other: stdio('raw'),
    })
    const alone = await RawSession.open(gateway.at('raw'))
    const merged = await RawSession.open(new URL('mcp', gateway.url))
    const unknown = (name: string) => ({
      code: -32602,
      message: `Unknown tool: ${name}`,
      data: { code: 'name_unknown' },
    })
    for (const name of ['big', 'noise']) expect(await called(alone, name)).toEqual(unknown(name))
    for (const name of ['raw_big', 'raw_noise', 'raw_nothing', 'echo', 'raw_raw_echo'])
      expect(await called(merged, name)).toEqual(unknown(name))
    expect(await toolNames(alone)).not.toContain('big')
    expect(await called(alone, 'quiet')).toBe('after the noise')
    expect(await called(merged, 'raw_quiet')).toBe('after the noise')
    expect(await called(merged, 'other_noise')).toBe('after the noise')
  })

  test('a tool that a server does not list is its own to refuse, where it is alone', async () => {
    await using gateway = startGateway({ raw: raw({ block: ['big'] }) })
    const session = await RawSession.open(gateway.at('raw'))
    expect(await called(session, 'nothing')).toEqual({ code: -32601, message: 'Method not found' })
  })

  test('arguments are filled in, and pinned ones cannot be changed', async () => {
    await using gateway = startGateway({
      raw: raw({ override: { echo: { defaults: { n: 1 }, pinned: { key: 'k' } } } }),
    })
    const session = await RawSession.open(gateway.at('raw'))
    const echoed = async (args: string) => {
      const text = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":${args}}}`
      const { result } = JSON.parse(await (await session.post(text)).text())
      return JSON.parse(result.content[0].text).params.arguments
    }
    expect(await echoed('{}')).toEqual({ n: 1, key: 'k' })
    expect(await echoed('{"key":"mine","n":2}')).toEqual({ key: 'k', n: 2 })
  })

  test('a call changes by its name alone', async () => {
    await using gateway = startGateway({ raw: raw({ rename: { echo: 'parrot' } }) })
    const session = await RawSession.open(gateway.at('raw'))
    const params = String.raw`{"x": 1.0,"name":"parrot","arguments":{"big":9007199254740993,"s":"\u0041"}}`
    const text = `{"jsonrpc":"2.0","id":"ä","method":"tools/call","params":${params}}`
    const { result } = JSON.parse(await (await session.post(text)).text())
    expect(result.content[0].text).toContain(`"params":${params.replace('parrot', 'echo')}`)
  })

  test('a name that is there twice is refused: the next reader might take the other one', async () => {
    await using gateway = startGateway({ raw: raw({ block: ['big'] }), other: stdio('raw') })
    for (const path of ['raw/mcp', 'mcp']) {
      const session = await RawSession.open(new URL(path, gateway.url))
      const params = '{"name":"raw_echo","name":"big","arguments":{}}'
      const text = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${params}}`
      const { error } = JSON.parse(await (await session.post(text)).text())
      expect(error).toMatchObject({ code: -32602, message: 'the member "name" is there twice' })
    }
  })

  test('clashes that servers bring hide the later one, and are said on /health', async () => {
    await using one = withTools(['same', 'one'])
    await using two = withTools(['same', 'two'])
    const tools = { prefix: '' }
    await using gateway = startGateway({
      one: { url: one.url, tools },
      two: { url: two.url, tools },
    })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    expect(await toolNames(session)).toEqual(['same', 'one', 'two'])
    expect((await gateway.health()).upstreams.two!.notices).toEqual([
      'tools: "same" is hidden: another is called same already',
    ])
  })
})

describe('groups and narrowing', () => {
  test('a group is some of the servers, merged', async () => {
    await using one = withTools(['a'])
    await using two = withTools(['b'])
    await using three = withTools(['c'])
    await using gateway = startGateway(
      { one: { url: one.url }, two: { url: two.url }, three: { url: three.url } },
      {},
      { dev: ['three', 'one'], solo: ['two'] },
    )
    const dev = await RawSession.open(gateway.at('dev'))
    expect(await toolNames(dev)).toEqual(['three_c', 'one_a'])
    expect((await called(dev, 'two_b')).code).toBe(-32602)
    expect(await toolNames(await RawSession.open(gateway.at('solo')))).toEqual(['b'])
  })

  test('a client sees less if it asks for less, and nobody else does', async () => {
    await using one = withTools(['a', 'aa'])
    await using two = withTools(['b'])
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    const at = (query: string) => RawSession.open(new URL(`mcp?${query}`, gateway.url))
    expect(await toolNames(await at('servers=two'))).toEqual(['two_b'])
    expect(await toolNames(await at('tools=one_a,two_*'))).toEqual(['one_a', 'two_b'])
    const narrow = await at('servers=one&tools=*_aa')
    expect(await toolNames(narrow)).toEqual(['one_aa'])
    expect(await called(narrow, 'one_aa')).toBe('aa')
    expect((await called(narrow, 'one_a')).code).toBe(-32602)
    expect((await called(narrow, 'two_b')).code).toBe(-32602)
    expect(await toolNames(await RawSession.open(new URL('mcp', gateway.url)))).toHaveLength(3)
    await expect(at('servers=three')).rejects.toThrow(/400.*there is no \\"three\\"/)
  })
})

describe('lists', () => {
  test('of any length are walked, and come in pages with cursors of our own', async () => {
    const page: Answering = ({ id, params }) => {
      const start = Number(params.cursor ?? 0)
      const tools = Array.from({ length: 300 }, (_, i) => tool(`t${start + i}`))
      const next = start + 300 < 1500 ? { nextCursor: String(start + 300) } : {}
      return json(result(id, JSON.stringify({ tools, ...next })))
    }
    await using one = withTools([], { 'tools/list': page })
    await using two = withTools(['b'])
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    const first = (await ask(session, 'tools/list')).result
    const second = (await ask(session, 'tools/list', { cursor: first.nextCursor })).result
    expect([first.tools.length, second.tools.length]).toEqual([1000, 501])
    expect(second).not.toHaveProperty('nextCursor')
    expect(second.tools.at(-1).name).toBe('two_b')
    expect((await ask(session, 'tools/list', { cursor: 'x' })).error).toMatchObject({
      code: -32602,
    })
  })

  test('a cursor of a list that has changed since is refused, and says what to do', async () => {
    let grown = false
    const page: Answering = ({ id }) => {
      const tools = Array.from({ length: grown ? 1200 : 1100 }, (_, i) => tool(`t${i}`))
      return json(result(id, JSON.stringify({ tools })))
    }
    const changed = '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'
    await using one = withTools([], {
      'tools/list': page,
      'tools/call': ({ id }) =>
        new Response(`data: ${changed}\n\ndata: ${result(id, '{"content":[]}')}\n\n`, {
          headers: { 'content-type': 'text/event-stream' },
        }),
    })
    await using two = withTools(['b'])
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    const { nextCursor } = (await ask(session, 'tools/list')).result
    grown = true
    await ask(session, 'tools/call', { name: 'one_t0' })
    const { error } = await ask(session, 'tools/list', { cursor: nextCursor })
    expect(error).toMatchObject({
      code: -32602,
      data: { hint: 'ask for tools/list without a cursor' },
    })
    expect((await ask(session, 'tools/list')).result.tools).toHaveLength(1000)
  })

  test('without end take nothing from the others', async () => {
    let page = 0
    const endless: Answering = ({ id }) =>
      json(result(id, `{"tools":[{"name":"t${page}"}],"nextCursor":"${page++}"}`))
    const circle: Answering = ({ id }) => json(result(id, '{"tools":[],"nextCursor":"again"}'))
    await using one = withTools([], { 'tools/list': endless })
    await using two = withTools([], { 'tools/list': circle })
    await using three = withTools(['c'])
    await using gateway = startGateway({
      one: { url: one.url },
      two: { url: two.url },
      three: { url: three.url },
    })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    expect(await toolNames(session)).toEqual(['three_c'])
  })

  test.each([
    ['no list at all', '{}'],
    ['a list that is none', '{"tools":{}}'],
    ['a result that is none', '7'],
  ])('%s takes nothing from the others', async (_, text) => {
    await using one = withTools([], { 'tools/list': ({ id }) => json(result(id, text)) })
    await using two = withTools(['b'])
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    expect(await toolNames(session)).toEqual(['two_b'])
  })

  test('entries that are none are left out, and noted', async () => {
    const tools =
      '[null,7,{"name":""},{"name":"a"},{"name":"a"},{"name":"d","name":"d"},{"title":"x"}]'
    await using one = withTools([], {
      'tools/list': ({ id }) => json(result(id, `{"tools":${tools}}`)),
    })
    await using two = withTools(['b'])
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    expect(await toolNames(session)).toEqual(['one_a', 'two_b'])
    expect(gateway.events.filter(({ type }) => type === 'upstream_noise')).toHaveLength(6)
  })
})

describe('resources', () => {
  const reading =
    (uris: string[]): Answering =>
    ({ id, params }) =>
      uris.includes(String(params.uri))
        ? json(result(id, JSON.stringify({ contents: [{ uri: params.uri, text: uris[0] }] })))
        : json(`{"jsonrpc":"2.0","id":${id},"error":{"code":-32002,"message":"not mine"}}`)

  const withResources = (listed: string[], known: string[], template?: string) =>
    startRemote({
      initialize: introducing({ resources: {} }),
      'resources/list': ({ id }) =>
        json(result(id, JSON.stringify({ resources: listed.map((uri) => ({ uri, name: uri })) }))),
      'resources/templates/list': ({ id }) => {
        const resourceTemplates = template ? [{ uriTemplate: template, name: 't' }] : []
        return json(result(id, JSON.stringify({ resourceTemplates })))
      },
      'resources/read': reading(known),
    })

  test('go to who lists them, then to whose template fits, then to whoever knows them', async () => {
    await using one = withResources(['x://same', 'x://1'], ['x://same', 'x://1', 'y://odd'])
    await using two = withResources(['x://same', 'x://2'], ['two', 'x://2', 'x://same'])
    await using three = withResources([], ['three', 'z://7'], 'z://{id}')
    await using gateway = startGateway({
      one: { url: one.url },
      two: { url: two.url },
      three: { url: three.url },
    })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    const read = async (uri: string) => {
      const { result, error } = await ask(session, 'resources/read', { uri })
      return result?.contents[0].text ?? error.code
    }
    const { resources } = (await ask(session, 'resources/list')).result
    expect(resources.map(({ uri }: { uri: string }) => uri)).toEqual(['x://same', 'x://1', 'x://2'])
    expect(await read('x://same')).toBe('x://same')
    expect(await read('x://2')).toBe('two')
    expect(await read('z://7')).toBe('three')
    expect(one.seen.filter(({ params }) => params.uri === 'z://7')).toEqual([])
    expect(await read('y://odd')).toBe('x://same')
    expect(await read('nobody://knows')).toBe(-32002)
  })

  test('that are hidden are asked of nobody', async () => {
    await using one = withResources(['x://1', 'secret://1'], ['x://1', 'secret://1'])
    await using two = withResources([], [])
    const resources = { block: ['secret://*'] }
    await using gateway = startGateway({ one: { url: one.url, resources }, two: { url: two.url } })
    for (const path of ['mcp', 'one/mcp']) {
      const session = await RawSession.open(new URL(path, gateway.url))
      const { result } = await ask(session, 'resources/list')
      expect(result.resources).toHaveLength(1)
      const { error } = await ask(session, 'resources/read', { uri: 'secret://1' })
      expect(error.code).toBe(-32002)
      expect(one.seen.filter(({ params }) => params.uri === 'secret://1')).toEqual([])
    }
  })
})

describe('what one server does', () => {
  test('a log level holds for servers that are connected later, and after they were lost', async () => {
    await using gateway = startGateway({ one: everything('one'), two: everything('two') })
    const logged: unknown[] = []
    await using client = await dialSdk1(new URL('mcp', gateway.url), {
      onLog: (data) => logged.push(data),
    })
    await client.setLevel('error')
    await client.call('one_test_tool_with_logging')
    expect(logged).toEqual([])
    await client.setLevel('debug')
    await client.call('two_test_tool_with_logging')
    expect(logged).toHaveLength(3)
    await client.setLevel('error')
    await client.call('one_crash').catch(() => {})
    await client.call('one_test_tool_with_logging')
    expect(logged).toHaveLength(3)
  })

  test('a subscription survives the crash of its server', async () => {
    await using gateway = startGateway({ one: everything('one'), two: everything('two') })
    const { promise, resolve } = Promise.withResolvers<string>()
    await using client = await dialSdk1(new URL('mcp', gateway.url), { onUpdated: resolve })
    const uri = 'test://watched-resource'
    await client.subscribe(uri)
    await client.call('one_crash').catch(() => {})
    await client.call('one_touch', { uri })
    expect(await promise).toBe(uri)
  })

  test('changes of lists are told once for all servers, and seen by the next list', async () => {
    await using gateway = startGateway({ one: everything('one'), two: everything('two') })
    let told = 0
    const twice = Promise.withResolvers<void>()
    await using client = await dialSdk1(new URL('mcp', gateway.url), {
      onListChanged: () => ++told && twice.resolve(),
    })
    await client.toolNames()
    await client.call('two_grow_tools')
    await twice.promise
    expect(await client.toolNames()).toContain('two_grown_1')
    expect(await client.call('two_grown_1')).toBe('grown_1')
  })
})
