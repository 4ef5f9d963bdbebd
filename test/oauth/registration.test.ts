/** Clients that register themselves, over HTTP: what they are told, what is refused, and how much there can be. */
import { afterEach, describe, expect, setSystemTime, test } from 'bun:test'
import { addressOf } from '../../src/auth/address.ts'
import { registerClient } from '../../src/auth/clients/registration.ts'
import { type Surroundings, surroundings } from './outside.ts'

const NOON = Date.parse('2026-01-01T12:00:00Z')
const LOOPBACK = 'http://localhost:4711/callback'
const BODY = { client_name: 'Example', redirect_uris: [LOOPBACK] }

afterEach(() => {
  setSystemTime()
})

interface Answer {
  status: number
  headers: Headers
  json: Record<string, unknown>
}

/** A client's request to a gateway that trusts its own machine as a proxy, if it is told to. */
async function register(
  { clients }: Surroundings,
  body: string,
  headers: Record<string, string> = {},
  trustedProxies: string[] = [],
): Promise<Answer> {
  await using server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request, self): Promise<Response> {
      const peer = self.requestIP(request)?.address
      return registerClient(clients, request, addressOf(request.headers, peer, trustedProxies))
    },
  })
  const response = await fetch(server.url, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  })
  const json = (await response.json()) as Record<string, unknown>
  return { status: response.status, headers: response.headers, json }
}

const say = (body: unknown) => JSON.stringify(body)

describe('a client that registers', () => {
  test('is told what it is from now on', async () => {
    setSystemTime(NOON)
    const around = surroundings()
    const { status, headers, json } = await register(around, say(BODY))
    expect(status).toBe(201)
    expect(headers.get('cache-control')).toBe('no-store')
    const { client_id, ...rest } = json
    expect(client_id).toMatch(/^mgw_client_[\w-]{22}$/)
    expect(rest).toEqual({
      client_id_issued_at: NOON / 1000,
      client_name: 'Example',
      redirect_uris: [LOOPBACK],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    })
    expect(await around.clients.find(client_id as string)).toMatchObject({ name: 'Example' })
  })

  test.each(['client_secret_basic', 'client_secret_post'])(
    'for %s gets a secret, which never expires',
    async (method) => {
      const { json } = await register(
        surroundings(),
        say({ ...BODY, token_endpoint_auth_method: method }),
      )
      expect(json.client_secret).toMatch(/^[\w-]{43}$/)
      expect(json.client_secret_expires_at).toBe(0)
      expect(json.token_endpoint_auth_method).toBe(method)
    },
  )

  test('gets another id each time', async () => {
    const around = surroundings()
    const [one, two] = [await register(around, say(BODY)), await register(around, say(BODY))]
    expect(one.json.client_id).not.toBe(two.json.client_id)
  })

  test.each<[string, object, object]>([
    [
      'null where it has nothing',
      { client_name: null, grant_types: null, jwks: null, scope: null },
      { client_name: 'localhost:4711' },
    ],
    ['no name', { client_name: undefined }, { client_name: 'localhost:4711' }],
    ['a name that steers', { client_name: ' A\u202eB\n\u0000C\u200b ' }, { client_name: 'ABC' }],
    [
      'grant types that there are not',
      { grant_types: ['implicit', 'urn:x', 'authorization_code'] },
      { grant_types: ['authorization_code'] },
    ],
    [
      'only such',
      { grant_types: ['password'] },
      { grant_types: ['authorization_code', 'refresh_token'] },
    ],
    ['scopes that there are not', { scope: 'openid mcp offline_access' }, { scope: 'mcp' }],
    ['only such', { scope: 'openid' }, { scope: 'mcp' }],
    ['other response types', { response_types: ['token'] }, { response_types: ['code'] }],
    [
      'the same place twice',
      { redirect_uris: [LOOPBACK, LOOPBACK] },
      { redirect_uris: [LOOPBACK] },
    ],
    ['much that nobody knows', { software_id: 1, contacts: 'x', logo_uri: {}, x: [1] }, {}],
    [
      'no place, for a device',
      { redirect_uris: [], grant_types: ['urn:ietf:params:oauth:grant-type:device_code'] },
      { redirect_uris: [], response_types: [], client_name: 'Example' },
    ],
    ['a charset', {}, {}],
  ])('may send %s', async (_, more, expected) => {
    const { status, json } = await register(surroundings(), say({ ...BODY, ...more }), {
      'content-type': 'application/json; charset=utf-8',
    })
    expect(status).toBe(201)
    expect(json).toMatchObject(expected)
  })

  test.each<[string, object, string]>([
    ['no place', { redirect_uris: [] }, 'invalid_redirect_uri'],
    ['nothing for places', { redirect_uris: undefined }, 'invalid_redirect_uri'],
    ['a text for places', { redirect_uris: LOOPBACK }, 'invalid_client_metadata'],
    ['an object for a place', { redirect_uris: [{}] }, 'invalid_client_metadata'],
    [
      'a script among good places',
      { redirect_uris: [LOOPBACK, 'javascript:alert(1)'] },
      'invalid_redirect_uri',
    ],
    ['a page elsewhere', { redirect_uris: ['https://evil.example/cb'] }, 'invalid_redirect_uri'],
    [
      'too many places',
      { redirect_uris: Array.from({ length: 21 }, (_, i) => `${LOOPBACK}${i}`) },
      'invalid_client_metadata',
    ],
    [
      'a long place',
      { redirect_uris: [`${LOOPBACK}?${'x'.repeat(2048)}`] },
      'invalid_redirect_uri',
    ],
    ['a long name', { client_name: 'x'.repeat(201) }, 'invalid_client_metadata'],
    ['a number for a name', { client_name: 1 }, 'invalid_client_metadata'],
    [
      'a method that there is not',
      { token_endpoint_auth_method: 'tls_client_auth' },
      'invalid_client_metadata',
    ],
    [
      'a method without its keys',
      { token_endpoint_auth_method: 'private_key_jwt' },
      'invalid_client_metadata',
    ],
    ['too many keys', { jwks: { keys: Array(11).fill({ kty: 'EC' }) } }, 'invalid_client_metadata'],
    ['keys that are none', { jwks: { keys: ['x'] } }, 'invalid_client_metadata'],
  ])('may not send %s', async (_, more, error) => {
    const around = surroundings()
    const { status, json, headers } = await register(around, say({ ...BODY, ...more }))
    expect([status, json.error]).toEqual([400, error])
    expect(json.error_description).toBeString()
    expect(headers.get('cache-control')).toBe('no-store')
    expect(await Array.fromAsync(around.store.list('clients'))).toEqual([])
  })

  test.each<[string, string, string]>([
    ['text', 'x', 'application/json'],
    ['nothing', '', 'application/json'],
    ['a list', '[]', 'application/json'],
    ['null', 'null', 'application/json'],
    ['a form', 'client_name=x', 'application/x-www-form-urlencoded'],
    ['JSON that any page can send', say(BODY), 'text/plain'],
    ['too much', say({ ...BODY, x: 'x'.repeat(64 * 1024) }), 'application/json'],
  ])('may not be %s', async (_, body, type) => {
    const around = surroundings()
    const { status, json } = await register(around, body, { 'content-type': type })
    expect(status).toBe(400)
    expect(['invalid_client_metadata', 'invalid_request']).toContain(json.error as string)
    expect(await Array.fromAsync(around.store.list('clients'))).toEqual([])
  })

  test('is not answered with what it wrote in a way that steers a terminal', async () => {
    const { json } = await register(surroundings(), say({ redirect_uris: ['x:\u001b[2J\n'] }))
    expect(json.error_description).toMatch(/^[\x20-\x7e]+$/)
  })
})

