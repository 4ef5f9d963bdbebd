/** The command line around configurations: where they come from, what is said of them, and what is made of them. */
import { describe, expect, test } from 'bun:test'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { stdio } from '../support/gateway.ts'
import { INITIALIZE, request } from '../support/http.ts'
import { folder, ROOT, run, start, talk } from './program.ts'

const HIDDEN = 'hunter2'
const { command, args } = stdio('raw')
/** As it is written for mcp-proxy. */
const PROXY = {
  mcpProxy: { baseURL: 'http://m.example', addr: '127.0.0.1:0', name: 'p', version: '1' },
  mcpServers: { raw: { command, args } },
}

describe('--check', () => {
  test('tells also what is disabled, whose words it read, and what does not go on as it did', async () => {
    const off = { command: 'cat', disabled: true }
    await using place = await folder({
      'c.json': { mcpServers: { on: { command: 'cat' }, off }, groups: { g: ['on', 'off'] } },
      'proxy.json': PROXY,
    })
    for (const flag of ['--check', '--check-config', '-check-config', '-check-config=true']) {
      const { code, stdout, stderr } = await run(['--config', 'c.json', flag], { in: place })
      expect([code, stderr]).toEqual([0, ''])
      expect(stdout).toBe(`c.json: good
would listen on 127.0.0.1, port 4298, for
  on: cat, 0 arguments
  off: disabled
  g: the group of on
`)
    }
    const { code, stdout } = await run(['--config', 'proxy.json', '--check'], { in: place })
    expect(code).toBe(0)
    expect(stdout).toStartWith('proxy.json: good, as written for mcp-proxy\n')
    expect(stdout).toMatch(/^warning: proxy\.json:\d+: mcpServers: /m)
  })

  test('reads secrets from files beside the configuration, and tells which is not there', async () => {
    const config = (file: string) => ({ auth: { tokens: [{ file }] }, mcpServers: {} })
    await using place = await folder({
      'in/good.json': config('token'),
      'in/bad.json': config('none'),
      'in/token': HIDDEN,
    })
    const good = await run(['--config', 'in/good.json', '--check'], { in: place })
    expect([good.code, good.stdout.includes(HIDDEN)]).toEqual([0, false])
    expect(await run(['--config', 'in/bad.json', '--check'], { in: place })).toEqual({
      code: 1,
      stdout: '',
      stderr:
        'mcp-gateway: in/bad.json:4: auth.tokens[0]: the file cannot be read: there is no such file; it is looked for in the folder of the configuration\n',
    })
  })
})

describe('warnings', () => {
  test('are printed before the banner', async () => {
    await using place = await folder({ 'config.json': PROXY })
    await using program = await start([], { in: place })
    expect(program.stdout.text).toMatch(
      /^(warning: \.\/config\.json:\d+: .*\n)+mcp-gateway .* on http/,
    )
  })

  test('go to stderr where stdout is for MCP', async () => {
    await using place = await folder({ 'config.json': PROXY })
    await using program = talk(['stdio'], { in: place })
    program.write(`${request(1, 'initialize', INITIALIZE)}\n`)
    expect(JSON.parse(await program.line())).toMatchObject({ id: 1, result: {} })
    expect(await program.end()).toBe(0)
    expect(program.stderr.text).toStartWith('warning: ./config.json:')
    expect(program.stdout.text).not.toContain('warning')
  })
})

