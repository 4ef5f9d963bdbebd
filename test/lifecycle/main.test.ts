/** The command line, from outside: what it prints, where it listens, and how it ends. */
import { describe, expect, test } from 'bun:test'
import { createServer } from 'node:net'
import { version } from '../../package.json'
import { stdio } from '../support/gateway.ts'
import { ACCEPT, call, eventsOf, INITIALIZE, post, RawSession, request } from '../support/http.ts'
import { folder, isAlive, isGone, type Program, run, start } from './program.ts'

const CAT = { command: 'cat' }
const one = (server: unknown = CAT, gateway: unknown = { port: 0 }) => ({
  'config.json': { gateway, mcpServers: { one: server } },
})

describe('asked for nothing but words', () => {
  test('it tells its version', async () => {
    await using place = await folder()
    for (const argv of [['--version'], ['-version']]) {
      expect(await run(argv, { in: place })).toEqual({
        code: 0,
        stdout: `${version}\n`,
        stderr: '',
      })
    }
  })

  test('its help fits a terminal and names every option', async () => {
    await using place = await folder()
    const { code, stdout, stderr } = await run(['--help'], { in: place })
    expect([code, stderr]).toEqual([0, ''])
    const options = [...stdout.matchAll(/^ {2}(--[\w-]+)/gm)].map(([, option]) => option)
    expect(options).toEqual([
      '--config',
      '--http-headers',
      '--http-timeout',
      '--insecure',
      '--expand-env',
      '--host',
      '--port',
      '--log-level',
      '--eject-templates',
      '--eject-templates-to',
      '--force',
      '--check',
      '--version',
      '--help',
    ])
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
    for (const argv of [['-help'], ['-h']]) {
      expect((await run(argv, { in: place })).stdout).toBe(stdout)
    }
  })
})

describe('wrong usage ends with code 2 and says where to look', () => {
  const LEVELS = 'debug, info, warn, error, silent'
  test.each([
    [['--wat'], 'unknown option --wat'],
    [['--prot', '1'], 'unknown option --prot; did you mean --port?'],
    [['-prot=1'], 'unknown option --prot; did you mean --port?'],
    [['-p', '1'], 'unknown option -p'],
    [['--no-check'], 'unknown option --no-check'],
    [['start'], 'unexpected argument "start"'],
    [['brigde'], 'unknown command brigde; did you mean bridge?'],
    [['bridge', 'a', 'b'], 'unexpected argument "b"'],
    [['bridge', 'http://[', '--token', 'x'], '"http://[" is no URL'],
    [['bridge', '--header', 'secret'], '--header: expected "NAME: VALUE"'],
    [['bridge', '--tokn', 'x'], 'unknown option --tokn; did you mean --token?'],
    [['stdio', '--endpont', 'x'], 'unknown option --endpont; did you mean --endpoint?'],
    [['./my.json'], 'unexpected argument "./my.json"; did you mean --config ./my.json?'],
    [['--config'], '--config: a value is missing'],
    [['--config='], '--config: a value is missing'],
    [['-config', '-check'], '--config: a value is missing before --check'],
    [['--check=no'], '--check: takes no value'],
    [['--port', 'http'], '--port: expected a number from 0 to 65535, got "http"'],
    [['--port', '65536'], '--port: expected a number from 0 to 65535, got "65536"'],
    [['--port', '-1'], '--port: expected a number from 0 to 65535, got "-1"'],
    [['--host', ''], '--host: a value is missing'],
    [
      ['--host', 'localhost:80'],
      '--host: must be a host name or an IP address, without scheme, port or brackets, got "localhost:80"',
    ],
    [['--log-level', 'loud'], `--log-level: expected ${LEVELS}, got "loud"`],
    [['--log-level', 'loud', '--check'], `--log-level: expected ${LEVELS}, got "loud"`],
  ])('%j', async (argv, message) => {
    await using place = await folder(one())
    expect(await run(argv, { in: place })).toEqual({
      code: 2,
      stdout: '',
      stderr: `mcp-gateway: ${message}\nTry: mcp-gateway --help\n`,
    })
  })
})

