/**
 * Every route and every middleware. The only file that knows paths.
 *
 * Host and Origin are checked before anything is routed, on the loopback too: a web page that a browser has open can
 * reach it.
 */
import { Hono } from 'hono'
import { ANONYMOUS } from './caller.ts'
import type { Config } from './config/schema.ts'
import { Legacy } from './downstream/legacy.ts'
import { GatewayError, toError, toRpc } from './errors.ts'
import type { Observer } from './events.ts'
import type { Gateway } from './gateway.ts'
import type { Endpoint } from './routing/endpoint.ts'
import { errorText } from './rpc/message.ts'

export interface Listener {
  readonly url: URL
  /** Takes no new requests, waits up to `drain` ms for those in flight, then ends every session and stops listening. */
  close(options: { drain: number }): Promise<void>
}

/** @throws {Error} with code `EADDRINUSE` and the like. */
export function listen(gateway: Gateway, version: string, observe: Observer): Listener {
  const options = gateway.config.gateway
  const started = performance.now()
  const legacy = new Legacy(options, observe)
  const door = new Door(options)
  const app = new Hono()
  let stopping = false

  app.get('/health', (c) => {
    const upstreams = gateway.status
    const failing = Object.values(upstreams).some(({ state }) => state !== 'ready')
    const body = {
      status: stopping ? 'stopping' : failing ? 'degraded' : 'ok',
      version,
      uptime: Math.round((performance.now() - started) / 1000),
      ready: Object.values(upstreams).some(({ state }) => state === 'ready'),
      sessions: legacy.sessions,
      upstreams,
    }
    return c.json(body, stopping ? 503 : 200)
  })
  app.notFound((c) => {
    const error = new GatewayError('endpoint_unknown', `nothing is at ${c.req.path}`, {
      hint: 'servers are at /NAME/mcp; GET /health lists them',
    })
    return refusal(error, observe)
  })
  app.onError((error) => refusal(error, observe))

  const answer = async (request: Request) => {
    const name = endpointName(request.url)
    if (name === undefined) return app.fetch(request)
    try {
      return await legacy.handle(request, endpointAt(gateway, name), ANONYMOUS)
    } catch (error) {
      return refusal(request.signal.aborted ? CLIENT_LEFT : error, observe)
    }
  }

  const server = Bun.serve({
    hostname: address(options),
    port: options.port,
    // Beyond the longest silence of a stream (see KEEP_ALIVE), and the most that Bun takes.
    idleTimeout: 255,
    // Bodies are measured where they are read, so that the refusal says what to do.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    // Bun's development pages show source and message.
    development: false,
    error: (error) => refusal(error, observe),
    fetch(request) {
      const origin = request.headers.get('origin')
      const forbidden = door.refuses(request, origin)
      if (forbidden) return refusal(forbidden, observe)
      if (origin === null) return answer(request)
      if (isPreflight(request)) return shared(preflight(), origin)
      return answer(request).then((response) => shared(response, origin))
    },
  })

  return {
    url: server.url,
    async close({ drain }) {
      stopping = true
      legacy.drain()
      const deadline = performance.now() + drain
      // Still listening: a call in flight may wait for what its client answers to a question.
      while (legacy.isWorking && performance.now() < deadline) await Bun.sleep(10)
      legacy.close('the gateway is shutting down')
      // What was answered last may still be on its way to a slow reader.
      await Promise.race([server.stop(), Bun.sleep(Math.max(500, deadline - performance.now()))])
      await server.stop(true)
    },
  }
}

/** Nobody reads this answer; it tells the log that nothing broke. */
const CLIENT_LEFT = new GatewayError(
  'invalid_request',
  'the client left in the middle of its request',
)

/**
 * `/mcp` is the aggregate, '' for short; `/NAME/mcp` is one server. Undefined for all other paths, which are Hono's: it
 * would cost a twelfth of the rate of small calls.
 */
