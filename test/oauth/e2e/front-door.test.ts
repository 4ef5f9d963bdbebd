/** What headers, hosts, methods and bodies cannot do: nobody is somewhere else, or somebody else, by saying so. */
import { describe, expect, test } from 'bun:test'
import { connect } from 'node:net'
import {
  authorizeURL,
  exchange,
  type House,
  house,
  knock,
  logIn,
  register,
  submitted,
  VERIFIER,
} from './house.ts'

/** Headers by which proxies say for whom they ask. */
const FROM = [
  'x-forwarded-for',
  'cf-connecting-ip',
  'true-client-ip',
  'x-real-ip',
  'x-cluster-client-ip',
  'x-client-ip',
]

async function tryToRegister(at: House, headers: Record<string, string>): Promise<number> {
  const response = await at.fetch(`${at.base}/oauth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ redirect_uris: ['http://localhost/callback'] }),
  })
  await response.body?.cancel()
  return response.status
}

describe('an address', () => {
  const oauth = { allowedIPs: ['10.0.0.0/8', '2001:db8::/32'] }

  test.each([...FROM, 'forwarded', 'x-forwarded'])(
    'is not what %s says, where no proxy is trusted',
    async (name) => {
      await using at = await house({ oauth })
      for (const said of ['10.1.1.1', 'for=10.1.1.1', '[2001:db8::1]', '::ffff:10.1.1.1']) {
        expect([said, await tryToRegister(at, { [name]: said })]).toEqual([said, 403])
      }
      const all = Object.fromEntries(FROM.map((one) => [one, '10.1.1.1']))
      expect(await tryToRegister(at, all)).toBe(403)
    },
  )

  test('is what a trusted proxy has seen itself, and not what it was told', async () => {
    const gateway = { trustedProxies: ['127.0.0.1', '192.0.2.0/24'] }
    await using at = await house({ oauth, gateway })
    const status = (said: Record<string, string>) => tryToRegister(at, said)
    expect(await status({ 'x-forwarded-for': '10.1.1.1' })).toBe(201)
    expect(await status({ 'x-forwarded-for': '203.0.113.9, 10.1.1.1' })).toBe(201)
    expect(await status({ 'x-forwarded-for': '10.1.1.1, 192.0.2.1' })).toBe(201)
    expect(await status({ forwarded: 'for="[2001:db8::1]:7"' })).toBe(201)
    expect(await status({ 'x-forwarded-for': '10.1.1.1, 203.0.113.9' })).toBe(403)
    expect(await status({ 'x-forwarded-for': '203.0.113.9', 'x-real-ip': '10.1.1.1' })).toBe(403)
    expect(await status({ 'x-forwarded-for': 'nobody' })).toBe(403)
    expect(await status({ forwarded: 'for="10.1.1.1, for=203.0.113.9' })).toBe(403)
    expect(await status({})).toBe(403)
  })

  test('of who guesses passwords is the one that counts and is told, whatever they say', async () => {
    await using at = await house()
    const { client_id } = await register(at)
    const person = at.person()
    const { page } = await person.visit(authorizeURL(at, { client_id }))
    const [form] = page!.forms
    const body = new URLSearchParams({ ...form!.fields, username: 'alice', password: 'wrong' })
    const headers = Object.fromEntries(FROM.map((name) => [name, '10.1.1.1']))
    const response = await person.send(form!.action, { method: 'POST', body, headers })
    expect(response.status).toBe(403)
    const told = at.events.flatMap((one) => (one.type === 'login_refused' ? one.address : []))
    expect(told).toEqual(['127.0.0.1'])
  })
})

const EVIL = 'evil.example'
const SPOOFED: Record<string, string> = {
  'x-forwarded-host': EVIL,
  'x-forwarded-server': EVIL,
  'x-forwarded-proto': 'gopher',
  'x-forwarded-port': '666',
  'x-forwarded-prefix': '/evil.example',
  'x-original-host': EVIL,
  'x-original-url': `https://${EVIL}/`,
  'x-rewrite-url': '/evil.example',
  'x-host': EVIL,
  forwarded: `host=${EVIL};proto=gopher`,
}

/** All that names us anywhere. */
async function said(at: House, headers: Record<string, string>): Promise<string[]> {
  const { client_id } = await register(at)
  const get = async (url: string, init: RequestInit = {}) => {
    const mine = { ...headers, ...(init.headers as Record<string, string>) }
    const response = await at.fetch(url, { ...init, headers: mine, redirect: 'manual' })
    return `${JSON.stringify([...response.headers])}\n${await response.text()}`
  }
  const wellKnown = `${at.base}/.well-known`
  const body = new URLSearchParams({ client_id })
  return Promise.all([
    get(`${wellKnown}/oauth-authorization-server`),
    get(`${wellKnown}/openid-configuration`),
    get(`${wellKnown}/oauth-protected-resource`),
    get(`${wellKnown}/oauth-protected-resource/a/mcp`),
    get(`${at.base}/a/mcp`, { method: 'POST' }),
    get(`${at.base}/sse`),
    get(`${at.base}/tools`),
    get(`${at.base}/oauth/device_authorization`, { method: 'POST', body }),
    get(`${at.base}/oauth/device`),
    get(authorizeURL(at, { client_id })),
    get(authorizeURL(at, { client_id, prompt: 'none' })),
    get(authorizeURL(at, { client_id: 'nobody' })),
    get(`${at.base}/oauth/authorize`, { method: 'POST', body }),
  ])
}

/** A request as nobody's library would write it. */
function raw(at: House, lines: string[]): Promise<string> {
  const { port, hostname } = new URL(at.loopback)
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect(Number(port), hostname, () => {
      socket.write([...lines, 'Connection: close', '', ''].join('\r\n'))
    })
    socket.on('data', (chunk) => (text += chunk))
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
  })
}

