/** The `mcp` of opencode: commands are written as lists, and every server says whether it is local or remote. */
import * as v from 'valibot'
import { COMMON, Entries, IGNORED, isObject, LOGIN, objectsIn } from './entry.ts'
import { format } from './format.ts'

const entry = v.looseObject({
  type: v.optional(v.picklist(['local', 'remote'])),
  command: v.optional(v.array(v.string())),
  cwd: v.optional(v.string()),
  environment: v.optional(v.record(v.string(), v.string())),
  url: v.optional(v.string()),
  headers: COMMON.headers,
  enabled: v.optional(v.boolean()),
  timeout: v.optional(v.number()),
  oauth: IGNORED,
})

export const OPENCODE = format({
  name: 'opencode',
  fits: ({ mcp, mcpServers }) => !mcpServers && isObject(mcp) && objectsIn(mcp).some(isTyped),
  schema: v.objectWithRest({ mcp: v.record(v.string(), entry) }, v.unknown()),
  // Theirs have no dollar.
  spelling: () => (written) => written.replace(/\{env:(\w+)\}/g, '${$1}'),
  adapt({ mcp }, draft) {
    const entries = new Entries(draft, Object.keys(mcp), ['mcp'])
    for (const [name, server] of Object.entries(mcp)) {
      const ours = entries.begin(name, ['mcp', name])
      const [command, ...args] = server.command ?? []
      ours.set('command', command)
      if (args.length > 0) ours.setList('args', args, 'command', 1)
      ours.set('env', server.environment, 'environment')
      for (const key of ['cwd', 'url', 'headers', 'timeout'] as const) ours.set(key, server[key])
      if (server.enabled === false) ours.set('disabled', true, 'enabled')
      if (isObject(server.oauth) && server.enabled !== false) {
        entries.warnOnce(['mcp', name, 'oauth'], LOGIN)
      }
    }
  },
})

const isTyped = ({ type }: Readonly<Record<string, unknown>>) =>
  type === 'local' || type === 'remote'
