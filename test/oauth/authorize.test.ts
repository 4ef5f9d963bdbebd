/** From what a client asks to where a person is sent: through a real port, as browsers come. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  CHALLENGE,
  CLIENTS,
  configOf,
  type DialogServer,
  dialogServer,
  PASSWORD,
} from './dialog.ts'

let server: DialogServer

beforeAll(async () => {
  server = await dialogServer()
})
afterAll(() => server[Symbol.asyncDispose]())

/** As much of a browser as a login needs: cookies, and forms as they were shown. */
class Browser {
  readonly cookies = new Map<string, string>()
  url = ''
  page = ''
  response!: Response

  readonly at: DialogServer

  constructor(at: DialogServer = server) {
    this.at = at
  }

  async open(url: string, init: RequestInit = {}): Promise<Response> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const headers = { cookie, 'sec-fetch-site': 'same-origin', ...(init.headers as object) }
    this.response = await fetch(url, { ...init, headers, redirect: 'manual' })
    for (const set of this.response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(set)!
      this.cookies.set(name!, value!)
    }
    this.url = url
    this.page = await this.response.clone().text()
    return this.response
  }

  ask(params: Record<string, string>): Promise<Response> {
    return this.open(`${this.at.url}/oauth/authorize?${new URLSearchParams(params)}`)
  }

  /** The hidden field of the form that is shown. */
  get sealed(): string {
    return /name="form" value="([^"]+)"/.exec(this.page)?.[1] ?? ''
  }

  send(fields: Record<string, string>, headers: Record<string, string> = {}): Promise<Response> {
    const body = new URLSearchParams({ form: this.sealed, ...fields })
    return this.open(`${this.at.url}/oauth/authorize`, {
      method: 'POST',
      body,
      headers: { origin: this.at.url, ...headers },
    })
  }

  login(username = 'alice', password = PASSWORD): Promise<Response> {
    return this.send({ username, password })
  }
}

const asked = (client = 'web', more: Record<string, string> = {}): Record<string, string> => ({
  response_type: 'code',
  client_id: client,
  redirect_uri: CLIENTS[client]?.redirectURIs[0] ?? 'https://app.example/callback',
  code_challenge: CHALLENGE,
  code_challenge_method: 'S256',
  state: 's t&a"te',
  ...more,
})

const without = (name: string, params: Record<string, string>) =>
  Object.fromEntries(Object.entries(params).filter(([key]) => key !== name))

const location = ({ headers }: Response) => new URL(headers.get('location') ?? 'none:')

