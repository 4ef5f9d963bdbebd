/** What a review of the pools found, so that it stays away. */
import { expect, test } from 'bun:test'
import { startGateway, stdio } from '../support/gateway.ts'
import { RawSession } from '../support/http.ts'

const pooled = (options: object = {}) =>
  startGateway({ raw: stdio('raw', { isolation: 'user', ...options }) })

const pool = { maxConnections: 1, acquireTimeout: 1_000 }

test('capabilities that are there twice cost no slot, whoever comes after whom', async () => {
  await using gateway = pooled({ pool })
  const texts = '{"roots":{"listChanged":true},"roots":{}}'
  const open = async () => {
    const session = await RawSession.open(gateway.at('raw'))
    return session
  }
  const odd = async () => {
    const body = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":${texts},"clientInfo":{"name":"t","version":"1"}}}`
    const session = await open()
    const response = await session.post(body, { 'mcp-session-id': '' })
    const id = response.headers.get('mcp-session-id')!
    await response.text()
    return (n: number) =>
      session.post(
        `{"jsonrpc":"2.0","id":${n},"method":"tools/call","params":{"name":"crlf","arguments":{}}}`,
        { 'mcp-session-id': id },
      )
  }
  const [one, two] = [await odd(), await odd()]
  for (let i = 1; i <= 4; i++) {
    expect(await (await one(i)).text()).toContain('crlf')
    expect(await (await two(i)).text()).toContain('crlf')
  }
  expect(gateway.gateway.status.raw).toMatchObject({ active: 0, waiting: 0 })
})

test('a session that may have no connection of its own goes on with those of all', async () => {
  await using gateway = startGateway({
    everything: stdio('everything', { isolation: 'user', pool, maxSessionConnections: 1 }),
  })
  const [first, second] = [
    await RawSession.open(gateway.at('everything')),
    await RawSession.open(gateway.at('everything')),
  ]
  const ask = async (session: RawSession, method: string, params: unknown) => {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 7, method, params })
    return (await session.post(body)).text()
  }
  expect(await ask(first, 'logging/setLevel', { level: 'error' })).toContain('"result"')
  // Promoted by what nobody knows the meaning of, for which there is no room.
  await second.post('{"jsonrpc":"2.0","method":"notifications/x/ping"}')
  expect(await second.call(1, 'whoami')).toContain('everything')
  expect(await ask(second, 'logging/setLevel', { level: 'error' })).toContain('upstream_busy')
  expect(await second.call(2, 'whoami')).toContain('everything')
  expect(await ask(second, 'tools/list', {})).toContain('whoami')
})

test('a server that refuses to be initialized and to end takes the room it has until it is gone', async () => {
  const script = `trap '' TERM; read -r _; echo '{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}'; exec sleep 1000 <&-`
  await using gateway = startGateway({
    stubborn: { command: 'sh', args: ['-c', script], pool: { maxConnections: 1 } },
  })
  for (let i = 0; i < 3; i++) await RawSession.open(gateway.at('stubborn')).catch(() => {})
  expect(gateway.gateway.status.stubborn).toMatchObject({ total: 1, processes: 1 })
}, 20_000)
