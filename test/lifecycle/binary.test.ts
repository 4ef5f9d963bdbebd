/** The executable as people get it: alone in a folder that it must not trust. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { version } from '../../package.json'
import { stdio } from '../support/gateway.ts'
import { RawSession } from '../support/http.ts'
import { LOSSLESS } from '../support/servers/raw.ts'
import { type Folder, folder, ROOT, run, start } from './program.ts'

let place: Folder
let executable: string

beforeAll(async () => {
  place = await folder()
  executable = join(place.path, 'mcp-gateway')
  const build = Bun.spawn([process.execPath, 'run', 'build', '--outfile', executable], {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const said = await build.stderr.text()
  if ((await build.exited) !== 0) throw new Error(said)
}, 60_000)

afterAll(() => place[Symbol.asyncDispose]())

const CONFIG = { gateway: { port: 0 }, mcpServers: { raw: stdio('raw') } }

test('it needs nothing beside it', async () => {
  await using empty = await folder()
  expect(await run(['--version'], { in: empty, executable })).toEqual({
    code: 0,
    stdout: `${version}\n`,
    stderr: '',
  })
  expect((await run(['--check'], { in: empty, executable })).stdout).toStartWith(
    'embedded defaults: good\n',
  )
})

test('it relays a call, byte for byte, and ends when it is told to', async () => {
  await using alone = await folder({ 'config.json': CONFIG })
  await using program = await start([], { in: alone, executable })
  const session = await RawSession.open(new URL('raw/mcp', program.url))
  expect(await session.call(1, 'lossless')).toBe(`{"jsonrpc":"2.0","id":1,"result":${LOSSLESS}}`)
  program.signal('SIGTERM')
  expect(await program.exited).toBe(0)
})

test('it runs nothing that lies in the folder it is started in', async () => {
  await using hostile = await folder({
    'config.json': CONFIG,
    'other.json': { ...CONFIG, mcpServers: {} },
    '.env': 'MCP_GATEWAY_CONFIG=other.json\n',
    'bunfig.toml': 'preload = ["./preload.ts"]\n',
    'preload.ts': 'await Bun.write("preloaded", "")\n',
  })
  await using program = await start([], { in: hostile, executable })
  expect(program.stdout.text).toContain('(./config.json)')
  expect(await Bun.file(join(hostile.path, 'preloaded')).exists()).toBe(false)
})

test('what goes wrong inside is told to the operator and nobody else', async () => {
  await using alone = await folder({
    'config.json': CONFIG,
    // Reading the named header throws: in the guard, before anything is routed, or in a route.
    'fault.js': `const { get } = Headers.prototype
Headers.prototype.get = function (name) {
  if (get.call(this, 'x-fault') === name) throw new Error('a word about the inside')
  return get.call(this, name)
}`,
  })
  const env = { BUN_OPTIONS: `--preload ${join(alone.path, 'fault.js')}` }
  await using program = await start([], { in: alone, executable, env })
  for (const header of ['host', 'mcp-protocol-version']) {
    const response = await fetch(new URL('raw/mcp', program.url), {
      headers: { 'x-fault': header },
    })
    expect([response.status, await response.text()]).toEqual([
      500,
      '{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"Internal error","data":{"code":"internal"}}}',
    ])
  }
  program.signal('SIGTERM')
  await program.exited
  expect(
    program.stderr.text.match(/error fault error="Error: a word about the inside/g),
  ).toHaveLength(2)
})
