/** What other pages, other people and impatient guessers do with the pages for logging in: each of it fails. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type End, type Page, type Person, pageOf } from '../../support/person.ts'
import {
  alone,
  authorizeURL,
  BACK,
  exchange,
  type House,
  house,
  knock,
  PASSWORD,
  PROXIED,
  refresh,
  register,
  submitted,
  unhashed,
  VERIFIER,
} from './house.ts'

let at: House
let internet: Disposable
let hashes: Disposable
beforeEach(() => {
  hashes = unhashed()
})
afterEach(() => hashes[Symbol.dispose]())
beforeAll(async () => {
  internet = alone()
  at = await house(PROXIED)
})
afterAll(async () => {
  await at[Symbol.asyncDispose]()
  internet[Symbol.dispose]()
})

function shown({ page, sentTo }: End): Page {
  if (!page) throw new Error(`sent to ${sentTo}`)
  return page
}

/** The pages that somebody sees on the way, by what they are. */
async function pagesOf(at: House, client_id: string, person = at.person()) {
  const login = shown(await person.visit(authorizeURL(at, { client_id })))
  const wrong = shown(await person.logIn(login, 'not the password'))
  const consent = shown(await person.logIn(wrong))
  return { login, wrong, consent }
}

const sessionOf = (person: Person) => person.cookies.get('mcp-gateway')
const authorized = (at: House) => at.events.filter(({ type }) => type === 'authorized').length

const PAYLOADS = [
  '"><script>alert(1)</script>',
  "' onmouseover='alert(1)' x='",
  '</title></style></textarea><img src=x onerror=alert(1)>',
  'javascript:alert(1)',
  '{{.ClientName}}{{template "style.css"}}',
  '<svg/onload=alert(1)>',
  '&lt;script&gt;&#60;script&#62;',
  '\u2028</script><iframe srcdoc="<script>alert(1)</script>">',
]

/** Nothing in it can run, and it has the elements that it has with harmless words. */
function expectHarmless(page: Page, like: Page): void {
  expect(page.elements).toEqual(like.elements)
  expect(page.elements).not.toContain('script')
  const names = page.attributes.map(([element, name]) => `${element} ${name}`)
  expect(names).toEqual(like.attributes.map(([element, name]) => `${element} ${name}`))
  expect(page.attributes.filter(([, name]) => /^(on|srcdoc)/.test(name))).toEqual([])
  const links = page.attributes.filter(([, name]) => /^(href|src|action|formaction)$/.test(name))
  for (const [, , value] of links) expect(value).not.toMatch(/^\s*(javascript|data|vbscript):/i)
}

describe('markup in what others say is text', () => {
  test.each(PAYLOADS)('as the name of a client: %s', async (client_name) => {
    const plain = await pagesOf(at, (await register(at, { client_name: 'Harmless' })).client_id)
    const { client_id } = await register(at, { client_name })
    const person = at.person()
    const pages = await pagesOf(at, client_id, person)
    expectHarmless(pages.login, plain.login)
    expectHarmless(pages.wrong, plain.wrong)
    expectHarmless(pages.consent, plain.consent)
    expect(pages.consent.text).toContain(
      client_name
        .replace(/\u2028/g, '')
        .slice(0, 40)
        .trim(),
    )
  })

  test.each([
    'state',
    'scope',
    'resource',
    'ui_locales',
    'login_hint',
    'error',
    'client_name',
    'ErrorMessage',
  ])('as the parameter %s of a good request', async (name) => {
    const { client_id } = await register(at)
    const like = shown(await at.person().visit(authorizeURL(at, { client_id })))
    for (const payload of PAYLOADS) {
      const end = await at.person().visit(authorizeURL(at, { client_id, [name]: payload }))
      if (end.sentTo) expect(end.sentTo.href).toStartWith(`${BACK}?error=`)
      else expectHarmless(end.page, like)
    }
  })

  test.each(['client_id', 'redirect_uri'])('as %s, which is refused here', async (name) => {
    const { client_id } = await register(at)
    const wrong = (value: string) => authorizeURL(at, { client_id, [name]: value })
    const like = shown(await at.person().visit(wrong('https://nowhere.example/x')))
    for (const payload of PAYLOADS) {
      const page = shown(await at.person().visit(wrong(payload)))
      expect(page.status).toBe(400)
      expectHarmless(page, like)
    }
  })

  test.each(['response_type', 'code_challenge', 'code_challenge_method', 'prompt', 'max_age'])(
    'as %s, which goes back as an error in our words',
    async (name) => {
      const { client_id } = await register(at)
      for (const payload of PAYLOADS) {
        const { sentTo, page } = await at
          .person()
          .visit(authorizeURL(at, { client_id, [name]: payload }))
        if (page) expect(page.text).not.toContain('alert')
        else expect(sentTo.href).not.toMatch(/alert|%3Cscript/i)
      }
    },
  )

  test('as the name of an unknown program on this machine', async () => {
    await using at = await house()
    const of = (client_id: string) => at.person().visit(authorizeURL(at, { client_id }))
    const like = shown(await of('harmless'))
    for (const payload of PAYLOADS) {
      const page = shown(await of(payload))
      if (page.status === 200) expectHarmless(page, like)
      else expect(page.elements).not.toContain('script')
    }
  })

  test('as what somebody types for their name, or for the code of a device', async () => {
    using _verify = spyOn(Bun.password, 'verify').mockImplementation(async () => false)
    const { client_id } = await register(at)
    const person = at.person()
    const login = shown(await person.visit(authorizeURL(at, { client_id })))
    const like = shown(await person.logIn(login, 'x', 'nobody'))
    for (const payload of PAYLOADS) {
      expectHarmless(shown(await person.logIn(login, 'x', payload.slice(0, 64))), like)
    }
    const device = (code: string) => `${at.base}/oauth/device?user_code=${encodeURIComponent(code)}`
    const plain = shown(await person.visit(device('ABCD')))
    for (const payload of PAYLOADS)
      expectHarmless(shown(await person.visit(device(payload))), plain)
  })
})

