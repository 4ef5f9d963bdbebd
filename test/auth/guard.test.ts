/** Who may come, and as whom. */
import { describe, expect, test } from 'bun:test'
import { inspect } from 'node:util'
import * as v from 'valibot'
import { Guard } from '../../src/auth/guard.ts'
import { ANONYMOUS, type Principal } from '../../src/caller.ts'
import { ConfigSchema } from '../../src/config/schema.ts'
import { GatewayError } from '../../src/errors.ts'

type Tokens = NonNullable<NonNullable<v.InferInput<typeof ConfigSchema>['auth']>['tokens']>

const NAMES = ['files', 'web', 'open']
const mcpServers = Object.fromEntries(NAMES.map((name) => [name, { url: 'https://mcp.example/' }]))

function idOf(token: string): string {
  const made = new Bun.CryptoHasher('sha256', KEY).update(token).digest('hex')
  return `token:${made.slice(0, 16)}`
}

function guardWith(tokens: Tokens, shared: string[] = []): Guard {
  return new Guard(v.parse(ConfigSchema, { auth: { tokens }, mcpServers }).auth, new Set(shared), {
    key: KEY,
  })
}

const KEY = new Uint8Array(32).fill(7)
const ALL = idOf('all-token')
const WEB = idOf('web-token')

const tokens: Tokens = [
  'all-token',
  { token: 'web-token', servers: ['web'] },
  { token: 'root-token', admin: true },
  'with a space',
  '100% /?#',
  'пароль',
]
const closed = guardWith(tokens)
const partly = guardWith(tokens, ['open'])

const CHALLENGE =
  'Bearer error="invalid_token", error_description="the token is not known here, or not any more"'

const identify = (guard: Guard, authorization?: string, path?: string) =>
  guard.identify(new Headers(authorization === undefined ? {} : { authorization }), path, '')

async function refused(guard: Guard, authorization?: string, path?: string): Promise<GatewayError> {
  try {
    const principal = await identify(guard, authorization, path)
    throw new Error(`let in as ${principal.id}`)
  } catch (error) {
    expect(error).toBeInstanceOf(GatewayError)
    return error as GatewayError
  }
}

describe('without tokens', () => {
  const open = guardWith([], ['open'])

  test('everybody is anonymous and may use everything, whatever they bring', () => {
    expect(open.isOpen).toBe(true)
    expect(identify(open)).toBe(ANONYMOUS)
    expect(identify(open, 'Bearer anything')).toBe(ANONYMOUS)
    expect(identify(open, 'Basic YTpi', '%zz')).toBe(ANONYMOUS)
  })

  test('nobody is an admin', () => {
    expect((identify(open) as Principal).isAdmin).toBeFalsy()
  })
})

describe('is let in', () => {
  test.each<[string, string | undefined, string | undefined, string]>([
    ['a token', 'Bearer all-token', undefined, ALL],
    ['a token with another spelling of the scheme', 'bEARER all-token', undefined, ALL],
    ['a token behind several spaces', 'Bearer   all-token', undefined, ALL],
    ['a token without scheme', 'all-token', undefined, ALL],
    ['a token in the path', undefined, 'all-token', ALL],
    ['a token in the path, percent-encoded', undefined, '%61ll%2Dtoken', ALL],
    ['a token in the path beside an empty header', '', 'all-token', ALL],
    ['the same token in header and path', 'Bearer web-token', 'web-token', WEB],
  ])('%s', (_, authorization, path, id) => {
    expect(closed.isOpen).toBe(false)
    expect(identify(closed, authorization, path)).toMatchObject({ id, kind: 'token' })
  })

  test.each([
    ['spaces', 'with a space', 'with%20a%20space'],
    ['signs that mean something in URLs', '100% /?#', encodeURIComponent('100% /?#')],
  ])('a token with %s', (_, token, segment) => {
    const principal = identify(closed, `Bearer ${token}`)
    expect(principal).toMatchObject({ kind: 'token' })
    expect(identify(closed, token)).toBe(principal)
    expect(identify(closed, undefined, segment)).toBe(principal)
  })

  test('a token of other letters, as the bytes of UTF-8', () => {
    const bytes = Buffer.from('пароль').toString('latin1')
    const principal = identify(closed, `Bearer ${bytes}`)
    expect(principal).toMatchObject({ kind: 'token' })
    expect(identify(closed, undefined, encodeURIComponent('пароль'))).toBe(principal)
  })

  test('one without any token, where something is public, and to that only', () => {
    expect(identify(partly)).toEqual({ ...ANONYMOUS, servers: new Set(['open']) })
  })
})

