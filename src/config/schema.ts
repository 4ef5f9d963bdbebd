/**
 * Every option of the native configuration: its type, default and meaning. The descriptions are the manual.
 *
 * Durations are milliseconds, sizes are bytes. Unknown keys are refused.
 */
import * as v from 'valibot'
import { LOG_LEVELS } from '../events.ts'
import { Secret } from '../secret.ts'
import { allPoolMisfits, collisions, fits, groupMisfits, tokenMisfits } from './fit.ts'
import { DefaultsSchema } from './inherited.ts'
import { OAuthSchema } from './oauth.ts'
import { completed, WrittenServerSchema } from './server.ts'
import {
  addressRange,
  baseURL,
  count,
  duration,
  either,
  file,
  host,
  origin,
  reference,
  secret,
  serverName,
  text,
} from './values.ts'

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
    v.description('Address to listen on. While there is no authentication, only the loopback is.'),
  ),
  port: v.pipe(
    v.optional(count(0, 65535), 4298),
    v.description('Port to listen on; 0 takes a free one.'),
  ),
  allowUnauthenticated: v.pipe(
    v.optional(v.boolean(), false),
    v.description('Listen on `host` although whoever reaches it can use every server.'),
  ),
  tls: v.pipe(
    v.optional(
      v.strictObject({
        cert: v.pipe(file, v.description('File with the certificate, and those it is signed by.')),
        key: v.pipe(file, v.description('File with its private key.')),
      }),
    ),
    v.description(
      'Serve https. The files are looked for in the folder of the configuration, and read again when they change.',
    ),
  ),
  allowedHosts: v.pipe(
    v.optional(v.array(host), []),
    v.description(
      'Host names under which clients may come, besides loopback ones, `host`, and addresses (which prove that no name was rebound).',
    ),
  ),
  allowedOrigins: v.pipe(
    v.optional(v.array(origin), []),
    v.description(
      'Origins of web pages that may call and read (CORS), besides loopback ones: `https://app.example`.',
    ),
  ),
  baseURL: v.pipe(
    v.optional(baseURL),
    v.description(
      'Where clients reach the gateway, if a proxy stands in front. Its path may come before every route.',
    ),
  ),
  trustedProxies: v.pipe(
    v.optional(v.array(addressRange), []),
    v.description(
      'Addresses, or ranges as `10.0.0.0/8`, of the proxies in front. Only what they say of the address that somebody comes from is believed (`X-Forwarded-For` and others). Name all of them: the last address that is none of theirs counts.',
    ),
  ),
  servicesURL: v.pipe(
    v.optional(baseURL),
    v.description(
      'Where services are that are added by their path alone, with `POST /config/services`.',
    ),
  ),
  dataDir: v.pipe(
    v.optional(file),
    v.description(
      'Directory for what outlives a restart: services added over the API, logins. By default `~/.mcp-gateway`.',
    ),
  ),
  logLevel: v.pipe(
    v.optional(v.picklist(LOG_LEVELS)),
    v.description('What is logged: this and all that is graver. By default `info`.'),
  ),
  pollInterval: v.pipe(
    v.optional(duration(1000), 60_000),
    v.description('How often a configuration at a URL is asked for changes, in ms.'),
  ),
  listTimeout: v.pipe(
    v.optional(duration(1), 10_000),
    v.description(
      'How many ms lists of merged servers wait for each server. Who is late is announced when it comes.',
    ),
  ),
  maxBodySize: v.pipe(
    v.optional(count(1), 4 * 1024 * 1024),
    v.description('Largest request body, in bytes.'),
  ),
  sessionTimeout: v.pipe(
    v.optional(duration(1000), 30 * 60 * 1000),
    v.description(
      'A session ends so many ms after its client was last there, with a request or an open stream.',
    ),
  ),
  streamLifetime: v.pipe(
    v.optional(duration(0), 0),
    v.description(
      'An event stream with an answer still due is closed after so many ms, and the client comes back for the rest: for proxies that cut long responses. 0 keeps it open. Only clients of 2025-11-25 are asked to come back.',
    ),
  ),
  maxSessions: v.pipe(
    v.optional(count(1), 256),
    v.description(
      'How many sessions may be open at once. When they are, the one that was silent longest makes room; if all are in use, no other is opened.',
    ),
  ),
})

