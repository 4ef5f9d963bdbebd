/** Who comes with a token of a login: as whom, where to, and how soon they are out again. */
import { describe, expect, test } from 'bun:test'
import * as v from 'valibot'
import { AccessTokens } from '../../src/auth/access.ts'
import type { Access, Approval } from '../../src/auth/grants.ts'
import { Guard } from '../../src/auth/guard.ts'
import type { Person } from '../../src/auth/people/person.ts'
import type { Principal } from '../../src/caller.ts'
import { ConfigSchema } from '../../src/config/schema.ts'
import { GatewayError } from '../../src/errors.ts'
import { HOUR, logIn, newDesk } from './approvals.ts'

const ALICE: Person = { id: 'user:alice', name: 'alice', isAdmin: false }
const mcpServers = Object.fromEntries(
  ['files', 'web', 'open'].map((name) => [name, { url: 'https://mcp.example/' }]),
)

interface House {
  guard: Guard
  people: Map<string, Person>
  clock: { ahead: number }
  desk: ReturnType<typeof newDesk>
  access: AccessTokens
  lookups: number
  /** A token of a new login. */
  token(approval?: Partial<Approval>): Promise<string>
}

function newHouse(
  person: Partial<Person> = {},
  shared: string[] = [],
  tokens: string[] = [],
): House {
  const people = new Map([[ALICE.id, { ...ALICE, ...person }]])
  const desk = newDesk({ onRevoked: (id) => access.forget(id) })
  const house = { lookups: 0 }
  const access = new AccessTokens((token) => {
    house.lookups++
    return desk.grants.find(token)
  }, desk.clock.now)
  const { auth } = v.parse(ConfigSchema, { auth: { oauth: {}, tokens }, mcpServers })
  const logins = {
    find: (token: string) => access.find(token),
    personOf: (id: string) => people.get(id),
  }
  const guard = new Guard(auth, new Set(shared), { logins })
  const token = async (approval: Partial<Approval> = {}) =>
    (await logIn(desk.grants, approval)).accessToken
  return Object.assign(house, { guard, people, desk, access, clock: desk.clock, token })
}

const come = (guard: Guard, token?: string, endpoint = '', path?: string) =>
  guard.identify(new Headers(token ? { authorization: `Bearer ${token}` } : {}), path, endpoint)

async function refused(act: () => unknown): Promise<GatewayError> {
  try {
    await act()
  } catch (error) {
    expect(error).toBeInstanceOf(GatewayError)
    return error as GatewayError
  }
  throw new Error('let in')
}

describe('a token of a login', () => {
  test('lets its person in, by their client', async () => {
    const { guard, token } = newHouse()
    expect(guard.isOpen).toBe(false)
    expect(await come(guard, await token())).toEqual({
      id: 'user:alice',
      kind: 'user',
      name: 'alice',
      clientId: 'editor',
      grantId: expect.any(String),
      isAdmin: false,
    })
  })

  test.each<[string, string, boolean]>([
    ['*', '', true],
    ['*', 'files', true],
    ['', '', true],
    ['', 'files', false],
    ['files', 'files', true],
    ['files', '', false],
    ['files', 'web', false],
  ])('for %j at %j: %p', async (audience, endpoint, isGood) => {
    const { guard, token } = newHouse()
    const good = await token({ endpoint: audience })
    if (isGood) return expect(await come(guard, good, endpoint)).toMatchObject({ kind: 'user' })
    const { status, headers } = await refused(() => come(guard, good, endpoint))
    expect(status).toBe(401)
    expect(headers?.['www-authenticate']).toStartWith('Bearer error="invalid_token"')
  })

  test('is for the servers that its person may use now, and public ones', async () => {
    const { guard, people, token } = newHouse({ servers: new Set(['web']) }, ['open'])
    const good = await token()
    const before = (await come(guard, good)) as Principal
    expect([...before.servers!].sort()).toEqual(['open', 'web'])
    expect(guard.isStill(before)).toBe(true)
    people.set(ALICE.id, { ...ALICE, servers: new Set(['files']) })
    expect(guard.isStill(before)).toBe(false)
  })

  test('of somebody who is not configured any more is good for nothing', async () => {
    const { guard, people, token } = newHouse()
    const good = await token()
    people.clear()
    expect((await refused(() => come(guard, good))).code).toBe('unauthorized')
  })

  test('ends for who was in when they are taken out', async () => {
    const { guard, people, token } = newHouse()
    const principal = (await come(guard, await token())) as Principal
    expect(guard.isStill(principal)).toBe(true)
    people.clear()
    expect(guard.isStill(principal)).toBe(false)
  })

  test.each<[boolean, ('mcp' | 'admin')[], boolean]>([
    [true, ['mcp', 'admin'], true],
    [true, ['mcp'], false],
    [false, ['mcp', 'admin'], false],
  ])('of an admin (%p) with %j makes an admin: %p', async (isAdmin, scopes, expected) => {
    const { guard, token } = newHouse({ isAdmin })
    expect(await come(guard, await token({ scopes }))).toMatchObject({ isAdmin: expected })
  })

  test('without the scope for servers is told which one is missing', async () => {
    const { guard, token } = newHouse({ isAdmin: true })
    const only = await token({ scopes: ['admin'] })
    const { status, headers } = await refused(() => come(guard, only))
    expect(status).toBe(403)
    expect(headers).toEqual({
      'www-authenticate': 'Bearer error="insufficient_scope", scope="mcp"',
    })
  })

  test('does not count in the path, where it would be written down', async () => {
    const { guard, token } = newHouse()
    const good = await token()
    expect((await refused(() => come(guard, undefined, 'files', good))).code).toBe('unauthorized')
    expect((await refused(() => come(guard, good, 'files', good))).code).toBe('unauthorized')
  })

  test('beside a configured token that is somebody else is refused', async () => {
    const { guard, token } = newHouse({}, [], ['configured'])
    const good = await token()
    expect(await come(guard, undefined, 'files', 'configured')).toMatchObject({ kind: 'token' })
    expect(await come(guard, 'configured', 'files')).toMatchObject({ kind: 'token' })
    expect((await refused(() => come(guard, good, 'files', 'configured'))).code).toBe(
      'unauthorized',
    )
  })

  test.each(['', 'x', 'mgw_at_', `mgw_at_${'A'.repeat(65)}`, 'A'.repeat(48)])(
    'is not %j',
    async (wrong) => {
      const { guard, token } = newHouse()
      await token()
      expect((await refused(() => come(guard, wrong || ' '))).status).toBe(401)
    },
  )

  test('is no refresh token', async () => {
    const { guard, desk } = newHouse()
    const { refreshToken } = await logIn(desk.grants)
    expect((await refused(() => come(guard, refreshToken))).status).toBe(401)
  })
})

