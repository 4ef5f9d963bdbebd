/**
 * What a client without sufficient proof is told to do: the header `WWW-Authenticate`.
 *
 * @see [RFC 6750 §3](https://datatracker.ietf.org/doc/html/rfc6750#section-3),
 *   [RFC 9728 §5.1](https://datatracker.ietf.org/doc/html/rfc9728#section-5.1)
 */
import { GatewayError } from '../errors.ts'

export interface Challenge {
  /** Missing if the client has brought nothing that could be wrong. */
  error?: 'invalid_token' | 'insufficient_scope'
  error_description?: string
  scope?: string
  /** URL of the document about what was asked for. */
  resource_metadata?: string
}

export function challenge(parameters: Challenge): string {
  const said = Object.entries(parameters).map(([name, value]) => `${name}=${quoted(value)}`)
  return ['Bearer', said.join(', ')].filter(Boolean).join(' ')
}

/**
 * The same error, and its challenge leads to where clients find out how to log in. An error without a challenge stays as it is.
 *
 * @param metadata URL of the document about the resource that was asked for.
 */
export function withMetadata(error: GatewayError, metadata: string): GatewayError {
  const { code, message, headers, server, hint, cause } = error
  const bare = headers?.['www-authenticate']
  if (bare === undefined || !/^Bearer\b/.test(bare)) return error
  const led = `resource_metadata=${quoted(metadata)}`
  const detail = { headers: { ...headers, 'www-authenticate': joined(bare, led) }, cause }
  return new GatewayError(code, message, {
    ...detail,
    ...(server !== undefined && { server }),
    ...(hint !== undefined && { hint }),
  })
}

function joined(bare: string, parameter: string): string {
  return bare === 'Bearer' ? `Bearer ${parameter}` : `${bare}, ${parameter}`
}

/** A quoted-string (RFC 9110 §5.6.4) of what can stand in a header. */
function quoted(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '').replace(/["\\]/g, '\\$&')}"`
}
