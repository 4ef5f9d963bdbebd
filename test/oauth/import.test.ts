/** What is taken over from the file of an older proxy, and what not. */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ImportedClient, importOnce } from '../../src/auth/grants/import.ts'
import type { Person } from '../../src/auth/people/person.ts'
import { DAY, HOUR, newDesk, refusalOf } from './approvals.ts'

const root = mkdtempSync(join(tmpdir(), 'mcp-gateway-import-'))
afterAll(() => rmSync(root, { recursive: true }))

const ACCESS = 'access-'.padEnd(48, 'a')
const REFRESH = 'refresh-'.padEnd(48, 'r')
const SECRET = 'the-secret-of-a-client'.padEnd(48, 's')
const ALICE: Person = { id: 'user:alice', name: 'alice', isAdmin: true }

const client = {
  client_id: 'claude',
  client_secret: SECRET,
  redirect_uris: ['https://claude.ai/api/mcp/auth_callback'],
  grant_types: ['authorization_code'],
  client_id_issued_at: '2025-06-01T00:00:00Z',
  client_name: 'Claude',
}
const login = {
  Token: ACCESS,
  RefreshToken: REFRESH,
  ClientID: 'claude',
  Scope: 'mcp admin',
  Resource: 'https://old.example/base/files',
  ExpiresAt: new Date(Date.now() + 100 * 365 * DAY).toISOString(),
  Username: 'alice',
}

let made = 0
async function imported(file: object | string) {
  const path = join(root, `${++made}.json`)
  await Bun.write(path, typeof file === 'string' ? file : JSON.stringify(file))
  const clients: ImportedClient[] = []
  const { grants, store, clock } = newDesk()
  const again = () =>
    importOnce(path, {
      store,
      addClient: async (client) => {
        clients.push(client)
        return client.redirectURIs.every((uri) => uri.startsWith('https://claude.ai/'))
      },
      personOf: (id) => (id === ALICE.id ? ALICE : undefined),
      endpoints: () => ['files', 'web'],
      lifetimes: () => ({ access: HOUR, refresh: 30 * DAY }),
      now: clock.now,
    })
  return { report: await again(), grants, store, clock, clients, again, path }
}

const fileOf = (change: object = {}) => ({
  clients: { claude: client },
  accessTokens: { [ACCESS]: { ...login, ...change } },
  savedAt: '2025-06-01T00:00:00Z',
})

