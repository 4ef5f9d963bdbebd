/**
 * Where people may be sent back to with what a client asked for. All of it is pure.
 *
 * Whoever may name the place gets the code, and with it what the person may do: so places are compared as texts, and not
 * as anything that some parser makes of them.
 *
 * @see [OAuth 2.1 §2.3](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-v2-1#section-2.3)
 */
import { redirectFault } from '../../config/redirect.ts'
import type { Client } from './client.ts'

/**
 * Whether a client may have people sent back there: if it is one of its own, to the byte. Of one on the machine of its
 * user only the port may differ, which programs get when they start.
 *
 * @see [RFC 8252 §7.3](https://www.rfc-editor.org/rfc/rfc8252#section-7.3)
 */
export function allowsRedirect(
  { redirectURIs }: Pick<Client, 'redirectURIs'>,
  uri: string,
): boolean {
  if (redirectFault(uri)) return false
  if (redirectURIs.includes(uri)) return true
  const asked = loopback(uri)
  return asked !== undefined && redirectURIs.some((own) => loopback(own) === asked)
}

/** Whether it leads to a program on the machine of its user, over http. */
export function isLoopbackRedirect(uri: string): boolean {
  return loopback(uri) !== undefined && !redirectFault(uri)
}

/**
 * Why a client that nobody knows may not be sent back to there; undefined if it may: to the machine of its user, and where
 * well-known clients are, or those that are configured.
 *
 * @param allowed exact `https:` URIs, or `scheme:` for all of a private scheme: `auth.oauth.redirectURIs`.
 */
export function judgeRedirect(uri: string, allowed: readonly string[]): string | undefined {
  const fault = redirectFault(uri)
  if (fault) return fault
  if (loopback(uri) !== undefined) return undefined
  const scheme = uri.slice(0, uri.indexOf(':') + 1)
  if (scheme === 'http:') return 'http: is for loopback addresses only'
  if (scheme === 'https:') {
    if (WELL_KNOWN.some((known) => known.test(uri)) || allowed.includes(uri)) return undefined
    return 'it is not among auth.oauth.redirectURIs'
  }
  if (SCHEMES.includes(scheme) || allowed.includes(scheme)) return undefined
  return `the scheme ${scheme} is not among auth.oauth.redirectURIs`
}

/** Those of a document, which says for itself where its client is. Schemes are nobody's: any program can take one. */
export function judgeDocumented(uri: string, allowed: readonly string[]): string | undefined {
  return uri.startsWith('https:') ? redirectFault(uri) : judgeRedirect(uri, allowed)
}

/** What is the same whatever the port: host, path and query. */
function loopback(uri: string): string | undefined {
  const [, host, port = '1', rest] =
    /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(?::(\d{1,5}))?((?:[/?].*)?)$/.exec(uri) ?? []
  if (host === undefined || rest === undefined || Number(port) < 1 || Number(port) > 65535)
    return undefined
  return host + (rest.startsWith('/') ? rest : `/${rest}`)
}

const WELL_KNOWN = [
  /^https:\/\/claude\.(?:ai|com)\/api\/mcp\/auth_callback$/,
  /^https:\/\/chatgpt\.com\/connector_platform_oauth_redirect$/,
  /^https:\/\/chatgpt\.com\/connector\/oauth\/[\w-]{1,256}$/,
  /^https:\/\/www\.cursor\.com\/agents\/mcp\/oauth\/callback$/,
  /^https:\/\/(?:insiders\.)?vscode\.dev\/redirect$/,
]

/** Cursor's, and those of the two editions of VS Code. */
const SCHEMES = ['cursor:', 'vscode:', 'vscode-insiders:']
