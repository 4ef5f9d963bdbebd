/**
 * Judges what a client asks of a person. Nothing is done here.
 *
 * Two kinds of refusal: as long as it is not sure that the redirect URI belongs to the client, they are for the person alone;
 * from then on they are the client's business, and go back to it.
 *
 * @see [RFC 6749 §4.1.1](https://datatracker.ietf.org/doc/html/rfc6749#section-4.1.1)
 * @see [RFC 9700 §2.1](https://datatracker.ietf.org/doc/html/rfc9700#section-2.1)
 */
import { type Client, SCOPES, type Scope } from '../clients/client.ts'
import { allowsRedirect } from '../clients/redirects.ts'
import { OAuthError, type OAuthErrorCode } from '../oauth-error.ts'
import type { Person } from '../people/person.ts'

/** What a client asks for, and may ask for. */
export interface Asked {
  client: Client
  /** Where the answer goes. */
  redirectURI: string
  scopes: Scope[]
  /** The audience, as of `Approval`. */
  endpoint: string
  challenge: string
  state: string | undefined
  /** The words of `prompt`. */
  prompts: ReadonlySet<string>
  /** In seconds. */
  maxAge: number | undefined
}

export interface Judges {
  clients: { find(id: string, redirectURI?: string): Promise<Client | undefined> }
  /** @throws {OAuthError} `invalid_target` */
  endpointOf: (resources: readonly string[]) => string
}

/** OpenID Connect has these for who must not show pages. */
export type AnswerCode = OAuthErrorCode | 'login_required' | 'consent_required'

/** It is not allowed. */
export class AuthorizationFault extends Error {
  override name = 'AuthorizationFault'
  readonly code: AnswerCode
  /** Where to tell it; undefined if only the person may be told. */
  readonly back: { redirectURI: string; state: string | undefined } | undefined

  constructor(code: AnswerCode, message: string, back?: AuthorizationFault['back']) {
    super(message)
    this.code = code
    this.back = back
  }
}

/** The longest value of each parameter; what is not ours is not looked at. */
const LONGEST: Record<string, number> = {
  client_id: 2048,
  redirect_uri: 2048,
  response_type: 64,
  response_mode: 64,
  scope: 2048,
  state: 8192,
  code_challenge: 128,
  code_challenge_method: 16,
  resource: 2048,
  prompt: 64,
  max_age: 10,
}
const MOST_RESOURCES = 10

/** @throws {AuthorizationFault} as a rejection. */
export async function judge(query: URLSearchParams, judges: Judges): Promise<Asked> {
  const { client, redirectURI } = await clientAndPlace(query, judges)
  const { state, fault } = stateOf(query)
  const refuse = (code: AnswerCode, message: string) => {
    throw new AuthorizationFault(code, message, { redirectURI, state })
  }
  if (fault) refuse('invalid_request', fault)
  for (const name of Object.keys(LONGEST)) {
    const wrong = misfit(query, name)
    if (wrong) refuse('invalid_request', wrong)
  }
  const asked = (name: string) => query.get(name) || undefined
  if (asked('response_type') === undefined) refuse('invalid_request', 'response_type is missing')
  if (asked('response_type') !== 'code') {
    refuse('unsupported_response_type', 'response_type: only "code" is known')
  }
  if ((asked('response_mode') ?? 'query') !== 'query') {
    refuse('invalid_request', 'response_mode: only "query" is known')
  }
  if (!client.grantTypes.includes('authorization_code')) {
    refuse('unauthorized_client', 'this client is not registered for authorization codes')
  }
  const challenge = asked('code_challenge') ?? ''
  if (challenge === '') refuse('invalid_request', 'code_challenge is missing: PKCE is needed')
  // Missing means "plain" (RFC 7636 §4.3).
  if (asked('code_challenge_method') !== 'S256') {
    refuse('invalid_request', 'code_challenge_method: expected S256')
  }
  if (!/^[\w-]{43}$/.test(challenge)) {
    refuse('invalid_request', 'code_challenge: expected 43 characters of base64url')
  }
  const maxAge = asked('max_age')
  if (maxAge !== undefined && !/^\d+$/.test(maxAge)) {
    refuse('invalid_request', 'max_age: expected a number of seconds')
  }
  const prompts = new Set((asked('prompt') ?? '').split(' ').filter(Boolean))
  if (prompts.has('none') && prompts.size > 1) {
    refuse('invalid_request', 'prompt: "none" stands alone')
  }
  let endpoint = ''
  try {
    endpoint = judges.endpointOf(query.getAll('resource').filter(Boolean))
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error
    refuse(error.code, error.message)
  }
  return {
    client,
    redirectURI,
    scopes: scopesOf(asked('scope') ?? ''),
    endpoint,
    challenge,
    state,
    prompts,
    maxAge: maxAge === undefined ? undefined : Number(maxAge),
  }
}

/** What is left of the scopes for this person: only admins can let a client be one. */
export function grantable(scopes: readonly Scope[], { isAdmin }: Person): Scope[] {
  return scopes.filter((scope) => scope !== 'admin' || isAdmin)
}

/** @throws {AuthorizationFault} for the person alone. */
async function clientAndPlace(query: URLSearchParams, { clients }: Judges) {
  for (const name of ['client_id', 'redirect_uri']) {
    const wrong = misfit(query, name)
    if (wrong) throw new AuthorizationFault('invalid_request', wrong)
  }
  const id = query.get('client_id') || undefined
  if (id === undefined) throw new AuthorizationFault('invalid_request', 'client_id is missing')
  const sent = query.get('redirect_uri') || undefined
  let client: Client | undefined
  try {
    client = await clients.find(id, sent)
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error
    throw new AuthorizationFault(error.code, error.message)
  }
  if (!client) throw new AuthorizationFault('invalid_client', 'client_id: it is not known here')
  const { redirectURIs } = client
  const redirectURI = sent ?? (redirectURIs.length === 1 ? redirectURIs[0] : undefined)
  if (redirectURI === undefined) {
    throw new AuthorizationFault('invalid_request', 'redirect_uri is missing')
  }
  if (!allowsRedirect(client, redirectURI)) {
    throw new AuthorizationFault(
      'invalid_redirect_uri',
      'redirect_uri: it is not one that this client has registered',
    )
  }
  return { client, redirectURI }
}

/** One that is not good is not sent back either. */
function stateOf(query: URLSearchParams): { state: string | undefined; fault?: string } {
  const fault = misfit(query, 'state')
  return fault ? { state: undefined, fault } : { state: query.get('state') ?? undefined }
}

function misfit(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name)
  const most = name === 'resource' ? MOST_RESOURCES : 1
  if (values.length > most)
    return `${name} is there more than ${most === 1 ? 'once' : `${most} times`}`
  return values.some((value) => value.length > LONGEST[name]!) ? `${name} is too long` : undefined
}

/** Those that are not known are left out, as many clients ask for all they have ever heard of; `mcp` is always meant. */
function scopesOf(scope: string): Scope[] {
  const asked = new Set(scope.split(' '))
  return SCOPES.filter((known) => known === 'mcp' || asked.has(known))
}
