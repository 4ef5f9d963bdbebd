/**
 * One grant: what a person lets a client do, and all that the client holds for it. One record, so that every rule about it is
 * one decision, which comes to be as a whole or not at all.
 *
 *     approved ──code──▶ live ──refresh──▶ live …          gone: revoked, or expired; nothing comes back from there
 *        │                │
 *        └─ 60 s, 5 wrong └─ the code again, or a refresh token older than the previous one
 *           attempts: gone   (someone else has them, too): gone
 *
 * The refresh token that came last is the *current* one, the one that it was made from is the *previous* one. Who shows the
 * current one is given its successor. Who shows the previous one did not hear our answer, or asks beside others with one token:
 * for a minute they are given the same successor as whoever was first, and later, while nobody has used that, another one in
 * its place. Should two ever hold what only one should, one of them comes with an older one.
 *
 * Decisions are pure: what is random comes in.
 */
import type { Scope } from '../clients/client.ts'
import { OAuthError } from '../oauth-error.ts'
import { narrowed } from '../resource.ts'
import { digest, type Shown, successor } from './credential.ts'

export interface Named {
  id: string
  name: string
}

/** What a person has agreed to. */
export interface Approval {
  client: Named
  person: Named
  scopes: readonly Scope[]
  /** The audience: '*' all endpoints, '' the aggregate, or the name of a server or group. */
  endpoint: string
}

/** What of an approval makes the code useless for everybody but who asked for it. */
export interface Binding {
  redirectURI: string
  /** S256 of the verifier. */
  challenge: string
}

/** As it is kept, in the bucket `grants`. Digests are of the whole credential. */
export interface Grant {
  client: Named
  person: Named
  scopes: Scope[]
  endpoint: string
  createdAt: number
  usedAt: number
  /** It stays when it is used, so that a second time is noticed. */
  code?: Binding & { digest: string; expiresAt: number; failures: number }
  /** Missing until the code is used. */
  refresh?: {
    current: string
    previous?: string
    /** Digest of what all refresh tokens of this grant have in common. */
    family?: string
    /** From it and the previous token the current one is made. */
    salt: string
    rotatedAt: number
    expiresAt: number
  }
  /** Those that are still good, the newest last. */
  access: { digest: string; scopes: Scope[]; endpoint: string; expiresAt: number }[]
}

/** In ms. */
export interface Lifetimes {
  access: number
  /** Since it was last used. */
  refresh: number
}

/** What comes of an attempt: the grant as it is from now on, undefined if it is gone; and tokens, or why there are none. */
export type Decision = { next: Grant | undefined } & ({ tokens: TokenSet } | { error: OAuthError })

/** What a client is given. Handle with care: these are the tokens themselves. */
export interface TokenSet {
  accessToken: string
  refreshToken: string
  /** In s. */
  expiresIn: number
  scopes: readonly Scope[]
}

/** What new tokens would be made of; it is there before it is known whether any are. */
export interface Fresh {
  access: string
  refresh: string
  salt: string
  lifetimes: Lifetimes
  now: number
}

export interface CodeAttempt {
  code: string
  clientId: string
  redirectURI?: string | undefined
  verifier?: string | undefined
  /** Null if it is none of ours; undefined if the client does not say. */
  endpoint?: string | null | undefined
}

export interface RefreshAttempt {
  token: string
  shown: Shown
  clientId: string
  endpoint?: string | null | undefined
  scopes?: readonly Scope[] | undefined
}

export const CODE_LIFETIME = 60_000
/** With a verifier that was chosen badly, guessing would be worth it. */
const ATTEMPTS = 5
/** How long whoever comes with the previous token is given the same successor, in ms. */
const MERCY = 60_000
/** So many access tokens one grant may have at once. If it needs more, its client keeps none of them. */
const ACCESS_TOKENS = 64

/** What becomes of a grant when a client shows its code. */
export function exchanged(grant: Grant | undefined, attempt: CodeAttempt, fresh: Fresh): Decision {
  const code = grant?.code
  if (!code || code.digest !== digest(attempt.code)) return refused(grant, 'the code is not known')
  if (grant.refresh) return refused(undefined, 'the code came again: its grant is revoked')
  if (fresh.now >= code.expiresAt) return refused(undefined, 'the code has expired')
  const endpoint = narrowed(grant.endpoint, attempt.endpoint)
  const wrong = whatIsWrong(grant, code, attempt)
  if (wrong || endpoint === undefined) {
    const failures = code.failures + 1
    const next = failures < ATTEMPTS ? { ...grant, code: { ...code, failures } } : undefined
    return wrong ? refused(next, wrong) : { next, error: OTHER_TARGET }
  }
  return opened(grant, endpoint, fresh)
}

/** A grant that has its first tokens now. */
export function opened(
  grant: Grant,
  endpoint: string,
  fresh: Fresh,
): { next: Grant; tokens: TokenSet } {
  const { scopes } = grant
  const { now, lifetimes } = fresh
  const refresh = {
    current: digest(fresh.refresh),
    family: digest(familyOf(fresh.refresh)),
    salt: fresh.salt,
    rotatedAt: now,
    expiresAt: now + lifetimes.refresh,
  }
  const next = withAccess({ ...grant, refresh, usedAt: now }, scopes, endpoint, fresh)
  return { next, tokens: tokensOf(fresh, fresh.refresh, scopes) }
}