describe('pages', () => {
  test('cannot be framed, kept, guessed as something else, nor given a script', async () => {
    const { client_id } = await register(at)
    const person = at.person()
    const pages = Object.values(await pagesOf(at, client_id, person))
    pages.push(shown(await person.visit(authorizeURL(at, { client_id: 'https://x.example/' }))))
    pages.push(shown(await person.visit(`${at.base}/oauth/device`)))
    expect(pages).toHaveLength(5)
    for (const { headers } of pages) {
      const policy = new Map(
        headers
          .get('content-security-policy')!
          .split('; ')
          .map((rule) => rule.split(/ (.*)/s) as [string, string]),
      )
      expect(policy.get('default-src')).toBe("'none'")
      expect(policy.get('frame-ancestors')).toBe("'none'")
      expect(policy.get('base-uri')).toBe("'none'")
      expect(policy.get('script-src') ?? "'none'").toBe("'none'")
      expect(policy.get('style-src')).toMatch(/^'nonce-[\w-]{22}'$/)
      expect(policy.get('form-action')).toContain("'self'")
      expect(headers.get('x-frame-options')).toBe('DENY')
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('cache-control')).toBe('no-store')
      // At most to themselves, and never with cookies.
      expect(headers.get('access-control-allow-origin') ?? at.base).toBe(at.base)
      expect(headers.get('access-control-allow-credentials')).toBeNull()
    }
    const nonces = pages.map(({ headers }) => headers.get('content-security-policy'))
    expect(new Set(nonces).size).toBe(5)
  })

  test.each([
    ['https://gw.example', '__Host-', true],
    [undefined, '', false],
  ] as const)(
    'keep cookies that no script and no neighbour can touch: %s',
    async (baseURL, prefix, isSecure) => {
      await using at = await house(baseURL ? { baseURL } : {})
      const person = at.person()
      await person.authorize(authorizeURL(at, { client_id: (await register(at)).client_id }))
      const names = new Set(person.received.map((line) => line.split('=')[0]))
      expect([...names].sort()).toEqual([`${prefix}mcp-gateway`, `${prefix}mcp-gateway-browser`])
      for (const line of person.received) {
        expect(line).toMatch(/; HttpOnly(;|$)/)
        expect(line).toMatch(/; SameSite=Lax(;|$)/)
        expect(line).toMatch(/; Path=\/(;|$)/)
        expect(line).not.toMatch(/domain/i)
        expect(/; Secure(;|$)/.test(line)).toBe(isSecure)
      }
    },
  )

  test('give every login a session of its own, whatever cookie was there before', async () => {
    const { client_id } = await register(at)
    const person = at.person()
    const planted = 'x'.repeat(43)
    person.cookies.set('mcp-gateway', planted)
    await person.authorize(authorizeURL(at, { client_id }))
    const first = sessionOf(person)!
    expect(first).not.toBe(planted)
    const login = shown(await person.visit(authorizeURL(at, { client_id, prompt: 'login' })))
    await person.logIn(login)
    expect(sessionOf(person)).not.toBe(first)
    const thief = at.person()
    thief.cookies.set('mcp-gateway', first)
    const page = shown(await thief.visit(authorizeURL(at, { client_id })))
    expect(page.text).toContain('Sign in')
  })

  test('take no cookie that is there twice', async () => {
    const { client_id } = await register(at)
    const person = at.person()
    await person.authorize(authorizeURL(at, { client_id }))
    const cookie = `mcp-gateway=${'x'.repeat(43)}; mcp-gateway=${sessionOf(person)}`
    const url = authorizeURL(at, { client_id })
    const page = await pageOf(url, await at.fetch(url, { headers: { cookie } }))
    expect(page.text).toContain('Sign in')
  })

  test('open nothing but themselves: a cookie is no proof anywhere else', async () => {
    const person = at.person()
    await person.authorize(authorizeURL(at, { client_id: (await register(at)).client_id }))
    expect(sessionOf(person)).toBeDefined()
    for (const path of [
      '/a/mcp',
      '/mcp',
      '/a/sse',
      '/tools',
      '/config/services',
      '/oauth/status',
    ]) {
      expect([path, (await person.send(at.base + path)).status]).toEqual([path, 401])
    }
    for (const path of ['/oauth/logout', '/oauth/introspect', '/tools/call']) {
      const response = await person.send(at.base + path, { method: 'POST' })
      expect([path, response.status]).toEqual([path, 401])
    }
  })
})

