/** Another configuration while clients are there: what they notice, and what not. */
import { describe, expect, test } from 'bun:test'
import { isAlive } from '../lifecycle/program.ts'
import { Gate, until } from '../pool/gate.ts'
import { ask, called, heard, toolNames, withTools } from '../support/asking.ts'
import { startGateway, stdio, type TestGateway } from '../support/gateway.ts'
import { call, post, RawSession, request } from '../support/http.ts'

const spawned = ({ events }: TestGateway, server: string) =>
  events.flatMap((event) =>
    event.type === 'upstream_spawned' && event.server === server ? [event.pid] : [],
  )
const everything = (options: Parameters<typeof stdio>[1] = {}) => stdio('everything', options)
const raw = (options: Parameters<typeof stdio>[1] = {}) => stdio('raw', options)
const LISTS_CHANGED = 'notifications/tools/list_changed'

describe('a server that stays as it is', () => {
  test('keeps its process and its sessions, at its own URL and where it is merged', async () => {
    await using other = withTools(['a'])
    await using gateway = startGateway({ kept: raw(), other: { url: other.url } })
    const alone = await RawSession.open(gateway.at('kept'))
    const merged = await RawSession.open(new URL('mcp', gateway.url))
    await alone.call(1, 'echo', { text: 'x' })
    await called(merged, 'kept_echo')
    const before = spawned(gateway, 'kept')

    const changes = gateway.apply({ kept: raw(), more: { url: other.url } })

    expect(changes).toEqual({ added: ['more'], changed: [], removed: ['other'], kept: ['kept'] })
    expect(await toolNames(merged)).toContain('more_a')
    expect(await toolNames(merged)).not.toContain('other_a')
    await called(merged, 'kept_echo')
    expect((await alone.post(call(2, 'echo', {}))).status).toBe(200)
    expect(spawned(gateway, 'kept')).toEqual(before)
  })

  test('is told nothing when only what is shown of it changes, and its clients see the change', async () => {
    await using gateway = startGateway({ kept: raw() })
    const session = await RawSession.open(gateway.at('kept'))
    expect(await toolNames(session)).toContain('slow')
    const before = spawned(gateway, 'kept')
    const changes = gateway.apply({ kept: raw({ tools: { block: ['slow'] } }) })
    expect(changes.kept).toEqual(['kept'])
    expect(await toolNames(session)).not.toContain('slow')
    expect((await called(session, 'slow')).code).toBe(-32602)
    expect(spawned(gateway, 'kept')).toEqual(before)
  })

  test('keeps what is in flight there', async () => {
    using gate = new Gate()
    await using other = withTools(['a'])
    await using gateway = startGateway({ kept: everything(), other: { url: other.url } })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    const waiting = ask(session, 'tools/call', { name: 'kept_fetch', arguments: gate.args })
    await gate.held(1)
    gateway.apply({ kept: everything(), new: { url: other.url } })
    gate.open()
    expect((await waiting).result.content[0].text).toBe('through')
  })
})

describe('a server that changes', () => {
  test('is started anew for its sessions, which go on; the old process ends when its calls have', async () => {
    using gate = new Gate()
    await using gateway = startGateway({ a: everything() })
    const session = await RawSession.open(gateway.at('a'))
    const waiting = ask(session, 'tools/call', { name: 'fetch', arguments: gate.args })
    await gate.held(1)
    const [old] = spawned(gateway, 'a')

    expect(gateway.apply({ a: everything({ env: { NEW: '1' } }) }).changed).toEqual(['a'])
    expect(Number(await called(session, 'pid'))).not.toBe(old)
    expect(spawned(gateway, 'a')).toHaveLength(2)
    expect(isAlive(old!)).toBe(true)
    gate.open()
    expect((await waiting).result.content[0].text).toBe('through')
    await until('the old process is gone', () => !isAlive(old!))
  })

  test('is subscribed to again for who was subscribed, before he asks', async () => {
    await using gateway = startGateway({ a: everything(), b: everything() })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    await ask(session, 'resources/subscribe', { uri: 'test://watched-resource' })
    const changed = everything({ env: { NEW: '1' } })
    gateway.apply({ a: changed, b: changed })
    const ready = () => gateway.events.filter(({ type }) => type === 'upstream_ready').length
    const before = ready()
    await until('it is connected again', () => ready() > before)
  })

  test('is announced', async () => {
    await using one = withTools(['a'])
    await using two = withTools(['b'])
    await using gateway = startGateway({ x: { url: one.url }, y: { url: one.url } })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    expect(await toolNames(session)).toEqual(['x_a', 'y_a'])
    const told = heard(session, LISTS_CHANGED)
    gateway.apply({ x: { url: two.url }, y: { url: one.url } })
    await told
    expect(await toolNames(session)).toEqual(['x_b', 'y_a'])
  })
})

