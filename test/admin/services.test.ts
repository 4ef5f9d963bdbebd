/** Adding servers while it runs, over HTTP. */
import { afterAll, beforeEach, describe, expect, test } from 'bun:test'
import { admit } from '../../src/admin/access.ts'
import {
  listServices,
  putService,
  removeService,
  type Service,
  type Services,
} from '../../src/admin/services.ts'
import { Guard } from '../../src/auth/guard.ts'
import type { Principal } from '../../src/caller.ts'
import { parseConfig } from '../../src/config/parse.ts'
import { restError } from '../../src/downstream/rest.ts'
import { GatewayError } from '../../src/errors.ts'
import { Secret } from '../../src/secret.ts'

const BASE = 'https://provider.example/mcp'

/** What a gateway would be asked to do. */
class FakeServices implements Services {
  base: URL | undefined = new URL(BASE)
  readonly added = new Map<string, Record<string, unknown>>()
  breaks = false

  list(): Service[] {
    const file: Service[] = [
      {
        name: 'written',
        url: new URL('https://user:hidden1@mcp.example/mcp?key=hidden2'),
        source: 'file',
      },
      { name: 'program', url: undefined, source: 'file' },
    ]
    const added = [...this.added].map(
      ([name, { url }]): Service => ({ name, url: new URL(url as string), source: 'api' }),
    )
    return [...file, ...added]
  }

  async put(name: string, server: unknown): Promise<'created' | 'updated'> {
    if (this.breaks) throw new Error('the disk is on fire')
    if (name === 'group') throw new GatewayError('conflict', '"group" is the name of a group')
    parseConfig(JSON.stringify({ mcpServers: { [name]: server } }), 'request')
    const outcome = this.added.has(name) ? 'updated' : 'created'
    this.added.set(name, server as Record<string, unknown>)
    return outcome
  }

  async remove(name: string): Promise<boolean> {
    return this.added.delete(name)
  }
}

let services: FakeServices
let faults: unknown[]
const guard = new Guard(
  {
    tokens: [
      { token: new Secret('root'), admin: true },
      { token: new Secret('user'), admin: false },
    ],
  },
  new Set(),
)
let isOpen = true

/** Mounted as `http.ts` does. */
const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  async fetch(request, server) {
    try {
      const principal = isOpen
        ? undefined
        : ((await guard.identify(request.headers, undefined, '')) as Principal)
      admit(request, {
        principal,
        isOpen,
        isFronted: false,
        peer: server.requestIP(request)?.address,
      })
      const name = decodeURIComponent(new URL(request.url).pathname.split('/')[3] ?? '')
      if (request.method === 'POST') return await putService(services, request)
      if (request.method === 'DELETE') return await removeService(services, request, name)
      return listServices(services)
    } catch (error) {
      if (!(error instanceof GatewayError)) faults.push(error)
      const { status = 500, headers = {} } = error instanceof GatewayError ? error : {}
      return new Response(restError(error), { status, headers })
    }
  },
})
afterAll(() => server.stop(true))
beforeEach(() => {
  services = new FakeServices()
  faults = []
  isOpen = true
})

const JSON_TYPE = { 'content-type': 'application/json' }

async function answer(coming: Promise<Response>) {
  const response = await coming
  const { status, headers } = response
  const text = await response.text()
  return { status, headers, text, body: JSON.parse(text) }
}

const list = () => answer(fetch(new URL('config/services', server.url)))
const send = (body: string | undefined, headers: Record<string, string> = JSON_TYPE) =>
  answer(
    fetch(new URL('config/services', server.url), {
      method: 'POST',
      headers,
      ...(body === undefined ? {} : { body }),
    }),
  )
const post = (body: unknown) => send(JSON.stringify(body))
const remove = (name: string, init: RequestInit = {}) =>
  answer(fetch(new URL(`config/services/${name}`, server.url), { method: 'DELETE', ...init }))

