/**
 * Every route but the endpoints of MCP: what runs, tools over plain HTTP, services, and the authorization server.
 *
 * Nothing but health, metadata, and what is needed to log in is answered without proof of who asks.
 */
import { type Context, Hono } from 'hono'
import { isLoopback } from './addresses.ts'
import { admit } from './admin/access.ts'
import { listServices, putService, removeService, type Services } from './admin/services.ts'
import type { AuthorizationServer } from './auth/server.ts'
import type { Principal } from './caller.ts'
import type { Rest } from './downstream/rest.ts'
import { GatewayError } from './errors.ts'
import type { Gateway } from './gateway.ts'
import { type House, Knocking } from './knock.ts'
import { IDLE_TIMEOUT, type Server } from './port.ts'

/** What may be done where. */
export const ALLOWED: Record<string, string> = {
  '/health': 'GET, HEAD',
  '/tools': 'GET, HEAD',
  '/tools/call': 'POST',
  '/config/services': 'GET, HEAD, POST',
  '/config/services/:name': 'DELETE',
  '/oauth/register': 'POST',
  '/oauth/token': 'POST',
  '/oauth/revoke': 'POST',
  '/oauth/introspect': 'POST',
  '/oauth/device_authorization': 'POST',
  '/oauth/authorize': 'GET, HEAD, POST',
  '/oauth/device': 'GET, HEAD, POST',
  '/oauth/status': 'GET, HEAD',
  '/oauth/logout': 'POST',
}

/** Whether something is there, whatever may be done with it. */
export const isRoute = (path: string) => Object.hasOwn(ALLOWED, path)

/** What pages on any site may ask for: no cookie goes there, and nothing is told that a program would not be told. */
export const FOR_ALL_ORIGINS =
  /^\/(?:\.well-known\/(?:oauth-|openid-|jwks)[^?]*|oauth\/(?:register|token|revoke|device_authorization))$/

export interface RoutesParts {
  gateway: Gateway
  rest: Rest
  version: string
  house: House
  /** The path of a URL, without that of `gateway.baseURL`. */
  pathOf: (url: string) => string
  sessions: { readonly count: number }
  isStopping: () => boolean
  services: Services | undefined
  trouble: () => string | undefined
  /** Undefined where nobody can log in. */
  authorization: () => AuthorizationServer | undefined
}

interface Bindings {
  Bindings: { server: Server }
}
type Ctx = Context<Bindings>

