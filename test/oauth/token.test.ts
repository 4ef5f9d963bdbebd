/** The token endpoint and its neighbours, over HTTP. */
import { afterAll, beforeEach, describe, expect, test } from 'bun:test'
import type { Client } from '../../src/auth/clients/client.ts'
import { Devices } from '../../src/auth/grants/device.ts'
import {
  beginDevice,
  type ClientProof,
  DEVICE_GRANT,
  giveTokens,
  introspect,
  type TokenDesk,
  takeTokenBack,
} from '../../src/auth/grants/token.ts'
import type { Grants } from '../../src/auth/grants.ts'
import { OAuthError } from '../../src/auth/oauth-error.ts'
import type { Principal } from '../../src/caller.ts'
import { GatewayError } from '../../src/errors.ts'
import {
  APPROVAL,
  CLIENT,
  type Clock,
  issuerAt,
  logIn,
  newDesk,
  REDIRECT,
  VERIFIER,
} from './approvals.ts'

const ADMIN: Principal = { id: 'token:1', kind: 'token', isAdmin: true }
const DIRECT = { ...CLIENT, id: 'direct', grantTypes: ['authorization_code'] }
const clients: Record<string, Client> = { editor: CLIENT, direct: DIRECT }
const issuer = issuerAt('https://mcp.example.com')

let grants: Grants
let clock: Clock
let devices: Devices
let used: string[]
let refusals: OAuthError[]
let people: Set<string>
let principal: Principal
let desk: TokenDesk

beforeEach(() => {
  people = new Set(['user:alice'])
  const fresh = newDesk({ isPerson: (id) => people.has(id) })
  grants = fresh.grants
  clock = fresh.clock
  devices = new Devices(fresh.store, (approval) => grants.issue(approval), clock.now)
  used = []
  refusals = []
  principal = ADMIN
  desk = {
    grants,
    devices,
    clients: {
      async authenticate({ form }: ClientProof) {
        const client = clients[form.get('client_id') ?? '']
        if (!client) throw new OAuthError('invalid_client', 'the client is not known')
        return client
      },
      async used(id) {
        used.push(id)
      },
    },
    issuer: () => issuer,
    endpoints: () => ['files', 'web'],
    isPerson: (id) => people.has(id),
    onRefused: (error) => refusals.push(error),
  }
})

const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  routes: {
    '/token': (request) => giveTokens(request, desk),
    '/revoke': (request) => takeTokenBack(request, desk),
    '/device': (request) => beginDevice(request, desk, '192.0.2.1'),
    '/introspect': (request) => introspect(request, principal, desk),
  },
  error: (error) =>
    new Response(error.message, { status: error instanceof GatewayError ? error.status : 500 }),
})
afterAll(() => server.stop(true))

type Form = Record<string, string> | [string, string][]
interface Answer {
  status: number
  headers: Headers
  body: Record<string, unknown>
}

