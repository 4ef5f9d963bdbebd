/** Clients that prove with a key of their own who they are. */
import { afterEach, describe, expect, setSystemTime, test } from 'bun:test'
import type { webcrypto } from 'node:crypto'
import { claimsFault } from '../../src/auth/clients/assertion.ts'
import { OAuthError } from '../../src/auth/oauth-error.ts'
import { form, HERE, ISSUER, type Surroundings, surroundings } from './outside.ts'

const NOON = Date.parse('2026-01-01T12:00:00Z')
const ID = 'https://client.example/client.json'
const KEYS = 'https://keys.example/jwks.json'
const TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const TOKEN_ENDPOINT = 'https://mcp.example.com/oauth/token'

const GENERATED = {
  RS256: {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: 'SHA-256',
  },
  PS256: {
    name: 'RSA-PSS',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: 'SHA-256',
    saltLength: 32,
  },
  ES256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  EdDSA: { name: 'Ed25519' },
}
type Algorithm = keyof typeof GENERATED

interface Pair {
  algorithm: Algorithm
  private: webcrypto.CryptoKey
  public: Record<string, unknown>
}

async function generate(algorithm: Algorithm, kid?: string, more: object = {}): Promise<Pair> {
  const parameters = { ...GENERATED[algorithm], ...more }
  const pair = (await crypto.subtle.generateKey(parameters, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair
  const { kty, crv, x, y, n, e } = await crypto.subtle.exportKey('jwk', pair.publicKey)
  return { algorithm, private: pair.privateKey, public: { kty, crv, x, y, n, e, kid } }
}

const encoded = (json: unknown) => Buffer.from(JSON.stringify(json)).toString('base64url')
const seconds = () => Math.floor(Date.now() / 1000)

function claims(more: object = {}): object {
  return {
    iss: ID,
    sub: ID,
    aud: ISSUER.id,
    iat: seconds(),
    exp: seconds() + 300,
    jti: crypto.randomUUID(),
    ...more,
  }
}

async function sign(pair: Pair, payload: object = claims(), header: object = {}): Promise<string> {
  const { kid } = pair.public
  const text = `${encoded({ alg: pair.algorithm, kid, ...header })}.${encoded(payload)}`
  const signature = await crypto.subtle.sign(
    GENERATED[pair.algorithm],
    pair.private,
    Buffer.from(text),
  )
  return `${text}.${Buffer.from(signature).toString('base64url')}`
}

function come({ clients }: Surroundings, assertion: string, more: Record<string, string> = {}) {
  const fields = { client_assertion: assertion, client_assertion_type: TYPE, ...more }
  return clients.authenticate({ headers: new Headers(), form: form(fields), issuer: ISSUER })
}

async function refused(act: Promise<unknown>): Promise<string | undefined> {
  const error = await act.then(
    () => undefined,
    (reason) => reason,
  )
  expect(error).toBeInstanceOf(OAuthError)
  expect(error.code).toBe('invalid_client')
  expect(error.message).toBe('the client is not known, or has not proved who it is')
  return error.reason
}

/** A gateway that finds the client's document, and its keys. */
function knowing(pairs: Pair[], more: object = {}): Surroundings {
  const around = surroundings()
  around.internet.publish(ID, {
    client_id: ID,
    redirect_uris: ['https://client.example/cb'],
    token_endpoint_auth_method: 'private_key_jwt',
    jwks_uri: KEYS,
    ...more,
  })
  around.internet.publish(KEYS, { keys: pairs.map((pair) => pair.public) })
  return around
}

const pair = await generate('ES256', 'first')

afterEach(() => {
  setSystemTime()
})

describe('an assertion is good', () => {
  test.each(['RS256', 'PS256', 'ES256', 'EdDSA'] as const)('signed with %s', async (algorithm) => {
    const own = await generate(algorithm, 'k')
    const around = knowing([own])
    expect(await come(around, await sign(own))).toMatchObject({ id: ID, kind: 'document' })
    expect(await come(around, await sign(own), { client_id: ID })).toMatchObject({ id: ID })
  })

  test.each<[string, unknown]>([
    ['the issuer', ISSUER.id],
    ['the token endpoint', TOKEN_ENDPOINT],
    ['both', [ISSUER.id, TOKEN_ENDPOINT]],
  ])('for %s', async (_, aud) => {
    expect(await come(knowing([pair]), await sign(pair, claims({ aud })))).toMatchObject({ id: ID })
  })

  test('with a key that its client has registered', async () => {
    const around = surroundings()
    const { id } = await around.clients.register(
      {
        redirect_uris: ['http://localhost/cb'],
        token_endpoint_auth_method: 'private_key_jwt',
        jwks: { keys: [{ ...pair.public, d: 'private' }] },
      },
      HERE,
    )
    expect(JSON.stringify(await around.store.get('clients', id))).not.toContain('private"')
    const own = claims({ iss: id, sub: id })
    expect(await come(around, await sign(pair, own))).toMatchObject({ id, kind: 'registered' })
  })

  test('without the id of a key, if one of them fits', async () => {
    const other = await generate('ES256')
    const rsa = await generate('RS256')
    const own = await generate('ES256')
    expect(await come(knowing([other, rsa, own]), await sign(own))).toMatchObject({ id: ID })
  })

  test('with a key that is new, which is looked for once a minute at most', async () => {
    setSystemTime(NOON)
    const around = knowing([pair])
    await come(around, await sign(pair))
    const next = await generate('ES256', 'second')
    around.internet.publish(KEYS, { keys: [next.public] })
    setSystemTime(NOON + 59_000)
    await refused(come(around, await sign(next)))
    setSystemTime(NOON + 60_000)
    expect(await come(around, await sign(next))).toMatchObject({ id: ID })
    for (let i = 0; i < 5; i++) await refused(come(around, await sign(pair)))
    expect(around.internet.asked.filter((text) => text.startsWith(KEYS))).toHaveLength(2)
  })
})

describe('an assertion is refused', () => {
  test.each<[string, object]>([
    ['for another server', { aud: 'https://other.example' }],
    ['for another server, too', { aud: [ISSUER.id, 'https://other.example'] }],
    ['for nobody', { aud: [] }],
    ['for the issuer with a slash', { aud: `${ISSUER.id}/` }],
    ['for an endpoint of servers', { aud: 'https://mcp.example.com/mcp' }],
    ['without audience', { aud: undefined }],
    ['of another issuer', { iss: 'https://other.example/client.json' }],
    ['without end', { exp: undefined }],
    ['that has ended', { exp: seconds() - 61 }],
    ['that is good for ever', { exp: seconds() + 7200 }],
    ['of tomorrow', { iat: seconds() + 86400 }],
    ['that is not good yet', { nbf: seconds() + 600 }],
    ['without id', { jti: undefined }],
    ['with an empty id', { jti: '' }],
    ['whose end is a text', { exp: '9999999999' }],
    ['whose end is endless', { exp: 1e300 }],
  ])('%s', async (_, more) => {
    await refused(come(knowing([pair]), await sign(pair, claims(more))))
  })

  test('when it comes again, and when it comes twice at once', async () => {
    const around = knowing([pair])
    const assertion = await sign(pair)
    const both = await Promise.allSettled([come(around, assertion), come(around, assertion)])
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await refused(come(around, assertion))).toBe('its assertion came before')
  })

  test('when it comes again just before it ends', async () => {
    setSystemTime(NOON)
    const around = knowing([pair])
    const assertion = await sign(pair)
    await come(around, assertion)
    setSystemTime(NOON + 359_999)
    expect(await refused(come(around, assertion))).toBe('its assertion came before')
    setSystemTime(NOON + 360_000)
    expect(await refused(come(around, assertion))).toBe('its assertion is not good: it has expired')
  })

  test('signed by somebody else', async () => {
    const thief = await generate('ES256', 'first')
    await refused(come(knowing([pair]), await sign(thief)))
  })

  test('with a key in itself, or one that it leads to', async () => {
    const thief = await generate('ES256', 'first')
    for (const header of [
      { jwk: thief.public },
      { jku: 'https://evil.example/jwks' },
      { x5u: KEYS },
    ]) {
      const around = knowing([pair])
      await refused(come(around, await sign(thief, claims(), header)))
      expect(around.internet.asked.join()).not.toContain('evil')
    }
  })

  test('for no algorithm, a shared secret, or one of another kind of key', async () => {
    const around = knowing([pair])
    const [, payload] = (await sign(pair)).split('.')
    for (const alg of ['none', 'None', 'HS256', 'ES384', 'RS256', '']) {
      const head = encoded({ alg, kid: 'first' })
      await refused(come(around, `${head}.${payload}.${encoded('x')}`))
      await refused(come(around, `${head}.${payload}.`))
    }
    // The public key as a secret.
    const secret = await crypto.subtle.importKey(
      'raw',
      Buffer.from(JSON.stringify(pair.public)),
      { name: 'HMAC', hash: 'SHA-256' },
      false,
      ['sign'],
    )
    const text = `${encoded({ alg: 'HS256', kid: 'first' })}.${payload}`
    const mac = Buffer.from(await crypto.subtle.sign('HMAC', secret, Buffer.from(text)))
    await refused(come(around, `${text}.${mac.toString('base64url')}`))
  })

  test('by a short key', async () => {
    const short = await generate('RS256', 'k', { modulusLength: 1024 })
    await refused(come(knowing([short]), await sign(short)))
  })

  test('by a key that is for something else', async () => {
    for (const more of [{ use: 'enc' }, { alg: 'ES384' }, { kid: 'other' }]) {
      const around = knowing([])
      around.internet.publish(KEYS, { keys: [null, 1, { ...pair.public, ...more }] })
      await refused(come(around, await sign(pair)))
    }
  })

  test('with an extension that must be understood', async () => {
    await refused(come(knowing([pair]), await sign(pair, claims(), { crit: ['exp'] })))
  })

  test('when it was changed', async () => {
    const around = knowing([pair])
    const [head, , signature] = (await sign(pair)).split('.')
    await refused(come(around, `${head}.${encoded(claims())}.${signature}`))
  })

  test.each(['', 'a.b', 'a.b.c', '..', 'a.b.c.d', 'x'.repeat(20_000), 'e30.e30.e30'])(
    'that is none: %j',
    async (text) => {
      await refused(come(knowing([pair]), text))
    },
  )

  test('about another client than its issuer', () => {
    const good = { iss: ID, sub: ID, aud: ISSUER.id, exp: seconds() + 60, jti: 'x' }
    const fault = (more: object) => claimsFault({ ...good, ...more }, ID, [ISSUER.id], Date.now())
    expect(fault({})).toBeUndefined()
    expect(fault({ sub: 'other' })).toBe('it is about another client')
    expect(fault({ iss: 'other' })).toBe('it is about another client')
  })

  test('of another type', async () => {
    const more = {
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer',
    }
    await refused(come(knowing([pair]), await sign(pair), more))
  })

  test('for another client than the one that is named', async () => {
    await refused(come(knowing([pair]), await sign(pair), { client_id: 'other' }))
  })

  test('of a client that does not prove itself so', async () => {
    const around = knowing([pair], { token_endpoint_auth_method: 'none', jwks_uri: undefined })
    expect(await refused(come(around, await sign(pair)))).toContain('private_key_jwt')
  })
})

describe('a client with a key', () => {
  const nothing = { headers: new Headers(), form: form({ client_id: ID }), issuer: ISSUER }

  test('does not come without it', async () => {
    const { clients } = knowing([pair])
    expect(await refused(clients.authenticate(nothing))).toContain('none')
  })

  test('may come without it if its document says so, as that of ChatGPT does', async () => {
    const supported = ['none', 'private_key_jwt', 'client_secret_post']
    const around = knowing([pair], { token_endpoint_auth_methods_supported: supported })
    expect(await around.clients.authenticate(nothing)).toMatchObject({ id: ID })
    expect(await come(around, await sign(pair))).toMatchObject({
      authentication: 'private_key_jwt',
    })
    const secret = form({ client_id: ID, client_secret: 'x' })
    await refused(around.clients.authenticate({ ...nothing, form: secret }))
  })

  test('is asked to come back if its keys cannot be had now', async () => {
    const around = knowing([pair])
    around.internet.pages.set(KEYS, () => new Response('', { status: 503 }))
    await expect(come(around, await sign(pair))).rejects.toMatchObject({
      code: 'temporarily_unavailable',
    })
  })

  test('cannot have its keys fetched from a network of ours', async () => {
    const around = knowing([pair])
    around.internet.addresses.set('keys.example', ['10.0.0.1'])
    await expect(come(around, await sign(pair))).rejects.toMatchObject({
      code: 'temporarily_unavailable',
    })
    expect(around.internet.asked.join()).not.toContain('10.0.0.1')
  })
})
