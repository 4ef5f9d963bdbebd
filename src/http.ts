/**
 * Every route and every middleware. The only file that knows paths.
 *
 * `[BASE][/NAME]/mcp` is a server or a group, and without NAME all servers merged. BASE is the path of `gateway.baseURL`;
 * it may be missing, because the proxy in front may take it off.
 */
import { Hono } from 'hono'
import { ANONYMOUS } from './caller.ts'
import type { Config } from './config/schema.ts'
import { Door, isLoopback, isPreflight, preflight, shared } from './door.ts'
import { Legacy } from './downstream/legacy.ts'
import { Rest, restError } from './downstream/rest.ts'
import { type Entrance, Sessions } from './downstream/sessions.ts'
import { Sse } from './downstream/sse.ts'
import { GatewayError, toError, toRpc } from './errors.ts'
import type { Observer } from './events.ts'
import type { Gateway } from './gateway.ts'
import type { Endpoint, View } from './routing/endpoint.ts'
import { errorText } from './rpc/message.ts'

export interface Listener {
  readonly url: URL
  /** Takes no new requests, waits up to `drain` ms for those in flight, then ends every session and stops listening. */
  close(options: { drain: number }): Promise<void>
}

/** In seconds. Beyond the longest silence of a stream (see KEEP_ALIVE), and the most that Bun takes. */
const IDLE_TIMEOUT = 255

/** What may be done where. */
const ALLOWED: Record<string, string> = {
  mcp: 'POST, GET, DELETE',
  sse: 'POST, GET, DELETE',
  messages: 'POST',
  message: 'POST',
  '/health': 'GET, HEAD',
  '/tools': 'GET, HEAD',
  '/tools/call': 'POST',
}

/** @throws {Error} with code `EADDRINUSE` and the like. */
export function listen(gateway: Gateway, version: string, observe: Observer): Listener {
  const options = gateway.config.gateway
  const started = performance.now()
  const sessions = new Sessions(options)
  const legacy = new Legacy(options, sessions, observe)
  const sse = new Sse(options, sessions, observe)
  const rest = new Rest({ ...options, version }, sessions, observe)
  const door = new Door(options)
  const base = basePath(options)
  const routes = routesBelow(base)
  const { mcpServers, groups } = gateway.config
  const names = ['', ...Object.keys(mcpServers), ...Object.keys(groups)]
  const known = new Map(names.map((name) => [name, entranceAt(gateway, name, undefined)]))
  let stopping = false

  const app = new Hono({ getPath: ({ url }) => routes.path.exec(url)?.[1] ?? '/' })
  app.get('/health', (c) => {
    const upstreams = gateway.status
    const failing = Object.values(upstreams).some(({ state }) => state !== 'ready')
    const body = {
      status: stopping ? 'stopping' : failing ? 'degraded' : 'ok',
      version,
      uptime: Math.round((performance.now() - started) / 1000),
      ready: Object.values(upstreams).some(({ state }) => state === 'ready'),
      sessions: sessions.count,
      upstreams,
    }
    return c.json(body, stopping ? 503 : 200)
  })
  app.get('/tools', async (c) => {
    if (!gateway.aggregate) return c.json({ tools: [] })
    const server = c.req.query('server')
    if (server !== undefined && !Object.hasOwn(gateway.config.mcpServers, server)) {
      throw new GatewayError('endpoint_unknown', `there is no server "${server}"`)
    }
    return rest.list(entranceAt(gateway, '', queryOf(c.req.url)), ANONYMOUS, server)
  })
  app.post('/tools/call', async (c) => {
    const request = c.req.raw
    // A tool may take as long as it likes. The connection would keep that, also when it is idle.
    server.timeout(request, 0)
    try {
      return await rest.call(request, entranceAt(gateway, '', queryOf(request.url)), ANONYMOUS)
    } finally {
      server.timeout(request, IDLE_TIMEOUT)
    }
  })
  app.on('ALL', ['/health', '/tools', '/tools/call'], ({ req: { method, path } }) => {
    throw new GatewayError('method_not_allowed', `${method}: use ${ALLOWED[path]}`)
  })
  app.notFound(({ req: { path } }) => {
    // What follows may be a token.
    const [, first = ''] = path.split('/')
    const shown = path === `/${first}` ? path : `/${first}/…`
    const error = new GatewayError('endpoint_unknown', `nothing is at ${shown}`, {
      hint: 'servers are at /NAME/mcp; GET /health lists them',
    })
    return refusal(error, observe)
  })
  app.onError((error, { req: { raw, path } }) => {
    const face = path.startsWith('/tools') ? restError : rpcError
    return refusal(raw.signal.aborted ? CLIENT_LEFT : error, observe, ALLOWED[path], face)
  })

  /** Past Hono, which would cost a twelfth of the rate of small calls. */
  const answer = async (request: Request): Promise<Response> => {
    const route = routes.mcp.exec(request.url)
    if (!route) return app.fetch(request)
    const [, name = '', token, kind = '', query] = route
    try {
      if (token !== undefined) throw TOKEN_IN_PATH
      const entrance = (!query && known.get(name)) || entranceAt(gateway, name, query)
      if (kind.startsWith('message')) {
        if (request.method !== 'POST') {
          throw new GatewayError('method_not_allowed', `${request.method}: use POST`)
        }
        const session = new URLSearchParams(query).get('sessionId')
        return await sse.post(request, session, entrance, ANONYMOUS)
      }
      // Who has a session id speaks Streamable HTTP, and only looks for it here first.
      const { method, headers } = request
      if (kind === 'sse' && method === 'GET' && !headers.has('mcp-session-id')) {
        const messages = `${base}${name && `/${name}`}/messages?sessionId=`
        const narrowing = entrance.narrowing && `&${entrance.narrowing}`
        return sse.open(request, entrance, ANONYMOUS, (id) => messages + id + narrowing)
      }
      return await legacy.handle(request, entrance, ANONYMOUS)
    } catch (error) {
      return refusal(request.signal.aborted ? CLIENT_LEFT : error, observe, ALLOWED[kind])
    }
  }

  const server = Bun.serve({
    hostname: address(options),
    port: options.port,
    idleTimeout: IDLE_TIMEOUT,
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
      sessions.drain()
      const deadline = performance.now() + drain
      // Still listening: a call in flight may wait for what its client answers to a question.
      while (sessions.isWorking && performance.now() < deadline) await Bun.sleep(10)
      sessions.close('the gateway is shutting down')
      // What was answered last may still be on its way to a slow reader.
      await Promise.race([server.stop(), Bun.sleep(Math.max(500, deadline - performance.now()))])
      await server.stop(true)
    },
  }
}