async function post(
  path: string,
  body: Form | string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(new URL(path, server.url), {
    method: 'POST',
    body: typeof body === 'string' ? body : new URLSearchParams(body),
    headers,
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json')
  return {
    status: response.status,
    headers: response.headers,
    body: isJson ? JSON.parse(text) : { text },
  }
}

async function codeForm(approval = {}): Promise<Record<string, string>> {
  const code = await grants.approve({ ...APPROVAL, ...approval })
  return {
    grant_type: 'authorization_code',
    code,
    client_id: 'editor',
    redirect_uri: REDIRECT,
    code_verifier: VERIFIER,
  }
}

describe('for a code', () => {
  test('there are tokens that nobody keeps on the way, and the client counts as used', async () => {
    const { status, headers, body } = await post(
      '/token',
      await codeForm({ scopes: ['mcp', 'admin'] }),
    )
    expect(status).toBe(200)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('pragma')).toBe('no-cache')
    expect(body).toEqual({
      access_token: expect.stringMatching(/^mgw_at_/),
      token_type: 'Bearer',
      expires_in: 3600,
      refresh_token: expect.stringMatching(/^mgw_rt_/),
      scope: 'mcp admin',
    })
    expect(await grants.find(body.access_token as string)).toMatchObject({ endpoint: '*' })
    expect(used).toEqual(['editor'])
  })

  test('and a resource there are tokens for that one', async () => {
    const form = { ...(await codeForm()), resource: 'https://mcp.example.com/files/mcp' }
    const { body } = await post('/token', form)
    expect(await grants.find(body.access_token as string)).toMatchObject({ endpoint: 'files' })
  })

  test('also as JSON, as an older gateway took it', async () => {
    const json = JSON.stringify({ ...(await codeForm()), resource: ['https://mcp.example.com/'] })
    const { status } = await post('/token', json, { 'content-type': 'application/json' })
    expect(status).toBe(200)
  })

  const wrong: [string, (form: Record<string, string>) => Form, number, string][] = [
    ['no grant type', ({ grant_type: _, ...form }) => form, 400, 'invalid_request'],
    [
      'a grant type that there is not',
      (form) => ({ ...form, grant_type: 'password' }),
      400,
      'unsupported_grant_type',
    ],
    [
      'client credentials',
      (form) => ({ ...form, grant_type: 'client_credentials' }),
      400,
      'unsupported_grant_type',
    ],
    ['no code', ({ code: _, ...form }) => form, 400, 'invalid_request'],
    ['an empty code', (form) => ({ ...form, code: '' }), 400, 'invalid_request'],
    ['a code that is none', (form) => ({ ...form, code: 'success' }), 400, 'invalid_grant'],
    ['no verifier', ({ code_verifier: _, ...form }) => form, 400, 'invalid_grant'],
    [
      'a verifier that does not fit',
      (form) => ({ ...form, code_verifier: 'a'.repeat(43) }),
      400,
      'invalid_grant',
    ],
    [
      'another redirect URI',
      (form) => ({ ...form, redirect_uri: 'https://evil.example/' }),
      400,
      'invalid_grant',
    ],
    [
      'a client that there is not',
      (form) => ({ ...form, client_id: 'gone' }),
      401,
      'invalid_client',
    ],
    ['another client', (form) => ({ ...form, client_id: 'direct' }), 400, 'invalid_grant'],
    [
      'a resource elsewhere',
      (form) => ({ ...form, resource: 'https://evil.example/' }),
      400,
      'invalid_target',
    ],
    [
      'a resource that there is not',
      (form) => ({ ...form, resource: 'https://mcp.example.com/gone/mcp' }),
      400,
      'invalid_target',
    ],
    ['two codes', (form) => [...Object.entries(form), ['code', 'x']], 400, 'invalid_request'],
    [
      'one parameter twice, the same',
      (form) => [...Object.entries(form), ['client_id', 'editor']],
      400,
      'invalid_request',
    ],
    [
      'a parameter that is too long',
      (form) => ({ ...form, state: 'a'.repeat(9000) }),
      400,
      'invalid_request',
    ],
    [
      'a body that is too long',
      (form) => ({
        ...form,
        ...Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`p${i}`, 'a'.repeat(8000)])),
      }),
      400,
      'invalid_request',
    ],
    [
      'too many parameters',
      (form) => ({
        ...form,
        ...Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`p${i}`, 'a'])),
      }),
      400,
      'invalid_request',
    ],
  ]
  test.each(wrong)('with %s there are none', async (_, change, status, error) => {
    const form = await codeForm()
    const refused = await post('/token', change(form))
    expect(refused).toMatchObject({ status, body: { error } })
    expect(refused.headers.get('cache-control')).toBe('no-store')
    expect(Object.keys(refused.body).sort()).toEqual(['error', 'error_description'])
    expect(used).toEqual([])
    expect(refusals.map(({ code }) => code as string)).toEqual([error])
    // Nothing of what came is repeated.
    expect(JSON.stringify(refused.body)).not.toMatch(/evil|gone|aaa|mgw_/)
  })

  test.each([
    ['text', 'text/plain', 'grant_type=authorization_code'],
    ['JSON that is none', 'application/json', '{'],
    ['JSON of another kind', 'application/json', '["grant_type"]'],
    ['JSON with something else than strings', 'application/json', '{"grant_type":{"a":1}}'],
    ['JSON null', 'application/json', 'null'],
  ])('as %s is no request', async (_, type, body) => {
    const refused = await post('/token', body, { 'content-type': type })
    expect(refused).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  })

  test('in the query there are none', async () => {
    const query = new URLSearchParams(await codeForm())
    const refused = await post(`/token?${query}`, { state: 'x' })
    expect(refused).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
  })

  test('that comes twice, over HTTP too, the first tokens are gone', async () => {
    const form = await codeForm()
    const first = await post('/token', form)
    const again = await post('/token', { ...form, resource: 'https://evil.example/' })
    expect(again).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
    expect(await grants.find(first.body.access_token as string)).toBeUndefined()
  })
})

