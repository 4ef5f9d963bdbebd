/**
 * The endpoint where clients register themselves.
 *
 * @see [RFC 7591 §3](https://www.rfc-editor.org/rfc/rfc7591#section-3)
 */

import { type Clients, type Registration, TooManyRegistrations } from '../clients.ts'
import { OAuthError } from '../oauth-error.ts'
import { answer, readText } from '../wire.ts'
import { SCOPES } from './client.ts'

const LONGEST_BODY = 64 * 1024

/**
 * The answer to a POST, whatever it holds. CORS is up to who routes.
 *
 * @param address of who asks, undefined if it is not known: see `addressOf`.
 */
export async function registerClient(
  clients: Pick<Clients, 'register'>,
  request: Request,
  address: string | undefined,
): Promise<Response> {
  try {
    const body = await readObject(request)
    return answer(information(body, await clients.register(body, { address })), 201)
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error
    const { code, message, status } = error
    const response = answer(
      { error: code, error_description: message },
      code === 'access_denied' ? 403 : status,
    )
    if (error instanceof TooManyRegistrations)
      response.headers.set('retry-after', String(Math.ceil(error.wait / 1000)))
    return response
  }
}

/** What counts of what it said, and what it was given. */
function information(body: Record<string, unknown>, registration: Registration): object {
  const { id, secret, registeredAt, description } = registration
  const { name, redirectURIs, grantTypes, methods, keys } = description
  return {
    client_id: id,
    client_id_issued_at: Math.floor(registeredAt / 1000),
    // For ever: it ends with its client.
    ...(secret !== undefined && { client_secret: secret, client_secret_expires_at: 0 }),
    client_name: name,
    redirect_uris: redirectURIs,
    grant_types: grantTypes,
    response_types: grantTypes.includes('authorization_code') ? ['code'] : [],
    token_endpoint_auth_method: methods[0],
    ...(keys && ('set' in keys ? { jwks: { keys: keys.set } } : { jwks_uri: keys.url })),
    ...(typeof body.scope === 'string' && { scope: scopesOf(body.scope) }),
  }
}

function scopesOf(written: string): string {
  const asked = written.split(' ')
  return SCOPES.filter((scope) => asked.includes(scope)).join(' ') || SCOPES[0]
}

/** @throws {OAuthError} */
async function readObject(request: Request): Promise<Record<string, unknown>> {
  // Any page can send other types without asking, from where its reader is.
  if (!/^application\/json\s*(?:;|$)/i.test(request.headers.get('content-type') ?? ''))
    throw new OAuthError('invalid_request', 'Content-Type: expected application/json')
  let body: unknown
  try {
    body = JSON.parse(await readText(request, LONGEST_BODY))
  } catch (error) {
    if (error instanceof OAuthError) throw error
    throw new OAuthError('invalid_client_metadata', 'the body is not JSON')
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new OAuthError('invalid_client_metadata', 'the body is not a JSON object')
  return body as Record<string, unknown>
}
