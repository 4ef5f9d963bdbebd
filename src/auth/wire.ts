/** How requests to the authorization server come, and how it answers them: forms, JSON, and errors by their words. */
import { OAuthError } from './oauth-error.ts'

const LONGEST_BODY = 64 * 1024
const LONGEST_VALUE = 8 * 1024
const MOST_PARAMETERS = 50

/**
 * The parameters of a form, or of a JSON object, as some clients send them. Each is there at most once, but `resource`. Those
 * without a value are left out, as if they were not there (RFC 6749 §3.2).
 *
 * @throws {OAuthError} `invalid_request`
 */
export async function readForm(request: Request): Promise<URLSearchParams> {
  const type = request.headers.get('content-type') ?? ''
  const text = await readText(request, LONGEST_BODY)
  const written = /^application\/x-www-form-urlencoded\s*(;|$)/i.test(type)
    ? [...new URLSearchParams(text)]
    : /^application\/json\s*(;|$)/i.test(type)
      ? pairsOf(text)
      : undefined
  if (!written) {
    throw invalid('Content-Type: expected application/x-www-form-urlencoded')
  }
  if (written.length > MOST_PARAMETERS) throw invalid('there are too many parameters')
  const form = new URLSearchParams()
  for (const [name, value] of written) {
    if (value === '') continue
    // What a name is that is not ours, is not repeated.
    if (value.length > LONGEST_VALUE) throw invalid('a parameter is too long')
    if (form.has(name) && name !== 'resource') throw invalid('a parameter comes more than once')
    form.append(name, value)
  }
  return form
}

/** A body of bounded size. @throws {OAuthError} `invalid_request` */
export async function readText({ body }: Request, longest: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body ?? []) {
    size += chunk.length
    if (size > longest) throw invalid('the body is too long')
    chunks.push(chunk)
  }
  return new TextDecoder().decode(Buffer.concat(chunks))
}

/** @throws {OAuthError} `invalid_request` */
export function required(form: URLSearchParams, name: string): string {
  const value = form.get(name)
  if (value === null) throw invalid(`${name} is missing`)
  return value
}

/** What nobody may keep. */
export function answer(body: unknown, status = 200): Response {
  return Response.json(body, {
    status,
    headers: { 'cache-control': 'no-store', pragma: 'no-cache' },
  })
}

/** @see [RFC 6749 §5.2](https://datatracker.ietf.org/doc/html/rfc6749#section-5.2) */
export function refusal(error: OAuthError, { headers }: Request): Response {
  const { code, message, status } = error
  const response = answer({ error: code, error_description: message }, status)
  const scheme = /^\S+/.exec(headers.get('authorization') ?? '')?.[0]
  if (code === 'invalid_client' && scheme && /^basic$/i.test(scheme)) {
    response.headers.set('www-authenticate', 'Basic realm="mcp-gateway", charset="UTF-8"')
  }
  return response
}

function pairsOf(text: string): [string, string][] {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw invalid('the body is not JSON')
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalid('the body is not a JSON object')
  }
  return Object.entries(body).flatMap(([name, value]): [string, string][] => {
    const values: unknown[] = name === 'resource' && Array.isArray(value) ? value : [value]
    return values.map((one) => {
      if (typeof one !== 'string') throw invalid('a parameter is not a string')
      return [name, one]
    })
  })
}

function invalid(message: string): OAuthError {
  return new OAuthError('invalid_request', message)
}
