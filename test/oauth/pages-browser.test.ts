/** What people see and do, in a real browser: with a keyboard, on a phone, in the dark, and without JavaScript. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import type { Page } from 'playwright-core'
import { CERTIFICATE } from '../support/certificate.ts'
import { VERIFIER } from './approvals.ts'
import { legibilityOf } from './legible.ts'
import {
  decide,
  logIn,
  registered,
  shows,
  styleOf,
  told,
  type Visitor,
  visitor,
  type World,
  world,
} from './visitor.ts'

setDefaultTimeout(60_000)

let w: World
beforeAll(async () => {
  w = await world()
})
afterAll(() => w?.[Symbol.asyncDispose]())

const textOf = async (page: Page) => {
  return ((await page.locator('main').textContent()) ?? '').replace(/\s+/g, ' ')
}

async function redeem(code: string): Promise<{ access_token?: string }> {
  const response = await fetch(w.at('/oauth/token'), {
    method: 'POST',
    body: new URLSearchParams({
      ...{ grant_type: 'authorization_code', client_id: 'editor', code },
      ...{ redirect_uri: `${w.app}/callback`, code_verifier: VERIFIER },
    }),
  })
  return (await response.json()) as { access_token?: string }
}

describe('someone', () => {
  test('logs in, agrees, and is back with a code that is good', async () => {
    await using v = await visitor(w)
    await v.page.goto(w.authorize('editor', { resource: w.at('/files/mcp') }))
    expect(await textOf(v.page)).toMatch(/to let Editor use files/)
    await logIn(v.page, 'alice')
    await shows(v.page, 'Allow Editor?')
    const asked = await textOf(v.page)
    expect(asked).toContain('Use files')
    expect(asked).not.toContain('search')
    expect(asked).toContain(new URL(w.app).host)
    await decide(v.page, 'Allow')
    const { code, state, iss } = await told(v.page)
    expect({ state, iss }).toEqual({ state: 'a-state', iss: new URL(w.at('/')).origin })
    expect((await redeem(code!)).access_token).toBeString()
    expect(v.complaints).toEqual([])
  })

  test('types a wrong password, is told, and need not type the name again', async () => {
    await using v = await visitor(w)
    await v.page.goto(w.authorize('editor'))
    await logIn(v.page, 'bob', 'wrong')
    expect(await v.page.getByRole('alert').textContent()).toMatch(/Invalid user name or password/)
    expect(await v.page.getByLabel('User name').inputValue()).toBe('bob')
    expect(await v.page.getByLabel('Password').inputValue()).toBe('')
    expect(await v.page.locator(':focus').getAttribute('id')).toBe('password')
    await logIn(v.page, 'bob')
    await shows(v.page, 'Allow Editor?')
    expect(v.complaints).toEqual([])
  })

  test('says no, and the program is told so', async () => {
    await using v = await visitor(w)
    await v.page.goto(w.authorize('other'))
    await logIn(v.page, 'alice')
    await decide(v.page, 'Deny')
    const said = await told(v.page)
    expect(said).toMatchObject({ error: 'access_denied', state: 'a-state' })
    expect(said.code).toBeUndefined()
    expect(v.complaints).toEqual([])
  })

  test('who has agreed before is not asked again, by the same program on the web', async () => {
    await using v = await visitor(w, { ignoreHTTPSErrors: true })
    await v.page.goto(w.authorize('web'))
    await logIn(v.page, 'carol')
    await decide(v.page, 'Allow')
    await told(v.page)
    await v.page.goto(w.authorize('web'))
    expect((await told(v.page)).code).toBeString()
    // On this computer it may be another program every time.
    for (const client of ['editor', 'editor']) {
      await v.page.goto(w.authorize(client))
      await shows(v.page, 'Allow Editor?')
      await decide(v.page, 'Allow')
      await told(v.page)
    }
    expect(v.complaints).toEqual([])
  })

  test('who is somebody else says so, and logs in as that', async () => {
    await using v = await visitor(w)
    await v.page.goto(w.authorize('other'))
    await logIn(v.page, 'alice')
    await v.page.getByRole('button', { name: 'Not you?' }).click()
    await logIn(v.page, 'root')
    await shows(v.page, 'Allow Other editor?')
    expect(await textOf(v.page)).toContain('You are root.')
  })

  test('is led to an app by a page, which a redirect would not show', async () => {
    await using v = await visitor(w)
    await v.page.goto(w.authorize('desktop'))
    await logIn(v.page, 'alice')
    await decide(v.page, 'Allow')
    await v.page.getByRole('heading', { name: 'Signed in' }).waitFor()
    const link = v.page.getByRole('link', { name: 'Continue' })
    expect(await link.getAttribute('href')).toMatch(
      /^cursor:\/\/anysphere\.cursor\/callback\?code=/,
    )
    expect(v.complaints).toEqual([])
  })

  test('whom a program sends that nobody knows is told so, and led nowhere', async () => {
    await using v = await visitor(w)
    const params = `client_id=${encodeURIComponent('<b>x')}&redirect_uri=https://evil.example/`
    await v.page.goto(w.at(`/oauth/authorize?response_type=code&${params}`))
    await shows(v.page, 'This cannot go on')
    expect(await v.page.getByRole('link').count()).toBe(0)
    expect(v.complaints).toEqual([])
  })

  test('connects a device', async () => {
    await using v = await visitor(w)
    const begun = await fetch(w.at('/oauth/device_authorization'), {
      method: 'POST',
      body: new URLSearchParams({ client_id: await registered(w, 'A television') }),
    })
    const { user_code, verification_uri } = (await begun.json()) as Record<string, string>
    await v.page.goto(verification_uri!)
    await logIn(v.page, 'alice')
    await shows(v.page, 'Connect a device')
    await v.page.getByLabel('Code').fill('BBBB-BBBB')
    await v.page.getByRole('button', { name: 'Continue' }).click()
    expect(await v.page.getByRole('alert').textContent()).toMatch(/No device waits/)
    await v.page.getByLabel('Code').fill(user_code!.toLowerCase().replace('-', ' '))
    await v.page.getByRole('button', { name: 'Continue' }).click()
    await shows(v.page, 'Allow A television?')
    expect(await textOf(v.page)).toContain(user_code!)
    await decide(v.page, 'Allow')
    await v.page.getByRole('heading', { name: 'Connected', exact: true }).waitFor()
    expect(v.complaints).toEqual([])
  })

  test('goes back and forth between pages, and is never stuck', async () => {
    await using v = await visitor(w)
    const start = w.authorize('other', { state: 'back' })
    await v.page.goto(start)
    await logIn(v.page, 'dave', 'wrong')
    await v.page.getByRole('alert').waitFor()
    await v.page.goBack()
    await shows(v.page, 'Sign in')
    await logIn(v.page, 'dave')
    await shows(v.page, 'Allow Other editor?')
    await v.page.goBack()
    // They are logged in by now.
    await shows(v.page, 'Allow Other editor?')
    await decide(v.page, 'Allow')
    expect((await told(v.page)).state).toBe('back')
    await v.page.goBack()
    await v.page.getByRole('heading', { name: 'Allow Other editor?' }).waitFor()
    await decide(v.page, 'Allow')
    expect((await told(v.page)).state).toBe('back')
  })

  test('goes back to where it came in, over the answer to a form that browsers do not keep', async () => {
    await using v = await visitor(w)
    await v.page.goto(w.authorize('other', { state: 'again' }))
    await logIn(v.page, 'dave')
    await decide(v.page, 'Allow')
    const { code } = await told(v.page)
    await v.page.evaluate('setTimeout(() => history.go(-2))')
    await v.page.getByRole('heading', { name: 'Allow Other editor?' }).waitFor()
    await decide(v.page, 'Allow')
    const again = await told(v.page)
    expect(again.state).toBe('again')
    expect(again.code).not.toBe(code)
  })

  test('has two tabs with two programs open, and each goes on where it was', async () => {
    await using v = await visitor(w)
    const second = await v.tab()
    await v.page.goto(w.authorize('editor', { state: 'one' }))
    await second.goto(w.authorize('other', { state: 'two' }))
    await logIn(v.page, 'erin')
    await shows(v.page, 'Allow Editor?')
    await logIn(second, 'erin')
    await shows(second, 'Allow Other editor?')
    await decide(second, 'Allow')
    expect((await told(second)).state).toBe('two')
    // The first was shown to who was logged in before that.
    await decide(v.page, 'Allow')
    await shows(v.page, 'Sign in')
    await logIn(v.page, 'erin')
    await shows(v.page, 'Allow Editor?')
    await decide(v.page, 'Allow')
    expect((await told(v.page)).state).toBe('one')
    expect(v.complaints).toEqual([])
  })

  test('needs no mouse', async () => {
    await using v = await visitor(w)
    const { keyboard } = v.page
    await v.page.goto(w.authorize('other', { prompt: 'consent' }))
    await v.page.locator('#username:focus').waitFor()
    await keyboard.type('alice')
    await keyboard.press('Tab')
    await keyboard.type('wonderland')
    await keyboard.press('Enter')
    await v.page.getByRole('heading', { name: 'Allow' }).waitFor()
    const stops: string[] = []
    for (let i = 0; i < 3; i++) {
      await keyboard.press('Tab')
      const focus = v.page.locator(':focus-visible')
      stops.push((await focus.textContent()) ?? '')
      expect(await styleOf(v.page, ':focus', 'outlineStyle')).toBe('solid')
    }
    expect(stops).toEqual(['Allow', 'Deny', 'Not you?'])
    await keyboard.press('Shift+Tab')
    await keyboard.press('Shift+Tab')
    await keyboard.press('Enter')
    expect((await told(v.page)).code).toBeString()
  })

  test('needs no JavaScript', async () => {
    await using v = await visitor(w, { javaScriptEnabled: false })
    await v.page.goto(w.authorize('other', { prompt: 'consent' }))
    await logIn(v.page, 'alice', 'wrong')
    await v.page.getByRole('alert').waitFor()
    await logIn(v.page, 'alice')
    await decide(v.page, 'Allow')
    expect((await told(v.page)).code).toBeString()
  })
})

test('over https cookies are kept that no other host can set, and the browser takes them', async () => {
  await using secure = await world({ tls: CERTIFICATE })
  await using v = await visitor(secure, { ignoreHTTPSErrors: true })
  await v.page.goto(secure.authorize('web'))
  expect(v.page.url()).toStartWith('https:')
  await logIn(v.page, 'alice')
  await decide(v.page, 'Allow')
  const { iss } = await told(v.page)
  expect(iss).toBe(new URL(secure.at('/')).origin)
  const cookies = await v.context.cookies()
  expect(cookies.map(({ name }) => name).sort()).toEqual([
    '__Host-mcp-gateway',
    '__Host-mcp-gateway-browser',
  ])
  for (const cookie of cookies) {
    expect(cookie).toMatchObject({ httpOnly: true, secure: true, sameSite: 'Lax', path: '/' })
  }
  await v.page.goto(secure.authorize('web'))
  expect((await told(v.page)).code).toBeString()
  expect(v.complaints).toEqual([])
})

/** Every page in turn, as the longest that it can become. */
async function* everyPage({ page }: Visitor): AsyncGenerator<string> {
  await page.goto(w.authorize('long', { scope: 'mcp admin' }))
  yield 'login'
  await logIn(page, 'root', 'wrong')
  await page.getByRole('alert').waitFor()
  yield 'wrong password'
  await logIn(page, 'root')
  await page.getByRole('heading', { name: 'Allow' }).waitFor()
  yield 'consent'
  await page.goto(w.authorize(`unknown-${'u'.repeat(60)}`))
  yield 'consent to a program that nobody knows'
  await page.goto(
    w.at(`/oauth/authorize?client_id=${'x'.repeat(300)}&redirect_uri=https://a.example/`),
  )
  yield 'error'
  await page.goto(w.at('/oauth/device'))
  yield 'device'
  await page.getByLabel('Code').fill('BBBB-BBBB')
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('alert').waitFor()
  yield 'wrong code'
  // The last one: it leaves for an app, and a browser is not told of an app that is not there.
  await page.goto(w.authorize('desktop'))
  await decide(page, 'Allow')
  await page.getByRole('heading', { name: 'Signed in' }).waitFor()
  yield 'success'
}

