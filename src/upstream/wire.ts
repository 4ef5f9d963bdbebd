/**
 * One HTTP request to a remote server, and what its response holds or means.
 *
 * Every failure is a {@link RemoteError} that says how far the request came. Nothing follows a redirect to another origin,
 * no body grows without bound, and no silence is too long: deadlines are the callers' business.
 */
import { type Bookmark, EventReader, type EventSink } from '../rpc/eventstream.ts'
import type { Remote } from './remote.ts'

/** Longer messages are not read: as many bytes of a JSON body, or characters of an event. */
export const MAX_MESSAGE = 64 * 1024 * 1024
/** What is read of a body that only explains a refusal, and for how many ms. */
const MAX_EXPLANATION = 64 * 1024
const EXPLANATION_DEADLINE = 2_000
const MAX_REDIRECTS = 3

/** Why a request had no answer. `unreachable` and `session_lost` promise that the server has not acted on it. */
export class RemoteError extends Error {
  override name = 'RemoteError'
  readonly code: 'unreachable' | 'session_lost' | 'unauthorized' | 'refused' | 'protocol' | 'broken'
  /** Of the response that says so. */
  readonly status: number | undefined

  constructor(
    code: RemoteError['code'],
    message: string,
    detail: { status?: number | undefined; cause?: unknown } = {},
  ) {
    super(message, { cause: detail.cause })
    this.code = code
    this.status = detail.status
  }
}

export interface Question {
  method: 'GET' | 'POST' | 'DELETE'
  url?: URL
  /** Beside the configured ones, and stronger than those. */
  headers: Readonly<Record<string, string>>
  body?: string
  signal: AbortSignal
}

export class Wire {
  readonly url: URL
  readonly #headers: Headers
  readonly #options: BunFetchRequestInit

  /** @throws {TypeError} if the URL is none, or a header cannot be sent. */
  constructor({ url, headers, insecure }: Remote) {
    this.url = new URL(url)
    this.#headers = new Headers(headers)
    this.#options = {
      redirect: 'manual',
      timeout: false,
      ...(insecure ? { tls: { rejectUnauthorized: false } } : {}),
    }
  }

  /**
   * The response, whatever its status. It follows redirects with the same method and body, within the origin.
   *
   * @throws {RemoteError} `unreachable`, `broken`, or `refused` by a redirect.
   * @throws the reason of the signal.
   */
  async ask({ url = this.url, ...question }: Question): Promise<Response> {
    const headers = new Headers(this.#headers)
    for (const [name, value] of Object.entries(question.headers)) headers.set(name, value)
    const init = { ...this.#options, ...question, headers }
    for (let redirects = 0; ; redirects++) {
      const response = await fetch(url, init).catch((cause) => {
        throw question.signal.aborted ? cause : failure(url, cause)
      })
      if (!REDIRECTS.has(response.status)) return response
      discard(response)
      url = redirected(response, url, redirects)
    }
  }
}

/** Those that may keep method and body. */
const REDIRECTS = new Set([301, 302, 307, 308])

function redirected({ status, headers }: Response, from: URL, redirects: number): URL {
  const location = headers.get('location')
  const to = location === null ? null : URL.parse(location, from.href)
  if (!to) throw new RemoteError('refused', `it answered ${status} and no Location`, { status })
  if (to.origin !== from.origin) {
    const shown = `${to.origin}${to.pathname}`
    throw new RemoteError(
      'refused',
      `it redirects to another origin, ${shown}: if that is right, write that URL into the configuration`,
      { status },
    )
  }
  if (redirects === MAX_REDIRECTS) {
    throw new RemoteError('refused', `it redirects more than ${MAX_REDIRECTS} times`, { status })
  }
  return to
}

/** What happens before a request is on its way: no address, no connection, no TLS that we trust. */
const NOT_SENT =
  /^(ECONNREFUSED|ENOTFOUND|EAI_\w+|EHOSTUNREACH|ENETUNREACH|EPROTO|ERR_INVALID_URL)$|CERT|SIGNATURE/

function failure(url: URL, cause: unknown): RemoteError {
  const code = codeOf(cause)
  return NOT_SENT.test(code)
    ? new RemoteError('unreachable', `cannot reach ${url.origin} (${code})`, { cause })
    : new RemoteError('broken', `the connection broke (${code}) before the answer; ${UNKNOWN}`, {
        cause,
      })
}

/** What is to be said of a request that was sent and not answered. */
export const UNKNOWN = 'whether it was acted on is unknown'

function codeOf(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: string }
  return typeof code === 'string' ? code : String(message ?? error)
}

/** The type of what a response holds, without parameters; empty if it does not say. */
export function mediaType({ headers }: Response): string {
  return (headers.get('content-type') ?? '').split(';')[0]!.trim().toLowerCase()
}

/** @throws {RemoteError} `protocol` if it is over {@link MAX_MESSAGE}, `broken` if it breaks off. */
export async function textOf(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let size = 0
  await drain(response, (bytes) => {
    size += bytes.length
    if (size > MAX_MESSAGE) {
      throw new RemoteError('protocol', `its answer is longer than ${MAX_MESSAGE} bytes`)
    }
    text += decoder.decode(bytes, { stream: true })
  })
  return text + decoder.decode()
}

/** Reads the events of a response to its end. @throws {RemoteError} `broken` if it breaks off. */
export async function readEvents(
  response: Response,
  sink: EventSink,
  bookmark: Bookmark,
): Promise<void> {
  const reader = new EventReader(sink, bookmark, MAX_MESSAGE)
  await drain(response, (bytes) => reader.push(bytes))
}

/** Lets go of a body that nobody will read. */
export function discard(response: Response): void {
  response.body?.cancel().catch(() => {})
}

async function drain({ body }: Response, take: (bytes: Uint8Array) => void): Promise<void> {
  if (!body) return
  try {
    for await (const bytes of body) take(bytes)
  } catch (cause) {
    if (cause instanceof RemoteError) throw cause
    throw new RemoteError('broken', `the connection broke (${codeOf(cause)})`, { cause })
  }
}

export interface Refusal {
  error: RemoteError
  /** How its body begins. */
  body: string
}

/** What a response outside of 2xx says. Nothing of what we sent is in it, unless the server repeats it. */
export async function refusalOf(response: Response): Promise<Refusal> {
  const { status } = response
  const body = await explanation(response)
  if (status === 401 || status === 403) {
    const challenge = response.headers.get('www-authenticate')
    const said = challenge ? ` (WWW-Authenticate: ${oneLine(challenge)})` : ''
    return {
      error: new RemoteError('unauthorized', `it answered ${status}${said}`, { status }),
      body,
    }
  }
  const said = body.trim() ? `: ${oneLine(body)}` : ''
  return { error: new RemoteError('refused', `it answered ${status}${said}`, { status }), body }
}

/** What came of it in time. */
async function explanation(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  const reader = response.body?.getReader()
  const cancel = () => void reader?.cancel().catch(() => {})
  const timer = setTimeout(cancel, EXPLANATION_DEADLINE)
  try {
    while (reader && text.length < MAX_EXPLANATION) {
      const { done, value } = await reader.read()
      if (done) return text
      text += decoder.decode(value, { stream: true })
    }
  } catch {
    // It explains no more than it did.
  } finally {
    clearTimeout(timer)
    cancel()
  }
  return text
}

function oneLine(text: string): string {
  return text
    .replace(/[\s\x00-\x1f\x7f]+/g, ' ')
    .trim()
    .slice(0, 200)
}
