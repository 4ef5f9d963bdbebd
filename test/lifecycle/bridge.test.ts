/** The commands that speak MCP on stdin and stdout: a pipe to a gateway, and a gateway in one process. */
import { describe, expect, test } from 'bun:test'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { startGateway, stdio } from '../support/gateway.ts'
import { INITIALIZE, request } from '../support/http.ts'
import { LOSSLESS } from '../support/servers/raw.ts'
import { startRemote } from '../support/servers/remote.ts'
import { folder, isGone, start, type Talk, talk } from './program.ts'

const HELLO = `${request(0, 'initialize', INITIALIZE)}\n`
const READY = '{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
const call = (id: unknown, name: string) =>
  `${request(id, 'tools/call', { name, arguments: {} })}\n`

async function greet(program: Talk) {
  program.write(HELLO)
  const introduction = await program.line()
  program.write(READY)
  return introduction
}

describe('bridge', () => {
  test('passes everything on, however its lines are cut, and says nothing else', async () => {
    await using gateway = startGateway({ raw: stdio('raw') })
    await using place = await folder()
    await using bridge = talk(['bridge', gateway.at('raw').href], { in: place })
    expect(await greet(bridge)).toContain('"serverInfo":{"name":"raw"')
    const [one, two] = [call('1', 'lossless'), call(2, 'lossless')]
    bridge.write(one.slice(0, 30))
    bridge.write(one.slice(30) + two)
    const answers = [await bridge.line(), await bridge.line()].sort()
    expect(answers).toEqual([
      `{"jsonrpc":"2.0","id":"1","result":${LOSSLESS}}`,
      `{"jsonrpc":"2.0","id":2,"result":${LOSSLESS}}`,
    ])
    bridge.write('{oops\n')
    expect(JSON.parse(await bridge.line())).toMatchObject({ id: null, error: { code: -32700 } })
    bridge.write(call(3, 'crlf').replace('\n', '\r\n'))
    expect(await bridge.line()).toContain('"id":3')
    expect(await bridge.end()).toBe(0)
    for (const line of bridge.stdout.text.trimEnd().split('\n')) JSON.parse(line)
  })

  test('answers what was asked before its input ended', async () => {
    await using gateway = startGateway({ raw: stdio('raw') })
    await using place = await folder()
    await using bridge = talk(['bridge', gateway.at('raw').href], { in: place })
    bridge.write(HELLO + READY + call(1, 'crlf') + call(2, 'echo'))
    expect(await bridge.end()).toBe(0)
    expect(bridge.stdout.text.trimEnd().split('\n')).toHaveLength(3)
  })

  test('sends the token and the headers, and repeats them nowhere', async () => {
    await using server = startRemote()
    await using place = await folder()
    const env = { MCP_GATEWAY_TOKEN: 'top-secret-token', MCP_GATEWAY_URL: server.origin }
    const argv = ['bridge', '--header', 'X-Team: blue', '--log-level', 'debug']
    await using bridge = talk(argv, { in: place, env })
    await greet(bridge)
    await server.next('notifications/initialized')
    const [{ headers, path }] = [server.seen[0]!]
    expect(path).toBe('/mcp')
    expect(headers.get('authorization')).toBe('Bearer top-secret-token')
    expect(headers.get('x-team')).toBe('blue')
    expect(await bridge.end()).toBe(0)
    expect(bridge.stdout.text + bridge.stderr.text).not.toContain('top-secret')
  })

  test('outlives the gateway: calls wait for it, and the client notices nothing', async () => {
    await using place = await folder({ 'config.json': { mcpServers: { raw: stdio('raw') } } })
    await using first = await start(['--port', '0'], { in: place })
    const { port } = first.url
    await using bridge = talk(['bridge', `localhost:${port}`], { in: place })
    await greet(bridge)
    bridge.write(call(1, 'crlf'))
    expect(await bridge.line()).toContain('"id":1')
    first.signal('SIGKILL')
    await first.exited
    bridge.write(call(2, 'crlf'))
    await using _ = await start(['--port', port], { in: place })
    expect(await bridge.line()).toBe(
      '{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"crlf"}]}}',
    )
    expect(await bridge.end()).toBe(0)
  })

  test('comes back by itself, since the server may have something to say', async () => {
    const everything = { everything: stdio('everything') }
    await using place = await folder({ 'config.json': { mcpServers: everything } })
    await using first = await start(['--port', '0'], { in: place })
    const { port } = first.url
    await using bridge = talk(['bridge', `http://localhost:${port}/mcp`], { in: place })
    await greet(bridge)
    first.signal('SIGTERM')
    await first.exited
    await using second = await start(['--port', port], { in: place })
    await second.stderr.until(/session_opened/)
    expect(await bridge.end()).toBe(0)
  })

  test('is what the program is under its other name', async () => {
    await using gateway = startGateway({ raw: stdio('raw') })
    await using place = await folder()
    const executable = join(place.path, 'mcp-gateway-bridge')
    await symlink(process.execPath, executable)
    const main = new URL('../../src/main.ts', import.meta.url).pathname
    await using bridge = talk([main, gateway.at('raw').href], { in: place, executable })
    expect(await greet(bridge)).toContain('"serverInfo":{"name":"raw"')
  })
})

describe('stdio', () => {
  test('serves all servers merged, and ends them with its input', async () => {
    const mcpServers = { one: stdio('everything'), two: stdio('raw') }
    await using place = await folder({ 'config.json': { mcpServers } })
    await using program = talk(['stdio'], { in: place })
    expect(await greet(program)).toContain('"name":"mcp-gateway"')
    program.write(call(1, 'one_pid') + call(2, 'two_lossless'))
    const answers = [await program.line(), await program.line()].sort()
    expect(answers[1]).toBe(`{"jsonrpc":"2.0","id":2,"result":${LOSSLESS}}`)
    const pid = Number(JSON.parse(answers[0]!).result.content[0].text)
    expect(await program.end()).toBe(0)
    await isGone(pid)
  })

  test('serves one of them, or a group', async () => {
    const mcpServers = { one: stdio('everything'), two: stdio('raw') }
    await using place = await folder({ 'config.json': { mcpServers } })
    await using program = talk(['stdio', '--endpoint', 'two'], { in: place })
    expect(await greet(program)).toContain('"name":"raw"')
    await using other = talk(['stdio', '--endpoint', 'three'], { in: place })
    expect(await other.end()).toBe(1)
    expect(other.stderr.text).toContain('there is no server or group "three"; known are one, two')
  })
})

test('more than 256 calls to remote servers can be open at once', async () => {
  const all = Promise.withResolvers<void>()
  let open = 0
  await using server = startRemote({
    'tools/call': async ({ id }) => {
      if (++open === 300) all.resolve()
      await all.promise
      return new Response(`{"jsonrpc":"2.0","id":${id},"result":{}}`, {
        headers: { 'content-type': 'application/json' },
      })
    },
  })
  await using place = await folder({ 'config.json': { mcpServers: { far: { url: server.url } } } })
  await using program = talk(['stdio'], { in: place })
  await greet(program)
  for (let id = 1; id <= 300; id++) program.write(call(id, 'wait'))
  for (let i = 0; i < 300; i++) await program.line()
  expect(await program.end()).toBe(0)
})
