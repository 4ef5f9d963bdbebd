/** A whole gateway where people can log in, as the program runs it, and what happens in it down to the last line of its log. */
import { spyOn } from 'bun:test'
import { join } from 'node:path'
import { INTERNET } from '../../../src/auth/clients/public-fetch.ts'
import { Running } from '../../../src/commands/running.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { type GatewayEvent, logLines } from '../../../src/events.ts'
import { Seal } from '../../../src/store/seal.ts'
import { SqliteStore } from '../../../src/store/sqlite.ts'
import { type Folder, folder } from '../../lifecycle/program.ts'
import { withTools } from '../../support/asking.ts'
import { ACCEPT, INITIALIZE, request } from '../../support/http.ts'
import { Person } from '../../support/person.ts'
import type { Seen } from '../../support/servers/remote.ts'

export const PASSWORD = 'wonderland is far'

/** Who can log in. */
export const USERS = {
  alice: PASSWORD,
  bob: { password: PASSWORD, servers: ['a'] },
  root: { password: PASSWORD, admin: true },
}

export interface HouseOptions {
  /** Without it, it is known by its address. */
  baseURL?: string
  gateway?: object
  oauth?: object
  auth?: object
  servers?: Record<string, object>
  groups?: Record<string, string[]>
}

export interface House extends AsyncDisposable {
  /** As clients know it, without a slash at its end. */
  readonly base: string
  /** Where it listens, without a slash at its end. */
  readonly loopback: string
  /** What clients fetch with: what is for `base` comes to the loopback, with the Host that was meant. */
  readonly fetch: typeof fetch
  readonly events: GatewayEvent[]
  /** All that it has logged, at the level "debug". */
  readonly log: string[]
  readonly place: Folder
  /** What the server "a" was asked. */
  readonly seen: readonly Seen[]
  /** Makes another configuration what runs. */
  configure(options: HouseOptions): Promise<void>
  person(name?: keyof typeof USERS): Person
}

export async function house(options: HouseOptions = {}): Promise<House> {
  const a = withTools(['whoami', 'other'])
  const b = withTools(['whoami'])
  const written = (options: HouseOptions) => ({
    gateway: {
      port: 0,
      dataDir: 'data',
      ...(options.baseURL && { baseURL: options.baseURL }),
      ...options.gateway,
    },
    // Tests run where templates of the project are, which are nobody's own.
    auth: { oauth: { users: USERS, templateDir: 'pages', ...options.oauth }, ...options.auth },
    mcpServers: options.servers ?? { a: { url: a.url }, b: { url: b.url } },
    groups: options.groups ?? (options.servers ? {} : { both: ['a', 'b'] }),
  })
  const place = await folder({ 'config.json': written(options) })
  const file = join(place.path, 'config.json')
  const data = join(place.path, 'data')
  const [store, seal] = [new SqliteStore(data), new Seal(data, {})]
  const events: GatewayEvent[] = []
  const log: string[] = []
  const tell = logLines('debug', (line) => void log.push(line))
  const running = await Running.start(await loadConfig(file, {}), {
    ...{ store, seal, imports: [], overrides: {} },
    observe(event) {
      events.push(event)
      tell(event)
    },
  })
  const loopback = running.url.origin
  const base = options.baseURL?.replace(/\/$/, '') ?? loopback
  const { origin, host } = new URL(base)
  const here = (input: string | URL | Request, init: RequestInit = {}) => {
    const wanted = new URL(input instanceof Request ? input.url : input)
    if (wanted.origin !== origin || origin === loopback) return fetch(input, init)
    const headers = new Headers(init.headers)
    headers.set('host', host)
    return fetch(loopback + wanted.pathname + wanted.search, { ...init, headers })
  }
  const known = here as typeof fetch
  return {
    ...{ base, loopback, fetch: known, events, log, place, seen: a.seen },
    person: (name = 'alice') => new Person(name, PASSWORD, known),
    async configure(next) {
      await Bun.write(file, JSON.stringify(written({ ...options, ...next })))
      await running.reload()
    },
    async [Symbol.asyncDispose]() {
      await running.stop()
      await a[Symbol.asyncDispose]()
      await b[Symbol.asyncDispose]()
      await place[Symbol.asyncDispose]()
    },
  }
}

/** No test asks the internet: there is nothing but these documents. */
export function alone(documents: Record<string, object> = {}): Disposable {
  const resolve = spyOn(INTERNET, 'resolve').mockImplementation(async () => ['93.184.215.14'])
  const connect = spyOn(INTERNET, 'connect').mockImplementation(async ({ href }) => {
    const document = documents[href]
    return document ? Response.json(document) : new Response('forbidden', { status: 403 })
  })
  return {
    [Symbol.dispose]() {
      resolve.mockRestore()
      connect.mockRestore()
    },
  }
}

/** The passwords here are no hashes: what is hashed to take as long for everybody would only cost time. */
export function unhashed(): Disposable {
  const verify = spyOn(Bun.password, 'verify').mockImplementation(async () => false)
  return { [Symbol.dispose]: () => verify.mockRestore() }
}

