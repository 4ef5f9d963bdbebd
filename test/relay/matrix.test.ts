/** Every client reaches every server with everything that the two can say to one another, alone and merged. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js'
import { type Answers, dialSdk1, dialSse, dialStdio, type TestClient } from '../support/clients.ts'
import { type Servers, startGateway, stdio, type TestGateway } from '../support/gateway.ts'
import { eventsOf } from '../support/http.ts'
import { type RemoteServer, startServer } from '../support/remote-servers.ts'

type Transport = 'stdio' | 'Streamable HTTP' | 'SSE'
type Where = 'alone' | 'aggregate'

const PROGRAM = new URL('../../src/main.ts', import.meta.url).pathname
const PAGED = ['--page-size', '5']

/** Each client, at an endpoint of a gateway whose servers are given too. */
const CLIENTS: Record<
  string,
  (gateway: TestGateway, name: string, servers: Servers, answers: Answers) => Promise<TestClient>
> = {
  'SDK Streamable HTTP': (gateway, name, _, answers) => dialSdk1(at(gateway, name, 'mcp'), answers),
  'SDK SSE': (gateway, name, _, answers) => dialSse(at(gateway, name, 'sse'), answers),
  bridge: (gateway, name, _, answers) => {
    const url = at(gateway, name, 'mcp').href
    return dialStdio([process.execPath, PROGRAM, 'bridge', url], answers)
  },
  'in-process stdio': async (_, name, mcpServers, answers) => {
    const folder = await mkdtemp(join(tmpdir(), 'matrix-'))
    const config = join(folder, 'config.json')
    await writeFile(config, JSON.stringify({ mcpServers }))
    const only = name === '' ? [] : ['--endpoint', name]
    const command = [process.execPath, PROGRAM, 'stdio', '--config', config, ...only]
    const client = await dialStdio(command, answers)
    await rm(folder, { recursive: true })
    return client
  },
}

function at({ url }: TestGateway, name: string, end: string): URL {
  return new URL(name === '' ? end : `${name}/${end}`, url)
}

/** One process, so that what a call leaves behind is seen by the next. */
const everything = (...args: string[]) =>
  stdio('everything', {
    args: [...stdio('everything').args!, ...args],
    isolation: 'user',
    pool: { maxConnections: 1 },
  })

const remotes: RemoteServer[] = []
const UPSTREAMS = {} as Record<Transport, Servers[string]>

beforeAll(async () => {
  const remote = async (flag: string) => {
    const server = await startServer([flag, '--name', 'main', ...PAGED])
    remotes.push(server)
    return server.url.href
  }
  UPSTREAMS.stdio = everything('--name', 'main', ...PAGED)
  UPSTREAMS['Streamable HTTP'] = { url: await remote('--http') }
  UPSTREAMS.SSE = { url: await remote('--sse'), type: 'sse' }
})

afterAll(() => Promise.all(remotes.map((server) => server[Symbol.asyncDispose]())))

const transports: Transport[] = ['stdio', 'Streamable HTTP', 'SSE']
const places: Where[] = ['alone', 'aggregate']
const pairs = transports.flatMap((transport) => places.map((place) => [transport, place] as const))

const serversFor = (transport: Transport, place: Where): Servers => ({
  main: UPSTREAMS[transport],
  ...(place === 'aggregate' ? { other: everything('--name', 'other') } : {}),
})