describe('forms', () => {
  const foreign: [string, Record<string, string>][] = [
    ['the Origin of another page', { origin: 'https://evil.example' }],
    ['an Origin that is hidden', { origin: 'null' }],
    ['a Referer of another page', { referer: 'https://evil.example/x' }],
    ['the word of the browser that it is another site', { 'sec-fetch-site': 'cross-site' }],
    ['the word of the browser that it is a neighbour', { 'sec-fetch-site': 'same-site' }],
  ]

  test.each(foreign)('with %s log nobody in and agree to nothing', async (_, headers) => {
    const { client_id } = await register(at)
    const person = at.person()
    const login = shown(await person.visit(authorizeURL(at, { client_id })))
    const send = (page: Page, fields: Record<string, string>) =>
      person.send(page.forms[0]!.action, {
        method: 'POST',
        headers,
        body: new URLSearchParams({ ...page.forms[0]!.fields, ...fields }),
      })
    const refused = await send(login, { username: 'alice', password: PASSWORD })
    expect(refused.status).toBe(403)
    expect(sessionOf(person)).toBeUndefined()
    const consent = shown(await person.logIn(login))
    const before = authorized(at)
    expect((await send(consent, { decision: 'allow' })).status).toBe(403)
    expect(authorized(at)).toBe(before)
  })

  test('that were shown to somebody else are good for nothing', async () => {
    const { client_id } = await register(at)
    const [attacker, victim] = [at.person('bob'), at.person()]
    const theirs = shown(await attacker.visit(authorizeURL(at, { client_id })))
    // Login CSRF: the victim is to be logged in as the attacker, or with what the attacker asked for.
    const stale = shown(await victim.submit(theirs, { username: 'bob', password: PASSWORD }))
    expect(stale.status).toBe(400)
    expect(sessionOf(victim)).toBeUndefined()
    const consent = shown(await attacker.logIn(theirs))
    await victim.authorize(authorizeURL(at, { client_id }))
    const before = authorized(at)
    expect(shown(await victim.submit(consent, {}, 'allow')).status).toBe(400)
    expect(authorized(at)).toBe(before)
  })

  test.each([
    ['nothing', ''],
    ['short', 'x'],
    ['as long as one', 'A'.repeat(200)],
    ['very long', 'A'.repeat(50_000)],
  ])('that were never shown: %s', async (_, form) => {
    const person = at.person()
    const { client_id } = await register(at)
    await person.authorize(authorizeURL(at, { client_id }))
    const before = authorized(at)
    const body = new URLSearchParams({
      form,
      decision: 'allow',
      username: 'alice',
      password: PASSWORD,
    })
    const response = await person.send(`${at.base}/oauth/authorize`, { method: 'POST', body })
    expect(response.status).toBe(400)
    expect(authorized(at)).toBe(before)
  })

  test('agree for nobody but the one they were shown to, in the same browser too', async () => {
    const { client_id } = await register(at)
    const person = at.person()
    const { consent } = await pagesOf(at, client_id, person)
    const login = shown(await person.visit(authorizeURL(at, { client_id, prompt: 'login' })))
    await person.logIn(login, PASSWORD, 'bob')
    const before = authorized(at)
    const end = shown(await person.submit(consent, {}, 'allow'))
    expect(end.text).toContain('Sign in')
    expect(authorized(at)).toBe(before)
  })

  test('cannot be made of another kind: neither a GET nor a changed one agrees', async () => {
    const { client_id } = await register(at)
    const person = at.person()
    const { consent } = await pagesOf(at, client_id, person)
    const before = authorized(at)
    const { form = '' } = consent.forms[0]!.fields
    const query = new URLSearchParams({ form, decision: 'allow' })
    const got = shown(await person.visit(`${authorizeURL(at, { client_id })}&${query}`))
    expect(got.text).toContain('Allow')
    const middle = Math.floor(form.length / 2)
    const changed =
      form.slice(0, middle) + (form[middle] === 'A' ? 'B' : 'A') + form.slice(middle + 1)
    expect(shown(await person.submit(consent, { form: changed }, 'allow')).status).toBe(400)
    expect(authorized(at)).toBe(before)
  })

  test('log out for good, and only with what was shown', async () => {
    const { client_id } = await register(at)
    const person = at.person()
    const { consent } = await pagesOf(at, client_id, person)
    const former = sessionOf(person)!
    const body = new URLSearchParams({ decision: 'logout' })
    await person.send(`${at.base}/oauth/authorize`, { method: 'POST', body })
    expect(sessionOf(person)).toBe(former)
    const next = shown(await person.submit(consent, {}, 'logout'))
    expect(next.text).toContain('Sign in')
    expect(sessionOf(person)).toBeUndefined()
    person.cookies.set('mcp-gateway', former)
    expect(shown(await person.visit(authorizeURL(at, { client_id }))).text).toContain('Sign in')
  })
})