describe('nobody registers', () => {
  test('where it is not wanted', async () => {
    const { status, json } = await register(surroundings({ registration: false }), say(BODY))
    expect([status, json.error]).toEqual([403, 'access_denied'])
  })

  test('from an address that is not allowed, whatever headers say', async () => {
    const around = surroundings({ allowedIPs: ['192.0.2.0/24'] })
    const names = [
      'CF-Connecting-IP',
      'True-Client-IP',
      'X-Real-IP',
      'X-Forwarded-For',
      'X-Cluster-Client-IP',
    ]
    const spoofed = Object.fromEntries(names.map((name) => [name, '192.0.2.1']))
    const headers = { ...spoofed, Forwarded: 'for=192.0.2.1', 'X-Forwarded': 'for=192.0.2.1' }
    const { status, json } = await register(around, say(BODY), headers)
    expect([status, json.error]).toEqual([403, 'access_denied'])
    expect(JSON.stringify(json)).not.toContain('192.0.2')
  })

  test('through our proxy from an address that is not allowed, whatever it passes on', async () => {
    const around = surroundings({ allowedIPs: ['192.0.2.0/24'] })
    const proxies = ['127.0.0.1']
    const ask = async (headers: Record<string, string>) =>
      (await register(around, say(BODY), headers, proxies)).status
    expect(await ask({ 'X-Forwarded-For': '192.0.2.1' })).toBe(201)
    expect(await ask({ 'X-Forwarded-For': '192.0.2.1, 198.51.100.1' })).toBe(403)
    expect(await ask({ 'X-Forwarded-For': '198.51.100.1', 'CF-Connecting-IP': '192.0.2.1' })).toBe(
      403,
    )
    expect(await ask({})).toBe(403)
  })

  test('from the same place ever faster, but others still do', async () => {
    setSystemTime(NOON)
    const around = surroundings()
    const from = (address: string) =>
      register(around, say(BODY), { 'X-Real-IP': address }, ['127.0.0.1'])
    for (let i = 0; i < 30; i++) expect((await from('192.0.2.1')).status).toBe(201)
    const { status, json, headers } = await from('192.0.2.1')
    expect([status, json.error]).toEqual([429, 'too_many_requests'])
    expect(headers.get('retry-after')).toBe('10')
    expect((await from('192.0.2.2')).status).toBe(201)
    setSystemTime(NOON + 10_000)
    expect((await from('192.0.2.1')).status).toBe(201)
    expect((await from('192.0.2.1')).status).toBe(429)
  })

  test('by taking another address of the same network of IPv6', async () => {
    setSystemTime(NOON)
    const { clients } = surroundings()
    for (let i = 0; i < 30; i++) await clients.register(BODY, { address: `2001:db8::${i}` })
    await expect(clients.register(BODY, { address: '2001:db8::ffff' })).rejects.toMatchObject({
      code: 'too_many_requests',
    })
    expect(await clients.register(BODY, { address: '2001:db8:0:1::1' })).toBeDefined()
  })
})