describe('--check', () => {
  test('tells what would run, and what of it could not, but not what with', async () => {
    const command = 'no-such-program-anywhere'
    const mcpServers = {
      one: { command: 'cat', args: ['--token', 'hunter2'], env: { TOKEN: 'hunter2' } },
      two: { command },
    }
    await using place = await folder({ 'my.json': { mcpServers } })
    for (const config of [
      ['--config', 'my.json'],
      ['--config=my.json'],
      ['-config', 'my.json'],
      ['-config=my.json'],
    ]) {
      expect(await run([...config, '-check'], { in: place })).toEqual({
        code: 0,
        stdout: `my.json: good
would listen on 127.0.0.1, port 4298, for
  one: cat, 2 arguments
  two: ${command}, 0 arguments: command not found: ${command}
`,
        stderr: '',
      })
    }
  })

  test('honours --host and --port, which win over the file', async () => {
    await using place = await folder(one(CAT, { host: 'localhost', port: 4000 }))
    const at = async (...argv: string[]) =>
      (await run(['--check', ...argv], { in: place })).stdout.split('\n')[1]
    expect(await at()).toBe('would listen on localhost, port 4000, for')
    expect(await at('--host=::1')).toBe('would listen on ::1, port 4000, for')
    expect(await at('--port', '0')).toBe('would listen on localhost, a free port, for')
  })

  test('tells every fault, and nothing else', async () => {
    await using place = await folder({
      'my.json': '{"mcpServers": {\n"one": {"args": []},\n"two": {"comand": "cat"}}}',
    })
    expect(await run(['--config', 'my.json', '--check'], { in: place })).toEqual({
      code: 1,
      stdout: '',
      stderr: `mcp-gateway: my.json:2: mcpServers.one: expected "command", the program to start, or "url", where a remote server is
mcp-gateway: my.json:3: mcpServers.two.comand: unknown key; did you mean "command"?
`,
    })
  })

  test('without a configuration anywhere it shows the embedded one', async () => {
    await using place = await folder()
    expect(await run(['--check'], { in: place })).toEqual({
      code: 0,
      stdout: expect.stringMatching(
        /^embedded defaults: good\nwould listen on 127\.0\.0\.1, port 4298, for\n {2}everything: npx, 2 arguments(: command not found: npx)?\n$/,
      ),
      stderr: '',
    })
  })

  test('says so when there is no server', async () => {
    await using place = await folder({ 'config.json': { mcpServers: {} } })
    expect((await run(['--check'], { in: place })).stdout).toEndWith(
      'for\n  no servers: write {"mcpServers": {"NAME": {"command": "PROGRAM"}}}\n',
    )
  })
})

describe('what fails at start ends with code 1 and says what to do', () => {
  test('a configuration that is not there', async () => {
    await using place = await folder()
    expect(await run(['--config', 'my.json'], { in: place })).toEqual({
      code: 1,
      stdout: '',
      stderr: 'mcp-gateway: my.json: no such file; name a configuration by its path or URL\n',
    })
    const env = { MCP_GATEWAY_CONFIG: 'my.json' }
    expect((await run([], { in: place, env })).stderr).toBe(
      `mcp-gateway: my.json: no such file; name a configuration by its path or URL
mcp-gateway: ($MCP_GATEWAY_CONFIG names it)
`,
    )
  })

  test('a configuration with faults', async () => {
    await using place = await folder({ 'config.json': '{"mcpServers": {},\n"port": 1}' })
    expect(await run([], { in: place })).toEqual({
      code: 1,
      stdout: '',
      stderr: `mcp-gateway: ./config.json:2: port: unknown key; it belongs in "gateway"
mcp-gateway: (it was found because none was named; --config names another)
`,
    })
  })

  test('a port that somebody has', async () => {
    await using place = await folder(one())
    using holder = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
    expect(await run(['--port', String(holder.port)], { in: place })).toEqual({
      code: 1,
      stdout: '',
      stderr: `mcp-gateway: cannot listen on 127.0.0.1:${holder.port}: the port is in use; end what listens there, or take another one by --port or gateway.port\n`,
    })
  })

  test('an address that is not ours', async () => {
    await using place = await folder(one(CAT, { port: 0, allowUnauthenticated: true }))
    const { code, stdout, stderr } = await run(['--host', '192.0.2.1'], { in: place })
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toStartWith('mcp-gateway: cannot listen on 192.0.2.1:0: ')
    expect(stderr).toEndWith(
      '; is 192.0.2.1 an address of this machine? --host or gateway.host takes another one\n',
    )
  })
})

