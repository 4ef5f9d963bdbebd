/**
 * What people see of their own logins, and how a client ends them: `GET /oauth/status`, `POST /oauth/logout`.
 *
 * An older gateway had both, open to everybody and for whomever was named. Here only an admin may name somebody else. Who asks
 * is known by a header that no web page can make a browser send.
 */
import type { Principal } from '../caller.ts'
import { GatewayError } from '../errors.ts'
import type { GrantSummary, Grants } from './grants.ts'
import { OAuthError } from './oauth-error.ts'
import { answer, readForm } from './wire.ts'

/** `user_id`: of whom, instead of oneself; by name, or by id. */
export async function showStatus(
  { url }: Request,
  principal: Principal,
  grants: Grants,
): Promise<Response> {
  const id = whose(new URL(url).searchParams.get('user_id'), principal)
  const own = await grants.grantsOf(id)
  const latest = own.reduce((end, { expiresAt }) => Math.max(end, expiresAt), 0)
  return answer({
    userId: id,
    hasSession: own.length > 0,
    isAuthenticated: principal.kind !== 'anonymous',
    tokens:
      own.length === 0
        ? null
        : {
            hasAccessToken: true,
            hasRefreshToken: true,
            expiresAt: new Date(latest).toISOString(),
            tokenType: 'Bearer',
          },
    grants: own.map(shownGrant),
  })
}

/**
 * Ends the login that the request itself came with; with `all`, every one of this person. `user_id` as for the status, and
 * then it is every one.
 *
 * @throws {OAuthError} `invalid_request`, as a rejection.
 */
export async function logOut(
  request: Request,
  principal: Principal,
  grants: Grants,
): Promise<Response> {
  const form = request.headers.has('content-type') ? await readForm(request) : new URLSearchParams()
  const named = form.get('user_id')
  const id = whose(named, principal)
  const isAll = named !== null || form.get('all') === 'true'
  const own = isAll ? (await grants.grantsOf(id)).map((grant) => grant.id) : [principal.grantId]
  const ended = await Promise.all(own.map((grant) => grant && grants.revokeGrant(grant)))
  const count = ended.filter(Boolean).length
  if (count === 0) throw new OAuthError('invalid_request', 'there is no login that could be ended')
  return answer({ success: true, message: count === 1 ? 'logged out' : `ended ${count} logins` })
}

/** @throws {GatewayError} `forbidden` */
function whose(named: string | null, { id, name, isAdmin }: Principal): string {
  // The older gateway called everybody so who did not say.
  if (named === null || named === 'default' || named === id || named === name) return id
  if (!isAdmin) throw new GatewayError('forbidden', 'only an admin may ask for somebody else')
  return /^\w+:/.test(named) ? named : `user:${named}`
}

function shownGrant({ id, client, scopes, endpoint, createdAt, usedAt, expiresAt }: GrantSummary) {
  return {
    id,
    client,
    scopes,
    endpoint,
    createdAt: new Date(createdAt).toISOString(),
    usedAt: new Date(usedAt).toISOString(),
    expiresAt: new Date(expiresAt).toISOString(),
  }
}