/**
 * What becomes of a grant when a client shows a refresh token.
 *
 * @see [OAuth 2.1 §4.3.1](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-v2-1#section-4.3.1)
 */
export function refreshed(
  grant: Grant | undefined,
  attempt: RefreshAttempt,
  fresh: Fresh,
): Decision {
  const { now, lifetimes } = fresh
  const refresh = grant?.refresh
  if (!refresh) return refused(grant, 'the refresh token is not known')
  const shownDigest = digest(attempt.token)
  const isCurrent = shownDigest === refresh.current
  if (!isCurrent && shownDigest !== refresh.previous) {
    return isOfFamily(attempt.shown, refresh)
      ? refused(undefined, 'an old refresh token came again: its grant is revoked')
      : refused(grant, 'the refresh token is not known')
  }
  if (grant.client.id !== attempt.clientId) return refused(grant, 'the token is of another client')
  if (now >= refresh.expiresAt) return refused(grant, 'the refresh token has expired')
  const scopes = attempt.scopes ?? grant.scopes
  if (scopes.length === 0 || scopes.some((scope) => !grant.scopes.includes(scope))) {
    return {
      next: grant,
      error: new OAuthError('invalid_scope', 'scope: only what was granted, or less'),
    }
  }
  const endpoint = narrowed(grant.endpoint, attempt.endpoint)
  if (endpoint === undefined) return { next: grant, error: OTHER_TARGET }
  const isSame = !isCurrent && now - refresh.rotatedAt < MERCY
  const salt = isSame ? refresh.salt : fresh.salt
  const token = successor(attempt.token, salt, attempt.shown.grant)
  const rotated = {
    current: digest(token),
    previous: shownDigest,
    family: digest(familyOf(token)),
    salt,
    rotatedAt: isSame ? refresh.rotatedAt : now,
    expiresAt: now + lifetimes.refresh,
  }
  const next = withAccess({ ...grant, refresh: rotated, usedAt: now }, scopes, endpoint, fresh)
  return { next, tokens: tokensOf(fresh, token, scopes) }
}

/** What becomes of a grant when a client gives back one of its tokens: with the refresh token goes everything. */
export function returned(
  grant: Grant,
  { clientId, token, shown }: { clientId: string; token: string; shown: Shown },
): Grant | undefined {
  if (grant.client.id !== clientId) return grant
  const { current, previous } = grant.refresh ?? {}
  const known = digest(token)
  if (known === current || known === previous || isOfFamily(shown, grant.refresh)) return undefined
  return { ...grant, access: grant.access.filter((access) => access.digest !== known) }
}

/** From when on nothing of it is good. */
export function endOf({ code, refresh, access }: Grant): number {
  if (!refresh && code) return code.expiresAt
  return Math.max(refresh?.expiresAt ?? 0, ...access.map(({ expiresAt }) => expiresAt))
}

/** RFC 7636 §4.1 */
export function isVerifier(text: string): boolean {
  return /^[A-Za-z0-9\-._~]{43,128}$/.test(text)
}

const OTHER_TARGET = new OAuthError('invalid_target', 'resource: is not what was granted')

/** To clients it is one error for every reason. */
export function invalidGrant(reason: string): OAuthError {
  const message = 'it is not known here, has expired, was used before, or is not for this client'
  return new OAuthError('invalid_grant', message, reason)
}

function refused(next: Grant | undefined, reason: string): Decision {
  return { next, error: invalidGrant(reason) }
}

function whatIsWrong(
  { client }: Grant,
  { challenge, redirectURI }: Binding,
  attempt: CodeAttempt,
): string | undefined {
  if (client.id !== attempt.clientId) return 'the code is of another client'
  // OAuth 2.1 does not ask for it any more, because of the verifier.
  if (attempt.redirectURI !== undefined && attempt.redirectURI !== redirectURI) {
    return 'redirect_uri is not the one of the authorization request'
  }
  const { verifier } = attempt
  if (verifier === undefined || !isVerifier(verifier))
    return 'code_verifier is missing or malformed'
  const made = Bun.SHA256.hash(verifier, 'base64').replace(/=+$/, '')
  const isRight = made.replaceAll('+', '-').replaceAll('/', '_') === challenge
  return isRight ? undefined : 'code_verifier does not fit'
}

function withAccess(
  grant: Grant,
  scopes: readonly Scope[],
  endpoint: string,
  { access, lifetimes, now }: Fresh,
): Grant {
  const good = grant.access.filter(({ expiresAt }) => expiresAt > now)
  const expiresAt = now + lifetimes.access
  const added = { digest: digest(access), scopes: [...scopes], endpoint, expiresAt }
  return { ...grant, access: [...good, added].slice(-ACCESS_TOKENS) }
}

function tokensOf(
  { access, lifetimes }: Fresh,
  refreshToken: string,
  scopes: readonly Scope[],
): TokenSet {
  const expiresIn = Math.floor(lifetimes.access / 1000)
  return { accessToken: access, refreshToken, expiresIn, scopes }
}

/** Whether it is a refresh token that was ours once. What was imported is: the digest of all of it led here. */
function isOfFamily({ kind, family, isImported }: Shown, refresh: Grant['refresh']): boolean {
  if (kind !== 'refresh' || !refresh) return false
  return isImported || (family !== undefined && digest(family) === refresh.family)
}

function familyOf(token: string): string {
  return token.slice('mgw_rt_'.length + 22, 'mgw_rt_'.length + 44)
}
