/**
 * Every route and every middleware. The only file that knows paths.
 *
 * `[BASE][/NAME[/TOKEN]]/mcp` is a server or a group, and without NAME all servers merged. BASE is the path of
 * `gateway.baseURL`; it may be missing, because the proxy in front may take it off.
 */
import { type Context, Hono } from 'hono'
import { admit } from './admin/access.ts'
import { listServices, putService, removeService, type Services } from './admin/services.ts'
import { Guard } from './auth/guard.ts'
import type { Principal } from './caller.ts'
import type { Config } from './config/schema.ts'
import { Door, isPreflight, preflight, shared } from './door.ts'
import { Legacy } from './downstream/legacy.ts'
import { Rest, restError } from './downstream/rest.ts'
import { type Entrance, Sessions } from './downstream/sessions.ts'
import { Sse } from './downstream/sse.ts'
import { Entrances } from './entrances.ts'
import { GatewayError, toError, toRpc } from './errors.ts'
import type { Observer } from './events.ts'
import type { Changes, Gateway } from './gateway.ts'
import { IDLE_TIMEOUT, Port, type Server } from './port.ts'
import { errorText } from './rpc/message.ts'

export interface Listener {
  readonly url: URL
  /**
   * Makes another configuration what runs: of the gateway, of who may come, and of where it listens.
   *
   * @param drain as of {@link Gateway.apply}.
   * @throws {Error} if it cannot listen where it should; then nothing changes.
   */
  apply(next: Config, options: { drain: number }): Changes
  /** Takes no new requests, waits up to `drain` ms for those in flight, then ends every session and stops listening. */
  close(options: { drain: number }): Promise<void>
}

export interface Listening {
  version: string
  observe: Observer
  /** What may be added while it runs, if anything may. */
  services?: Services
  /** Why the latest configuration is not what runs, if it is not. */
  trouble?: () => string | undefined
}

/** What may be done where. */
const ALLOWED: Record<string, string> = {
  mcp: 'POST, GET, DELETE',
  sse: 'POST, GET, DELETE',
  messages: 'POST',
  message: 'POST',
  '/health': 'GET, HEAD',
  '/tools': 'GET, HEAD',
  '/tools/call': 'POST',
  '/config/services': 'GET, HEAD, POST',
  '/config/services/:name': 'DELETE',
}

/** All that follows from the configuration, made anew when it changes. */
class Rules {
  readonly door: Door
  readonly guard: Guard
  readonly entrances: Entrances
  readonly base: string
  readonly paths: { mcp: RegExp; path: RegExp }

  /** @param key for the ids of tokens: of who listens, and the same as long as that does. */
  constructor(gateway: Gateway, { auth, gateway: options, mcpServers }: Config, key: Uint8Array) {
    const open = Object.entries(mcpServers).filter(([, server]) => server.public)
    this.door = new Door(options)
    this.guard = new Guard(auth, new Set(open.map(([name]) => name)), { key })
    this.entrances = new Entrances(gateway)
    this.base = basePath(options)
    this.paths = pathsBelow(this.base)
  }
}

interface Bindings {
  Bindings: { server: Server }
}

