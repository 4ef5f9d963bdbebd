/** The configuration of the gateway to the services of one provider: `oauth`, `mcpServer`. Its variables win over the file. */
import * as v from 'valibot'
import { toError } from '../../errors.ts'
import type { Path } from '../document.ts'
import type { Draft } from '../draft.ts'
import { baseURL } from '../values.ts'
import { type Environment, format, type Root } from './format.ts'
import { OUR_GATEWAY, setOurs } from './ours.ts'
import { serviceURL } from './service.ts'

const string = v.optional(v.string())

const FILE = v.looseObject({
  port: v.optional(v.number()),
  gatewayBaseUrl: string,
  oauth: v.optional(
    v.looseObject({
      clientId: string,
      authorizationEndpoint: string,
      tokenEndpoint: string,
      scope: string,
      callbackPort: v.optional(v.number()),
    }),
  ),
  mcpServer: v.optional(
    v.looseObject({
      baseUrl: string,
      services: v.optional(v.record(v.string(), v.string())),
    }),
  ),
  gateway: v.optional(v.looseObject(OUR_GATEWAY)),
})
type File = v.InferOutput<typeof FILE>

export const PROVIDER = format({ name: 'the provider gateway', fits, schema: FILE, adapt })

function fits(root: Root): boolean {
  const { mcpServer, oauth } = root
  const has = (value: unknown, keys: string[]) =>
    typeof value === 'object' && value !== null && keys.some((key) => Object.hasOwn(value, key))
  if (Object.hasOwn(root, 'mcpServers') || Object.hasOwn(root, 'servers')) return false
  return (
    has(mcpServer, ['services', 'baseUrl']) ||
    Object.hasOwn(root, 'gatewayBaseUrl') ||
    has(oauth, ['clientId'])
  )
}

const PORT = 3000
const SERVICES = 'https://openapi-mcp-intl.vpc-proxy.aliyuncs.com'

function adapt(file: File, draft: Draft, env: Environment): void {
  draft.set(['gateway', 'host'], '0.0.0.0', [])
  draft.set(['gateway', 'port'], portOf(file, env, draft), ['port'])
  const base = urlOf('GATEWAY_BASE_URL', file.gatewayBaseUrl, ['gatewayBaseUrl'], env, draft)
  draft.set(['gateway', 'baseURL'], base, ['gatewayBaseUrl'])
  draft.set(['gateway', 'logLevel'], logLevelOf(env, draft), [])
  const servicesAt = ['mcpServer', 'baseUrl']
  const written = file.mcpServer?.baseUrl
  const services = urlOf('MCP_SERVER_BASE_URL', written || SERVICES, servicesAt, env, draft)
  draft.set(['gateway', 'servicesURL'], services, servicesAt)
  setOurs(file.gateway, draft)

  draft.set(['mcpServers'], {}, ['mcpServer', 'services'])
  // If it is none, that is what is wrong, and not every service.
  if (isVariable(services) || v.is(baseURL, services)) adaptServices(file, services, draft)
  tellOfLogins(file, env, draft)
}

function adaptServices({ mcpServer }: File, base: string, draft: Draft): void {
  for (const [alias, path] of Object.entries(mcpServer?.services ?? {})) {
    const from = ['mcpServer', 'services', alias]
    const to = ['mcpServers', alias]
    draft.set(to, {}, from)
    try {
      const { href, pathname, search } = serviceURL(path, isVariable(base) ? SERVICES : base)
      const url = isVariable(base) ? base.replace(/\/*$/, '') + pathname + search : href
      draft.set([...to, 'url'], url, from)
      draft.set([...to, 'type'], 'streamable-http', from)
    } catch (error) {
      draft.refuse(from, toError(error).message)
    }
  }
}

/** Not replaced yet: it is when what is written here is read. */
function isVariable(url: string | undefined): url is string {
  return url?.startsWith('${') ?? false
}

function portOf({ port = PORT }: File, { MCP_GATEWAY_PORT: given }: Environment, draft: Draft) {
  if (!given) return port
  if (/^\d{1,5}$/.test(given) && Number(given) >= 1 && Number(given) <= 65535) return Number(given)
  draft.refuse(['port'], 'the variable MCP_GATEWAY_PORT must be a number from 1 to 65535')
  return undefined
}

/** What a variable says, else the file. Of the variable it is judged here, where it still has its name. */
function urlOf(
  variable: string,
  written: string | undefined,
  from: Path,
  env: Environment,
  draft: Draft,
): string | undefined {
  const given = env[variable]
  if (!given) return written || undefined
  const { success, issues } = v.safeParse(baseURL, given)
  if (success) return given
  draft.refuse(from, `the variable ${variable} ${issues[0].message}`)
  return undefined
}

const LEVELS = ['debug', 'info', 'warn', 'error']

function logLevelOf({ LOG_LEVEL: given }: Environment, draft: Draft): string | undefined {
  const level = given?.toLowerCase()
  if (!level || LEVELS.includes(level)) return level || undefined
  draft.warn([], `the variable LOG_LEVEL is none of ${LEVELS.join(', ')}; it is taken as info`)
  return undefined
}

/** Its variables are known, and count as soon as there are logins. */
function tellOfLogins({ oauth }: File, env: Environment, draft: Draft): void {
  draft.warn(
    ['oauth'],
    'logging in at the provider is not available yet: services are called without a token, and only clients on this machine may come',
  )
  if (oauth?.clientId || env.OAUTH_CLIENT_ID) return
  const what =
    'has no "clientId", which logging in will need; write it, or set the variable OAUTH_CLIENT_ID'
  draft.warn(['oauth'], what)
}
