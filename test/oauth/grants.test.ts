/** Codes and tokens: what they are good for, how often, for whom and for how long. */
import { describe, expect, test } from 'bun:test'
import { inspect } from 'node:util'
import {
  APPROVAL,
  CHALLENGE,
  DAY,
  HOUR,
  logIn,
  newDesk,
  REDIRECT,
  refusalOf,
  VERIFIER,
} from './approvals.ts'

const exchange = { clientId: 'editor', verifier: VERIFIER, redirectURI: REDIRECT }

describe('a code', () => {
  test('is good for tokens, and they say what was agreed to', async () => {
    const { grants, clock } = newDesk()
    const code = await grants.approve({ ...APPROVAL, scopes: ['mcp', 'admin'], endpoint: 'files' })
    const tokens = await grants.exchange({ ...exchange, code })
    expect(tokens).toMatchObject({ expiresIn: 3600, scopes: ['mcp', 'admin'] })
    const access = await grants.find(tokens.accessToken)
    expect(access).toMatchObject({
      person: { id: 'user:alice', name: 'alice' },
      clientId: 'editor',
      clientName: 'Editor',
      scopes: ['mcp', 'admin'],
      endpoint: 'files',
    })
    expect(access!.expiresAt - clock.now()).toBeWithin(HOUR - 10_000, HOUR + 1)
  })

  test('that comes again is refused, and takes what it gave', async () => {
    const { grants, revoked } = newDesk()
    const code = await grants.approve(APPROVAL)
    const { accessToken, refreshToken } = await grants.exchange({ ...exchange, code })
    expect(await refusalOf(grants.exchange({ ...exchange, code }))).toMatch(
      /^invalid_grant: .*again/,
    )
    expect(await grants.find(accessToken)).toBeUndefined()
    expect(await refusalOf(grants.refresh({ token: refreshToken, clientId: 'editor' }))).toMatch(
      /^invalid_grant/,
    )
    expect(revoked).toHaveLength(1)
  })

  test.each<[string, object]>([
    ['another client', { clientId: 'other' }],
    ['a wrong verifier', { verifier: VERIFIER.toUpperCase() }],
    ['no verifier', { verifier: undefined }],
    ['another redirect URI', { redirectURI: 'http://127.0.0.1:4001/callback' }],
    ['a resource that is none', { endpoint: null }],
  ])('that comes again with %s takes what it gave, too', async (_, wrong) => {
    const { grants } = newDesk()
    const code = await grants.approve(APPROVAL)
    const { accessToken } = await grants.exchange({ ...exchange, code })
    expect(await refusalOf(grants.exchange({ ...exchange, code, ...wrong }))).toMatch(/again/)
    expect(await grants.find(accessToken)).toBeUndefined()
  })

  test('is given tokens for once, by however many who come at once', async () => {
    const { grants } = newDesk()
    const code = await grants.approve(APPROVAL)
    const attempts = Array.from({ length: 10 }, () => grants.exchange({ ...exchange, code }))
    const outcomes = await Promise.allSettled(attempts)
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(await grants.all()).toEqual([])
  })

  const wrong: [string, object, RegExp][] = [
    ['for another client', { clientId: 'other' }, /^invalid_grant: .*another client/],
    ['without a verifier', { verifier: undefined }, /^invalid_grant: .*verifier/],
    ['with an empty verifier', { verifier: '' }, /^invalid_grant: .*verifier/],
    ['with the challenge as verifier', { verifier: CHALLENGE }, /^invalid_grant: .*fit/],
    ['with a verifier in other letters', { verifier: VERIFIER.toUpperCase() }, /fit/],
    ['with a verifier and more', { verifier: `${VERIFIER}a` }, /fit/],
    ['with a verifier of another alphabet', { verifier: `${VERIFIER} ` }, /malformed/],
    [
      'with another port of the redirect URI',
      { redirectURI: REDIRECT.replace('4000', '4001') },
      /redirect/,
    ],
    ['with a slash after the redirect URI', { redirectURI: `${REDIRECT}/` }, /redirect/],
    ['with an empty redirect URI', { redirectURI: '' }, /redirect/],
    ['for a resource that is none', { endpoint: null }, /^invalid_target/],
  ]
  test.each(wrong)('is not good %s, and still is for whose it is', async (_, change, reason) => {
    const { grants } = newDesk()
    const code = await grants.approve(APPROVAL)
    expect(await refusalOf(grants.exchange({ ...exchange, code, ...change }))).toMatch(reason)
    expect(await grants.exchange({ ...exchange, code })).toMatchObject({ expiresIn: 3600 })
  })

  test.each([
    ['short', 'a'.repeat(42)],
    ['long', 'a'.repeat(129)],
  ])('is not good with a verifier that is too %s, though it fits', async (_, verifier) => {
    const { grants } = newDesk()
    const challenge = new Bun.CryptoHasher('sha256').update(verifier).digest('base64url')
    const code = await grants.approve({ ...APPROVAL, challenge })
    expect(await refusalOf(grants.exchange({ ...exchange, code, verifier }))).toMatch(/malformed/)
  })

  test('is gone after five wrong attempts, so nobody tries verifiers', async () => {
    const { grants } = newDesk()
    const code = await grants.approve(APPROVAL)
    for (let i = 0; i < 5; i++) {
      const verifier = `${VERIFIER}${i}`
      expect(await refusalOf(grants.exchange({ ...exchange, code, verifier }))).toMatch(/fit/)
    }
    expect(await refusalOf(grants.exchange({ ...exchange, code }))).toMatch(/not known/)
  })

  test('is good for a minute, to the millisecond', async () => {
    let time = Date.now()
    const { grants } = newDesk({ now: () => time })
    const [code, late] = [await grants.approve(APPROVAL), await grants.approve(APPROVAL)]
    time += 59_999
    expect(await grants.exchange({ ...exchange, code })).toBeDefined()
    time += 1
    expect(await refusalOf(grants.exchange({ ...exchange, code: late }))).toMatch(/expired/)
  })

  test('may come without the redirect URI, as in OAuth 2.1', async () => {
    const { grants } = newDesk()
    const code = await grants.approve(APPROVAL)
    expect(await grants.exchange({ code, clientId: 'editor', verifier: VERIFIER })).toBeDefined()
  })

  test('is no access token and no refresh token, and they are no codes', async () => {
    const { grants } = newDesk()
    const code = await grants.approve(APPROVAL)
    const { accessToken, refreshToken } = await logIn(grants)
    expect(await grants.find(code)).toBeUndefined()
    expect(await grants.find(refreshToken)).toBeUndefined()
    for (const token of [code, accessToken]) {
      expect(await refusalOf(grants.refresh({ token, clientId: 'editor' }))).toMatch(
        /^invalid_grant/,
      )
    }
    for (const other of [accessToken, refreshToken]) {
      expect(await refusalOf(grants.exchange({ ...exchange, code: other }))).toMatch(/malformed/)
    }
  })
})