describe('is not let in', () => {
  const wrong: [string, string | undefined, string | undefined][] = [
    ['a token that is not ours', 'Bearer wrong-token', undefined],
    ['a token in other letters', 'Bearer ALL-TOKEN', undefined],
    ['the beginning of a token', 'Bearer all-toke', undefined],
    ['a token and more', 'Bearer all-token2', undefined],
    ['a wrong token without scheme', 'wrong-token', undefined],
    ['a scheme without token', 'Bearer', undefined],
    ['a scheme grown together with its token', 'Bearerall-token', undefined],
    ['another scheme', 'Basic YWxsLXRva2VuOg==', undefined],
    ['another scheme with a good token', 'Basic all-token', undefined],
    ['another scheme with a good token behind it', 'Digest Bearer all-token', undefined],
    ['two headers', 'Bearer all-token, Bearer all-token', undefined],
    ['a wrong token in the path', undefined, 'wrong-token'],
    ['an empty token in the path', undefined, ''],
    ['a scheme in the path', undefined, 'Bearer%20all-token'],
    ['a path that is not encoded as it should be', undefined, '%zz'],
    ['a token that is encoded twice', undefined, '%2561ll-token'],
    ['a good token in the path with a wrong one in the header', 'Bearer wrong-token', 'all-token'],
    ['a good token in the header with a wrong one in the path', 'Bearer all-token', 'wrong-token'],
    ['two good tokens that are not the same', 'Bearer all-token', 'web-token'],
    ['the digest of a token', `Bearer ${ALL.slice(6)}`, undefined],
    ['the id of a principal', `Bearer ${ALL}`, undefined],
    ['the name of an object member', 'Bearer __proto__', undefined],
  ]
  test.each(wrong)('%s, where something is public neither', async (_, authorization, path) => {
    for (const guard of [closed, partly]) {
      const { code, status, headers } = await refused(guard, authorization, path)
      expect({ code, status }).toEqual({ code: 'unauthorized', status: 401 })
      expect(headers).toEqual({ 'www-authenticate': CHALLENGE })
    }
  })

  test.each([
    ['without any token', undefined],
    ['with an empty header', ''],
  ])('one %s, where nothing is public', async (_, authorization) => {
    const { code, headers } = await refused(closed, authorization)
    expect(code).toBe('unauthorized')
    expect(headers).toEqual({ 'www-authenticate': 'Bearer' })
  })

  test('by a message that shows anything of the token', async () => {
    for (const [, authorization, path] of wrong) {
      const error = await refused(closed, authorization, path)
      expect(inspect(error)).not.toMatch(/all-tok|wrong-tok|ALL-TOK|YWxs|9b55a7/)
    }
  })
})

describe('a token', () => {
  test.each<[string, Tokens[number], string[] | undefined, boolean]>([
    ['names no servers and is good for all', 'abcd', undefined, false],
    [
      'is good for its servers and the public ones',
      { token: 'abcd', servers: ['web'] },
      ['web', 'open'],
      false,
    ],
    [
      'that names no server at all is good for the public ones',
      { token: 'abcd', servers: [] },
      ['open'],
      false,
    ],
    ['may make an admin', { token: 'abcd', admin: true }, undefined, true],
  ])('%s', (_, token, servers, isAdmin) => {
    const principal = identify(guardWith([token], ['open']), 'Bearer abcd') as Principal
    expect(principal.servers && [...principal.servers]).toEqual(servers)
    expect(principal.isAdmin).toBe(isAdmin)
  })

  test('makes the same principal each time, also after a reload', () => {
    expect(identify(closed, 'all-token')).toBe(identify(closed, undefined, 'all-token'))
    expect(identify(guardWith(['all-token']), 'all-token')).toMatchObject({ id: ALL })
  })

  test('is another principal to who has another key: nobody finds out a weak one by its id', () => {
    const one = v.parse(ConfigSchema, { auth: { tokens: ['abcd'] }, mcpServers })
    const guards = [new Guard(one.auth, new Set()), new Guard(one.auth, new Set())]
    const ids = guards.map((guard) => (identify(guard, 'abcd') as Principal).id)
    expect(new Set([...ids, idOf('abcd')]).size).toBe(3)
    const digest = new Bun.CryptoHasher('sha256').update('abcd').digest('hex')
    expect(ids.map((id) => digest.includes(id.slice(6, 14)))).toEqual([false, false])
  })

  test('is called what it is called in the configuration', () => {
    expect(identify(guardWith([{ token: 'abcd', name: 'build' }]), 'abcd')).toMatchObject({
      name: 'build',
      id: idOf('abcd'),
    })
  })

  test('is nowhere in what is known of its owner, nor in the guard', () => {
    expect(inspect([closed, identify(closed, 'all-token')], { depth: 9 })).not.toContain('all-t')
  })
})

describe('after a change of tokens', () => {
  const web = identify(closed, 'web-token') as Principal
  const all = identify(closed, 'all-token') as Principal
  const stranger = identify(partly) as Principal

  test.each<[string, Principal, Guard, boolean]>([
    [
      'one whose token stays, stays',
      web,
      guardWith([{ token: 'web-token', servers: ['web'] }]),
      true,
    ],
    [
      'one whose token is good for more, is gone: what it sees is another endpoint',
      web,
      guardWith(['web-token']),
      false,
    ],
    ['one whose token is gone, is gone', web, guardWith(['all-token']), false],
    [
      'one whose token lost a server, is gone',
      web,
      guardWith([{ token: 'web-token', servers: ['files'] }]),
      false,
    ],
    [
      'one who might use everything and no more, is gone',
      all,
      guardWith([{ token: 'all-token', servers: NAMES }]),
      false,
    ],
    ['one who came by token is gone when none is needed any more', all, guardWith([]), false],
    ['one who came without is gone when tokens are needed', ANONYMOUS, closed, false],
    [
      'one who came without to everything is gone when only some is public',
      ANONYMOUS,
      partly,
      false,
    ],
    [
      'one who came without to what is public, stays while it is',
      stranger,
      guardWith(['abcd'], ['open']),
      true,
    ],
    [
      'one who came without to what is public, is gone when there is more',
      stranger,
      guardWith(['abcd'], ['open', 'web']),
      false,
    ],
    [
      'one who came without to what is public, is gone with that',
      stranger,
      guardWith(['abcd'], ['web']),
      false,
    ],
    [
      'one who came without to what is public, is gone when everything opens',
      stranger,
      guardWith([]),
      false,
    ],
  ])('%s', (_, principal, guard, expected) => {
    expect(guard.isStill(principal)).toBe(expected)
  })
})