const token = v.pipe(text, v.minLength(4, 'must have at least 4 characters'))

/** A token, and what it is good for. */
export interface StaticToken {
  token: Secret
  name?: string | undefined
  /** Undefined for all. */
  servers?: string[] | undefined
  admin: boolean
}

function completedToken(written: Secret | StaticToken): StaticToken {
  return written instanceof Secret ? { token: written, admin: false } : written
}

const AuthSchema = v.strictObject({
  oauth: v.pipe(
    v.optional(OAuthSchema),
    v.description('Logins: people, and the programs that they let in. Without it there are none.'),
  ),
  tokens: v.pipe(
    v.optional(
      v.array(
        either(
          secret(token),
          v.strictObject({
            token: v.pipe(secret(token), v.description('The token itself.')),
            name: v.pipe(
              v.optional(text),
              v.description('What whoever comes with it is called in logs.'),
            ),
            servers: v.pipe(
              v.optional(v.array(v.string())),
              v.description('The servers it is good for. By default all.'),
            ),
            admin: v.pipe(
              v.optional(v.boolean(), false),
              v.description('Whether it may change what runs, under `/config`.'),
            ),
          }),
          // The others are references.
          (keys) => keys.includes('token') || !keys.some((key) => key in reference.entries),
        ),
      ),
      [],
    ),
    v.transform((tokens) => tokens.map(completedToken)),
    v.description(
      'Tokens that clients may come with: `Authorization: Bearer TOKEN`, or `/NAME/TOKEN/mcp` for those that send no headers. Without any, and without logins, everybody may come.',
    ),
  ),
})

export const ConfigSchema = v.pipe(
  v.strictObject({
    $schema: v.pipe(
      v.optional(v.string()),
      v.description('Where editors find the schema of this file: see below.'),
    ),
    gateway: v.pipe(v.optional(GatewaySchema, {}), v.description('The gateway itself.')),
    auth: v.pipe(v.optional(AuthSchema, {}), v.description('Who may come.')),
    defaults: v.pipe(
      v.optional(DefaultsSchema, {}),
      v.description('What holds for servers that do not say otherwise, option by option.'),
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
      v.description(
        'Names for several servers merged: `{"dev": ["github", "fs"]}` is reached at `/dev/mcp`.',
      ),
    ),
  }),
  fits(({ auth, defaults, groups, mcpServers }) => [
    ...groupMisfits(groups, Object.keys(mcpServers)),
    ...tokenMisfits(auth.tokens, Object.keys(mcpServers)),
    ...collisions(mcpServers),
    ...allPoolMisfits(mcpServers, defaults),
  ]),
  v.transform(({ defaults, mcpServers, groups, ...config }) => {
    const enabled = Object.entries(mcpServers).filter(([, { disabled }]) => !disabled)
    const isEnabled = (name: string) => !mcpServers[name]?.disabled
    return {
      ...config,
      defaults,
      /** Those that are enabled, each with what it inherits. */
      mcpServers: Object.fromEntries(
        enabled.map(([name, server]) => [name, completed(server, defaults)]),
      ),
      /** Without those that have nobody left. */
      groups: Object.fromEntries(
        Object.entries(groups)
          .map(([name, members]) => [name, members.filter(isEnabled)] as const)
          .filter(([, members]) => members.length > 0),
      ),
      disabled: Object.keys(mcpServers).filter((name) => !isEnabled(name)),
    }
  }),
)

export type Config = v.InferOutput<typeof ConfigSchema>