describe('guessing', () => {
  test('takes as much work for who does not exist, and is answered in the same words', async () => {
    await using at = await house(PROXIED)
    const { client_id } = await register(at)
    const like = shown(await at.person().visit(authorizeURL(at, { client_id })))
    expect(like.status).toBe(200)
    const hashed: string[] = []
    using _verify = spyOn(Bun.password, 'verify').mockImplementation(async (_, hash) => {
      hashed.push(String(hash).split('$').slice(0, 4).join('$'))
      return false
    })
    const said = new Set<string>()
    const names = ['alice', 'bob', 'root', 'nobody', '__proto__', 'constructor', 'toString', '']
    for (const name of names) {
      for (const password of ['wrong', 'x'.repeat(2000)]) {
        const person = at.person()
        const login = shown(await person.visit(authorizeURL(at, { client_id })))
        const page = shown(await person.logIn(login, password, name))
        expect(page.status).toBe(403)
        said.add(page.text)
        expect([...person.cookies.keys()]).toEqual(['mcp-gateway-browser'])
      }
    }
    expect(said.size).toBe(1)
    expect(hashed).toHaveLength(names.length * 2)
    expect(new Set(hashed).size).toBe(1)
  })

  test('is slowed down by account, and nobody else is', async () => {
    await using at = await house()
    const { client_id } = await register(at)
    let hashes = 0
    using verify = spyOn(Bun.password, 'verify').mockImplementation(async () => {
      hashes++
      return false
    })
    const attempt = async (name: string) => {
      const person = at.person()
      const login = shown(await person.visit(authorizeURL(at, { client_id })))
      return shown(await person.logIn(login, 'wrong', name))
    }
    for (let times = 0; times < 6; times++) await attempt('alice')
    const before = hashes
    const refused = await attempt('alice')
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(hashes).toBe(before)
    expect((await attempt('bob')).status).toBe(403)
    verify.mockRestore()
    const back = await at.person('root').authorize(authorizeURL(at, { client_id }))
    expect(back.searchParams.has('code')).toBe(true)
  })

  test.each(['x-forwarded-for', 'cf-connecting-ip', 'x-real-ip', 'true-client-ip', 'forwarded'])(
    'many accounts is slowed down by address, whatever %s says',
    async (header) => {
      await using at = await house()
      const { client_id } = await register(at)
      using _verify = spyOn(Bun.password, 'verify').mockImplementation(async () => false)
      const statuses: number[] = []
      for (let times = 0; times < 34; times++) {
        const person = at.person()
        const { url, forms } = shown(await person.visit(authorizeURL(at, { client_id })))
        const value = header === 'forwarded' ? `for=203.0.113.${times}` : `203.0.113.${times}`
        const body = new URLSearchParams({
          ...forms[0]!.fields,
          username: `n${times}`,
          password: 'x',
        })
        const { origin } = new URL(url)
        const headers = { [header]: value, origin }
        statuses.push(
          (await person.send(forms[0]!.action, { method: 'POST', body, headers })).status,
        )
      }
      expect(statuses.slice(0, 30)).toEqual(Array(30).fill(403))
      expect(statuses.slice(-3)).toEqual([429, 429, 429])
    },
  )
})

