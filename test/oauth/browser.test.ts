/** Cookies and sessions of browsers. */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Browsers, isFromOurPages } from '../../src/auth/dialog/browser.ts'
import { Issuer } from '../../src/auth/issuer.ts'
import { People } from '../../src/auth/people.ts'
import type { Config } from '../../src/config/schema.ts'
import { SqliteStore } from '../../src/store/sqlite.ts'
import { configOf, PASSWORD } from './dialog.ts'

const HOUR = 3_600_000
const directory = mkdtempSync(join(tmpdir(), 'browser-'))
const store = new SqliteStore(directory)
afterAll(() => store.close())

const clock = { now: Date.now() }
let config: Config = configOf()
const people = new People(
  () => config,
  () => clock.now,
)
const browsers = new Browsers(store, people, () => clock.now)

const local = issuer('http://127.0.0.1:4298/')
const secure = issuer('https://mcp.example/')

function issuer(url: string): Issuer {
  return Issuer.of(new Request(url), configOf({ gateway: { baseURL: url } }))
}

const visit = (cookies: Record<string, string>, at = local) => {
  const cookie = Object.entries(cookies).map(([name, value]) => `${name}=${value}`)
  return browsers.visit(new Request(at.id, { headers: { cookie: cookie.join('; ') } }), at)
}

function jar(set: readonly string[]): Record<string, string> {
  return Object.fromEntries(set.map((one) => /^([^=]+)=([^;]*)/.exec(one)!.slice(1, 3)))
}

async function loggedIn(id = 'user:alice', at = local): Promise<Record<string, string>> {
  const one = await visit({}, at)
  await one.start(people.find(id)!)
  return jar(one.cookies)
}

describe('cookies', () => {
  test('over https are kept from neighbouring domains, scripts and other sites', async () => {
    const one = await visit({}, secure)
    await one.start(people.find('user:alice')!)
    expect(Object.keys(jar(one.cookies)).sort()).toEqual([
      '__Host-mcp-gateway',
      '__Host-mcp-gateway-browser',
    ])
    for (const cookie of one.cookies) {
      expect(cookie).toMatch(/; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Lax; Secure$/)
      expect(cookie).not.toContain('Domain')
    }
  })

  test('over http have names that browsers take there', async () => {
    const one = await visit({})
    expect(one.cookies.length).toBe(1)
    expect(one.cookies[0]).toStartWith('mcp-gateway-browser=')
    expect(one.cookies[0]).not.toContain('Secure')
  })

  test('that somebody else has set are not taken', async () => {
    for (const forged of ['', 'x', 'x'.repeat(43).concat('=')]) {
      expect((await visit({ 'mcp-gateway-browser': forged })).cookies.length).toBe(1)
    }
    const mine = await loggedIn()
    const request = new Request(local.id, {
      headers: { cookie: `mcp-gateway=${'x'.repeat(43)}; mcp-gateway=${mine['mcp-gateway']}` },
    })
    expect((await browsers.visit(request, local)).session).toBeUndefined()
  })

  test('stay as they are for who comes back', async () => {
    const cookies = await loggedIn()
    const again = await visit(cookies)
    expect(again.cookies).toEqual([])
    expect(again.session?.person.name).toBe('alice')
  })
})

describe('a session', () => {
  test('has another cookie than whatever was there before: nobody can fix it', async () => {
    const planted = { 'mcp-gateway': 'p'.repeat(43), 'mcp-gateway-browser': 'b'.repeat(43) }
    const one = await visit(planted)
    await one.start(people.find('user:alice')!)
    const cookie = jar(one.cookies)['mcp-gateway']!
    expect(cookie).toMatch(/^[\w-]{43}$/)
    expect(cookie).not.toBe(planted['mcp-gateway'])
    expect((await visit(planted)).session).toBeUndefined()
    expect((await visit({ 'mcp-gateway': cookie })).session?.person.id).toBe('user:alice')
  })

  test('ends the one before it', async () => {
    const first = await loggedIn()
    const one = await visit(first)
    await one.start(people.find('user:bob')!)
    expect((await visit(first)).session).toBeUndefined()
    expect((await visit(jar(one.cookies))).session?.person.name).toBe('bob')
  })

  test('ends after twelve hours, by logging out, and with the password', async () => {
    const cookies = await loggedIn()
    clock.now += 12 * HOUR - 1
    expect((await visit(cookies)).session).toBeDefined()
    clock.now += 1
    expect((await visit(cookies)).session).toBeUndefined()

    const other = await loggedIn()
    const leaving = await visit(other)
    await leaving.end()
    expect(leaving.cookies).toEqual([expect.stringMatching(/^mcp-gateway=; .*Max-Age=0;/)])
    expect((await visit(other)).session).toBeUndefined()

    const third = await loggedIn()
    config = configOf({ auth: { oauth: { users: { alice: 'another password' } } } })
    expect((await visit(third)).session).toBeUndefined()
    config = configOf({ auth: { oauth: { users: { bob: PASSWORD } } } })
    expect((await visit(third)).session).toBeUndefined()
    config = configOf()
  })

  test('is kept as a digest: nothing that is kept logs anybody in', async () => {
    const cookies = await loggedIn()
    const kept: string[] = []
    for (const bucket of ['browser-sessions', 'browsers'] as const) {
      for await (const entry of store.list(bucket)) kept.push(JSON.stringify(entry))
    }
    expect(kept.length).toBeGreaterThan(1)
    for (const value of Object.values(cookies)) expect(kept.join()).not.toContain(value)
    expect(kept.join()).not.toContain(PASSWORD)
    const [key] = /[\w-]{43}/.exec(kept[0]!)!
    expect((await visit({ 'mcp-gateway': key })).session).toBeUndefined()
  })

  test('makes its browser known to that person, and to nobody else', async () => {
    const cookies = await loggedIn('user:alice')
    const again = await visit({ 'mcp-gateway-browser': cookies['mcp-gateway-browser']! })
    expect(again.session).toBeUndefined()
    expect(await again.knows('user:alice')).toBe(true)
    expect(await again.knows('user:bob')).toBe(false)
    expect(await (await visit({})).knows('user:alice')).toBe(false)
  })
})

describe('a form comes from our pages', () => {
  test.each<[boolean, Record<string, string>]>([
    [true, {}],
    [true, { 'sec-fetch-site': 'same-origin', origin: 'https://mcp.example' }],
    [true, { 'sec-fetch-site': 'none' }],
    [true, { referer: 'https://mcp.example/oauth/authorize?x' }],
    [false, { 'sec-fetch-site': 'cross-site' }],
    [false, { 'sec-fetch-site': 'same-site', origin: 'https://mcp.example' }],
    [false, { origin: 'https://evil.example' }],
    [false, { origin: 'http://mcp.example' }],
    [false, { origin: 'https://mcp.example.evil.example' }],
    [false, { origin: 'null' }],
    [false, { 'sec-fetch-site': 'same-origin', origin: 'null' }],
    [false, { referer: 'https://evil.example/https://mcp.example/' }],
    [false, { referer: 'nonsense' }],
  ])('%p: %p', (isOurs, headers) => {
    const request = new Request('https://mcp.example/oauth/authorize', { headers })
    expect(isFromOurPages(request, secure)).toBe(isOurs)
  })
})