describe('a configuration at a URL', () => {
  /** What it was asked with, and what it answers. */
  function host(answer: (headers: Headers) => Response) {
    return Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: ({ headers }) => answer(headers) })
  }
  const CONFIG = JSON.stringify({ mcpServers: { a: { command: '${NONE}' } } })

  test('is asked for with the headers that are given, in every spelling', async () => {
    await using server = host((headers) =>
      headers.get('x-key') === HIDDEN && headers.get('authorization') === 'Bearer a:b'
        ? new Response('{"mcpServers": {}}')
        : new Response('no', { status: 401 }),
    )
    await using place = await folder()
    const headers = `X-Key: ${HIDDEN} ; Authorization:Bearer a:b;`
    for (const argv of [
      ['--http-headers', headers],
      [`--http-headers=${headers}`],
      ['-http-headers', headers],
      [`-http-headers=${headers}`],
    ]) {
      const at = `${server.url.origin}/c.json`
      const { code, stdout } = await run(['--config', at, '--check', ...argv], { in: place })
      expect([code, stdout.split('\n')[0]]).toEqual([0, `${at}: good`])
    }
    const { code, stderr } = await run(['--config', `${server.url}`, '--check'], { in: place })
    expect([code, stderr]).toEqual([
      1,
      `mcp-gateway: ${server.url}: cannot be downloaded: status 401\n`,
    ])
  })

  test('keeps its variables if they are not to be replaced', async () => {
    await using server = host(() => new Response(CONFIG))
    await using place = await folder()
    const check = ['--config', `${server.url}`, '--check']
    const { stdout } = await run([...check, '-expand-env=false'], { in: place })
    expect(stdout).toContain('  a: ${NONE}, 0 arguments')
    for (const argv of [[], ['--expand-env'], ['--expand-env=true']]) {
      expect((await run([...check, ...argv], { in: place })).stderr).toContain(
        'the variable NONE is not set',
      )
    }
  })
})

describe('wrong usage is told without what may be a secret', () => {
  test.each([
    [['--http-headers', HIDDEN], '--http-headers: entry 1: expected "NAME: VALUE"'],
    [['--http-headers', `A: b; ${HIDDEN}`], '--http-headers: entry 2: expected "NAME: VALUE"'],
    [['--http-headers', `: ${HIDDEN}`], '--http-headers: entry 1: expected "NAME: VALUE"'],
    [['--http-headers', `A B: ${HIDDEN}`], '--http-headers: entry 1: expected "NAME: VALUE"'],
    [['--http-headers', `A: ${HIDDEN}\nB: c`], '--http-headers: entry 1: expected "NAME: VALUE"'],
    [['--http-timeout', 'soon'], '--http-timeout: expected a number of seconds, got "soon"'],
    [['--http-timeout', '-1'], '--http-timeout: expected a number of seconds, got "-1"'],
    [['--insecure=maybe'], '--insecure: takes no value'],
    [['convert', '--tokn'], 'unknown option --tokn'],
    [['convert', 'a', 'b'], 'unexpected argument "b"'],
    [['covnert', 'a'], 'unknown command covnert; did you mean convert?'],
    [['copy-confg', 'a'], 'unknown command copy-confg; did you mean copy-config?'],
    [['copy-config'], 'copy-config: say where to, or "-" for stdout'],
    [['schema', '--markdwon'], 'unknown option --markdwon; did you mean --markdown?'],
  ])('%j', async (argv, message) => {
    await using place = await folder({ 'config.json': { mcpServers: {} } })
    const { code, stderr } = await run(argv, { in: place })
    expect([code, stderr]).toEqual([2, `mcp-gateway: ${message}\nTry: mcp-gateway --help\n`])
  })
})

