/** The commands about people, programs and pages, from outside. */
import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Clients } from '../../src/auth/clients.ts'
import { Consents, type Wish } from '../../src/auth/dialog/consents.ts'
import { Grants } from '../../src/auth/grants.ts'
import { passwordNotes } from '../../src/auth/people.ts'
import { SqliteStore } from '../../src/store/sqlite.ts'
import { folder, run } from '../lifecycle/program.ts'
import { configOf } from './dialog.ts'

const CONFIG = {
  mcpServers: {},
  gateway: { dataDir: 'data' },
  auth: {
    oauth: {
      users: {
        ann: 'hunter2hunter2',
        bob: { password: 'hunter2hunter2', servers: ['x\u001b[31m'], admin: true },
      },
      clients: { known: { redirectURIs: ['https://known.example/callback'] } },
    },
  },
}

/** With one login of ann by a client that has registered itself under a name that steers terminals. */
async function withLogin(directory: string) {
  const config = configOf({ auth: CONFIG.auth })
  const store = new SqliteStore(join(directory, 'data'))
  const grants = new Grants({
    store,
    lifetimes: () => ({ access: 60_000, refresh: 60_000 }),
    isPerson: () => true,
  })
  const clients = new Clients({ store, config: () => config })
  const redirectURI = 'http://localhost/callback'
  const body = { redirect_uris: [redirectURI], client_name: 'Claude \u001b[2J' }
  const { id } = await clients.register(body, { address: undefined })
  const approval = {
    client: { id, name: 'Claude \u001b[2J' },
    person: { id: 'user:ann', name: 'ann' },
    ...{ scopes: ['mcp'] as const, endpoint: '*' },
  }
  await grants.issue(approval)
  const [grant] = await grants.all()
  const wish: Wish = {
    person: { ...approval.person, isAdmin: false },
    client: {
      ...{ id, name: '', kind: 'registered', redirectURIs: [], grantTypes: [] },
      authentication: 'none',
    },
    ...{ scopes: ['mcp'], endpoint: '*', redirectURI: 'https://known.example/' },
  }
  await new Consents(store).remember(wish)
  await store.close()
  /** What is left of all that. */
  const left = async () => {
    const store = new SqliteStore(join(directory, 'data'))
    const kept = new Grants({
      store,
      lifetimes: () => ({ access: 1, refresh: 1 }),
      isPerson: () => true,
    })
    const grants = (await kept.all()).length
    const isRemembered = await new Consents(store).has(wish)
    await store.close()
    return { grants, isRemembered }
  }
  return { id, grant: grant!.id, left }
}

describe('users, clients and tokens', () => {
  test('list what there is, with nothing that steers a terminal', async () => {
    await using place = await folder({ 'config.json': CONFIG })
    const { id, grant } = await withLogin(place.path)
    const users = await run(['users'], { in: place })
    expect(users.stderr).toBe('')
    expect(users.stdout).toMatch(/^ann +- +all +1$/m)
    expect(users.stdout).toMatch(/^bob +admin +x\?\[31m +0$/m)
    const clients = await run(['clients'], { in: place })
    expect(clients.stdout).toMatch(/^known +known +configured +https:\/\/known\.example\/callback/m)
    expect(clients.stdout).toContain(id)
    const tokens = await run(['tokens'], { in: place })
    expect(tokens.stdout).toContain(grant)
    expect(tokens.stdout).toContain('ann')
    for (const { stdout } of [users, clients, tokens]) expect(stdout).not.toContain('\u001b')
    expect(users.stdout + clients.stdout + tokens.stdout).not.toContain('hunter2hunter2')
  })

  test.each(['users', 'clients', 'tokens'] as const)(
    'revoke: %s, and what was agreed to is asked again',
    async (subject) => {
      await using place = await folder({ 'config.json': CONFIG })
      const { id, grant, left } = await withLogin(place.path)
      expect(await left()).toEqual({ grants: 1, isRemembered: true })
      const what = { users: 'ann', clients: id, tokens: grant }[subject]
      const { code, stdout } = await run([subject, 'revoke', what], { in: place })
      expect([code, stdout]).toEqual([0, '1 login ended\n'])
      expect(await left()).toEqual({ grants: 0, isRemembered: false })
      const again = await run(['clients'], { in: place })
      expect(again.stdout.includes(id)).toBe(subject !== 'clients')
    },
  )

  test('say so when there is nothing by that name, or they are not understood', async () => {
    await using place = await folder({ 'config.json': CONFIG })
    const unknown = await run(['tokens', 'revoke', 'nothing'], { in: place })
    expect([unknown.code, unknown.stderr]).toEqual([
      1,
      'mcp-gateway: tokens: there is no "nothing"\n',
    ])
    // What comes after "--" is no option, whatever it begins with.
    const dashed = await run(['tokens', 'revoke', '--', '-abc'], { in: place })
    expect([dashed.code, dashed.stderr]).toEqual([1, 'mcp-gateway: tokens: there is no "-abc"\n'])
    expect((await run(['users', 'revoke'], { in: place })).code).toBe(2)
    expect((await run(['users', 'remove', 'ann'], { in: place })).code).toBe(2)
  })
})

test('hash-password prints what can be configured, of what is piped in', async () => {
  const main = join(import.meta.dir, '../../src/main.ts')
  const child = Bun.spawn([process.execPath, main, 'hash-password'], {
    stdin: new Blob(['a pässword\n']),
    stdout: 'pipe',
  })
  const hash = (await new Response(child.stdout).text()).trim()
  expect(await Bun.password.verify('a pässword', hash)).toBe(true)
  expect(passwordNotes(configOf({ auth: { oauth: { users: { a: hash } } } }))).toEqual([])
})

describe('--eject-templates', () => {
  test('writes to the templateDir of the configuration, also with one dash', async () => {
    const auth = { oauth: { templateDir: 'mine' } }
    await using place = await folder({ 'config.json': { mcpServers: {}, auth } })
    const { code, stdout } = await run(['-eject-templates'], { in: place })
    expect(code).toBe(0)
    expect(stdout).toContain('mine/oauth/authorize.html')
    expect(readFileSync(join(place.path, 'mine/oauth/success.html'), 'utf8')).toContain(
      'RedirectURL',
    )
  })

  test('writes elsewhere by --eject-templates-to, and over changes only by --force', async () => {
    await using place = await folder({ 'to/oauth/style.css': 'mine' })
    const refused = await run(['--eject-templates-to', 'to'], { in: place })
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('to/oauth/style.css; --force does that')
    expect((await run(['-eject-templates-to=to', '--force'], { in: place })).code).toBe(0)
  })

  test('uses "templates" where the configuration cannot be read, and says so', async () => {
    await using place = await folder({ 'config.json': '{' })
    const { code, stdout, stderr } = await run(['--eject-templates'], { in: place })
    expect(code).toBe(0)
    expect(stdout).toContain('templates/oauth/')
    expect(stderr).toContain('warning: using templates')
  })
})