describe('the list', () => {
  test('has the keys of the older gateway, and every server with where it is from', async () => {
    await post({ alias: 'ecs', path: '/ecs' })
    await post({ alias: 'far', server: { url: 'https://far.example/mcp?key=hidden3#hidden4' } })
    const { status, headers, text, body } = await list()
    expect(status).toBe(200)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(body).toEqual({
      baseUrl: BASE,
      services: { ecs: '/ecs' },
      servers: {
        written: { url: 'https://mcp.example/mcp', source: 'file' },
        program: { source: 'file' },
        ecs: { url: `${BASE}/ecs`, source: 'api' },
        far: { url: 'https://far.example/mcp', source: 'api' },
      },
    })
    expect(text).not.toContain('hidden')
  })

  test.each([
    ['https://provider.example', 'https://provider.example', '/ecs'],
    ['https://provider.example/mcp/', BASE, '/ecs'],
  ])('has the base %p without the slash at its end', async (base, shown, path) => {
    services.base = new URL(base)
    await post({ alias: 'ecs', path })
    expect((await list()).body).toMatchObject({ baseUrl: shown, services: { ecs: path } })
  })

  test('has no base where there is none, and takes nothing for being below the base that is beside it', async () => {
    await post({ alias: 'beside', server: { url: `${BASE}2/ecs` } })
    await post({ alias: 'other', server: { url: 'https://provider.example.evil/mcp/ecs' } })
    expect((await list()).body.services).toEqual({})
    services.base = undefined
    expect((await list()).body).toMatchObject({ baseUrl: null, services: {} })
  })
})

describe('adding', () => {
  test('a path answers as the older gateway did: 201 the first time, then 200', async () => {
    const first = await post({ alias: 'ecs', path: '/ecs/mcp' })
    expect(first).toMatchObject({ status: 201 })
    expect(first.body).toEqual({
      success: true,
      alias: 'ecs',
      path: '/ecs/mcp',
      url: `${BASE}/ecs/mcp`,
      services: { ecs: '/ecs/mcp' },
    })
    const second = await post({ alias: 'ecs', path: '/other' })
    expect(second.status).toBe(200)
    expect(second.body.services).toEqual({ ecs: '/other' })
    expect(services.added.get('ecs')).toEqual({ url: `${BASE}/other`, type: 'streamable-http' })
  })

  test('a server takes every option of a remote one, and does not repeat them', async () => {
    const server = {
      url: 'https://u:hidden@far.example/mcp?k=hidden',
      headers: { authorization: 'Bearer hidden' },
      tools: { block: ['rm'] },
    }
    const { status, text, body } = await post({ name: 'far', server })
    expect(status).toBe(201)
    expect(body).toEqual({
      success: true,
      alias: 'far',
      url: 'https://far.example/mcp',
      services: {},
    })
    expect(text).not.toContain('hidden')
    expect(services.added.get('far')).toEqual(server)
  })

  test.each(['application/json; charset=utf-8', 'Application/JSON'])(
    'takes the content type %s',
    async (type) => {
      const body = JSON.stringify({ alias: 'ecs', path: '/ecs' })
      expect((await send(body, { 'content-type': type })).status).toBe(201)
    },
  )
})