describe('a person', () => {
  test('logs in, agrees, and is sent back with a code, the state and the issuer', async () => {
    const browser = new Browser()
    expect((await browser.ask(asked('web', { scope: 'mcp offline_access openid' }))).status).toBe(
      200,
    )
    expect(browser.page).toContain('Sign in')
    await browser.login()
    expect(browser.response.status).toBe(200)
    expect(browser.page).toContain('Allow <bdi>Web</bdi>?')
    expect(browser.page).toContain('app.example')
    expect(browser.page).toContain('alice')
    const sent = await browser.send({ decision: 'allow' })
    expect(sent.status).toBe(303)
    const { origin, pathname, searchParams } = location(sent)
    expect(origin + pathname).toBe('https://app.example/callback')
    expect(Object.fromEntries(searchParams)).toEqual({
      code: `code-${server.approvals.length}`,
      state: 's t&a"te',
      iss: server.url,
    })
    expect(server.approvals.at(-1)).toEqual({
      client: { id: 'web', name: 'Web' },
      person: { id: 'user:alice', name: 'alice' },
      scopes: ['mcp'],
      endpoint: '*',
      redirectURI: 'https://app.example/callback',
      challenge: CHALLENGE,
    })
  })

  test('who denies is sent back without a code', async () => {
    const browser = new Browser()
    const before = server.approvals.length
    await browser.ask(asked('local'))
    await browser.login()
    const sent = await browser.send({ decision: 'deny' })
    const { searchParams } = location(sent)
    expect(searchParams.get('error')).toBe('access_denied')
    expect(searchParams.get('iss')).toBe(server.url)
    expect(searchParams.get('state')).toBe('s t&a"te')
    expect(server.approvals.length).toBe(before)
  })

  test('with a wrong password stays where they are, and is told nothing of which was wrong', async () => {
    const browser = new Browser()
    await browser.ask(asked())
    const wrong = await browser.login('alice', 'wrong')
    expect(wrong.status).toBe(403)
    const said = browser.page.replace('value="alice"', '').replace(/(value|nonce)="[\w.-]+"/g, '')
    await browser.login('nobody', 'wrong')
    const other = browser.page.replace('value="nobody"', '').replace(/(value|nonce)="[\w.-]+"/g, '')
    expect(other).toBe(said)
    expect(browser.page).toContain('Invalid user name or password')
  })

  test('who has agreed once is not asked the same again, and another thing is asked', async () => {
    const browser = new Browser()
    await browser.ask(asked('https://doc.example/c.json'))
    await browser.login('root')
    await browser.send({ decision: 'allow' })
    const again = await browser.ask(asked('https://doc.example/c.json'))
    expect(location(again).searchParams.get('code')).toBe(`code-${server.approvals.length}`)
    await browser.ask(asked('https://doc.example/c.json', { scope: 'mcp admin' }))
    expect(browser.page).toContain('See and change what runs here')
    await browser.ask(asked('https://doc.example/c.json', { resource: `${server.url}/files/mcp` }))
    expect(browser.page).toContain('Use files')
    await browser.ask(asked('https://doc.example/c.json', { prompt: 'consent' }))
    expect(browser.page).toContain('Allow')
    const late = new Browser()
    await late.ask(asked('https://doc.example/c.json'))
    await late.login('root')
    // Forms of the page for logging in lead nowhere else: from there a page leads on.
    expect(late.response.status).toBe(200)
    expect(late.page).toContain('content="0; url=https://doc.example/callback?code=')
  })

  test.each(['local', 'app', 'stranger'])(
    'is asked every time by what could be another program: %s',
    async (client) => {
      const browser = new Browser()
      await browser.ask(asked(client))
      await browser.login()
      await browser.send({ decision: 'allow' })
      await browser.ask(asked(client))
      expect(browser.response.status).toBe(200)
      expect(browser.page).toContain('name="decision" value="allow"')
    },
  )

  test('is led to an app by a page, with a link', async () => {
    const browser = new Browser()
    await browser.ask(asked('app'))
    await browser.login()
    await browser.send({ decision: 'allow' })
    expect(browser.response.status).toBe(200)
    const code = `code=code-${server.approvals.length}`
    expect(browser.page).toContain(`href="cursor://anysphere.cursor/callback?${code}&amp;state=`)
    expect(browser.page).toContain(`content="0; url=cursor://anysphere.cursor/callback?${code}`)
  })

  test('who is somebody else can say so, and the former session ends', async () => {
    const browser = new Browser()
    await browser.ask(asked())
    await browser.login('bob')
    const former = new Map(browser.cookies)
    await browser.send({ decision: 'logout' })
    expect(browser.page).toContain('Sign in')
    const thief = new Browser()
    for (const [name, value] of former) thief.cookies.set(name, value)
    await thief.ask(asked())
    expect(thief.page).toContain('Sign in')
    await browser.login('alice')
    expect(browser.page).toContain('alice')
  })

  test('who may use nothing of what is asked for is told so', async () => {
    const browser = new Browser()
    const before = server.approvals.length
    await browser.ask(asked('local', { resource: `${server.url}/files/mcp` }))
    await browser.login('bob')
    expect(browser.page).toContain('You may not use what this program asked for.')
    expect(server.approvals.length).toBe(before)
    await browser.ask(asked('local', { resource: `${server.url}/both/mcp` }))
    expect(browser.page).toContain('<li>web</li>')
    expect(browser.page).not.toContain('<li>files</li>')
  })

  test('who is no admin cannot let a client be one', async () => {
    const browser = new Browser()
    await browser.ask(asked('local', { scope: 'admin' }))
    await browser.login('alice')
    expect(browser.page).not.toContain('See and change')
    await browser.send({ decision: 'allow' })
    expect(server.approvals.at(-1)!.scopes).toEqual(['mcp'])
  })

  test('who was taken out of the configuration is out at once', async () => {
    await using own = await dialogServer()
    const browser = new Browser(own)
    await browser.ask(asked('local'))
    await browser.login('alice')
    own.config = configOf({ auth: { oauth: { users: { bob: PASSWORD } } } })
    await browser.send({ decision: 'allow' })
    expect(own.approvals).toEqual([])
    expect(browser.page).toContain('Sign in')
  })
})