function endpointName(url: string): string | undefined {
  const match = /^https?:\/\/[^/]+(?:\/([^/?#]+))?\/mcp\/?(?:[?#]|$)/.exec(url)
  return match ? (match[1] ?? '') : undefined
}

/** @throws {GatewayError} `endpoint_unknown` */
function endpointAt(gateway: Gateway, name: string): Endpoint {
  const endpoint = name === '' ? gateway.aggregate : gateway.endpoint(name)
  if (endpoint) return endpoint
  const names = Object.keys(gateway.config.mcpServers)
  const hint = `use one of ${names.map((known) => `/${known}/mcp`).join(', ')}`
  if (name !== '')
    throw new GatewayError('endpoint_unknown', `there is no server "${name}"`, { hint })
  throw new GatewayError(
    'endpoint_unknown',
    'there are several servers, and /mcp cannot merge them yet',
    { hint },
  )
}

type Options = Config['gateway']

/** Nobody is asked who they are, so nobody from outside may come, unless the configuration says so aloud. */
export function address(options: Options): string {
  return options.allowUnauthenticated || isLoopback(options.host) ? options.host : '127.0.0.1'
}

/** Checks under which name, and from whose page, a request comes. */
class Door {
  readonly #options: Options
  /** A few spellings of Host make up all requests. */
  readonly #knownHosts = new Set<string>()

  constructor(options: Options) {
    this.#options = options
  }

  refuses({ headers, url }: Request, origin: string | null): GatewayError | undefined {
    const host = headers.get('host') ?? ''
    // With a malformed Host, Bun leaves only the path in `url`, and routes would match something else.
    if (!this.#knownHosts.has(host) && !(url.startsWith('http') && this.#allowsHost(host))) {
      return new GatewayError('forbidden', `Host ${JSON.stringify(host)} is not served here`, {
        hint: 'add it to gateway.allowedHosts',
      })
    }
    if (origin !== null && !isAllowedOrigin(origin, this.#options)) {
      return new GatewayError('forbidden', `Origin ${JSON.stringify(origin)} may not call`, {
        hint: 'add it to gateway.allowedOrigins',
      })
    }
    return undefined
  }

  #allowsHost(host: string): boolean {
    if (!isAllowedHost(hostname(host), this.#options)) return false
    if (this.#knownHosts.size < MAX_KNOWN_HOSTS) this.#knownHosts.add(host)
    return true
  }
}

const MAX_KNOWN_HOSTS = 100

/** An address as Host proves that no name was rebound to us; names must be known ones. */
function isAllowedHost(name: string | undefined, options: Options): boolean {
  if (name === undefined) return false
  return (
    isLoopback(name) ||
    isAddress(name) ||
    name === options.host ||
    options.allowedHosts.includes(name)
  )
}

function isAllowedOrigin(origin: string, options: Options): boolean {
  if (options.allowedOrigins.includes(origin)) return true
  return URL.canParse(origin) && isLoopback(hostname(new URL(origin).host) ?? '')
}

/** The name in `name:port`, in lower case and without the brackets of IPv6. */
function hostname(host: string): string | undefined {
  return /^(?:\[([\da-f:.]+)\]|([\w.-]+))(?::\d{1,5})?$/i
    .exec(host)
    ?.slice(1)
    .join('')
    .toLowerCase()
}

function isLoopback(name: string): boolean {
  return name === 'localhost' || name === '::1' || /^127(?:\.\d{1,3}){3}$/.test(name)
}

function isAddress(name: string): boolean {
  return name.includes(':') || /^\d{1,3}(?:\.\d{1,3}){3}$/.test(name)
}

/** Lets the page at `origin`, which {@link Door} has let in, read the response. (CORS) */
function shared(response: Response, origin: string): Response {
  response.headers.set('access-control-allow-origin', origin)
  response.headers.set('access-control-expose-headers', 'mcp-session-id')
  response.headers.append('vary', 'origin')
  return response
}

function isPreflight({ method, headers }: Request): boolean {
  return method === 'OPTIONS' && headers.has('access-control-request-method')
}

function preflight(): Response {
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

function refusal(thrown: unknown, observe: Observer): Response {
  const known = thrown instanceof GatewayError ? thrown : undefined
  if (known) observe({ type: 'request_refused', status: known.status, reason: known.message })
  else observe({ type: 'fault', error: toError(thrown) })
  const headers = new Headers({ 'content-type': 'application/json' })
  if (known?.code === 'method_not_allowed') headers.set('allow', 'POST, GET, DELETE')
  return new Response(errorText('null', toRpc(thrown)), { status: known?.status ?? 500, headers })
}
