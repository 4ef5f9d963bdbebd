/** Who a request comes from is what holds when it is whole: a client may take its time with a body. */
import { expect, test } from 'bun:test'
import { connect } from 'node:net'
import { until } from '../pool/gate.ts'
import { withTools } from '../support/asking.ts'
import { startGateway } from '../support/gateway.ts'
import { ACCEPT, INITIALIZE, request } from '../support/http.ts'

const TOKEN = 'a token that is taken away'
const INITIALIZING = request(1, 'initialize', INITIALIZE)

/** A request whose body stops after its first byte, and the rest of it. */
async function slowly(url: URL, path: string, body: string) {
  const socket = connect(Number(url.port), '127.0.0.1')
  const { promise, resolve } = Promise.withResolvers<string>()
  socket.on('data', (data) => resolve(String(data)))
  const headers = [
    `POST ${path} HTTP/1.1`,
    `Host: ${url.host}`,
    `Authorization: Bearer ${TOKEN}`,
    `Accept: ${ACCEPT}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
  ]
  await new Promise<void>((written) => {
    socket.write(`${headers.join('\r\n')}\r\n\r\n${body.slice(0, 1)}`, () => written())
  })
  // An answer to something later on the same machine: the beginning has come.
  await fetch(new URL('health', url))
  return async () => {
    socket.write(body.slice(1))
    const answer = await promise
    socket.destroy()
    return Number(/^HTTP\/1.1 (\d+)/.exec(answer)![1])
  }
}

test.each([
  ['/x/mcp', INITIALIZING, 200],
  ['/tools/call', JSON.stringify({ name: 'x_a', arguments: {} }), 200],
])('a token that is taken away meanwhile is good for nothing at %s', async (path, body, status) => {
  await using server = withTools(['a'])
  const servers = { x: { url: server.url }, y: { url: server.url } }
  const tokens = [TOKEN, 'another token']
  await using gateway = startGateway(servers, {}, {}, { tokens })
  const untouched = await slowly(gateway.url, path, body)
  expect(await untouched()).toBe(status)

  const revoked = await slowly(gateway.url, path, body)
  gateway.apply(servers, {}, {}, { tokens: ['another token'] })
  expect(await revoked()).toBe(401)
  await until('nobody is served there', () => gateway.gateway.status.x!.active === 0)
})

test('a token that is good for less meanwhile sees less', async () => {
  await using server = withTools(['a'])
  const servers = { x: { url: server.url }, y: { url: server.url } }
  await using gateway = startGateway(servers, {}, {}, { tokens: [TOKEN] })
  const rest = await slowly(gateway.url, '/x/mcp', INITIALIZING)
  gateway.apply(servers, {}, {}, { tokens: [{ token: TOKEN, servers: ['y'] }] })
  expect(await rest()).toBe(404)
})
