/** Clients that are known by a document: what is fetched, from where, and what is taken from it. */
import { afterEach, describe, expect, setSystemTime, test } from 'bun:test'
import { PINNED } from '../../src/auth/clients/pinned.ts'
import {
  connectPinned,
  FetchError,
  fetchPublic,
  type Network,
  urlFault,
} from '../../src/auth/clients/public-fetch.ts'
import { Clients } from '../../src/auth/clients.ts'
import { CERTIFICATE } from './certificate.ts'
import { configOf, Internet, PUBLIC_ADDRESS, surroundings } from './outside.ts'

const ID = 'https://client.example/oauth/client.json'
const DOCUMENT = {
  client_id: ID,
  client_name: 'Example',
  redirect_uris: ['http://localhost/callback', 'https://client.example/cb'],
  token_endpoint_auth_method: 'none',
}
const NOON = Date.parse('2026-01-01T12:00:00Z')
const MINUTE = 60_000
const HOUR = 60 * MINUTE

afterEach(() => {
  setSystemTime()
})

async function failure(fetched: Promise<unknown>): Promise<FetchError> {
  const error = await fetched.then(
    () => undefined,
    (reason) => reason,
  )
  expect(error).toBeInstanceOf(FetchError)
  return error as FetchError
}

describe('is asked for', () => {
  test.each([
    ID,
    'https://client.example/a',
    'https://sub.client.example/a/b.json?v=2',
    'https://xn--bcher-kva.example/client',
  ])('%s', (url) => {
    expect(urlFault(url)).toBeUndefined()
  })

  test.each<[string, string]>([
    ['http://client.example/client.json', 'no TLS'],
    ['HTTPS://client.example/client.json', 'case of the scheme'],
    ['https://CLIENT.example/client.json', 'case of the host'],
    ['https://client.example', 'no path'],
    ['https://client.example/', 'no path but a slash'],
    ['https://client.example/?x', 'a query for a path'],
    ['https://client.example:443/client.json', 'the default port'],
    ['https://client.example:8443/client.json', 'another port'],
    ['https://user@client.example/client.json', 'a user'],
    ['https://user:pass@client.example/client.json', 'a password'],
    ['https://client.example/client.json#x', 'a fragment'],
    ['https://client.example/a/../client.json', 'dot segments'],
    ['https://client.example/./client.json', 'a dot segment'],
    ['https://client.example/%2e%2e/client.json', 'encoded dot segments'],
    ['https://client.example/%2E/client.json', 'an encoded dot segment'],
    ['https://client.example\\client.json', 'a backslash'],
    ['https://client.example./client.json', 'a dot behind the host'],
    ['https://client.example/a b', 'a space'],
    ['https://client.example/a\nb', 'a line break'],
    ['https://cliеnt.example/client.json', 'a Cyrillic letter'],
    ['https://localhost/client.json', 'this machine'],
    ['https://intranet/client.json', 'a name without a dot'],
    ['https://127.0.0.1/client.json', 'an address'],
    ['https://8.8.8.8/client.json', 'a public address'],
    ['https://2130706433/client.json', 'an address in decimal'],
    ['https://0x7f.1/client.json', 'an address in hexadecimal'],
    ['https://[::1]/client.json', 'an address of IPv6'],
    ['https:client.example/client.json', 'no slashes'],
    [`https://client.example/${'a'.repeat(2048)}`, 'a long one'],
  ])('nobody at %s: %s', async (url) => {
    const internet = new Internet()
    expect((await failure(fetchPublic(url, internet))).isFinal).toBe(true)
    expect(internet.asked).toEqual([])
  })
})

describe('nothing is asked where a name leads to', () => {
  test.each([
    '127.0.0.1',
    '10.0.0.1',
    '169.254.169.254',
    '192.168.1.1',
    '0.0.0.0',
    '100.64.0.1',
    '224.0.0.1',
    '::1',
    '::',
    '::ffff:127.0.0.1',
    '::ffff:10.0.0.1',
    '64:ff9b::7f00:1',
    '2002:7f00:1::1',
    'fd00::1',
    'fe80::1',
    'fe80::1%eth0',
    'ff02::1',
    '2001:db8::1',
    'nonsense',
  ])('%s', async (address) => {
    const internet = new Internet()
    internet.publish(ID, DOCUMENT)
    for (const addresses of [[address], [PUBLIC_ADDRESS, address], [address, PUBLIC_ADDRESS]]) {
      internet.addresses.set('client.example', addresses)
      expect((await failure(fetchPublic(ID, internet))).message).toBe('is not on the internet')
    }
    expect(internet.asked).toEqual([])
  })

  test('no address', async () => {
    const internet = new Internet()
    internet.addresses.set('client.example', [])
    expect((await failure(fetchPublic(ID, internet))).message).toBe('has no address')
  })
})

