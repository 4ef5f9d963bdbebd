/** Who logs in at mcp-proxy, and who of them may use which server: its `oauth2`, and the `userFilter` of each server. */
import type { Path } from '../document.ts'
import type { Draft } from '../draft.ts'
import type { Entry } from './proxied.ts'
import type { ProxyFile, ProxyOptions } from './proxyfile.ts'

type OAuth2 = NonNullable<ProxyOptions['oauth2']>

const AT = ['mcpProxy', 'options', 'oauth2']
const TO = ['auth', 'oauth']

/** Whether there are logins: only what is said of the proxy itself counts. */
export function hasLogins({ mcpProxy }: ProxyFile): boolean {
  return mcpProxy?.options?.oauth2?.enabled ?? false
}

/** Writes `auth.oauth`, if there are logins, and where they are kept. */
export function adaptLogins(file: ProxyFile, entries: readonly Entry[], draft: Draft): void {
  const { mcpProxy, gateway } = file
  const oauth2 = mcpProxy?.options?.oauth2
  if (!oauth2?.enabled) {
    tellOfFilters(entries, draft)
    return
  }
  const { tokenExpirationMinutes: minutes, persistenceDir, disableTokenExpiration } = oauth2
  const set = (key: string, value: unknown) => draft.set([...TO, key], value, [...AT, key])
  draft.set(TO, {}, AT)
  adaptUsers(oauth2, limitsOf(entries, draft), draft)
  if (oauth2.allowedIPs && oauth2.allowedIPs.length > 0) {
    set('allowedIPs', oauth2.allowedIPs)
    if (!gateway?.trustedProxies) draft.warn([...AT, 'allowedIPs'], SPOOFABLE)
  }
  // To the program that this is written for, others than these say nothing.
  if (minutes && minutes > 0) set('tokenExpirationMinutes', minutes)
  set('templateDir', oauth2.templateDir || undefined)
  if (disableTokenExpiration) draft.warn([...AT, 'disableTokenExpiration'], EXPIRING)
  if (persistenceDir) {
    const from = [...AT, 'persistenceDir']
    if (gateway?.dataDir !== undefined) draft.warn(from, ELSEWHERE)
    else draft.set(['gateway', 'dataDir'], persistenceDir, from)
  }
  if (!isStreamable(file)) draft.warn(mcpProxy?.type ? ['mcpProxy', 'type'] : AT, WITH_SSE)
}

/** Tells that tokens go on letting in, if there are any beside logins: for when `auth.tokens` is written. */
export function tellOfBoth(file: ProxyFile, draft: Draft): void {
  const { tokens } = (draft.native.auth ?? {}) as { tokens?: unknown[] }
  if (tokens && hasLogins(file) && isStreamable(file)) {
    draft.warn(draft.from(['auth', 'tokens', 0]), BOTH)
  }
}

function isStreamable({ mcpProxy }: ProxyFile): boolean {
  return mcpProxy?.type === 'streamable-http'
}

const SPOOFABLE =
  'mcp-proxy believes whoever sends a header with an address, such as X-Forwarded-For; here only those that "gateway.trustedProxies" names are believed: write the addresses of your proxies there, if there are any'
const EXPIRING =
  'tokens expire, by default after an hour: clients renew them by themselves, and a login ends after 30 days without use; for another time write "tokenExpirationMinutes"'
const ELSEWHERE =
  'is not looked at, because there is "gateway.dataDir"; move its "oauth_clients.json" there, and clients and logins are taken over'
const WITH_SSE =
  'mcp-proxy ignores "oauth2" unless "type" is "streamable-http"; here logins hold for both transports, so whoever comes without a token has to log in'
const BOTH =
  'mcp-proxy takes no tokens of "authTokens" where people log in, or only newer versions of it do; here they are good besides; leave them out to let in only who logs in'

function adaptUsers({ users }: OAuth2, limits: readonly Limit[], draft: Draft): void {
  const names = Object.keys(users ?? {})
  if (names.length === 0) {
    draft.warn(AT, 'has no "users", so nobody can log in; write "users": {"NAME": "PASSWORD"}')
    return
  }
  draft.set([...TO, 'users'], {}, [...AT, 'users'])
  for (const name of names) {
    const to = [...TO, 'users', name]
    const from = [...AT, 'users', name]
    const closed = limits.filter(({ admits }) => !admits(name))
    if (closed.length === 0) {
      draft.set(to, users![name], from)
      continue
    }
    draft.set([...to, 'password'], users![name], from)
    const open = limits.filter((limit) => !closed.includes(limit))
    draft.set(
      [...to, 'servers'],
      open.map(({ server }) => server),
      closed[0]!.at,
    )
  }
}

/** Who may use a server. */
interface Limit {
  server: string
  at: Path
  /** Whether it was meant to keep somebody out. */
  isFilter: boolean
  admits: (user: string) => boolean
}

/** Of every server one, in their order. Of those that change anything it is told. */
function limitsOf(entries: readonly Entry[], draft: Draft): Limit[] {
  const limits = new Map<string, Limit>()
  for (const entry of entries) {
    // Of a server that is there with and without a token, all else is the same.
    if (!limits.has(entry.name)) limits.set(entry.name, limitOf(entry, draft))
  }
  const all = [...limits.values()]
  const filters = all.filter(({ isFilter }) => isFilter)
  if (filters[0]) draft.warn(filters[0].at, limiting(filters.map(({ server }) => server)))
  return all
}

function limitOf({ name, options: { userFilter }, optionsAt }: Entry, draft: Draft): Limit {
  const at = [...optionsAt, 'userFilter']
  const none = { server: name, at, isFilter: false, admits: () => true }
  if (!userFilter) return none
  const mode = userFilter.mode?.toLowerCase()
  const listed = new Set(userFilter.list)
  if (listed.size === 0) {
    draft.warn(at, 'names nobody in its "list", so everybody who logs in may use the server')
  } else if (mode === 'allow' || mode === 'block') {
    return { ...none, isFilter: true, admits: (user) => listed.has(user) === (mode === 'allow') }
  } else draft.warn(userFilter.mode ? [...at, 'mode'] : at, NO_MODE)
  return none
}

const NO_MODE =
  'the mode is neither "allow" nor "block", so everybody who logs in may use the server; write one'

function limiting(servers: string[]): string {
  return `limits who of those that log in may use: ${servers.join(', ')}; in mcp-proxy it was to do so, and did not. Tokens of "authTokens" are not limited by it`
}

/** Without logins there is nobody to limit. */
function tellOfFilters(entries: readonly Entry[], draft: Draft): void {
  const first = entries.find(({ options }) => options.userFilter)
  const what =
    'limits nobody, because nobody logs in: that is enabled by "mcpProxy.options.oauth2" (in mcp-proxy it limits nobody anyway)'
  if (first) draft.warn([...first.optionsAt, 'userFilter'], what)
}
