/**
 * Every option of the native configuration: its type, default and meaning. The descriptions are the manual.
 *
 * Durations are milliseconds, sizes are bytes. Unknown keys are refused.
 */
import * as v from 'valibot'

const text = v.pipe(v.string(), v.nonEmpty('must not be empty'))
/** What the operating system takes for a program, an argument, a directory or the value of a variable. */
const word = v.pipe(v.string(), v.regex(/^[^\0]*$/, 'must not contain a NUL character'))
const file = v.pipe(
  text,
  v.regex(/^[^\x00-\x1f]*$/, 'must not contain a control character; a backslash is written twice'),
)
const host = v.pipe(
  text,
  v.check(
    (name) => /^[\w-]+(\.[\w-]+)*$/.test(name) || isIPv6(name),
    'must be a host name or an IP address, without scheme, port or brackets',
  ),
  v.toLowerCase(),
)
const origin = v.pipe(
  text,
  v.regex(
    /^[a-z][a-z\d+.-]*:\/\/[^/?#\s]+$/i,
    'must be an origin as browsers send it, without path: https://app.example',
  ),
  v.toLowerCase(),
)
/** `node:net` has one, too, and half a millisecond of every start goes into loading that. */
const isIPv6 = (name: string) => /^[\da-f:.]+$/i.test(name) && URL.canParse(`http://[${name}]`)
const count = (least: number, most = Number.MAX_SAFE_INTEGER) =>
  v.pipe(
    v.number(),
    v.integer('must be a whole number'),
    v.minValue(least, `must be at least ${least}`),
    v.maxValue(most, `must be at most ${most}`),
  )
/** Longer ones would make a timer go off at once. */
const duration = (least: number) => count(least, 2 ** 31 - 1)

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

const variable = v.pipe(
  v.string(),
  v.regex(/^[^=\0]+$/, 'the name of a variable is not empty and has no "="'),
)

export const ServerSchema = v.strictObject({
  command: v.pipe(
    file,
    v.description('Program to start. It is looked up in PATH; no shell sees it.'),
  ),
  args: v.pipe(v.optional(v.array(word), []), v.description('Its arguments.')),
  env: v.pipe(
    v.optional(v.record(variable, word), {}),
    v.description('Environment variables for it, besides the few of ours that it gets.'),
  ),
  inheritEnv: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Give it all of our environment.'),
  ),
  cwd: v.pipe(v.optional(file), v.description('Directory to start it in.')),
})

const serverName = v.pipe(
  v.string(),
  v.regex(
    /^\w[\w.-]{0,63}$/,
    'a server name has 1 to 64 letters, digits, "_", "." or "-", and does not begin with "." or "-"',
  ),
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
