/**
 * Who may come in at all: under which Host, and from which web page.
 *
 * It is asked before anything is routed, on the loopback too: a web page that a browser has open can reach that.
 */
import { isLoopback } from './addresses.ts'
import type { Config } from './config/schema.ts'
import { GatewayError } from './errors.ts'

type Options = Config['gateway']

export class Door {
  readonly #options: Options
  readonly #hosts: ReadonlySet<string>
  readonly #own: string | undefined
  /** A few spellings of Host make up all requests. */
  readonly #knownHosts = new Set<string>()

  constructor(options: Options) {
    this.#options = options
    const { host, allowedHosts, baseURL } = options
    const ours = baseURL === undefined ? [] : (hostname(new URL(baseURL).host) ?? [])
    this.#own = baseURL && new URL(baseURL).origin
    this.#hosts = new Set([host, ...allowedHosts].concat(ours))
  }

  /** Why a request may not come in, if it may not. */
  refuses({ headers, url }: Request, origin: string | null): GatewayError | undefined {
    const host = headers.get('host') ?? ''
    // With a malformed Host, Bun leaves only the path in `url`, and routes would match something else.
    if (!this.#knownHosts.has(host) && !(url.startsWith('http') && this.#allowsHost(host))) {
      return new GatewayError('forbidden', `Host ${JSON.stringify(host)} is not served here`, {
        hint: 'add it to gateway.allowedHosts',
      })
    }
    if (origin !== null && !this.#allowsOrigin(origin, host)) {
      return new GatewayError('forbidden', `Origin ${JSON.stringify(origin)} may not call`, {
        hint: 'add it to gateway.allowedOrigins',
      })
    }
    return undefined
  }

  /** An address as Host proves that no name was rebound to us; names must be known ones. */
  #allowsHost(host: string): boolean {
    const name = hostname(host)
    if (name === undefined) return false
    if (!isLoopback(name) && !isAddress(name) && !this.#hosts.has(name)) return false
    if (this.#knownHosts.size < MAX_KNOWN_HOSTS) this.#knownHosts.add(host)
    return true
  }

  #allowsOrigin(origin: string, host: string): boolean {
    if (this.#options.allowedOrigins.includes(origin)) return true
    const from = URL.parse(origin)
    if (!from) return false
    // Our own pages: Host was judged, and a proxy in front may have taken off the TLS.
    return isLoopback(hostname(from.host) ?? '') || from.host === host || origin === this.#own
  }
}

const MAX_KNOWN_HOSTS = 100

/** Whether a browser asks on behalf of a page what that page may do. (CORS) */
export function isPreflight({ method, headers }: Request): boolean {
  return method === 'OPTIONS' && headers.has('access-control-request-method')
}

export function preflight(): Response {
  return new Response(null, {
    status: 204,
    headers: {
      'access-control-allow-methods': 'GET, POST, DELETE',
      'access-control-allow-headers':
        'accept, authorization, content-type, last-event-id, mcp-protocol-version, mcp-session-id',
      'access-control-max-age': '86400',
    },
  })
}

/** Lets the page at `origin`, which {@link Door} has let in, read the response. (CORS) */
export function shared(response: Response, origin: string): Response {
  response.headers.set('access-control-allow-origin', origin)
  response.headers.set('access-control-expose-headers', 'mcp-session-id, www-authenticate')
  response.headers.append('vary', 'origin')
  return response
}

/** The name in `name:port`, in lower case and without the brackets of IPv6. */
function hostname(host: string): string | undefined {
  return /^(?:\[([\da-f:.]+)\]|([\w.-]+))(?::\d{1,5})?$/i
    .exec(host)
    ?.slice(1)
    .join('')
    .toLowerCase()
}

function isAddress(name: string): boolean {
  return name.includes(':') || /^\d{1,3}(?:\.\d{1,3}){3}$/.test(name)
}
