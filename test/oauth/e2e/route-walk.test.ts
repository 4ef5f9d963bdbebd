/** Every route there is, by every method, without proof of who asks: who is not asked to log in is on a list, and here is why. */
import { describe, expect, test } from 'bun:test'
import { version } from '../../../package.json'
import { ALLOWED, type RoutesParts, routes } from '../../../src/routes.ts'
import { authorizeURL, type House, house, register } from './house.ts'

const SERVERS = { 'hidden-one': { command: 'false' }, 'hidden-two': { command: 'false' } }
const LOGINS = { users: { 'hidden-person': 'a password' } }
const GROUPS = { 'hidden-group': ['hidden-one', 'hidden-two'] }
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']

/** Each path of `routes.ts`, as a stranger would come there, and what answers to whom. */
const WALK: Record<string, { path?: string; open?: Record<string, number> }> = {
  // No more than whether it runs.
  '/health': { open: { GET: 200, HEAD: 200 } },
  '/tools': {},
  '/tools/call': {},
  '/config/services': {},
  '/config/services/:name': { path: '/config/services/hidden-one' },
  '/.well-known/*': {
    path: '/.well-known/oauth-authorization-server',
    open: { GET: 200, HEAD: 200 },
  },
  '/oauth/register': {},
  '/oauth/token': {},
  '/oauth/revoke': {},
  '/oauth/introspect': {},
  '/oauth/device_authorization': {},
  // A page that says what is wrong: with what a client asks it is the one for logging in, see below.
  '/oauth/authorize': {},
  // The page for logging in.
  '/oauth/device': { open: { GET: 200, HEAD: 200 } },
  '/oauth/status': {},
  '/oauth/logout': {},
}

const ENDPOINTS = ['', '/hidden-one', '/hidden-group', '/nowhere', '/hidden-one/a-token']
const KINDS = [
  '/mcp',
  '/mcp/',
  '/mcp?server=hidden-two',
  '/sse',
  '/messages?sessionId=x',
  '/message',
]

const ELSEWHERE = [
  ...['/', '/oauth', '/oauth/', '/oauth/register/', '/oauth/users', '/oauth/consent', '/metrics'],
  ...[
    '/admin',
    '/config',
    '/config/services/a/b',
    '/.well-known/',
    '/.well-known/jwks',
    '/health/',
  ],
  ...['/.env', '/config.json', '/data/gateway.sqlite', '/..%2fconfig.json', '//hidden-one/mcp'],
  ...['/hidden-one', '/hidden-one/', '/hidden-one/a/b/mcp', '/hidden-one/mcp/x', '/%2e%2e/mcp2'],
  ...['/hidden-one%2fmcp', '/.well-known/mcp', '/.well-known/oauth-protected-resource/hidden-one'],
]

/** Bodies that are right for one route or another. */
const BODIES: [type: string, body: string][] = [
  ['application/json', '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'],
  ['application/json', '{"name":"hidden-one_pid","arguments":{}}'],
  [
    'application/x-www-form-urlencoded',
    'grant_type=client_credentials&token=x&user_id=hidden-person',
  ],
]

interface Told {
  status: number
  body: string
  headers: Headers
}

async function come(at: House, method: string, path: string): Promise<Told[]> {
  const isEmpty = /^(GET|HEAD|OPTIONS)$/.test(method)
  return Promise.all(
    (isEmpty ? [undefined] : BODIES).map(async (sent) => {
      const init: RequestInit = sent ? { body: sent[1], headers: { 'content-type': sent[0] } } : {}
      const response = await at.fetch(at.base + path, { method, redirect: 'manual', ...init })
      const { status, headers } = response
      return { status, headers, body: await response.text() }
    }),
  )
}