test('nothing secret is in any line of the log, nor as it is on the disk', async () => {
  await using at = await house()
  const secrets: Record<string, string> = { password: PASSWORD, verifier: VERIFIER }
  const keep = (name: string, value: string | null | undefined) => {
    expect(value).toBeTruthy()
    secrets[name] = value!
  }
  const { client_id, client_secret } = await register(at, {
    token_endpoint_auth_method: 'client_secret_post',
  })
  keep('client secret', client_secret)
  const person = at.person()
  const state = 'a-state-that-nobody-else-knows'
  secrets.state = state
  const login = shown(await person.visit(authorizeURL(at, { client_id, state })))
  keep('form', login.forms[0]!.fields.form)
  await person.logIn(login, 'a wrong password that is almost right')
  secrets.wrong = 'a wrong password that is almost right'
  // Many type it into the wrong field.
  secrets.typed = 'my-secret-in-the-field-for-names'
  await person.logIn(login, 'x', secrets.typed)
  const consent = shown(await person.logIn(login))
  keep('consent form', consent.forms[0]!.fields.form)
  const { sentTo } = await person.submit(consent, {}, 'allow')
  const code = sentTo!.searchParams.get('code')!
  keep('code', code)
  for (const [name, value] of person.cookies) keep(`cookie ${name}`, value)
  const proof = { client_secret: client_secret! }
  const { body } = await exchange(at, client_id, code, proof)
  keep('access', body.access_token)
  keep('refresh', body.refresh_token)
  const renewed = (await refresh(at, client_id, body.refresh_token, proof)).body
  keep('second access', renewed.access_token)
  keep('second refresh', renewed.refresh_token)

  // What is refused is logged, and says why.
  secrets.guessed = 'mcp_at_guessed-token-of-somebody'
  await knock(at, '/a/mcp', secrets.guessed)
  await knock(at, `/a/${secrets.guessed}/mcp`, undefined)
  await knock(at, `/nowhere/${renewed.access_token}/mcp`, undefined)
  await at.fetch(`${at.base}/${renewed.access_token}`)
  await at.fetch(`${at.base}/oauth/${renewed.access_token}/x`)
  await at.fetch(`${at.base}/tools?access_token=${renewed.access_token}`)
  await exchange(at, client_id, code, { client_secret: 'a-guessed-client-secret' })
  secrets.guessedSecret = 'a-guessed-client-secret'
  await exchange(at, client_id, code, proof)
  await refresh(at, client_id, body.refresh_token, { ...proof, scope: body.refresh_token })
  const token = renewed.refresh_token
  await submitted(at, '/oauth/token', { grant_type: token, client_id, ...proof })
  await submitted(at, '/oauth/token', {
    grant_type: 'refresh_token',
    refresh_token: token,
    client_id: token,
  })
  await submitted(at, '/oauth/revoke', { token, client_id, ...proof })
  await submitted(at, '/oauth/revoke', [
    [token, 'x'],
    [token, 'x'],
  ])
  const basic = Buffer.from(`${client_id}:a-guessed-client-secret`).toString('base64')
  secrets.basic = basic
  await submitted(at, '/oauth/token', { grant_type: 'x' }, { authorization: `Basic ${basic}` })
  await at.person().visit(authorizeURL(at, { client_id, code_challenge: VERIFIER, state }))

  const log = at.log.join('')
  expect(log).toContain('authorized')
  expect(log).toContain('login_refused')
  expect(log).toContain('request_refused')
  const told = Object.entries(secrets).filter(([, secret]) => log.includes(secret))
  expect(told).toEqual([])

  const data = join(at.place.path, 'data')
  const kept = readdirSync(data)
    .map((name) => readFileSync(join(data, name), 'latin1'))
    .join('')
  expect(kept).toContain(client_id)
  expect(Object.entries(secrets).filter(([, secret]) => kept.includes(secret))).toEqual([])
})