describe('at start', () => {
  test('it prints for each endpoint its URL and the line that adds it to Claude', async () => {
    await using place = await folder({
      'my.json': {
        gateway: { port: 0 },
        mcpServers: { raw: stdio('raw'), 'b.c': CAT },
        groups: { dev: ['raw'] },
      },
    })
    await using program = await start(['--config', 'my.json'], { in: place })
    const { url } = program
    expect(url.href).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/)
    expect(program.stdout.text).toBe(`mcp-gateway ${version} on ${url} (my.json)
  ${url}mcp
    claude mcp add --transport http gateway ${url}mcp
  ${url}dev/mcp
    claude mcp add --transport http dev ${url}dev/mcp
  ${url}raw/mcp
    claude mcp add --transport http raw ${url}raw/mcp
  ${url}b.c/mcp
    claude mcp add --transport http b-c ${url}b.c/mcp
`)
    const session = await RawSession.open(new URL('raw/mcp', url))
    expect(session.introduction).toContain('"serverInfo":{"name":"raw"')
  })

  test('it says aloud which certificates are not checked', async () => {
    const far = { url: 'https://example.test/mcp?key=secret', insecure: true }
    await using place = await folder({
      'config.json': { gateway: { port: 0 }, mcpServers: { far } },
    })
    const warning = 'INSECURE: server "far" may show any certificate: its "insecure" is true.\n'
    const { stdout } = await run(['--check'], { in: place })
    expect(stdout).toContain('  far: https://example.test/mcp\n')
    expect(stdout).toContain(warning)
    await using program = await start([], { in: place })
    expect(program.stdout.text).toContain(warning)
    expect(program.stdout.text).not.toContain('secret')
  })

  test('it says so when there is no server', async () => {
    await using place = await folder({ 'config.json': { gateway: { port: 0 }, mcpServers: {} } })
    await using program = await start([], { in: place })
    expect(program.stdout.text).toBe(`mcp-gateway ${version} on ${program.url} (./config.json)
  no servers: write {"mcpServers": {"NAME": {"command": "PROGRAM"}}}
`)
  })

  /** Whether nobody listens at the address, found by listening there. On Linux all of 127.0.0.0/8 is ours. */
  const isFree = (host: string, port: number) =>
    new Promise<boolean>((resolve) => {
      const server = createServer()
      server.once('error', () => resolve(false))
      server.listen({ host, port }, () => server.close(() => resolve(true)))
    })

  test.skipIf(process.platform !== 'linux')(
    'without authentication it listens on this machine alone, whatever the file or an option says',
    async () => {
      await using place = await folder(one(CAT, { host: '0.0.0.0', port: 0 }))
      for (const argv of [[], ['--host', '0.0.0.0']]) {
        await using program = await start(argv, { in: place })
        const { url } = program
        expect(program.stdout.text).toBe(`mcp-gateway ${version} on ${url} (./config.json)
not listening on 0.0.0.0: no authentication is configured, so only this machine may come.
To let everyone in who can reach it, write "allowUnauthenticated": true under "gateway".
  ${url}one/mcp
    claude mcp add --transport http one ${url}one/mcp
`)
        expect(url.hostname).toBe('127.0.0.1')
        expect(await isFree('127.0.0.1', Number(url.port))).toBe(false)
        expect(await isFree('127.0.0.2', Number(url.port))).toBe(true)
      }
    },
  )

  test.skipIf(process.platform !== 'linux')(
    'allowUnauthenticated is the way round, and is told aloud',
    async () => {
      await using place = await folder(
        one(CAT, { host: '0.0.0.0', port: 0, allowUnauthenticated: true }),
      )
      await using program = await start([], { in: place })
      const { url } = program
      expect(program.stdout.text).toBe(`mcp-gateway ${version} on ${url} (./config.json)
anybody who reaches 0.0.0.0 can use every server: "allowUnauthenticated" is true.
  http://localhost:${url.port}/one/mcp
    claude mcp add --transport http one http://localhost:${url.port}/one/mcp
`)
      expect(await isFree('127.0.0.2', Number(url.port))).toBe(false)
    },
  )
})

/** The messages of a stream; an event without data only names the place to come back to. */
async function* messagesOf(response: Response): AsyncGenerator<string> {
  for await (const { data } of eventsOf(response)) if (data !== '') yield data
}

async function pidOf(session: RawSession): Promise<number> {
  const { result } = JSON.parse(await session.call(1, 'pid'))
  return Number(result.content[0].text)
}

/** A call that waits in the server, and what comes back. */
async function callInFlight(program: Program, args: object) {
  const session = await RawSession.open(new URL('one/mcp', program.url))
  const pid = await pidOf(session)
  const response = await session.post(call(2, 'wait', args, { progressToken: 'p' }))
  const messages = messagesOf(response)
  // The server is at work.
  expect((await messages.next()).value).toContain('notifications/progress')
  return { pid, messages }
}