describe('a host', () => {
  test.each([
    ['its address', undefined],
    ['a domain', 'https://gw.example'],
    ['a path', 'https://gw.example/team/gw'],
  ])(
    'that headers name is in no document, challenge, page or redirect: by %s',
    async (_, baseURL) => {
      await using at = await house(baseURL ? { baseURL } : {})
      for (const text of await said(at, SPOOFED)) {
        expect(text).not.toContain(EVIL)
        expect(text).not.toContain('gopher')
        expect(text).not.toContain(':666')
      }
    },
  )

  test.each([undefined, 'https://gw.example'])(
    'that is not ours is not served (%s)',
    async (baseURL) => {
      await using at = await house(baseURL ? { baseURL } : {})
      const path = '/.well-known/oauth-authorization-server'
      for (const host of [EVIL, `${EVIL}:80`, `127.0.0.1.${EVIL}`, `localhost@${EVIL}`, '']) {
        const text = await raw(at, [`GET ${path} HTTP/1.1`, `Host: ${host}`])
        expect([host, text.slice(0, 12)]).toEqual([host, expect.stringMatching(/ 40[03]$/)])
        expect(text).not.toContain('"issuer"')
      }
    },
  )

  test('in the request line, or in a second Host, is not who we are', async () => {
    await using at = await house()
    const path = '/.well-known/oauth-authorization-server'
    const { host } = new URL(at.loopback)
    const tries = [
      [`GET http://${EVIL}${path} HTTP/1.1`, `Host: ${host}`],
      [`GET ${path} HTTP/1.1`, `Host: ${host}`, `Host: ${EVIL}`],
      [`GET ${path} HTTP/1.1`, `Host: ${EVIL}`, `Host: ${host}`],
      [`GET //${EVIL}${path} HTTP/1.1`, `Host: ${host}`],
    ]
    for (const lines of tries) expect(await raw(at, lines)).not.toContain(`://${EVIL}`)
  })

  test('that is an address of ours is not repeated to others, if none is configured', async () => {
    await using at = await house()
    for (const path of ['/.well-known/oauth-authorization-server', '/oauth/authorize', '/a/mcp']) {
      const text = await raw(at, [`GET ${path} HTTP/1.1`, 'Host: 192.0.2.7:9'])
      expect(text).toMatch(/^HTTP\/1.1 40[01]/)
      expect(text).not.toContain('192.0.2.7')
    }
  })
})

