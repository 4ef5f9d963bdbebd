/**
 * The `mcpServers` of Claude Desktop, Claude Code, Cursor, Windsurf, Cline, Roo Code, Gemini CLI and the like.
 *
 * Ours are called so, too. A file is a client's only if it has something that clients have and we do not, and nothing
 * that only we have: so a slip in a file of ours stays one. Who is asked before a tool is called is a matter of the
 * client (`autoApprove`, `trust` …): that says nothing here.
 */
import * as v from 'valibot'
import { closest } from '../closest.ts'
import type { Path } from '../document.ts'
import type { Draft } from '../draft.ts'
import { WrittenServerSchema } from '../server.ts'
import {
  COMMON,
  ENV_FILE,
  Entries,
  type Entry,
  HELPER,
  IGNORED,
  isObject,
  LOGIN,
  objectsIn,
} from './entry.ts'
import { format, type Root, type Spelling } from './format.ts'
import { editorSpelling, hasPlaceholder } from './placeholders.ts'

const names = v.optional(v.array(v.string()))

/** Only clients have these. */
const THEIRS = {
  serverUrl: v.optional(v.string()),
  httpUrl: v.optional(v.string()),
  disabledTools: names,
  includeTools: names,
  excludeTools: names,
  ...{ envFile: IGNORED, headersHelper: IGNORED },
  ...{ oauth: IGNORED, auth: IGNORED, authProviderType: IGNORED },
  ...{ targetAudience: IGNORED, targetServiceAccount: IGNORED },
  ...{ alwaysAllow: IGNORED, autoApprove: IGNORED, trust: IGNORED },
  ...{ alwaysLoad: IGNORED, watchPaths: IGNORED },
}

/** Clients have these, but then, anybody might write them. */
const COMMONPLACE = {
  enabled: v.optional(v.boolean()),
  tools: v.optional(v.array(v.string())),
  transportType: v.optional(v.string()),
  ...{ description: IGNORED, name: IGNORED, icon: IGNORED },
}

const entry = v.looseObject({ ...COMMON, ...COMMONPLACE, ...THEIRS })
type Server = v.InferOutput<typeof entry>

/** What files of clients hold besides, and ours do not. */
const SETTINGS = new Set(
  `globalShortcut preferences isUsingBuiltInNodeForMcp projects numStartups installMethod oauthAccount
  userID permissions hooks mcp general ui ide context security experimental selectedAuthType theme`.split(
    /\s+/,
  ),
)

const OURS = ['gateway', 'auth', 'defaults', 'groups']
const ONLY_OURS = Object.keys(WrittenServerSchema.entries).filter(
  (key) => !Object.hasOwn(entry.entries, key),
)

const has = (object: object, keys: Iterable<string>) =>
  [...keys].some((key) => Object.hasOwn(object, key))

export const CLIENTS = format({
  name: 'an MCP client',
  fits,
  schema: v.objectWithRest(
    {
      mcpServers: v.optional(v.record(v.string(), entry), {}),
      mcp: v.optional(v.looseObject({ allowed: names, excluded: names, serverCommand: IGNORED })),
    },
    v.unknown(),
  ),
  spelling: spellingOf,
  adapt(written, draft) {
    const { mcpServers: servers } = written
    warnOfRest(written, draft)
    const entries = new Entries(draft, Object.keys(servers), ['mcpServers'])
    const inSeconds = Object.values(servers).some((server) => has(server, SECONDS))
    for (const [name, server] of Object.entries(servers)) {
      const at = ['mcpServers', name]
      const isOff = server.disabled === true || server.enabled === false
      if (server.type === 'ws') {
        if (!isOff) draft.warn([...at, 'type'], 'no server is reached by WebSocket; it is left out')
        continue
      }
      const ours = entries.begin(name, at)
      adaptServer(server, ours, inSeconds)
      const { allowed, excluded = [] } = written.mcp ?? {}
      if (excluded.includes(name)) ours.setFrom('disabled', true, ['mcp', 'excluded'])
      if (allowed && !allowed.includes(name)) ours.setFrom('disabled', true, ['mcp', 'allowed'])
      if (!isOff) warnOfServer(server, (key, what) => entries.warnOnce([...at, key], what))
    }
  },
})

