/** Clients that look closely, as their authors wrote them: from nothing but a URL to a call, and on when tokens end. */
import { describe, expect, test } from 'bun:test'
import * as v2 from '@modelcontextprotocol/client'
import type { OAuthClientProvider } from '@modelcontextprotocol/sdk/client/auth.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import * as oauth from 'oauth4webapi'
import { stdio } from '../../support/gateway.ts'
import { alone, type House, house, logIn, submitted } from './house.ts'

const DOCUMENT = 'https://client.example/mcp/client.json'
const BACK = 'http://localhost:7811/callback'
const ABOUT = {
  client_name: 'Strict',
  redirect_uris: [BACK],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  token_endpoint_auth_method: 'none',
}

/** What a client keeps between two starts. */
class Keeper {
  readonly redirectUrl = BACK
  readonly clientMetadata = ABOUT
  readonly clientMetadataUrl?: string
  client: { client_id: string } | undefined
  kept: { access_token: string; token_type: string; refresh_token?: string } | undefined
  asked: URL[] = []
  #verifier = ''
  #discovered: unknown

  constructor(metadataUrl?: string) {
    if (metadataUrl !== undefined) this.clientMetadataUrl = metadataUrl
  }
  state = () => `state-${this.asked.length}`
  clientInformation = () => this.client
  saveClientInformation = (client: { client_id: string }) => {
    this.client = client
  }
  tokens = () => this.kept
  saveTokens = (tokens: NonNullable<Keeper['kept']>) => {
    this.kept = tokens
  }
  redirectToAuthorization = (url: URL) => void this.asked.push(url)
  saveCodeVerifier = (verifier: string) => {
    this.#verifier = verifier
  }
  codeVerifier = () => this.#verifier
  saveDiscoveryState = (state: unknown) => {
    this.#discovered = state
  }
  discoveryState = () => this.#discovered as never
  invalidateCredentials = (scope: string) => {
    if (scope === 'all' || scope === 'client') this.client = undefined
    if (scope === 'all' || scope === 'tokens') this.kept = undefined
    if (scope === 'all' || scope === 'discovery') this.#discovered = undefined
  }
}

/** One of the SDKs, as far as this is about it. */
interface Sdk {
  connect(url: URL, keeper: Keeper, at: House): Promise<Connected>
  finish(url: URL, keeper: Keeper, at: House, back: URL): Promise<void>
}
interface Connected extends AsyncDisposable {
  tools(): Promise<string[]>
  call(name: string): Promise<string>
}

const INFO = { name: 'strict', version: '1' }
const textOf = (result: unknown) => (result as { content: { text: string }[] }).content[0]!.text

const sdk1 = (url: URL, keeper: Keeper, at: House) =>
  new StreamableHTTPClientTransport(url, {
    authProvider: keeper as OAuthClientProvider,
    fetch: at.fetch,
  })

const SDK1: Sdk = {
  async connect(url, keeper, at) {
    const client = new Client(INFO)
    await client.connect(sdk1(url, keeper, at) as never)
    return {
      tools: async () => (await client.listTools()).tools.map(({ name }) => name),
      call: async (name) => textOf(await client.callTool({ name, arguments: {} })),
      [Symbol.asyncDispose]: () => client.close(),
    }
  },
  finish: (url, keeper, at, back) =>
    sdk1(url, keeper, at).finishAuth(back.searchParams.get('code')!),
}

const sdk2 = (url: URL, keeper: Keeper, at: House) =>
  new v2.StreamableHTTPClientTransport(url, {
    authProvider: keeper as unknown as v2.OAuthClientProvider,
    fetch: at.fetch,
  })

const SDK2: Sdk = {
  async connect(url, keeper, at) {
    const client = new v2.Client(INFO)
    await client.connect(sdk2(url, keeper, at))
    return {
      tools: async () => (await client.listTools()).tools.map(({ name }) => name),
      call: async (name) => textOf(await client.callTool({ name, arguments: {} })),
      [Symbol.asyncDispose]: () => client.close(),
    }
  },
  // With all that came back, so that it compares the issuer.
  finish: (url, keeper, at, back) => sdk2(url, keeper, at).finishAuth(back.searchParams),
}

const SDKS: [string, Sdk, string | undefined][] = [
  ['SDK 1.x that registers', SDK1, undefined],
  ['SDK 1.x with a document', SDK1, DOCUMENT],
  ['SDK 2.x that registers', SDK2, undefined],
  ['SDK 2.x with a document', SDK2, DOCUMENT],
]

const PLACES: [string, string | undefined][] = [
  ['by its address', undefined],
  ['under a domain', 'https://gw.example'],
  ['below a path', 'https://gw.example/team/gw'],
]