describe.each(Object.keys(CLIENTS))('%s', (kind) => {
  describe.each(pairs)('to %s, %s', (transport, place) => {
    /** What the client was told and not asked. */
    const logged: unknown[] = []
    let onUpdated = (_uri: string) => {}
    let onListChanged = (_list: string) => {}
    let onCompleted = (_id: string) => {}
    let roots = ['file:///first']
    const visited: string[] = []

    let gateway: TestGateway
    let client: TestClient
    const named = (name: string) => (place === 'aggregate' ? `main_${name}` : name)

    beforeAll(async () => {
      const servers = serversFor(transport, place)
      gateway = startGateway(servers)
      client = await CLIENTS[kind]!(gateway, place === 'alone' ? 'main' : '', servers, {
        elicit: () => ({ username: 'ada', email: 'ada@example.com' }),
        elicitUrl: (url) => visited.push(url),
        sample: (prompt) => `you said: ${prompt}`,
        roots: () => roots,
        onLog: (data) => logged.push(data),
        onUpdated: (uri) => onUpdated(uri),
        onListChanged: (list) => onListChanged(list),
        onElicitationComplete: (id) => onCompleted(id),
      })
    })

    afterAll(async () => {
      await client[Symbol.asyncDispose]()
      await gateway.close()
    })

    test('is introduced', async () => {
      const servers = place === 'alone' ? ['This is main.'] : ['# main', 'This is main.', '# other']
      for (const text of servers) expect(client.instructions).toContain(text)
      expect(client.server!.name).toBe(place === 'alone' ? 'main' : 'mcp-gateway')
      expect(client.capabilities()).toMatchObject({
        tools: { listChanged: true },
        prompts: { listChanged: true },
        resources: { subscribe: true, listChanged: true },
        completions: {},
        logging: {},
        tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } },
      })
      await client.ping()
    })

    test('sees every tool, with all that is said of it', async () => {
      const tools = await client.tools()
      const names = tools.map(({ name }) => name)
      expect(new Set(names).size).toBe(names.length)
      expect(names).toContain(named('test_simple_text'))
      if (place === 'aggregate') expect(names).toContain('other_whoami')
      const rich = tools.find(({ name }) => name === named('rich'))!
      expect(rich).toHaveProperty('outputSchema')
      expect(rich).toHaveProperty('annotations')
      expect(rich).toHaveProperty('icons')
      expect(rich).toHaveProperty('title')
      expect(rich).toHaveProperty('_meta')
      if (place === 'aggregate') expect(await client.call('other_whoami')).toBe('other')
      expect(await client.call(named('whoami'))).toBe('main')
    })

    test('gets content of every kind', async () => {
      const kinds = async (tool: string) =>
        (await client.callResult(named(tool))).content.map(({ type }) => type)
      expect(await kinds('test_multiple_content_types')).toEqual(['text', 'image', 'resource'])
      expect(await kinds('test_audio_content')).toEqual(['audio'])
      expect(await kinds('link')).toEqual(['resource_link'])
      expect(await client.callResult(named('rich'))).toHaveProperty('structuredContent')
      expect(await client.callResult(named('test_error_handling'))).toMatchObject({ isError: true })
    })

    test('hears progress, every one and in order', async () => {
      const heard: number[] = []
      const onprogress = ({ progress }: { progress: number }) => void heard.push(progress)
      await client.call(named('burst'), { count: 100, ask: true }, { onprogress })
      expect(heard).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
    })

    test('cancels', async () => {
      const stop = new AbortController()
      const onprogress = () => stop.abort('enough')
      const call = client.call(named('wait'), {}, { signal: stop.signal, onprogress })
      expect(await call.catch(String)).toContain('enough')
      // It is told by a notification, which the server may hear a moment after this call.
      while ((await client.call(named('last_cancelled'))) !== 'wait') await Bun.sleep(1)
    })

    test('is asked: elicitation by form and by URL, sampling, roots', async () => {
      expect(await client.call(named('test_elicitation'), { message: 'Who?' })).toContain('ada@')
      expect(await client.call(named('test_sampling'), { prompt: 'hello' })).toContain('hello')
      expect(await client.call(named('roots'))).toContain('file:///first')
      roots = ['file:///second']
      await client.rootsChanged()
      expect(await client.call(named('roots'))).toContain('file:///second')

      const completed = Promise.withResolvers<string>()
      onCompleted = completed.resolve
      expect(await client.call(named('elicit_url'))).toContain('accept')
      expect(await completed.promise).toBeString()
      expect(visited).toHaveLength(1)
      await expect(client.call(named('needs_url'))).rejects.toMatchObject({ code: -32042 })
    })

    test('sets the level of the log, and hears what is written', async () => {
      await client.setLevel('error')
      await client.call(named('test_tool_with_logging'))
      expect(logged).toEqual([])
      await client.setLevel('debug')
      await client.call(named('test_tool_with_logging'))
      expect(logged).toHaveLength(3)
    })

    test('gets prompts, and help with their arguments', async () => {
      const names = (await client.prompts()).map(({ name }) => name)
      expect(names).toContain(named('test_simple_prompt'))
      const prompt = named('test_prompt_with_arguments')
      const { messages } = await client.prompt(prompt, { arg1: 'a', arg2: 'b' })
      expect(messages[0]!.content).toMatchObject({
        text: "Prompt with arguments: arg1='a', arg2='b'",
      })
      await expect(client.prompt(named('nothing'))).rejects.toMatchObject({ code: -32602 })
      const ref = { type: 'ref/prompt' as const, name: prompt }
      expect(await client.complete(ref, { name: 'arg1', value: 'who' })).toEqual([
        'main:test_prompt_with_arguments',
      ])
    })

    test('reads resources, also those of templates', async () => {
      const uris = (await client.resources()).map(({ uri }) => uri)
      expect(uris).toContain('test://static-text')
      expect(uris.length).toBe(new Set(uris).size)
      const { contents } = await client.read('test://static-text')
      expect(contents[0]).toMatchObject({
        text: 'This is the content of the static text resource.',
      })
      const templates = (await client.templates()).map(({ uriTemplate }) => uriTemplate)
      expect(templates).toContain('test://template/{id}/data')
      expect(templates).toContain('test://main/words/{word}')
      const [item] = (await client.read('test://template/7/data')).contents
      expect(item).toMatchObject({ text: expect.stringContaining('"id":"7"') })
      await expect(client.read('test://nothing')).rejects.toMatchObject({ code: -32002 })
      const ref = { type: 'ref/resource' as const, uri: 'test://template/{id}/data' }
      expect(await client.complete(ref, { name: 'id', value: 'who' })).toEqual([
        'main:test://template/{id}/data',
      ])
    })

    test('subscribes, is told, and unsubscribes', async () => {
      const uri = 'test://watched-resource'
      const told: string[] = []
      const first = Promise.withResolvers<void>()
      onUpdated = (uri) => {
        told.push(uri)
        first.resolve()
      }
      await client.subscribe(uri)
      await client.call(named('touch'), { uri })
      await first.promise
      await client.unsubscribe(uri)
      await client.call(named('touch'), { uri })
      await client.ping()
      expect(told).toEqual([uri])
    })

    test.each(['tools', 'prompts', 'resources'])('is told that %s have changed', async (list) => {
      const told = Promise.withResolvers<void>()
      onListChanged = (changed) => changed === list && told.resolve()
      await client.tools()
      await client.call(named(`grow_${list}`))
      await told.promise
      const names = {
        tools: () => client.toolNames(),
        prompts: async () => (await client.prompts()).map(({ name }) => name),
        resources: async () => (await client.resources()).map(({ name }) => named(name)),
      }[list]!
      expect((await names()).filter((name) => name.startsWith(named('grown')))).toHaveLength(1)
    })

    test('starts a task, asks for it, and cancels another', async () => {
      const start = async (ms?: number) => {
        const args = ms === undefined ? {} : { ms }
        const params = { name: named('slow_task'), arguments: args, task: { ttl: 60_000 } }
        const { task } = await client.request('tools/call', params)
        return task as { taskId: string; status: string }
      }
      const { taskId, status } = await start(1)
      expect(status).toBe('working')
      expect((await client.request('tasks/result', { taskId })).content).toBeArray()
      expect(await client.request('tasks/get', { taskId })).toMatchObject({ status: 'completed' })
      const other = await start()
      await client.request('tasks/cancel', { taskId: other.taskId })
      expect(await client.request('tasks/get', other)).toMatchObject({ status: 'cancelled' })
      const { tasks } = await client.request('tasks/list')
      const ids = (tasks as { taskId: string }[]).map((task) => task.taskId)
      expect(ids).toEqual([taskId, other.taskId])
      await expect(client.request('tasks/get', { taskId: 'none' })).rejects.toMatchObject({
        code: -32602,
      })
    })

    test('says what nobody has invented yet, where one server can answer', async () => {
      const answer = client.request('x/echo', { a: 1 })
      if (place === 'alone') expect(await answer).toMatchObject({ a: 1 })
      else await expect(answer).rejects.toMatchObject({ code: -32601 })
    })
  })
})