function fits(root: Root): boolean {
  const servers = objectsIn(root.mcpServers)
  const isOurs = (server: object) =>
    has(server, ONLY_OURS) || ('tools' in server && isObject(server.tools))
  if (has(root, OURS) || servers.some(isOurs)) return false
  if (root.mcpServers === undefined) return objectsIn(root.projects).some(hasServers)
  if (!isObject(root.mcpServers)) return false
  const isTheirs = (server: Root) =>
    has(server, Object.keys(THEIRS)) ||
    (Array.isArray(server.tools) && server.tools.includes('*')) ||
    /^(ws|local|remote)$/.test(`${server.type}`)
  return (
    has(root, SETTINGS) || servers.some(isTheirs) || hasPlaceholder(JSON.stringify(root.mcpServers))
  )
}

const hasServers = (project: Root) => objectsIn(project.mcpServers).length > 0

/** Gemini CLI writes `$NAME`, too; elsewhere a dollar is a dollar. */
function spellingOf(root: Root): Spelling {
  const isGemini =
    isObject(root.mcp) || objectsIn(root.mcpServers).some((server) => has(server, GEMINI))
  const spelling = editorSpelling()
  if (!isGemini) return spelling
  return (written, path) => spelling(written, path).replace(/\$([A-Z_][A-Z\d_]*)/g, '${$1}')
}

const GEMINI = ['httpUrl', 'trust', 'includeTools', 'excludeTools', 'authProviderType']
const LOGINS = ['oauth', 'auth', 'authProviderType'] as const

/** Those who write these have timeouts in seconds, of an hour at most. */
const SECONDS = ['alwaysAllow', 'autoApprove', 'watchPaths']
const HOUR = 3600

function adaptServer(server: Server, ours: Entry, inSeconds: boolean): void {
  for (const key of ['command', 'args', 'env', 'cwd', 'headers', 'disabled'] as const) {
    ours.set(key, server[key])
  }
  const url = (['httpUrl', 'serverUrl', 'url'] as const).find((key) => server[key] !== undefined)
  if (url) ours.set('url', server[url], url)
  ours.set('type', typeOf(server), server.type === undefined ? url : 'type')
  ours.set('transportType', server.transportType)
  if (server.enabled === false) ours.set('disabled', true, 'enabled')
  const { timeout, tools } = server
  const isSeconds = inSeconds && timeout !== undefined && timeout <= HOUR
  ours.set('timeout', isSeconds ? timeout * 1000 : timeout)
  if (tools && !tools.includes('*')) ours.setTools('allow', tools, 'tools')
  // Gemini CLI takes `tool(arguments)`, too.
  const included = server.includeTools?.map((tool) => tool.replace(/\(.*$/s, ''))
  ours.setTools('allow', included, 'includeTools')
  const { excludeTools, disabledTools } = server
  const hidden = excludeTools && disabledTools ? [...excludeTools, ...disabledTools] : undefined
  const written = excludeTools ? 'excludeTools' : 'disabledTools'
  ours.setTools('block', hidden ?? excludeTools ?? disabledTools, written)
}

function warnOfServer(server: Server, warn: (key: string, what: string) => void): void {
  if (server.envFile !== undefined) warn('envFile', ENV_FILE)
  if (server.headersHelper !== undefined) warn('headersHelper', HELPER)
  const login = LOGINS.find((key) => isObject(server[key]) || typeof server[key] === 'string')
  if (login) warn(login, LOGIN)
}

/** Undefined if both transports are to be tried. */
function typeOf({ type, httpUrl }: Server): string | undefined {
  if (httpUrl !== undefined) return 'streamable-http'
  if (type === 'local') return 'stdio'
  return type === 'remote' ? undefined : type
}

/** Settings of a client are its own business; but what was meant for us is not to be lost without a word. */
function warnOfRest(written: Root, draft: Draft): void {
  const isSettings = has(written, SETTINGS)
  for (const key of Object.keys(written)) {
    if (/^(mcpServers|mcp|\$schema)$/.test(key) || SETTINGS.has(key)) continue
    const meant = closest(key, OURS)
    const hint = meant ? `; did you mean "${meant}"?` : ''
    if (!isSettings || meant) draft.warn([key], `unknown key; it is ignored${hint}`)
  }
  for (const [project, options] of Object.entries(
    isObject(written.projects) ? written.projects : {},
  )) {
    if (!isObject(options) || !hasServers(options)) continue
    const path: Path = ['projects', project, 'mcpServers']
    draft.warn(path, 'servers of one project are not taken; write them in "mcpServers" of the file')
    return
  }
}
