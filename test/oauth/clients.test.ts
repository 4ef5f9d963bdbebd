/** Which clients are known, how they prove who they are, and when they are forgotten. */
import { afterEach, describe, expect, setSystemTime, test } from 'bun:test'
import type { Clients } from '../../src/auth/clients.ts'
import { OAuthError } from '../../src/auth/oauth-error.ts'
import { Secret } from '../../src/secret.ts'
import { form, HERE, ISSUER, surroundings } from './outside.ts'

const NOON = Date.parse('2026-01-01T12:00:00Z')
const DAY = 24 * 60 * 60 * 1000
const LOOPBACK = 'http://localhost:4711/callback'

afterEach(() => {
  setSystemTime()
})

async function refusal(act: Promise<unknown>): Promise<OAuthError> {
  const error = await act.then(
    () => undefined,
    (reason) => reason,
  )
  expect(error).toBeInstanceOf(OAuthError)
  return error as OAuthError
}

const basic = (id: string, secret: string) =>
  new Headers({ authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` })

/** What comes to the token endpoint. */
const arrive = (clients: Clients, fields: Record<string, string>, headers = new Headers()) =>
  clients.authenticate({ headers, form: form(fields), issuer: ISSUER })

const register = (clients: Clients, more: object = {}) =>
  clients.register({ client_name: 'Example', redirect_uris: [LOOPBACK], ...more }, HERE)

describe('a client is found', () => {
  test('as it is configured, before all others', async () => {
    const { clients, configure } = surroundings()
    const { id } = await register(clients)
    const redirectURIs = ['https://app.example/cb']
    configure({ clients: { [id]: { redirectURIs }, other: { name: 'Other', redirectURIs } } })
    expect(await clients.find(id)).toMatchObject({ id, name: id, kind: 'configured', redirectURIs })
    expect(await clients.find('other')).toMatchObject({ name: 'Other', authentication: 'none' })
  })

  test('as it has registered', async () => {
    const { clients } = surroundings()
    const { id } = await register(clients)
    expect(await clients.find(id)).toEqual({
      id,
      name: 'Example',
      kind: 'registered',
      redirectURIs: [LOOPBACK],
      authentication: 'none',
      grantTypes: ['authorization_code', 'refresh_token'],
    })
  })

  test('only while its redirect URIs are still allowed', async () => {
    const place = 'https://app.example/cb'
    const { clients, configure } = surroundings({ redirectURIs: [place] })
    const { id } = await register(clients, { redirect_uris: [place, LOOPBACK] })
    expect(await clients.find(id)).toMatchObject({ redirectURIs: [place, LOOPBACK] })
    configure({})
    expect(await clients.find(id)).toMatchObject({ redirectURIs: [LOOPBACK] })
  })

  test.each([
    '',
    'unknown',
    '__proto__',
    'constructor',
    'toString',
    'mgw_client_x',
    'a\nb',
    'x'.repeat(5000),
    'ü',
  ])('not as %j', async (id) => {
    const { clients } = surroundings({ clients: { a: { redirectURIs: [LOOPBACK] } } })
    expect(await clients.find(id)).toBeUndefined()
    expect(await clients.find(id, LOOPBACK)).toBeUndefined()
  })

  test('nowhere without logins', async () => {
    const { clients, configure } = surroundings({}, { host: '127.0.0.1', baseURL: undefined })
    configure(null)
    expect(await clients.find('any', LOOPBACK)).toBeUndefined()
    expect((await refusal(register(clients))).code).toBe('access_denied')
  })
})

describe('a client that nobody knows', () => {
  const HOME = { host: '127.0.0.1', baseURL: undefined }

  test('is taken as it is where only who sits there can come, if its people stay there', async () => {
    const { clients } = surroundings({}, HOME)
    expect(await clients.find('any client', LOOPBACK)).toEqual({
      id: 'any client',
      name: 'any client',
      kind: 'unverified',
      redirectURIs: [LOOPBACK],
      authentication: 'none',
      grantTypes: ['authorization_code', 'refresh_token'],
    })
    expect(await arrive(clients, { client_id: 'any', redirect_uri: LOOPBACK })).toMatchObject({
      kind: 'unverified',
    })
    // When it refreshes.
    expect(await arrive(clients, { client_id: 'any' })).toMatchObject({ id: 'any' })
  })

  test.each<[string, string]>([
    ['any', 'https://app.example/cb'],
    ['any', 'http://localhost.evil.example/cb'],
    ['any', 'http://localhost@evil.example/cb'],
    ['any', 'cursor://anysphere.cursor-mcp/oauth/callback'],
    ['any', 'https://claude.ai/api/mcp/auth_callback'],
    ['any', ''],
    ['', LOOPBACK],
    ['a\nb', LOOPBACK],
    ['x'.repeat(300), LOOPBACK],
    ['mgw_client_forgotten', LOOPBACK],
    ['https://nobody.example/client.json', LOOPBACK],
  ])('is not: %j to %j', async (id, redirectURI) => {
    const { clients } = surroundings({}, HOME)
    expect(await clients.find(id, redirectURI)).toBeUndefined()
    if (redirectURI === '') return
    const { code } = await refusal(
      arrive(clients, { client_id: id, redirect_uri: redirectURI }),
    ).catch(() => ({ code: 'temporarily_unavailable' }))
    expect(['invalid_client', 'temporarily_unavailable']).toContain(code)
  })

  test.each<[string, object, object]>([
    ['listens for others', {}, { ...HOME, host: '0.0.0.0' }],
    ['has a proxy', {}, { ...HOME, trustedProxies: ['127.0.0.1'] }],
    ['has a public URL', {}, { ...HOME, baseURL: 'https://mcp.example.com' }],
    ['does not want it', { acceptUnregisteredLoopbackClients: false }, HOME],
  ])('is not where the gateway %s', async (_, oauth, gateway) => {
    const { clients } = surroundings(oauth, gateway)
    expect(await clients.find('any', LOOPBACK)).toBeUndefined()
    expect((await refusal(arrive(clients, { client_id: 'any' }))).code).toBe('invalid_client')
  })

  test('is where the gateway wants it, and then only without a secret', async () => {
    const { clients } = surroundings({ acceptUnregisteredLoopbackClients: true })
    expect(await clients.find('any', LOOPBACK)).toMatchObject({ kind: 'unverified' })
    const fields = { client_id: 'any', client_secret: 'x' }
    expect((await refusal(arrive(clients, fields))).code).toBe('invalid_client')
  })
})

describe('at the token endpoint', () => {
  test('a public client says who it is', async () => {
    const { clients } = surroundings()
    const { id, secret } = await register(clients)
    expect(secret).toBeUndefined()
    expect(await arrive(clients, { client_id: id })).toMatchObject({ id })
    expect(await arrive(clients, { client_id: id, client_secret: '' })).toMatchObject({ id })
    expect(await arrive(clients, {}, basic(id, ''))).toMatchObject({ id })
  })

  test('a client with a secret proves itself in the way that it registered for', async () => {
    const { clients } = surroundings()
    const post = await register(clients, { token_endpoint_auth_method: 'client_secret_post' })
    const head = await register(clients, { token_endpoint_auth_method: 'client_secret_basic' })
    const posted = { client_id: post.id, client_secret: post.secret! }
    expect(await arrive(clients, posted)).toMatchObject({ id: post.id })
    expect(await arrive(clients, {}, basic(head.id, head.secret!))).toMatchObject({ id: head.id })
    const again = { client_id: head.id }
    expect(await arrive(clients, again, basic(head.id, head.secret!))).toMatchObject({
      id: head.id,
    })
    const wrong: [Record<string, string>, Headers?][] = [
      [{ client_id: post.id }],
      [{ client_id: post.id, client_secret: '' }],
      [{ client_id: post.id, client_secret: `${post.secret}x` }],
      [{ client_id: post.id, client_secret: head.secret! }],
      [{ client_id: head.id, client_secret: head.secret! }],
      [{}, basic(post.id, post.secret!)],
      [{}, basic(head.id, post.secret!)],
      [{}, basic(head.id, '')],
      [{}, new Headers({ authorization: 'Basic !' })],
      [{}, new Headers({ authorization: 'Basic' })],
      [{}, basic(head.id, '%zz')],
      [{ client_id: post.id }, basic(head.id, head.secret!)],
      [posted, basic(post.id, post.secret!)],
      [{ client_id: head.id, client_secret: head.secret! }, basic(head.id, head.secret!)],
      [{ ...posted, client_assertion: 'x' }],
      [{}],
      [{ client_id: '' }],
    ]
    for (const [fields, headers] of wrong) {
      const { code, status, message } = await refusal(arrive(clients, fields, headers))
      expect([code, status]).toEqual(['invalid_client', 401])
      expect(message).not.toContain(post.secret!)
      expect(message).toBe('the client is not known, or has not proved who it is')
    }
  })

  test('a public client that comes with a secret is not the one that registered', async () => {
    const { clients } = surroundings()
    const { id } = await register(clients)
    const { reason } = await refusal(arrive(clients, { client_id: id, client_secret: 'x' }))
    expect(reason).toBe('client_secret_post is not its way to prove itself')
  })

  test('a configured client uses its secret, which may have any characters', async () => {
    const secret = 'a:b c%d+é'
    const id = 'my client'
    const { clients } = surroundings({ clients: { [id]: { secret, redirectURIs: [LOOPBACK] } } })
    const encode = (text: string) => new URLSearchParams({ a: text }).toString().slice(2)
    expect(await arrive(clients, {}, basic(encode(id), encode(secret)))).toMatchObject({ id })
    expect(await arrive(clients, { client_id: id, client_secret: secret })).toMatchObject({ id })
    expect((await refusal(arrive(clients, { client_id: id }))).code).toBe('invalid_client')
    expect((await refusal(arrive(clients, { client_id: id, client_secret: 'a' }))).code).toBe(
      'invalid_client',
    )
  })

  test('a client that is gone is told to register again', async () => {
    const { clients } = surroundings({}, { host: '127.0.0.1', baseURL: undefined })
    const { id } = await register(clients)
    expect(await clients.remove(id)).toBe(true)
    expect(await clients.remove(id)).toBe(false)
    const { code, status } = await refusal(
      arrive(clients, { client_id: id, redirect_uri: LOOPBACK }),
    )
    expect([code, status]).toEqual(['invalid_client', 401])
    expect(await clients.find(id, LOOPBACK)).toBeUndefined()
  })

  test('a client whose document cannot be had now is not told that it is unknown', async () => {
    const { clients, internet } = surroundings()
    const id = 'https://client.example/client.json'
    const { code, status } = await refusal(arrive(clients, { client_id: id }))
    expect([code, status]).toEqual(['temporarily_unavailable', 503])
    internet.pages.set(`${id}x`, () => new Response('', { status: 404 }))
    expect((await refusal(arrive(clients, { client_id: `${id}x` }))).code).toBe('invalid_client')
  })
})

describe('a client is kept', () => {
  test('for a week while nobody lets it in', async () => {
    setSystemTime(NOON)
    const { clients } = surroundings()
    const { id } = await register(clients)
    setSystemTime(NOON + 7 * DAY - 1)
    expect(await clients.find(id)).toBeDefined()
    setSystemTime(NOON + 7 * DAY)
    expect(await clients.find(id)).toBeUndefined()
  })

  test('for half a year from when it was last used', async () => {
    setSystemTime(NOON)
    const { clients, store } = surroundings()
    const { id } = await register(clients)
    await clients.used(id)
    expect(await store.get('rosters', 'unused')).toBeUndefined()
    setSystemTime(NOON + 179 * DAY)
    await clients.used(id)
    setSystemTime(NOON + 358 * DAY)
    expect(await clients.find(id)).toBeDefined()
    setSystemTime(NOON + 359 * DAY)
    expect(await clients.find(id)).toBeUndefined()
    await clients.used(id)
    expect(await clients.find(id)).toBeUndefined()
  })

  test('and listed, with those that are configured', async () => {
    setSystemTime(NOON)
    const { clients, configure, internet } = surroundings()
    const { id } = await register(clients)
    await clients.used(id)
    const url = 'https://client.example/client.json'
    internet.publish(url, { client_id: url, redirect_uris: [LOOPBACK] })
    await clients.used(url)
    configure({ clients: { app: { secret: 'hidden', redirectURIs: [LOOPBACK] } } })
    const listed = await Array.fromAsync(clients.list())
    expect(listed).toMatchObject([
      { id: 'app', kind: 'configured' },
      { id: url, kind: 'document', registeredAt: NOON, usedAt: NOON },
      { id, kind: 'registered', registeredAt: NOON, usedAt: NOON },
    ])
    expect(JSON.stringify(listed)).not.toMatch(/hidden|[Dd]igest/)
  })

  test('without its secret', async () => {
    const { clients, store } = surroundings()
    const { secret } = await register(clients, { token_endpoint_auth_method: 'client_secret_post' })
    for (const bucket of ['clients', 'rosters'] as const)
      expect(JSON.stringify(await Array.fromAsync(store.list(bucket)))).not.toContain(secret!)
  })

  test('when it registers over and over only in its latest forms', async () => {
    const { clients, store } = surroundings({}, {})
    setSystemTime(NOON)
    const ids: string[] = []
    for (let i = 0; i < 60; i++) {
      setSystemTime(NOON + i * 10_000)
      ids.push((await register(clients)).id)
    }
    expect(await Array.fromAsync(store.list('clients'))).toHaveLength(20)
    expect(await clients.find(ids[39]!)).toBeUndefined()
    expect(await clients.find(ids[40]!)).toBeDefined()
  })

  test('while a flood of others comes, if it is used; of those that are not, the oldest go', async () => {
    setSystemTime(NOON)
    const { clients, store } = surroundings()
    const { id: used } = await register(clients)
    await clients.used(used)
    const { id: unused } = await register(clients)
    for (let i = 0; i < 1000; i++) {
      const address = `198.51.${i >> 8}.${i & 255}`
      await clients.register({ redirect_uris: [LOOPBACK] }, { address })
    }
    expect(await clients.find(used)).toBeDefined()
    expect(await clients.find(unused)).toBeUndefined()
    expect(await Array.fromAsync(store.list('clients'))).toHaveLength(1001)
  })

  test('that came into use while it was about to go', async () => {
    setSystemTime(NOON)
    const { clients, store } = surroundings()
    const { id } = await register(clients)
    const roster = await store.get('rosters', 'unused')
    await clients.used(id)
    // As if the process had died before it was struck off.
    await store.update('rosters', 'unused', () => ({ value: roster }))
    for (let i = 0; i < 20; i++) await register(clients)
    expect(await clients.find(id)).toBeDefined()
  })
})

describe('a client of an older proxy', () => {
  test('is taken over with its id and its secret, which that never asked for', async () => {
    const { clients } = surroundings()
    const redirectURIs = ['https://claude.ai/api/mcp/auth_callback']
    const old = { id: 'old', name: 'Claude', secret: new Secret('s3cret'), redirectURIs }
    expect(await clients.adopt(old)).toBe(true)
    expect(await clients.adopt({ ...old, name: 'Again' })).toBe(true)
    expect(await clients.find('old')).toMatchObject({ name: 'Claude', kind: 'registered' })
    const come = (secret: object) => arrive(clients, { client_id: 'old', ...secret })
    expect(await come({})).toMatchObject({ id: 'old' })
    expect(await come({ client_secret: 's3cret' })).toMatchObject({ id: 'old' })
    expect((await refusal(come({ client_secret: 'x' }))).code).toBe('invalid_client')
  })

  test.each<[string, string[]]>([
    ['evil', ['https://evil.example/cb']],
    ['script', ['javascript:alert(1)']],
    ['none', []],
    ['https://claude.ai/oauth/mcp-oauth-client-metadata', [LOOPBACK]],
    ['a\nb', [LOOPBACK]],
  ])('is not taken over as %j', async (id, redirectURIs) => {
    const { clients, store } = surroundings()
    expect(await clients.adopt({ id, name: 'x', secret: undefined, redirectURIs })).toBe(false)
    expect(await Array.fromAsync(store.list('clients'))).toEqual([])
  })
})