/** Nobody is told who is here, or what, but what they came by themselves. */
function expectNothingTold({ body, headers }: Told, path: string): void {
  const said = `${body}\n${[...headers].join('\n')}`.replaceAll('hidden-one/mcp', '')
  for (const name of ['hidden-one', 'hidden-two', 'hidden-group', 'hidden-person']) {
    if (!path.includes(name)) expect([path, said.includes(name)]).toEqual([path, false])
  }
  if (path !== '/health') expect([path, said.includes(version)]).toEqual([path, false])
  expect([path, headers.get('server'), headers.get('x-powered-by')]).toEqual([path, null, null])
}

const REFUSED = [400, 401, 404, 405]

test('the walk comes to every route that there is', () => {
  const there = routes({} as RoutesParts).routes.map(({ path }) => path)
  expect([...new Set(there)].toSorted()).toEqual(Object.keys(WALK).toSorted())
  const allowed = Object.keys(ALLOWED)
  expect(Object.keys(WALK).filter((path) => !allowed.includes(path))).toEqual(['/.well-known/*'])
})

const PLACES: [string, string | undefined][] = [
  ['by its address', undefined],
  ['below a path', 'https://gw.example/team/gw'],
]

describe.each(PLACES)('a stranger, where the gateway is known %s,', (_, baseURL) => {
  const start = () =>
    house({ ...(baseURL && { baseURL }), servers: SERVERS, groups: GROUPS, oauth: LOGINS })

  test('is refused at every route but those for strangers, whatever the method', async () => {
    await using at = await start()
    for (const [route, { path = route, open = {} }] of Object.entries(WALK)) {
      for (const method of METHODS) {
        for (const told of await come(at, method, path)) {
          const right = open[method] === undefined ? REFUSED : [open[method]]
          expect([method, path, told.status, right.includes(told.status)]).toEqual([
            ...[method, path, told.status],
            true,
          ])
          if (told.status === 405) expect(told.headers.get('allow')).toBe(ALLOWED[route] ?? null)
          expectNothingTold(told, path)
        }
      }
    }
  })

  test('is asked to log in at every endpoint, known or not, in the same words', async () => {
    await using at = await start()
    const words = new Set<string>()
    for (const endpoint of ENDPOINTS) {
      for (const kind of KINDS) {
        const path = endpoint + kind
        for (const method of METHODS) {
          for (const told of await come(at, method, path)) {
            expect([method, path, told.status]).toEqual([method, path, 401])
            const challenge = told.headers.get('www-authenticate') ?? ''
            const document = /^Bearer .*resource_metadata="([^"]+)"/.exec(challenge)?.[1]
            expect(document).toStartWith(`${at.base}/.well-known/oauth-protected-resource`)
            expectNothingTold(told, path)
            if (method !== 'HEAD') words.add(told.body)
          }
        }
      }
    }
    // Without a token, and with one in the path that is not known.
    expect(words.size).toBe(2)
  })

  test('finds nothing anywhere else', async () => {
    await using at = await start()
    for (const path of ELSEWHERE) {
      for (const method of METHODS) {
        for (const told of await come(at, method, path)) {
          expect([method, path, [401, 404].includes(told.status)]).toEqual([method, path, true])
          expectNothingTold(told, path)
        }
      }
    }
  })

  test('is told of the health no more than that', async () => {
    await using at = await start()
    const health = await (await at.fetch(`${at.base}/health`)).json()
    expect(health).toEqual({ status: expect.any(String), version, ready: expect.any(Boolean) })
  })

  test('sees the page for logging in, which names only the client that they come from', async () => {
    await using at = await start()
    const { client_id } = await register(at)
    const response = await at.fetch(authorizeURL(at, { client_id }))
    expect(response.status).toBe(200)
    const told = { status: 200, headers: response.headers, body: await response.text() }
    expect(told.body).toContain('Probe')
    expectNothingTold(told, '/oauth/authorize')
  })

  test('reads in documents the same of what is there and of what is not', async () => {
    await using at = await start()
    const about = async (name: string) => {
      const response = await at.fetch(`${at.base}/.well-known/oauth-protected-resource/${name}/mcp`)
      return [response.status, (await response.text()).replaceAll(name, 'NAME')]
    }
    expect(await about('hidden-one')).toEqual(await about('nowhere'))
  })
})
