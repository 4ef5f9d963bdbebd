/** What thieves do with codes and tokens, at the front door: each of it fails. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { call, request } from '../../support/http.ts'
import {
  alone,
  authorizeURL,
  BACK,
  exchange,
  type House,
  house,
  knock,
  logIn,
  PROXIED,
  refresh,
  register,
  say,
  submitted,
  unhashed,
  useTool,
} from './house.ts'

let at: House
let internet: Disposable
let hashes: Disposable
beforeAll(async () => {
  internet = alone()
  hashes = unhashed()
  at = await house(PROXIED)
})
afterAll(async () => {
  await at[Symbol.asyncDispose]()
  internet[Symbol.dispose]()
  hashes[Symbol.dispose]()
})

/** A client with a code that it has not used yet. */
async function withCode(asking: Record<string, string> = {}) {
  const { client_id } = await register(at)
  const back = await at.person().authorize(authorizeURL(at, { client_id, ...asking }))
  return { client_id, back, code: back.searchParams.get('code')! }
}

const INVALID = {
  error: 'invalid_grant',
  error_description:
    'it is not known here, has expired, was used before, or is not for this client',
}

describe('codes', () => {
  test('every answer names its issuer, also a refusal, so that no client mixes servers up', async () => {
    const { back, client_id } = await withCode()
    expect(back.searchParams.get('iss')).toBe(at.base)
    expect(back.searchParams.get('state')).toBe('st')
    const denied = await at.person().authorize(authorizeURL(at, { client_id }), 'deny')
    expect(Object.fromEntries(denied.searchParams)).toMatchObject({
      error: 'access_denied',
      iss: at.base,
    })
    const wrong = await at.person().visit(authorizeURL(at, { client_id, response_type: 'token' }))
    expect(Object.fromEntries(wrong.sentTo!.searchParams)).toMatchObject({
      ...{ error: 'unsupported_response_type', iss: at.base, state: 'st' },
    })
  })

  test('a code that comes twice ends the login that it gave', async () => {
    const { client_id, code } = await withCode()
    const { body } = await exchange(at, client_id, code)
    expect((await knock(at, '/a/mcp', body.access_token)).status).toBe(200)
    const again = await exchange(at, client_id, code)
    expect(again).toMatchObject({ status: 400, body: INVALID })
    expect((await knock(at, '/a/mcp', body.access_token)).status).toBe(401)
    expect((await refresh(at, client_id, body.refresh_token)).body.error).toBe('invalid_grant')
  })

  test('of two exchanges at the same time at most one is answered', async () => {
    const { client_id, code } = await withCode()
    const both = await Promise.all([1, 2, 3].map(() => exchange(at, client_id, code)))
    expect(both.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(1)
  })

  test('a code is of no use to another client', async () => {
    const { code } = await withCode()
    const thief = await register(at, { client_name: 'Thief' })
    expect(await exchange(at, thief.client_id, code)).toMatchObject({ status: 400, body: INVALID })
  })

  test('a code of one login injected into another fails, since its verifier is another', async () => {
    const { client_id, code } = await withCode()
    const injected = await exchange(at, client_id, code, { code_verifier: 'x'.repeat(43) })
    expect(injected).toMatchObject({ status: 400, body: INVALID })
  })

  test.each([
    ['no verifier', {}],
    ['an empty verifier', { code_verifier: '' }],
    [
      'the challenge as verifier',
      {
        code_verifier: new URL(authorizeURL({ base: 'http://x' } as House, {})).searchParams.get(
          'code_challenge',
        )!,
      },
    ],
    ['a short verifier', { code_verifier: 'short' }],
  ])('a code with %s is refused', async (_, fields) => {
    const { client_id, code } = await withCode()
    const form = {
      grant_type: 'authorization_code',
      client_id,
      code,
      redirect_uri: BACK,
      ...fields,
    }
    expect((await submitted(at, '/oauth/token', form)).body.error).toMatch(
      /^invalid_(grant|request)$/,
    )
  })

  test.each([
    ['no challenge', { code_challenge: undefined }],
    ['an empty challenge', { code_challenge: '' }],
    [
      'neither challenge nor method',
      { code_challenge: undefined, code_challenge_method: undefined },
    ],
    ['the method "plain"', { code_challenge_method: 'plain' }],
    ['no method, which means "plain"', { code_challenge_method: undefined }],
    ['a method in lower case', { code_challenge_method: 's256' }],
    ['a challenge that is no digest', { code_challenge: 'x'.repeat(44) }],
  ])('nobody is let in with %s', async (_, parameters) => {
    const { client_id } = await register(at)
    const { sentTo } = await at.person().visit(authorizeURL(at, { client_id, ...parameters }))
    expect(sentTo!.searchParams.get('error')).toBe('invalid_request')
    expect(sentTo!.searchParams.has('code')).toBe(false)
  })

  test('a code is refused with another redirect URI', async () => {
    const { client_id, code } = await withCode()
    const fields = { redirect_uri: 'http://127.0.0.1:4321/other' }
    expect(await exchange(at, client_id, code, fields)).toMatchObject({
      status: 400,
      body: INVALID,
    })
  })
})

describe('redirect URIs', () => {
  test.each([
    ['another host', 'https://evil.example/callback'],
    ['another path', 'http://127.0.0.1:4321/other'],
    ['a path below', 'http://127.0.0.1:4321/callback/more'],
    ['a query', 'http://127.0.0.1:4321/callback?x=1'],
    ['a fragment', 'http://127.0.0.1:4321/callback#x'],
    ['a user', 'http://127.0.0.1:4321@evil.example/callback'],
    ['a name that only looks like the loopback', 'http://127.0.0.1.evil.example/callback'],
    ['another spelling of the loopback', 'http://127.1:4321/callback'],
    ['the other name of the loopback', 'http://localhost:4321/callback'],
    ['a port that is none', 'http://127.0.0.1:99999/callback'],
    ['https on the loopback', 'https://127.0.0.1:4321/callback'],
    ['a backslash', 'http://127.0.0.1:4321\\@evil.example/callback'],
    ['dot segments', 'http://127.0.0.1:4321/x/../callback'],
    ['a line break', 'http://127.0.0.1:4321/callback\r\nSet-Cookie: a=b'],
    ['a script', 'javascript:alert(1)//'],
    ['a document', 'data:text/html,<script>alert(1)</script>'],
    ['a relative one', '/callback'],
    ['one without scheme', '//evil.example/callback'],
    ['our own', 'OURS'],
  ])('nobody is sent to %s', async (_, uri) => {
    const { client_id } = await register(at)
    const redirect_uri = uri === 'OURS' ? `${at.base}/oauth/authorize` : uri
    const { page } = await at.person().visit(authorizeURL(at, { client_id, redirect_uri }))
    expect(page!.status).toBe(400)
    expect(page!.refresh).toBeUndefined()
    const links = page!.attributes.filter(([, name]) => /^(href|src|action|formaction)$/.test(name))
    expect(links).toEqual([])
    expect(page!.headers.get('location')).toBeNull()
  })

  test('nobody is sent anywhere for a client that is not known, whatever it names', async () => {
    for (const client_id of ['', 'mcp-client-unknown', 'https://nowhere.example/c.json']) {
      const redirect_uri = 'https://evil.example/'
      const { page } = await at.person().visit(authorizeURL(at, { client_id, redirect_uri }))
      expect(page!.status).toBe(400)
      expect(page!.html).not.toContain('evil.example')
    }
  })

  test.each(['client_id', 'redirect_uri'])(
    'nobody is sent anywhere if %s comes twice',
    async (name) => {
      const { client_id } = await register(at)
      const known: Record<string, string> = { client_id, redirect_uri: BACK }
      const parameters = { ...known, [name]: [known[name]!, known[name]!] }
      const { page } = await at.person().visit(authorizeURL(at, parameters))
      expect(page!.status).toBe(400)
    },
  )

  test.each([
    'response_type',
    'scope',
    'code_challenge',
    'code_challenge_method',
    'prompt',
    'max_age',
  ])('a request with %s twice goes back as an error', async (name) => {
    const { client_id } = await register(at)
    const { sentTo } = await at
      .person()
      .visit(authorizeURL(at, { client_id, [name]: ['S256', 'S256'] }))
    expect(sentTo!.searchParams.get('error')).toBe('invalid_request')
  })

  test.each([
    'javascript:alert(document.cookie)',
    'data:text/html,x',
    'https://evil.example/callback',
    'http://evil.example/callback',
    'http://127.0.0.1:1@evil.example/',
    'cursor://x/#f',
  ])('nobody can register %s', async (uri) => {
    await expect(register(at, { redirect_uris: [uri] })).rejects.toThrow('400')
  })
})

describe('tokens', () => {
  test('a token for one server is of no use at another, at all of them, over REST or SSE', async () => {
    const { access } = await logIn(at, { asking: { resource: `${at.base}/a/mcp` } })
    expect(await useTool(at, '/a/mcp', access, 'whoami')).toBe('whoami')
    for (const path of ['/b/mcp', '/mcp', '/both/mcp', '/b/sse', '/sse', '/nowhere/mcp']) {
      const response = await knock(at, path, access)
      expect([path, response.status]).toEqual([path, 401])
      expect(response.headers.get('www-authenticate')).toContain('error="invalid_token"')
    }
    const headers = { authorization: `Bearer ${access}` }
    for (const path of ['/tools', '/b/sse', '/sse', '/config/services']) {
      expect([path, (await at.fetch(at.base + path, { headers })).status]).toEqual([path, 401])
    }
    const init = { method: 'POST', headers, body: '{"name":"a_whoami"}' }
    expect((await at.fetch(`${at.base}/tools/call`, init)).status).toBe(401)
    // But whose it is may see it, and end it.
    expect((await at.fetch(`${at.base}/oauth/status`, { headers })).status).toBe(200)
    const ending = { method: 'POST', headers }
    expect((await at.fetch(`${at.base}/oauth/logout`, ending)).status).toBe(200)
    expect((await knock(at, '/a/mcp', access)).status).toBe(401)
  })

  test('a token for all servers merged is of no use at one of them', async () => {
    const { access } = await logIn(at, { asking: { resource: `${at.base}/mcp` } })
    expect((await knock(at, '/mcp', access)).status).toBe(200)
    expect((await knock(at, '/a/mcp', access)).status).toBe(401)
  })

  test('a token is good for the servers of its person only, listing and calling alike', async () => {
    const { access } = await logIn(at, { as: 'bob' })
    expect(await useTool(at, '/a/mcp', access, 'whoami')).toBe('whoami')
    expect((await knock(at, '/b/mcp', access)).status).toBe(404)
    const { tools } = (await (
      await at.fetch(`${at.base}/tools`, { headers: { authorization: `Bearer ${access}` } })
    ).json()) as { tools: { name: string }[] }
    expect(tools.map(({ name }) => name).filter((name) => name.startsWith('b'))).toEqual([])
    await expect(useTool(at, '/mcp', access, 'b_whoami')).rejects.toThrow()
  })

  test('neither code nor refresh token is an access token', async () => {
    const { code } = await withCode()
    const { refresh: token } = await logIn(at)
    expect((await knock(at, '/a/mcp', code)).status).toBe(401)
    expect((await knock(at, '/a/mcp', token)).status).toBe(401)
  })

  test('an access token in the path or the query of a URL counts for nothing', async () => {
    const { access } = await logIn(at)
    expect((await knock(at, `/a/${access}/mcp`, undefined)).status).toBe(401)
    expect((await knock(at, `/a/mcp?access_token=${access}`, undefined)).status).toBe(401)
  })

  test('what is asked for at the token endpoint is never more than was granted', async () => {
    const { client_id, code } = await withCode({ resource: `${at.base}/a/mcp` })
    const more = await exchange(at, client_id, code, { resource: `${at.base}/b/mcp` })
    expect(more.status).toBe(400)
    expect(more.body.error).toMatch(/^invalid_(target|grant)$/)
  })

  test('a resource elsewhere is refused', async () => {
    const { client_id } = await register(at)
    for (const resource of ['https://other.example/a/mcp', `${at.base}/nowhere/mcp`, 'urn:x']) {
      const { sentTo } = await at.person().visit(authorizeURL(at, { client_id, resource }))
      expect(sentTo!.searchParams.get('error')).toBe('invalid_target')
    }
  })

  test('a stolen refresh token that comes after its successor was used ends the login', async () => {
    const { client, refresh: first } = await logIn(at)
    const second = (await refresh(at, client, first)).body
    const third = (await refresh(at, client, second.refresh_token)).body
    expect((await knock(at, '/a/mcp', third.access_token)).status).toBe(200)
    expect((await refresh(at, client, first)).body).toMatchObject(INVALID)
    expect((await refresh(at, client, third.refresh_token)).body).toMatchObject(INVALID)
    expect((await knock(at, '/a/mcp', third.access_token)).status).toBe(401)
  })

  test('two sessions of one client that refresh at the same time both go on', async () => {
    const { client, refresh: token } = await logIn(at)
    const both = await Promise.all([refresh(at, client, token), refresh(at, client, token)])
    for (const { status, body } of both) {
      expect(status).toBe(200)
      expect((await knock(at, '/a/mcp', body.access_token)).status).toBe(200)
    }
    // Whichever of the answers a client has kept.
    expect((await refresh(at, client, both[1]!.body.refresh_token)).status).toBe(200)
  })

  test('a refresh token is of no use to another client, nor can that take it back', async () => {
    const { client, refresh: token, access } = await logIn(at)
    const thief = (await register(at)).client_id
    expect((await refresh(at, thief, token)).body).toMatchObject(INVALID)
    expect((await submitted(at, '/oauth/revoke', { token, client_id: thief })).status).toBe(200)
    expect((await knock(at, '/a/mcp', access)).status).toBe(200)
    expect((await refresh(at, client, token)).status).toBe(200)
  })

  test('a client with a secret gets nothing without it', async () => {
    const { client_id, client_secret } = await register(at, {
      token_endpoint_auth_method: 'client_secret_post',
    })
    const back = await at.person().authorize(authorizeURL(at, { client_id }))
    const code = back.searchParams.get('code')!
    for (const fields of [{}, { client_secret: 'wrong' }, { client_secret: '' }]) {
      expect(await exchange(at, client_id, code, fields as Record<string, string>)).toMatchObject({
        ...{ status: 401, body: { error: 'invalid_client' } },
      })
    }
    expect((await exchange(at, client_id, code, { client_secret: client_secret! })).status).toBe(
      200,
    )
  })

  test.each(['alice', 'root'] as const)('"admin" is for admins: %s', async (as) => {
    const { access } = await logIn(at, { as, asking: { scope: 'mcp admin' } })
    const headers = { authorization: `Bearer ${access}` }
    const isAdmin = as === 'root'
    const token = { token: access }
    expect((await submitted(at, '/oauth/introspect', token, headers)).status).toBe(
      isAdmin ? 200 : 403,
    )
    expect((await at.fetch(`${at.base}/config/services`, { headers })).status).toBe(
      isAdmin ? 200 : 403,
    )
    const plain = await logIn(at, { as })
    const theirs = { authorization: `Bearer ${plain.access}` }
    expect((await at.fetch(`${at.base}/config/services`, { headers: theirs })).status).toBe(403)
  })

  test('neither status nor logout of somebody else is for anybody', async () => {
    const { access } = await logIn(at)
    const headers = { authorization: `Bearer ${access}` }
    const root = await logIn(at, { as: 'root' })
    expect((await at.fetch(`${at.base}/oauth/status?user_id=root`, { headers })).status).toBe(403)
    expect((await submitted(at, '/oauth/logout', { user_id: 'root' }, headers)).status).toBe(403)
    expect((await submitted(at, '/oauth/logout', { user_id: 'root' })).status).toBe(401)
    expect((await knock(at, '/a/mcp', root.access)).status).toBe(200)
  })

  test('nobody becomes somebody by a header', async () => {
    for (const name of ['x-user-id', 'x-forwarded-user', 'remote-user', 'x-remote-user']) {
      expect((await knock(at, '/a/mcp', undefined, { [name]: 'root' })).status).toBe(401)
    }
  })
})

describe('sessions', () => {
  test('what is not known to a session of somebody else is all there is to see of it', async () => {
    const [alice, bob] = [await logIn(at), await logIn(at, { as: 'bob' })]
    const opened = await knock(at, '/a/mcp', alice.access)
    const id = opened.headers.get('mcp-session-id')!
    const session = { 'mcp-session-id': id }
    const list = request(1, 'tools/list')
    expect((await say(at, '/a/mcp', alice.access, list, session)).status).toBe(200)
    expect((await say(at, '/a/mcp', bob.access, list, session)).status).toBe(404)
    expect((await say(at, '/a/mcp', undefined, list, session)).status).toBe(401)
    const theirs = { authorization: `Bearer ${bob.access}`, ...session }
    const stream = await at.fetch(`${at.base}/a/mcp`, {
      headers: { ...theirs, accept: 'text/event-stream' },
    })
    expect(stream.status).toBe(404)
    const end = await at.fetch(`${at.base}/a/mcp`, { method: 'DELETE', headers: theirs })
    expect(end.status).toBe(404)
    expect((await say(at, '/a/mcp', alice.access, call(2, 'whoami'), session)).status).toBe(200)
  })

  test('no upstream is told who came, or with what', async () => {
    const { access } = await logIn(at)
    await useTool(at, '/a/mcp', access, 'whoami')
    const told = JSON.stringify(at.seen.map(({ headers, text }) => [[...headers], text]))
    expect(at.seen.length).toBeGreaterThan(0)
    expect(told).not.toContain(access)
    expect(told).not.toMatch(/"authorization"|"cookie"/)
  })
})

test('somebody who is not in the configuration any more is out: token, refresh, session, page', async () => {
  await using at = await house()
  const client = (await register(at)).client_id
  const person = at.person()
  const { access, refresh: token } = await logIn(at, { client, person })
  const opened = await knock(at, '/a/mcp', access)
  const session = { 'mcp-session-id': opened.headers.get('mcp-session-id')! }
  const back = await person.authorize(authorizeURL(at, { client_id: client }))
  await at.configure({ oauth: { users: { carol: 'nobody knows' } } })
  expect((await knock(at, '/a/mcp', access)).status).toBe(401)
  expect((await say(at, '/a/mcp', access, request(1, 'tools/list'), session)).status).toBe(401)
  expect((await refresh(at, client, token)).body.error).toBe('invalid_grant')
  expect((await exchange(at, client, back.searchParams.get('code')!)).body.error).toBe(
    'invalid_grant',
  )
  const { page } = await person.visit(authorizeURL(at, { client_id: client }))
  expect(page!.text).toContain('Sign in')
  expect((await person.logIn(page!)).page!.status).toBe(403)
})
