/**
 * What clients are given to come back with: codes, access tokens and refresh tokens.
 *
 *     mgw_ac_ GRANT SECRET          code
 *     mgw_at_ GRANT SECRET          access token
 *     mgw_rt_ GRANT FAMILY SECRET   refresh token
 *
 * GRANT, 128 bits, is where the grant is kept, and no secret. FAMILY, 128 bits, is known only to who has ever been given a
 * refresh token of the grant: by it an old one is told from an invented one. SECRET has 256 bits. Only digests are kept.
 */
import { createHmac, randomBytes } from 'node:crypto'

const FORMS = {
  code: /^mgw_ac_(?<grant>[\w-]{22})[\w-]{43}$/,
  access: /^mgw_at_(?<grant>[\w-]{22})[\w-]{43}$/,
  refresh: /^mgw_rt_(?<grant>[\w-]{22})(?<family>[\w-]{22})[\w-]{43}$/,
}

export type CredentialKind = keyof typeof FORMS

/** What a credential shows of itself. It proves nothing. */
export interface Shown {
  kind: CredentialKind
  grant: string
  family?: string | undefined
  /** It is of an older proxy, and is kept by its digest. */
  isImported?: true
}

/** Undefined if it has not the form of one. */
export function shown(kind: CredentialKind, text: string): Shown | undefined {
  const parts = FORMS[kind].exec(text)?.groups
  return parts && { kind, grant: parts.grant!, family: parts.family }
}

export function newGrantId(): string {
  // Whoever ends a login writes its id behind a command, where it must not look like an option.
  return random(16).replace(/^-/, '_')
}

export function newCode(grant: string): string {
  return `mgw_ac_${grant}${random(32)}`
}

export function newAccessToken(grant: string): string {
  return `mgw_at_${grant}${random(32)}`
}

/** The first of its family. */
export function newRefreshToken(grant: string): string {
  return `mgw_rt_${grant}${random(16)}${random(32)}`
}

export function newSalt(): string {
  return random(32)
}

/**
 * The refresh token that comes after one. With the same salt it is the same one again, for who has its predecessor, and for
 * nobody else: that is how several who ask with one token at once all come to hold the same next one, although it is not kept.
 */
export function successor(token: string, salt: string, grant: string): string {
  const derived = (what: string) =>
    createHmac('sha256', salt).update(`${what} ${token}`).digest('base64url')
  // Those that were imported have no family yet.
  const family = shown('refresh', token)?.family ?? derived('family').slice(0, 22)
  return `mgw_rt_${grant}${family}${derived('secret')}`
}

/** What is kept of a secret: SHA-256, enough for what nobody can guess. */
export function digest(secret: string): string {
  return Bun.SHA256.hash(secret, 'hex')
}

function random(bytes: number): string {
  return randomBytes(bytes).toString('base64url')
}
