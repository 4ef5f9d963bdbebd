/**
 * Clients as they are in the field, each the whole way as it goes itself: from the challenge by its own order of documents to
 * registration, login, tokens and calls.
 */
import { describe, expect, test } from 'bun:test'
import * as oauth from 'oauth4webapi'
import {
  alone,
  authorizeURL,
  type House,
  house,
  knock,
  PROXIED,
  register,
  submitted,
  unhashed,
  useTool,
  VERIFIER,
} from './house.ts'

/** An MCP URL, and the gateway that it is at. */
interface Place {
  url: URL
  base: string
}

interface FieldClient {
  name: string
  /** What it registers as; or the URL of its document. */
  registers?: object
  document?: string
  /** Where it comes back to: not always where it said. */
  back: string
  /** What it takes for the resource. By default the URL that was typed. */
  resources?: ((place: Place) => string | undefined)[]
  scope?: string
  /** What else it asks. */
  asks?: Record<string, string>
  /** How it finds the document about what it wants to use. By default the challenge says it. */
  looksFor?: (place: Place) => string[]
  /** How it finds that of the authorization server. By default as the specification has it. */
  finds?: (issuer: URL, place: Place) => string[]
}

const BOTH = ['authorization_code', 'refresh_token']
const CODE = { grant_types: BOTH, response_types: ['code'], token_endpoint_auth_method: 'none' }

const typed = ({ url }: Place) => url.href
const withSlash = ({ url }: Place) => `${url.href}/`
const origin = ({ url }: Place) => url.origin
const originWithSlash = ({ url }: Place) => `${url.origin}/`
const base = ({ base }: Place) => base
const nothing = () => undefined

const SERVER = '/.well-known/oauth-authorization-server'
const OPENID = '/.well-known/openid-configuration'
const RESOURCE = '/.well-known/oauth-protected-resource'

/** As the specification has it: inserted in front of the path, and for OpenID also behind it. */
function specified({ origin, pathname }: URL): string[] {
  const path = pathname.replace(/\/$/, '')
  const inserted = [origin + SERVER + path, origin + OPENID + path]
  return path === '' ? inserted : [...inserted, origin + path + OPENID]
}

