/** Static tokens at the front door: who is let in, what they see there, and what a change of tokens ends. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { type Folder, folder, type Program, start } from '../lifecycle/program.ts'
import { answering, introducing, refusing, withTools } from '../support/asking.ts'
import { ACCEPT, call, eventsOf, INITIALIZE, post, request } from '../support/http.ts'
import type { RemoteServer } from '../support/servers/remote.ts'
import { after, health } from './told.ts'

// Each waits for events; with others on the same machine they come late.
setDefaultTimeout(60_000)

const [ALL, A, AB, C] = ['planted-all', 'planted-of-a', 'planted-of-ab', 'planted-of-c'] as const
/** With everything that a URL could take for its own. */
const ODD = 'planted odd/?#%&=+;@:ä'
const WRONG = 'planted-wrong'

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

/** A server with a tool, a prompt, a resource and a template, each called after it. */
const serving = (name: string) =>
  withTools(['t'], {
    initialize: introducing({ tools: {}, prompts: {}, resources: {}, completions: {} }),
    'prompts/list': answering({ prompts: [{ name: 'p' }] }),
    'prompts/get': answering({ messages: [] }),
    'resources/list': answering({ resources: [{ uri: `test://${name}/r`, name: 'r' }] }),
    'resources/templates/list': answering({
      resourceTemplates: [{ uriTemplate: `test://${name}/{x}`, name: 'rt' }],
    }),
    'resources/read': (asked) =>
      `${asked.params.uri}`.startsWith(`test://${name}/`)
        ? answering({ contents: [] })(asked)
        : refusing(-32002, 'Resource not found')(asked),
  })

let servers: Record<'a' | 'b' | 'c', RemoteServer>
beforeAll(() => {
  servers = { a: serving('a'), b: serving('b'), c: serving('c') }
})
afterAll(async () => {
  for (const server of Object.values(servers)) await server[Symbol.asyncDispose]()
})

const TOKENS: unknown[] = [
  ALL,
  { token: A, servers: ['a'] },
  { token: AB, servers: ['a', 'b'] },
  { token: C, servers: ['c'] },
  { token: ODD, servers: ['a'] },
]

function configured(tokens = TOKENS, own: Record<string, object> = {}, gateway: object = {}) {
  const mcpServers = Object.fromEntries(
    Object.entries(servers).map(([name, { url }]) => [name, { url, ...own[name] }]),
  )
  const groups = { g: ['a', 'b'], h: ['b'] }
  return { gateway: { port: 0, ...gateway }, auth: { tokens }, mcpServers, groups }
}
const began = (...options: Parameters<typeof configured>) =>
  folder({ 'config.json': configured(...options) })
const rewrite = (place: Folder, ...options: Parameters<typeof configured>) =>
  Bun.write(join(place.path, 'config.json'), JSON.stringify(configured(...options)))
const debugging = (place: Folder) => start(['--log-level', 'debug'], { in: place })

const opening = ({ url }: Program, path: string, headers: Record<string, string> = {}) =>
  post(new URL(path, url), request(0, 'initialize', INITIALIZE), headers)

/** Everything of an answer that could tell one from another. */
async function faceOf(coming: Promise<Response>) {
  const response = await coming
  const headers = Object.fromEntries(response.headers)
  delete headers.date
  delete headers['content-length']
  return { status: response.status, headers, text: await response.text() }
}

/** What is said of the server `zz`, said of another one. */
const saidOf = <F extends { text: string }>(name: string, face: F): F => ({
  ...face,
  text: face.text.replaceAll('zz', name),
})

interface Asked {
  result?: Record<string, Record<string, unknown>[]>
  error?: object
}

class Client {
  readonly #url: URL
  readonly #headers: Record<string, string>

  private constructor(url: URL, headers: Record<string, string>) {
    this.#url = url
    this.#headers = headers
  }

  static async open(program: Program, path: string, token?: string): Promise<Client> {
    const headers = token === undefined ? {} : bearer(token)
    const response = await opening(program, path, headers)
    expect([path, response.status, await response.text()]).toEqual([path, 200, expect.anything()])
    const session = { 'mcp-session-id': response.headers.get('mcp-session-id')! }
    return new Client(new URL(path, program.url), { ...headers, ...session })
  }

