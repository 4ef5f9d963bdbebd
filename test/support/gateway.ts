/** A real gateway on a free port, and what was seen happening in it. */
import * as v from 'valibot'
import { ConfigSchema } from '../../src/config/schema.ts'
import type { GatewayEvent } from '../../src/events.ts'
import { type Changes, Gateway } from '../../src/gateway.ts'
import { listen } from '../../src/http.ts'
import type { Status } from '../../src/upstream/upstream.ts'

type Input = v.InferInput<typeof ConfigSchema>
export type Servers = Input['mcpServers']
type Server = Input['mcpServers'][string]

export interface TestGateway extends AsyncDisposable {
  /** What is behind the URLs. */
  readonly gateway: Gateway
  readonly url: URL
  /** The URL of an endpoint: `at('raw')` is `http://127.0.0.1:PORT/raw/mcp`. */
  at(name: string): URL
  readonly events: GatewayEvent[]
  /** Resolves with the first event, past or future, that fits. */
  event<T extends GatewayEvent['type']>(
    type: T,
    fits?: (event: Extract<GatewayEvent, { type: T }>) => boolean,
  ): Promise<Extract<GatewayEvent, { type: T }>>
  health(): Promise<Health>
  /** Makes another configuration what runs. */
  apply(
    servers: Servers,
    options?: Input['gateway'],
    groups?: Input['groups'],
    auth?: Input['auth'],
  ): Changes
  close(): Promise<void>
}

export interface Health {
  status: string
  version: string
  uptime: number
  ready: boolean
  sessions: number
  upstreams: Record<string, Status>
}

export function startGateway(
  mcpServers: Input['mcpServers'],
  options: Input['gateway'] = {},
  groups: Input['groups'] = {},
  auth: Input['auth'] = {},
): TestGateway {
  const configured = (
    mcpServers: Servers,
    options: Input['gateway'],
    groups: Input['groups'],
    auth: Input['auth'],
  ) => v.parse(ConfigSchema, { gateway: { port: 0, ...options }, mcpServers, groups, auth })
  const config = configured(mcpServers, options, groups, auth)
  const events: GatewayEvent[] = []
  const waiting = new Set<(event: GatewayEvent) => void>()
  const observe = (event: GatewayEvent) => {
    events.push(event)
    for (const tell of waiting) tell(event)
  }
  const gateway = Gateway.start(config, observe)
  const listener = listen(gateway, { version: 'test', observe })
  const close = async () => {
    await listener.close({ drain: 0 })
    await gateway.close()
  }
  return {
    gateway,
    get url() {
      return listener.url
    },
    at: (name) => new URL(`${name}/mcp`, listener.url),
    events,
    event(type, fits = () => true) {
      type Wanted = Extract<GatewayEvent, { type: typeof type }>
      const isWanted = (event: GatewayEvent): event is Wanted =>
        event.type === type && fits(event as Wanted)
      const past = events.find(isWanted)
      if (past) return Promise.resolve(past)
      return new Promise((resolve) => {
        const tell = (event: GatewayEvent) => {
          if (!isWanted(event)) return
          waiting.delete(tell)
          resolve(event)
        }
        waiting.add(tell)
      })
    },
    apply(mcpServers, options = {}, groups = {}, auth = {}) {
      return listener.apply(configured(mcpServers, options, groups, auth), { drain: 5_000 })
    },
    health: async () => (await fetch(new URL('health', listener.url))).json() as Promise<Health>,
    close,
    [Symbol.asyncDispose]: close,
  }
}

const fixture = (name: string) => new URL(`servers/${name}.ts`, import.meta.url).pathname

/** A fixture server from `servers/`, as configuration. Unless said otherwise each session has one of its own. */
export function stdio(
  name: string,
  options: Omit<Server, 'command'> = {},
): Server & { command: string } {
  return { command: process.execPath, args: [fixture(name)], isolation: 'session', ...options }
}
