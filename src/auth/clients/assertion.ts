/**
 * Assertions by which clients prove with a key of their own who they are: JWTs, good for a few minutes and one endpoint.
 *
 * Reading one proves nothing; `verify` does, and leaves only whether it came before.
 *
 * @see [RFC 7523 §3](https://www.rfc-editor.org/rfc/rfc7523#section-3)
 */
import type { webcrypto } from 'node:crypto'
import * as v from 'valibot'

export type Jwk = webcrypto.JsonWebKey & { kid?: string }

export const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const
type Algorithm = (typeof ALGORITHMS)[number]

export interface Assertion {
  algorithm: Algorithm
  keyId: string | undefined
  claims: Claims
  signed: string
  signature: Uint8Array<ArrayBuffer>
}

export type Claims = v.InferOutput<typeof ClaimsSchema>

const seconds = v.pipe(v.number(), v.minValue(0), v.maxValue(1e12))
const ClaimsSchema = v.object({
  iss: v.string(),
  sub: v.string(),
  aud: v.union([v.string(), v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(10))]),
  exp: seconds,
  iat: v.optional(seconds),
  nbf: v.optional(seconds),
  jti: v.pipe(v.string(), v.nonEmpty()),
})
const HeaderSchema = v.object({
  alg: v.picklist(ALGORITHMS),
  kid: v.optional(v.string()),
  // Extensions that must be understood.
  crit: v.optional(v.never()),
})

const LONGEST = 8192
/** In seconds: by so much clocks may differ. */
const SKEW = 60
/** In seconds: longer nobody needs one. */
const MOST_LIFETIME = 3600

/** Undefined if it is none. */
export function readAssertion(text: string): Assertion | undefined {
  if (text.length > LONGEST || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(text)) return undefined
  const [head = '', body = '', signature = ''] = text.split('.')
  const header = v.safeParse(HeaderSchema, decoded(head))
  const claims = v.safeParse(ClaimsSchema, decoded(body))
  if (!header.success || !claims.success) return undefined
  return {
    algorithm: header.output.alg,
    keyId: header.output.kid,
    claims: claims.output,
    signed: `${head}.${body}`,
    signature: new Uint8Array(Buffer.from(signature, 'base64url')),
  }
}

/**
 * Why its claims are not good; undefined if they are.
 *
 * @param audiences each of which means us; it must not be for anybody else.
 * @param now in ms.
 */
export function claimsFault(
  { iss, sub, aud, exp, iat, nbf }: Claims,
  clientId: string,
  audiences: readonly string[],
  now: number,
): string | undefined {
  const time = now / 1000
  if (iss !== clientId || sub !== clientId) return 'it is about another client'
  if (![aud].flat().every((audience) => audiences.includes(audience))) return 'it is not for us'
  if (exp <= time - SKEW) return 'it has expired'
  if (exp > time + MOST_LIFETIME + SKEW) return 'it is good for too long'
  if (iat !== undefined && iat > time + SKEW) return 'it was issued in the future'
  if (nbf !== undefined && nbf > time + SKEW) return 'it is not good yet'
  return undefined
}

/** Until when it must be remembered that it came, in ms. */
export function forgottenAt({ exp }: Claims): number {
  return (exp + SKEW) * 1000
}

/** Whether one of the keys has signed it. */
export async function isSigned(assertion: Assertion, keys: readonly Jwk[]): Promise<boolean> {
  const { algorithm, keyId, signed, signature } = assertion
  for (const key of keys) {
    if (!fits(key, algorithm) || (keyId !== undefined && key.kid !== keyId)) continue
    if (await verifies(key, algorithm, signed, signature)) return true
  }
  return false
}

const KEY_OF: Record<Algorithm, { kty: string; crv?: string }> = {
  RS256: { kty: 'RSA' },
  PS256: { kty: 'RSA' },
  ES256: { kty: 'EC', crv: 'P-256' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519' },
}

const PARAMETERS = {
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  PS256: { name: 'RSA-PSS', hash: 'SHA-256', saltLength: 32 },
  ES256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  EdDSA: { name: 'Ed25519' },
}

function fits(key: Jwk, algorithm: Algorithm): boolean {
  const { kty, crv } = KEY_OF[algorithm]
  if (key.kty !== kty || (crv !== undefined && key.crv !== crv)) return false
  if (key.use !== undefined && key.use !== 'sig') return false
  return key.alg === undefined || key.alg === algorithm || key.alg === crv
}

/** A key that cannot be used has signed nothing. */
async function verifies(
  key: Jwk,
  algorithm: Algorithm,
  signed: string,
  signature: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  const parameters = PARAMETERS[algorithm]
  const { kty, crv, x, y, n, e } = key
  // Shorter ones can be broken, and longer ones only cost time.
  if (kty === 'RSA' && !/^[\w-]{342,1366}$/.test(n ?? '')) return false
  const bare = Object.fromEntries(
    Object.entries({ kty, crv, x, y, n, e }).filter(([, value]) => value !== undefined),
  )
  try {
    const imported = await crypto.subtle.importKey('jwk', bare, parameters, false, ['verify'])
    return await crypto.subtle.verify(parameters, imported, signature, Buffer.from(signed))
  } catch {
    return false
  }
}

function decoded(segment: string): unknown {
  try {
    return JSON.parse(Buffer.from(segment, 'base64url').toString())
  } catch {
    return undefined
  }
}