describe('is refused', () => {
  const url = 'https://far.example/'
  const bad: [string, unknown, string][] = [
    ['nothing at all', {}, 'Missing alias or path'],
    ['a list', [], 'Missing alias or path'],
    ['null', null, 'Missing alias or path'],
    ['an alias alone', { alias: 'a' }, 'Missing alias or path'],
    ['a path alone', { path: '/a' }, 'Missing alias or path'],
    ['an empty alias', { alias: '', path: '/a' }, 'Missing alias or path'],
    ['an empty path', { alias: 'a', path: '' }, 'Missing alias or path'],
    ['an alias that is no text', { alias: 5, path: '/a' }, 'Missing alias or path'],
    ['a path that is no text', { alias: 'a', path: ['/a'] }, 'path: expected a string'],
    ['two names', { alias: 'a', name: 'b', path: '/a' }, 'differ'],
    ['both ways at once', { alias: 'a', path: '/a', server: { url } }, 'either'],
    ['an unknown key', { alias: 'a', path: '/a', headers: { a: 'hidden' } }, 'only "alias"'],
    ['a server that is no object', { alias: 'a', server: url }, 'server: expected an object'],
    ['a server without URL', { alias: 'a', server: {} }, 'server.url'],
    ['a URL that is no text', { alias: 'a', server: { url: [url] } }, 'server.url'],
    [
      'a name of objects',
      { alias: 'a', server: JSON.parse(`{"__proto__": {"url": "${url}"}}`) },
      'server.url',
    ],
    ...[
      'A',
      'a b',
      'a/b',
      'a.b',
      '-a',
      '_a',
      '__proto__',
      '.well-known',
      'ä',
      `${'a'.repeat(64)}`,
    ].map((alias): [string, unknown, string] => [
      `the alias ${alias}`,
      { alias, path: '/a' },
      'alias: must be',
    ]),
    ...'oauth config sse messages message tools health mcp admin metrics dashboard connections'
      .split(' ')
      .map((alias): [string, unknown, string] => [
        `the alias ${alias}`,
        { alias, server: { url } },
        'a path of the gateway itself',
      ]),
    ...[
      { command: 'sh' },
      { command: 'sh', url },
      { url, args: ['hidden'] },
      { url, env: { A: 'hidden' } },
      { url, inheritEnv: true },
      { url, cwd: '/' },
      { url, type: 'stdio' },
      { url, transportType: 'stdio' },
    ].flatMap((server): [string, unknown, string][] => [
      [`a command: ${Object.keys(server)}`, { alias: 'a', server }, 'commands are never accepted'],
      [
        `a command: ${Object.keys(server)}, outside`,
        { alias: 'a', ...server },
        'commands are never accepted',
      ],
    ]),
    [
      'a variable in the URL',
      { alias: 'a', server: { url: 'https://x/${HOME}' } },
      'cannot be referred to',
    ],
    [
      'a variable in a header',
      { alias: 'a', server: { url, headers: { a: '${HOME}' } } },
      'cannot be referred to',
    ],
    [
      'a variable of the environment',
      { alias: 'a', server: { url, headers: { a: { env: 'HOME' } } } },
      'cannot be referred to',
    ],
    [
      'a file',
      { alias: 'a', server: { url, headers: { a: { file: '/etc/passwd' } } } },
      'cannot be referred to',
    ],
    ...[
      '@evil.example/x',
      '.evil.example',
      '//evil.example',
      '/../..',
      'https://evil.example/',
      '/\\evil',
      'a',
    ].map((path): [string, unknown, string] => [
      `the path ${path}`,
      { alias: 'a', path },
      'the path of a service',
    ]),
  ]
  test.each(bad)('%s', async (_, body, message) => {
    const { status, text, body: answer } = await post(body)
    expect(answer.error).toContain(message)
    expect(status).toBe(400)
    expect(text).not.toContain('hidden')
    expect(services.added.size).toBe(0)
    expect(faults).toEqual([])
  })

  test('what is missing, in the words of the older gateway', async () => {
    expect((await post({ alias: 'a' })).body.error).toBe('Missing alias or path')
    expect((await send(undefined, {})).body.error).toBe('Missing alias or path')
  })

  test.each([
    [{ url: 'ftp://far.example/?hidden' }, 'must be a URL that begins with http:// or https://'],
    [{ url, headers: { 'a: hidden': 'b' } }, 'the name of an HTTP header has no spaces'],
    [{ url, headers: { a: 'hidden\n' } }, 'must be a single line'],
    [{ url, headrs: {} }, 'did you mean "headers"?'],
    [{ url, timeout: 'soon' }, 'expected a number'],
  ])('what a file would be refused with, in the same words: %j', async (server, message) => {
    const { status, body } = await post({ alias: 'a', server })
    expect(status).toBe(400)
    expect(body.error).toContain('mcpServers.a')
    expect(body.error).toContain(message)
    expect(body.error).not.toContain('hidden')
  })

  test('a path where there is no URL for them, and says what to send', async () => {
    services.base = undefined
    const { status, body } = await post({ alias: 'a', path: '/a' })
    expect(status).toBe(400)
    expect(body.error).toContain('no URL for services')
    expect(body.hint).toContain('"url"')
  })

  test.each(['written', 'program'])('the name %s, which is in the file', async (alias) => {
    for (const { status, body } of [await post({ alias, path: '/a' }), await remove(alias)]) {
      expect(status).toBe(409)
      expect(body.error).toBe(`"${alias}" is in the configuration file, which comes first`)
    }
    expect(services.added.size).toBe(0)
  })

  test('a name that the gateway has for something else', async () => {
    const { status, body } = await post({ alias: 'group', path: '/a' })
    expect({ status, error: body.error }).toEqual({
      status: 409,
      error: '"group" is the name of a group',
    })
  })

  test('a fault of ours, without a word of it', async () => {
    services.breaks = true
    const { status, text } = await post({ alias: 'a', path: '/a' })
    expect({ status, text }).toEqual({ status: 500, text: '{"error":"Internal error"}' })
    expect(faults).toHaveLength(1)
  })
})