test('the log says who logged in and what was allowed, and nothing that is secret', async () => {
  await using own = await dialogServer()
  const browser = new Browser(own)
  await browser.ask(asked('local'))
  // People type their password there, too.
  await browser.login('my secret password', 'x')
  await browser.login('alice', 'another secret')
  await browser.login()
  await browser.send({ decision: 'allow' })
  expect(own.events).toEqual([
    { type: 'login_refused', user: '(unknown)', address: '192.0.2.1', reason: 'wrong' },
    { type: 'login_refused', user: 'alice', address: '192.0.2.1', reason: 'wrong' },
    { type: 'login', user: 'alice', address: '192.0.2.1' },
    { type: 'authorized', user: 'alice', client: 'local', endpoint: '*', scopes: 'mcp' },
  ])
})

describe('prompt and max_age', () => {
  test('none never shows a page', async () => {
    const browser = new Browser()
    const error = async (params: Record<string, string>) =>
      location(await browser.ask(params)).searchParams.get('error')
    expect(await error(asked('web', { prompt: 'none' }))).toBe('login_required')
    await browser.ask(asked('two'))
    await browser.login()
    expect(await error(asked('two', { prompt: 'none' }))).toBe('consent_required')
    expect(await error(asked('two', { prompt: 'none login' }))).toBe('invalid_request')
  })

  test('login and a login too old ask for the password again', async () => {
    const browser = new Browser()
    await browser.ask(asked('local'))
    await browser.login()
    await browser.ask(asked('local', { prompt: 'login' }))
    expect(browser.page).toContain('Sign in')
    await browser.ask(asked('local', { max_age: '600' }))
    expect(browser.page).toContain('Allow')
    server.clock.now += 601_000
    await browser.ask(asked('local', { max_age: '600' }))
    expect(browser.page).toContain('Sign in')
  })
})

describe('is said on a page, and nobody is sent anywhere,', () => {
  const redirectTricks = [
    'https://evil.example/callback',
    'https://app.example/callback/',
    'https://app.example/callback?x=1',
    'https://app.example.evil.example/callback',
    'https://app.example@evil.example/callback',
    'https://app.example/callback#x',
    'https://APP.example/callback',
    'http://app.example/callback',
    '//app.example/callback',
    'javascript:alert(1)',
    'data:text/html,x',
    '/callback',
  ]
  test.each<[string, Record<string, string> | string]>([
    ['an unknown client', asked('nobody')],
    ['no client', without('client_id', asked())],
    ...redirectTricks.map((redirect_uri): [string, Record<string, string>] => [
      `the redirect ${redirect_uri}`,
      asked('web', { redirect_uri }),
    ]),
    ['no redirect of several', without('redirect_uri', asked('two'))],
    ['two clients', `${new URLSearchParams(asked())}&client_id=two`],
    ['two redirects', `${new URLSearchParams(asked())}&redirect_uri=https://evil.example/`],
    ['a client id without end', asked('web', { client_id: 'x'.repeat(3000) })],
    ['nothing', ''],
  ])('%s', async (_, params) => {
    const browser = new Browser()
    await browser.open(`${server.url}/oauth/authorize?${new URLSearchParams(params)}`)
    expect(browser.response.status).toBe(400)
    expect(browser.response.headers.get('location')).toBeNull()
    expect(browser.page).not.toContain('evil.example')
    expect(browser.page).toContain('This cannot go on')
  })
})