/** What it refuses, it throws. */
export function routes(parts: RoutesParts): Hono<Bindings> {
  const { gateway, rest, house } = parts
  const app = new Hono<Bindings>({ getPath: ({ url }) => parts.pathOf(url) })
  const whoIs = ({ req }: Ctx, endpoint: string | undefined) =>
    house.guard.identify(req.raw.headers, undefined, endpoint)
  const perhaps = (c: Ctx): Promise<Principal | undefined> =>
    Promise.resolve(c)
      .then((c) => whoIs(c, ''))
      .catch(() => undefined)
  const peerOf = (c: Ctx) => c.env.server.requestIP(c.req.raw)?.address
  /** All servers, as far as the query wants them. */
  const placeOf = ({ req }: Ctx) => ({
    name: '',
    token: undefined,
    query: /\?([^#]*)/.exec(req.url)?.[1],
  })

  const started = performance.now()
  app.get('/health', async (c) => {
    const stopping = parts.isStopping()
    const upstreams = gateway.status
    const failing = Object.values(upstreams).some(({ state }) => state !== 'ready')
    const error = parts.trouble()
    const status = stopping ? 'stopping' : failing || error ? 'degraded' : 'ok'
    const ready = Object.values(upstreams).some(({ state }) => state === 'ready')
    // What runs here is not everybody's business.
    const principal = await perhaps(c)
    const isOpen = house.guard.isOpen
    if (!principal || (principal.kind === 'anonymous' && !isOpen)) {
      return c.json({ status, version: parts.version, ready }, stopping ? 503 : 200)
    }
    const shown = house.entrances.servers(principal).map((name) => [name, upstreams[name]])
    const body = {
      status,
      version: parts.version,
      uptime: Math.round((performance.now() - started) / 1000),
      timestamp: new Date().toISOString(),
      ready,
      sessions: parts.sessions.count,
      ...(error !== undefined && (isOpen || principal.isAdmin) && { configuration: { error } }),
      upstreams: Object.fromEntries(shown),
    }
    return c.json(body, stopping ? 503 : 200)
  })

  app.get('/tools', async (c) => {
    const knock = await Knocking.at(c.req.raw, placeOf(c), house)
    const names = house.entrances.servers(knock.principal)
    if (names.length === 0) return c.json({ tools: [] })
    const server = c.req.query('server')
    if (server !== undefined && !names.includes(server)) {
      throw new GatewayError('endpoint_unknown', `there is no server "${server}"`)
    }
    return rest.list(knock, server)
  })
  app.post('/tools/call', async (c) => {
    const request = c.req.raw
    const knock = await Knocking.at(request, placeOf(c), house)
    // A tool may take as long as it likes. The connection would keep that, also when it is idle.
    c.env.server.timeout(request, 0)
    try {
      return await rest.call(request, knock)
    } finally {
      c.env.server.timeout(request, IDLE_TIMEOUT)
    }
  })

  const admitted = async (c: Ctx): Promise<Services> => {
    const { isOpen } = house.guard
    const { baseURL, trustedProxies } = gateway.config.gateway
    const isFronted = trustedProxies.length > 0 || isElsewhere(baseURL)
    admit(c.req.raw, { principal: await perhaps(c), isOpen, isFronted, peer: peerOf(c) })
    if (parts.services) return parts.services
    throw new GatewayError('endpoint_unknown', 'services cannot be added here')
  }
  app.get('/config/services', async (c) => listServices(await admitted(c)))
  app.post('/config/services', async (c) => putService(await admitted(c), c.req.raw))
  app.delete('/config/services/:name', async (c) =>
    removeService(await admitted(c), c.req.raw, c.req.param('name')),
  )

  /** With the authorization server, where there is one. */
  const where = (answer: (server: AuthorizationServer, c: Ctx) => Response | Promise<Response>) => {
    return (c: Ctx) => {
      const server = parts.authorization()
      if (!server) throw nothingAt(c.req.path)
      return answer(server, c)
    }
  }
  app.get(
    '/.well-known/*',
    where((server, { req }) => {
      const document = server.document(req.raw, req.path)
      if (document) return document
      throw nothingAt(req.path)
    }),
  )
  app.post(
    '/oauth/register',
    where((server, c) => server.register(c.req.raw, peerOf(c))),
  )
  app.post(
    '/oauth/token',
    where((server, c) => server.token(c.req.raw)),
  )
  app.post(
    '/oauth/revoke',
    where((server, c) => server.revoke(c.req.raw)),
  )
  app.post(
    '/oauth/introspect',
    where(async (server, c) => {
      return server.introspect(c.req.raw, await whoIs(c, ''))
    }),
  )
  app.post(
    '/oauth/device_authorization',
    where((server, c) => server.beginDevice(c.req.raw, peerOf(c))),
  )
  app.get(
    '/oauth/authorize',
    where((server, c) => server.authorize(c.req.raw, peerOf(c))),
  )
  app.get(
    '/oauth/device',
    where((server, c) => server.device(c.req.raw, peerOf(c))),
  )
  app.on(
    'POST',
    ['/oauth/authorize', '/oauth/device'],
    where((server, c) => {
      return server.submit(c.req.raw, peerOf(c))
    }),
  )
  app.get(
    '/oauth/status',
    where(async (server, c) => server.status(c.req.raw, await whoIs(c, undefined))),
  )
  app.post(
    '/oauth/logout',
    where(async (server, c) => server.logout(c.req.raw, await whoIs(c, undefined))),
  )

  app.on('ALL', Object.keys(ALLOWED), ({ req: { method, routePath } }) => {
    if (routePath.startsWith('/oauth') && !parts.authorization()) throw nothingAt(routePath)
    const allow = ALLOWED[routePath]!
    throw new GatewayError('method_not_allowed', `${method}: use ${allow}`, { headers: { allow } })
  })
  app.notFound(({ req: { path } }) => {
    throw nothingAt(path)
  })
  return app
}

/** Whether it is another machine that clients see. */
function isElsewhere(baseURL: string | undefined): boolean {
  return baseURL !== undefined && !isLoopback(new URL(baseURL).hostname)
}

function nothingAt(path: string): GatewayError {
  // What follows may be a token, and what is long is likely to be one.
  const [, word = ''] = path.split('/')
  const first = word.length > 32 ? '…' : word
  const shown = path === `/${first}` ? path : `/${first}/…`
  return new GatewayError('endpoint_unknown', `nothing is at ${shown}`, {
    hint: 'servers are at /NAME/mcp; GET /health lists them',
  })
}
