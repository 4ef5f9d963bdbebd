/**
 * Where clients get tokens, give them back, and where devices begin; and where admins ask what a token is good for.
 *
 * Each answers every request; what it refuses is an `OAuthError` on the wire, and goes to the log with its reason.
 */
import type { Principal } from '../../caller.ts'
import { GatewayError } from '../../errors.ts'
import { countedAs } from '../address.ts'
import { type Client, SCOPES, type Scope } from '../clients/client.ts'
import type { Grants, TokenSet } from '../grants.ts'
import type { Issuer } from '../issuer.ts'
import { OAuthError } from '../oauth-error.ts'
import { endpointOf, resourceOf } from '../resource.ts'
import { answer, readForm, refusal, required } from '../wire.ts'
import type { Devices } from './device.ts'

/** How a client proves who it is. */
export interface ClientProof {
  headers: Headers
  form: URLSearchParams
  issuer: Issuer
}

export interface ProvenClients {
  /** @throws {OAuthError} `invalid_client`, as a rejection. */
  authenticate(proof: ClientProof): Promise<Client>
  /** It got tokens: it is not one of those that register and never come back. */
  used(id: string): Promise<void>
}

/** All that giving out tokens needs. */
export interface TokenDesk {
  clients: ProvenClients
  grants: Grants
  devices: Devices
  issuer: (request: Request) => Issuer
  /** The names of all servers and groups. */
  endpoints: () => readonly string[]
  isPerson: (id: string) => boolean
  onRefused?: (error: OAuthError) => void
}

export const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'

/** Where a person types in what a device shows. */
export const VERIFICATION_PATH = '/oauth/device'

/**
 * `POST /oauth/token`
 *
 * @see [RFC 6749 §4.1.3, §6](https://datatracker.ietf.org/doc/html/rfc6749#section-4.1.3),
 *   [RFC 8628 §3.4](https://datatracker.ietf.org/doc/html/rfc8628#section-3.4)
 */
export function giveTokens(request: Request, desk: TokenDesk): Promise<Response> {
  return answered(request, desk, async (client, form, issuer) => {
    const tokens = await grantedTo(client, form, issuer, desk)
    await desk.clients.used(client.id)
    return answer({
      access_token: tokens.accessToken,
      token_type: 'Bearer',
      expires_in: tokens.expiresIn,
      refresh_token: tokens.refreshToken,
      scope: tokens.scopes.join(' '),
    })
  })
}

/**
 * `POST /oauth/revoke`: 200 also for what is not known.
 *
 * @see [RFC 7009](https://datatracker.ietf.org/doc/html/rfc7009#section-2)
 */
export function takeTokenBack(request: Request, desk: TokenDesk): Promise<Response> {
  return answered(request, desk, async ({ id: clientId }, form) => {
    await desk.grants.revoke({ token: required(form, 'token'), clientId })
    return answer({})
  })
}

/**
 * `POST /oauth/device_authorization`
 *
 * @see [RFC 8628 §3.1](https://datatracker.ietf.org/doc/html/rfc8628#section-3.1)
 */
export function beginDevice(
  request: Request,
  desk: TokenDesk,
  address: string | undefined,
): Promise<Response> {
  return answered(request, desk, async (client, form, issuer) => {
    mayUse(client, DEVICE_GRANT)
    const asked = {
      client,
      scopes: scopesIn(form) ?? (['mcp'] as const),
      endpoint: endpointOf(form.getAll('resource'), issuer, desk.endpoints()),
    }
    const codes = await desk.devices.begin(asked, countedAs(address))
    const verification = issuer.at(VERIFICATION_PATH)
    return answer({
      device_code: codes.deviceCode,
      user_code: codes.userCode,
      verification_uri: verification,
      verification_uri_complete: `${verification}?user_code=${codes.userCode}`,
      expires_in: codes.expiresIn,
      interval: codes.interval,
    })
  })
}

