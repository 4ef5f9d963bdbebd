/** The configurations of mcp-proxy: `mcpProxy` and `mcpServers`, and the older `server` and `clients`. */
import type { Path } from '../document.ts'
import type { Draft } from '../draft.ts'
import { listenAddress } from './address.ts'
import { milliseconds } from './duration.ts'
import { type Environment, format, type Root } from './format.ts'
import { adaptLogins, hasLogins, tellOfBoth } from './logins.ts'
import { LESS_ENVIRONMENT, setOurs } from './ours.ts'
import { adaptServer, type Entry, entriesOf, isCommand, isTimed } from './proxied.ts'
import { PROXY_FILE, type ProxyFile, type ProxyOptions } from './proxyfile.ts'
import { adaptTokens, type Tokens } from './tokens.ts'

export const PROXY = format({
  name: 'mcp-proxy',
  fits: (root) => Object.hasOwn(root, 'mcpProxy'),
  schema: PROXY_FILE,
  adapt,
})

export const PROXY_OLD = format({
  name: 'mcp-proxy (old)',
  fits: (root) =>
    hasListener(root) || (Object.hasOwn(root, 'clients') && !Object.hasOwn(root, 'mcpServers')),
  schema: PROXY_FILE,
  adapt,
})

function hasListener({ server }: Root): boolean {
  if (typeof server !== 'object' || server === null) return false
  return ['addr', 'baseURL', 'globalAuthTokens'].some((key) => Object.hasOwn(server, key))
}

function adapt(file: ProxyFile, draft: Draft, env: Environment): void {
  const options = file.mcpProxy?.options ?? {}
  const optionsAt = ['mcpProxy', 'options']
  adaptListener(file, draft)
  setOurs(file.gateway, draft)
  draft.set(['mcpServers'], {}, [file.mcpServers || !file.clients ? 'mcpServers' : 'clients'])

  const entries = withoutTwins(entriesOf(file, draft), draft)
  const inherited = { panicIfInvalid: options.panicIfInvalid ?? false, optionsAt }
  const adapted = new Set<string>()
  for (const entry of entries) {
    if (!adapted.has(entry.name)) adaptServer(entry, inherited, draft)
    adapted.add(entry.name)
  }
  adaptLogins(file, entries, draft)
  adaptTokens(entries, { ...tokensOf(file), hasLogins: hasLogins(file) }, draft)
  tellOfBoth(file, draft)

  tellOfOptions(options, optionsAt, draft)
  tellOfServers(entries, draft)
  tellOfLogging(options, optionsAt, entries, draft)
  const bare = bareVariable(draft.native, env)
  if (bare) draft.warn(draft.from(bare), BARE)
}

/** Tokens for servers that name none; and those of the old format, which are for all. */
function tokensOf({ mcpProxy, server }: ProxyFile): { inherited: Tokens; added: Tokens } {
  const proxys = mcpProxy?.options?.authTokens
  const globals: Tokens = {
    list: server?.globalAuthTokens ?? [],
    at: ['server', 'globalAuthTokens'],
  }
  return {
    inherited: mcpProxy
      ? { list: proxys ?? [], at: ['mcpProxy', 'options', 'authTokens'] }
      : globals,
    added: mcpProxy ? { ...globals, list: [] } : globals,
  }
}

const PORT = 9090

