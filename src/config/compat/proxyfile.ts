/** What mcp-proxy understands of a file: its format, and its older one. To its JSON reader null is what is not there. */
import * as v from 'valibot'
import { goDuration } from './duration.ts'
import { OUR_GATEWAY } from './ours.ts'

const string = v.nullish(v.string())
const boolean = v.nullish(v.boolean())
const strings = v.nullish(v.array(v.string()))
const texts = v.nullish(v.record(v.string(), v.string()))
const duration = v.nullish(goDuration)
const filter = v.nullish(v.looseObject({ mode: string, list: strings }))

const options = v.looseObject({
  panicIfInvalid: boolean,
  logEnabled: boolean,
  authTokens: strings,
  toolFilter: filter,
  userFilter: filter,
  disabled: boolean,
  oauth2: v.nullish(
    v.looseObject({
      enabled: boolean,
      users: texts,
      persistenceDir: string,
      allowedIPs: strings,
      tokenExpirationMinutes: v.nullish(v.number()),
      disableTokenExpiration: boolean,
      templateDir: string,
    }),
  ),
  // A connection that broke is opened again by the next call, whatever these say.
  ...{ pingInterval: duration, autoReconnect: boolean, reconnectInterval: duration },
})

/** How a server is reached. */
const reached = {
  command: string,
  args: strings,
  env: texts,
  url: string,
  headers: texts,
  timeout: duration,
  /** Ours. Go programs ignore keys that they do not know. */
  inheritEnv: boolean,
}

const server = v.looseObject({
  ...reached,
  transportType: string,
  oauth: v.nullish(
    v.looseObject({
      clientId: string,
      clientSecret: string,
      redirectUri: string,
      scopes: strings,
      pkceDisabled: boolean,
      authServerMetadataUrl: string,
    }),
  ),
  options: v.nullish(options),
})

const listener = { baseURL: string, addr: string, name: string, version: string }

/** Both formats: halves of them may be mixed. */
export const PROXY_FILE = v.looseObject({
  mcpProxy: v.nullish(
    v.looseObject({
      ...listener,
      type: string,
      options: v.nullish(options),
      startupGracePeriod: duration,
    }),
  ),
  mcpServers: v.nullish(v.record(v.string(), server)),
  server: v.nullish(v.looseObject({ ...listener, globalAuthTokens: strings })),
  clients: v.nullish(
    v.record(
      v.string(),
      v.looseObject({
        type: string,
        config: v.nullish(v.looseObject(reached)),
        panicIfInvalid: boolean,
        logEnabled: boolean,
        authTokens: strings,
      }),
    ),
  ),
  gateway: v.nullish(v.looseObject(OUR_GATEWAY)),
})

export type ProxyFile = v.InferOutput<typeof PROXY_FILE>
export type ProxyOptions = v.InferOutput<typeof options>
export type ProxiedServer = v.InferOutput<typeof server>
