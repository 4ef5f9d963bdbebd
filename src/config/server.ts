/** The options of one server: how it is reached, and what of it is shown under which names. */
import * as v from 'valibot'
import { argumentMisfits, fits, poolMisfits, serverMisfits } from './fit.ts'
import { type Inheritable, inherit, inheritable } from './inherited.ts'
import {
  count,
  file,
  headerName,
  headerValue,
  httpURL,
  namePart,
  newName,
  pattern,
  secret,
  text,
  variable,
  word,
} from './values.ts'

const shown = {
  allow: v.pipe(
    v.optional(v.array(pattern)),
    v.description(
      'Show only these, by their original names; `*` stands for anything. By default all.',
    ),
  ),
  block: v.pipe(
    v.optional(v.array(pattern), []),
    v.description('Hide these, by their original names, even if they are allowed.'),
  ),
}

const naming = {
  ...shown,
  prefix: v.pipe(
    v.optional(namePart(40)),
    v.description(
      'Stands before each name where servers are merged; `""` for none. By default the name of the server.',
    ),
  ),
  separator: v.pipe(
    v.optional(namePart(4), '_'),
    v.description('Stands between the prefix and the name.'),
  ),
  rename: v.pipe(
    v.optional(v.record(text, newName), {}),
    v.description('Other names, by original name. The prefix still goes before them.'),
  ),
}

const promptPrefix = v.pipe(
  v.optional(namePart(40)),
  v.description('Stands before each name where servers are merged. By default that of `tools`.'),
)

const values = v.record(v.string(), v.unknown())

const override = v.pipe(
  v.strictObject({
    title: v.pipe(v.optional(v.string()), v.description('Another title. By default its own.')),
    description: v.pipe(
      v.optional(v.string()),
      v.description('Another description. By default its own.'),
    ),
    annotations: v.pipe(
      v.optional(values, {}),
      v.description('Annotations to set; the others stay.'),
    ),
    defaults: v.pipe(v.optional(values, {}), v.description('Arguments for calls that lack them.')),
    pinned: v.pipe(
      v.optional(values, {}),
      v.description('Arguments that are always these; clients do not see them.'),
    ),
  }),
  fits(argumentMisfits),
)

/** As the programs of the field write them. */
const TRANSPORTS = {
  stdio: 'stdio',
  sse: 'sse',
  http: 'streamable-http',
  'streamable-http': 'streamable-http',
  streamable_http: 'streamable-http',
  streamableHttp: 'streamable-http',
} as const
const transport = v.pipe(
  v.picklist(Object.keys(TRANSPORTS) as (keyof typeof TRANSPORTS)[]),
  v.transform((spelling) => TRANSPORTS[spelling]),
)

const options = v.strictObject({
  command: v.pipe(
    v.optional(file),
    v.description('Program to start. It is looked up in PATH; no shell sees it.'),
  ),
  args: v.pipe(v.optional(v.array(word), []), v.description('Its arguments.')),
  env: v.pipe(
    v.optional(v.record(variable, secret(word)), {}),
    v.description('Environment for it, besides `HOME`, `PATH`, `LANG` and a few more of ours.'),
  ),
  inheritEnv: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Give it all of our environment.'),
  ),
  cwd: v.pipe(v.optional(file), v.description('Directory to start it in. By default ours.')),

  url: v.pipe(
    v.optional(httpURL),
    v.description('Where a remote server is, instead of a command.'),
  ),
  headers: v.pipe(
    v.optional(v.record(headerName, secret(headerValue)), {}),
    v.description('HTTP headers for a remote server.'),
  ),
  insecure: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Take any TLS certificate of a remote server, also a forged one.'),
  ),

  type: v.pipe(
    v.optional(transport),
    v.description(
      'How it is reached: `stdio` for a command, `streamable-http` (or `http`) or `sse` for a URL. Without it a URL is tried as the one, then as the other.',
    ),
  ),
  transportType: v.pipe(v.optional(transport), v.description('The same as `type`.')),

  disabled: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Leave it out, as if it were not written here.'),
  ),
  required: v.pipe(
    v.optional(v.boolean(), false),
    v.description('The gateway does not start without it.'),
  ),
  public: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Everybody may use it, also where others want a token.'),
  ),

  ...inheritable,
  maxSessionConnections: v.pipe(
    v.optional(count(1), 100),
    v.description(
      'How many connections there are at most that belong to one session each; `pool` does not count them.',
    ),
  ),

  tools: v.pipe(
    v.optional(
      v.strictObject({
        ...naming,
        override: v.pipe(
          v.optional(v.record(text, override), {}),
          v.description('Changes to single tools, by original name.'),
        ),
      }),
      {},
    ),
    v.description('Its tools: which are shown, and how.'),
  ),
  prompts: v.pipe(
    v.optional(v.strictObject({ ...naming, prefix: promptPrefix }), {}),
    v.description('Its prompts: which are shown, and how.'),
  ),
  resources: v.pipe(
    v.optional(v.strictObject(shown), {}),
    v.description('Its resources and templates: which are shown, by their URIs.'),
  ),
})

/** What is written of a server. What it inherits is not filled in. */
export const WrittenServerSchema = v.pipe(options, fits(serverMisfits))
export type WrittenServer = v.InferOutput<typeof options>

/** What is written of a server becomes what it is: a command, or remote. */
export function completed(server: WrittenServer, defaults: Inheritable) {
  const { command, args, env, inheritEnv, cwd, url, headers, insecure, ...rest } = server
  const { type, transportType, ...common } = rest
  if (url === undefined) {
    const kind = 'command' as const
    const inherited = inherit(kind, server, defaults)
    return { ...common, ...inherited, kind, command: command!, args, env, inheritEnv, cwd }
  }
  const kind = 'remote' as const
  const transport = (type ?? transportType ?? 'auto') as 'auto' | 'streamable-http' | 'sse'
  return { ...common, ...inherit(kind, server, defaults), kind, url, transport, headers, insecure }
}

const NOTHING: Inheritable = { pool: {} }

/** A server with no configuration around it that it could inherit from. */
export const ServerSchema = v.pipe(
  WrittenServerSchema,
  fits((server) => poolMisfits(server, NOTHING)),
  v.transform((server) => completed(server, NOTHING)),
)

export type ServerConfig = v.InferOutput<typeof ServerSchema>
export type CommandServer = Extract<ServerConfig, { kind: 'command' }>
export type RemoteServer = Extract<ServerConfig, { kind: 'remote' }>
export type ToolNaming = ServerConfig['tools']
export type PromptNaming = ServerConfig['prompts']
export type ResourceFilter = ServerConfig['resources']
export type ToolOverride = ToolNaming['override'][string]