function adaptListener({ mcpProxy, server }: ProxyFile, draft: Draft): void {
  const { addr, baseURL } = mcpProxy ?? server ?? {}
  const from = [mcpProxy || !server ? 'mcpProxy' : 'server']
  if (mcpProxy && server) {
    draft.warn(['server'], 'is not looked at, because there is "mcpProxy"; leave it out')
  }
  const address = listenAddress(addr || `:${PORT}`)
  if (!addr) draft.warn(from, `has no "addr"; port ${PORT} is taken, so write "addr": ":${PORT}"`)
  if (!address) draft.refuse([...from, 'addr'], 'expected "HOST:PORT", "[IPv6]:PORT" or ":PORT"')
  draft.set(['gateway', 'host'], address?.host, [...from, 'addr'])
  draft.set(['gateway', 'port'], address?.port, [...from, 'addr'])

  const base = [...from, 'baseURL']
  // What begins with a variable is judged when that is replaced.
  if (baseURL && !/^(\w+:\/\/|\$\{)/.test(baseURL)) {
    draft.refuse(base, 'has no scheme; write it in front: "https://HOST/PATH"')
  } else draft.set(['gateway', 'baseURL'], baseURL || undefined, base)

  const { type } = mcpProxy ?? {}
  if (type && !/^(sse|streamable-http)$/.test(type)) {
    draft.refuse(
      ['mcpProxy', 'type'],
      'expected "sse" or "streamable-http"; both are served anyway',
    )
  }
}

/** `NAME` and `NAME/TOKEN` are one server, if nothing but their tokens differs. */
function withoutTwins(entries: readonly Entry[], draft: Draft): Entry[] {
  const first = new Map<string, string>()
  return entries.filter(({ name, at, server, options }) => {
    const text = JSON.stringify({
      ...{ ...server, options: undefined },
      ...{ ...options, authTokens: undefined },
    })
    const other = first.get(name) ?? text
    first.set(name, other)
    if (other !== text) {
      const what = 'another server has this name, without what follows "/"; call one differently'
      draft.refuse(at, what)
    }
    return other === text
  })
}

function tellOfOptions(options: ProxyOptions, at: Path, draft: Draft): void {
  for (const key of ['toolFilter', 'userFilter', 'disabled'] as const) {
    if (!options[key]) continue
    draft.warn([...at, key], 'is not inherited by servers, nor is it by mcp-proxy; write it there')
  }
}

function tellOfServers(entries: readonly Entry[], draft: Draft): void {
  const tell = (
    concerned: (entry: Entry) => unknown,
    at: (entry: Entry) => Path,
    what: (names: string) => string,
  ) => {
    const all = entries.filter(concerned)
    const names = [...new Set(all.map(({ name }) => name))].join(', ')
    if (all[0]) draft.warn(at(all[0]), what(names))
  }
  tell(
    ({ server }) => server.oauth,
    ({ at }) => [...at, 'oauth'],
    (names) =>
      `logging in at a server is not available yet; without a login are called: ${names}. Until then a token may stand in "headers"`,
  )
  tell(
    ({ options }) => options.oauth2,
    ({ optionsAt }) => [...optionsAt, 'oauth2'],
    () => 'has no effect at a server, nor has it in mcp-proxy; it belongs in "mcpProxy.options"',
  )
  tell(
    (entry) => !isTimed(entry) && hasTimeout(entry),
    ({ reachedAt }) => [...reachedAt, 'timeout'],
    (names) =>
      `ends calls to every kind of server here; older versions of mcp-proxy do not heed it at: ${names}`,
  )
  tell(
    (entry) => isCommand(entry) && !entry.server.inheritEnv && !entry.options.disabled,
    ({ at }) => at.slice(0, 1),
    () => LESS_ENVIRONMENT,
  )
}

function hasTimeout({ server: { timeout } }: Entry): boolean {
  return (milliseconds(timeout ?? 0) ?? 0) >= 1
}

function tellOfLogging(
  options: ProxyOptions,
  optionsAt: Path,
  entries: readonly Entry[],
  draft: Draft,
): void {
  const all = [{ options, optionsAt }, ...entries]
  const first = all.find(({ options }) => options.logEnabled)
  const what = 'requests are logged for all servers or for none: start with --log-level debug'
  if (first) draft.warn([...first.optionsAt, 'logEnabled'], what)
}

const BARE =
  'has a variable written as $NAME, which newer versions of mcp-proxy replace; write ${NAME} to have it replaced here, too'

/** Where a variable that is set is written without braces. */
function bareVariable(value: unknown, env: Environment, path: Path = []): Path | undefined {
  if (typeof value === 'string') {
    const names = [...value.matchAll(/\$([A-Za-z_]\w*)/g)].map(([, name]) => name!)
    return names.some((name) => env[name] !== undefined) ? path : undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const isList = Array.isArray(value)
  for (const [key, inner] of Object.entries(value)) {
    const found = bareVariable(inner, env, [...path, isList ? Number(key) : key])
    if (found) return found
  }
  return undefined
}