describe('a refresh token', () => {
  const refreshed = (token: string) => ({ token, clientId: 'editor' })

  test('gives new tokens, and the access tokens from before stay good', async () => {
    const { grants } = newDesk()
    const first = await logIn(grants)
    const second = await grants.refresh(refreshed(first.refreshToken))
    expect(second.refreshToken).not.toBe(first.refreshToken)
    expect(second.accessToken).not.toBe(first.accessToken)
    expect(await grants.find(first.accessToken)).toBeDefined()
    expect(await grants.find(second.accessToken)).toBeDefined()
  })

  test('may come again while the next one was not used, and gives good tokens again', async () => {
    const { grants, clock, revoked } = newDesk()
    const { refreshToken } = await logIn(grants)
    await grants.refresh(refreshed(refreshToken))
    for (const pause of [0, 59_000, HOUR, 20 * DAY]) {
      clock.ahead += pause
      const again = await grants.refresh(refreshed(refreshToken))
      expect(await grants.find(again.accessToken)).toBeDefined()
    }
    expect(revoked).toEqual([])
  })

  test('that is older than the previous one ends the login', async () => {
    const { grants, revoked } = newDesk()
    const first = await logIn(grants)
    const second = await grants.refresh(refreshed(first.refreshToken))
    const third = await grants.refresh(refreshed(second.refreshToken))
    expect(await refusalOf(grants.refresh(refreshed(first.refreshToken)))).toMatch(/old refresh/)
    for (const { accessToken, refreshToken } of [first, second, third]) {
      expect(await grants.find(accessToken)).toBeUndefined()
      expect(await refusalOf(grants.refresh(refreshed(refreshToken)))).toMatch(/not known/)
    }
    expect(revoked).toHaveLength(1)
  })

  test('is found out when a thief and its owner use it in turns, more than a minute apart', async () => {
    const { grants, clock } = newDesk()
    const { refreshToken: stolen } = await logIn(grants)
    const thief = await grants.refresh(refreshed(stolen))
    clock.ahead += HOUR
    const owner = await grants.refresh(refreshed(stolen))
    expect(owner.refreshToken).not.toBe(thief.refreshToken)
    expect(await refusalOf(grants.refresh(refreshed(thief.refreshToken)))).toMatch(/old refresh/)
    expect(await refusalOf(grants.refresh(refreshed(owner.refreshToken)))).toMatch(/not known/)
  })

  test('used by a hundred at once gives each of them tokens that are good, and goes on', async () => {
    const { grants } = newDesk()
    let { refreshToken } = await logIn(grants)
    for (let round = 0; round < 3; round++) {
      const all = await Promise.all(
        Array.from({ length: 60 }, () => grants.refresh(refreshed(refreshToken))),
      )
      for (const { accessToken } of all) expect(await grants.find(accessToken)).toBeDefined()
      const next = new Set(all.map((tokens) => tokens.refreshToken))
      expect(next.size).toBe(1)
      refreshToken = [...next][0]!
    }
  })

  test('of another client is refused, and stays good', async () => {
    const { grants } = newDesk()
    const { refreshToken } = await logIn(grants)
    const stolen = grants.refresh({ token: refreshToken, clientId: 'other' })
    expect(await refusalOf(stolen)).toMatch(/^invalid_grant: .*another client/)
    expect(await grants.refresh(refreshed(refreshToken))).toBeDefined()
  })

  test('that is invented for a known grant ends nothing', async () => {
    const { grants, revoked } = newDesk()
    const { accessToken, refreshToken } = await logIn(grants)
    const id = (await grants.all())[0]!.id
    const invented = `mgw_rt_${id}${'A'.repeat(22)}${'B'.repeat(43)}`
    expect(await refusalOf(grants.refresh(refreshed(invented)))).toMatch(/not known/)
    expect(await grants.find(accessToken)).toBeDefined()
    expect(await grants.refresh(refreshed(refreshToken))).toBeDefined()
    expect(revoked).toEqual([])
  })

  test.each([
    ['fewer scopes', { scopes: ['mcp' as const] }, { scopes: ['mcp'], endpoint: '*' }],
    ['one endpoint', { endpoint: 'files' }, { scopes: ['mcp', 'admin'], endpoint: 'files' }],
    ['everything again', { endpoint: '*' }, { scopes: ['mcp', 'admin'], endpoint: '*' }],
  ])('may ask for %s, and loses nothing for the next time', async (_, narrower, expected) => {
    const { grants } = newDesk()
    const first = await logIn(grants, { scopes: ['mcp', 'admin'] })
    const second = await grants.refresh({ ...refreshed(first.refreshToken), ...narrower })
    expect(await grants.find(second.accessToken)).toMatchObject(expected)
    const third = await grants.refresh(refreshed(second.refreshToken))
    const all = { scopes: ['mcp', 'admin'] as string[], endpoint: '*' }
    expect(await grants.find(third.accessToken)).toMatchObject(all)
  })

  test('may not ask for more, and stays good', async () => {
    const { grants } = newDesk()
    const { refreshToken } = await logIn(grants, { endpoint: 'files' })
    const ask = { ...refreshed(refreshToken) }
    expect(await refusalOf(grants.refresh({ ...ask, scopes: ['mcp', 'admin'] }))).toMatch(
      /^invalid_scope/,
    )
    expect(await refusalOf(grants.refresh({ ...ask, scopes: [] }))).toMatch(/^invalid_scope/)
    expect(await refusalOf(grants.refresh({ ...ask, endpoint: 'web' }))).toMatch(/^invalid_target/)
    expect(await refusalOf(grants.refresh({ ...ask, endpoint: '' }))).toMatch(/^invalid_target/)
    const { accessToken } = await grants.refresh({ ...ask, endpoint: '*' })
    expect(await grants.find(accessToken)).toMatchObject({ scopes: ['mcp'], endpoint: 'files' })
  })

  test('lasts as long as it is used, and no longer', async () => {
    const { grants, clock } = newDesk()
    let { refreshToken } = await logIn(grants)
    for (let month = 0; month < 4; month++) {
      clock.ahead += 29 * DAY
      refreshToken = (await grants.refresh(refreshed(refreshToken))).refreshToken
    }
    clock.ahead += 30 * DAY
    expect(await refusalOf(grants.refresh(refreshed(refreshToken)))).toMatch(/^invalid_grant/)
  })

  test('outlives its access token, also if that comes once more', async () => {
    const { grants, clock } = newDesk()
    const { accessToken, refreshToken } = await logIn(grants)
    clock.ahead += HOUR
    expect(await grants.find(accessToken)).toBeUndefined()
    expect(await grants.refresh(refreshed(refreshToken))).toBeDefined()
  })

  test('of who may not log in any more is refused', async () => {
    const people = new Set(['user:alice'])
    const { grants } = newDesk({ isPerson: (id) => people.has(id) })
    const { refreshToken } = await logIn(grants)
    const code = await grants.approve(APPROVAL)
    people.clear()
    expect(await refusalOf(grants.refresh(refreshed(refreshToken)))).toMatch(
      /^invalid_grant: .*person/,
    )
    expect(await refusalOf(grants.exchange({ ...exchange, code }))).toMatch(
      /^invalid_grant: .*person/,
    )
  })
})

