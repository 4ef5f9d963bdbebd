/**
 * Servers that are added while it runs: `/config/services`, as an older gateway had it, and more.
 *
 * Only URLs are accepted. Whoever may add a server must not thereby start programs here, nor read variables or files:
 * those are named in the configuration file, by whoever writes that.
 */
import { serviceURL } from '../config/compat/service.ts'
import { parseJson, plainValue, SyntaxFault } from '../config/document.ts'
import { ConfigError } from '../config/parse.ts'
import { GatewayError, toError } from '../errors.ts'
import { quoted } from '../events.ts'

export interface Service {
  name: string
  /** Undefined for a command. */
  url: URL | undefined
  source: 'file' | 'api'
}

/** What is configured, as far as it can be changed from here. */
export interface Services {
  /** Where services are that are named by their path; undefined if they cannot be. */
  readonly base: URL | undefined
  /** Those of the file first, also the disabled ones. */
  list(): Service[]
  /**
   * Makes `server` run, and keeps it for the next start.
   *
   * @param server an entry of `mcpServers` in our words, judged by nobody yet. Nothing in it is to be expanded.
   * @throws {ConfigError} as a rejection, with the messages that a file would get.
   * @throws {GatewayError} `conflict` as a rejection, if the name is another's: a group's, or since now the file's.
   */
  put(name: string, server: unknown): Promise<'created' | 'updated'>
  /** False if it is not there. What is in the file is not. */
  remove(name: string): Promise<boolean>
}

/** `{baseUrl, services: {ALIAS: PATH}, servers: {NAME: {url, source}}}`. */
export function listServices(services: Services): Response {
  const servers = services
    .list()
    .map(({ name, url, source }) => [name, { url: url && shown(url), source }])
  return json({
    baseUrl: services.base ? shown(services.base).replace(/\/+$/, '') : null,
    services: pathsOf(services),
    servers: Object.fromEntries(servers),
  })
}

/**
 * Adds or changes one: `{"alias", "path"}`, or `{"alias", "server": {"url", …}}`.
 *
 * @throws {GatewayError} as a rejection, for what it refuses.
 */
export async function putService(services: Services, request: Request): Promise<Response> {
  const { name, server, path } = wanted(await bodyOf(request), services.base)
  if (sourceOf(services, name) === 'file') throw inFile(name)
  const outcome = await services.put(name, server).catch((error) => {
    if (!(error instanceof ConfigError)) throw error
    throw new GatewayError('invalid_params', error.message)
  })
  const now = services.list().find((one) => one.name === name)?.url
  const body = {
    success: true,
    alias: name,
    path: path ?? (now && pathBelow(services.base, now)),
    url: now && shown(now),
    services: pathsOf(services),
  }
  return json(body, outcome === 'created' ? 201 : 200)
}

/** @throws {GatewayError} as a rejection, for what it refuses. */
export async function removeService(
  services: Services,
  request: Request,
  name: string,
): Promise<Response> {
  refuseForms(request)
  if (sourceOf(services, name) === 'file') throw inFile(name)
  if (!(await services.remove(name))) {
    throw new GatewayError('name_unknown', `there is no service ${quoted(name.slice(0, 60))}`, {
      hint: 'GET /config/services lists them',
    })
  }
  return json({ success: true, alias: name, services: pathsOf(services) })
}

function json(value: unknown, status = 200): Response {
  return Response.json(value, { status, headers: { 'cache-control': 'no-store' } })
}

/** Only where it leads: its user, password and query may be secrets. */
function shown({ origin, pathname }: URL): string {
  return origin + pathname
}

/** The paths of those that are below the base, by name. */
function pathsOf(services: Services): Record<string, string> {
  const entries = services.list().flatMap(({ name, url }) => {
    const path = url && pathBelow(services.base, url)
    return path === undefined ? [] : [[name, path] as const]
  })
  return Object.fromEntries(entries)
}

function pathBelow(base: URL | undefined, { origin, pathname }: URL): string | undefined {
  if (!base || origin !== base.origin) return undefined
  const root = base.pathname.replace(/\/+$/, '')
  return pathname.startsWith(`${root}/`) ? pathname.slice(root.length) : undefined
}

function sourceOf(services: Services, name: string): Service['source'] | undefined {
  return services.list().find((one) => one.name === name)?.source
}

function inFile(name: string): GatewayError {
  return new GatewayError('conflict', `"${name}" is in the configuration file, which comes first`, {
    hint: 'change it there, or choose another alias',
  })
}

interface Wanted {
  name: string
  server: Record<string, unknown>
  /** If that is how it was named. */
  path?: string
}