test('a client that tried Basic is told so, any other one is not', async () => {
  const form = { grant_type: 'refresh_token', refresh_token: 'x' }
  const basic = await post('/token', form, { authorization: 'basic eDp5' })
  expect(basic.status).toBe(401)
  expect(basic.headers.get('www-authenticate')).toStartWith('Basic realm=')
  expect((await post('/token', form)).headers.has('www-authenticate')).toBe(false)
})

test('the true reason is for the log', async () => {
  const form = await codeForm()
  const { body } = await post('/token', { ...form, code_verifier: 'a'.repeat(43) })
  const unknown = await post('/token', { ...form, code: `mgw_ac_${'A'.repeat(65)}` })
  expect(body).toEqual(unknown.body)
  expect(refusals.map(({ reason }) => reason)).toEqual([
    'code_verifier does not fit',
    'the code is not known',
  ])
})

describe('for a refresh token', () => {
  const refresh = (token: string, more = {}) =>
    post('/token', {
      grant_type: 'refresh_token',
      refresh_token: token,
      client_id: 'editor',
      ...more,
    })

  test('there are new tokens, as form and as JSON', async () => {
    const { refreshToken } = await logIn(grants)
    const { status, body } = await refresh(refreshToken)
    expect(status).toBe(200)
    const json = JSON.stringify({
      grant_type: 'refresh_token',
      refresh_token: body.refresh_token,
      client_id: 'editor',
    })
    expect((await post('/token', json, { 'content-type': 'application/json' })).status).toBe(200)
  })

  test('scopes that there are not are overlooked, and those that were not granted are refused', async () => {
    const { refreshToken } = await logIn(grants)
    const fine = await refresh(refreshToken, { scope: 'mcp offline_access' })
    expect(fine).toMatchObject({ status: 200, body: { scope: 'mcp' } })
    const more = await refresh(refreshToken, { scope: 'mcp admin' })
    expect(more).toMatchObject({ status: 400, body: { error: 'invalid_scope' } })
  })

  test('that is dead the client is told invalid_grant, with 400', async () => {
    const dead = await refresh('mgw_rt_dead')
    expect(dead).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
  })

  test('of another client there are none, and its owner still gets some', async () => {
    const { refreshToken } = await logIn(grants)
    const stolen = await refresh(refreshToken, { client_id: 'direct' })
    expect(stolen).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
    expect((await refresh(refreshToken)).status).toBe(200)
  })
})

