/**
 * What a client says of itself, in a registration or in a document: the part of it that counts, judged.
 *
 * Clients write much else, and some of it oddly. What we have no use for is not looked at.
 *
 * @see [RFC 7591 §2](https://www.rfc-editor.org/rfc/rfc7591#section-2)
 */
import * as v from 'valibot'
import { DEVICE_GRANT } from '../grants/token.ts'
import { OAuthError } from '../oauth-error.ts'
import type { Jwk } from './assertion.ts'
import type { Client } from './client.ts'

export type Method = Client['authentication']

/** A client as it was described. */
export interface Description {
  name: string
  redirectURIs: string[]
  /** How it proves who it is: the first is what it prefers. */
  methods: [Method, ...Method[]]
  grantTypes: string[]
  keys: { set: Jwk[] } | { url: string } | undefined
}

const GRANT_TYPES = ['authorization_code', 'refresh_token', DEVICE_GRANT]
const METHODS: Method[] = ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt']

const MOST_REDIRECTS = 20
const LONGEST_NAME = 200
const MOST_KEYS = 10

/** Some send null for what they have nothing for. */
const list = (most: number) =>
  v.nullish(
    v.pipe(v.array(v.string()), v.maxLength(most, `must not have more than ${most}`)),
    () => [],
  )

/** Of a key only what is public, should there be more. */
const PublicKey = v.pipe(
  v.object({
    kty: v.string(),
    ...v.entriesFromList(
      ['kid', 'use', 'alg', 'crv', 'x', 'y', 'n', 'e'],
      v.optional(v.pipe(v.string(), v.maxLength(2048))),
    ),
  }),
  v.transform((key) => key as Jwk),
)

const Described = v.object({
  client_name: v.nullish(v.string()),
  redirect_uris: list(MOST_REDIRECTS),
  grant_types: list(50),
  token_endpoint_auth_method: v.nullish(v.string()),
  token_endpoint_auth_methods_supported: list(50),
  jwks: v.nullish(
    v.object({
      keys: v.pipe(
        v.array(PublicKey),
        v.maxLength(MOST_KEYS, `must not have more than ${MOST_KEYS}`),
      ),
    }),
  ),
  jwks_uri: v.nullish(v.pipe(v.string(), v.maxLength(2048))),
})

/**
 * @param judge why a redirect URI may not be one.
 * @throws {OAuthError} `invalid_client_metadata`, `invalid_redirect_uri`
 */
export function describe(
  written: unknown,
  judge: (redirectURI: string) => string | undefined,
): Description {
  const { success, output, issues } = v.safeParse(Described, written)
  if (!success) {
    const [{ message }] = issues
    throw refused(`${v.getDotPath(issues[0]) ?? 'it'}: ${message.slice(0, 200)}`)
  }
  const grantTypes = grantTypesOf(output.grant_types)
  const redirectURIs = [...new Set(output.redirect_uris)]
  if (redirectURIs.length === 0 && grantTypes.includes('authorization_code'))
    throw new OAuthError('invalid_redirect_uri', 'redirect_uris: at least one is needed')
  for (const uri of redirectURIs) {
    const fault = judge(uri)
    if (!fault) continue
    const shown = uri.replace(/[^\x20-\x7e]/g, '?').slice(0, 200)
    throw new OAuthError('invalid_redirect_uri', `redirect_uris: ${shown}: ${fault}`)
  }
  const methods = methodsOf(
    output.token_endpoint_auth_method,
    output.token_endpoint_auth_methods_supported,
  )
  const keys = output.jwks
    ? { set: output.jwks.keys }
    : output.jwks_uri
      ? { url: output.jwks_uri }
      : undefined
  if (methods.includes('private_key_jwt') && !keys)
    throw refused('private_key_jwt needs jwks or jwks_uri')
  return { name: nameOf(output.client_name, redirectURIs), redirectURIs, methods, grantTypes, keys }
}

/** Those that there are. Who names none that we know gets what everybody needs. */
function grantTypesOf(written: readonly string[]): string[] {
  const known = GRANT_TYPES.filter((type) => written.includes(type))
  return known.some((type) => type !== 'refresh_token')
    ? known
    : ['authorization_code', 'refresh_token']
}

/** By RFC 7591 a secret is the default, but whoever wants one says so. */
function methodsOf(
  written: string | null | undefined,
  supported: readonly string[],
): [Method, ...Method[]] {
  const others = METHODS.filter((method) => supported.includes(method) && method !== written)
  if (written === null || written === undefined) {
    const [first = 'none', ...rest] = others
    return [first, ...rest]
  }
  const method = METHODS.find((known) => known === written)
  if (!method) throw refused(`token_endpoint_auth_method: must be one of ${METHODS.join(', ')}`)
  return [method, ...others]
}

/** On one line, and with nothing in it that would change how the rest of a page is read. */
function nameOf(written: string | null | undefined, redirectURIs: readonly string[]): string {
  const name = (written ?? '').replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '').trim()
  if (name.length > LONGEST_NAME)
    throw refused(`client_name: must not have more than ${LONGEST_NAME} characters`)
  const host = redirectURIs[0] === undefined ? '' : new URL(redirectURIs[0]).host
  return name || host || 'a device'
}

function refused(message: string): OAuthError {
  return new OAuthError('invalid_client_metadata', message)
}