describe('is told to the client', () => {
  test.each<[string, Record<string, string> | string, string]>([
    [
      'another response type',
      asked('web', { response_type: 'token' }),
      'unsupported_response_type',
    ],
    ['no response type', without('response_type', asked()), 'invalid_request'],
    ['another way to answer', asked('web', { response_mode: 'fragment' }), 'invalid_request'],
    ['no challenge', without('code_challenge', asked()), 'invalid_request'],
    ['a plain challenge', asked('web', { code_challenge_method: 'plain' }), 'invalid_request'],
    ['no method', without('code_challenge_method', asked()), 'invalid_request'],
    ['a short challenge', asked('web', { code_challenge: 'abc' }), 'invalid_request'],
    ['a long challenge', asked('web', { code_challenge: `${CHALLENGE}a` }), 'invalid_request'],
    [
      'a foreign resource',
      asked('web', { resource: 'https://evil.example/mcp' }),
      'invalid_target',
    ],
    ['an unknown resource', asked('web', { resource: 'http://127.0.0.1:1/mcp' }), 'invalid_target'],
    ['two scopes', `${new URLSearchParams(asked())}&scope=mcp&scope=admin`, 'invalid_request'],
    ['a bad age', asked('web', { max_age: '-1' }), 'invalid_request'],
  ])('%s', async (_, params, error) => {
    const browser = new Browser()
    await browser.open(`${server.url}/oauth/authorize?${new URLSearchParams(params)}`)
    const { origin, searchParams } = location(browser.response)
    expect(origin).toBe('https://app.example')
    expect(searchParams.get('error')).toBe(error)
    expect(searchParams.get('iss')).toBe(server.url)
    expect(searchParams.get('state')).toBe('s t&a"te')
  })

  test('a state that comes twice, or is without end, and then it is not sent back', async () => {
    for (const state of ['&state=other', `${'x'.repeat(9000)}`]) {
      const browser = new Browser()
      await browser.open(`${server.url}/oauth/authorize?${new URLSearchParams(asked())}${state}`)
      const { searchParams } = location(browser.response)
      expect(searchParams.get('error')).toBe('invalid_request')
      expect(searchParams.has('state')).toBe(false)
    }
  })

  test('without changing what the redirect URI has of its own', async () => {
    const browser = new Browser()
    const sent = await browser.ask(asked('config', { response_type: 'x' }))
    expect(sent.headers.get('location')).toStartWith('https://cfg.example/callback?keep=1&error=')
  })

  test('a missing redirect URI is the only one that is registered', async () => {
    const browser = new Browser()
    await browser.ask(without('redirect_uri', asked('web', { prompt: 'none' })))
    expect(location(browser.response).origin).toBe('https://app.example')
  })
})