describe('a token that is given back', () => {
  test.each(['accessToken', 'refreshToken'] as const)('is gone: %s', async (which) => {
    const tokens = await logIn(grants)
    const { status } = await post('/revoke', { token: tokens[which], client_id: 'editor' })
    expect(status).toBe(200)
    expect(await grants.find(tokens.accessToken)).toBeUndefined()
  })

  test('and is unknown, or of another client, is answered just the same', async () => {
    const { accessToken } = await logIn(grants)
    for (const token of ['x', accessToken]) {
      const form = { token, client_id: 'direct', token_type_hint: 'nonsense' }
      expect(await post('/revoke', form)).toMatchObject({ status: 200, body: {} })
    }
    expect(await grants.find(accessToken)).toBeDefined()
  })

  test('needs a client, and must be there', async () => {
    const { accessToken: token } = await logIn(grants)
    expect(await post('/revoke', { token })).toMatchObject({ status: 401 })
    expect(await post('/revoke', { client_id: 'editor' })).toMatchObject({
      status: 400,
      body: { error: 'invalid_request' },
    })
    expect(await grants.find(token)).toBeDefined()
  })
})

describe('introspection', () => {
  test('tells an admin what a token is good for', async () => {
    const { accessToken: token } = await logIn(grants, { endpoint: 'files' })
    const { status, body } = await post('/introspect', { token })
    expect(status).toBe(200)
    expect(body).toEqual({
      active: true,
      scope: 'mcp',
      client_id: 'editor',
      username: 'alice',
      token_type: 'Bearer',
      exp: expect.any(Number),
      sub: 'user:alice',
      aud: 'https://mcp.example.com/files/mcp',
      iss: 'https://mcp.example.com',
    })
  })

  test('tells nothing of what is not good', async () => {
    const { accessToken, refreshToken } = await logIn(grants)
    people.clear()
    for (const token of ['x', refreshToken, accessToken]) {
      expect((await post('/introspect', { token })).body).toEqual({ active: false })
    }
  })

  test('tells nobody else', async () => {
    const { accessToken: token } = await logIn(grants)
    for (const isAdmin of [false, undefined]) {
      principal = { id: 'user:alice', kind: 'user', ...(isAdmin !== undefined && { isAdmin }) }
      expect((await post('/introspect', { token })).status).toBe(403)
    }
  })
})

describe('a device', () => {
  const poll = (code: unknown, more = {}) =>
    post('/token', {
      grant_type: DEVICE_GRANT,
      device_code: String(code),
      client_id: 'editor',
      ...more,
    })
  const ALICE = { id: 'user:alice', name: 'alice', isAdmin: false }

  test('is told where to send its user, and gets tokens when that was done', async () => {
    const begun = await post('/device', {
      client_id: 'editor',
      resource: 'https://mcp.example.com/web/mcp',
    })
    expect(begun).toMatchObject({
      status: 200,
      body: {
        verification_uri: 'https://mcp.example.com/oauth/device',
        verification_uri_complete: `https://mcp.example.com/oauth/device?user_code=${begun.body.user_code}`,
        expires_in: 600,
        interval: 5,
      },
    })
    const { device_code, user_code } = begun.body
    expect(await poll(device_code)).toMatchObject({
      status: 400,
      body: { error: 'authorization_pending' },
    })
    expect(await devices.approve(user_code as string, ALICE)).toBe(true)
    const { status, body } = await poll(device_code)
    expect(status).toBe(200)
    expect(await grants.find(body.access_token as string)).toMatchObject({ endpoint: 'web' })
    expect(await poll(device_code)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
  })

  test.each([
    ['a client that does not say so', { client_id: 'direct' }, 'unauthorized_client'],
    ['a client that there is not', { client_id: 'gone' }, 'invalid_client'],
    [
      'a resource elsewhere',
      { client_id: 'editor', resource: 'https://evil.example/' },
      'invalid_target',
    ],
  ])('does not begin with %s', async (_, form, error) => {
    expect((await post('/device', form)).body).toMatchObject({ error })
  })

  test('of another client gets nothing', async () => {
    const { body } = await post('/device', { client_id: 'editor' })
    await devices.approve(body.user_code as string, ALICE)
    const other = { ...CLIENT, id: 'other' }
    clients.other = other
    const stolen = await poll(body.device_code, { client_id: 'other' })
    delete clients.other
    expect(stolen).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
    expect((await poll(body.device_code)).status).toBe(200)
  })
})