describe('REST', () => {
  describe.each(pairs)('to %s, %s', (transport, place) => {
    let gateway: TestGateway
    const named = (name: string) => (place === 'aggregate' ? `main_${name}` : name)
    const call = (name: string, args: unknown = {}, accept = 'application/json') =>
      fetch(new URL('tools/call', gateway.url), {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept },
        body: JSON.stringify({ name: named(name), arguments: args }),
      })

    beforeAll(() => {
      gateway = startGateway(serversFor(transport, place))
    })
    afterAll(() => gateway.close())

    test('lists every tool, with all that is said of it', async () => {
      const response = await fetch(new URL('tools?server=main', gateway.url))
      const { tools } = (await response.json()) as { tools: { name: string }[] }
      const rich = tools.find(({ name }) => name === named('rich'))
      expect(rich).toMatchObject({ serverName: 'main', inputSchema: {}, outputSchema: {} })
    })

    test('gets content of every kind', async () => {
      const result = async (name: string) => {
        const { result } = (await (await call(name)).json()) as { result: CallToolResult }
        return result
      }
      const { content } = await result('test_multiple_content_types')
      expect(content.map(({ type }) => type)).toEqual(['text', 'image', 'resource'])
      expect(await result('rich')).toHaveProperty('structuredContent')
      expect(await result('test_error_handling')).toMatchObject({ isError: true })
    })

    test('hears progress, and then the result', async () => {
      const response = await call('burst', { count: 20 }, 'text/event-stream')
      const events = await Array.fromAsync(eventsOf(response))
      const progress = events.slice(0, -1).map(({ data }) => JSON.parse(data).progress)
      expect(progress).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
      expect(JSON.parse(events.at(-1)!.data).result.content[0].text).toBe('20')
    })

    test('cancels by leaving', async () => {
      const stop = new AbortController()
      const response = await fetch(new URL('tools/call', gateway.url), {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
        body: JSON.stringify({ name: named('wait'), arguments: {} }),
        signal: stop.signal,
      })
      for await (const _ of eventsOf(response)) break
      stop.abort()
      await gateway.event('request', ({ outcome }) => outcome === 'cancelled')
    })
  })
})
