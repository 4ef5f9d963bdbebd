/**
 * How a client says at the token endpoint who it is. All of it is pure: what it says is not proved yet.
 *
 * @see [RFC 6749 §2.3](https://www.rfc-editor.org/rfc/rfc6749#section-2.3)
 */
import { type Assertion, readAssertion } from './assertion.ts'

/** The parameters of a request. */
export interface Form {
  get(name: string): string | null | undefined
}

export type Proof = { id: string } & (
  | { method: 'none' }
  | { method: 'client_secret_basic' | 'client_secret_post'; secret: string }
  | { method: 'private_key_jwt'; assertion: Assertion }
)

/** Why there is no proof. */
export interface NoProof {
  fault: string
}

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const LONGEST = 2048

export function proofIn(headers: Headers, form: Form): Proof | NoProof {
  const basic = /^basic +(.*)$/i.exec(headers.get('authorization') ?? '')?.[1]
  // Some send an empty secret for none.
  const secret = form.get('client_secret') || undefined
  const assertion = form.get('client_assertion') || undefined
  if ([basic, secret, assertion].filter((given) => given !== undefined).length > 1)
    return { fault: 'it proves itself in several ways at once' }
  const id = form.get('client_id') || undefined
  const proof =
    basic !== undefined
      ? basicProof(basic)
      : assertion !== undefined
        ? assertionProof(assertion, form.get('client_assertion_type'))
        : secret !== undefined
          ? { id, method: 'client_secret_post' as const, secret }
          : { id, method: 'none' as const }
  if ('fault' in proof) return proof
  if (proof.id === undefined) return { fault: 'it does not say who it is' }
  if (id !== undefined && id !== proof.id) return { fault: 'it says that it is two clients' }
  if (proof.id.length > LONGEST) return { fault: 'its id is too long' }
  return proof as Proof
}

/** Both are form-encoded before they are put together. */
function basicProof(encoded: string): Proof | NoProof {
  const text = Buffer.from(encoded.trim(), 'base64').toString()
  const [, id, secret] = /^([^:]*):(.*)$/s.exec(text) ?? []
  if (!id || secret === undefined) return { fault: 'its Basic credentials are malformed' }
  try {
    const both = { id: formDecoded(id), secret: formDecoded(secret) }
    // A public client that knows no better.
    return both.secret === ''
      ? { id: both.id, method: 'none' }
      : { ...both, method: 'client_secret_basic' }
  } catch {
    return { fault: 'its Basic credentials are not form-encoded' }
  }
}

function assertionProof(text: string, type: string | null | undefined): Proof | NoProof {
  if (type !== ASSERTION_TYPE) return { fault: 'its assertion is of an unknown type' }
  const assertion = readAssertion(text)
  if (!assertion) return { fault: 'its assertion is malformed' }
  return { id: assertion.claims.sub, method: 'private_key_jwt', assertion }
}

/** @throws {URIError} */
function formDecoded(text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '))
}
