/**
 * Which endpoint a token is for, as the `resource` of a request says it (RFC 8707), and as documents say it.
 *
 * An audience is the name of a server or group, '' for all servers merged (`/mcp`), or '*' for every endpoint. Clients
 * write resources loosely: with a slash at the end, the base URL for a path below it. So much is forgiven, and nothing of
 * another host.
 *
 * @see [RFC 8707](https://datatracker.ietf.org/doc/html/rfc8707#section-2)
 */
import type { Issuer } from './issuer.ts'
import { OAuthError } from './oauth-error.ts'

/** The audience that fits every endpoint. */
export const EVERYWHERE = '*'

export type EndpointKind = 'mcp' | 'sse'

const LONGEST = 2048

/**
 * The audience that a client asks for; without `resource` every endpoint.
 *
 * Several must mean the same, or everything be among them: a token for two endpoints could only be one for all, and that is
 * more than was asked for.
 *
 * @param names of all servers and groups.
 * @throws {OAuthError} `invalid_target`, if it is not ours, or there is no such endpoint.
 */
export function endpointOf(
  resource: string | readonly string[] | undefined,
  issuer: Issuer,
  names: readonly string[],
): string {
  const resources = typeof resource === 'string' ? [resource] : (resource ?? [])
  const endpoints = new Set(resources.map((one) => endpointAt(one, issuer, names)))
  if (endpoints.size === 0 || endpoints.has(EVERYWHERE)) return EVERYWHERE
  const [endpoint, ...others] = endpoints
  if (others.length > 0) {
    throw new OAuthError(
      'invalid_target',
      'resource: only one endpoint at a time, or all of them by the base URL',
    )
  }
  return endpoint!
}

/** The resource that a client reaches by this endpoint: its URL, as a client would type it. */
export function resourceOf(endpoint: string, kind: EndpointKind, issuer: Issuer): string {
  if (endpoint === EVERYWHERE) return issuer.at('')
  return issuer.at(`${endpoint && `/${encodeURIComponent(endpoint)}`}/${kind}`)
}

/**
 * The audience of a token, if `asked` is what a client asks for out of what it was `granted`; undefined if that is not part
 * of it; null is what is none of ours. Who asks for everything is given what there is: some clients name the base URL whatever they were sent to.
 */
export function narrowed(granted: string, asked: string | null | undefined): string | undefined {
  if (asked === undefined || asked === EVERYWHERE) return granted
  if (asked === null) return undefined
  return granted === EVERYWHERE || granted === asked ? asked : undefined
}

/** Whether a token with this audience is good at an endpoint. */
export function isFor(audience: string, endpoint: string): boolean {
  return audience === EVERYWHERE || audience === endpoint
}

function endpointAt(resource: string, issuer: Issuer, names: readonly string[]): string {
  const url = resource.length <= LONGEST ? URL.parse(resource) : null
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.hash) {
    throw new OAuthError('invalid_target', 'resource: must be a URL of this gateway')
  }
  // A default port and the case of the host are gone by now.
  if (url.origin !== new URL(issuer.id).origin) {
    throw new OAuthError('invalid_target', 'resource: is on another host than this gateway')
  }
  const place = placeOf(url.pathname, issuer.path)
  if (place === '') return EVERYWHERE
  if (place === '/mcp' || place === '/sse') return ''
  const [, segment] = /^\/([^/]+)(?:\/(?:mcp|sse))?$/.exec(place ?? '') ?? []
  const name = segment === undefined ? undefined : decodedName(segment)
  if (name !== undefined && names.includes(name)) return name
  throw new OAuthError('invalid_target', 'resource: there is no such endpoint')
}

/** What comes after the base path, without a slash at its end; undefined if it is elsewhere. The bare origin is the base, too. */
function placeOf(pathname: string, base: string): string | undefined {
  const path = pathname.replace(/\/$/, '')
  if (path === '' || path === base) return ''
  return path.startsWith(`${base}/`) ? path.slice(base.length) : undefined
}

function decodedName(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}