/** What a body asks for, if it may. @throws {GatewayError} `invalid_params` */
function wanted(body: unknown, base: URL | undefined): Wanted {
  const written = isObject(body) ? body : {}
  const { alias, name = alias, path, server, ...others } = written
  refusePrograms(others)
  if (typeof name !== 'string' || name === '' || !(path || server)) {
    throw wrong('Missing alias or path', {
      hint: 'send {"alias": "NAME", "path": "/PATH"} or {"alias": "NAME", "server": {"url": "URL"}}',
    })
  }
  if (alias !== undefined && alias !== name) throw wrong('"alias" and "name" differ; send one')
  refuseName(name)
  if (Object.keys(others).length > 0) {
    throw wrong('only "alias", "path" and "server" are known here', {
      hint: 'options such as "url" and "headers" go into "server"',
    })
  }
  if (path !== undefined && server !== undefined) throw wrong('send either "path" or "server"')
  if (server !== undefined) return { name, server: judged(server) }
  if (typeof path !== 'string') throw wrong('path: expected a string')
  return { name, path, server: { url: below(base, path), type: 'streamable-http' } }
}

function wrong(message: string, detail?: { hint: string }): GatewayError {
  return new GatewayError('invalid_params', message, detail)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** These may stand first in a path, or will one day. */
const RESERVED = new Set(
  'oauth config sse messages message tools health mcp admin metrics dashboard connections'.split(
    ' ',
  ),
)

/** `.well-known` needs no reserving: it begins with a dot. */
function refuseName(name: string): void {
  const got = `got ${quoted(name.slice(0, 60))}`
  if (!/^[a-z0-9][a-z0-9_-]{0,62}$/.test(name)) {
    throw wrong(
      `alias: must be 1 to 63 lower-case letters, digits, "_" and "-", not beginning with "_" or "-", ${got}`,
    )
  }
  if (RESERVED.has(name)) throw wrong(`alias: is a path of the gateway itself, ${got}`)
}

/** Everything that says how a program is started. */
const PROGRAM = ['command', 'args', 'env', 'inheritEnv', 'cwd', 'maxMemory', 'envFile']

function refusePrograms(server: Record<string, unknown>): void {
  const isProgram =
    PROGRAM.some((key) => Object.hasOwn(server, key)) ||
    [server.type, server.transportType].includes('stdio')
  if (!isProgram) return
  throw wrong('commands are never accepted here, only URLs', {
    hint: 'write servers that are started as programs into the configuration file',
  })
}

/** What can be said of a server without its schema: that nothing of this machine is in it. */
function judged(server: unknown): Record<string, unknown> {
  if (!isObject(server)) throw wrong('server: expected an object {…}')
  refusePrograms(server)
  if (typeof server.url !== 'string') throw wrong('server.url: expected a string')
  const headers = isObject(server.headers) ? Object.values(server.headers) : []
  // In a header they would be sent to wherever the URL leads.
  if (headers.some(isObject) || JSON.stringify(server).includes('${')) {
    throw wrong('server: variables and files cannot be referred to here', {
      hint: 'send the value itself, or write the server into the configuration file',
    })
  }
  return server
}

function below(base: URL | undefined, path: string): string {
  if (!base) {
    throw wrong('path: there is no URL for services that are named by their path', {
      hint: 'send {"alias": "NAME", "server": {"url": "URL"}}, or configure gateway.servicesURL',
    })
  }
  try {
    return serviceURL(path, base).href
  } catch (error) {
    throw wrong(toError(error).message)
  }
}

/** Largest body, in bytes. */
const LIMIT = 64 * 1024

async function bodyOf(request: Request): Promise<unknown> {
  refuseForms(request)
  const text = await textOf(request)
  if (text.trim() === '') return undefined
  try {
    return plainValue(parseJson(text))
  } catch (error) {
    if (!(error instanceof SyntaxFault)) throw error
    throw new GatewayError('parse_error', `the body is ${error.message}`)
  }
}

/** A web page can send a form, or a body without type, to anywhere, and with it the user's cookies. (CSRF) */
function refuseForms({ headers, body }: Request): void {
  const type = headers.get('content-type')
  if (type === null && !body) return
  if (type !== null && /^application\/json\s*(;|$)/i.test(type)) return
  throw new GatewayError('unsupported_media_type', 'Content-Type: expected application/json')
}

async function textOf({ headers, body }: Request): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = Number(headers.get('content-length'))
  if (size <= LIMIT) {
    size = 0
    for await (const chunk of body ?? []) {
      size += chunk.length
      if (size > LIMIT) break
      chunks.push(chunk)
    }
  }
  if (size <= LIMIT) return Buffer.concat(chunks).toString()
  throw new GatewayError('body_too_large', `the request body is over ${LIMIT} bytes`)
}