type Options = Config['gateway']

/** Nobody is asked who they are, so nobody from outside may come, unless the configuration says so aloud. */
export function address(options: Options): string {
  return options.allowUnauthenticated || isLoopback(options.host) ? options.host : '127.0.0.1'
}

/** Nobody reads this answer; it tells the log that nothing broke. */
const CLIENT_LEFT = new GatewayError(
  'invalid_request',
  'the client left in the middle of its request',
)

const TOKEN_IN_PATH = new GatewayError('unauthorized', 'tokens in paths are not judged yet', {
  hint: 'use /NAME/mcp; if a proxy puts a path of its own before that, write it into gateway.baseURL',
})

/** Without slash at its end: '' or `/gw`. */
function basePath({ baseURL }: Options): string {
  return baseURL === undefined ? '' : new URL(baseURL).pathname.replace(/\/+$/, '')
}

/** The patterns of URLs. `mcp` finds name, token, kind and query; `path` what comes after the base path. */
function routesBelow(base: string): { mcp: RegExp; path: RegExp } {
  const start = `^https?://[^/]+(?:${RegExp.escape(base)}(?=[/?#]|$))?`
  return {
    mcp: new RegExp(
      `${start}(?:/([^/?#]+)(?:/([^/?#]+))?)?/(mcp|sse|messages?)/?(?:\\?([^#]*))?(?:#|$)`,
    ),
    path: new RegExp(`${start}(/[^?#]*)?`),
  }
}

function queryOf(url: string): string | undefined {
  return /\?([^#]*)/.exec(url)?.[1]
}

interface NarrowedEntrance extends Entrance {
  /** What of its endpoint is wanted, as a query in one spelling; empty for all. */
  narrowing: string
}

/** @param name '' for all servers merged. */
function entranceAt(gateway: Gateway, name: string, query: string | undefined): NarrowedEntrance {
  const view = query ? viewOf(query) : {}
  const narrowing = Object.entries(view)
    .map(([parameter, values]) => `${parameter}=${values.map(encodeURIComponent).join(',')}`)
    .join('&')
  return {
    key: narrowing === '' ? name : `${name}?${narrowing}`,
    narrowing,
    endpoint() {
      const endpoint = endpointAt(gateway, name)
      if (narrowing === '') return endpoint
      if (!view.tools?.includes('')) return endpoint.narrowed(view)
      throw new GatewayError('invalid_request', 'tools: a name is empty', {
        hint: 'write names as tools/list shows them, or patterns with "*", with commas between them',
      })
    },
  }
}

/** What of an endpoint a query asks for, in an order that does not depend on it. */
function viewOf(query: string): View {
  const parameters = new URLSearchParams(query)
  const view: Record<string, string[]> = {}
  for (const name of ['servers', 'tools']) {
    if (!parameters.has(name)) continue
    const values = parameters.getAll(name).join(',').split(',')
    view[name] = [...new Set(values.map((value) => value.trim()))].sort()
  }
  return view
}

/** @throws {GatewayError} `endpoint_unknown` */
function endpointAt(gateway: Gateway, name: string): Endpoint {
  const endpoint = name === '' ? gateway.aggregate : gateway.endpoint(name)
  if (endpoint) return endpoint
  const { mcpServers, groups } = gateway.config
  const known = [...Object.keys(mcpServers), ...Object.keys(groups)]
  if (known.length === 0) throw new GatewayError('endpoint_unknown', 'there are no servers')
  throw new GatewayError('endpoint_unknown', `there is no server "${name}"`, {
    hint: `use one of ${known.map((one) => `/${one}/mcp`).join(', ')}`,
  })
}

function rpcError(error: unknown): string {
  return errorText('null', toRpc(error))
}

function refusal(
  thrown: unknown,
  observe: Observer,
  allowed?: string,
  text: (error: unknown) => string = rpcError,
): Response {
  const known = thrown instanceof GatewayError ? thrown : undefined
  if (known) observe({ type: 'request_refused', status: known.status, reason: known.message })
  else observe({ type: 'fault', error: toError(thrown) })
  const headers = new Headers({ 'content-type': 'application/json' })
  if (known?.code === 'method_not_allowed' && allowed) headers.set('allow', allowed)
  return new Response(text(thrown), { status: known?.status ?? 500, headers })
}
