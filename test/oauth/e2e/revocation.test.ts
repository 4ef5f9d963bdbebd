/** What is taken back ends: not only for the next request, but for the session and the stream that are open. */
import { describe, expect, test } from 'bun:test'
import { run } from '../../lifecycle/program.ts'
import { request } from '../../support/http.ts'
import { type House, house, knock, type Login, logIn, say, submitted } from './house.ts'

/** A session with a stream, and what becomes of them. */
async function listening(at: House, { access }: Login, path = '/a/mcp') {
  const opened = await knock(at, path, access)
  const session = { 'mcp-session-id': opened.headers.get('mcp-session-id')! }
  await opened.body?.cancel()
  const headers = { authorization: `Bearer ${access}`, accept: 'text/event-stream', ...session }
  const stream = await at.fetch(at.base + path, { headers })
  expect(stream.status).toBe(200)
  return {
    /** Resolves when the stream is over. */
    ended: stream.text(),
    list: () => say(at, path, access, request(1, 'tools/list'), session),
  }
}

async function listeningToSse(at: House, { access }: Login) {
  const headers = { authorization: `Bearer ${access}`, accept: 'text/event-stream' }
  const stream = await at.fetch(`${at.base}/a/sse`, { headers })
  expect(stream.status).toBe(200)
  return stream.text()
}

async function command(at: House, ...argv: string[]) {
  const { code, stdout, stderr } = await run([...argv, '--config', 'config.json'], { in: at.place })
  expect([code, stderr]).toEqual([0, ''])
  return stdout
}

describe('the session and the stream of a login end', () => {
  test('when its client gives the refresh token back', async () => {
    await using at = await house()
    const login = await logIn(at)
    const other = await listening(at, await logIn(at))
    const open = await listening(at, login)
    const sse = listeningToSse(at, login)
    expect((await open.list()).status).toBe(200)
    const fields = { token: login.refresh, client_id: login.client }
    const told = await submitted(at, '/oauth/revoke', fields)
    expect([told.status, told.body]).toEqual([200, {} as never])
    await open.ended
    await sse
    expect((await open.list()).status).toBe(401)
    // Nobody else's.
    expect((await other.list()).status).toBe(200)
  })

  test('when they log out', async () => {
    await using at = await house()
    const login = await logIn(at)
    const open = await listening(at, login)
    const headers = { authorization: `Bearer ${login.access}` }
    const told = await at.fetch(`${at.base}/oauth/logout`, { method: 'POST', headers })
    expect(told.status).toBe(200)
    await open.ended
    expect((await open.list()).status).toBe(401)
  })

  test('when a refresh token comes a second time that was used long ago', async () => {
    await using at = await house()
    const login = await logIn(at)
    const open = await listening(at, login)
    let { client, refresh: latest } = login
    const renew = async (refresh_token: string) =>
      submitted(at, '/oauth/token', {
        grant_type: 'refresh_token',
        client_id: client,
        refresh_token,
      })
    for (let times = 0; times < 2; times++) latest = (await renew(latest)).body.refresh_token
    expect((await open.list()).status).toBe(200)
    expect((await renew(login.refresh)).status).toBe(400)
    await open.ended
    expect((await open.list()).status).toBe(401)
    expect((await renew(latest)).body).toMatchObject({ error: 'invalid_grant' })
  })

  test('when they are taken out of the configuration', async () => {
    await using at = await house()
    const open = await listening(at, await logIn(at, { as: 'bob' }))
    await at.configure({ oauth: { users: { alice: 'another' } } })
    await open.ended
    expect((await open.list()).status).toBe(401)
  })

  test.each([
    ['tokens', (text: string) => /^(\S+) .*Probe/m.exec(text)![1]!],
    ['clients', (text: string) => /^(\S+) +Probe/m.exec(text)![1]!],
    ['users', () => 'alice'],
  ] as const)('when another process is told to: mcp-gateway %s revoke', async (subject, idIn) => {
    await using at = await house()
    const bob = await listening(at, await logIn(at, { as: 'bob', client: await unnamed(at) }))
    const login = await logIn(at)
    const open = await listening(at, login)
    const sse = listeningToSse(at, login)
    const id = idIn(await command(at, subject))
    expect(await command(at, subject, 'revoke', id)).toBe('1 login ended\n')
    await open.ended
    await sse
    expect((await open.list()).status).toBe(401)
    expect((await bob.list()).status).toBe(200)
    const told = at.events.flatMap((one) => (one.type === 'session_ended' ? one.reason : []))
    expect(new Set(told)).toEqual(new Set(['its login has ended']))
  })
})

async function unnamed(at: House): Promise<string> {
  const response = await at.fetch(`${at.base}/oauth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: 'Other',
      redirect_uris: ['http://127.0.0.1:4321/callback'],
      token_endpoint_auth_method: 'none',
    }),
  })
  return ((await response.json()) as { client_id: string }).client_id
}

test('an access token that is given back is good for nothing, and its login goes on', async () => {
  await using at = await house()
  const { client, access, refresh } = await logIn(at)
  await submitted(at, '/oauth/revoke', { token: access, client_id: client })
  expect((await knock(at, '/a/mcp', access)).status).toBe(401)
  const fields = { grant_type: 'refresh_token', client_id: client, refresh_token: refresh }
  const { body } = await submitted(at, '/oauth/token', fields)
  expect((await knock(at, '/a/mcp', body.access_token)).status).toBe(200)
})