describe('every page', () => {
  test.each([320, 390])('fits a screen of %d px', async (width) => {
    await using v = await visitor(w, { viewport: { width, height: 640 } })
    for await (const name of everyPage(v)) {
      const wide = await v.page.evaluate('document.documentElement.scrollWidth')
      expect(`${name}: ${wide}`).toBe(`${name}: ${width}`)
    }
    expect(v.complaints).toEqual([])
  })

  test.each([
    ['light', 'rgb(244, 245, 247)'],
    ['dark', 'rgb(20, 23, 28)'],
  ] as const)('can be read where it is %s', async (colorScheme, color) => {
    await using v = await visitor(w, { colorScheme })
    for await (const name of everyPage(v)) {
      expect(await styleOf(v.page, 'body', 'backgroundColor')).toBe(color)
      const texts = await legibilityOf(v.page)
      expect(texts.length).toBeGreaterThan(2)
      const hard = texts.filter(({ contrast }) => contrast < 4.5)
      expect({ name, hard }).toEqual({ name, hard: [] })
    }
  })

  test('says what it is, and what its fields are', async () => {
    await using v = await visitor(w)
    for await (const name of everyPage(v)) {
      const unnamed = await v.page.evaluate(
        `[...document.querySelectorAll('input:not([type=hidden])')]
          .filter(({ labels }) => labels.length === 0).map(({ outerHTML }) => outerHTML)`,
      )
      expect({ name, unnamed }).toEqual({ name, unnamed: [] })
      expect(await v.page.getByRole('heading', { level: 1 }).count()).toBe(1)
      expect(await v.page.title()).not.toBe('')
      expect(await v.page.locator('html').getAttribute('lang')).toBe('en')
    }
  })
})
