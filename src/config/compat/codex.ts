/** The `mcp_servers` of Codex. Whatever else its file holds is its own business. */
import * as v from 'valibot'
import type { Path } from '../document.ts'
import {
  COMMON,
  Entries,
  type Entry,
  HELPER,
  IGNORED,
  isObject,
  LOGIN,
  milliseconds,
} from './entry.ts'
import { format } from './format.ts'

const { command, args, env, cwd, url, headers } = COMMON
const names = v.optional(v.array(v.string()))

const entry = v.looseObject({
  ...{ command, args, env, cwd, url },
  env_vars: v.optional(
    v.array(
      v.pipe(
        v.unknown(),
        v.check((given) => nameOf(given) !== undefined, 'must be the name of a variable'),
      ),
    ),
  ),
  http_headers: headers,
  env_http_headers: headers,
  bearer_token: v.optional(v.string()),
  bearer_token_env_var: v.optional(v.string()),
  startup_timeout_sec: v.optional(v.number()),
  startup_timeout_ms: v.optional(v.number()),
  tool_timeout_sec: v.optional(v.number()),
  enabled: v.optional(v.boolean()),
  required: v.optional(v.boolean()),
  enabled_tools: names,
  disabled_tools: names,
  ...{ oauth: IGNORED, scopes: IGNORED, oauth_resource: IGNORED, auth: IGNORED },
  http_headers_helper: IGNORED,
  // Who is asked before a tool is called, and where Codex runs a command, are matters of Codex.
  ...{
    tools: IGNORED,
    default_tools_approval_mode: IGNORED,
    supports_parallel_tool_calls: IGNORED,
  },
  ...{ environment_id: IGNORED, experimental_environment: IGNORED },
  ...{ name: IGNORED, description: IGNORED },
})

/** Variables are named as they are, or as `{name, source}`. */
function nameOf(variable: unknown): string | undefined {
  const name = isObject(variable) ? variable.name : variable
  return typeof name === 'string' ? name : undefined
}

type Server = v.InferOutput<typeof entry>

export const CODEX = format({
  name: 'Codex',
  fits: ({ mcp_servers, mcpServers }) => isObject(mcp_servers) && !mcpServers,
  schema: v.objectWithRest({ mcp_servers: v.record(v.string(), entry) }, v.unknown()),
  spelling: () => spelling,
  adapt({ mcp_servers: servers }, draft) {
    const entries = new Entries(draft, Object.keys(servers), ['mcp_servers'])
    for (const [name, server] of Object.entries(servers)) {
      const at = ['mcp_servers', name]
      const ours = entries.begin(name, at)
      adaptOptions(server, ours)
      adaptVariables(server, ours)
      if (server.enabled === false) continue
      if (server.oauth || server.scopes || server.oauth_resource || server.auth) {
        entries.warnOnce(at, LOGIN)
      }
      if (server.http_headers_helper) entries.warnOnce([...at, 'http_headers_helper'], HELPER)
    }
  },
})

function adaptOptions(server: Server, ours: Entry): void {
  for (const key of ['command', 'args', 'cwd', 'url', 'required'] as const) {
    ours.set(key, server[key])
  }
  if (server.url !== undefined) ours.set('type', 'streamable-http', 'url')
  if (server.enabled === false) ours.set('disabled', true, 'enabled')
  ours.set('timeout', milliseconds(server.tool_timeout_sec), 'tool_timeout_sec')
  ours.set('startupTimeout', server.startup_timeout_ms, 'startup_timeout_ms')
  ours.set('startupTimeout', milliseconds(server.startup_timeout_sec), 'startup_timeout_sec')
  ours.setTools('allow', server.enabled_tools, 'enabled_tools')
  ours.setTools('block', server.disabled_tools, 'disabled_tools')
}

/** What is said in so many words, then what is in variables. */
function adaptVariables(server: Server, ours: Entry): void {
  if (server.env) ours.set('env', { ...server.env })
  for (const [i, variable] of (server.env_vars ?? []).entries()) {
    const name = nameOf(variable)!
    ours.setIn('env', name, { env: name }, ['env_vars', i])
  }
  if (server.http_headers) ours.set('headers', { ...server.http_headers }, 'http_headers')
  for (const [header, value] of Object.entries(server.env_http_headers ?? {})) {
    ours.setIn('headers', header, value, ['env_http_headers', header])
  }
  for (const key of ['bearer_token', 'bearer_token_env_var'] as const) {
    const token = server[key]
    if (token !== undefined) ours.setIn('headers', 'Authorization', `Bearer ${token}`, [key])
  }
}

/** Where a name stands for what a variable of that name holds. */
function spelling(written: string, [section, , key, , ...inner]: Path): string {
  const isName = key === 'bearer_token_env_var' || (key === 'env_http_headers' && !inner.length)
  return section === 'mcp_servers' && isName ? `\${${written.replace(/\W+/g, '_')}}` : written
}