const CLIENTS: FieldClient[] = [
  {
    name: 'Claude Code, by its document',
    document: 'https://claude.ai/oauth/claude-code-client-metadata',
    back: 'http://localhost:54545/callback',
    resources: [typed, withSlash, origin, originWithSlash, base],
    scope: 'mcp offline_access',
    asks: { prompt: 'consent' },
  },
  {
    name: 'Claude Code that registers, and has another port the next time',
    registers: {
      ...CODE,
      client_name: 'Claude Code (a)',
      redirect_uris: ['http://localhost:54545/callback'],
    },
    back: 'http://localhost:61000/callback',
    resources: [withSlash, origin],
  },
  {
    name: 'claude.ai, by its document',
    document: 'https://claude.ai/oauth/mcp-oauth-client-metadata',
    back: 'https://claude.ai/api/mcp/auth_callback',
    scope: 'mcp',
  },
  {
    name: 'claude.ai that registers with a secret',
    registers: {
      ...CODE,
      client_name: 'Claude',
      redirect_uris: ['https://claude.ai/api/mcp/auth_callback'],
      token_endpoint_auth_method: 'client_secret_post',
      scope: 'mcp',
    },
    back: 'https://claude.ai/api/mcp/auth_callback',
  },
  {
    name: 'ChatGPT, by its document and with its key',
    document: 'https://chatgpt.com/oauth/client.json',
    back: 'https://chatgpt.com/connector_platform_oauth_redirect',
    scope: 'mcp',
  },
  {
    name: 'ChatGPT that registers a connector',
    registers: {
      ...CODE,
      client_name: 'ChatGPT',
      redirect_uris: ['https://chatgpt.com/connector/oauth/aB3_-x'],
    },
    back: 'https://chatgpt.com/connector/oauth/aB3_-x',
  },
  {
    name: 'Codex that registers, and looks at the URL of the server first',
    registers: {
      ...CODE,
      client_name: 'Codex',
      redirect_uris: ['http://127.0.0.1:40123/callback/Zm9vYmFyYmF6'],
    },
    back: 'http://127.0.0.1:40124/callback/Zm9vYmFyYmF6',
    resources: [nothing],
    scope: '',
    finds: (_, { url }) => [url.origin + SERVER + url.pathname, url.origin + SERVER],
  },
  {
    name: 'Codex, by its document',
    document: 'https://chatgpt.com/oauth/codex/client.json',
    back: 'http://127.0.0.1:1455/callback',
    resources: [typed, nothing],
  },
  ...[
    'cursor://anysphere.cursor-mcp/oauth/callback',
    'https://www.cursor.com/agents/mcp/oauth/callback',
    'http://localhost:8787/callback',
  ].map(
    (back, _, all): FieldClient => ({
      name: `Cursor, back to ${back}`,
      registers: { ...CODE, client_name: 'Cursor', redirect_uris: all },
      back,
      resources: [typed, nothing],
      scope: 'mcp',
    }),
  ),
  {
    name: 'VS Code that registers, and whose port was taken',
    registers: {
      client_name: 'Visual Studio Code',
      client_uri: 'https://code.visualstudio.com',
      grant_types: [...BOTH, 'urn:ietf:params:oauth:grant-type:device_code'],
      response_types: ['code'],
      redirect_uris: [
        'https://insiders.vscode.dev/redirect',
        'https://vscode.dev/redirect',
        'http://127.0.0.1/',
        'http://127.0.0.1:33418/',
      ],
      scope: 'mcp',
      token_endpoint_auth_method: 'none',
      application_type: 'native',
    },
    back: 'http://127.0.0.1:51234/',
    scope: 'mcp',
  },
  {
    name: 'VS Code, by its document, over the page that leads back to it',
    document: 'https://vscode.dev/oauth/client-metadata.json',
    back: 'https://vscode.dev/redirect',
    resources: [typed, base],
    // One version knew the document of the whole host only.
    looksFor: ({ base }) => [`${new URL(base).origin}${RESOURCE}`],
  },
  {
    name: 'Gemini CLI',
    registers: {
      ...CODE,
      client_name: 'Gemini CLI MCP Client',
      redirect_uris: ['http://localhost:38475/oauth/callback'],
      scope: '',
    },
    back: 'http://localhost:7777/oauth/callback',
    scope: 'mcp',
    looksFor: ({ url }) => [url.origin + RESOURCE + url.pathname, url.origin + RESOURCE],
    finds: (issuer) => [...specified(issuer), issuer.origin + SERVER, issuer.origin + OPENID],
  },
  {
    name: 'opencode that registers',
    registers: {
      ...CODE,
      client_name: 'OpenCode',
      client_uri: 'https://opencode.ai',
      redirect_uris: ['http://127.0.0.1:19876/mcp/oauth/callback'],
    },
    back: 'http://127.0.0.1:19876/mcp/oauth/callback',
  },
  {
    name: 'opencode, by its document',
    document: 'https://opencode.ai/oauth/opencode/client.json',
    back: 'http://127.0.0.1:19876/callback',
  },
  {
    name: 'Zed',
    document: 'https://zed.dev/oauth/client-metadata.json',
    back: 'http://127.0.0.1:49152/callback',
  },
  {
    name: 'MCP Inspector with a secret in a header',
    registers: {
      ...CODE,
      client_name: 'MCP Inspector',
      redirect_uris: [
        'http://localhost:6274/oauth/callback',
        'http://localhost:6274/oauth/callback/debug',
      ],
      token_endpoint_auth_method: 'client_secret_basic',
    },
    back: 'http://localhost:6274/oauth/callback/debug',
    scope: 'mcp',
  },
  {
    name: 'Goose',
    registers: {
      ...CODE,
      client_name: 'goose',
      redirect_uris: ['http://127.0.0.1:45678/oauth_callback'],
      application_type: 'native',
    },
    back: 'http://127.0.0.1:11111/oauth_callback',
  },
]

const PLACES: [string, string | undefined][] = [
  ['by its address', undefined],
  ['under a domain', 'https://gw.example'],
  ['under a domain with a slash', 'https://gw.example/'],
  ['below a path', 'https://gw.example/team/gw'],
]

const ENDPOINTS = ['/a/mcp', '/mcp']

/** What ChatGPT proves itself with. */
const KEYS = await crypto.subtle.generateKey(
  {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: 'SHA-256',
  },
  true,
  ['sign', 'verify'],
)
const PUBLISHED = {
  'https://chatgpt.com/oauth/jwks.json': {
    keys: [{ ...(await crypto.subtle.exportKey('jwk', KEYS.publicKey)), kid: 'k', use: 'sig' }],
  },
}

/** The first document that is there, as it was found. */
async function firstOf(at: House, urls: string[]): Promise<Record<string, unknown>> {
  for (const url of urls) {
    const response = await at.fetch(url, { headers: { 'mcp-protocol-version': '2025-11-25' } })
    expect(response.headers.get('content-type')).toStartWith('application/json')
    if (response.ok) return (await response.json()) as Record<string, unknown>
    expect(response.status).toBe(404)
  }
  throw new Error(`nothing is at ${urls}`)
}

