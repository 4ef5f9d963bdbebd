/**
 * Clients that nobody knows, of which no more is asked than that they run on the machine of whoever lets them in: an older
 * gateway knew no others. All of it is pure.
 */
import { isLoopback } from '../../addresses.ts'
import type { Config } from '../../config/schema.ts'
import type { Client } from './client.ts'
import { isOurs, isPlainId } from './client-id.ts'
import { isLoopbackRedirect } from './redirects.ts'

/**
 * The client that an id nobody knows stands for; undefined if it stands for none.
 *
 * @param redirectURI where it wants people to be sent. At the token endpoint there may be none: what it comes with there
 *   was given to this very id.
 */
export function unverified(
  id: string,
  redirectURI: string | undefined,
  config: Config,
): Client | undefined {
  // What had registered, and is forgotten, shall register again.
  if (!isPlainId(id) || isOurs(id) || !acceptsUnverified(config)) return undefined
  if (redirectURI !== undefined && !isLoopbackRedirect(redirectURI)) return undefined
  return {
    id,
    name: id,
    kind: 'unverified',
    redirectURIs: redirectURI === undefined ? [] : [redirectURI],
    authentication: 'none',
    grantTypes: ['authorization_code', 'refresh_token'],
  }
}

/** Unless it is said, only where nobody but who sits at this machine can come: through a proxy, or a tunnel, others can. */
function acceptsUnverified({ gateway, auth: { oauth } }: Config): boolean {
  if (!oauth) return false
  const { host, trustedProxies, baseURL } = gateway
  const isHere =
    isLoopback(host) &&
    trustedProxies.length === 0 &&
    (baseURL === undefined || isLoopback(new URL(baseURL).hostname))
  return oauth.acceptUnregisteredLoopbackClients ?? isHere
}