  /** @param other instead of what the session was opened with. */
  async status(other?: Record<string, string>): Promise<number> {
    const session = this.#headers['mcp-session-id']!
    const headers = other ? { ...other, 'mcp-session-id': session } : this.#headers
    return (await post(this.#url, request(1, 'ping'), headers)).status
  }

  async ask(method: string, params: object = {}): Promise<Asked> {
    const response = await post(this.#url, request(1, method, params), this.#headers)
    const type = response.headers.get('content-type')
    if (type === 'application/json') return (await response.json()) as Asked
    return JSON.parse((await Array.fromAsync(eventsOf(response))).at(-1)!.data)
  }

  /** What is shown of everything. */
  async names(): Promise<unknown[]> {
    const list = async (method: string, kind: string, key: string) =>
      (await this.ask(method)).result![kind]!.map((one) => one[key])
    return [
      ...(await list('tools/list', 'tools', 'name')),
      ...(await list('prompts/list', 'prompts', 'name')),
      ...(await list('resources/list', 'resources', 'uri')),
      ...(await list('resources/templates/list', 'resourceTemplates', 'uriTemplate')),
    ]
  }
}

describe('who is not known', () => {
  const ways: [string, Record<string, string>, string][] = [
    ['nothing', {}, 'a/mcp'],
    ['a wrong token', bearer(WRONG), 'a/mcp'],
    ['a wrong one, without scheme', { authorization: WRONG }, 'a/mcp'],
    ['the beginning of one', bearer(ALL.slice(0, -1)), 'a/mcp'],
    ['more than one', bearer(`${ALL} `.repeat(2).trim()), 'a/mcp'],
    ['one of another case', bearer(ALL.toUpperCase()), 'a/mcp'],
    ['another scheme', { authorization: `Basic ${btoa(`x:${ALL}`)}` }, 'a/mcp'],
    ['an empty header', { authorization: '' }, 'a/mcp'],
    ['one in a parameter', {}, `a/mcp?token=${ALL}&access_token=${ALL}`],
    ['one in a cookie', { cookie: `token=${ALL}` }, 'a/mcp'],
    ['a wrong one in the path', {}, `a/${WRONG}/mcp`],
    ['a wrong one in the path, and a right one', bearer(ALL), `a/${WRONG}/mcp`],
    ['a right one in the path, and a wrong one', bearer(WRONG), `a/${ALL}/mcp`],
    ['two that are not the same', bearer(ALL), `a/${A}/mcp`],
    ['one in the path that is badly encoded', {}, `a/${ALL}%/mcp`],
  ]
  test('is answered 401 with a challenge, whatever they want, and learns nothing', async () => {
    await using place = await began()
    await using program = await debugging(place)
    const texts = new Set<string>()
    for (const [what, headers, path] of ways) {
      for (const at of [path, path.replace('a/', 'nowhere/'), path.replace('mcp', 'sse')]) {
        for (const method of ['POST', 'GET', 'DELETE']) {
          const response = await fetch(new URL(at, program.url), {
            method,
            headers: { accept: ACCEPT, 'content-type': 'application/json', ...headers },
            ...(method === 'POST' ? { body: request(0, 'initialize', INITIALIZE) } : {}),
          })
          const text = await response.text()
          expect([what, at, method, response.status]).toEqual([what, at, method, 401])
          expect(response.headers.get('www-authenticate')).toStartWith('Bearer')
          expect(text).not.toContain('planted')
          texts.add(text)
        }
      }
    }
    // One for those without a token, one for all the others.
    expect(texts.size).toBe(2)
    for (const [method, path] of [
      ['GET', 'tools'],
      ['POST', 'tools/call'],
      ['POST', 'messages?sessionId=x'],
      ['GET', 'config/services'],
      ['POST', 'mcp'],
    ] as const) {
      for (const headers of [{}, bearer(WRONG)]) {
        const { status } = await fetch(new URL(path, program.url), { method, headers })
        expect([path, status]).toEqual([path, 401])
      }
    }
    const { upstreams, ...rest } = await health(program)
    expect(upstreams).toBeUndefined()
    expect(Object.keys(rest).sort()).toEqual(['ready', 'status', 'version'])
    expect(program.stderr.text).not.toContain('planted')
  })
})

describe('a token', () => {
  test('is taken in every spelling', async () => {
    await using place = await began()
    await using program = await debugging(place)
    for (const authorization of [
      `Bearer ${A}`,
      `bearer ${A}`,
      `BEARER   ${A}`,
      A,
      // As headers are read: byte by byte.
      `Bearer ${Buffer.from(ODD).toString('latin1')}`,
    ]) {
      expect((await opening(program, 'a/mcp', { authorization })).status).toBe(200)
    }
    for (const token of [A, encodeURIComponent(ODD), A.replace('p', '%70')]) {
      expect((await opening(program, `a/${token}/mcp`)).status).toBe(200)
    }
    expect((await opening(program, `a/${A}/mcp`, bearer(A))).status).toBe(200)
    expect(program.stderr.text).not.toContain('planted')
  })

  const bases = ['', '/gw/deep']
  test.each(bases)('in the path leads back through the same path, base "%s"', async (base) => {
    const gateway = { baseURL: `https://gateway.example${base}` }
    await using place = await began(TOKENS, {}, gateway)
    await using program = await debugging(place)
    for (const token of [A, encodeURIComponent(ODD)]) {
      const stop = new AbortController()
      const url = new URL(`${base}/a/${token}/sse`, program.url)
      const stream = await fetch(url, {
        headers: { accept: 'text/event-stream' },
        signal: stop.signal,
      })
      expect(stream.status).toBe(200)
      const events = eventsOf(stream)
      const { data } = (await events.next()).value!
      expect(data).toStartWith(`${base}/a/${token}/messages?sessionId=`)
      const answered = await post(new URL(data, program.url), request(7, 'initialize', INITIALIZE))
      expect(answered.status).toBe(202)
      expect(JSON.parse((await events.next()).value!.data).id).toBe(7)
      const without = new URL(data.replace(`/${token}/`, '/'), program.url)
      expect((await post(without, request(8, 'ping'))).status).toBe(401)
      expect((await post(without, request(8, 'ping'), bearer(C))).status).toBe(404)
      stop.abort()
    }
    expect(program.stderr.text).not.toContain('planted')
  })

  test('sees its servers, and nothing that shows that there are more', async () => {
    await using place = await began()
    await using program = await debugging(place)
    const of = (...names: string[]) =>
      [
        (name: string) => `${name}_t`,
        (name: string) => `${name}_p`,
        (name: string) => `test://${name}/r`,
        (name: string) => `test://${name}/{x}`,
      ].flatMap((shown) => names.map(shown))
    const merged = await Client.open(program, 'mcp', AB)
    expect(await merged.names()).toEqual(of('a', 'b'))
    expect(await (await Client.open(program, 'mcp', ALL)).names()).toEqual(of('a', 'b', 'c'))
    expect(await (await Client.open(program, 'mcp?servers=a', AB)).names()).toEqual(of('a'))
    const group = await Client.open(program, 'g/mcp', AB)
    expect(await group.names()).toEqual(of('a', 'b'))
    const one = await Client.open(program, 'g/mcp', A)
    expect(JSON.stringify(await one.names())).not.toMatch(/b_|test:\/\/b/)
    const alone = await Client.open(program, 'mcp', C)
    expect(JSON.stringify(await alone.names())).not.toMatch(/[ab]_|test:\/\/[ab]/)

    const before = servers.c.seen.length
    for (const [method, params] of [
      ['tools/call', (name: string) => ({ name: `${name}_t`, arguments: {} })],
      ['prompts/get', (name: string) => ({ name: `${name}_p` })],
      ['resources/read', (name: string) => ({ uri: `test://${name}/r` })],
      ['resources/subscribe', (name: string) => ({ uri: `test://${name}/r` })],
      ['resources/unsubscribe', (name: string) => ({ uri: `test://${name}/r` })],
      [
        'completion/complete',
        (name: string) => ({
          ref: { type: 'ref/prompt', name: `${name}_p` },
          argument: { name: 'x', value: '' },
        }),
      ],
    ] as const) {
      const face = async (client: Client, name: string) =>
        JSON.stringify(await client.ask(method, params(name)))
          .replaceAll(`${name}_`, 'NAME_')
          .replaceAll(`//${name}/`, '//NAME/')
      for (const client of [merged, group]) {
        expect([method, await face(client, 'c')]).toEqual([method, await face(client, 'zz')])
      }
    }
    // Nothing of it came to that server.
    expect(servers.c.seen.slice(before).map(({ kind }) => kind)).toEqual([])
    expect((await merged.ask('tools/call', { name: 'b_t', arguments: {} })).error).toBeUndefined()
  })

  test('finds other servers as if they did not exist', async () => {
    await using place = await began()
    await using program = await debugging(place)
    const unlike: [string, (name: string) => Promise<Response>][] = [
      ['an endpoint', (name) => opening(program, `${name}/mcp`, bearer(A))],
      ['one with the token in its path', (name) => opening(program, `${name}/${A}/mcp`)],
      ['a narrowing', (name) => opening(program, `mcp?servers=${name}`, bearer(A))],
      ['a wider one', (name) => opening(program, `mcp?servers=a,${name}`, bearer(A))],
      ['that of a group', (name) => opening(program, `g/mcp?servers=${name}`, bearer(A))],
      [
        'an event stream',
        (name) =>
          fetch(new URL(`${name}/sse`, program.url), {
            headers: { accept: 'text/event-stream', ...bearer(A) },
          }),
      ],
      [
        'tools by their server',
        (name) => fetch(new URL(`tools?server=${name}`, program.url), { headers: bearer(A) }),
      ],
      [
        'narrowed tools',
        (name) => fetch(new URL(`tools?servers=${name}`, program.url), { headers: bearer(A) }),
      ],
      [
        'a tool without MCP',
        (name) =>
          post(
            new URL('tools/call', program.url),
            JSON.stringify({ name: `${name}_t`, arguments: {} }),
            bearer(A),
          ),
      ],
    ]
    for (const [what, ask] of unlike) {
      const none = await faceOf(ask('zz'))
      expect([what, Math.floor(none.status / 100)]).toEqual([what, 4])
      for (const name of ['b', 'h']) {
        expect([what, await faceOf(ask(name))]).toEqual([what, saidOf(name, none)])
      }
    }
    const tools = await fetch(new URL('tools', program.url), { headers: bearer(AB) })
    const { tools: listed } = (await tools.json()) as { tools: { serverName: string }[] }
    expect(listed.map(({ serverName }) => serverName)).toEqual(['a', 'b'])
    const shown = await health(program, bearer(A))
    expect(Object.keys(shown.upstreams)).toEqual(['a'])
    expect(Object.keys((await health(program, bearer(ALL))).upstreams)).toEqual(['a', 'b', 'c'])
  })

  test('does not share a session: to another it is not there, and to nobody closed', async () => {
    await using place = await began()
    await using program = await debugging(place)
    for (const path of ['a/mcp', 'mcp', 'g/mcp']) {
      const session = await Client.open(program, path, A)
      expect(await session.status()).toBe(200)
      for (const [headers, status] of [
        [bearer(ALL), 404],
        [bearer(AB), 404],
        [bearer(encodeURIComponent('x')), 401],
        [bearer(WRONG), 401],
        [{ other: 'x' }, 401],
      ] as [Record<string, string>, number][]) {
        expect(await session.status(headers)).toBe(status)
      }
      expect(await session.status()).toBe(200)
    }
  })

  test('is nowhere in what is told, whatever is done with it', async () => {
    await using place = await began()
    await using program = await debugging(place)
    const bodies: string[] = []
    const say = async (coming: Promise<Response>) => {
      const response = await coming
      bodies.push(await response.text(), JSON.stringify([...response.headers]))
    }
    for (const token of [ALL, A, WRONG, encodeURIComponent(ODD)]) {
      for (const path of [
        `a/${token}/mcp`,
        `zz/${token}/mcp`,
        `a/${token}/nothing`,
        `a/${token}`,
        `a/${token}/mcp/more`,
        `a/${token}/messages`,
        `a/${token}/messages?sessionId=x`,
        `a/${token}/mcp?servers=zz`,
        `g/${token}/mcp?tools=`,
      ]) {
        await say(opening(program, path))
        await say(opening(program, path, bearer(token)))
        await say(fetch(new URL(path, program.url), { method: 'PUT' }))
        await say(post(new URL(path, program.url), '{', bearer(token)))
        await say(post(new URL(path, program.url), call(1, 't'), { 'mcp-session-id': 'x' }))
      }
      await say(opening(program, 'mcp', { ...bearer(token), origin: 'https://evil.example' }))
      await say(fetch(new URL('tools', program.url), { headers: bearer(token) }))
      await say(fetch(new URL('health', program.url), { headers: bearer(token) }))
    }
    program.signal('SIGTERM')
    expect(await program.exited).toBe(0)
    expect(bodies.length).toBeGreaterThan(300)
    expect(bodies.filter((text) => text.includes('planted'))).toEqual([])
    expect(program.stdout.text + program.stderr.text).not.toContain('planted')
  })
})

describe('a server that is public', () => {
  test('is for everybody, and the others for those who are asked', async () => {
    await using place = await began(TOKENS, { c: { public: true } })
    await using program = await debugging(place)
    expect((await opening(program, 'c/mcp')).status).toBe(200)
    const stranger = await Client.open(program, 'mcp')
    expect(JSON.stringify(await stranger.names())).not.toMatch(/[ab]_|test:\/\/[ab]/)
    // Who has no token yet is to learn that one is needed, and not which servers there are.
    const none = await faceOf(opening(program, 'zz/mcp'))
    expect(await faceOf(opening(program, 'a/mcp'))).toEqual(saidOf('a', none))
    expect([401, 404]).toContain(none.status)
    expect((await opening(program, 'c/mcp', bearer(WRONG))).status).toBe(401)
    expect((await opening(program, `c/${WRONG}/mcp`)).status).toBe(401)
    expect((await (await Client.open(program, 'mcp', A)).names()).slice(0, 2)).toEqual([
      'a_t',
      'c_t',
    ])
    // What runs is not every stranger's business, also not what of it they may use.
    expect(Object.keys(await health(program)).sort()).toEqual(['ready', 'status', 'version'])
    expect(await stranger.status(bearer(A))).toBe(404)
  })
})

describe('a change of tokens', () => {
  test('ends the sessions of who may not come any more, or not to the same, and no others', async () => {
    await using place = await began()
    await using program = await debugging(place)
    const [all, a, ab, c] = [
      await Client.open(program, 'a/mcp', ALL),
      await Client.open(program, 'a/mcp', A),
      await Client.open(program, 'g/mcp', AB),
      await Client.open(program, 'c/mcp', C),
    ]
    await after(program, 'config_applied', () =>
      rewrite(place, [
        ALL,
        { token: AB, servers: ['a'] },
        { token: C, servers: ['c'], name: 'now with a name' },
      ]),
    )
    expect(await all.status()).toBe(200)
    expect(await c.status()).toBe(200)
    expect(await a.status()).toBe(401)
    expect(await a.status(bearer(ALL))).toBe(404)
    expect(await ab.status()).toBe(404)
    const narrower = await Client.open(program, 'g/mcp', AB)
    expect(JSON.stringify(await narrower.names())).not.toMatch(/b_|test:\/\/b/)
    await after(program, 'config_applied', () => rewrite(place))
    expect(await narrower.status()).toBe(404)
    expect(await (await Client.open(program, 'g/mcp', AB)).names()).toContain('b_t')
  })

  test('to the first ones ends those of nobody, and the other way round', async () => {
    await using place = await began([])
    await using program = await debugging(place)
    const nobody = await Client.open(program, 'a/mcp')
    await after(program, 'config_applied', () => rewrite(place, [A]))
    expect(await nobody.status()).toBe(401)
    expect(await nobody.status(bearer(A))).toBe(404)
    const somebody = await Client.open(program, 'a/mcp', A)
    await after(program, 'config_applied', () => rewrite(place, []))
    expect(await somebody.status()).toBe(404)
    expect((await opening(program, 'a/mcp')).status).toBe(200)
  })

  test('ends an event stream as well', async () => {
    await using place = await began()
    await using program = await debugging(place)
    const stream = await fetch(new URL(`a/${A}/sse`, program.url), {
      headers: { accept: 'text/event-stream' },
    })
    const events = eventsOf(stream)
    await events.next()
    await after(program, 'config_applied', () => rewrite(place, [ALL]))
    expect((await events.next()).done).toBe(true)
  })

  test('that is refused takes nothing away', async () => {
    await using place = await began()
    await using program = await debugging(place)
    const a = await Client.open(program, 'a/mcp', A)
    const line = await after(program, 'config_refused', () =>
      rewrite(place, [{ token: WRONG, servers: ['nowhere'] }]),
    )
    expect(line).not.toContain('planted')
    expect(await a.status()).toBe(200)
    expect((await opening(program, 'a/mcp', bearer(WRONG))).status).toBe(401)
  })
})

describe('without tokens', () => {
  const beyond = ({ url }: Program) => {
    const other = new URL('health', url)
    other.hostname = '127.0.0.2'
    return fetch(other).then(({ status }) => status)
  }

  test.each(['0.0.0.0', '::', '127.0.0.2'])('host %s listens on loopback alone', async (host) => {
    await using place = await began([], {}, { host })
    await using program = await debugging(place)
    expect(program.url.hostname).toBe(host === '127.0.0.2' ? host : '127.0.0.1')
    if (host !== '127.0.0.2') {
      expect(beyond(program)).rejects.toThrow()
      expect(program.stdout.text).toContain(`not listening on ${host}`)
    }
  })

  test('nor does --host; with them, or where it is said aloud, it listens there', async () => {
    await using place = await began([])
    {
      await using program = await start(['--host', '0.0.0.0'], { in: place })
      expect(beyond(program)).rejects.toThrow()
      // The first token opens the door, and the last one that goes closes it.
      await after(program, 'config_applied', () => rewrite(place, [A]))
      expect(await beyond(program)).toBe(200)
      await after(program, 'config_applied', () => rewrite(place, []))
      expect(beyond(program)).rejects.toThrow()
    }
    await rewrite(place, [], {}, { host: '0.0.0.0', allowUnauthenticated: true })
    await using program = await start([], { in: place })
    expect(await beyond(program)).toBe(200)
  })
})