describe('a signal', () => {
  // Every test here has less time than calls in flight get, so that waiting for them in vain fails.
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s ends an idle gateway with its children, open streams or not',
    async (signal) => {
      await using place = await folder(one(stdio('everything')))
      await using program = await start([], { in: place })
      const session = await RawSession.open(new URL('one/mcp', program.url))
      const pid = await pidOf(session)
      const stream = await session.listen()
      expect(isAlive(pid)).toBe(true)

      program.signal(signal)
      expect(await program.exited).toBe(0)
      expect(isAlive(pid)).toBe(false)
      expect(await Array.fromAsync(messagesOf(stream))).toEqual([])
    },
  )

  test('a call in flight is answered while nobody new is let in', async () => {
    await using place = await folder(one(stdio('everything')))
    await using program = await start([], { in: place })
    const { pid, messages } = await callInFlight(program, { ms: 1500 })
    let isAnswered = false
    const answer = messages.next().then(({ value }) => {
      isAnswered = true
      return value as string
    })

    program.signal('SIGTERM')
    await program.stderr.until(/ stopping drain=10000\n/)
    const refused = await post(
      new URL('one/mcp', program.url),
      request(1, 'initialize', INITIALIZE),
    )
    expect(refused.status).toBe(503)
    expect(await refused.json()).toMatchObject({ error: { data: { code: 'shutting_down' } } })
    const health = await fetch(new URL('health', program.url))
    expect(health.status).toBe(503)
    expect(await health.json()).toMatchObject({ status: 'stopping' })
    expect(isAnswered).toBe(false)
    expect(JSON.parse(await answer)).toEqual({
      jsonrpc: '2.0',
      id: 2,
      result: { content: [{ type: 'text', text: 'waited' }] },
    })
    expect(await program.exited).toBe(0)
    expect(isAlive(pid)).toBe(false)
  })

  test('a question asked before it can be answered after it', async () => {
    await using place = await folder(one(stdio('everything')))
    await using program = await start([], { in: place })
    const session = await RawSession.open(new URL('one/mcp', program.url), {
      capabilities: { sampling: {} },
    })
    const response = await session.post(call(2, 'test_sampling', { prompt: 'hello' }))
    const messages = messagesOf(response)
    const question = JSON.parse((await messages.next()).value as string)
    expect(question.method).toBe('sampling/createMessage')

    program.signal('SIGTERM')
    await program.stderr.until(/ stopping /)
    const content = { type: 'text', text: 'still here' }
    const result = { role: 'assistant', model: 'test', content }
    await session.post(JSON.stringify({ jsonrpc: '2.0', id: question.id, result }))
    expect((await messages.next()).value).toContain('LLM response: still here')
    expect(await program.exited).toBe(0)
  })

  test('an answer that is still being sent is sent to its end', async () => {
    await using place = await folder(one(stdio('raw')))
    await using program = await start([], { in: place })
    const session = await RawSession.open(new URL('one/mcp', program.url))
    const bytes = 30_000_000
    const response = await session.post(call(2, 'big', { bytes }))
    const reader = response.body!.getReader()
    let read = (await reader.read()).value!.length

    program.signal('SIGTERM')
    await program.stderr.until(/ stopping /)
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      read += part.value.length
      // A reader slower than half a second in all.
      await Bun.sleep(5)
    }
    expect(read).toBeGreaterThan(bytes)
    expect(await program.exited).toBe(0)
  })

  test.each(['SIGINT', 'SIGTERM'] as const)(
    'a second one, %s, ends at once, and so do servers that would not',
    async (second) => {
      await using place = await folder(one(stdio('raw')))
      await using program = await start(['--log-level', 'debug'], { in: place })
      const session = await RawSession.open(new URL('one/mcp', program.url))
      await session.call(1, 'ignore_term')
      const call = session.call(2, 'late').catch(() => {})
      const pid = Number(/ upstream_spawned .*pid=(\d+)/.exec(program.stderr.text)![1])

      program.signal('SIGINT')
      await program.stderr.until(/ stopping /)
      program.signal(second)
      expect(await program.exited).toBe(1)
      await call
      await isGone(pid)
    },
  )
})