describe('revoking', () => {
  test('a refresh token ends the login', async () => {
    const { grants, revoked } = newDesk()
    const { accessToken, refreshToken } = await logIn(grants)
    await grants.revoke({ token: refreshToken, clientId: 'editor' })
    expect(await grants.find(accessToken)).toBeUndefined()
    expect(await grants.all()).toEqual([])
    expect(revoked).toHaveLength(1)
  })

  test('an old refresh token ends the login, too', async () => {
    const { grants } = newDesk()
    const first = await logIn(grants)
    let latest = first
    for (let i = 0; i < 3; i++) {
      latest = await grants.refresh({ token: latest.refreshToken, clientId: 'editor' })
    }
    await grants.revoke({ token: first.refreshToken, clientId: 'editor' })
    expect(await grants.find(latest.accessToken)).toBeUndefined()
  })

  test('an access token ends that one only', async () => {
    const { grants } = newDesk()
    const first = await logIn(grants)
    const second = await grants.refresh({ token: first.refreshToken, clientId: 'editor' })
    await grants.revoke({ token: first.accessToken, clientId: 'editor' })
    expect(await grants.find(first.accessToken)).toBeUndefined()
    expect(await grants.find(second.accessToken)).toBeDefined()
  })

  test('what belongs to another client, or to nobody, changes nothing', async () => {
    const { grants, revoked } = newDesk()
    const { accessToken, refreshToken } = await logIn(grants)
    for (const token of [accessToken, refreshToken])
      await grants.revoke({ token, clientId: 'other' })
    // Whoever has seen the id of a grant can make up what names it.
    const made = accessToken.slice(0, -43) + 'A'.repeat(43)
    for (const token of ['', 'x', 'A'.repeat(48), made])
      await grants.revoke({ token, clientId: 'editor' })
    expect(await grants.find(accessToken)).toBeDefined()
    expect(revoked).toEqual([])
  })

  test('a grant ends it, once', async () => {
    const { grants } = newDesk()
    const { accessToken, refreshToken } = await logIn(grants)
    const id = (await grants.grantsOf('user:alice'))[0]!.id
    expect(await grants.revokeGrant(id)).toBe(true)
    expect(await grants.revokeGrant(id)).toBe(false)
    expect(await grants.find(accessToken)).toBeUndefined()
    const again = grants.refresh({ token: refreshToken, clientId: 'editor' })
    expect(await refusalOf(again)).toMatch(/^invalid_grant/)
  })
})

