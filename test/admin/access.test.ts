/** Who may see and change what runs. */
import { describe, expect, test } from 'bun:test'
import { admit, type Visitor } from '../../src/admin/access.ts'
import { ANONYMOUS, type Principal } from '../../src/caller.ts'
import { GatewayError } from '../../src/errors.ts'

const HERE = 'http://127.0.0.1:4298/config/services'

function refusal(
  visitor: Partial<Visitor>,
  headers: Record<string, string> = {},
  url = HERE,
): GatewayError | undefined {
  const open: Visitor = { principal: ANONYMOUS, isOpen: true, isFronted: false, peer: '127.0.0.1' }
  try {
    admit(new Request(url, { headers }), { ...open, ...visitor })
    return undefined
  } catch (error) {
    expect(error).toBeInstanceOf(GatewayError)
    return error as GatewayError
  }
}

describe('where tokens are needed', () => {
  const token = (isAdmin: boolean): Principal => ({ id: 'token:1', kind: 'token', isAdmin })
  const judge = (principal: Principal | undefined) => refusal({ principal, isOpen: false })

  test('admins may, wherever they come from', () => {
    expect(judge(token(true))).toBeUndefined()
    const far = { principal: token(true), isOpen: false, peer: '192.0.2.1' }
    expect(refusal(far, { 'x-forwarded-for': '192.0.2.7' })).toBeUndefined()
  })

  test('others may not', () => {
    expect(judge(token(false))?.status).toBe(403)
    expect(judge({ id: 'token:1', kind: 'token' })?.status).toBe(403)
    expect(judge({ id: 'user:1', kind: 'user' })?.status).toBe(403)
  })

  test('who is not known is asked who they are, though they sit at this machine', () => {
    for (const principal of [undefined, { ...ANONYMOUS, servers: new Set(['open']) }]) {
      const error = judge(principal)
      expect(error?.status).toBe(401)
      expect(error?.headers).toEqual({ 'www-authenticate': 'Bearer' })
    }
  })
})

describe('where everybody is anonymous', () => {
  test.each(['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1', '::FFFF:127.0.0.1'])(
    'who sits at this machine may: %s',
    (peer) => {
      expect(refusal({ peer })).toBeUndefined()
    },
  )

  test.each([
    undefined,
    '',
    '192.0.2.1',
    '10.0.0.1',
    '172.17.0.1',
    '0.0.0.0',
    '::',
    '::2',
    'fe80::1',
    '::ffff:10.127.0.0',
    '2001:db8::127.0.0.1',
    '127.0.0.1.evil.example',
  ])('who does not, may not: %s', (peer) => {
    const error = refusal({ peer })
    expect(error?.status).toBe(403)
    expect(error?.message).toContain('another one')
    expect(error?.hint).toContain('auth.tokens')
  })

  test.each([
    'forwarded',
    'via',
    'x-forwarded',
    'x-forwarded-for',
    'x-forwarded-host',
    'x-forwarded-proto',
    'x-original-forwarded-for',
    'x-real-ip',
    'x-client-ip',
    'x-cluster-client-ip',
    'x-remote-addr',
    'true-client-ip',
    'fastly-client-ip',
    'x-azure-clientip',
    'cf-connecting-ip',
    'cf-ray',
    'cdn-loop',
    'tailscale-user-login',
  ])('what a proxy passes on does not come from here: %s', (name) => {
    const error = refusal({}, { [name]: '127.0.0.1' })
    expect(error?.status).toBe(403)
    expect(error?.message).toContain(name)
    expect(error?.message).not.toContain('127.0.0.1')
  })

  test.each([
    [undefined, true],
    ['http://127.0.0.1:4298', true],
    ['http://127.0.0.1:4299', false],
    ['http://localhost:4298', false],
    ['https://127.0.0.1:4298', false],
    ['https://evil.example', false],
    ['null', false],
    ['', false],
  ])('of web pages, only our own may: %s', (origin, may) => {
    expect(refusal({}, origin === undefined ? {} : { origin }) === undefined).toBe(may)
  })

  test.each([
    ['http://localhost:4298/', true],
    ['http://[::1]:4298/', true],
    ['http://127.1:4298/', true],
    ['http://evil.example:4298/', false],
    ['http://localhost.evil.example/', false],
    ['http://192.0.2.1:4298/', false],
    ['http://0.0.0.0:4298/', false],
  ])('a name that was rebound to here is not here: %s', (url, may) => {
    expect(refusal({}, {}, url) === undefined).toBe(may)
    expect(refusal({}, { origin: new URL(url).origin }, url) === undefined).toBe(may)
  })
})

test('where the configuration says that others stand in front, nobody sits here', () => {
  // A proxy on this machine that says nothing of itself, and writes Host anew, is what this looks like.
  const error = refusal({ isFronted: true })
  expect(error?.status).toBe(403)
  expect(error?.message).toContain('names a proxy')
})