test('a name is resolved once, and the connection goes where it led to then', async () => {
  const internet = new Internet()
  internet.publish(ID, DOCUMENT)
  let lookups = 0
  const rebinding: Network = {
    resolve: async () => (lookups++ === 0 ? [PUBLIC_ADDRESS] : ['127.0.0.1']),
    connect: (url, address) => internet.connect(url, address),
  }
  expect((await fetchPublic(ID, rebinding)).json).toEqual(DOCUMENT)
  expect(lookups).toBe(1)
  expect(internet.asked).toEqual([`${ID} at ${PUBLIC_ADDRESS}`])
})

describe('is not taken', () => {
  const page = (body: ConstructorParameters<typeof Response>[0], init: ResponseInit = {}) =>
    new Response(body, { headers: { 'content-type': 'application/json' }, ...init })

  test.each<[string, () => Response, boolean]>([
    ['a redirect', () => Response.redirect('https://169.254.169.254/', 302), true],
    ['what is gone', () => page('{}', { status: 404 }), true],
    ['what is forbidden', () => page('{}', { status: 403 }), false],
    ['a fault', () => page('{}', { status: 503 }), false],
    ['no content', () => page(null, { status: 204 }), false],
    ['a page', () => new Response('{}', { headers: { 'content-type': 'text/html' } }), true],
    ['no type', () => new Response(new Blob(['{}'])), true],
    ['no JSON', () => page('{'), true],
    ['what is too long', () => page(JSON.stringify('x'.repeat(64 * 1024))), true],
    [
      'what is compressed',
      () =>
        page(Bun.gzipSync('{}'), {
          headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
        }),
      true,
    ],
  ])('%s', async (_, answer, isFinal) => {
    const internet = new Internet()
    internet.pages.set(ID, answer)
    expect((await failure(fetchPublic(ID, internet))).isFinal).toBe(isFinal)
  })

  test('what never ends', async () => {
    const internet = new Internet()
    let sent = 0
    const endless = new ReadableStream({
      pull(controller) {
        sent += 1024
        controller.enqueue(new Uint8Array(1024))
      },
    })
    internet.pages.set(ID, () => page(endless))
    expect((await failure(fetchPublic(ID, internet))).message).toContain('has more than')
    expect(sent).toBeLessThan(128 * 1024)
  })

  test('what takes too long: to resolve, to answer, or to come', async () => {
    const never = new Promise<never>(() => {})
    const stalled = new ReadableStream({ pull: () => never })
    const networks: Network[] = [
      { resolve: () => never, connect: () => never },
      { resolve: async () => [PUBLIC_ADDRESS], connect: () => never },
      { resolve: async () => [PUBLIC_ADDRESS], connect: async () => page(stalled) },
    ]
    for (const network of networks)
      expect((await failure(fetchPublic(ID, network, 1))).message).toBe('took too long')
  })
})

describe('a client', () => {
  test('is what its document says', async () => {
    const { clients, internet } = surroundings()
    internet.publish(ID, { ...DOCUMENT, logo_uri: null, grant_types: ['authorization_code', 'x'] })
    expect(await clients.find(ID)).toEqual({
      id: ID,
      name: 'Example',
      kind: 'document',
      redirectURIs: DOCUMENT.redirect_uris,
      authentication: 'none',
      grantTypes: ['authorization_code'],
    })
  })

  test.each<[string, unknown]>([
    ['another client', { ...DOCUMENT, client_id: `${ID}?` }],
    ['nobody', { ...DOCUMENT, client_id: undefined }],
    ['a list', [DOCUMENT]],
    ['null', null],
    ['a secret', { ...DOCUMENT, client_secret: 'x' }],
    ['a method with a secret', { ...DOCUMENT, token_endpoint_auth_method: 'client_secret_post' }],
    ['an unknown method', { ...DOCUMENT, token_endpoint_auth_method: 'tls_client_auth' }],
    ['keys that are not there', { ...DOCUMENT, token_endpoint_auth_method: 'private_key_jwt' }],
    ['no place', { ...DOCUMENT, redirect_uris: [] }],
    ['a script for a place', { ...DOCUMENT, redirect_uris: ['javascript:alert(1)'] }],
    ['plain http', { ...DOCUMENT, redirect_uris: ['http://client.example/cb'] }],
    ['an unknown scheme', { ...DOCUMENT, redirect_uris: ['other://x'] }],
    ['a number for a place', { ...DOCUMENT, redirect_uris: [1] }],
    ['a long name', { ...DOCUMENT, client_name: 'x'.repeat(201) }],
  ])('is not known if its document is about %s', async (_, document) => {
    const { clients, internet, notes } = surroundings({}, { host: '127.0.0.1', baseURL: undefined })
    internet.publish(ID, document)
    expect(await clients.find(ID, 'http://localhost/callback')).toBeUndefined()
    expect(notes).toHaveLength(1)
  })

  test('is not looked for if documents are not wanted', async () => {
    const { clients, internet } = surroundings({ clientDocuments: false })
    internet.publish(ID, DOCUMENT)
    expect(await clients.find(ID)).toBeUndefined()
    expect(internet.asked).toEqual([])
  })

  test('that is configured is not fetched', async () => {
    const redirectURIs = ['https://client.example/own']
    const { clients, internet } = surroundings({ clients: { [ID]: { redirectURIs } } })
    expect(await clients.find(ID)).toMatchObject({ kind: 'configured', redirectURIs })
    expect(internet.asked).toEqual([])
  })
})