/**
 * `POST /oauth/introspect`
 *
 * @param principal who asks, as the guard knows them.
 * @throws {GatewayError} `forbidden`, as a rejection, if they are no admin.
 * @see [RFC 7662 §2](https://datatracker.ietf.org/doc/html/rfc7662#section-2)
 */
export async function introspect(
  request: Request,
  principal: Principal,
  desk: TokenDesk,
): Promise<Response> {
  if (!principal.isAdmin) throw new GatewayError('forbidden', 'this is for admins')
  return refusing(request, desk, async () => {
    const form = await readForm(request)
    const issuer = desk.issuer(request)
    const access = await desk.grants.find(required(form, 'token'))
    // Of all others nothing is said, whatever they are.
    if (!access || !desk.isPerson(access.person.id)) return answer({ active: false })
    return answer({
      active: true,
      scope: access.scopes.join(' '),
      client_id: access.clientId,
      username: access.person.name,
      token_type: 'Bearer',
      exp: Math.floor(access.expiresAt / 1000),
      sub: access.person.id,
      aud: resourceOf(access.endpoint, 'mcp', issuer),
      iss: issuer.id,
    })
  })
}

/** Those of the scopes that are asked for which there are; undefined if there are none of them. */
export function scopesIn(form: URLSearchParams): Scope[] | undefined {
  const asked = form.get('scope')?.split(' ') ?? []
  const known = SCOPES.filter((scope) => asked.includes(scope))
  return known.length > 0 ? known : undefined
}

async function grantedTo(
  client: Client,
  form: URLSearchParams,
  issuer: Issuer,
  { grants, devices, endpoints }: TokenDesk,
): Promise<TokenSet> {
  const type = required(form, 'grant_type')
  const clientId = client.id
  switch (type) {
    case 'authorization_code':
      mayUse(client, type)
      return grants.exchange({
        code: required(form, 'code'),
        clientId,
        redirectURI: form.get('redirect_uri') ?? undefined,
        verifier: form.get('code_verifier') ?? undefined,
        endpoint: endpointIn(form, issuer, endpoints()),
      })
    // Clients that hold a refresh token may use it, also those that forgot to say so when they registered.
    case 'refresh_token':
      return grants.refresh({
        token: required(form, 'refresh_token'),
        clientId,
        scopes: scopesIn(form),
        endpoint: endpointIn(form, issuer, endpoints()),
      })
    case DEVICE_GRANT:
      mayUse(client, type)
      return devices.poll({ code: required(form, 'device_code'), clientId })
    default:
      throw new OAuthError(
        'unsupported_grant_type',
        `grant_type: expected authorization_code, refresh_token or ${DEVICE_GRANT}`,
      )
  }
}

/** Undefined if the client does not say. Whether it counts is for the grant to say, and null is none of ours. */
function endpointIn(
  form: URLSearchParams,
  issuer: Issuer,
  names: readonly string[],
): string | null | undefined {
  if (!form.has('resource')) return undefined
  try {
    return endpointOf(form.getAll('resource'), issuer, names)
  } catch {
    return null
  }
}

/** @throws {OAuthError} `unauthorized_client` */
function mayUse({ grantTypes }: Client, type: string): void {
  if (grantTypes.includes(type)) return
  throw new OAuthError('unauthorized_client', `this client did not register for ${type}`)
}

function answered(
  request: Request,
  desk: TokenDesk,
  act: (client: Client, form: URLSearchParams, issuer: Issuer) => Promise<Response>,
): Promise<Response> {
  return refusing(request, desk, async () => {
    const form = await readForm(request)
    const issuer = desk.issuer(request)
    const { headers } = request
    return act(await desk.clients.authenticate({ headers, form, issuer }), form, issuer)
  })
}

async function refusing(
  request: Request,
  { onRefused }: TokenDesk,
  act: () => Promise<Response>,
): Promise<Response> {
  try {
    return await act()
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error
    onRefused?.(error)
    return refusal(error, request)
  }
}
