/**
 * The documents by which clients find out how to log in. Pure: from the issuer and the path that was asked for.
 *
 * @see [RFC 8414](https://datatracker.ietf.org/doc/html/rfc8414#section-2),
 *   [RFC 9728](https://datatracker.ietf.org/doc/html/rfc9728#section-2)
 */
import { ALGORITHMS } from './clients/assertion.ts'
import { DEVICE_GRANT } from './grants/token.ts'
import type { Issuer } from './issuer.ts'
import { type EndpointKind, EVERYWHERE, resourceOf } from './resource.ts'

/** Which ways in there are, besides those that are always there. */
export interface WaysIn {
  registration: boolean
  clientDocuments: boolean
}

const KEYS = '/.well-known/jwks.json'

const PATHS = {
  authorization_endpoint: '/oauth/authorize',
  token_endpoint: '/oauth/token',
  revocation_endpoint: '/oauth/revoke',
  introspection_endpoint: '/oauth/introspect',
  device_authorization_endpoint: '/oauth/device_authorization',
}

/**
 * The document that is at a path; undefined if none is.
 *
 * @param path from `/.well-known/` on. What it names need not exist: nobody is told that before they log in.
 */
export function documentAt(path: string, issuer: Issuer, ways: WaysIn): object | undefined {
  if (path === KEYS) return { keys: [] }
  const [, what, rest = ''] =
    /^\/\.well-known\/(oauth-authorization-server|openid-configuration|oauth-protected-resource)(\/.*)?$/.exec(
      path,
    ) ?? []
  if (what === undefined) return undefined
  // Where the issuer has a path, clients write it behind the name of the document.
  const isBelow = rest === issuer.path || rest.startsWith(`${issuer.path}/`)
  const place = (isBelow ? rest.slice(issuer.path.length) : rest).replace(/\/$/, '')
  if (what === 'oauth-protected-resource') {
    const [, segment, kind] = /^(?:\/([^/]+))?\/(mcp|sse)$/.exec(place) ?? []
    if (place === '') return protectedResource(resourceOf(EVERYWHERE, 'mcp', issuer), issuer)
    if (kind === undefined) return undefined
    const name = segment === undefined ? '' : `/${segment}`
    return protectedResource(issuer.at(`${name}/${kind}`), issuer)
  }
  if (place !== '') return undefined
  const document = authorizationServer(issuer, ways)
  return what === 'openid-configuration' ? { ...document, ...openID(issuer) } : document
}

/** An answer that may be kept for five minutes. */
export function publish(document: object): Response {
  return Response.json(document, { headers: { 'cache-control': 'public, max-age=300' } })
}

/** The URL of the document about an endpoint, as challenges name it. Without `kind`, of the gateway as a whole. */
export function metadataURL(issuer: Issuer, endpoint: string, kind?: EndpointKind): string {
  const document = '/.well-known/oauth-protected-resource'
  if (!kind) return issuer.at(document)
  return issuer.at(`${document}${endpoint && `/${encodeURIComponent(endpoint)}`}/${kind}`)
}

function authorizationServer(issuer: Issuer, { registration, clientDocuments }: WaysIn): object {
  const methods = ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt']
  return {
    issuer: issuer.id,
    ...Object.fromEntries(Object.entries(PATHS).map(([name, path]) => [name, issuer.at(path)])),
    ...(registration && { registration_endpoint: issuer.at('/oauth/register') }),
    // What every client needs. Some ask for all that they find here, and `admin` is not for them.
    scopes_supported: ['mcp'],
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    grant_types_supported: ['authorization_code', 'refresh_token', DEVICE_GRANT],
    code_challenge_methods_supported: ['S256'],
    token_endpoint_auth_methods_supported: methods,
    token_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
    revocation_endpoint_auth_methods_supported: methods,
    revocation_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
    authorization_response_iss_parameter_supported: true,
    client_id_metadata_document_supported: clientDocuments,
  }
}

/** What strict parsers of OpenID want to see. There are no ID tokens, and nobody can ask for one. */
function openID(issuer: Issuer): object {
  return {
    jwks_uri: issuer.at(KEYS),
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
  }
}

function protectedResource(resource: string, issuer: Issuer): object {
  return {
    resource,
    authorization_servers: [issuer.id],
    scopes_supported: ['mcp'],
    bearer_methods_supported: ['header'],
    resource_name: 'mcp-gateway',
  }
}