describe('a form', () => {
  test.each<[string, Record<string, string>]>([
    ['from another site', { 'sec-fetch-site': 'cross-site' }],
    ['from a neighbouring domain', { 'sec-fetch-site': 'same-site' }],
    ['with a foreign Origin', { origin: 'https://evil.example' }],
    ['with an Origin that nobody knows', { origin: 'null' }],
  ])('%s is not taken, although it is a good one', async (_, headers) => {
    const browser = new Browser()
    await browser.ask(asked())
    const events = server.events.length
    const sent = await browser.send({ username: 'alice', password: PASSWORD }, headers)
    expect(sent.status).toBe(403)
    expect(server.events.slice(events)).toEqual([])
  })

  test('that was shown in another browser is not taken: nobody can log others in', async () => {
    const [attacker, victim] = [new Browser(), new Browser()]
    await attacker.ask(asked())
    await victim.ask(asked())
    const { sealed } = attacker
    const sent = await victim.send({ form: sealed, username: 'alice', password: PASSWORD })
    expect(sent.status).toBe(400)
    expect(victim.page).toContain('too old')
    expect(victim.cookies.get('mcp-gateway')).toBeUndefined()
  })

  test('without cookies, without its seal, or with another one is not taken', async () => {
    const browser = new Browser()
    await browser.ask(asked())
    const { sealed } = browser
    const forged = `${sealed.slice(0, -4)}AAAA`
    const fields = { username: 'alice', password: PASSWORD }
    for (const form of ['', forged, 'x', 'x'.repeat(50_000)]) {
      expect((await browser.send({ ...fields, form })).status).toBe(400)
    }
    browser.cookies.clear()
    expect((await browser.send({ ...fields, form: sealed })).status).toBe(400)
  })

  test('for agreeing is good for the session that it was shown to alone', async () => {
    const browser = new Browser()
    await browser.ask(asked('local'))
    await browser.login('alice')
    const { sealed } = browser
    await browser.ask(asked('local', { prompt: 'login' }))
    await browser.login('root')
    const before = server.approvals.length
    await browser.send({ form: sealed, decision: 'allow' })
    expect(browser.page).toContain('Sign in')
    expect(server.approvals.length).toBe(before)
  })

  test('is good for ten minutes', async () => {
    const browser = new Browser()
    await browser.ask(asked())
    server.clock.now += 600_000
    expect((await browser.login()).status).toBe(400)
  })

  test('of another type, or without end, is not taken', async () => {
    const browser = new Browser()
    await browser.ask(asked())
    const url = `${server.url}/oauth/authorize`
    const body = JSON.stringify({ form: browser.sealed, username: 'alice', password: PASSWORD })
    const json = { 'content-type': 'application/json' }
    expect((await browser.open(url, { method: 'POST', body, headers: json })).status).toBe(400)
    await browser.ask(asked())
    expect((await browser.send({ username: 'x'.repeat(70_000) })).status).toBe(400)
  })

  test('cannot change what was asked: what it says besides does not count', async () => {
    const browser = new Browser()
    await browser.ask(asked('local'))
    await browser.send({
      ...asked('web', { redirect_uri: 'https://evil.example/' }),
      ...{ username: 'alice', password: PASSWORD },
    })
    const sent = await browser.send({ decision: 'allow', redirect_uri: 'https://evil.example/' })
    expect(location(sent).origin).toBe('http://localhost')
    expect(server.approvals.at(-1)!.client.id).toBe('local')
  })
})