/** @throws {Error} with code `EADDRINUSE` and the like. */
export function listen(
  gateway: Gateway,
  { version, observe, services, trouble }: Listening,
): Listener {
  const options = () => gateway.config.gateway
  const started = performance.now()
  const sessions = new Sessions(options)
  const legacy = new Legacy(options, sessions, observe)
  const sse = new Sse(options, sessions, observe)
  const rest = new Rest(options, version, sessions, observe)
  const key = crypto.getRandomValues(new Uint8Array(32))
  let rules = new Rules(gateway, gateway.config, key)
  let stopping = false

  const app = new Hono<Bindings>({ getPath: ({ url }) => rules.paths.path.exec(url)?.[1] ?? '/' })
  const whoIs = (c: Context) => rules.guard.identify(c.req.raw.headers, undefined, '')
  app.get('/health', async (c) => {
    const upstreams = gateway.status
    const failing = Object.values(upstreams).some(({ state }) => state !== 'ready')
    const error = trouble?.()
    const status = stopping ? 'stopping' : failing || error ? 'degraded' : 'ok'
    const ready = Object.values(upstreams).some(({ state }) => state === 'ready')
    // What runs here is not everybody's business.
    const principal = await Promise.resolve(c)
      .then(whoIs)
      .catch(() => undefined)
    if (!principal) return c.json({ status, version, ready }, stopping ? 503 : 200)
    const shown = rules.entrances.servers(principal).map((name) => [name, upstreams[name]])
    const body = {
      status,
      version,
      uptime: Math.round((performance.now() - started) / 1000),
      timestamp: new Date().toISOString(),
      ready,
      sessions: sessions.count,
      ...(error === undefined ? {} : { configuration: { error } }),
      upstreams: Object.fromEntries(shown),
    }
    return c.json(body, stopping ? 503 : 200)
  })
  app.get('/tools', async (c) => {
    const principal = await whoIs(c)
    const names = rules.entrances.servers(principal)
    if (names.length === 0) return c.json({ tools: [] })
    const server = c.req.query('server')
    if (server !== undefined && !names.includes(server)) {
      throw new GatewayError('endpoint_unknown', `there is no server "${server}"`)
    }
    return rest.list(rules.entrances.at('', queryOf(c.req.url), principal), principal, server)
  })
  app.post('/tools/call', async (c) => {
    const request = c.req.raw
    const principal = await whoIs(c)
    // A tool may take as long as it likes. The connection would keep that, also when it is idle.
    c.env.server.timeout(request, 0)
    try {
      const entrance = rules.entrances.at('', queryOf(request.url), principal)
      return await rest.call(request, entrance, principal)
    } finally {
      c.env.server.timeout(request, IDLE_TIMEOUT)
    }
  })
  const admitted = async (c: Context<Bindings>): Promise<Services> => {
    const { guard } = rules
    const principal = await Promise.resolve(c)
      .then(whoIs)
      .catch(() => undefined)
    const peer = c.env.server.requestIP(c.req.raw)?.address
    admit(c.req.raw, { principal, isOpen: guard.isOpen, peer })
    if (services) return services
    throw new GatewayError('endpoint_unknown', 'services cannot be added here')
  }
  app.get('/config/services', async (c) => listServices(await admitted(c)))
  app.post('/config/services', async (c) => putService(await admitted(c), c.req.raw))
  app.delete('/config/services/:name', async (c) => {
    return removeService(await admitted(c), c.req.raw, c.req.param('name'))
  })
  app.on(
    'ALL',
    [...Object.keys(ALLOWED).filter((path) => path.startsWith('/'))],
    ({ req: { method, routePath } }) => {
      throw new GatewayError('method_not_allowed', `${method}: use ${ALLOWED[routePath]}`)
    },
  )
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
    const face = /^\/(tools|config)/.test(path) ? restError : rpcError
    return refusal(raw.signal.aborted ? CLIENT_LEFT : error, observe, ALLOWED[path], face)
  })

  /** Past Hono, which would cost a twelfth of the rate of small calls. */
  const answer = async (request: Request, server: Server): Promise<Response> => {
    const route = rules.paths.mcp.exec(request.url)
    if (!route) return app.fetch(request, { server })
    const [, name = '', token, kind = '', query] = route
    try {
      const known = rules.guard.identify(request.headers, token, name)
      const principal: Principal = known instanceof Promise ? await known : known
      const entrance = rules.entrances.at(name, query, principal)
      if (kind.startsWith('message')) {
        if (request.method !== 'POST') {
          throw new GatewayError('method_not_allowed', `${request.method}: use POST`)
        }
        const session = new URLSearchParams(query).get('sessionId')
        return await sse.post(request, session, entrance, principal)
      }
      // Who has a session id speaks Streamable HTTP, and only looks for it here first.
      const { method, headers } = request
      if (kind === 'sse' && method === 'GET' && !headers.has('mcp-session-id')) {
        const place = [rules.base, name, token].filter(Boolean).join('/')
        const messages = `${place && (rules.base ? place : `/${place}`)}/messages?sessionId=`
        const narrowing = entrance.narrowing && `&${entrance.narrowing}`
        return sse.open(request, entrance, principal, (id) => messages + id + narrowing)
      }
      return await legacy.handle(request, entrance, principal)
    } catch (error) {
      return refusal(request.signal.aborted ? CLIENT_LEFT : error, observe, ALLOWED[kind])
    }
  }

  const port = new Port(gateway.config, {
    error: (error) => refusal(error, observe),
    fetch(request, server) {
      const origin = request.headers.get('origin')
      const forbidden = rules.door.refuses(request, origin)
      if (forbidden) return refusal(forbidden, observe)
      if (origin === null) return answer(request, server)
      if (isPreflight(request)) return shared(preflight(), origin)
      return answer(request, server).then((response) => shared(response, origin))
    },
  })

  return {
    get url() {
      return port.url
    },
    apply(next, options) {
      port.apply(next)
      const changes = gateway.apply(next, options)
      rules = new Rules(gateway, next, key)
      sessions.sift((principal, entrance) => {
        return rules.guard.isStill(principal) && isThere(entrance)
      })
      return changes
    },
    async close({ drain }) {
      stopping = true
      sessions.drain()
      const deadline = performance.now() + drain
      // Still listening: a call in flight may wait for what its client answers to a question.
      while (sessions.isWorking && performance.now() < deadline) await Bun.sleep(10)
      sessions.close('the gateway is shutting down')
      // What was answered last may still be on its way to a slow reader.
      await port.stop(Math.max(500, deadline - performance.now()))
    },
  }
}

type Options = Config['gateway']

/** Nobody reads this answer; it tells the log that nothing broke. */
const CLIENT_LEFT = new GatewayError(
  'invalid_request',
  'the client left in the middle of its request',
)

/** Without slash at its end: '' or `/gw`. */
function basePath({ baseURL }: Options): string {
  return baseURL === undefined ? '' : new URL(baseURL).pathname.replace(/\/+$/, '')
}

/** The patterns of URLs. `mcp` finds name, token, kind and query; `path` what comes after the base path. */
function pathsBelow(base: string): { mcp: RegExp; path: RegExp } {
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

function isThere(entrance: Entrance): boolean {
  try {
    entrance.endpoint()
    return true
  } catch {
    return false
  }
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
  const headers = new Headers({ 'content-type': 'application/json', ...known?.headers })
  if (known?.code === 'method_not_allowed' && allowed) headers.set('allow', allowed)
  return new Response(text(thrown), { status: known?.status ?? 500, headers })
}