describe('who comes without a token', () => {
  test('is told to log in, and for what', async () => {
    const { status, headers } = await refused(() => come(newHouse().guard, undefined, 'files'))
    expect(status).toBe(401)
    expect(headers).toEqual({ 'www-authenticate': 'Bearer scope="mcp"' })
  })

  test('may use what is public, and elsewhere is told to log in, whether that exists or not', async () => {
    const { guard } = newHouse({}, ['open'])
    expect(come(guard, undefined, 'open')).toMatchObject({ kind: 'anonymous' })
    // Where all are merged, too: otherwise nobody could ever log in there.
    for (const endpoint of ['', 'files', 'nothing']) {
      expect((await refused(() => come(guard, undefined, endpoint))).status).toBe(401)
    }
  })
})

describe('a token that was looked up', () => {
  test('is answered at once for a second, as the same principal, and then looked up again', async () => {
    const house = newHouse()
    const good = await house.token()
    const first = come(house.guard, good)
    expect(first).toBeInstanceOf(Promise)
    const principal = await first
    house.clock.ahead += 500
    expect(come(house.guard, good)).toBe(principal)
    expect(house.lookups).toBe(1)
    house.clock.ahead += 600
    expect(come(house.guard, good)).toBeInstanceOf(Promise)
    expect(house.lookups).toBe(2)
  })

  test('is looked up once for all who ask at once', async () => {
    const house = newHouse()
    const good = await house.token()
    await Promise.all(Array.from({ length: 20 }, () => come(house.guard, good)))
    expect(house.lookups).toBe(1)
  })

  test('is out at once when it is revoked here', async () => {
    const house = newHouse()
    const good = await house.token()
    const { grantId } = (await come(house.guard, good)) as Principal
    await house.desk.grants.revokeGrant(grantId!)
    expect((await refused(() => come(house.guard, good))).status).toBe(401)
  })

  test('is out within a second when it is revoked by another process', async () => {
    const house = newHouse()
    const good = await house.token()
    const { grantId } = (await come(house.guard, good)) as Principal
    await house.desk.store.update('grants', grantId!, () => undefined)
    expect(await come(house.guard, good)).toMatchObject({ kind: 'user' })
    house.clock.ahead += 1000
    expect((await refused(() => come(house.guard, good))).status).toBe(401)
  })

  test('is out when it expires, to the millisecond, though it was just looked up', async () => {
    let time = Date.now()
    const until = time + HOUR
    const one = { expiresAt: until } as Access
    const access = new AccessTokens(
      async () => one,
      () => time,
    )
    time = until - 1
    expect(await access.find('a')).toBe(one)
    expect(access.find('a')).toBe(one)
    time = until
    expect(access.find('a')).toBeUndefined()
  })

  test('while it was being revoked is not remembered', async () => {
    const found = Promise.withResolvers<Access | undefined>()
    const answers = [found.promise, Promise.resolve(undefined)]
    const access = new AccessTokens(() => answers.shift()!)
    const asked = access.find('a')
    access.forget('grant')
    found.resolve({ grantId: 'grant', expiresAt: Number.POSITIVE_INFINITY } as Access)
    await asked
    expect(await access.find('a')).toBeUndefined()
    expect(answers).toEqual([])
  })

  test('is forgotten for those that came later, and unknown ones are not remembered at all', async () => {
    let lookups = 0
    const access = new AccessTokens(async (token) => {
      lookups++
      const isGood = token.startsWith('good')
      return isGood
        ? ({ grantId: token, expiresAt: Number.POSITIVE_INFINITY } as Access)
        : undefined
    })
    await access.find('good')
    for (let i = 0; i < 1000; i++) await access.find(`junk ${i}`)
    expect(access.find('good')).not.toBeInstanceOf(Promise)
    for (let i = 0; i < 10_000; i++) await access.find(`good ${i}`)
    expect(lookups).toBe(11_001)
    expect(access.find('good')).toBeInstanceOf(Promise)
  })
})
