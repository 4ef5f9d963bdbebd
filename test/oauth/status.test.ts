/** What people see of their logins, and how they end them. */
import { describe, expect, test } from 'bun:test'
import { logOut, showStatus } from '../../src/auth/status.ts'
import { ANONYMOUS, type Principal } from '../../src/caller.ts'
import { logIn, newDesk, refusalOf } from './approvals.ts'

const ALICE: Principal = { id: 'user:alice', kind: 'user', name: 'alice', isAdmin: false }
const ROOT: Principal = { id: 'user:root', kind: 'user', name: 'root', isAdmin: true }
const TOKEN: Principal = { id: 'token:1', kind: 'token', isAdmin: false }
const BOB = { id: 'user:bob', name: 'bob' }

async function newHouse() {
  const { grants } = newDesk()
  const first = await logIn(grants)
  const second = await logIn(grants)
  const bobs = await logIn(grants, { person: BOB })
  const { grantId } = (await grants.find(first.accessToken))!
  const status = async (principal: Principal, query = '', headers: Record<string, string> = {}) => {
    const request = new Request(`https://gw.example/oauth/status${query}`, { headers })
    return (await (await showStatus(request, principal, grants)).json()) as Record<string, unknown>
  }
  const out = (principal: Principal, form?: Record<string, string>) => {
    const body = form && new URLSearchParams(form)
    const request = new Request('https://gw.example/oauth/logout', {
      method: 'POST',
      ...(body && { body }),
    })
    return logOut(request, principal, grants)
  }
  const isIn = async ({ accessToken }: typeof first) =>
    (await grants.find(accessToken)) !== undefined
  const alive = async () => Promise.all([first, second, bobs].map(isIn))
  return { grants, grantId, status, out, alive }
}

describe('the status', () => {
  test('shows somebody their own logins, with the keys of an older gateway, and no secret', async () => {
    const { status } = await newHouse()
    const shown = await status(ALICE)
    expect(shown).toMatchObject({
      userId: 'user:alice',
      hasSession: true,
      isAuthenticated: true,
      tokens: { hasAccessToken: true, hasRefreshToken: true, tokenType: 'Bearer' },
    })
    expect(shown.grants).toHaveLength(2)
    expect(JSON.stringify(shown)).not.toMatch(/mgw_|digest|salt|bob/)
  })

  test('shows who has no logins that there are none', async () => {
    const { status } = await newHouse()
    expect(await status(TOKEN)).toMatchObject({ hasSession: false, tokens: null, grants: [] })
  })

  test('shows who came without a token that they are nobody', async () => {
    const { status, out } = await newHouse()
    const shown = await status(ANONYMOUS)
    expect(shown).toMatchObject({ isAuthenticated: false, hasSession: false, grants: [] })
    for (const id of ['alice', 'user:alice']) {
      expect(await refusalOf(status(ANONYMOUS, `?user_id=${id}`))).toMatch(/^forbidden/)
      expect(await refusalOf(out(ANONYMOUS, { user_id: id }))).toMatch(/^forbidden/)
    }
  })

  test('is of nobody else, whatever is asked for', async () => {
    const { status } = await newHouse()
    for (const id of ['bob', 'user:bob', 'nobody']) {
      expect(await refusalOf(status(ALICE, `?user_id=${id}`))).toMatch(/^forbidden/)
      expect(await refusalOf(status(TOKEN, `?user_id=${id}`))).toMatch(/^forbidden/)
      expect(await status(ALICE, '', { 'x-user-id': id })).toMatchObject({ userId: 'user:alice' })
    }
    for (const own of ['alice', 'user:alice', 'default']) {
      expect(await status(ALICE, `?user_id=${own}`)).toMatchObject({ userId: 'user:alice' })
    }
  })

  test('is of everybody for an admin', async () => {
    const { status } = await newHouse()
    for (const id of ['bob', 'user:bob']) {
      expect(await status(ROOT, `?user_id=${id}`)).toMatchObject({
        userId: 'user:bob',
        hasSession: true,
      })
    }
  })
})

describe('logging out', () => {
  test('ends the login that it came with, and no other', async () => {
    const { out, grantId, alive } = await newHouse()
    const response = await out({ ...ALICE, grantId })
    expect(await response.json()).toEqual({ success: true, message: 'logged out' })
    expect(await alive()).toEqual([false, true, true])
  })

  test('ends all of this person, if that is wanted', async () => {
    const { out, grantId, alive } = await newHouse()
    const response = await out({ ...ALICE, grantId }, { all: 'true' })
    expect(await response.json()).toEqual({ success: true, message: 'ended 2 logins' })
    expect(await alive()).toEqual([false, false, true])
  })

  test('ends nobody else', async () => {
    const { out, grantId, alive } = await newHouse()
    for (const principal of [{ ...ALICE, grantId }, TOKEN]) {
      expect(await refusalOf(out(principal, { user_id: 'bob' }))).toMatch(/^forbidden/)
    }
    expect(await refusalOf(out(TOKEN))).toMatch(/^invalid_request/)
    expect(await refusalOf(out(TOKEN, { user_id: 'default' }))).toMatch(/^invalid_request/)
    expect(await alive()).toEqual([true, true, true])
  })

  test('ends whoever an admin names', async () => {
    const { out, alive } = await newHouse()
    await out(ROOT, { user_id: 'bob' })
    expect(await alive()).toEqual([true, true, false])
  })
})