describe('the log', () => {
  const SECRET = 's3cr3t-value'
  const LINE =
    /^\d{4}-\d\d-\d\dT[\d:.]{12}Z (debug|info |warn |error) [a-z_]+( \w+=([\w./:@-]+|"([^"\\]|\\.)*"))*$/

  test('has one line for each event, whatever a server or a client writes', async () => {
    await using place = await folder(one(stdio('everything', { env: { TOKEN: SECRET } })))
    await using program = await start(['--log-level', 'debug'], { in: place })
    const at = new URL('one/mcp', program.url)
    const forged = '\n2026-01-01T00:00:00.000Z error fault error="forged"\r\u001b[2J\u0007'
    const session = await RawSession.open(at, {
      clientInfo: { name: `client${forged}`, version: '1' },
    })
    await session.call(1, 'stderr', { text: `${forged} ${SECRET} end-of-stderr` })
    await program.stderr.until(/end-of-stderr/)
    await post(at, request(2, 'ping'), { origin: 'http://x" fault error="forged' })
    program.signal('SIGTERM')
    expect(await program.exited).toBe(0)

    const lines = program.stderr.text.split('\n')
    expect(lines.pop()).toBe('')
    expect(lines.filter((line) => !LINE.test(line))).toEqual([])
    expect(program.stderr.text).not.toMatch(/[^\n\P{Cc}]/u)
    const events = lines.map((line) => line.split(/ +/)[2])
    expect(events).toEqual(
      expect.arrayContaining([
        'session_opened',
        'upstream_spawned',
        'upstream_ready',
        'upstream_stderr',
        'request',
        'request_refused',
        'stopping',
      ]),
    )
    expect(events).not.toContain('fault')
    expect(program.stderr.text).toContain('[secret] end-of-stderr')
    expect(program.stderr.text).not.toContain(SECRET)
  })

  test('and every answer keep what a failing server says about its environment', async () => {
    const command = { command: 'sh', args: ['-c', 'echo "no $TOKEN" >&2; exit 3'] }
    await using place = await folder(one({ ...command, env: { TOKEN: SECRET } }))
    await using program = await start(['--log-level', 'debug'], { in: place })
    const answer = await post(new URL('one/mcp', program.url), request(1, 'initialize', INITIALIZE))
    const health = await fetch(new URL('health', program.url))
    program.signal('SIGTERM')
    expect(await program.exited).toBe(0)

    for (const said of [await answer.text(), await health.text(), program.stderr.text]) {
      expect(said).toContain('no [secret]')
      expect(said).not.toContain(SECRET)
    }
  })

  test('keeps what a server writes to stdout about its environment', async () => {
    const command = { command: 'sh', args: ['-c', 'echo "token is $TOKEN"; exec cat'] }
    await using place = await folder(one({ ...command, env: { TOKEN: SECRET } }))
    await using program = await start([], { in: place })
    const stop = new AbortController()
    const answer = fetch(new URL('one/mcp', program.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: ACCEPT },
      body: request(1, 'initialize', INITIALIZE),
      signal: stop.signal,
    }).catch(() => {})
    await program.stderr.until(/ upstream_noise [^\n]*\n/)
    stop.abort()
    await answer
    expect(program.stderr.text).toContain('token is [secret]')
    expect(program.stderr.text).not.toContain(SECRET)
  })

  test('has none of the other characters that end lines or move cursors', async () => {
    await using place = await folder(one(stdio('raw')))
    await using program = await start([], { in: place })
    const name = 'client \u0085 \u009b2J \u2028 \u2029 \u007f'
    await RawSession.open(new URL('one/mcp', program.url), { clientInfo: { name, version: '1' } })
    await program.stderr.until(/ session_opened [^\n]*client [^\n]*\n/)
    expect(program.stderr.text).not.toMatch(/[^\n\P{Cc}]|\u2028|\u2029/u)
  })

  test('has what --log-level asks for, and no more', async () => {
    await using place = await folder(one(stdio('raw')))
    const levels = async (level: string) => {
      await using program = await start(['--log-level', level], { in: place })
      const session = await RawSession.open(new URL('one/mcp', program.url))
      await session.call(1, 'noise')
      program.signal('SIGTERM')
      await program.exited
      return [...new Set(program.stderr.text.match(/(?<=Z )\w+/g))].sort()
    }
    expect(await levels('debug')).toEqual(['debug', 'info', 'warn'])
    expect(await levels('info')).toEqual(['info', 'warn'])
    expect(await levels('warn')).toEqual(['warn'])
    expect(await levels('error')).toEqual([])
    expect(await levels('silent')).toEqual([])
  })
})