describe('a request for tokens', () => {
  /** What would be answered with tokens, if it came as it should. */
  async function right(at: House) {
    const { client_id } = await register(at)
    const back = await at.person().authorize(authorizeURL(at, { client_id }))
    const code = back.searchParams.get('code')!
    const redirect_uri = 'http://127.0.0.1:4321/callback'
    const fields = {
      ...{ grant_type: 'authorization_code', client_id, code, redirect_uri },
      code_verifier: VERIFIER,
    }
    return { client_id, code, fields, query: String(new URLSearchParams(fields)) }
  }

  test('is a POST, and has nothing in its URL', async () => {
    await using at = await house()
    const { client_id, code, query } = await right(at)
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
      const response = await at.fetch(`${at.base}/oauth/token?${query}`, { method })
      expect([method, response.status]).toEqual([method, 405])
      expect(response.headers.get('allow')).toBe('POST')
      expect(await response.text()).not.toContain('access_token')
    }
    const empty = await submitted(at, `/oauth/token?${query}`, {})
    expect(empty.status).toBeGreaterThanOrEqual(400)
    // None of it has used the code up.
    expect((await exchange(at, client_id, code)).status).toBe(200)
  })

  test('says everything once', async () => {
    await using at = await house()
    const { client_id, code, fields } = await right(at)
    for (const [name, value] of Object.entries(fields)) {
      const twice: [string, string][] = [...Object.entries(fields), [name, value]]
      const { status, body } = await submitted(at, '/oauth/token', twice)
      expect([name, status, body.error]).toEqual([name, 400, 'invalid_request'])
    }
    expect((await exchange(at, client_id, code)).status).toBe(200)
  })

  test.each([
    ['multipart/form-data; boundary=x', '--x--'],
    ['text/plain', 'grant_type=refresh_token'],
    ['application/json', '{'],
    ['application/json', '[]'],
    ['application/json', 'null'],
    ['application/json', '{"grant_type":["authorization_code"]}'],
    ['application/json', '{"__proto__":{"grant_type":"x"},"client_id":{"a":1}}'],
    ['application/x-www-form-urlencoded', `grant_type=${'x'.repeat(9000)}`],
    ['application/x-www-form-urlencoded', 'a=1&'.repeat(20_000)],
  ])('is refused as %s with no more than its reason', async (type, body) => {
    await using at = await house()
    for (const path of ['token', 'revoke', 'device_authorization', 'register']) {
      const headers = { 'content-type': type }
      const response = await at.fetch(`${at.base}/oauth/${path}`, { method: 'POST', headers, body })
      const told = (await response.json()) as Record<string, string>
      expect([path, isRefusal(response.status)]).toEqual([path, true])
      expect(Object.keys(told)).toEqual(['error', 'error_description'])
      expect(JSON.stringify(told)).not.toMatch(/\/src\/|node_modules|at \w+ \(|xxxx/)
      expect(response.headers.get('cache-control')).toBe('no-store')
    }
  })

  test('that does not end is answered before it does', async () => {
    await using at = await house()
    for (const path of ['token', 'register', 'authorize', 'revoke']) {
      const type = path === 'register' ? 'application/json' : 'application/x-www-form-urlencoded'
      expect([path, await endless(at, `/oauth/${path}`, type)]).toEqual([path, 'HTTP/1.1 400'])
    }
  })
})

/** Sends more and more, until something comes back. */
function endless(at: House, path: string, type: string): Promise<string> {
  const { port, hostname, host } = new URL(at.loopback)
  const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => {
      const head = [`POST ${path} HTTP/1.1`, `Host: ${host}`, `Content-Type: ${type}`]
      socket.write([...head, 'Transfer-Encoding: chunked', '', ''].join('\r\n'))
      socket.on('drain', () => socket.write(chunk))
      socket.write(chunk)
      socket.write(chunk)
    })
    socket.once('data', (data) => {
      socket.destroy()
      resolve(data.toString('latin1').slice(0, 12))
    })
    socket.on('error', reject)
  })
}

const isRefusal = (status: number) => [400, 401, 403, 413].includes(status)