describe('a server that goes', () => {
  test('takes its own sessions along, and no others', async () => {
    await using one = withTools(['a'])
    await using gateway = startGateway({ x: { url: one.url }, y: { url: one.url } })
    const [gone, stays] = [
      await RawSession.open(gateway.at('x')),
      await RawSession.open(gateway.at('y')),
    ]
    gateway.apply({ y: { url: one.url } })
    expect((await gone.post(request(1, 'tools/list'))).status).toBe(404)
    expect((await stays.post(request(1, 'tools/list'))).status).toBe(200)
    expect((await post(gateway.at('x'), request(1, 'initialize', {}))).status).toBe(404)
    expect(Object.keys((await gateway.health()).upstreams)).toEqual(['y'])
  })

  test('ends its process, and leaves nobody behind', async () => {
    await using gateway = startGateway({ x: raw(), y: raw(), z: raw() })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    await called(session, 'x_echo')
    const [pid] = spawned(gateway, 'x')
    gateway.apply({ y: raw(), z: raw() })
    await until('its process is gone', () => !isAlive(pid!))
    expect((await called(session, 'x_echo')).code).toBe(-32602)
  })

  test('may come back: the same URL, other sessions', async () => {
    await using one = withTools(['a'])
    await using gateway = startGateway({ x: { url: one.url }, y: { url: one.url } })
    gateway.apply({ y: { url: one.url } })
    gateway.apply({ x: { url: one.url }, y: { url: one.url } })
    expect(await toolNames(await RawSession.open(gateway.at('x')))).toEqual(['a'])
  })

  test('even if it is the last one', async () => {
    await using one = withTools(['a'])
    await using gateway = startGateway({ x: { url: one.url } })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    gateway.apply({})
    expect((await session.post(request(1, 'tools/list'))).status).toBe(404)
    gateway.apply({ x: { url: one.url } })
    expect(await toolNames(await RawSession.open(new URL('mcp', gateway.url)))).toEqual(['a'])
  })
})

describe('what a client has narrowed', () => {
  test('stays narrowed when others come', async () => {
    await using one = withTools(['a'])
    const at = { url: one.url }
    await using gateway = startGateway({ x: at, y: at })
    const session = await RawSession.open(new URL('mcp?servers=x', gateway.url))
    gateway.apply({ x: at, y: at, z: at })
    expect(await toolNames(session)).toEqual(['x_a'])
  })

  test('ends with the server that it was narrowed to', async () => {
    await using one = withTools(['a'])
    const at = { url: one.url }
    await using gateway = startGateway({ x: at, y: at })
    const session = await RawSession.open(new URL('mcp?servers=x', gateway.url))
    gateway.apply({ y: at, z: at })
    expect((await session.post(request(1, 'tools/list'))).status).toBe(404)
  })
})

describe('one server that becomes two', () => {
  test('goes on with the process that its client had', async () => {
    await using one = withTools(['a'])
    await using gateway = startGateway({ x: stdio('raw') })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    await called(session, 'echo')
    gateway.apply({ x: stdio('raw'), y: { url: one.url } })
    expect(await toolNames(session)).toContain('x_echo')
    await called(session, 'x_echo')
    expect(spawned(gateway, 'x')).toHaveLength(1)
    gateway.apply({ x: stdio('raw') })
    await called(session, 'echo')
    expect(spawned(gateway, 'x')).toHaveLength(1)
  })
})

describe('groups', () => {
  test('come, change and go', async () => {
    await using one = withTools(['a'])
    const at = { url: one.url }
    const servers = { x: at, y: at, z: at }
    await using gateway = startGateway(servers, {}, { g: ['x', 'y'] })
    const session = await RawSession.open(gateway.at('g'))
    gateway.apply(servers, {}, { g: ['x', 'z'], h: ['y'] })
    expect(await toolNames(session)).toEqual(['x_a', 'z_a'])
    expect(await toolNames(await RawSession.open(gateway.at('h')))).toEqual(['a'])
    gateway.apply(servers)
    expect((await session.post(request(1, 'tools/list'))).status).toBe(404)
  })
})

describe('where it listens', () => {
  test('may change while sessions stay', async () => {
    await using one = withTools(['a'])
    await using gateway = startGateway({ x: { url: one.url } })
    const { port } = gateway.url
    const session = await RawSession.open(gateway.at('x'))
    const free = freePort()
    gateway.apply({ x: { url: one.url } }, { port: free })
    expect(gateway.url.port).toBe(String(free))
    const moved = new URL(session.url)
    moved.port = String(free)
    const headers = { 'mcp-session-id': session.id }
    expect((await post(moved, request(1, 'tools/list'), headers)).status).toBe(200)
    expect(fetch(`http://127.0.0.1:${port}/health`)).rejects.toThrow()
  })

  test('stays where it is if it cannot go there, and nothing else changes either', async () => {
    await using one = withTools(['a'])
    using taken = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response('mine') })
    await using gateway = startGateway({ x: { url: one.url } })
    expect(() => gateway.apply({}, { port: taken.port! })).toThrow()
    expect(await toolNames(await RawSession.open(gateway.at('x')))).toEqual(['a'])
  })

  test('options of HTTP hold from then on', async () => {
    await using one = withTools(['a'])
    await using gateway = startGateway({ x: { url: one.url } })
    const session = await RawSession.open(gateway.at('x'))
    gateway.apply({ x: { url: one.url } }, { maxBodySize: 100 })
    expect((await session.post(call(1, 'a', { text: 'x'.repeat(200) }))).status).toBe(413)
    const from = (origin: string) =>
      fetch(new URL('health', gateway.url), { headers: { origin } }).then(({ status }) => status)
    expect(await from('https://app.example')).toBe(403)
    gateway.apply({ x: { url: one.url } }, { allowedOrigins: ['https://app.example'] })
    expect(await from('https://app.example')).toBe(200)
  })
})

function freePort(): number {
  using server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response() })
  return server.port!
}