describe('a copy', () => {
  test.each<[string, string, number]>([
    ['max-age=600', 'ten minutes', 10 * MINUTE],
    ['max-age=1', 'five minutes at least', 5 * MINUTE],
    ['no-store', 'five minutes at least', 5 * MINUTE],
    ['public, max-age=99999999', 'a day at most', 24 * HOUR],
    ['', 'an hour, if nothing is said', HOUR],
  ])('with Cache-Control %j is good for %s', async (cacheControl, _, age) => {
    const { clients, internet } = surroundings()
    setSystemTime(NOON)
    internet.publish(ID, DOCUMENT, { 'cache-control': cacheControl })
    for (const after of [0, age - 1]) {
      setSystemTime(NOON + after)
      expect(await clients.find(ID)).toMatchObject({ name: 'Example' })
    }
    expect(internet.asked).toHaveLength(1)
    setSystemTime(NOON + age)
    internet.publish(ID, { ...DOCUMENT, client_name: 'Renamed' })
    expect(await clients.find(ID)).toMatchObject({ name: 'Renamed' })
    expect(internet.asked).toHaveLength(2)
  })

  test('is fetched once for all who ask at once', async () => {
    const { clients, internet } = surroundings()
    internet.publish(ID, DOCUMENT)
    const found = await Promise.all(Array.from({ length: 20 }, () => clients.find(ID)))
    expect(new Set(found.map((client) => client?.name))).toEqual(new Set(['Example']))
    expect(internet.asked).toHaveLength(1)
  })

  test('is used for as long as another cannot be had, and a failure is not repeated at once', async () => {
    const { clients, internet } = surroundings()
    setSystemTime(NOON)
    internet.publish(ID, DOCUMENT)
    await clients.find(ID)
    internet.pages.set(ID, () => new Response('', { status: 503 }))
    setSystemTime(NOON + 2 * HOUR)
    expect(await clients.find(ID)).toMatchObject({ name: 'Example' })
    expect(await clients.find(ID)).toMatchObject({ name: 'Example' })
    expect(internet.asked).toHaveLength(2)
    setSystemTime(NOON + 2 * HOUR + MINUTE)
    expect(await clients.find(ID)).toMatchObject({ name: 'Example' })
    expect(internet.asked).toHaveLength(3)
  })

  test('is not used when its publisher has taken it back', async () => {
    const { clients, internet } = surroundings()
    setSystemTime(NOON)
    internet.publish(ID, DOCUMENT)
    await clients.find(ID)
    internet.pages.set(ID, () => new Response('', { status: 404 }))
    setSystemTime(NOON + 2 * HOUR)
    expect(await clients.find(ID)).toBeUndefined()
  })

  test('of a client that somebody uses outlives the gateway', async () => {
    const first = surroundings({ redirectURIs: ['com.example.app:'] })
    const redirect_uris = [...DOCUMENT.redirect_uris, 'com.example.app:/cb']
    first.internet.publish(ID, { ...DOCUMENT, redirect_uris })
    await first.clients.used(ID)
    const network = new Internet()
    const again = (config = configOf()) =>
      new Clients({ store: first.store, config: () => config, network })
    const sameAsBefore = configOf({ redirectURIs: ['com.example.app:'] })
    expect(await again(sameAsBefore).find(ID)).toMatchObject({ redirectURIs: redirect_uris })
    // That scheme is no longer allowed.
    expect(await again().find(ID)).toMatchObject({ redirectURIs: DOCUMENT.redirect_uris })
    network.pages.set(ID, () => new Response('', { status: 410 }))
    expect(await again().find(ID)).toBeUndefined()
  })

  test('is not kept of clients that nobody uses', async () => {
    const { clients, internet, store } = surroundings()
    internet.publish(ID, DOCUMENT)
    await clients.find(ID)
    expect(await Array.fromAsync(store.list('clients'))).toEqual([])
  })

  test('does not stop at the number of others: of a thousand, the last are remembered', async () => {
    const { clients, internet } = surroundings()
    const idOf = (i: number) => `https://client.example/${i}`
    for (let i = 0; i < 1000; i++) {
      internet.publish(idOf(i), { ...DOCUMENT, client_id: idOf(i) })
      expect(await clients.find(idOf(i))).toBeDefined()
    }
    await clients.find(idOf(999))
    expect(internet.asked).toHaveLength(1000)
    await clients.find(idOf(0))
    expect(internet.asked).toHaveLength(1001)
  })

  test('is not fetched while too many others are', async () => {
    const { clients, internet, notes } = surroundings()
    const { promise, resolve } = Promise.withResolvers<void>()
    const ids = Array.from({ length: 40 }, (_, i) => `https://client.example/${i}`)
    for (const id of ids) {
      internet.pages.set(id, async () => {
        await promise
        return Response.json({ ...DOCUMENT, client_id: id })
      })
    }
    const finding = ids.map((id) => clients.find(id))
    const refused = await Promise.all(finding.slice(16))
    expect(new Set(refused)).toEqual(new Set([undefined]))
    expect(notes).toHaveLength(24)
    resolve()
    expect((await Promise.all(finding.slice(0, 16))).every(Boolean)).toBe(true)
  })
})