describe('a body', () => {
  const good = JSON.stringify({ alias: 'ecs', path: '/ecs' })

  test.each([
    ['application/x-www-form-urlencoded'],
    ['multipart/form-data; boundary=x'],
    ['text/plain'],
    ['text/plain; application/json'],
    ['application/jsonp'],
    ['application/json-seq'],
  ])('that says it is %s is none', async (type) => {
    const headers = { 'content-type': type }
    expect((await send(good, headers)).status).toBe(415)
    expect((await send(undefined, headers)).status).toBe(415)
    expect(services.added.size).toBe(0)
    await post({ alias: 'ecs', path: '/ecs' })
    expect((await remove('ecs', { headers, body: 'x' })).status).toBe(415)
    expect((await remove('ecs', { headers })).status).toBe(415)
    expect(services.added.size).toBe(1)
  })

  test('that does not say what it is, is none', async () => {
    const body = new Blob([good])
    const untyped = fetch(new URL('config/services', server.url), { method: 'POST', body })
    expect((await untyped).status).toBe(415)
    await post({ alias: 'ecs', path: '/ecs' })
    expect((await remove('ecs', { body })).status).toBe(415)
    expect(services.added.size).toBe(1)
  })

  test.each([
    ['sk-hidden', 'JSON'],
    ['{"alias": hidden}', 'JSON'],
    ['{"alias": "hidden', 'JSON'],
    [`{"alias": "a", "server": ${'['.repeat(30_000)}`, 'inside one another'],
    [`{"alias": "a", "server": ${'['.repeat(30_000)}${']'.repeat(30_000)}}`, 'inside one another'],
  ])('that is no JSON is told so and not shown: %.20s', async (text, message) => {
    const { status, text: shown, body } = await send(text)
    expect(status).toBe(400)
    expect(body.error).toContain(message)
    expect(shown).not.toContain('hidden')
    expect(faults).toEqual([])
  })

  test('of 64 KiB is taken, and not of more, whether its size is told or not', async () => {
    const fitting = `${' '.repeat(64 * 1024 - good.length)}${good}`
    const streamed = (text: string) =>
      answer(
        fetch(new URL('config/services', server.url), {
          method: 'POST',
          headers: JSON_TYPE,
          body: new Blob([text]).stream(),
        }),
      )
    expect((await send(` ${fitting}`)).status).toBe(413)
    expect((await streamed(` ${fitting}`)).status).toBe(413)
    expect(services.added.size).toBe(0)
    expect((await send(fitting)).status).toBe(201)
    expect((await streamed(fitting)).status).toBe(200)
  })
})

describe('removing', () => {
  test('takes away what was added, once', async () => {
    await post({ alias: 'ecs', path: '/ecs' })
    const { status, body } = await remove('ecs')
    expect(status).toBe(200)
    expect(body).toEqual({ success: true, alias: 'ecs', services: {} })
    expect((await remove('ecs')).status).toBe(404)
  })

  test.each(['nobody', '__proto__', 'constructor', 'a%2Fb', 'x'.repeat(1_000)])(
    'what is not there is told so: %.20s',
    async (name) => {
      const { status, text } = await remove(name)
      expect(status).toBe(404)
      expect(text.length).toBeLessThan(300)
    },
  )

  test('takes a request that says it is JSON', async () => {
    await post({ alias: 'ecs', path: '/ecs' })
    expect((await remove('ecs', { headers: JSON_TYPE })).status).toBe(200)
  })
})

describe('to who may not', () => {
  const everything = (headers: Record<string, string>) =>
    Promise.all([
      answer(fetch(new URL('config/services', server.url), { headers })),
      send(JSON.stringify({ alias: 'ecs', path: '/ecs' }), { ...JSON_TYPE, ...headers }),
      remove('ecs', { headers }),
    ])

  test.each<[string, boolean, Record<string, string>, number]>([
    ['a web page', true, { origin: 'https://evil.example' }, 403],
    ['a page in a frame without origin', true, { origin: 'null' }, 403],
    ['somebody behind a proxy', true, { 'x-forwarded-for': '192.0.2.1' }, 403],
    ['a rebound name', true, { host: 'evil.example' }, 403],
    ['nobody', false, {}, 401],
    ['a wrong token', false, { authorization: 'Bearer wrong' }, 401],
    ['a token without rights', false, { authorization: 'Bearer user' }, 403],
  ])('nothing is shown, and nothing is changed: %s', async (_, open, headers, expected) => {
    isOpen = open
    for (const { status, text, headers: told } of await everything(headers)) {
      expect(status).toBe(expected)
      expect(told.has('www-authenticate')).toBe(expected === 401)
      expect(text).not.toContain('provider.example')
    }
    expect(services.added.size).toBe(0)
  })

  test('an admin may', async () => {
    isOpen = false
    const [listed, added] = await everything({ authorization: 'Bearer root' })
    expect([listed!.status, added!.status]).toEqual([200, 201])
  })
})