describe.each(PLACES)('a gateway that is known %s', (_, baseURL) => {
  test.each(SDKS)('is logged in to by the %s, again and again', async (_, sdk, document) => {
    using _internet = alone({ [DOCUMENT]: { ...ABOUT, client_id: DOCUMENT } })
    await using at = await house({ ...(baseURL && { baseURL }), servers: { raw: stdio('raw') } })
    const url = new URL(`${at.base}/raw/mcp`)
    const keeper = new Keeper(document)
    const person = at.person()

    await expect(sdk.connect(url, keeper, at)).rejects.toThrow()
    expect(keeper.asked).toHaveLength(1)
    expect(keeper.asked[0]!.searchParams.get('resource')).toBe(url.href)
    await sdk.finish(url, keeper, at, await person.authorize(keeper.asked[0]!))
    if (document) expect(keeper.client?.client_id).toBe(document)
    await using first = await sdk.connect(url, keeper, at)
    expect(await first.tools()).toContain('pid')
    expect(await first.call('pid')).toMatch(/^\d+$/)

    const { access_token, refresh_token } = keeper.kept!
    keeper.kept = { ...keeper.kept!, access_token: 'an old one' }
    await using second = await sdk.connect(url, keeper, at)
    expect(await second.tools()).toContain('pid')
    expect(keeper.asked).toHaveLength(1)
    expect(keeper.kept!.access_token).not.toBe(access_token)
    expect(keeper.kept!.refresh_token).not.toBe(refresh_token!)

    const fields = { token: keeper.kept!.refresh_token!, client_id: keeper.client!.client_id }
    expect((await submitted(at, '/oauth/revoke', fields)).status).toBe(200)
    await expect(sdk.connect(url, keeper, at)).rejects.toThrow()
    expect(keeper.asked).toHaveLength(2)
    // They are still logged in, and have allowed it before: nobody is asked anything.
    await sdk.finish(url, keeper, at, await person.authorize(keeper.asked[1]!))
    await using third = await sdk.connect(url, keeper, at)
    expect(await third.call('pid')).toMatch(/^\d+$/)
  })

  test('satisfies oauth4webapi from discovery to introspection', async () => {
    using _internet = alone()
    await using at = await house(baseURL ? { baseURL } : {})
    const options = {
      [oauth.customFetch]: at.fetch as never,
      [oauth.allowInsecureRequests]: baseURL === undefined,
    }
    const resource = new URL(`${at.base}/a/mcp`)
    const protectedBy = await oauth.processResourceDiscoveryResponse(
      resource,
      await oauth.resourceDiscoveryRequest(resource, options),
    )
    const issuer = new URL(protectedBy.authorization_servers![0]!)
    const as = await oauth.processDiscoveryResponse(
      issuer,
      await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...options }),
    )
    const openid = await oauth.processDiscoveryResponse(
      issuer,
      await oauth.discoveryRequest(issuer, { algorithm: 'oidc', ...options }),
    )
    expect(openid.token_endpoint).toBe(as.token_endpoint)
    const registered = await oauth.processDynamicClientRegistrationResponse(
      await oauth.dynamicClientRegistrationRequest(
        as,
        { ...ABOUT, token_endpoint_auth_method: 'client_secret_basic' },
        options,
      ),
    )
    const client: oauth.Client = registered
    const proof = oauth.ClientSecretBasic(registered.client_secret as string)
    const verifier = oauth.generateRandomCodeVerifier()
    const state = oauth.generateRandomState()
    const url = new URL(as.authorization_endpoint!)
    url.search = String(
      new URLSearchParams({
        ...{ response_type: 'code', client_id: client.client_id, redirect_uri: BACK, state },
        code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
        resource: resource.href,
        scope: 'mcp',
      }),
    )
    const back = await at.person().authorize(url)
    const parameters = oauth.validateAuthResponse(as, client, back, state)
    expect(back.searchParams.get('iss')).toBe(as.issuer)
    const ask = { ...options, additionalParameters: { resource: resource.href } }
    const tokens = await oauth.processAuthorizationCodeResponse(
      as,
      client,
      await oauth.authorizationCodeGrantRequest(as, client, proof, parameters, BACK, verifier, ask),
    )
    expect(tokens.token_type).toBe('bearer')
    const renewed = await oauth.processRefreshTokenResponse(
      as,
      client,
      await oauth.refreshTokenGrantRequest(as, client, proof, tokens.refresh_token!, ask),
    )
    const admin = await logIn(at, { as: 'root', asking: { scope: 'mcp admin' } })
    const asAdmin: oauth.ClientAuth = (_as, _client, _body, headers) => {
      headers.set('authorization', `Bearer ${admin.access}`)
    }
    const introspect = async (token: string) =>
      oauth.processIntrospectionResponse(
        as,
        client,
        await oauth.introspectionRequest(as, client, asAdmin, token, options),
      )
    expect(await introspect(renewed.access_token)).toMatchObject({
      ...{ active: true, iss: as.issuer, aud: resource.href, username: 'alice', scope: 'mcp' },
      client_id: client.client_id,
    })
    await oauth.processRevocationResponse(
      await oauth.revocationRequest(as, client, proof, renewed.refresh_token!, options),
    )
    expect(await introspect(renewed.access_token)).toEqual({ active: false })
  })
})
