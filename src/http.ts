/**
 * Every route and every middleware. The only file that knows paths.
 *
 * `[BASE][/NAME[/TOKEN]]/mcp` is a server or a group, and without NAME all servers merged. BASE is the path of
 * `gateway.baseURL`; it may be missing, because the proxy in front may take it off.
 */
import type { Services } from './admin/services.ts'
import { withMetadata } from './auth/challenge.ts'
import { Guard } from './auth/guard.ts'
import type { Issuer } from './auth/issuer.ts'
import { metadataURL } from './auth/metadata.ts'
import type { AuthorizationServer } from './auth/server.ts'
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
import { type House, Knocking } from './knock.ts'
import { Port, type Server } from './port.ts'
import { FOR_ALL_ORIGINS, isRoute, routes } from './routes.ts'
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
  /** Undefined where nobody can log in. */
  authorization?: () => AuthorizationServer | undefined
}

/** What may be done at an endpoint. */
const METHODS: Record<string, string> = {
  mcp: 'POST, GET, DELETE',
  sse: 'POST, GET, DELETE',
  messages: 'POST',
  message: 'POST',
}

/** All that follows from the configuration, made anew when it changes. */
class Rules {
  readonly door: Door
  readonly guard: Guard
  readonly entrances: Entrances
  readonly base: string
  readonly paths: { mcp: RegExp; path: RegExp }

  /** @param key for the ids of tokens: of who listens, and the same as long as that does. */
  constructor(
    gateway: Gateway,
    { auth, gateway: options, mcpServers }: Config,
    key: Uint8Array,
    authorization: AuthorizationServer | undefined,
  ) {
    const open = Object.entries(mcpServers).filter(([, server]) => server.public)
    this.door = new Door(options)
    this.guard = new Guard(auth, new Set(open.map(([name]) => name)), {
      key,
      logins: authorization?.logins,
    })
    this.entrances = new Entrances(gateway)
    this.base = basePath(options)
    this.paths = pathsBelow(this.base)
  }
}

/** @throws {Error} with code `EADDRINUSE` and the like. */
export function listen(
  gateway: Gateway,
  { version, observe, services, trouble = nothing, authorization = nothing }: Listening,
): Listener {
  const options = () => gateway.config.gateway
  const sessions = new Sessions(options)
  const legacy = new Legacy(options, sessions, observe)
  const sse = new Sse(options, sessions, observe)
  const rest = new Rest(options, version, sessions, observe)
  const key = crypto.getRandomValues(new Uint8Array(32))
  let rules = new Rules(gateway, gateway.config, key, authorization())
  let stopping = false

  const house: House = {
    get guard() {
      return rules.guard
    },
    get entrances() {
      return rules.entrances
    },
    get revision() {
      return sessions.revision
    },
  }
  const pathOf = (url: string) => {
    const whole = URL.parse(url)?.pathname ?? '/'
    // The path of `baseURL` may be called like one of our own.
    return isRoute(whole) ? whole : (rules.paths.path.exec(url)?.[1] ?? '/')
  }
  const listenToLogins = () => {
    const server = authorization()
    if (!server) return
    server.onRevoked = (id) => endLogins(new Set([id]))
  }
  const endLogins = (ended: Set<string>) => {
    const isGood = ({ grantId }: Principal) => grantId === undefined || !ended.has(grantId)
    if (ended.size > 0) sessions.sift(isGood, 'its login has ended')
  }
  listenToLogins()
  // Open streams ask nothing, and so do not hear of what another process has revoked. If the store fails, others tell of it.
  const watch = setInterval(() => {
    authorization()?.ended(sessions.grantIds).then(endLogins, nothing)
  }, REVOCATION)
  watch.unref()
  const issuerOf = (request: Request) => authorization()?.issuer(request)
  const app = routes({
    ...{ gateway, rest, version, sessions, services, trouble, authorization },
    house,
    pathOf,
    isStopping: () => stopping,
  })
  app.onError((thrown, { req: { raw, path } }) => {
    if (raw.signal.aborted) return refusal(CLIENT_LEFT, observe)
    const face = /^\/(tools|config|oauth)/.test(path) ? restError : rpcError
    const error = led(thrown, () => issuerOf(raw), '')
    return refusal(error, observe, undefined, face)
  })

  /** Past Hono, which would cost a twelfth of the rate of small calls. */
  const answer = async (request: Request, server: Server): Promise<Response> => {
    const route = rules.paths.mcp.exec(request.url)
    if (!route) return app.fetch(request, { server })
    const [, name = '', token, kind = '', query] = route
    try {
      const knocking = Knocking.at(request, { name, token, query }, house)
      const knock = knocking instanceof Promise ? await knocking : knocking
      if (kind.startsWith('message')) {
        if (request.method !== 'POST') {
          throw new GatewayError('method_not_allowed', `${request.method}: use POST`)
        }
        const session = new URLSearchParams(query).get('sessionId')
        return await sse.post(session, knock)
      }
      // Who has a session id speaks Streamable HTTP, and only looks for it here first.
      const { method, headers } = request
      if (kind === 'sse' && method === 'GET' && !headers.has('mcp-session-id')) {
        const place = [rules.base, name, token].filter(Boolean).join('/')
        const messages = `${place && (rules.base ? place : `/${place}`)}/messages?sessionId=`
        const narrowing = knock.entrance.narrowing && `&${knock.entrance.narrowing}`
        return sse.open(request, knock, (id) => messages + id + narrowing)
      }
      return await legacy.handle(request, knock)
    } catch (error) {
      if (request.signal.aborted) return refusal(CLIENT_LEFT, observe)
      const known = led(error, () => issuerOf(request), name, kind === 'mcp' ? 'mcp' : 'sse')
      return refusal(known, observe, METHODS[kind])
    }
  }

  const port = new Port(gateway.config, {
    error: (error) => refusal(error, observe),
    fetch(request, server) {
      const origin = request.headers.get('origin')
      const isForAll = origin !== null && isForAllOrigins(pathOf(request.url), gateway.config)
      const forbidden = rules.door.refuses(request, isForAll ? null : origin)
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
      rules = new Rules(gateway, next, key, authorization())
      listenToLogins()
      const isGood = (principal: Principal, entrance: Entrance) =>
        rules.guard.isStill(principal) && isThere(entrance)
      sessions.sift(isGood, 'the configuration has changed')
      return changes
    },
    async close({ drain }) {
      stopping = true
      clearInterval(watch)
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

/** A revocation counts within so many ms. */
const REVOCATION = 1000

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
      `${start}(?:/((?!\\.)[^/?#]+)(?:/([^/?#]+))?)?/(mcp|sse|messages?)/?(?:\\?([^#]*))?(?:#|$)`,
    ),
    path: new RegExp(`${start}(/[^?#]*)?`),
  }
}

/** Where only some addresses may register, a page in the browser of one of them must not do it for others. */
function isForAllOrigins(path: string, { auth: { oauth } }: Config): boolean {
  if (path === '/oauth/register' && oauth && oauth.allowedIPs.length > 0) return false
  return FOR_ALL_ORIGINS.test(path)
}

function nothing(): undefined {}

/** An error that leads to where clients find out how to log in, if it asks for that. */
function led(
  error: unknown,
  issuer: () => Issuer | undefined,
  endpoint: string,
  kind?: 'mcp' | 'sse',
): unknown {
  if (!(error instanceof GatewayError) || !error.headers?.['www-authenticate']) return error
  try {
    const known = issuer()
    return known ? withMetadata(error, metadataURL(known, endpoint, kind)) : error
  } catch {
    // Who came by a name that we do not know is told of no other.
    return error
  }
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