describe('schema', () => {
  test('prints a JSON Schema, or the table that is in the README', async () => {
    await using place = await folder()
    const { code, stdout, stderr } = await run(['schema'], { in: place })
    expect([code, stderr]).toEqual([0, ''])
    expect(JSON.parse(stdout)).toMatchObject({
      additionalProperties: false,
      required: ['mcpServers'],
    })
    const table = await run(['schema', '--markdown'], { in: place })
    expect(await Bun.file(join(ROOT, 'README.md')).text()).toContain(table.stdout)
  })

  test('and what makes it is not loaded at a start', async () => {
    const files = await Array.fromAsync(new Bun.Glob('src/**/*.ts').scan(ROOT))
    const importing = async (what: RegExp) => {
      const texts = await Promise.all(files.map((file) => Bun.file(join(ROOT, file)).text()))
      return files.filter((_, i) => what.test(texts[i]!))
    }
    expect(await importing(/^import.*'@valibot\/to-json-schema'/m)).toEqual([
      'src/config/manual.ts',
    ])
    expect(await importing(/^import.*\/manual\.ts'/m)).toEqual(['src/commands/schema.ts'])
    expect(await importing(/^import.*\/schema\.ts'$/m)).not.toContain('src/main.ts')
  })
})

describe('convert', () => {
  test('prints what runs as the original does, and tells aside what does not go on', async () => {
    await using place = await folder({ 'proxy.json': PROXY })
    const { code, stdout, stderr } = await run(['convert', 'proxy.json'], { in: place })
    expect(code).toBe(0)
    expect(stderr).toStartWith('warning: proxy.json:')
    expect(JSON.parse(stdout)).toMatchObject({ mcpServers: { raw: PROXY.mcpServers.raw } })
    await Bun.write(join(place.path, 'ours.json'), stdout)
    const lines = async (name: string) =>
      (await run(['--config', name, '--check'], { in: place })).stdout
        .split('\n')
        .slice(1)
        .filter((line) => !line.startsWith('warning: '))
    expect(await lines('ours.json')).toEqual(await lines('proxy.json'))
  })

  test('keeps secrets where they are', async () => {
    const config = { mcpServers: { a: { command: 'x', env: { A: '${T}', B: { env: 'T' } } } } }
    await using place = await folder({ 'config.json': config })
    const { stdout } = await run(['convert'], { in: place, env: { T: HIDDEN } })
    expect(JSON.parse(stdout)).toEqual(config)
  })

  test('of what cannot be used tells the faults', async () => {
    await using place = await folder({ 'config.json': '{"mcpServers": {},\n"prot": 1}' })
    const { code, stdout, stderr } = await run(['convert', 'config.json'], { in: place })
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toStartWith('mcp-gateway: config.json:2: prot: unknown key')
  })
})

describe('copy-config', () => {
  test('writes an example that is good, with its folders, for its owner alone', async () => {
    await using place = await folder()
    const { code, stdout } = await run(['copy-config', 'a/b/c.json'], { in: place })
    expect([code, stdout]).toEqual([
      0,
      'a/b/c.json is written; next: mcp-gateway --config a/b/c.json --check\n',
    ])
    expect((await stat(join(place.path, 'a/b/c.json'))).mode & 0o777).toBe(0o600)
    const checked = await run(['--config', 'a/b/c.json', '--check'], { in: place })
    expect([checked.code, checked.stderr]).toEqual([0, ''])
    expect(checked.stdout).toStartWith('a/b/c.json: good\n')
    const { stdout: printed } = await run(['copy-config', '-'], { in: place })
    expect(printed).toBe(await Bun.file(join(place.path, 'a/b/c.json')).text())
  })

  test('writes over nothing, unless it is told to', async () => {
    await using place = await folder({ 'c.json': 'mine' })
    expect(await run(['copy-config', 'c.json'], { in: place })).toEqual({
      code: 1,
      stdout: '',
      stderr: 'mcp-gateway: c.json: is already there; --force writes over it\n',
    })
    const path = join(place.path, 'c.json')
    expect(await Bun.file(path).text()).toBe('mine')
    expect((await run(['copy-config', 'c.json', '--force'], { in: place })).code).toBe(0)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await Bun.file(path).text()).toContain('mcpServers')
    const onFolder = await run(['copy-config', '.', '--force'], { in: place })
    expect(onFolder.stderr).toBe('mcp-gateway: .: is a directory; name a file in it\n')
  })
})

test('every command tells what it does', async () => {
  await using place = await folder()
  for (const word of ['schema', 'convert', 'copy-config', 'stdio']) {
    const { code, stdout } = await run([word, '--help'], { in: place })
    expect([word, code, stdout.startsWith(`Usage: mcp-gateway ${word}`)]).toEqual([word, 0, true])
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
  }
})