export const VERIFIER = 'a-verifier-of-forty-three-characters-or-more'
export const CHALLENGE = new Bun.CryptoHasher('sha256').update(VERIFIER).digest('base64url')
export const BACK = 'http://127.0.0.1:4321/callback'

export interface Registered {
  client_id: string
  client_secret?: string
}

/** For a house that trusts its proxy: so many clients register in a test that they are more than one address may. */
export const PROXIED = { gateway: { trustedProxies: ['127.0.0.1'] } }

const neighbour = () =>
  `198.51.${Math.floor(Math.random() * 255)}.${Math.floor(Math.random() * 255)}`

export async function register(at: House, body: object = {}): Promise<Registered> {
  const response = await at.fetch(`${at.base}/oauth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-forwarded-for': neighbour() },
    body: JSON.stringify({
      client_name: 'Probe',
      redirect_uris: [BACK],
      token_endpoint_auth_method: 'none',
      ...body,
    }),
  })
  if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`)
  return (await response.json()) as Registered
}

/** What a client asks for; undefined leaves a parameter out, and a list repeats it. */
export function authorizeURL(
  at: House,
  parameters: Record<string, string | string[] | undefined>,
): string {
  const all = {
    response_type: 'code',
    redirect_uri: BACK,
    code_challenge: CHALLENGE,
    code_challenge_method: 'S256',
    state: 'st',
    ...parameters,
  }
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(all)) {
    for (const one of [value ?? []].flat()) query.append(name, one)
  }
  return `${at.base}/oauth/authorize?${query}`
}

export interface Answer {
  status: number
  body: Record<string, unknown> & { access_token: string; refresh_token: string }
  headers: Headers
}

/** Posts a form to one of the endpoints for clients. */
export async function submitted(
  at: House,
  path: string,
  fields: Record<string, string> | [string, string][],
  headers: Record<string, string> = {},
): Promise<Answer> {
  const body = new URLSearchParams(fields)
  const response = await at.fetch(`${at.base}${path}`, { method: 'POST', body, headers })
  const text = await response.text()
  const json = text.startsWith('{') ? JSON.parse(text) : { text }
  return { status: response.status, body: json, headers: response.headers }
}

export const exchange = (
  at: House,
  client_id: string,
  code: string,
  fields: Record<string, string> = {},
) =>
  submitted(at, '/oauth/token', {
    ...{ grant_type: 'authorization_code', client_id, code },
    ...{ redirect_uri: BACK, code_verifier: VERIFIER, ...fields },
  })

export const refresh = (
  at: House,
  client_id: string,
  refresh_token: string,
  fields: Record<string, string> = {},
) =>
  submitted(at, '/oauth/token', {
    grant_type: 'refresh_token',
    client_id,
    refresh_token,
    ...fields,
  })

export interface Login {
  client: string
  access: string
  refresh: string
}

/** Everything from registration to tokens. */
export async function logIn(
  at: House,
  options: {
    as?: keyof typeof USERS
    asking?: Record<string, string>
    client?: string
    person?: Person
  } = {},
): Promise<Login> {
  const client = options.client ?? (await register(at)).client_id
  const person = options.person ?? at.person(options.as)
  const back = await person.authorize(authorizeURL(at, { client_id: client, ...options.asking }))
  const code = back.searchParams.get('code')
  if (!code) throw new Error(back.href)
  const { status, body } = await exchange(at, client, code)
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`)
  return { client, access: body.access_token, refresh: body.refresh_token }
}

/** Comes to an endpoint with a token, and initializes a session. */
export function knock(
  at: House,
  path: string,
  token: string | undefined,
  headers: Record<string, string> = {},
): Promise<Response> {
  return say(at, path, token, request(0, 'initialize', INITIALIZE), headers)
}

export function say(
  at: House,
  path: string,
  token: string | undefined,
  body: string,
  headers: Record<string, string> = {},
): Promise<Response> {
  return at.fetch(at.base + path, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: ACCEPT,
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...headers,
    },
    body,
  })
}

/** The text that a tool answers, of a session made for this one call. */
export async function useTool(
  at: House,
  path: string,
  token: string,
  name: string,
): Promise<string> {
  const opened = await knock(at, path, token)
  const session = opened.headers.get('mcp-session-id')
  if (!session) throw new Error(`${opened.status} ${await opened.text()}`)
  await opened.body?.cancel()
  const called = request(1, 'tools/call', { name, arguments: {} })
  const response = await say(at, path, token, called, { 'mcp-session-id': session })
  const text = await response.text()
  const json = text.startsWith('{') ? text : /^data: (\{.*"id":1.*)$/m.exec(text)?.[1]
  const { result, error } = JSON.parse(json ?? '{}')
  if (error) throw new Error(error.message)
  return result.content[0].text
}

/** Waits until something holds. The runner ends who waits for ever. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await Bun.sleep(10)
}