describe.each(PLACES)('a gateway that is known %s is used by', (_, baseURL) => {
  // A slash there changes but the bytes of the issuer.
  const clients = baseURL?.endsWith('/') ? CLIENTS.slice(0, 3) : CLIENTS
  test.each(clients)('$name', async (client) => {
    const { registers, document, back, resources = [typed], scope, asks, looksFor, finds } = client
    using _internet = alone(PUBLISHED)
    using _verify = unhashed()
    await using at = await house({ ...PROXIED, ...(baseURL && { baseURL }) })
    const person = at.person()
    for (const endpoint of ENDPOINTS) {
      const place: Place = { url: new URL(at.base + endpoint), base: at.base }

      const stranger = await knock(at, endpoint, undefined)
      expect(stranger.status).toBe(401)
      const challenge = stranger.headers.get('www-authenticate')!
      expect(challenge).toMatch(/^Bearer .*\bscope="mcp"/)
      const named = /resource_metadata="([^"]+)"/.exec(challenge)![1]!
      const about = await firstOf(at, looksFor?.(place) ?? [named])
      const isWhole = looksFor?.(place)[0] === new URL(at.base).origin + RESOURCE
      expect(about.resource).toBe(isWhole ? at.base : place.url.href)
      const [issuer] = about.authorization_servers as [string]
      expect(issuer).toBe(baseURL ?? at.base)

      const server = await firstOf(at, (finds ?? specified)(new URL(issuer), place))
      expect(server).toMatchObject({
        issuer,
        code_challenge_methods_supported: ['S256'],
        authorization_response_iss_parameter_supported: true,
        client_id_metadata_document_supported: true,
      })
      expect(server.token_endpoint).toBe(`${at.base}/oauth/token`)

      const known = registers ? await register(at, registers) : { client_id: document! }
      const { client_id } = known
      for (const resourceOf of resources) {
        const resource = resourceOf(place)
        const wanted = {
          client_id,
          redirect_uri: back,
          resource,
          scope,
          ...asks,
        }
        const answer = await person.authorize(authorizeURL(at, wanted))
        expect(answer.href).toStartWith(`${back}${back.includes('?') ? '&' : '?'}`)
        const { code, iss, state } = Object.fromEntries(answer.searchParams)
        expect({ iss, state }).toEqual({ iss: issuer, state: 'st' })

        const ask = (fields: Record<string, string>) => tokensFor(at, client, known, server, fields)
        const same = resource === undefined ? {} : { resource }
        const got = await ask({
          ...{ grant_type: 'authorization_code', code: code!, redirect_uri: back },
          ...{ code_verifier: VERIFIER, ...same },
        })
        expect(got).toMatchObject({
          status: 200,
          body: { token_type: 'Bearer', expires_in: 3600, scope: 'mcp' },
        })
        const tool = endpoint === '/mcp' ? 'a_whoami' : 'whoami'
        expect(await useTool(at, endpoint, got.body.access_token, tool)).toBe('whoami')

        // Two sessions of it keep one refresh token, and one of them forgets what it is for.
        const refresh_token = got.body.refresh_token
        const renewal = { grant_type: 'refresh_token', refresh_token }
        const race = await Promise.all([ask({ ...renewal, ...same }), ask(renewal)])
        for (const { status, body } of race) {
          expect(status).toBe(200)
          expect(await useTool(at, endpoint, body.access_token, tool)).toBe('whoami')
        }
      }
    }
  })
})

/** Asks the token endpoint, with the proof that is the client's own. */
async function tokensFor(
  at: House,
  { document, registers }: FieldClient,
  { client_id, client_secret = '' }: { client_id: string; client_secret?: string },
  { issuer }: Record<string, unknown>,
  fields: Record<string, string>,
) {
  const body = new URLSearchParams(fields)
  const headers = new Headers()
  const { token_endpoint_auth_method: way } = (registers ?? {}) as Record<string, string>
  const prove =
    document === 'https://chatgpt.com/oauth/client.json'
      ? oauth.PrivateKeyJwt({ key: KEYS.privateKey, kid: 'k' })
      : way === 'client_secret_basic'
        ? oauth.ClientSecretBasic(client_secret)
        : way === 'client_secret_post'
          ? oauth.ClientSecretPost(client_secret)
          : oauth.None()
  await prove({ issuer: String(issuer) }, { client_id }, body, headers)
  return submitted(at, '/oauth/token', [...body], Object.fromEntries(headers))
}
