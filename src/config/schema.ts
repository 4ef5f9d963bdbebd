/**
 * Every option of the native configuration: its type, default and meaning. The descriptions are the manual.
 *
 * Durations are milliseconds, sizes are bytes. Unknown keys are refused.
 */
import * as v from 'valibot'
import { allPoolMisfits, collisions, fits, groupMisfits } from './fit.ts'
import { DefaultsSchema } from './inherited.ts'
import { completed, WrittenServerSchema } from './server.ts'
import { baseURL, count, duration, host, origin, serverName } from './values.ts'

export type { Isolation, Pool } from './inherited.ts'
export type {
  CommandServer,
  PromptNaming,
  RemoteServer,
  ResourceFilter,
  ServerConfig,
  ToolNaming,
  ToolOverride,
} from './server.ts'

export const GatewaySchema = v.strictObject({
  host: v.pipe(
    v.optional(host, '127.0.0.1'),
    v.description('Address to listen on. Without authentication only the loopback is listened on.'),
  ),
  port: v.pipe(
    v.optional(count(0, 65535), 4298),
    v.description('Port to listen on; 0 takes a free one.'),
  ),
  allowUnauthenticated: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Listen on `host` although anybody who reaches it can use every server.'),
  ),
  allowedHosts: v.pipe(
    v.optional(v.array(host), []),
    v.description(
      'Host names under which clients may come, besides loopback ones, `host`, and addresses.',
    ),
  ),
  allowedOrigins: v.pipe(
    v.optional(v.array(origin), []),
    v.description(
      'Origins of web pages, besides loopback ones, that may call: `https://app.example`.',
    ),
  ),
  baseURL: v.pipe(
    v.optional(baseURL),
    v.description(
      'Where clients reach the gateway, if a proxy stands in front. Its path may come before every route.',
    ),
  ),
  listTimeout: v.pipe(
    v.optional(duration(1), 10_000),
    v.description(
      'How long lists of merged servers wait for each server. Who is late is announced when it comes.',
    ),
  ),
  maxBodySize: v.pipe(
    v.optional(count(1), 4 * 1024 * 1024),
    v.description('Largest request body.'),
  ),
  sessionTimeout: v.pipe(
    v.optional(duration(1000), 30 * 60 * 1000),
    v.description(
      'A session ends this long after its client was last there, with a request or an open stream.',
    ),
  ),
  streamLifetime: v.pipe(
    v.optional(duration(0), 0),
    v.description(
      'An event stream that carries an answer is closed after this time, and the client comes back for the rest: for proxies that cut long responses. 0 keeps it open. Only clients of 2025-11-25 are asked to come back.',
    ),
  ),
  maxSessions: v.pipe(
    v.optional(count(1), 256),
    v.description(
      'How many sessions may be open at once. When they are, the one that was silent longest makes room; if all are in use, no other is opened.',
    ),
  ),
})

export const ConfigSchema = v.pipe(
  v.strictObject({
    $schema: v.optional(v.string()),
    gateway: v.pipe(v.optional(GatewaySchema, {}), v.description('The gateway itself.')),
    defaults: v.pipe(
      v.optional(DefaultsSchema, {}),
      v.description('What servers inherit that do not say otherwise, option by option.'),
    ),
    mcpServers: v.pipe(
      v.record(serverName, WrittenServerSchema),
      v.description('The servers by name. `NAME` is reached at `/NAME/mcp`.'),
    ),
    groups: v.pipe(
      v.optional(
        v.record(
          serverName,
          v.pipe(v.array(v.string()), v.nonEmpty('must name at least one server')),
        ),
        {},
      ),
      v.description('Names for several servers merged: `{"dev": ["github", "fs"]}` is `/dev/mcp`.'),
    ),
  }),
  fits(({ defaults, groups, mcpServers }) => [
    ...groupMisfits(groups, Object.keys(mcpServers)),
    ...collisions(mcpServers),
    ...allPoolMisfits(mcpServers, defaults),
  ]),
  v.transform(({ defaults, mcpServers, ...config }) => ({
    ...config,
    /** Each with what it inherits. */
    mcpServers: Object.fromEntries(
      Object.entries(mcpServers).map(([name, server]) => [name, completed(server, defaults)]),
    ),
  })),
)

export type Config = v.InferOutput<typeof ConfigSchema>