describe('a well-known client', () => {
  test.each([...PINNED.keys()])('%s is known without the internet', async (id) => {
    const { clients } = surroundings()
    expect(await clients.find(id)).toMatchObject({ id, kind: 'document' })
  })

  test.each([
    'https://claude.ai/oauth/claude-code-client-metadata/',
    'https://claude.ai/oauth/claude-code-client-metadata?x=1',
    'https://claude.ai/oauth/Claude-code-client-metadata',
    'https://CLAUDE.ai/oauth/claude-code-client-metadata',
    'https://claude.ai:443/oauth/claude-code-client-metadata',
    'https://claude.ai/oauth/x/../claude-code-client-metadata',
    'https://claude.ai/oauth/other',
    'https://claude.ai.evil.example/oauth/claude-code-client-metadata',
    'http://claude.ai/oauth/claude-code-client-metadata',
  ])('is not %s', async (id) => {
    const { clients } = surroundings()
    expect(await clients.find(id)).toBeUndefined()
  })

  test('is what it says of itself, if it can be asked', async () => {
    const { clients, internet } = surroundings()
    const id = 'https://zed.dev/oauth/client-metadata.json'
    internet.publish(id, { ...DOCUMENT, client_id: id, client_name: 'Zed of tomorrow' })
    expect(await clients.find(id)).toMatchObject({ name: 'Zed of tomorrow' })
  })
})

describe('over a real connection', () => {
  /** @param vouched whether whoever has signed the certificate is known. */
  async function serving(act: (network: Network) => Promise<void>, vouched = true): Promise<void> {
    await using server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      tls: CERTIFICATE,
      fetch: ({ url, headers }) =>
        new URL(url).pathname === '/moved'
          ? Response.redirect('/oauth/client.json', 302)
          : Response.json({ ...DOCUMENT, seen: [headers.get('host'), new URL(url).pathname] }),
    })
    const place = { port: server.port!, ...(vouched && { ca: CERTIFICATE.cert }) }
    await act({
      resolve: async () => [PUBLIC_ADDRESS],
      // What was judged stands for the address of the test's server.
      connect: (url, _, signal) => connectPinned(url, '127.0.0.1', signal, place),
    })
  }

  test('a host is asked by its name at the address, and proves the name', async () => {
    await serving(async (network) => {
      const { json } = await fetchPublic(ID, network)
      expect(json).toMatchObject({
        client_id: ID,
        seen: ['client.example', '/oauth/client.json'],
      })
    })
  })

  test('one that proves another name is not believed', async () => {
    await serving(async (network) => {
      const other = ID.replace('client.example', 'other.example')
      expect((await failure(fetchPublic(other, network))).message).toContain('CERT')
      // Not even on a connection that was good for the right name.
      await fetchPublic(ID, network)
      expect((await failure(fetchPublic(other, network))).message).toContain('CERT')
    })
  })

  test('one that nobody vouches for is not believed', async () => {
    await serving(async (network) => {
      expect((await failure(fetchPublic(ID, network))).message).toContain('self signed')
    }, false)
  })

  test('a redirect is not followed', async () => {
    await serving(async (network) => {
      const { message } = await failure(fetchPublic('https://client.example/moved', network))
      expect(message).toBe('was answered with 302')
    })
  })
})