describe('a login', () => {
  test('goes on where it was for, with little, and not for a hundred years', async () => {
    const { report, grants, clock, clients } = await imported(fileOf())
    expect(report).toEqual({ clients: 1, logins: 1, skipped: 0 })
    expect(clients).toMatchObject([{ id: 'claude', name: 'Claude' }])
    expect(await grants.find(ACCESS)).toMatchObject({
      person: { id: 'user:alice', name: 'alice' },
      clientId: 'claude',
      scopes: ['mcp'],
      endpoint: 'files',
    })
    clock.ahead += HOUR
    expect(await grants.find(ACCESS)).toBeUndefined()
  })

  test('is ours after its first refresh, which may be tried again', async () => {
    const { grants } = await imported(fileOf())
    const refresh = (token: string) => grants.refresh({ token, clientId: 'claude' })
    const lost = await refresh(REFRESH)
    const first = await refresh(REFRESH)
    expect(first.refreshToken).toBe(lost.refreshToken)
    expect(first.refreshToken).toMatch(/^mgw_rt_/)
    const second = await refresh(first.refreshToken)
    expect(await grants.find(second.accessToken)).toBeDefined()
    expect(await refusalOf(refresh(REFRESH))).toMatch(/old refresh/)
    expect(await grants.find(second.accessToken)).toBeUndefined()
  })

  test('can be given back by its own client only', async () => {
    const { grants } = await imported(fileOf())
    await grants.revoke({ token: REFRESH, clientId: 'other' })
    expect(await grants.find(ACCESS)).toBeDefined()
    await grants.revoke({ token: REFRESH, clientId: 'claude' })
    expect(await grants.find(ACCESS)).toBeUndefined()
  })

  test('can give back its access token alone, and that is no refresh token', async () => {
    const { grants } = await imported(fileOf())
    const wrong = grants.refresh({ token: ACCESS, clientId: 'claude' })
    expect(await refusalOf(wrong)).toMatch(/^invalid_grant: .*not known/)
    expect(await grants.find(REFRESH)).toBeUndefined()
    expect(await grants.find(ACCESS)).toBeDefined()
    await grants.revoke({ token: ACCESS, clientId: 'claude' })
    expect(await grants.find(ACCESS)).toBeUndefined()
    expect(await grants.refresh({ token: REFRESH, clientId: 'claude' })).toBeDefined()
  })

  test.each([
    ['https://old.example/base/files', 'files'],
    ['https://old.example/files/mcp', 'files'],
    ['https://old.example/web/sse/', 'web'],
    ['', '*'],
    ['https://old.example/', '*'],
  ])('that was for %j is for %j', async (Resource, endpoint) => {
    const { grants } = await imported(fileOf({ Resource }))
    expect(await grants.find(ACCESS)).toMatchObject({ endpoint })
  })

  test.each([
    ['of nobody', { Username: undefined }],
    ['of somebody who is not configured', { Username: 'bob' }],
    ['that has expired', { ExpiresAt: '2025-01-01T00:00:00Z' }],
    ['without an end that could be understood', { ExpiresAt: 'soon' }],
    ['of a client that there is not', { ClientID: 'gone' }],
    ['for an endpoint that there is not', { Resource: 'https://old.example/gone' }],
    ['with another kind of token', { Token: 'short' }],
  ])('%s is not taken over', async (_, change) => {
    const { report, grants } = await imported(fileOf(change))
    expect(report).toEqual({ clients: 1, logins: 0, skipped: 1 })
    expect(await grants.all()).toEqual([])
  })

  test('of a client that may not be is not taken over either', async () => {
    const evil = { ...client, redirect_uris: ['https://evil.example/'] }
    const { report } = await imported({ ...fileOf(), clients: { claude: evil } })
    expect(report).toEqual({ clients: 0, logins: 0, skipped: 1 })
  })
})

describe('the file', () => {
  test('is taken over once, and what was revoked since stays so', async () => {
    const { grants, again, report } = await imported(fileOf())
    expect(report).toBeDefined()
    await grants.revokeGrant((await grants.all())[0]!.id)
    expect(await again()).toBeUndefined()
    expect(await grants.find(ACCESS)).toBeUndefined()
  })

  test('is taken over to its end when a process ended in the middle, and brings nothing back', async () => {
    const { grants, store, again, path } = await imported(fileOf())
    await grants.revokeGrant((await grants.all())[0]!.id)
    await store.update('imports', path, () => undefined)
    expect(await again()).toBeDefined()
    expect(await grants.find(ACCESS)).toBeUndefined()
  })

  test('may be of the first version, which had only clients', async () => {
    const { report, clients } = await imported({ claude: client })
    expect(report).toEqual({ clients: 1, logins: 0, skipped: 0 })
    expect(clients).toHaveLength(1)
  })

  test('may have nothing in it', async () => {
    for (const file of [{}, { clients: null, accessTokens: null }, { clients: {} }]) {
      expect((await imported(file)).report).toEqual({ clients: 0, logins: 0, skipped: 0 })
    }
  })

  test('need not be there', async () => {
    const { again, path } = await imported(fileOf())
    rmSync(path)
    expect(await again()).toBeUndefined()
  })

  test.each(['', '{', '[]', '1', 'null', `{"clients": "${SECRET}"`])(
    'that is %j is refused by its path, and nothing of it is said',
    async (text) => {
      const message = await imported(text).then(
        () => '',
        (error: Error) => error.message,
      )
      expect(message).toMatch(/\.json: is not a file of OAuth clients/)
      expect(message).not.toContain('the-secret')
    },
  )

  test('leaves no token and no secret in the store', async () => {
    const { store, clients } = await imported(fileOf())
    const buckets = (['grants', 'imported', 'imports'] as const).map((bucket) =>
      Array.fromAsync(store.list(bucket)),
    )
    const kept = JSON.stringify([await Promise.all(buckets), clients])
    expect(kept).not.toMatch(/access-a|refresh-r|the-secret/)
  })
})
