/** What browsers hold back, and what there is to hold back, when somebody attacks who logs in. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import type { Page } from 'playwright-core'
import {
  EVIL,
  logIn,
  registered,
  shows,
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

describe('an attacker', () => {
  /** Waits until the browser has said that it holds all of these back. */
  const held = async ({ page, complaints }: Visitor, ...patterns: RegExp[]) => {
    while (!patterns.every((pattern) => complaints.some((text) => pattern.test(text)))) {
      await page.waitForEvent('console')
    }
  }
  const pwned = (page: Page) => page.evaluate("'pwned' in window")

  test('cannot run a script by a name, or by anything that a request says', async () => {
    await using v = await visitor(w)
    const id = await registered(w, EVIL)
    for (const client of ['evil', id]) {
      await v.page.goto(
        w.authorize(client, { state: EVIL, scope: `mcp ${EVIL}`, login_hint: EVIL }),
      )
      expect(await pwned(v.page)).toBe(false)
      await logIn(v.page, EVIL.slice(0, 60), EVIL)
      await v.page.getByRole('alert').waitFor()
      expect(await pwned(v.page)).toBe(false)
      await logIn(v.page, 'alice')
      await shows(v.page, `Allow ${EVIL}?`)
      expect(await pwned(v.page)).toBe(false)
      await v.context.clearCookies()
    }
    for (const name of [
      'client_id',
      'redirect_uri',
      'response_type',
      'resource',
      'prompt',
      'error',
    ]) {
      const params = new URLSearchParams(new URL(w.authorize('editor')).search)
      params.set(name, EVIL)
      params.delete(name === 'client_id' ? '' : 'state')
      await v.page.goto(w.at(`/oauth/authorize?${params}`))
      expect({ name, is: await pwned(v.page) }).toEqual({ name, is: false })
    }
    await v.page.goto(w.at(`/oauth/device?user_code=${encodeURIComponent(EVIL)}`))
    await logIn(v.page, 'alice')
    await shows(v.page, 'Connect a device')
    expect(await pwned(v.page)).toBe(false)
    // Nothing had to be held back by the policy: there was nothing to run.
    expect(v.complaints).toEqual([])
  })

  test('who got markup into a page could still run nothing there, nor send forms elsewhere', async () => {
    await using v = await visitor(w)
    await v.page.goto(w.authorize('editor'))
    await v.page.evaluate(`
      const add = (name, values) => document.body.append(Object.assign(document.createElement(name), values))
      add('script', { textContent: 'window.pwned = 1' })
      add('script', { src: '${w.app}/script.js' })
      add('img', { src: '${w.app}/stolen' })
      add('base', { href: '${w.app}' })
      document.body.setAttribute('onclick', 'window.pwned = 2')
      document.body.click()
      const form = document.forms[0]
      form.action = '${w.app}/stolen'
      form.submit()`)
    await held(v, /inline script/i, /inline event handler/i, /base-uri/, /form-action/)
    await held(v, new RegExp(`${w.app}/script.js`), new RegExp(`${w.app}/stolen`))
    expect(await pwned(v.page)).toBe(false)
    expect(v.page.url()).toStartWith(w.at('/oauth/authorize'))
  })

  test('cannot frame a page', async () => {
    await using v = await visitor(w)
    const frame = `<iframe src="${w.authorize('editor').replaceAll('&', '&amp;')}"></iframe>`
    await v.page.goto(`${w.app}/${Buffer.from(frame).toString('base64url')}`)
    const inside = v.page.frames()[1]!
    expect(await inside.getByLabel('Password').count()).toBe(0)
    await held(v, /frame-ancestors/)
  })

  test('cannot send a form in the name of who is logged in', async () => {
    await using v = await visitor(w)
    await v.page.goto(w.authorize('editor', { prompt: 'consent' }))
    await logIn(v.page, 'alice')
    await shows(v.page, 'Allow Editor?')
    const sealed = await v.page.locator('input[name=form]').inputValue()
    const form = `<form method="post" action="${w.at('/oauth/authorize')}">
      <input name="form" value="${sealed}"><input name="decision" value="allow"><button>Win</button></form>`
    await v.page.goto(`${w.app}/${Buffer.from(form).toString('base64url')}`)
    await v.page.getByRole('button', { name: 'Win' }).click()
    await shows(v.page, 'This cannot go on')
    expect(v.page.url()).toStartWith(w.at('/oauth/authorize'))
  })
})