describe('a page on another site', () => {
  const ORIGIN = { origin: 'https://evil.example' }

  test('reads documents and may register, and is never let in with cookies', async () => {
    await using at = await house({ baseURL: 'https://gw.example' })
    const paths = ['/.well-known/oauth-authorization-server', '/oauth/register', '/oauth/token']
    for (const path of paths) {
      const headers = { ...ORIGIN, 'access-control-request-method': 'POST' }
      const asked = await at.fetch(at.base + path, { method: 'OPTIONS', headers })
      expect([path, asked.status]).toEqual([path, 204])
      const method = path.startsWith('/oauth') ? 'POST' : 'GET'
      const response = await at.fetch(at.base + path, { method, headers: ORIGIN })
      expect(response.headers.get('access-control-allow-origin')).toBe(ORIGIN.origin)
      for (const { headers } of [asked, response]) {
        expect(headers.has('access-control-allow-credentials')).toBe(false)
        expect(headers.has('set-cookie')).toBe(false)
      }
    }
  })

  test('that is let in finds its way to the login, as the Inspector does in a browser', async () => {
    await using at = await house()
    const origin = 'http://localhost:6274'
    const refused = await knock(at, '/a/mcp', undefined, { origin })
    expect(refused.status).toBe(401)
    expect(refused.headers.get('access-control-allow-origin')).toBe(origin)
    expect(refused.headers.get('access-control-expose-headers')).toContain('www-authenticate')
    const asking = {
      ...{ origin, 'access-control-request-method': 'GET' },
      'access-control-request-headers': 'mcp-protocol-version',
    }
    const path = '/.well-known/oauth-protected-resource/a/mcp'
    const asked = await at.fetch(at.base + path, { method: 'OPTIONS', headers: asking })
    expect(asked.headers.get('access-control-allow-headers')).toContain('mcp-protocol-version')
  })

  test('sees nothing of pages for people, of what they may use, or of who they are', async () => {
    await using at = await house({ baseURL: 'https://gw.example' })
    const { access } = await logIn(at)
    const headers = { ...ORIGIN, authorization: `Bearer ${access}` }
    for (const path of ['authorize', 'device', 'status', 'introspect', 'logout']) {
      for (const method of ['GET', 'POST', 'OPTIONS']) {
        const response = await at.fetch(`${at.base}/oauth/${path}`, { method, headers })
        expect([path, method, response.status]).toEqual([path, method, 403])
        expect(response.headers.has('access-control-allow-origin')).toBe(false)
      }
    }
    expect((await knock(at, '/a/mcp', access, ORIGIN)).status).toBe(403)
    expect((await at.fetch(`${at.base}/tools`, { headers })).status).toBe(403)
  })
})

describe('what runs', () => {
  const service = { name: 'mine', command: 'cat', url: 'http://127.0.0.1:9/mcp' }

  test('is changed by an admin alone, who let the client be one', async () => {
    await using at = await house()
    const status = async (method: string, path: string, token?: string) => {
      const headers: Record<string, string> = { 'content-type': 'application/json' }
      if (token !== undefined) headers.authorization = `Bearer ${token}`
      const init = method === 'POST' ? { body: JSON.stringify(service) } : {}
      return (await at.fetch(at.base + path, { method, headers, ...init })).status
    }
    const [alice, root] = [await logIn(at), await logIn(at, { as: 'root' })]
    const wanting = await logIn(at, { asking: { scope: 'mcp admin' } })
    const tries: [string | undefined, number][] = [
      [undefined, 401],
      ['nothing', 401],
      [alice.access, 403],
      [wanting.access, 403],
      // An admin, whose client did not ask to be one.
      [root.access, 403],
      [root.refresh, 401],
    ]
    for (const [token, expected] of tries) {
      expect(await status('GET', '/config/services', token)).toBe(expected)
      expect(await status('POST', '/config/services', token)).toBe(expected)
      expect(await status('DELETE', '/config/services/a', token)).toBe(expected)
    }
    const admin = await logIn(at, { as: 'root', asking: { scope: 'mcp admin' } })
    expect(await status('GET', '/config/services', admin.access)).toBe(200)
  })
})

test('the callback of an older gateway, which showed what it was sent, is not there', async () => {
  await using at = await house()
  const script = '<script>alert(1)</script>'
  const query = new URLSearchParams({ error: script, error_description: script, code: script })
  for (const path of ['/oauth/callback', '/oauth/nothing', `/${encodeURIComponent(script)}`]) {
    const response = await at.fetch(`${at.base}${path}?${query}`)
    expect(response.status).toBe(404)
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(await response.text()).not.toContain('<script')
  }
})
