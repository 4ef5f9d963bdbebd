/**
 * Every option of the native configuration: its type, default and meaning. The descriptions are the manual.
 *
 * Durations are milliseconds, sizes are bytes. Unknown keys are refused.
 */
import * as v from 'valibot'

const text = v.pipe(v.string(), v.nonEmpty('must not be empty'))
const count = (least: number) =>
  v.pipe(
    v.number(),
    v.integer('must be a whole number'),
    v.minValue(least, `must be at least ${least}`),
  )

export const GatewaySchema = v.strictObject({
  host: v.pipe(
    v.optional(text, '127.0.0.1'),
    v.description('Address to listen on. Without authentication only the loopback is listened on.'),
  ),
  port: v.pipe(
    v.optional(v.pipe(count(0), v.maxValue(65535, 'must be at most 65535')), 4298),
    v.description('Port to listen on; 0 takes a free one.'),
  ),
  allowUnauthenticated: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Listen on `host` although anybody who reaches it can use every server.'),
  ),
  allowedHosts: v.pipe(
    v.optional(v.array(text), []),
    v.description(
      'Host names, besides the loopback ones and `host`, under which clients may come.',
    ),
  ),
  allowedOrigins: v.pipe(
    v.optional(v.array(text), []),
    v.description(
      'Origins of web pages, besides loopback ones, that may call: `https://app.example`.',
    ),
  ),
  maxBodySize: v.pipe(
    v.optional(count(1), 4 * 1024 * 1024),
    v.description('Largest request body.'),
  ),
  sessionTimeout: v.pipe(
    v.optional(count(1000), 30 * 60 * 1000),
    v.description('A session without request or open stream ends after this time.'),
  ),
  streamLifetime: v.pipe(
    v.optional(count(0), 0),
    v.description(
      'An event stream that carries an answer is closed after this time, and the client comes back for the rest: for proxies that cut long responses. 0 keeps it open. Only clients of 2025-11-25 are asked to come back.',
    ),
  ),
  maxSessions: v.pipe(
    v.optional(count(1), 10_000),
    v.description('How many sessions may be open at once.'),
  ),
})

export const ServerSchema = v.strictObject({
  command: v.pipe(
    text,
    v.description('Program to start. It is looked up in PATH; no shell sees it.'),
  ),
  args: v.pipe(v.optional(v.array(v.string()), []), v.description('Its arguments.')),
  env: v.pipe(
    v.optional(v.record(v.string(), v.string()), {}),
    v.description('Environment variables for it, besides the few of ours that it gets.'),
  ),
  inheritEnv: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Give it all of our environment.'),
  ),
  cwd: v.pipe(v.optional(text), v.description('Directory to start it in.')),
})

const serverName = v.pipe(
  v.string(),
  v.regex(/^[\w.-]{1,64}$/, 'a server name has 1 to 64 letters, digits, "_", "." or "-"'),
)

export const ConfigSchema = v.strictObject({
  $schema: v.optional(v.string()),
  gateway: v.pipe(v.optional(GatewaySchema, {}), v.description('The gateway itself.')),
  mcpServers: v.pipe(
    v.record(serverName, ServerSchema),
    v.description('The servers by name. `NAME` is reached at `/NAME/mcp`.'),
  ),
})

export type Config = v.InferOutput<typeof ConfigSchema>
export type ServerConfig = v.InferOutput<typeof ServerSchema>
