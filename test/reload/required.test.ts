/** Servers without which the gateway is not to run, and those that are written down but not wanted. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { folder, isGone, run, start } from '../lifecycle/program.ts'
import { until } from '../pool/gate.ts'
import { called, toolNames, withTools } from '../support/asking.ts'
import { stdio } from '../support/gateway.ts'
import { INITIALIZE, post, RawSession, request } from '../support/http.ts'
import { status } from '../support/servers/remote.ts'
import { after, health, running } from './told.ts'

// Each waits for events; with others on the same machine they come late.
setDefaultTimeout(60_000)

const MISSING = { command: 'no-such-program-anywhere' }
const NOWHERE = { url: 'http://127.0.0.1:9/mcp' }
const place = (mcpServers: Record<string, unknown>) =>
  folder({ 'config.json': { gateway: { port: 0 }, mcpServers } })
const needed = (server: object) => ({ ...server, required: true })

describe('a server that is required', () => {
  const bad: [string, object, RegExp][] = [
    ['is no program', MISSING, /command not found: no-such-program-anywhere/],
    ['is not there', NOWHERE, /x/],
    ['ends at once', { command: 'false' }, /x/],
    ['says what is no MCP', { command: 'echo', args: ['hello'] }, /x/],
  ]
  test.each(bad)('and %s ends the program with its reason', async (_, server, why) => {
    await using there = await place({ good: stdio('raw'), x: needed(server) })
    const { code, stderr } = await run([], { in: there })
    expect(code).toBe(1)
    expect(stderr).toMatch(why)
    expect(stderr).toContain('"x"')
    expect(stderr).toContain('required')
  })

  test('does so, too, when it answers that it does not want us', async () => {
    await using remote = withTools(['t'], { initialize: () => status(401) })
    await using there = await place({ x: needed({ url: remote.url }) })
    const { code, stderr } = await run([], { in: there })
    expect(code).toBe(1)
    expect(stderr).toContain('"x"')
  })

  test('and all others that are missing are told of together', async () => {
    await using there = await place({ x: needed(MISSING), y: needed(NOWHERE), z: MISSING })
    const { code, stderr } = await run(['--log-level', 'silent'], { in: there })
    expect(code).toBe(1)
    expect(stderr).toContain('"x"')
    expect(stderr).toContain('"y"')
    expect(stderr).not.toContain('"z"')
  })

  test('and is there lets it run on, and others do not matter', async () => {
    await using remote = withTools(['t'])
    await using there = await place({
      a: needed(stdio('raw', { isolation: 'user' })),
      b: needed({ url: remote.url }),
      c: MISSING,
    })
    await using program = await start([], { in: there })
    expect(await called(await RawSession.open(new URL('a/mcp', program.url)), 'echo')).toBeString()
    await remote.next('initialize')
    expect((await health(program)).upstreams.c!.state).toBe('failing')
    // Nobody has ended it, so it can still be.
    program.signal('SIGTERM')
    expect(await program.exited).toBe(0)
  })

  test('leaves no process behind when another one is missing', async () => {
    await using there = await place({
      a: stdio('raw', { isolation: 'user' }),
      x: needed({ command: 'sh', args: ['-c', 'sleep 0.3; exit 3'] }),
    })
    await using program = await start(['--log-level', 'debug'], { in: there })
    const [, pid] = await program.stderr.until(/upstream_spawned server=a pid=(\d+)/)
    expect(await program.exited).toBe(1)
    await isGone(Number(pid))
    expect(program.stderr.text).toContain('"x"')
  })

  test('may fail to come with a change: what runs is not ended for it', async () => {
    await using there = await place({ a: stdio('raw') })
    await using program = await start([], { in: there })
    const mcpServers = { a: stdio('raw'), x: needed(MISSING) }
    const next = JSON.stringify({ gateway: { port: 0 }, mcpServers })
    await after(program, 'config_applied', () => Bun.write(`${there.path}/config.json`, next))
    expect(await running(program)).toEqual(['a', 'x'])
    const session = await RawSession.open(new URL('a/mcp', program.url))
    expect(await toolNames(session)).toContain('echo')
  })
})

describe('a server that is disabled', () => {
  test('is nowhere, though it is required', async () => {
    await using remote = withTools(['t'])
    const off = { ...MISSING, required: true, disabled: true }
    await using there = await folder({
      'config.json': {
        gateway: { port: 0 },
        mcpServers: { on: { url: remote.url }, also: { url: remote.url }, off },
        groups: { both: ['on', 'off'], none: ['off'] },
      },
    })
    await using program = await start([], { in: there })
    const { stdout } = program
    const opening = (name: string) =>
      post(new URL(`${name}/mcp`, program.url), request(1, 'initialize', INITIALIZE))
    const unknown = async (name: string) => {
      const response = await opening(name)
      return [response.status, (await response.text()).replaceAll(name, 'NAME')]
    }
    expect(await running(program)).toEqual(['also', 'on'])
    expect(stdout.text).not.toContain('/off/')
    expect(stdout.text).not.toContain('/none/')
    expect(await unknown('off')).toEqual(await unknown('never'))
    expect(await unknown('none')).toEqual(await unknown('never'))
    expect((await opening('both')).status).toBe(200)
    const merged = await RawSession.open(new URL('mcp', program.url))
    expect(await toolNames(merged)).toEqual(['on_t', 'also_t'])
    expect(await (await fetch(new URL('tools', program.url))).text()).not.toContain('off')
  })

  test('ends when it becomes so, and comes back when it is not', async () => {
    const one = (disabled: boolean) => ({
      gateway: { port: 0 },
      mcpServers: { one: stdio('raw', { isolation: 'user', disabled }) },
    })
    await using there = await folder({ 'config.json': one(false) })
    await using program = await start([], { in: there })
    const write = (disabled: boolean) =>
      Bun.write(`${there.path}/config.json`, JSON.stringify(one(disabled)))
    const session = await RawSession.open(new URL('one/mcp', program.url))
    const pid = Number(await called(session, 'pid'))
    await after(program, 'config_applied', () => write(true))
    await isGone(pid)
    expect((await session.post(request(1, 'tools/list'))).status).toBe(404)
    await after(program, 'config_applied', () => write(false))
    await until('it is there', async () => (await running(program)).length === 1)
    const again = await RawSession.open(new URL('one/mcp', program.url))
    expect(await toolNames(again)).toContain('echo')
  })
})