describe('every page', () => {
  const hostile = '"><script>alert(1)</script>\'`{{.A}}'

  test('says whatever comes as text: each parameter, the names of clients and people', async () => {
    const browser = new Browser()
    const pages: string[] = []
    const see = async (response: Promise<Response>) => {
      await response
      pages.push(browser.page)
    }
    for (const name of Object.keys(asked()))
      await see(browser.ask(asked('web', { [name]: hostile })))
    for (const name of ['scope', 'resource', 'prompt', hostile]) {
      await see(browser.ask(asked('web', { [name]: hostile })))
    }
    await see(browser.ask(asked('evil', { state: hostile })))
    await see(browser.login(hostile, hostile))
    await see(browser.login('alice'))
    await see(browser.open(`${server.url}/oauth/device?user_code=${encodeURIComponent(hostile)}`))
    await see(browser.send({ user_code: hostile }))
    expect(pages.length).toBeGreaterThan(12)
    for (const page of pages) expect(page).not.toMatch(/<script|["']>&lt;|value="">/i)
    expect(pages.join()).toContain('&lt;script&gt;alert(1)&lt;/script&gt;')
  })

  test('cannot be framed, kept, or made to run or load anything', async () => {
    const browser = new Browser()
    const responses = [await browser.ask(asked()), await browser.login(), browser.response]
    responses.push(await browser.ask(asked('nobody')))
    responses.push(await browser.open(`${server.url}/oauth/device`))
    for (const { headers } of responses) {
      const policy = headers.get('content-security-policy') ?? ''
      expect(policy).toContain("default-src 'none'")
      expect(policy).toContain("frame-ancestors 'none'")
      expect(policy).toContain("base-uri 'none'")
      expect(policy).not.toMatch(/unsafe|script-src|\*/)
      expect(headers.get('x-frame-options')).toBe('DENY')
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('cache-control')).toBe('no-store')
      expect(headers.get('referrer-policy')).toBe('same-origin')
    }
  })

  test('of a login has forms that lead to us alone, and of consent also to the client', async () => {
    const browser = new Browser()
    const targets = () =>
      /form-action ([^;]*)/.exec(browser.response.headers.get('content-security-policy')!)![1]
    await browser.ask(asked('local', { redirect_uri: 'http://localhost:1234/callback' }))
    expect(targets()).toBe("'self'")
    await browser.login()
    expect(targets()).toBe("'self' http://localhost:1234 https:")
  })

  test('shows a person what is asked of them without what could not be seen', async () => {
    CLIENTS.web = { ...CLIENTS.web!, name: 'Claude\u202e\u200b\nedualC'.padEnd(300, '!') }
    const browser = new Browser()
    await browser.ask(asked('web'))
    expect(browser.page).toContain('<bdi>ClaudeedualC!')
    expect(browser.page).not.toContain('!'.repeat(100))
    CLIENTS.web = { ...CLIENTS.web!, name: 'Web' }
  })
})

describe('a device', () => {
  const device = async (code: string, who = 'root') => {
    const browser = new Browser()
    server.devices.set(code, 'waiting')
    await browser.open(`${server.url}/oauth/device?user_code=${code}`)
    await browser.login(who)
    expect(browser.page).toContain(`value="${code}"`)
    await browser.send({ user_code: code })
    return browser
  }

  test('is connected by who is logged in, sees its code, and agrees', async () => {
    const browser = await device('BCDF-GHJK')
    expect(browser.page).toContain('TV &lt;b&gt;')
    expect(browser.page).toContain('BCDF-GHJK')
    expect(server.devices.get('BCDF-GHJK')).toBe('waiting')
    await browser.send({ decision: 'allow' })
    expect(browser.page).toContain('Connected')
    expect(server.devices.get('BCDF-GHJK')).toBe('approved by root')
  })

  test('is told when somebody denies it', async () => {
    const browser = await device('LMNP-QRST')
    await browser.send({ decision: 'deny' })
    expect(browser.page).toContain('Not connected')
    expect(server.devices.get('LMNP-QRST')).toBe('denied')
  })

  test('that does not wait, or not any more, is not connected', async () => {
    const browser = await device('VWXZ-BCDF')
    const { sealed } = browser
    server.devices.delete('VWXZ-BCDF')
    expect((await browser.send({ decision: 'allow' })).status).toBe(410)
    expect((await browser.send({ user_code: 'AAAA-AAAA' })).status).toBe(404)
    const stranger = new Browser()
    await stranger.open(`${server.url}/oauth/device`)
    expect((await stranger.send({ form: sealed, decision: 'allow' })).status).toBe(400)
  })
})

test('an error is not sent where a document says, before somebody has decided: anybody can publish one', async () => {
  await using server = await dialogServer()
  const query = new URLSearchParams({
    ...{ client_id: 'https://doc.example/c.json', redirect_uri: 'https://doc.example/callback' },
    ...{ response_type: 'token', state: 'x' },
  })
  for (const [name, value] of [
    ['response_type', 'token'],
    ['prompt', 'none'],
  ] as const) {
    query.set(name, value)
    const response = await fetch(`${server.url}/oauth/authorize?${query}`, { redirect: 'manual' })
    expect([response.status, response.headers.get('location')]).toEqual([400, null])
    query.set('response_type', 'code')
    query.set('code_challenge', CHALLENGE)
    query.set('code_challenge_method', 'S256')
  }
})
