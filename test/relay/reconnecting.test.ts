/** A server that forgets its session: what the client has set up there is set up again, and nothing is lost over it. */
import { describe, expect, test } from 'bun:test'
import {
  answering,
  ask,
  askRaw,
  called,
  forgetting,
  introducing,
  refusing,
  toolNames,
  withTools,
} from '../support/asking.ts'
import { startGateway } from '../support/gateway.ts'
import { RawSession } from '../support/http.ts'
import type { RemoteServer, Seen } from '../support/servers/remote.ts'

const ALL = { tools: {}, logging: {}, resources: { subscribe: true } }
const able = (on = {}) => withTools(['a'], { initialize: introducing(ALL), ...on })

const count = ({ seen }: RemoteServer, kind: string) =>
  seen.filter((request) => request.kind === kind).length

/** The next request of a kind waits for its answer until it is let go. */
function holding({ on }: RemoteServer, method: string) {
  const asked = Promise.withResolvers<Seen>()
  const let_go = Promise.withResolvers<void>()
  const usual = on[method]
  on[method] = async (request) => {
    if (usual) on[method] = usual
    else delete on[method]
    asked.resolve(request)
    await let_go.promise
    return (usual ?? answering({}))(request)
  }
  return { asked: asked.promise, letGo: let_go.resolve }
}

describe('a server that has forgotten the session', () => {
  test('and forgets the next one while what stands is restored: a later call reaches it', async () => {
    await using one = able()
    await using gateway = startGateway({ one: { url: one.url } })
    const session = await RawSession.open(gateway.at('one'))
    await ask(session, 'logging/setLevel', { level: 'error' })
    forgetting(one.on, 'tools/call', 'logging/setLevel')
    await called(session, 'a')
    expect(await called(session, 'a')).toBe('a')
  })

  test('is asked again for a list, alone and merged', async () => {
    await using one = able()
    await using two = able()
    const tools = { block: ['z'] }
    await using gateway = startGateway({ one: { url: one.url, tools }, two: { url: two.url } })
    const alone = await RawSession.open(gateway.at('one'))
    forgetting(one.on, 'tools/list')
    expect(await toolNames(alone)).toEqual(['a'])
    const merged = await RawSession.open(new URL('mcp', gateway.url))
    forgetting(two.on, 'tools/list')
    expect(await toolNames(merged)).toEqual(['one_a', 'two_a'])
  })

  test('and refuses to be introduced again: the call says so, with the name of the server', async () => {
    await using one = able()
    await using gateway = startGateway({ one: { url: one.url } })
    const session = await RawSession.open(gateway.at('one'))
    forgetting(one.on, 'tools/call')
    one.on.initialize = refusing(-32000, 'not now')
    const error = await called(session, 'a')
    expect(error.message).toContain('server "one" refused initialize')
    expect(error.data).toMatchObject({ code: 'upstream_unreachable', server: 'one' })
    // Who comes anew is told what the server says.
    const refused = await RawSession.open(gateway.at('one')).catch(String)
    expect(refused).toContain('"error":{"code":-32000,"message":"not now"}')
  })
})

describe('what stands is restored', () => {
  test('without a log level for a server that has no log', async () => {
    await using one = withTools(['a'])
    await using two = able()
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    await RawSession.open(new URL('mcp', gateway.url))
    // What the servers can do is known by now, and nothing is opened for the second client yet.
    const session = await RawSession.open(new URL('mcp', gateway.url))
    await ask(session, 'logging/setLevel', { level: 'error' })
    expect(await called(session, 'one_a')).toBe('a')
    expect(await called(session, 'two_a')).toBe('a')
    expect(count(one, 'logging/setLevel')).toBe(0)
    expect(count(two, 'logging/setLevel')).toBe(1)
  })

  test('with what the client sets while it is', async () => {
    await using one = able()
    await using two = withTools(['b'])
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    await toolNames(session)
    await ask(session, 'resources/subscribe', { uri: 'x://1' })
    const { asked, letGo } = holding(one, 'resources/subscribe')
    forgetting(one.on, 'tools/call')
    const call = called(session, 'one_a')
    await asked
    await ask(session, 'logging/setLevel', { level: 'error' })
    letGo()
    expect(await call).toBe('a')
    expect(count(one, 'logging/setLevel')).toBe(1)
  })

  test('and news of roots that come meanwhile reach the server', async () => {
    await using one = able()
    await using two = withTools(['b'])
    await using gateway = startGateway({ one: { url: one.url }, two: { url: two.url } })
    const session = await RawSession.open(new URL('mcp', gateway.url))
    await toolNames(session)
    await ask(session, 'resources/subscribe', { uri: 'x://1' })
    const { asked, letGo } = holding(one, 'resources/subscribe')
    forgetting(one.on, 'tools/call')
    const call = called(session, 'one_a')
    await asked
    await session.post('{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}')
    letGo()
    expect(await call).toBe('a')
    await one.next('notifications/roots/list_changed')
  })

  test('but for what was taken back in another spelling', async () => {
    await using one = able()
    await using gateway = startGateway({ one: { url: one.url } })
    const session = await RawSession.open(gateway.at('one'))
    await askRaw(session, 'resources/subscribe', String.raw`{"uri":"x:\/\/1"}`)
    await askRaw(session, 'resources/unsubscribe', '{"uri":"x://1"}')
    forgetting(one.on, 'tools/call')
    expect(await called(session, 'a')).toBe('a')
    expect(count(one, 'resources/subscribe')).toBe(1)
  })
})

test('a subscription that names two resources is refused before anybody acts on it', async () => {
  await using one = able()
  await using gateway = startGateway({ one: { url: one.url } })
  const session = await RawSession.open(gateway.at('one'))
  const { error } = await askRaw(session, 'resources/subscribe', '{"uri":"x://1","uri":"x://2"}')
  expect(error).toMatchObject({ code: -32602, message: 'the member "uri" is there twice' })
  expect(count(one, 'resources/subscribe')).toBe(0)
})
