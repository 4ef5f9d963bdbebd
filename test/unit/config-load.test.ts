/** Where a configuration comes from, and how it is loaded again. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { type Loaded, loadConfig } from '../../src/config/load.ts'
import { ConfigError } from '../../src/config/parse.ts'
import { Secret } from '../../src/secret.ts'
import { folder } from '../lifecycle/program.ts'
import { CERTIFICATE } from '../support/certificate.ts'

const GOOD = '{"gateway": {"port": 7}, "mcpServers": {}}'
const again = (loaded: Loaded | 'unchanged'): Loaded => {
  if (loaded === 'unchanged') throw new Error('it is said to be unchanged')
  return loaded
}

describe('from a file', () => {
  test('it knows the files that it depends on', async () => {
    await using place = await folder({
      'in/c.json': {
        gateway: { tls: { cert: 'cert.pem', key: '/etc/key.pem' } },
        auth: { tokens: [{ file: '../token' }, { token: { file: 'other' } }] },
        mcpServers: { a: { url: 'http://b', headers: { A: { file: '../token' } } } },
      },
      token: 'secret\n',
      'in/other': 'other secret',
    })
    const at = (name: string) => join(place.path, name)
    const { files, config, isRemote } = await loadConfig(at('in/c.json'), {})
    expect(files.sort()).toEqual(
      ['/etc/key.pem', at('in/c.json'), at('in/cert.pem'), at('in/other'), at('token')].sort(),
    )
    expect(config.gateway.tls).toEqual({ cert: at('in/cert.pem'), key: '/etc/key.pem' })
    expect(isRemote).toBe(false)
  })

  test('it can be loaded again, with what has changed', async () => {
    await using place = await folder({ 'c.json': GOOD })
    const path = join(place.path, 'c.json')
    const first = await loadConfig(path, {})
    await Bun.write(path, GOOD.replace('7', '8'))
    const second = again(await first.reload())
    expect([first.config.gateway.port, second.config.gateway.port]).toEqual([7, 8])
    expect(again(await second.reload()).source).toBe(path)
  })

  test('it is looked for where it was, wherever we are now', async () => {
    await using place = await folder({ 'config.json': GOOD })
    const before = process.cwd()
    process.chdir(place.path)
    const { reload, source, files } = await loadConfig(undefined, { HOME: place.path })
    process.chdir(before)
    expect(source).toBe('./config.json')
    expect(files).toEqual([join(place.path, 'config.json')])
    expect(again(await reload()).config.gateway.port).toBe(7)
  })

  test('a fault tells which files may mend it, also those that are not there', async () => {
    const server = { command: 'x', env: { A: { file: 'none' } } }
    await using place = await folder({ 'c.json': { mcpServers: { a: server } } })
    const path = join(place.path, 'c.json')
    const fault = await loadConfig(path, {}).catch((error) => error)
    expect(fault).toBeInstanceOf(ConfigError)
    expect(fault.files).toEqual([path, join(place.path, 'none')])
    await Bun.write(join(place.path, 'none'), 'x')
    const { reload } = await loadConfig(path, {})
    await Bun.file(path).delete()
    const gone = await reload().catch((error) => error)
    expect([gone.message, gone.files]).toEqual([
      `${path}: no such file; name a configuration by its path or URL`,
      [path],
    ])
  })
})

test('the embedded defaults never change', async () => {
  await using place = await folder()
  const before = process.cwd()
  process.chdir(place.path)
  const { source, files, reload } = await loadConfig(undefined, { HOME: place.path })
  process.chdir(before)
  expect([source, files, await reload()]).toEqual([undefined, [], 'unchanged'])
})

describe('from a URL', () => {
  type Handler = (request: Request) => Response | Promise<Response>
  let handler: Handler
  /** The headers of each request, copied while it is there. */
  let asked: Headers[]
  const serve = () =>
    Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      idleTimeout: 0,
      fetch(request) {
        asked.push(new Headers(request.headers))
        return handler(request)
      },
    })
  let server: ReturnType<typeof serve>
  let other: ReturnType<typeof serve>
  let url: string

  beforeAll(() => {
    server = serve()
    other = serve()
    url = `${server.url.origin}/c`
  })
  beforeEach(() => {
    asked = []
    handler = () => new Response(GOOD)
  })
  afterAll(() => Promise.all([server.stop(true), other.stop(true)]))

  const load = (download = {}) => loadConfig(url, {}, { download })
  const refused = (what: string) => new ConfigError(`${url}: cannot be downloaded: ${what}`)
  const KEY = { headers: { 'x-key': new Secret('hunter2') } }
  const to = (location: string, status = 302) =>
    new Response(null, { status, headers: { location } })

  test('headers go along', async () => {
    expect((await load(KEY)).config.gateway.port).toBe(7)
    expect(asked[0]?.get('x-key')).toBe('hunter2')
  })

  test('redirects are followed, without headers where they lead elsewhere', async () => {
    handler = ({ url }) => {
      const { port, pathname } = new URL(url)
      if (pathname === '/c') return to('/d', 307)
      return port === `${other.port}` ? new Response(GOOD) : to(`${other.url.origin}/e`, 301)
    }
    const { source } = await load(KEY)
    expect(source).toBe(url)
    expect(asked.map((headers) => headers.get('x-key'))).toEqual(['hunter2', 'hunter2', null])
  })

  test('but not for ever, nor to anywhere', async () => {
    handler = () => to('/c')
    await expect(load()).rejects.toThrow(refused('it redirects more than 10 times'))
    expect(asked).toHaveLength(11)
    for (const place of ['file:///etc/passwd', 'http://[', 'data:,{}']) {
      handler = () => to(place)
      await expect(load()).rejects.toThrow(
        refused('it redirects to what is no URL of http: or https:'),
      )
    }
  })

  test.each([404, 500, 304, 401])('status %d is no configuration', async (status) => {
    handler = () => new Response(status === 304 ? null : GOOD, { status })
    await expect(load()).rejects.toThrow(refused(`status ${status}`))
  })

  test('what is larger than 4 MiB is refused, also if it was compressed', async () => {
    const big = ' '.repeat(4 * 1024 * 1024 + 1)
    handler = () => new Response(big)
    await expect(load()).rejects.toThrow(refused('it has more than 4 MiB'))
    handler = () => new Response(Bun.gzipSync(big), { headers: { 'content-encoding': 'gzip' } })
    await expect(load()).rejects.toThrow(refused('it has more than 4 MiB'))
    handler = () => new Response(GOOD.padEnd(4 * 1024 * 1024))
    expect((await load()).config.gateway.port).toBe(7)
  })

  test('it does not take longer than it may, neither to begin nor to end', async () => {
    const late = refused('it took more than 0.05 s; --http-timeout allows more')
    handler = () => new Promise(() => {})
    await expect(load({ timeout: 50 })).rejects.toThrow(late)
    handler = () => new Response(new ReadableStream({ start: (body) => body.enqueue('{') }))
    await expect(load({ timeout: 50 })).rejects.toThrow(late)
  })

  test('what has not changed is not loaded again', async () => {
    const etag = '"1"'
    const lastModified = 'Fri, 20 Nov 2026 12:00:00 GMT'
    const headers = { etag, 'last-modified': lastModified }
    handler = (request) =>
      request.headers.get('if-none-match') === etag
        ? new Response(null, { status: 304 })
        : new Response(GOOD, { headers })
    const { reload, isRemote, files } = await load()
    expect([isRemote, files]).toEqual([true, []])
    expect(await reload()).toBe('unchanged')
    expect(asked[1]?.get('if-modified-since')).toBe(lastModified)
    expect(again(await reload({ isForced: true })).config.gateway.port).toBe(7)
    expect(asked[2]?.get('if-none-match')).toBeNull()
  })

  test('nor what is the same although nobody says so', async () => {
    const { reload } = await load()
    expect(await reload()).toBe('unchanged')
    handler = () => new Response(GOOD.replace('7', '8'))
    const next = again(await reload())
    expect(next.config.gateway.port).toBe(8)
    expect(await next.reload()).toBe('unchanged')
  })

  test('a fault there leaves the next question as it was', async () => {
    handler = () => new Response(GOOD, { headers: { etag: '"1"' } })
    const { reload } = await load()
    handler = () => new Response('{', { headers: { etag: '"2"' } })
    await expect(reload()).rejects.toThrow(ConfigError)
    await expect(reload()).rejects.toThrow(ConfigError)
    expect(asked.map((headers) => headers.get('if-none-match'))).toEqual([null, '"1"', '"1"'])
  })

  test('files with secrets are named by absolute paths', async () => {
    await using place = await folder({ token: 'hunter2' })
    const path = join(place.path, 'token')
    const config = (file: string) =>
      JSON.stringify({ auth: { tokens: [{ file }] }, mcpServers: {} })
    handler = () => new Response(config(path))
    const { files, config: loaded } = await load()
    expect(files).toEqual([path])
    expect(loaded.auth.tokens[0]?.token.reveal()).toBe('hunter2')
    handler = () => new Response(config('token'))
    await expect(load()).rejects.toThrow(
      'the file cannot be read: it has no folder to look in; write an absolute path',
    )
  })

  test('what it answers with is not shown in a fault', async () => {
    handler = () => new Response(null, { status: 302, headers: { location: 'ftp://hunter2/' } })
    const fault = await load(KEY).catch(({ message }) => message)
    expect(fault).toStartWith(url)
    expect(fault).not.toContain('hunter2')
  })

  describe('over TLS', () => {
    let secure: ReturnType<typeof Bun.serve>
    beforeAll(() => {
      secure = Bun.serve({
        hostname: '127.0.0.1',
        port: 0,
        tls: CERTIFICATE,
        fetch: ({ url }) =>
          new URL(url).pathname === '/aloud' ? to(`${server.url.origin}/c`) : new Response(GOOD),
      })
    })
    afterAll(() => secure.stop(true))
    const from = (path: string, insecure?: boolean) =>
      loadConfig(
        `https://127.0.0.1:${secure.port}${path}`,
        {},
        { download: insecure === undefined ? {} : { insecure } },
      )

    test('a certificate that nobody vouches for is refused', async () => {
      await expect(from('/')).rejects.toThrow('; --insecure takes any certificate')
      await expect(from('/', false)).rejects.toThrow('; --insecure takes any certificate')
    })

    test('unless any is taken', async () => {
      expect((await from('/', true)).config.gateway.port).toBe(7)
    })

    test('a redirect from https: to http: is not followed', async () => {
      await expect(from('/aloud', true)).rejects.toThrow(
        'cannot be downloaded: it redirects from https: to http:, where anybody could change it',
      )
      expect(asked).toEqual([])
    })
  })
})