describe('what is kept', () => {
  test('is of each person their own', async () => {
    const { grants } = newDesk()
    await logIn(grants)
    await logIn(grants, { person: { id: 'user:bob', name: 'bob' } })
    await grants.approve(APPROVAL)
    expect((await grants.all()).map(({ person }) => person.name).sort()).toEqual(['alice', 'bob'])
    expect(await grants.grantsOf('user:bob')).toMatchObject([{ person: { name: 'bob' } }])
    expect(await grants.grantsOf('user:eve')).toEqual([])
  })

  test('holds no code, no token and no verifier, and neither does what is shown of it', async () => {
    const { grants, store } = newDesk()
    const code = await grants.approve(APPROVAL)
    const first = await grants.exchange({ ...exchange, code })
    const second = await grants.refresh({ token: first.refreshToken, clientId: 'editor' })
    const kept = JSON.stringify(await Array.fromAsync(store.list('grants')))
    const seen = inspect([await grants.all(), await grants.find(second.accessToken)], { depth: 9 })
    const secrets = [code, first.accessToken, first.refreshToken, second.refreshToken].map((text) =>
      text.slice(29),
    )
    for (const secret of [...secrets, VERIFIER]) {
      for (let at = 0; at + 20 <= secret.length; at++) {
        expect(kept + seen).not.toContain(secret.slice(at, at + 20))
      }
    }
  })

  test('does not grow with the times that a client refreshes', async () => {
    const { grants, store } = newDesk()
    let { refreshToken } = await logIn(grants)
    for (let i = 0; i < 500; i++) {
      refreshToken = (await grants.refresh({ token: refreshToken, clientId: 'editor' }))
        .refreshToken
    }
    const kept = await Array.fromAsync(store.list('grants'))
    expect(kept).toHaveLength(1)
    expect(JSON.stringify(kept).length).toBeLessThan(16_000)
  })

  test('has no access tokens in it that have expired', async () => {
    const { grants, store, clock } = newDesk()
    let { refreshToken } = await logIn(grants)
    for (let i = 0; i < 3; i++) {
      clock.ahead += HOUR
      refreshToken = (await grants.refresh({ token: refreshToken, clientId: 'editor' }))
        .refreshToken
    }
    const [[, kept]] = (await Array.fromAsync(store.list('grants'))) as [
      [string, { access: unknown[] }],
    ]
    expect(kept.access).toHaveLength(1)
  })
})
